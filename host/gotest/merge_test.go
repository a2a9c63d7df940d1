package gotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var modes = map[string][]string{
	"quiet": nil, "verbose": {"-test.v"}, "json": {"-test.v=test2json"},
}

// TestAsNative holds a merge against what package testing itself prints for a
// test that has a subtest for each kernel.
func TestAsNative(t *testing.T) {
	for mode, flags := range modes {
		t.Run(mode, func(t *testing.T) {
			args := append(flags, "-test.skip=Parallel|Death|Unended|Fuzz|Example")
			if mode == "quiet" {
				args[len(args)-1] += "|Prints" // without -test.v that is text of no test
			}
			native, _ := command("6.1,6.12", shapes, args...)
			want, _, _ := strings.Cut(timeless(string(native)), "coverage:")
			got, _, _ := strings.Cut(timeless(merged(t, args...)), "coverage:")
			assert.Equal(t, lines(want), lines(got))
		})
	}
}

// event is one of cmd/test2json.
type event struct {
	Action, Test, Output, Key, Value string
}

func test2json(t *testing.T, out string) (events []event) {
	t.Helper()
	cmd := goTool("tool", "test2json")
	cmd.Stdin = strings.NewReader(out)
	js, err := cmd.Output()
	require.NoError(t, err)
	return decode(t, js)
}

func decode(t *testing.T, js []byte) (events []event) {
	for d := json.NewDecoder(bytes.NewReader(js)); ; {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return events
		} else {
			require.NoError(t, err, string(js))
		}
		e.Output = timeless(e.Output)
		events = append(events, e)
	}
}

// byTest are the events of each test, in order.
func byTest(events []event) map[string][]event {
	tests := map[string][]event{}
	for _, e := range events {
		if !strings.HasPrefix(e.Output, "coverage: ") {
			tests[e.Test] = append(tests[e.Test], e)
		}
	}
	return tests
}

// TestParallel is TestAsNative for tests whose lines are printed in any order.
func TestParallel(t *testing.T) {
	for _, mode := range []string{"verbose", "json"} {
		t.Run(mode, func(t *testing.T) {
			args := append(modes[mode], "-test.run=Parallel", "-test.parallel=8")
			native, _ := command("6.1,6.12", shapes, args...)
			want, got := byTest(test2json(t, string(native))), byTest(test2json(t, merged(t, args...)))
			assert.Equal(t, want, got)
			assert.Len(t, got, 1+2+2*2+2*2*2)
		})
	}
}

func find(events []event, action, test string) (n int) {
	for _, e := range events {
		if e.Action == action && e.Test == test {
			n++
		}
	}
	return n
}

func output(events []event, test string) string {
	var b strings.Builder
	for _, e := range events {
		if e.Test == test {
			b.WriteString(e.Output)
		}
	}
	return b.String()
}

// TestDeath is for tests that end with their process.
func TestDeath(t *testing.T) {
	for _, x := range []struct{ test, words, in string }{
		{"TestDeathPanic", "panic: boom", "TestDeathPanic/kernel=6.12"},
		{"TestDeathSubPanic", "panic: boom", "TestDeathSubPanic/kernel=6.12"},
		{"TestDeathExit", "exiting\n", "TestDeathExit/kernel=6.12/sub"},
		{"TestDeathExit", "did not finish: the run ended with exit status 7", "TestDeathExit/kernel=6.12"},
		{"TestDeathTimeout", "panic: test timed out", "TestDeathTimeout/kernel=6.12"},
	} {
		for _, mode := range []string{"verbose", "json"} {
			t.Run(x.test+"/"+mode, func(t *testing.T) {
				args := append(modes[mode], "-test.run=TestPass|"+x.test+"$|FuzzSeeds")
				if x.test == "TestDeathTimeout" {
					args = append(args, "-test.timeout=3s") // in which the other kernel must be done
				}
				out := merged(t, args...)
				events := test2json(t, out)
				for _, test := range []string{x.test, x.test + "/kernel=6.12"} {
					assert.Equal(t, 1, find(events, "fail", test), "%s in %s", test, out)
				}
				for _, test := range []string{x.test + "/kernel=6.1", "TestPass", "TestPass/kernel=6.12", "FuzzSeeds", "FuzzSeeds/kernel=6.1/seed#1"} {
					assert.Equal(t, 1, find(events, "pass", test), "%s in %s", test, out)
				}
				assert.Zero(t, find(events, "run", "FuzzSeeds/kernel=6.12"), "it did not come to that")
				if mode == "json" || x.test != "TestDeathSubPanic" { // without markers the last result above it is the subtest's
					assert.Contains(t, output(events, x.in), x.words, out)
				}
				assert.Contains(t, output(events, ""), "[kernel 6.12] exit status ")
				assert.Equal(t, 1, find(events, "fail", ""))
			})
		}
	}
}

// TestUnended is for output that does not end before a test's result:
// test2json knows those lines only by their markers.
func TestUnended(t *testing.T) {
	for mode, flags := range modes {
		t.Run(mode, func(t *testing.T) {
			out := merged(t, append(flags, "-test.run=Unended")...)
			assert.Equal(t, 1+min(1, len(flags)), strings.Count(out, "not a whole line"), out)
			events := test2json(t, out)
			assert.Equal(t, min(1, len(flags)), find(events, "pass", ""), out) // for package testing it is the same
			for _, test := range []string{"TestUnended", "TestUnended/kernel=6.1", "TestUnended/kernel=6.12"} {
				assert.Equal(t, min(1, len(flags)), find(events, "pass", test), "%s in %s", test, out)
			}
		})
	}
}

func TestExamplesAndFuzzTests(t *testing.T) {
	for mode, flags := range modes {
		t.Run(mode, func(t *testing.T) {
			events := test2json(t, merged(t, append(flags, "-test.run=Fuzz|Example")...))
			for _, test := range []string{"ExampleSign", "ExampleSign/kernel=6.12", "FuzzSeeds", "FuzzSeeds/kernel=6.12", "FuzzSeeds/kernel=6.12/seed#1"} {
				assert.Equal(t, 1, find(events, "fail", test), test)
			}
			assert.Contains(t, output(events, "ExampleSign/kernel=6.12"), "got:\n1\nwant:\n-1\n")
			assert.Contains(t, output(events, "FuzzSeeds/kernel=6.12/seed#1"), "no twos")
			if flags != nil {
				for _, test := range []string{"ExampleSign/kernel=6.1", "FuzzSeeds/kernel=6.1", "FuzzSeeds/kernel=6.12/seed#0"} {
					assert.Equal(t, 1, find(events, "pass", test), test)
				}
			}
		})
	}
}

// TestBenchmarks is about the shape in which benchstat reads them.
func TestBenchmarks(t *testing.T) {
	for mode, flags := range modes {
		t.Run(mode, func(t *testing.T) {
			args := append(flags, "-test.run=^$", "-test.bench=.", "-test.benchtime=1x", "-test.cpu=1,2", "-test.count=2")
			native, _ := command("6.1,6.12", shapes, args...)
			assert.ElementsMatch(t, results(string(native)), results(merged(t, args...)))
			out := merged(t, args...)
			assert.Equal(t, 1, strings.Count(out, "goarch: "), out)
			assert.Equal(t, 1, strings.Count(out, "--- FAIL: BenchmarkFails\n"), out)
		})
	}
}

func results(out string) (found []string) {
	for _, l := range strings.Split(timeless(out), "\n") {
		if strings.Contains(l, "ns/op") {
			found = append(found, l)
		}
	}
	return found
}

// TestOutside is for what is printed around all tests.
func TestOutside(t *testing.T) {
	t.Setenv("AROUND", "1")
	for mode, flags := range modes {
		t.Run(mode, func(t *testing.T) {
			out := merged(t, append(flags, "-test.run=TestPass")...)
			assert.True(t, strings.HasPrefix(out, "[kernel 6.1]\nbefore, on 6.1\n[kernel 6.12]\nbefore, on 6.12\n"), out)
			_, tail, _ := strings.Cut(out, "PASS\n")
			assert.Equal(t, "coverage: 60.0% of statements (kernel=6.1)\ncoverage: 40.0% of statements (kernel=6.12)\n"+
				"[kernel 6.1]\nafter, on 6.1\n[kernel 6.12]\nafter, on 6.12\n", tail[max(0, strings.Index(tail, "coverage")):])
		})
	}
}

func TestAlikeOnAll(t *testing.T) {
	for _, args := range [][]string{{"-test.list=."}, {"-test.run=^$"}, {"-test.run=TestSkips$"}, {"-test.nosuchflag"}} {
		one, status := command("6.1", shapes, args...)
		want := string(one)
		if status != 0 {
			want += "[kernel 6.1] exit status 2\n[kernel 6.12] exit status 2\nFAIL\n"
		}
		assert.Equal(t, want, merged(t, args...))
	}
}

// goTest has the go command run shapes on two kernels.
func goTest(t *testing.T, args ...string) ([]event, error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := goTool(append([]string{"test", "-exec", self, "-count=1", "-json", "-cover", "."}, args...)...)
	cmd.Env = append(cmd.Env, "GOTEST_EXEC=1")
	out, err := cmd.Output()
	return decode(t, out), err
}

func TestExec(t *testing.T) {
	events, err := goTest(t, "-skip=Death")
	require.ErrorContains(t, err, "exit status 1")
	for _, test := range []string{"TestSubs", "TestSubs/kernel=6.12", "TestSubs/kernel=6.12/a/deep", "ExampleSign/kernel=6.12", ""} {
		assert.Equal(t, 1, find(events, "fail", test), test)
	}
	for _, test := range []string{"TestSubs/kernel=6.1", "TestSubs/kernel=6.1/a/deep", "TestUnended/kernel=6.12", "FuzzSeeds/kernel=6.1/seed#1"} {
		assert.Equal(t, 1, find(events, "pass", test), test)
	}
	ran, ended := 0, 0
	for _, e := range events {
		switch {
		case e.Action == "run":
			ran++
		case e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
			ended++
		}
	}
	assert.Equal(t, ran, ended)
	assert.Greater(t, ran, 50)

	events, err = goTest(t, "-run=TestPass")
	require.NoError(t, err)
	assert.Contains(t, output(events, ""), "\tcoverage: 60.0% of statements (kernel=6.1)\n")
	assert.Equal(t, 1, find(events, "pass", ""))

	events, err = goTest(t, "-run=^$", "-bench=One", "-benchtime=1x")
	require.NoError(t, err)
	assert.Contains(t, output(events, "BenchmarkOne/kernel=6.12"), "ns/op")
}
