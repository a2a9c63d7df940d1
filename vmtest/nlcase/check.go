package nlcase

import (
	"fmt"
	"strconv"
	"strings"
)

// Mismatch is one expectation that did not hold.
type Mismatch struct {
	Step int    // index in Case.Steps; -1 for the case as a whole
	Line int    // in the case's text
	Want string // from the case
	Got  string // decoded
}

func (m Mismatch) String() string {
	return fmt.Sprintf("line %d:\n  want %s\n  got  %s", m.Line, m.Want, strings.ReplaceAll(m.Got, "\n", "\n       "))
}

// Check judges a transcript, from its bytes alone. No mismatch means that
// every step was played and every expectation held. Version guards are held
// against t.Release: who knows the kernel's release better sets it first.
func Check(c *Case, t *Transcript) []Mismatch {
	if t.Failed != "" {
		return []Mismatch{{Step: -1, Line: 1, Want: "the case to be played", Got: strconv.Quote(t.Failed)}}
	}
	m := newMachine(c, t.Release)
	var bad []Mismatch
	for i := range c.Steps {
		s := &c.Steps[i]
		if i == len(t.Steps) {
			return append(bad, Mismatch{i, s.Line, s.Text, "the transcript ends before this step"})
		}
		r := &t.Steps[i]
		if r.Skipped == s.Guard.Holds(t.Release) {
			bad = append(bad, Mismatch{i, s.Line, s.Text, fmt.Sprintf("skipped is %t, on %q", r.Skipped, t.Release)})
			continue
		}
		for _, x := range m.judge(s, r) {
			x.Step = i
			bad = append(bad, x)
		}
	}
	if len(t.Steps) > len(c.Steps) {
		bad = append(bad, Mismatch{-1, 1, fmt.Sprintf("%d steps", len(c.Steps)), fmt.Sprintf("%d steps", len(t.Steps))})
	}
	return bad
}
