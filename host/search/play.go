package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

const (
	// endPlays is how often each end is played at first.
	endPlays = 8
	// maxPlays bounds the plays of one point, and maxSeconds their time; what
	// is then known is believed, and its doubt is counted.
	maxPlays   = 400
	maxSeconds = 60
	// mostlyAlike is how likely two ends that waver are to be alike when it is
	// no use to play them more often.
	mostlyAlike = 0.95
	// maxBatch is how many plays are asked for, and logged, at once.
	maxBatch = 64
)

// Tally counts plays.
type Tally struct {
	Good int `json:"good"` // as the good end does
	Bad  int `json:"bad"`
}

func (t Tally) plays() int     { return t.Good + t.Bad }
func (t Tally) wavers() bool   { return t.Good > 0 && t.Bad > 0 }
func (t Tally) String() string { return fmt.Sprintf("%d good, %d bad", t.Good, t.Bad) }

// chance is the logarithm of how likely plays with a tally of t are where
// those of pool were seen before. The share of bad plays is not known, with
// Jeffreys' prior, Beta(1/2, 1/2).
func chance(pool, t Tally) float64 {
	return beta(pool.Bad+t.Bad, pool.Good+t.Good) - beta(pool.Bad, pool.Good)
}

// beta is log B(x+1/2, y+1/2).
func beta(x, y int) float64 {
	a, _ := math.Lgamma(float64(x) + 0.5)
	b, _ := math.Lgamma(float64(y) + 0.5)
	c, _ := math.Lgamma(float64(x+y) + 1)
	return a + b - c
}

// doubt is how likely it is that a point with tally t belongs to the other side
// than the one it looks to be of, where either was as likely before; bad is the
// side that it looks to be of.
func doubt(good, bad, t Tally) (isBad bool, d float64) {
	x := chance(bad, t) - chance(good, t)
	return x > 0, 1 / (1 + math.Exp(math.Abs(x)))
}

// alike is how likely it is that the two ends have the same share of bad plays,
// where that and the contrary were as likely before.
func alike(a, b Tally) float64 {
	apart := chance(Tally{}, a) + chance(Tally{}, b)
	together := chance(Tally{}, Tally{a.Good + b.Good, a.Bad + b.Bad})
	return 1 / (1 + math.Exp(apart-together))
}

// rarely is how many plays show a difference that is in a share of them, with a
// doubt of at most d.
func rarely(share, d float64) int {
	return int(math.Ceil(math.Log(d) / math.Log(1-share)))
}

// ends plays both ends, until it is known whether they differ and how often
// each goes the way it does.
func (s *Search) ends(ctx context.Context) error {
	d := s.allowed()
	plays := endPlays
	if s.Once {
		plays = 1
	}
	certain := append(s.startsAhead(), s.seeds()...)
	for k, i := range []int{s.Good, s.bad()} {
		s.Oracle.Ahead(certain[k:])
		if err := s.playEnd(ctx, i, plays); err != nil {
			return err
		}
	}
	good, bad := &s.points[s.Good], &s.points[s.bad()]
	agree := func() bool { return alike(good.tally, bad.tally) > d }
	if s.Once {
		agree = func() bool { return commonest(good.seen.Keys) == commonest(bad.seen.Keys) }
	} else if agree() || good.tally.wavers() || bad.tally.wavers() {
		// A rare difference takes more plays to see, and one between two ends
		// that both waver to tell from chance.
		for plays = max(plays, rarely(s.rarest(), 1-s.confidence())); ; plays = min(plays+maxBatch, maxPlays) {
			for _, i := range []int{s.Good, s.bad()} {
				if err := s.playEnd(ctx, i, plays); err != nil {
					return err
				}
			}
			settled := !good.tally.wavers() && !bad.tally.wavers() || alike(good.tally, bad.tally) > mostlyAlike
			if !agree() || settled || plays == maxPlays || good.tally.plays() < plays || bad.tally.plays() < plays {
				break
			}
		}
	}
	g, b := commonest(good.seen.Keys), commonest(bad.seen.Keys)
	if s.Accept != nil {
		if err := s.Accept(g, b); err != nil {
			return &End{Refused, err.Error()}
		}
	}
	good.state, s.bads = Good, bad.tally
	if agree() {
		reason := fmt.Sprintf("%s and %s do the same: %s", s.Points[s.Good].Name, s.Points[s.bad()].Name, s.sameness())
		s.result.Otherwise = !slices.Equal(good.seen.Shown[g], bad.seen.Shown[b])
		// What lies between may still have changed and changed back. How that
		// goes is not known: it is taken to be as steady as the ends.
		bad.state, s.bads = Good, Tally{Bad: good.tally.Good}
		if s.mode() == One || good.tally.wavers() || bad.tally.wavers() {
			return &End{Same, reason}
		}
		s.result.Reason = reason
		return nil
	}
	bad.state, bad.key = Bad, same(bad.seen.Keys)
	if !s.Once {
		good.doubt = alike(good.tally, bad.tally)
	}
	return nil
}

// sameness says what the sameness of the ends rests on.
func (s *Search) sameness() string {
	good, bad := s.points[s.Good].tally, s.points[s.bad()].tally
	if good.wavers() || bad.wavers() {
		return fmt.Sprintf("%v, and %v", good, bad)
	}
	n := min(good.plays(), bad.plays())
	if n == 1 {
		return "once each"
	}
	share := 100 * (1 - math.Pow(1-s.confidence(), 1/float64(n)))
	return fmt.Sprintf("%d times each, so that a difference in more than %.0f %% of plays would have shown (%.4g %%)", n, share, 100*s.confidence())
}

// startsAhead are the points that are tried first in any case: the ends, and
// the middle that follows if they differ.
func (s *Search) startsAhead() []int {
	first := []int{s.Good, s.bad()}
	if s.mode() == One {
		if i := s.between(gap{0, len(s.Points) - 1}); i >= 0 {
			first = append(first, i)
		}
	}
	return first
}

func (s *Search) playEnd(ctx context.Context, i, plays int) error {
	p := &s.points[i]
	for p.tally.plays() < plays && p.seen.Seconds < maxSeconds {
		s.tell(i, false)
		if err := s.play(ctx, i, plays-p.tally.plays()); err != nil {
			return err
		}
		if p.state == Skip {
			s.tell(i, true)
			return &End{Unknown, fmt.Sprintf("%s cannot be tried, and without it there is nothing to go by: %s", s.Points[i].Name, p.seen.Skip)}
		}
		// What is good is known only when the good end was played.
		for _, k := range []int{s.Good, s.bad()} {
			s.count(k)
		}
		s.tell(i, true)
	}
	return nil
}

// allowed is the doubt that each answer may have, so that all together have the
// confidence that is wanted.
func (s *Search) allowed() float64 {
	return (1 - s.confidence()) / float64(1+len(s.seeds())+halvings(len(s.Points)-2))
}

// try finds out what point i is.
func (s *Search) try(ctx context.Context, i int) error {
	p := &s.points[i]
	good, bad := s.points[s.Good].tally, s.bads
	allowed := s.allowed()
	s.tell(i, false)
	for {
		n := 1
		if !s.Once {
			n = wanted(good, bad, p.tally, allowed)
		}
		if err := s.play(ctx, i, n); err != nil {
			return err
		}
		if p.state == Skip {
			break
		}
		s.count(i)
		isBad, d := doubt(good, bad, p.tally)
		if s.Once {
			isBad, d = p.tally.Bad > 0, 0
		}
		if d > allowed && p.tally.plays() < maxPlays && p.seen.Seconds < maxSeconds {
			continue
		}
		p.doubt, p.state = d, Good
		if isBad {
			p.state, p.key = Bad, same(p.seen.Keys)
		}
		break
	}
	s.tell(i, true)
	return nil
}

// wanted is how many plays settle a point if all of them go one way: the way
// that it went so far, or the one that takes more.
func wanted(good, bad, t Tally, allowed float64) int {
	most := 1
	for _, way := range []Tally{{Good: 1}, {Bad: 1}} {
		if t.plays() > 0 && way.Good*t.Bad+way.Bad*t.Good == t.plays() {
			continue // it never went that way
		}
		for n := 1; n <= maxBatch; n++ {
			more := Tally{t.Good + n*way.Good, t.Bad + n*way.Bad}
			if _, d := doubt(good, bad, more); d <= allowed || n == maxBatch {
				most = max(most, n)
				break
			}
		}
	}
	return most
}

// play plays point i n times, or takes what the log has of that.
func (s *Search) play(ctx context.Context, i, n int) error {
	p := &s.points[i]
	name := s.Points[i].Name
	past := s.Log.past(name)
	if p.used == len(past) {
		seen, err := s.Oracle.Try(ctx, i, n)
		if err != nil {
			return err
		}
		if len(seen.Keys) == 0 && seen.Skip == "" {
			return fmt.Errorf("search: %s was played, and nothing came of it", name)
		}
		if err := s.Log.add(name, seen); err != nil {
			return err
		}
		past = s.Log.past(name)
		s.result.Played++
	}
	seen := past[p.used]
	p.used++
	if seen.Skip != "" {
		p.state = Skip
		p.seen.Skip = seen.Skip
	}
	p.seen.Keys = append(p.seen.Keys, seen.Keys...)
	p.seen.Starts += seen.Starts
	p.seen.Seconds += seen.Seconds
	p.seen.Notes = append(p.seen.Notes, seen.Notes...)
	for key, shown := range seen.Shown {
		if p.seen.Shown == nil {
			p.seen.Shown = map[string][]string{}
		}
		p.seen.Shown[key] = shown
	}
	return nil
}

// count makes the tally of point i from its keys.
func (s *Search) count(i int) {
	good := commonest(s.points[s.Good].seen.Keys)
	p := &s.points[i]
	p.tally = Tally{}
	for _, k := range p.seen.Keys {
		if k == good {
			p.tally.Good++
		} else {
			p.tally.Bad++
		}
	}
}

func (s *Search) tell(i int, tried bool) {
	if s.Progress == nil {
		return
	}
	p := &s.points[i]
	left := s.left()
	if !tried && p.state == Untried && p.used == 0 && left > 0 {
		left--
	}
	var between [2]string
	if gaps := s.gaps(); len(gaps) > 0 {
		nearest := slices.MinFunc(gaps, func(a, b gap) int { return cmp.Compare(a.hi-a.lo, b.hi-b.lo) })
		between = [2]string{s.Points[nearest.lo].Name, s.Points[nearest.hi].Name}
	}
	s.Progress(Step{Point: s.Points[i], Left: left, Between: between, Tried: tried, State: p.state, Tally: p.tally, Skip: p.seen.Skip,
		Again: p.used == len(s.Log.past(s.Points[i].Name)) && s.result.Played == 0})
}
