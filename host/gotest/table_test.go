package gotest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	tests := func(s string) (list []Test) {
		for f := strings.Fields(s); len(f) > 0; f = f[2:] {
			list = append(list, Test{Name: f[0], Outcome: Outcome(f[1])})
		}
		return list
	}
	table := Table{Kernels: []string{"5.10", "6.1.192", "6.12"}, Packages: []Package{
		{"example.com/a", []Result{
			{tests("TestA pass TestB fail TestB/x pass TestB/y fail TestC skip TestD fail"), true, 1500 * time.Millisecond},
			{tests("TestA pass TestB pass TestB/x pass TestB/y pass TestC pass TestC\x1b/s pass TestD fail"), true, time.Second},
			{tests("TestA pass TestB pass TestB/x pass TestB/y pass TestC unfinished"), true, 0},
		}},
		{"example.com/b", []Result{{Elapsed: time.Second}, {Elapsed: time.Second}, {Elapsed: time.Second}}},
	}}
	write := func() string {
		var b strings.Builder
		require.NoError(t, table.Write(&b))
		return b.String()
	}
	assert.Equal(t, lines(text(`
	example.com/a  5.10  6.1.192  6.12
	TestB/y        fail  pass     pass
	TestC          skip  pass     unfinished
	TestC?/s       -     pass     -
	TestD          fail  fail     -

	package        5.10        6.1.192     6.12
	example.com/a  FAIL 1.50s  FAIL 1.00s  FAIL 0.00s
	example.com/b  ok 1.00s    ok 1.00s    ok 1.00s
	`)), lines(write()))

	table.Width = 30
	for _, line := range strings.Split(write(), "\n") {
		assert.LessOrEqual(t, len(line), 30)
	}
	assert.Contains(t, write(), "example.com/a  6.12\nTestB/y        pass\n")

	table.Width, table.Color = 0, true
	assert.Contains(t, write(), "TestB/y        "+red+"fail"+reset+"  "+green+"pass   "+reset)
}
