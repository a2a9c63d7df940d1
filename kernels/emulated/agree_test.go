package emulated

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// recorded is what real kernels did, as nlrig run -o json writes it: make golden.
const recorded = "testdata/kernels.json.gz"

// report is of host/report's form what is looked at here.
type report struct {
	Kernels []struct{ Name string }
	Cases   []struct {
		Name, Text string
		Cells      []struct{ Class string }
		Classes    []behaviour
	}
}

type behaviour struct {
	Letter   string
	Exchange []string
}

// The emulated kernel does in every case of the corpus what the real one of that
// release did, line for line, on any system that this test runs on.
func TestAgreesWithKernels(t *testing.T) {
	f, err := os.Open(recorded)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.NewDecoder(z).Decode(&r))
	all, err := cases.All()
	require.NoError(t, err)
	require.Len(t, r.Cases, len(all), "%s is of another corpus: make golden", recorded)
	for ki, real := range r.Kernels {
		t.Run("kernel="+real.Name, func(t *testing.T) {
			t.Parallel()
			k, err := New(real.Name)
			require.NoError(t, err)
			played := 0
			for ci, c := range all {
				row := &r.Cases[ci]
				require.Equal(t, c.Name, row.Name, "make golden")
				require.Equal(t, string(c.Text), row.Text, "%s has changed: make golden", c.Name)
				class := row.Cells[ki].Class
				if class == "" {
					continue // that kernel could not play it
				}
				played++
				i := slices.IndexFunc(row.Classes, func(b behaviour) bool { return b.Letter == class })
				lines, alike := nlcase.DiffLines(row.Classes[i].Exchange, nlcase.Play(k, c).Lines(c))
				assert.True(t, alike, "%s: the kernel (-) and the emulated one (+):\n%s", c.Name, lines)
			}
			assert.Greater(t, played, 100)
		})
	}
}
