package gotest

import (
	"io"
	"regexp"
	"strings"
	"time"
)

// Outcome is how a test ended.
type Outcome string

const (
	Pass       Outcome = "pass"
	Fail       Outcome = "fail"
	Skip       Outcome = "skip"
	Unfinished Outcome = "unfinished" // the run was cut short in it
)

// Test is one test, subtest, benchmark, example or fuzz test of a run.
type Test struct {
	Name    string // "TestX/sub"; of a benchmark without the number of processors
	Outcome Outcome
	Elapsed time.Duration // 0 for a benchmark, and for what did not finish
}

var processors = regexp.MustCompile(`-\d+$`)

// Tests lists the tests of one run in the order in which they began. Without
// -test.v a test binary names only those that failed. A name that comes again
// (-test.count, -test.cpu) is listed once, with its worst outcome and the sum
// of its times. An error is one of reading.
func Tests(r io.Reader) ([]Test, error) {
	var all []Test
	at := map[string]int{}
	open, lost := map[string]bool{}, map[string]bool{}
	x, err := scan(r, func(verb, name string, elapsed time.Duration) {
		bench := strings.HasPrefix(name, benchmark)
		if bench {
			name = processors.ReplaceAllString(name, "")
		}
		i, ok := at[name]
		if !ok {
			i = len(all)
			at[name], all = i, append(all, Test{Name: name})
		}
		outcome, ended := map[string]Outcome{"PASS": Pass, "FAIL": Fail, "SKIP": Skip, "BENCH": Pass}[verb]
		switch {
		case verb == "RUN":
			lost[name] = lost[name] || open[name]
			open[name] = !bench
		case ended:
			open[name] = false
			all[i].Elapsed += elapsed
			all[i].Outcome = worst(all[i].Outcome, outcome)
		}
	})
	if err != nil {
		return nil, err
	}
	tests := all[:0]
	for i, t := range all {
		bench := strings.HasPrefix(t.Name, benchmark)
		switch cut := x.final.n == 0; {
		case cut && (open[t.Name] || lost[t.Name] || bench && t.Outcome == "" && i == len(all)-1):
			t.Outcome = worst(t.Outcome, Unfinished)
		case t.Outcome == "" && bench:
			t.Outcome = Pass // of those below it
		case t.Outcome == "":
			continue // a line that a test printed, and no test
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// worst is the outcome of two runs of a test; "" is of none.
func worst(a, b Outcome) Outcome {
	for _, o := range []Outcome{Unfinished, Fail, Pass, Skip} {
		if a == o || b == o {
			return o
		}
	}
	return ""
}
