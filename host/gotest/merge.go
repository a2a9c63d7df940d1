// Package gotest puts together what a Go test binary wrote on several
// kernels, so that go test, test2json and all that reads them see one run in
// which each test has a subtest per kernel:
//
//	=== RUN   TestX
//	=== RUN   TestX/kernel=6.1.192
//	=== RUN   TestX/kernel=6.1.192/sub
//	...
//	--- FAIL: TestX (0.03s)
//	    --- PASS: TestX/kernel=6.1.192 (0.01s)
//	        --- PASS: TestX/kernel=6.1.192/sub (0.00s)
//	    --- FAIL: TestX/kernel=6.12.1 (0.02s)
//
// Benchmarks become BenchmarkX/kernel=6.1.192-8, which benchstat compares
// with -col /kernel.
package gotest

import (
	"bufio"
	"cmp"
	"container/list"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Run is what a test binary printed on one kernel.
type Run struct {
	Kernel string        // "6.1.192"
	Output io.ReadSeeker // all that it wrote, standard error in between; read from the beginning, and twice
	Status int           // exit status; 0 is success
}

// Merge writes what go test reads as one run. A test failed if it did on one
// kernel, or did not come to its end there; it was skipped if it was on all.
// Text of no test is written once if all kernels have it, else for each one
// below "[kernel 6.1.192]". Coverage that differs is a line for each kernel,
// the highest first: go test shows the first. failed is what it comes to. An
// error is one of reading or writing.
func Merge(w io.Writer, runs []Run) (failed bool, err error) {
	m := &merger{w: newLineWriter(w)}
	for i, r := range runs {
		in, err := newCursor(r.Output)
		if err != nil {
			return true, fmt.Errorf("output of kernel %s: %w", r.Kernel, err)
		}
		x, err := scan(in, nil)
		if err != nil {
			return true, fmt.Errorf("output of kernel %s: %w", r.Kernel, err)
		}
		m.json = m.json || x.json
		m.verbose = m.verbose || x.verbose
		m.runs = append(m.runs, &run{index: x, in: in, kernel: r.Kernel, status: r.Status, label: label(runs[:i], r.Kernel)})
	}
	m.write()
	return m.failed, cmp.Or(m.err, m.w.flush())
}

// label is the name of a kernel's subtest, changed as package testing does.
func label(before []Run, kernel string) string {
	name := "kernel=" + strings.Map(func(c rune) rune {
		if c == '/' || unicode.IsSpace(c) || !unicode.IsPrint(c) {
			return '_'
		}
		return c
	}, kernel)
	n := 0
	for _, r := range before {
		if r.Kernel == kernel {
			n++
		}
	}
	if n > 0 {
		name += fmt.Sprintf("#%02d", n)
	}
	return name
}

type run struct {
	*index
	in     *cursor
	kernel string
	status int
	label  string
}

// unfinished is whether the run was cut short in a test. Of a benchmark that
// has others below it there is no result.
func (r *run) unfinished(g *group) bool {
	if g.bench() && (r.status == 0 || g != r.groups[len(r.groups)-1]) {
		return false
	}
	return g.open && r.final.n == 0
}

type merger struct {
	w             *lineWriter
	runs          []*run
	json, verbose bool
	failed        bool
	err           error // the first of reading
}

func (m *merger) keep(r *run, err error) {
	if err == io.EOF { // it was longer when it was read first
		err = io.ErrUnexpectedEOF
	}
	if m.err == nil && err != nil {
		m.err = fmt.Errorf("output of kernel %s: %w", r.kernel, err)
	}
}

// weave puts lists into one, in the order of the first, with what only the
// others have after what it comes after there.
func weave[K comparable](lists [][]K) (woven []K) {
	all, at := list.New(), map[K]*list.Element{}
	for _, l := range lists {
		var before *list.Element
		for _, k := range l {
			e := at[k]
			switch {
			case e != nil:
			case before == nil:
				e = all.PushFront(k)
			default:
				e = all.InsertAfter(k, before)
			}
			at[k], before = e, e
		}
	}
	for e := all.Front(); e != nil; e = e.Next() {
		woven = append(woven, e.Value.(K))
	}
	return woven
}

func (m *merger) write() {
	m.outside(key{})
	labelled, order := false, make([][]key, len(m.runs))
	for i, r := range m.runs {
		for _, g := range r.groups {
			order[i] = append(order[i], g.key)
		}
	}
	for _, k := range weave(order) {
		if k.bench() {
			if !labelled {
				m.labels()
			}
			labelled = true
			m.benchmark(k)
		} else {
			m.test(k)
		}
		m.outside(k)
	}
	if !labelled {
		m.labels()
	}
	m.end()
}

// frame writes a line of package testing.
func (m *merger) frame(format string, args ...any) {
	mark := ""
	if m.json {
		mark = string(rune(marker))
	} else {
		m.w.fresh()
	}
	fmt.Fprintf(m.w, mark+format, args...)
}

// leave says that what comes is of no test. Under test2json that was said
// at the test's end.
func (m *merger) leave() {
	if m.verbose && !m.json {
		m.frame("=== NAME  \n")
	}
}

// test writes a test, its subtests for the kernels, and the sum of them.
func (m *merger) test(k key) {
	if m.verbose {
		m.frame("=== RUN   %s\n", k.name)
	}
	sum := group{}
	for _, r := range m.runs {
		g := r.byKey[k]
		if g == nil {
			continue
		}
		sum.elapsed += g.elapsed
		switch {
		case g.outcome == "FAIL" || r.unfinished(g):
			sum.outcome = "FAIL"
		case g.outcome == "PASS" && sum.outcome != "FAIL" || sum.outcome == "":
			sum.outcome = g.outcome
		}
		m.pieces(r, g, false)
		if m.json {
			m.unfinished(r, g)
			m.frame("=== NAME  %s\n", k.name)
		}
	}
	if sum.outcome != "" {
		m.frame("--- %s: %s (%.2fs)\n", sum.outcome, k.name, sum.elapsed.Seconds())
	}
	if m.json {
		m.frame("=== NAME  \n")
		return
	}
	for _, r := range m.runs {
		if g := r.byKey[k]; g != nil {
			m.pieces(r, g, true)
			m.unfinished(r, g)
		}
	}
}

// unfinished fails a kernel's subtest that has no result.
func (m *merger) unfinished(r *run, g *group) {
	if !r.unfinished(g) {
		return
	}
	m.failed = true
	deep := indent
	if m.json || g.bench() {
		deep = ""
	}
	took := " (0.00s)"
	if g.bench() {
		took = ""
	}
	m.w.fresh()
	m.frame("%s--- FAIL: %s/%s%s\n", deep, g.name, r.label, took)
	fmt.Fprintf(m.w, "%s    did not finish: the run ended with exit status %d\n", deep, r.status)
}

// benchmark writes the lines of a benchmark on all kernels. They are not
// nested.
func (m *merger) benchmark(k key) {
	if m.json {
		m.frame("=== RUN   %s\n", k.name)
	}
	if m.verbose {
		m.w.fresh()
		fmt.Fprintf(m.w, "%s\n", k.name)
	}
	failed := false
	for _, r := range m.runs {
		g := r.byKey[k]
		if g == nil {
			continue
		}
		m.pieces(r, g, false)
		m.unfinished(r, g)
		failed = failed || g.outcome == "FAIL" || r.unfinished(g)
	}
	if failed {
		m.frame("--- FAIL: %s\n", k.name)
	}
	if m.json {
		m.frame("=== NAME  \n")
	}
}

// pieces writes what a run printed about a test: what came before its result
// line, or from that on, which is nested a level deeper. Under test2json all
// is written as it came.
func (m *merger) pieces(r *run, g *group, block bool) {
	for _, p := range g.pieces {
		deep := p.block && !m.json
		switch {
		case deep != block:
		case !p.named:
			m.copy(r, p, deep)
		default:
			m.name(r, g, p, deep)
		}
	}
}

// line reads a whole one.
func (m *merger) line(r *run, p piece) []byte {
	b := make([]byte, p.n)
	err := r.in.seek(p.off)
	if err == nil {
		_, err = io.ReadFull(r.in, b)
	}
	m.keep(r, err)
	return b
}

// name writes a line with the kernel's name in that of the test.
func (m *merger) name(r *run, g *group, p piece, deep bool) {
	line := m.line(r, p)
	at := len(g.name)
	if f, ok := parse(line); ok {
		at += f.at
	}
	if line[0] != marker {
		m.w.fresh()
	}
	if deep {
		io.WriteString(m.w, indent)
	}
	fmt.Fprintf(m.w, "%s/%s%s", line[:at], r.label, line[at:])
}

// copy writes text. If deep, what is indented gets a level more; other lines,
// such as those of a panic, are of no level.
func (m *merger) copy(r *run, p piece, deep bool) {
	err := r.in.seek(p.off)
	left := &io.LimitedReader{R: r.in, N: p.n}
	if !deep && err == nil {
		_, err = io.Copy(m.w, left)
	} else if in := bufio.NewReaderSize(left, maxFrame); err == nil {
		for start := true; err == nil || err == bufio.ErrBufferFull; start = err == nil {
			if head, _ := in.Peek(len(indent)); start && string(head) == indent {
				io.WriteString(m.w, indent)
			}
			var b []byte
			b, err = in.ReadSlice('\n')
			m.w.Write(b)
		}
	}
	switch {
	case err == nil && left.N > 0:
		err = io.EOF
	case err == io.EOF && left.N == 0:
		err = nil
	}
	m.keep(r, err)
}
