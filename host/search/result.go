package search

import (
	"fmt"
	"slices"
)

// Outcome is what a search amounts to.
type Outcome string

const (
	Found   Outcome = "found"   // there is a change, or several
	Same    Outcome = "same"    // both ends do the same, and so does all that was tried
	Refused Outcome = "refused" // the ends are not what was meant: good and bad are swapped
	Unknown Outcome = "unknown" // an end cannot be tried
	Broken  Outcome = "broken"  // the search was ended before there was an answer
)

// Result is what a search found out.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // of all but found
	Mode    Mode    `json:"mode"`
	// Changes are in the order of the row, one in a search for one.
	Changes []Change `json:"changes,omitempty"`
	// Kernels are those that were tried, in the order of the row.
	Kernels []Kernel `json:"kernels"`
	Of      int      `json:"of"` // kernels in the row
	// Confidence is how likely the answer is right; 0 where each kernel was
	// played once.
	Confidence float64 `json:"confidence,omitempty"`
	Plays      int     `json:"plays"`
	Starts     int     `json:"starts"` // VMs
	// Built and Known are of Commits: kernels that were built, and those whose
	// image had answered before.
	Built int `json:"built,omitempty"`
	Known int `json:"known,omitempty"`
	// Seconds are those of all tries, with those of the runs before which this
	// one resumed.
	Seconds float64 `json:"seconds,omitempty"`
	Played  int     `json:"-"` // tries that were not from the log
	// Otherwise says that ends which do the same are not shown to be the same.
	Otherwise bool `json:"-"`
}

// Kernel is one that was tried.
type Kernel struct {
	Name   string `json:"name"`
	Series string `json:"series,omitempty"`
	State  State  `json:"state"`
	Tally
	Key     string   `json:"key,omitempty"`     // what it did, most often
	Skip    string   `json:"skip,omitempty"`    // why it is no evidence
	Subject string   `json:"subject,omitempty"` // of a commit
	Notes   []string `json:"notes,omitempty"`
}

// Change is two kernels that differ, with none between them that could be
// tried.
type Change struct {
	Last    string   `json:"last"`  // the older one
	First   string   `json:"first"` // the newer one
	From    State    `json:"from"`
	To      State    `json:"to"`
	FromKey string   `json:"from_key"`
	ToKey   string   `json:"to_key"`
	Skipped []string `json:"skipped,omitempty"` // those between them, which are no evidence
	Before  []string `json:"before,omitempty"`  // the exchange of the older one
	After   []string `json:"after,omitempty"`   // that of the newer one
	// What follows is not the search's to fill.
	Command   string   `json:"command,omitempty"` // shows the change again
	Changelog []string `json:"changelog,omitempty"`
	Commit    []string `json:"commit,omitempty"` // the first one's message, and the files of it
	Note      string   `json:"note,omitempty"`   // about the changelog
}

// Bad is the side of the change that is not as the good end.
func (c *Change) Bad() string {
	if c.To == Good {
		return c.Last
	}
	return c.First
}

// Mend says that the newer one is the good one.
func (c *Change) Mend() bool { return c.From == Bad && c.To == Good }

// conclude fills the result from what is known.
func (s *Search) conclude() {
	r := &s.result
	r.Of = len(s.Points)
	r.Confidence = 1
	for i := range s.points {
		p := &s.points[i]
		if p.used == 0 {
			continue
		}
		r.Confidence *= 1 - p.doubt
		r.Plays += len(p.seen.Keys)
		r.Starts += p.seen.Starts
		r.Seconds += p.seen.Seconds
		r.Kernels = append(r.Kernels, Kernel{
			Name: s.Points[i].Name, Series: s.Points[i].Series, State: p.state, Tally: p.tally,
			Key: commonest(p.seen.Keys), Skip: p.seen.Skip, Notes: p.seen.Notes,
		})
	}
	if r.Outcome != "" || s.Once {
		r.Confidence = 0
	}
	if r.Outcome != "" {
		return
	}
	for _, g := range s.gaps() {
		r.Changes = append(r.Changes, s.change(g))
	}
	r.Outcome = Found
	if i, _ := s.next(); i >= 0 || r.Played == 0 && len(r.Kernels) == 0 {
		r.Outcome, r.Confidence = Broken, 0
	} else if len(r.Changes) == 0 {
		r.Outcome = Same
		r.Reason += fmt.Sprintf("; nothing else was seen in the %d kernels that were tried", len(r.Kernels))
	} else {
		r.Reason = ""
	}
}

func (s *Search) change(g gap) Change {
	a, b := &s.points[g.lo], &s.points[g.hi]
	c := Change{
		Last: s.Points[g.lo].Name, First: s.Points[g.hi].Name, From: a.state, To: b.state,
		FromKey: commonest(a.seen.Keys), ToKey: commonest(b.seen.Keys),
	}
	// A point that wavers is shown as it is when it is what it is.
	if a.state == Bad {
		c.FromKey = s.badKey(a)
	}
	if b.state == Bad {
		c.ToKey = s.badKey(b)
	}
	c.Before, c.After = a.seen.Shown[c.FromKey], b.seen.Shown[c.ToKey]
	for i := g.lo + 1; i < g.hi; i++ {
		if s.points[i].state == Skip {
			c.Skipped = append(c.Skipped, s.Points[i].Name)
		}
	}
	return c
}

// badKey is what a bad point did most often when it did not do as the good end.
func (s *Search) badKey(p *point) string {
	good := commonest(s.points[s.Good].seen.Keys)
	return commonest(slices.DeleteFunc(slices.Clone(p.seen.Keys), func(k string) bool { return k == good }))
}
