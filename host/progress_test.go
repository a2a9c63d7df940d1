package host

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func TestProgressOfTheSame(t *testing.T) {
	var w strings.Builder
	p := NewProgress(&w, false, report.Style{}, []Target{{Name: "6.1"}, {Name: "6.12"}})
	played := func(target, name string, v Verdict, reason string) {
		p.Event(Event{Target: target, Kind: Played, Out: &Outcome{Case: &nlcase.Case{Name: name}, Verdict: v, Reason: reason}})
	}
	for _, name := range []string{"a", "b", "c"} {
		played("6.1", name, BootFail, "no agent\nand more")
		played("6.12", name, Fail, "") // what it did is in the report, and is not the same
	}
	played("6.1", "d", Pass, "")
	played("6.1", "e", Panic, "dead")
	p.Event(Event{Target: "6.1", Kind: Ended, Of: 5})
	require.Equal(t, strings.Join([]string{
		"6.1: a: boot-fail no agent",
		"6.12: a: fail",
		"6.12: b: fail",
		"6.12: c: fail",
		"6.1: the same of 2 more",
		"6.1: e: panic dead",
		"6.1: done, 5 cases", "",
	}, "\n"), w.String())
}
