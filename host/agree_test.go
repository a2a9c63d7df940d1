package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/cases"
)

// Every line of the file is about a case that there is.
func TestDivergences(t *testing.T) {
	list, err := parseDivergences(divergencesText)
	require.NoError(t, err)
	all, err := cases.All()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, c := range all {
		names[c.Name] = true
	}
	for _, d := range list {
		assert.True(t, names[d.name], "no case is called %s", d.name)
	}
	_, err = parseDivergences("# x\n\nack/cap-ack 6.1\n")
	assert.EqualError(t, err, `divergences.txt:3: want a case, releases and a reason, found "ack/cap-ack 6.1"`)
}

func TestAgree(t *testing.T) {
	known, err := parseDivergences("known 5.10,6.1..6.12 its reason\nstale all one\nknown 7.3 another\nother 6.2 one\n")
	require.NoError(t, err)
	r := &report.Report{Version: report.Version, Kernels: []report.Kernel{{Name: "6.12.118"}, {Name: "emulated@6.12.118"}}}
	for _, x := range []struct{ name, real, ours string }{
		{"known", "a", "b"}, {"stale", "a", "a"}, {"other", "a", "b"}, {"skipped", "", "a"}, {"same", "a", "a"}, {"died", "a", ""},
	} {
		c := report.Case{Name: x.name, Cells: []report.Cell{{Verdict: report.Skip}, {Verdict: report.Panic, Reason: "boom"}}}
		for k, s := range []string{x.real, x.ours} {
			if s != "" {
				c.Cells[k] = report.Cell{Verdict: report.Pass}
				c.SetExchange(k, []string{s})
			}
		}
		r.Cases = append(r.Cases, c)
	}
	agree(r, "emulated@6.12.118", "6.12.118", "6.12.118", known)
	type cell struct {
		verdict, reason string
		explained       bool
	}
	var got []cell
	for _, c := range r.Cases {
		x := c.Cells[1]
		got = append(got, cell{x.Verdict, x.Reason, x.Explained})
	}
	assert.Equal(t, []cell{{report.Diverge, "its reason", true}, {report.Pass, "", false}, {report.Diverge, "no reason is known", false},
		{report.Pass, "", false}, {report.Pass, "", false}, {report.Panic, "boom", false}}, got)
	assert.Equal(t, []string{"stale: host/divergences.txt says that stale diverges, and it does not"}, r.Kernels[1].Notes)
	a := r.Agreements()
	require.Len(t, a, 1)
	assert.Equal(t, []int{5, 2, 400}, []int{a[0].Compared, a[0].Same(), a[0].Share()})
	assert.Equal(t, report.ExitNotHeld, r.ExitCode())
	r.Cases = r.Cases[:2]
	assert.Equal(t, report.ExitHeld, r.ExitCode(), "what is explained is no failure")
}
