package gotest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text is output as it is written below: ^V is the marker, and \r and such
// are what they are in Go.
func text(s string) string {
	return strings.NewReplacer("^V", "\x16", `\r`, "\r", "\n\t", "\n").Replace(strings.TrimPrefix(s, "\n\t"))
}

// Shapes that package testing does not print every day.
var odd = []struct {
	name, a, b string
	statusB    int
	want       string
}{
	{name: "nothing at all"},
	{name: "a kernel that died at once", a: `
	=== RUN   TestX
	--- PASS: TestX (0.10s)
	PASS
	`, statusB: 3, want: `
	=== RUN   TestX
	=== RUN   TestX/kernel=A
	--- PASS: TestX (0.10s)
	    --- PASS: TestX/kernel=A (0.10s)
	=== NAME  
	[kernel B] exit status 3
	FAIL
	`},
	{name: "cut in a line", a: "^V=== RUN   TestX\n^V--- PASS: TestX (0.10s)\n^V=== NAME  \n^VPASS\n", b: "^V=== RUN   TestX\n^V--- PASS: Tes", statusB: -1,
		want: "^V=== RUN   TestX\n^V=== RUN   TestX/kernel=A\n^V--- PASS: TestX/kernel=A (0.10s)\n^V=== NAME  TestX\n" +
			"^V=== RUN   TestX/kernel=B\n--- PASS: Tes\n^V--- FAIL: TestX/kernel=B (0.00s)\n    did not finish: the run ended with exit status -1\n" +
			"^V=== NAME  TestX\n^V--- FAIL: TestX (0.10s)\n^V=== NAME  \n[kernel B] exit status -1\n^VFAIL\n"},
	{name: "cut in a line, and then told of", a: "^V=== RUN   TestX\n^V--- PASS: TestX (0.10s)\n^V=== NAME  \n^VPASS\n", b: "^V=== RUN   TestX\n^V--- PASS: TestX (0.1\nkernel lost\n", statusB: 1,
		want: "^V=== RUN   TestX\n^V=== RUN   TestX/kernel=A\n^V--- PASS: TestX/kernel=A (0.10s)\n^V=== NAME  TestX\n" +
			"^V=== RUN   TestX/kernel=B\n--- PASS: TestX (0.1\nkernel lost\n^V--- FAIL: TestX/kernel=B (0.00s)\n    did not finish: the run ended with exit status 1\n" +
			"^V=== NAME  TestX\n^V--- FAIL: TestX (0.10s)\n^V=== NAME  \n[kernel B] exit status 1\n^VFAIL\n"},
	{name: "a test on one kernel only, and twice", a: `
	--- FAIL: TestX (0.10s)
	    x_test.go:3: bad
	        --- FAIL: TestY/sub (0.00s)
	--- FAIL: TestX (0.20s)
	FAIL
	`, b: `
	--- FAIL: TestW (0.00s)
	    --- FAIL: TestW/sub (0.00s)
	        w_test.go:3: bad
	--- FAIL: TestX (0.50s)
	FAIL
	`, statusB: 1, want: `
	--- FAIL: TestW (0.00s)
	    --- FAIL: TestW/kernel=B (0.00s)
	        --- FAIL: TestW/kernel=B/sub (0.00s)
	            w_test.go:3: bad
	--- FAIL: TestX (0.60s)
	    --- FAIL: TestX/kernel=A (0.10s)
	        x_test.go:3: bad
	            --- FAIL: TestY/sub (0.00s)
	    --- FAIL: TestX/kernel=B (0.50s)
	--- FAIL: TestX (0.20s)
	    --- FAIL: TestX/kernel=A (0.20s)
	FAIL
	`},
	{name: "line ends of a console", a: `
	=== RUN   TestX\r
	--- SKIP: TestX (0.00s)\r
	PASS\r
	`, b: `
	=== RUN   TestX
	--- SKIP: TestX (0.00s)
	PASS
	`, want: `
	=== RUN   TestX
	=== RUN   TestX/kernel=A\r
	=== RUN   TestX/kernel=B
	--- SKIP: TestX (0.00s)
	    --- SKIP: TestX/kernel=A (0.00s)\r
	    --- SKIP: TestX/kernel=B (0.00s)
	PASS
	`},
	{name: "a PASS that is none", a: `
	PASS
	coverage: none
	--- FAIL: TestX (0.00s)
	PASS
	`, b: `
	PASS
	`, want: `
	[kernel A]
	PASS
	coverage: none
	--- FAIL: TestX (0.00s)
	    --- FAIL: TestX/kernel=A (0.00s)
	PASS
	`},
	{name: "the first line of a test is not at a line's start", a: `
	setting up=== RUN   TestX
	=== PAUSE TestX
	=== CONT  TestX
	--- PASS: TestX (0.00s)
	PASS
	`, b: `
	setting up=== RUN   TestX
	=== PAUSE TestX
	=== CONT  TestX
	--- PASS: TestX (0.00s)
	PASS
	`, want: `
	setting up=== RUN   TestX
	=== RUN   TestX
	=== PAUSE TestX/kernel=A
	=== CONT  TestX/kernel=A
	=== PAUSE TestX/kernel=B
	=== CONT  TestX/kernel=B
	--- PASS: TestX (0.00s)
	    --- PASS: TestX/kernel=A (0.00s)
	    --- PASS: TestX/kernel=B (0.00s)
	PASS
	`},
	{name: "processors that differ", a: `
	goos: linux
	cpu: a
	BenchmarkX 	1	2 ns/op
	Unit ns/op assume=exact
	PASS
	`, b: `
	goos: linux
	cpu: b
	BenchmarkX/sub-2 	--- FAIL: BenchmarkX/sub-2
	    x_test.go:3: bad
	BenchmarkX`, statusB: 2, want: `
	[kernel A]
	goos: linux
	cpu: a
	[kernel B]
	goos: linux
	cpu: b
	BenchmarkX/kernel=A 	1	2 ns/op
	Unit ns/op assume=exact
	BenchmarkX/kernel=B/sub-2 	
	--- FAIL: BenchmarkX/kernel=B/sub-2
	    x_test.go:3: bad
	BenchmarkX
	--- FAIL: BenchmarkX
	[kernel B] exit status 2
	FAIL
	`},
}

func TestOdd(t *testing.T) {
	for _, x := range odd {
		t.Run(x.name, func(t *testing.T) {
			got := merge(t, Run{Kernel: "A", Output: strings.NewReader(text(x.a))}, Run{Kernel: "B", Output: strings.NewReader(text(x.b)), Status: x.statusB})
			assert.Equal(t, lines(text(x.want)), lines(got))
		})
	}
}

// TestOneRun is for one of several kernels: the others were not asked for.
func TestOneRun(t *testing.T) {
	out := "=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\n"
	assert.Equal(t, "=== RUN   TestX\n=== RUN   TestX/kernel=A\n--- PASS: TestX (0.00s)\n    --- PASS: TestX/kernel=A (0.00s)\nPASS\n",
		merge(t, Run{Kernel: "A", Output: strings.NewReader(out)}))
}

func TestNames(t *testing.T) {
	runs := []Run{{Kernel: "6.1 rc/3"}, {Kernel: "6.1"}, {Kernel: "6.1"}}
	for i := range runs {
		runs[i].Output = strings.NewReader("--- FAIL: TestX (0.00s)\n")
	}
	out := merge(t, runs...)
	for _, name := range []string{"kernel=6.1_rc_3", "kernel=6.1", "kernel=6.1#01"} {
		assert.Contains(t, out, "    --- FAIL: TestX/"+name+" (0.00s)\n")
	}
}

// TestLongLines is for output of no line ends, which is not held in memory.
func TestLongLines(t *testing.T) {
	for _, n := range []int{maxFrame - 1, maxPiece - maxFrame, maxPiece - 10, maxPiece, maxPiece + 1, 10 << 20} {
		long := strings.Repeat("x", n)
		run := func(k string) Run {
			return Run{Kernel: k, Output: strings.NewReader("=== RUN   TestX\n" + long + "--- PASS: TestX (0.01s)\n    " + long + "\nPASS\n")}
		}
		out := merge(t, run("A"), run("B"))
		require.Equal(t, 4*n, strings.Count(out, "x"), "characters of lines of %d", n)
		assert.Contains(t, out, "--- PASS: TestX (0.02s)\n    --- PASS: TestX/kernel=A (0.01s)\n        xxx")
		assert.True(t, strings.HasSuffix(out, "xxx\nPASS\n"))
	}
}

type failing struct{ io.ReadSeeker }

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestErrors(t *testing.T) {
	_, err := Merge(io.Discard, []Run{{Kernel: "A", Output: strings.NewReader("")}, {Kernel: "B", Output: failing{strings.NewReader("")}}})
	assert.EqualError(t, err, "output of kernel B: disk on fire")
	lost := &shrinking{strings.NewReader("=== RUN   TestX\n")}
	_, err = Merge(io.Discard, []Run{{Kernel: "A", Output: lost}, {Kernel: "B", Output: strings.NewReader("")}})
	assert.EqualError(t, err, "output of kernel A: unexpected EOF")
	_, err = Merge(failedWriter{}, []Run{{Kernel: "A", Output: strings.NewReader("x")}, {Kernel: "B", Output: strings.NewReader("")}})
	assert.Equal(t, io.ErrClosedPipe, err)
}

// shrinking is empty when it is read again.
type shrinking struct{ *strings.Reader }

func (s *shrinking) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF {
		s.Reader.Reset("")
	}
	return n, err
}

type failedWriter struct{}

func (failedWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTests(t *testing.T) {
	names := func(args ...string) (found []string) {
		out, _ := command("6.12", shapes, args...)
		tests, err := Tests(bytes.NewReader(out))
		require.NoError(t, err)
		for _, x := range tests {
			found = append(found, string(x.Outcome)+" "+x.Name)
		}
		return found
	}
	for _, mode := range []string{"verbose", "json"} {
		flags := modes[mode]
		assert.Equal(t, []string{
			"fail TestSubs", "fail TestSubs/a", "fail TestSubs/a/deep", "skip TestSubs/b_c", "skip TestSkips",
			"pass TestPrints", "pass TestUnended", "fail FuzzSeeds", "pass FuzzSeeds/seed#0", "fail FuzzSeeds/seed#1", "fail ExampleSign",
		}, names(append(flags, "-test.run=Subs|Skips$|Unended|Prints|Fuzz|Example", "-test.count=2")...), mode)
		assert.Equal(t, []string{"pass TestPass", "unfinished TestDeathExit", "unfinished TestDeathExit/sub"},
			names(append(flags, "-test.run=Pass|DeathExit")...), mode)
		assert.Equal(t, []string{"pass BenchmarkOne", "pass BenchmarkSubs", "pass BenchmarkSubs/a", "pass BenchmarkSubs/b", "fail BenchmarkFails"},
			names(append(flags, "-test.run=^$", "-test.bench=.", "-test.benchtime=1x", "-test.cpu=2")...), mode)
	}
	assert.Equal(t, []string{"fail TestSubs", "fail TestSubs/a", "fail TestSubs/a/deep"}, names("-test.run=Subs|Pass"))

	tests, err := Tests(strings.NewReader("--- FAIL: TestX (1.25s)\n--- FAIL: TestX (0.25s)\n"))
	require.NoError(t, err)
	assert.Equal(t, []Test{{"TestX", Fail, 1500 * time.Millisecond}}, tests)
}

func outcomes(t *testing.T, out string) map[string]Outcome {
	t.Helper()
	tests, err := Tests(strings.NewReader(out))
	require.NoError(t, err)
	found := map[string]Outcome{}
	for _, x := range tests {
		found[x.Name] = x.Outcome
	}
	return found
}

// within are the outcomes of a run as those of a kernel in a merge. Only a
// top-level test has a result there if the run had none.
func within(kernel string, run map[string]Outcome) map[string]Outcome {
	found := map[string]Outcome{}
	for name, o := range run {
		top := topLevel(name)
		sub := name[len(top):]
		switch {
		case o != Unfinished:
		case sub == "":
			o = Fail
		default:
			continue
		}
		found[top+"/kernel="+kernel+sub] = o
	}
	return found
}

// TestTestsOfMerge holds that a merge says of each kernel what its run said.
func TestTestsOfMerge(t *testing.T) {
	for mode, flags := range modes {
		for _, skip := range []string{"DeathPanic|DeathSub|Timeout", "Death"} {
			args := append(flags, "-test.skip="+skip, "-test.count=2", "-test.bench=.", "-test.benchtime=1x")
			var runs []Run
			want := map[string]Outcome{}
			for _, k := range twoKernels {
				out, status := command(k, shapes, args...)
				runs = append(runs, Run{Kernel: k, Output: bytes.NewReader(out), Status: status})
				maps.Copy(want, within(k, outcomes(t, string(out))))
			}
			got := outcomes(t, merge(t, runs...))
			maps.DeleteFunc(got, func(name string, _ Outcome) bool { return !strings.Contains(name, "/") })
			assert.Equal(t, want, got, mode)
			assert.Greater(t, len(got), 5)
		}
	}
}

var named = regexp.MustCompile(`/kernel=A`)

// FuzzMerge holds that neither text nor outcomes are lost, whatever they look
// like.
func FuzzMerge(f *testing.F) {
	for _, x := range odd {
		f.Add(text(x.a))
		f.Add(text(x.b))
	}
	for _, flags := range modes {
		out, _ := command("6.12", shapes, append(flags, "-test.skip=Timeout|Parallel", "-test.bench=.", "-test.benchtime=1x")...)
		f.Add(string(out))
	}
	f.Fuzz(func(t *testing.T, out string) {
		if strings.Contains(out, "kernel=") || strings.Contains(out, "only B") {
			return
		}
		got := merge(t, Run{Kernel: "A", Output: strings.NewReader(out)}, Run{Kernel: "B", Output: strings.NewReader("only B\n")})
		if !strings.ContainsRune(out, marker) && !strings.Contains(out, benchmark) {
			// With those, what a test printed may count, but not again.
			found := outcomes(t, got)
			for name, o := range within("A", outcomes(t, out)) {
				require.Equal(t, o, found[name], "%s in %q from %q", name, got, out)
			}
		}
		got = named.ReplaceAllString(got, "")
		want := map[string]int{}
		for rest := []byte(out); len(rest) > 0; {
			n, line, _ := splitLine(rest, true)
			rest = rest[n:]
			s := string(line)
			if _, ok := parse(line); ok || strings.Trim(s, "\x16\r\n") == "PASS" || strings.Trim(s, "\x16\r\n") == "FAIL" {
				continue
			}
			if i := strings.LastIndex(s, "--- "); i > 0 {
				s = s[:i]
			}
			if s = strings.TrimSpace(strings.TrimLeft(s, "\x16")); s != "" {
				want[s]++
			}
		}
		for s, n := range want {
			require.GreaterOrEqual(t, strings.Count(got, s), n, "%q in %q from %q", s, got, out)
		}
	})
}
