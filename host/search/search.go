// Package search finds where along a row of kernels an outcome changes. It
// knows nothing of kernels: an Oracle plays, and a Log keeps what it saw, so
// that a search which was killed goes on where it was.
//
// A search is a walk between known points: as long as two neighbours among
// them differ, a point between the two is tried. With two ends known this is
// the binary search; with the ends of each series known it also finds a change
// that a stable series got by itself; with all known it is the whole truth.
//
// An outcome that wavers is repeated. Both ends are played several times, which
// says how often the case goes the one way and the other on each side of the
// change. A point is then played until the chance that it belongs to the
// other side, by Bayes' rule, is small enough for the whole answer to have the
// confidence that was asked for. See doubt.
package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Point is one kernel of the row.
type Point struct {
	Name   string
	Series string // the line of releases that it belongs to: 6.1; "" for none
}

// Oracle plays. Its methods are called from one goroutine.
type Oracle interface {
	// Try plays point i, n times or as often as time allows, once at least.
	// What keeps the point from being evidence is Seen.Skip; an error ends
	// the search, which can be resumed.
	Try(ctx context.Context, i, n int) (Seen, error)
	// Ahead names points that will be tried for certain, the next one first,
	// so that they can be fetched or built. Calls do not wait.
	Ahead(points []int)
}

// Seen is what came of a Try.
type Seen struct {
	// Keys tell what each play came to: plays with the same key went alike.
	Keys []string `json:"keys,omitempty"`
	// Skip says why there are none.
	Skip string `json:"skip,omitempty"`
	// Shown is the exchange of each key, for a person.
	Shown map[string][]string `json:"shown,omitempty"`
	// Starts is how many VMs were started.
	Starts int `json:"starts,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds,omitempty"`
	// Notes are for a person: a second boot.
	Notes []string `json:"notes,omitempty"`
}

// Mode says how much of the row is walked.
type Mode string

const (
	One    Mode = "one"    // one change between the ends; the zero value means it, too
	Series Mode = "series" // all changes that the last of a series has
	All    Mode = "all"    // every point

	// Commits is of a report about commits, between which git chose.
	Commits Mode = "commits"
)

// Defaults of Search.
const (
	DefaultConfidence = 0.99
	DefaultRarest     = 0.10
)

// Search is a bisection. Points, Good, Oracle and Log are wanted.
type Search struct {
	Points []Point // oldest first, two at least
	// Good is the index of the good end, the first or the last; the other one
	// is the bad end.
	Good   int
	Mode   Mode
	Oracle Oracle
	Log    *Log
	// Confidence is how likely the answer is to be right, DefaultConfidence
	// for 0.
	Confidence float64
	// Rarest is the least share of plays in which a difference of the ends is
	// to be seen, DefaultRarest for 0.
	Rarest float64
	// Once plays each point once and believes what it sees.
	Once bool
	// Accept, if not nil, is asked whether the ends are what was meant, by
	// what they did most often.
	Accept func(good, bad string) error
	// Progress hears of each point before it is tried and after.
	Progress func(Step)

	points []point
	bads   Tally // what is to be expected of a bad point
	result Result
}

// Step is one point's turn.
type Step struct {
	Point
	Left int // tries that remain after this one, at most, if none is skipped
	// Between are the two kernels that differ and are the nearest to each other
	// so far, "" for none.
	Between [2]string
	Tried   bool // it is over, and what follows is known
	State   State
	Tally   Tally
	Skip    string
	Again   bool // all of it is from the log
}

// State is what a point turned out to be.
type State string

const (
	Untried State = "untried"
	Good    State = "good" // as at the good end
	Bad     State = "bad"
	Skip    State = "skip" // no evidence
)

// point is what is known of one.
type point struct {
	state State
	key   string // what a bad one did, if it was the same every time
	tally Tally
	doubt float64
	seen  Seen // all tries as one
	used  int  // tries of the log that are in it
}

// End is an error that says why there is nothing to search.
type End struct {
	Outcome Outcome
	Reason  string
}

func (e *End) Error() string { return e.Reason }

// Run searches. The error is the oracle's, the log's or ctx's: what ended the
// search before there was an answer.
func (s *Search) Run(ctx context.Context) (*Result, error) {
	if len(s.Points) < 2 || s.Good != 0 && s.Good != len(s.Points)-1 {
		return nil, fmt.Errorf("search: %d points, the good one at %d: want two ends", len(s.Points), s.Good)
	}
	s.points = make([]point, len(s.Points))
	for i := range s.points {
		s.points[i].state = Untried
	}
	s.result = Result{Mode: s.mode()}
	err := s.ends(ctx)
	if err == nil {
		err = s.walk(ctx)
	}
	var end *End
	if errors.As(err, &end) {
		s.result.Outcome, s.result.Reason = end.Outcome, end.Reason
		err = nil
	}
	s.conclude()
	return &s.result, err
}

func (s *Search) mode() Mode {
	if s.Mode == "" {
		return One
	}
	return s.Mode
}

func (s *Search) confidence() float64 {
	if s.Confidence > 0 {
		return s.Confidence
	}
	return DefaultConfidence
}

func (s *Search) rarest() float64 {
	if s.Rarest > 0 {
		return s.Rarest
	}
	return DefaultRarest
}

func (s *Search) bad() int { return len(s.Points) - 1 - s.Good }

// seeds are the points that are tried whatever comes of others.
func (s *Search) seeds() (seeds []int) {
	last := len(s.Points) - 1
	for i := range s.Points {
		edge := i == 0 || i == last || s.Points[i].Series != s.Points[i-1].Series || s.Points[i].Series != s.Points[i+1].Series
		if s.Mode == All || s.Mode == Series && edge {
			seeds = append(seeds, i)
		}
	}
	return seeds
}

// walk tries the seeds, and then what lies between points that differ.
func (s *Search) walk(ctx context.Context) error {
	for {
		i, more := s.next()
		if i < 0 {
			return nil
		}
		s.Oracle.Ahead(more)
		if err := s.try(ctx, i); err != nil {
			return err
		}
	}
}

// next is the point whose turn it is, -1 for none, and those that follow for
// certain.
func (s *Search) next() (i int, more []int) {
	for _, seed := range s.seeds() {
		if s.points[seed].state == Untried {
			more = append(more, seed)
		}
	}
	if len(more) > 0 {
		return more[0], more[1:]
	}
	if s.Mode == Series {
		if i := s.inward(); i >= 0 {
			return i, nil
		}
	}
	for _, g := range s.gaps() {
		if i := s.between(g); i >= 0 {
			return i, nil
		}
	}
	return -1, nil
}

// inward is the next point of a series at whose edge some were skipped.
func (s *Search) inward() int {
	from := 0
	for to := 1; to <= len(s.Points); to++ {
		if to < len(s.Points) && s.Points[to].Series == s.Points[from].Series {
			continue
		}
		for i := from; i < to && s.points[i].state != Good && s.points[i].state != Bad; i++ {
			if s.points[i].state == Untried {
				return i
			}
		}
		for i := to - 1; i >= from && s.points[i].state != Good && s.points[i].state != Bad; i-- {
			if s.points[i].state == Untried {
				return i
			}
		}
		from = to
	}
	return -1
}

// gap is two neighbours, among the points that are known, which differ.
type gap struct{ lo, hi int }

func (s *Search) gaps() (gaps []gap) {
	last := -1
	for i := range s.points {
		if st := s.points[i].state; st != Good && st != Bad {
			continue
		}
		if last >= 0 && s.label(last) != s.label(i) {
			gaps = append(gaps, gap{last, i})
		}
		last = i
	}
	return gaps
}

// label is what a point is held against its neighbours by: in a search for one
// change all that is not as at the good end is alike.
func (s *Search) label(i int) string {
	p := &s.points[i]
	if p.state != Bad || s.mode() == One {
		return string(p.state)
	}
	return string(p.state) + " " + p.key
}

// between chooses an untried point of a gap, -1 if there is none: the middle at
// first, and elsewhere once points in it were skipped, since those near them
// may have to be skipped, too.
func (s *Search) between(g gap) int {
	skipped, best := 0, -1
	for i := g.lo + 1; i < g.hi; i++ {
		if s.points[i].state == Skip {
			skipped++
		}
	}
	target := float64(g.lo) + corput(skipped+1)*float64(g.hi-g.lo)
	for i := g.lo + 1; i < g.hi; i++ {
		if s.points[i].state == Untried && (best < 0 || math.Abs(float64(i)-target) < math.Abs(float64(best)-target)) {
			best = i
		}
	}
	return best
}

// corput is van der Corput's sequence: 1/2, 1/4, 3/4, 1/8, 5/8 ...
func corput(n int) (x float64) {
	for f := 0.5; n > 0; n, f = n/2, f/2 {
		x += f * float64(n%2)
	}
	return x
}

// left is how many tries remain at most, if none is skipped.
func (s *Search) left() (n int) {
	for _, i := range []int{s.Good, s.bad()} {
		if s.points[i].state == Untried && s.points[i].used == 0 && s.mode() == One {
			n++
		}
	}
	if s.points[s.bad()].state == Untried {
		n += halvings(len(s.Points) - 2)
	}
	for _, seed := range s.seeds() {
		if s.points[seed].state == Untried {
			n++
		}
	}
	for _, g := range s.gaps() {
		untried := 0
		for i := g.lo + 1; i < g.hi; i++ {
			if s.points[i].state == Untried {
				untried++
			}
		}
		n += halvings(untried)
	}
	return n
}

// halvings is how many tries find one change in a gap of n points.
func halvings(n int) int { return int(math.Ceil(math.Log2(float64(n + 1)))) }

// commonest is the key that most plays had, the first in the alphabet of
// several.
func commonest(keys []string) string {
	count := map[string]int{}
	for _, k := range keys {
		count[k]++
	}
	best := ""
	for k, n := range count {
		if n > count[best] || n == count[best] && strings.Compare(k, best) < 0 {
			best = k
		}
	}
	return best
}

// same is the key that all had, "" for none.
func same(keys []string) string {
	if len(keys) == 0 || slices.ContainsFunc(keys, func(k string) bool { return k != keys[0] }) {
		return ""
	}
	return keys[0]
}
