package gotest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestArgs(t *testing.T) {
	for _, x := range []struct{ args, on61, on612 string }{
		{"", "", ""},
		{"-test.run=TestX/sub|TestY", "-test.run=TestX/sub|TestY", "-test.run=TestX/sub|TestY"},
		{"-test.run=^TestX$/^kernel=6\\.1\\.2$/^sub$", "-test.run=^TestX$/^sub$", "-test.run=^$"},
		{"-test.run=TestX/kernel=6.1", "-test.run=TestX", "-test.run=TestX"},
		{"--test.bench .|BenchmarkX/kernel=6.12.3/sub -test.v", "--test.bench . -test.v", "--test.bench .|BenchmarkX/sub -test.v"},
		{"-test.skip=Test[/|]/kernel=(6.1.2|5/4)|TestZ", "-test.skip=Test[/|]|TestZ", "-test.skip=TestZ"},
		{"-test.skip=TestX/kernel=6.1.2", "-test.skip=TestX", "-test.skip="},
		{"-test.run=TestX/kernel=(", "-test.run=TestX/kernel=(", "-test.run=TestX/kernel=("},
		{"-v=TestX/kernel=6.1.2 -- -test.run=TestX/kernel=6.1.2", "-v=TestX/kernel=6.1.2 -- -test.run=TestX/kernel=6.1.2", "-v=TestX/kernel=6.1.2 -- -test.run=TestX/kernel=6.1.2"},
	} {
		assert.Equal(t, strings.Fields(x.on61), append([]string{}, Args(strings.Fields(x.args), "6.1.2")...), x.args)
		assert.Equal(t, strings.Fields(x.on612), append([]string{}, Args(strings.Fields(x.args), "6.12.3")...), x.args)
	}
}

func TestAsks(t *testing.T) {
	for _, x := range []struct {
		args        string
		on61, on612 bool
	}{
		{"", true, true},
		{"-test.v -test.run=TestX", true, true},
		{"-test.run=^TestX$/^kernel=6\\.1\\.2$", true, false},
		{"-test.run TestX/kernel=6.12.3|TestY/kernel=6.1.2", true, true},
		{"-test.run=^$ -test.bench=BenchmarkX/kernel=6.12.3", false, true},
		{"-test.run=^$ -test.bench=.", true, true},
		{"-test.run=TestX/kernel=6.1.2 -test.skip=TestX/b", true, false},
		{"-test.run=^$", true, true},
		{"-test.skip=TestX/kernel=6.1.2", true, true},
		{"-test.v -- -test.run=TestX/kernel=6.1.2", true, true},
	} {
		assert.Equal(t, x.on61, Asks(strings.Fields(x.args), "6.1.2"), x.args)
		assert.Equal(t, x.on612, Asks(strings.Fields(x.args), "6.12.3"), x.args)
	}
}

// TestRunAgain runs one subtest of one kernel by its name in a merge.
func TestRunAgain(t *testing.T) {
	events, err := goTest(t, "-run=^TestSubs$/^kernel=6\\.12$/^a$")
	require.ErrorContains(t, err, "exit status 1")
	ran := byTest(events)
	assert.Contains(t, ran, "TestSubs/kernel=6.12/a/deep")
	assert.NotContains(t, ran, "TestSubs/kernel=6.12/b_c")
	assert.NotContains(t, ran, "TestSubs/kernel=6.1")
}
