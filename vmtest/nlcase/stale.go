package nlcase

import (
	"fmt"
	"strconv"
	"strings"
)

// Alternative is a release for which a case says something else than for the
// one that it is played on.
type Alternative struct {
	Release string
	What    string // the guards that hold there and not here
}

// Alternatives are releases that stand for each of the ranges that the case
// tells apart and a release is not in. What it expects of one of them should
// not hold: a range that holds outside its bounds as well is stale.
func (c *Case) Alternatives(release string) []Alternative {
	var bounds []Bound
	bounds = append(bounds, c.Versions...)
	for i := range c.Steps {
		bounds = append(bounds, c.Steps[i].Guard...)
	}
	seen := map[string]bool{c.said(release): true}
	var alts []Alternative
	for _, b := range bounds {
		for _, r := range b.around() {
			said := c.said(r)
			if !c.Versions.Holds(r) || seen[said] {
				continue
			}
			seen[said] = true
			if what := c.difference(release, r); what != "" {
				alts = append(alts, Alternative{r, what})
			}
		}
	}
	return alts
}

// said is what the case says of a release: its steps without their guards, so
// that ranges which do not touch can say the same.
func (c *Case) said(release string) string {
	if !c.Versions.Holds(release) {
		return ""
	}
	var b strings.Builder
	for i := range c.Steps {
		if s := &c.Steps[i]; s.Guard.Holds(release) {
			b.WriteString(s.unguarded() + "\n")
		}
	}
	return b.String()
}

// difference names the guards that hold there and not here, empty if there
// are none.
func (c *Case) difference(here, there string) string {
	if !c.Versions.Holds(here) {
		return c.Versions.String()
	}
	var what []string
	for i := range c.Steps {
		s := &c.Steps[i]
		if s.Guard.Holds(there) && !s.Guard.Holds(here) {
			what = append(what, fmt.Sprintf("[%s] of line %d", s.Guard, s.Line))
		}
	}
	return strings.Join(what, ", ")
}

// around are releases at a bound and to both sides of it.
func (b Bound) around() []string {
	parts := strings.Split(b.Release, ".")
	n, _ := strconv.Atoi(parts[len(parts)-1])
	with := func(n int) string {
		return strings.Join(append(append([]string{}, parts[:len(parts)-1]...), strconv.Itoa(n)), ".")
	}
	around := []string{b.Release, with(n + 1)}
	switch {
	case n > 0 && len(parts) < 3:
		around = append(around, with(n-1)+".9999")
	case n > 0:
		around = append(around, with(n-1))
	case len(parts) > 1:
		if m := (Bound{Release: strings.Join(parts[:len(parts)-1], ".")}).around(); len(m) > 2 {
			around = append(around, m[2])
		}
	}
	return around
}
