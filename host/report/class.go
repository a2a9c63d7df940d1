package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Letter names class n, counted from 0: A ... Z, AA, AB ...
func Letter(n int) string {
	s := ""
	for n++; n > 0; n = (n - 1) / 26 {
		s = string(rune('A'+(n-1)%26)) + s
	}
	return s
}

// SetExchange gives cell k of the case the class of this exchange, a new one
// where no kernel has done the same so far.
func (c *Case) SetExchange(k int, exchange []string) {
	i := slices.IndexFunc(c.Classes, func(x Class) bool { return slices.Equal(x.Exchange, exchange) })
	if i < 0 {
		i = len(c.Classes)
		c.Classes = append(c.Classes, Class{Letter(i), append([]string{}, exchange...)})
	}
	c.Cells[k].Class = c.Classes[i].Letter
}

// Exchange is what happened on kernel k; ok is false when the case did not
// come to its end.
func (c *Case) Exchange(k int) (exchange []string, ok bool) {
	for i := range c.Classes {
		if c.Classes[i].Letter == c.Cells[k].Class {
			return c.Classes[i].Exchange, true
		}
	}
	return nil, false
}

// reletter names the classes anew, by their first appearance along the cells,
// and drops those without one.
func (c *Case) reletter() {
	old := slices.Clone(c.Classes)
	letters := map[string]string{}
	c.Classes = nil // and not reused: a copy of the report may share them
	for k := range c.Cells {
		was := c.Cells[k].Class
		if was == "" {
			continue
		}
		if letters[was] == "" {
			letters[was] = Letter(len(c.Classes))
			i := slices.IndexFunc(old, func(x Class) bool { return x.Letter == was })
			c.Classes = append(c.Classes, Class{letters[was], old[i].Exchange})
		}
		c.Cells[k].Class = letters[was]
	}
}

// Sort orders the kernels by release, the running one last, and names the
// classes anew.
func (r *Report) Sort() {
	order := make([]int, len(r.Kernels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareKernels(r.Kernels[a], r.Kernels[b]) })
	ks := make([]Kernel, len(order))
	for to, from := range order {
		ks[to] = r.Kernels[from]
	}
	r.Kernels = ks
	for i := range r.Cases {
		c := &r.Cases[i]
		cells := make([]Cell, len(order))
		for to, from := range order {
			cells[to] = c.Cells[from]
		}
		c.Cells = cells
		c.reletter()
	}
}

// compareKernels orders by release. What -k was given is it for Debian's
// kernels, whose uname -r does not count stable releases (6.1.0-56-amd64 is
// 6.1.192); uname -r is it for all others. An emulated kernel comes after the
// real one.
func compareKernels(a, b Kernel) int {
	rank := func(k Kernel) (int, release, string) {
		if k.Name == "local" {
			return 2, release{}, ""
		}
		from, of := []string{k.Name, k.Release}, ""
		if asked, ok := Emulated(k.Name); ok {
			from, of = []string{k.Release, asked}, "emulated"
		}
		for _, s := range from {
			if v, ok := parseRelease(s); ok {
				return 0, v, of
			}
		}
		return 1, release{}, of
	}
	ra, va, ea := rank(a)
	rb, vb, eb := rank(b)
	return cmp.Or(cmp.Compare(ra, rb), va.compare(vb), cmp.Compare(ea, eb), cmp.Compare(a.Name, b.Name))
}

// Emulated says whether a kernel's name is that of an emulated one, and gives
// the release in it, "" for the newest.
func Emulated(name string) (release string, ok bool) {
	rest, ok := strings.CutPrefix(name, "emulated")
	if rest == "" {
		return "", ok
	}
	release, ok = strings.CutPrefix(rest, "@")
	return release, ok && release != ""
}

// release is 6.13.2 or 6.13-rc3.
type release struct {
	numbers []int
	rc      int // 0 is none
}

func parseRelease(s string) (v release, ok bool) {
	end := strings.IndexFunc(s, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	rest := ""
	if end >= 0 {
		s, rest = s[:end], s[end:]
	}
	for _, part := range strings.Split(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return v, false
		}
		v.numbers = append(v.numbers, n)
	}
	if rest != "" && strings.HasPrefix(rest[1:], "rc") { // -rc3, or Debian's ~rc3
		digits := rest[3:]
		if i := strings.IndexFunc(digits, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
			digits = digits[:i]
		}
		v.rc, _ = strconv.Atoi(digits)
	}
	return v, true
}

func (v release) compare(w release) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		var a, b int
		if i < len(v.numbers) {
			a = v.numbers[i]
		}
		if i < len(w.numbers) {
			b = w.numbers[i]
		}
		if a != b {
			return cmp.Compare(a, b)
		}
	}
	const final = 1 << 30
	return cmp.Compare(cmp.Or(v.rc, final), cmp.Or(w.rc, final))
}

// Change is where along the kernels the behaviour of a case changes.
type Change struct {
	Case int // in Report.Cases
	Runs []Run
}

// Run is a stretch of kernels that behave alike. Kernels which tell nothing
// (skip, diverge, boot-fail, infra, missing) do not end it.
type Run struct {
	Class    string // a class's letter, or the verdict of kernels that did not survive the case: panic, hang ...
	From, To int    // in Report.Kernels
}

// Changed says that not all kernels behave alike.
func (c Change) Changed() bool { return len(c.Runs) > 1 }

// behaviour is the letter of a cell, or how its kernel broke; empty when it
// tells nothing.
func (c Cell) behaviour() string {
	switch {
	case c.Verdict == Diverge:
		return "" // no kernel does that
	case c.Class == "" && broke(c.Verdict):
		return c.Verdict
	}
	return c.Class
}

// Changes gives the runs of each case.
func (r *Report) Changes() []Change {
	changes := make([]Change, len(r.Cases))
	for i, c := range r.Cases {
		changes[i].Case = i
		runs := &changes[i].Runs
		for k, cell := range c.Cells {
			switch b := cell.behaviour(); {
			case b == "":
			case len(*runs) > 0 && (*runs)[len(*runs)-1].Class == b:
				(*runs)[len(*runs)-1].To = k
			default:
				*runs = append(*runs, Run{b, k, k})
			}
		}
	}
	return changes
}

// changed gives the runs of those cases that have several.
func (r *Report) changed() []Change {
	return slices.DeleteFunc(r.Changes(), func(c Change) bool { return !c.Changed() })
}

// span names a run: "5.10.218..6.8.12".
func (r *Report) span(x Run) string {
	if x.From == x.To {
		return r.Kernels[x.From].Name
	}
	return r.Kernels[x.From].Name + ".." + r.Kernels[x.To].Name
}

// Reproduce is the command that plays case i on kernel k again.
func (r *Report) Reproduce(i, k int) string {
	if r.Cases[i].Cells[k].Verdict == Diverge {
		return "nlrig run -agree -k " + ShellWord(r.Kernels[k].Of) + " " + ShellWord(r.Cases[i].Name)
	}
	return "nlrig run -k " + ShellWord(r.Kernels[k].Name) + " " + ShellWord(r.Cases[i].Name)
}

// ShellWord quotes what a shell would not take as it is.
func ShellWord(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-./:=,+@", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ShellWords are words as a shell takes them.
func ShellWords(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = ShellWord(w)
	}
	return strings.Join(quoted, " ")
}
