package gotest

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	marker    = 0x16     // begins the lines of package testing under -test.v=test2json
	maxFrame  = 4 << 10  // a longer line is output, as it is to test2json
	maxPiece  = 64 << 10 // of a line that does not end
	indent    = "    "
	benchmark = "Benchmark"
)

// piece is where some bytes of a run's output are.
type piece struct {
	off, n int64
	named  bool // one line, in which a test of this group is named
	block  bool // belongs below the test's result, as it comes without test2json
}

func add(to []piece, p piece) []piece {
	if n := len(to) - 1; n >= 0 && !p.named && !to[n].named && p.block == to[n].block && to[n].off+to[n].n == p.off {
		to[n].n += p.n
		return to
	}
	return append(to, p)
}

// key is a top-level test: with -test.count, a name comes more than once.
type key struct {
	name string
	nth  int
}

func (k key) bench() bool { return strings.HasPrefix(k.name, benchmark) }

// group is what one run printed about a top-level test and its subtests.
type group struct {
	key
	pieces  []piece
	open    bool   // it began, by a RUN line or a benchmark's name, and has no result
	outcome string // of the result line: PASS, FAIL, SKIP
	elapsed time.Duration
}

// index is what a run's output is made of. It holds no output, only where it
// is.
type index struct {
	groups   []*group
	byKey    map[key]*group
	outside  map[key][]piece // text of no test, by the group before it
	labels   []piece         // goos, goarch, pkg, cpu: once, before the first benchmark
	final    piece           // PASS or FAIL; n is 0 if the run was cut short
	coverage piece
	tail     []piece // after final

	json, verbose, failed bool // -test.v=test2json, -test.v; the final line is FAIL

	result func(verb, name string, elapsed time.Duration) // of each test, for Tests

	latest     map[string]*group
	cur        *group // which text belongs to, nil for none
	last       key    // the group that cur was last
	inBlock    bool   // cur's result was seen, without test2json
	needMarker bool
	running    int // tests that have no result yet
}

// scan reads a run's output and tells apart what test2json would.
func scan(r io.Reader, result func(verb, name string, elapsed time.Duration)) (*index, error) {
	x := &index{byKey: map[key]*group{}, outside: map[key][]piece{}, latest: map[string]*group{}, result: result}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxFrame), 2*maxPiece)
	lines.Split(splitLine)
	off, start := int64(0), true
	for lines.Scan() {
		b := lines.Bytes()
		x.line(off, b, start || b[0] == marker)
		start = b[len(b)-1] == '\n'
		off += int64(len(b))
	}
	return x, lines.Err()
}

// splitLine splits as test2json does: at a newline and before a marker. Of a
// line that is too long it keeps enough for a result at its end to be seen
// whole.
func splitLine(data []byte, atEOF bool) (int, []byte, error) {
	n := bytes.IndexByte(data, '\n') + 1
	if len(data) > 1 {
		end := len(data)
		if n > 0 {
			end = n
		}
		if i := bytes.IndexByte(data[1:end], marker); i >= 0 {
			n = i + 1
		}
	}
	switch {
	case n > 0:
	case atEOF && len(data) > 0:
		n = len(data)
	case len(data) >= maxPiece:
		n = len(data) - maxFrame
	default:
		return 0, nil, nil
	}
	return n, data[:n], nil
}

// frame is a line that package testing prints about a test.
type frame struct {
	verb    string // RUN, PAUSE, CONT, NAME, ATTR, ARTIFACTS; PASS, FAIL, SKIP, BENCH
	report  bool
	indent  int
	name    string
	at      int // where name begins in the line
	elapsed time.Duration
}

var (
	updateLine = regexp.MustCompile(`^\x16?=== (RUN|PAUSE|CONT|NAME|ATTR|ARTIFACTS)(?: +(\S*).*)?\r?\n$`)
	reportLine = regexp.MustCompile(`^\x16?((?:    )*)--- (PASS|FAIL|SKIP|BENCH): (\S+)(?: \((\d+\.\d\ds)\))?\r?\n$`)
)

// parse wants a whole line: a kernel may die in the middle of one.
func parse(line []byte) (f frame, ok bool) {
	start := bytes.TrimLeft(line[:min(len(line), maxFrame)], "\x16 ")
	switch {
	case len(line) > maxFrame:
		return f, false
	case bytes.HasPrefix(start, []byte("=== ")):
		m := updateLine.FindSubmatchIndex(line)
		if m == nil {
			return f, false
		}
		f.verb = string(line[m[2]:m[3]])
		if m[4] >= 0 {
			f.at, f.name = m[4], string(line[m[4]:m[5]])
		}
		if f.name == "" {
			return f, f.verb == "NAME"
		}
	case bytes.HasPrefix(start, []byte("--- ")):
		m := reportLine.FindSubmatchIndex(line)
		if m == nil {
			return f, false
		}
		f.report, f.indent, f.verb = true, (m[3]-m[2])/len(indent), string(line[m[4]:m[5]])
		f.at, f.name = m[6], string(line[m[6]:m[7]])
		if m[8] >= 0 {
			f.elapsed, _ = time.ParseDuration(string(line[m[8]:m[9]]))
		} else if !strings.HasPrefix(f.name, benchmark) {
			return f, false
		}
	default:
		return f, false
	}
	return f, line[0] == marker || validTest(f.name)
}

// topLevel is the name of the function that the test of a name belongs to.
func topLevel(name string) string {
	name, _, _ = strings.Cut(name, "/")
	if strings.HasPrefix(name, benchmark) { // BenchmarkX-8
		name, _, _ = strings.Cut(name, "-")
	}
	return name
}

// validTest tells a test's name from what a test may have printed.
func validTest(name string) bool {
	for _, prefix := range []string{"Test", benchmark, "Fuzz", "Example"} {
		if rest, ok := strings.CutPrefix(topLevel(name), prefix); ok {
			first, _ := utf8.DecodeRuneInString(rest)
			return !unicode.IsLower(first)
		}
	}
	return false
}

// line sorts a line, or a part of one, that is at off. start is whether it
// begins a line.
func (x *index) line(off int64, b []byte, start bool) {
	marked := b[0] == marker
	p := piece{off: off, n: int64(len(b))}
	if start && (marked || !x.needMarker) {
		if f, ok := parse(b); ok && x.framed(p, f, marked) {
			return
		}
		if word := string(bytes.TrimRight(b[bytes.IndexByte(b, marker)+1:], "\r\n")); word == "PASS" || word == "FAIL" {
			x.resume()
			x.final, x.failed, x.needMarker = p, word == "FAIL", marked
			return
		}
	}
	if marked && (bytes.HasPrefix(b[1:], []byte("--- ")) || bytes.HasPrefix(b[1:], []byte("=== "))) {
		p.off, p.n = p.off+1, p.n-1 // the run was cut short in this line: it must not count
	}
	switch {
	case start && x.final.n > 0 && x.coverage.n == 0 && bytes.HasPrefix(b, []byte("coverage: ")):
		x.coverage = p
	case start && x.label(p, b), start && x.measured(p, b):
	case !x.needMarker && x.glued(p, b):
	default:
		x.text(p)
	}
}

// text belongs to the test that is current.
func (x *index) text(p piece) {
	switch {
	case x.final.n > 0:
		x.tail = add(x.tail, p)
	case x.cur != nil:
		p.block = x.inBlock
		x.cur.pieces = add(x.cur.pieces, p)
	default:
		x.outside[x.last] = add(x.outside[x.last], p)
	}
}

// resume is for what comes after PASS or FAIL, and shows that some test had
// printed that.
func (x *index) resume() {
	if x.final.n == 0 {
		return
	}
	back := append(x.tail, x.final)
	if x.coverage.n > 0 {
		back = append(back, x.coverage)
	}
	slices.SortFunc(back, func(a, b piece) int { return cmp.Compare(a.off, b.off) })
	x.tail, x.final, x.coverage, x.failed = nil, piece{}, piece{}, false
	for _, p := range back {
		x.text(p)
	}
}

func (x *index) enter(g *group) {
	x.cur, x.inBlock = g, false
	if g != nil {
		x.last = g.key
	}
}

func (x *index) group(name string, fresh bool) *group {
	g := x.latest[name]
	if g != nil && !fresh {
		return g
	}
	k := key{name: name}
	if g != nil {
		k.nth = g.nth + 1
	}
	g = &group{key: k}
	x.latest[name], x.byKey[k] = g, g
	x.groups = append(x.groups, g)
	return g
}

// framed is false for a line that only looks like one of package testing.
func (x *index) framed(p piece, f frame, marked bool) bool {
	top := topLevel(f.name)
	bench := strings.HasPrefix(top, benchmark)
	if f.indent > 0 { // the result of a subtest, below that of its test
		if x.cur == nil || !x.inBlock || !strings.HasPrefix(f.name, x.cur.name+"/") {
			return false
		}
		p.named, p.block = true, true
		x.cur.pieces = add(x.cur.pieces, p)
		x.tell(f)
		return true
	}
	if f.report && !marked && !bench && f.name != top {
		return false
	}
	x.resume()
	x.needMarker = marked
	x.json = x.json || marked
	x.verbose = x.verbose || !f.report
	if f.name == "" { // out of any test
		if x.cur != nil && x.cur.bench() && marked {
			x.text(p)
		}
		x.enter(nil)
		return true
	}
	x.tell(f)
	p.named = true
	g := x.latest[top]
	if again := g != nil && !bench && f.report && g.outcome != ""; f.name == top && (f.verb == "RUN" || again) {
		g = nil // with -test.count
	}
	g = x.group(top, g == nil)
	x.enter(g)
	switch {
	case f.verb == "RUN" && (bench || f.name == top):
		g.open = true
		if !bench {
			x.running++
		}
	case f.report && bench:
		g.open = false
		if f.verb == "FAIL" {
			g.outcome = f.verb
		}
	case f.report && f.name == top:
		if g.open {
			x.running--
		}
		g.open, g.outcome, g.elapsed = false, f.verb, f.elapsed
		x.inBlock = !marked
		p.block = x.inBlock
	}
	g.pieces = add(g.pieces, p)
	return true
}

func (x *index) tell(f frame) {
	if x.result != nil {
		x.result(f.verb, f.name, f.elapsed)
	}
}

var labels = []string{"goos: ", "goarch: ", "pkg: ", "cpu: "}

// label takes the lines before the first benchmark.
func (x *index) label(p piece, b []byte) bool {
	if x.running > 0 || x.final.n > 0 {
		return false
	}
	for i, l := range labels {
		if !bytes.HasPrefix(b, []byte(l)) {
			continue
		}
		if n := len(x.labels); n == 0 && i == 0 || n > 0 && x.labels[n-1].off+x.labels[n-1].n == p.off {
			x.labels = add(x.labels, p)
			x.enter(nil)
			return true
		}
	}
	return false
}

// measured takes the lines of benchmarks: a name, or a name and results.
// Those are never marked.
func (x *index) measured(p piece, b []byte) bool {
	if x.labels == nil || x.running > 0 || !bytes.HasPrefix(b, []byte(benchmark)) {
		return false
	}
	end := bytes.IndexAny(b, " \t\r\n")
	if end < 0 || !validTest(string(b[:end])) {
		return false
	}
	f := frame{verb: "RUN", name: string(b[:end])}
	rest := bytes.TrimLeft(b[end:], " ")
	alone := strings.Trim(string(rest), "\r\n") == ""
	if !alone && rest[0] != '\t' || x.json && x.latest[topLevel(f.name)] == nil {
		return false
	}
	x.resume()
	g := x.group(topLevel(f.name), false)
	x.enter(g)
	p.named = true
	rest = bytes.TrimLeft(rest, "\t ")
	switch {
	case bytes.HasPrefix(rest, []byte("--- FAIL: "+f.name)): // without -test.v the name is there already
		f.verb, g.outcome, g.open = "FAIL", "FAIL", false
		n := int64(len(rest))
		g.pieces = append(g.pieces, piece{off: p.off, n: p.n - n, named: true})
		p.off, p.n = p.off+p.n-n, n
	case len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9':
		f.verb, g.open = "BENCH", false
	default:
		g.open = true
	}
	g.pieces = append(g.pieces, p)
	x.tell(f)
	return true
}

// glued takes a result that comes after output which did not end its line.
// For test2json such a test has no end.
func (x *index) glued(p piece, b []byte) bool {
	i := bytes.LastIndex(b, []byte("--- "))
	if i <= 0 {
		return false
	}
	f, ok := parse(b[i:])
	if !ok || f.name != topLevel(f.name) {
		return false
	}
	if g := x.latest[f.name]; x.verbose && (g == nil || !g.open) || !x.verbose && f.verb != "FAIL" {
		return false
	}
	x.text(piece{off: p.off, n: int64(i)})
	return x.framed(piece{off: p.off + int64(i), n: int64(len(b) - i)}, f, false)
}
