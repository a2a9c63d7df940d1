//go:build linux

package fuzz

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func targets(t *testing.T, names ...string) (ts []host.Target) {
	t.Helper()
	for _, n := range names {
		x, err := host.EmulatedTarget(n)
		require.NoError(t, err)
		ts = append(ts, x)
	}
	return ts
}

func fuzzed(t *testing.T, seed uint64, n int, names ...string) (found []Finding, c Counts) {
	t.Helper()
	f := &Fuzzer{Targets: targets(t, names...), Seed: seed, N: n, Dir: t.TempDir(), Found: func(x Finding) { found = append(found, x) }}
	c, err := f.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, n, c.Sequences)
	assert.Equal(t, len(found), c.Findings)
	return found, c
}

// A release does what it does, whatever it is asked.
func TestSameRelease(t *testing.T) {
	_, c := fuzzed(t, 1, 800, "emulated@6.12", "emulated@6.12.999")
	assert.Zero(t, c.Differ)
}

// Releases that differ are found out, in cases that are short and that one of them
// fails and the other passes.
func TestFindings(t *testing.T) {
	const a, b = "emulated@5.10", "emulated@7.3"
	found, c := fuzzed(t, 1, 80, a, b)
	require.NotEmpty(t, found)
	assert.Zero(t, c.Unsteady)
	var list []*nlcase.Case
	for _, x := range found {
		text, err := os.ReadFile(x.File)
		require.NoError(t, err)
		c, err := nlcase.Parse(x.File, text)
		require.NoError(t, err)
		assert.Contains(t, c.Doc, "-seed 1, as sequence")
		assert.LessOrEqual(t, len(c.Steps), 12, "%s", text)
		list = append(list, c)
	}
	columns := (&host.Runner{}).Run(t.Context(), targets(t, a, b), list)
	for i, c := range list {
		assert.Equal(t, host.Pass, columns[1].Outcomes[i].Verdict, "%s", c.Text)
		assert.Equal(t, host.Fail, columns[0].Outcomes[i].Verdict, "%s", c.Text)
	}
}
