package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fake is an oracle: a point's letter is what it does, and '.' is one that is
// skipped. A play of one that is not 'g' goes as on a 'g' now and then.
type fake struct {
	row    string
	rate   float64 // of the plays of a bad point that show it; 0 for all
	noise  float64 // of the plays of a good point that look bad
	random *rand.Rand
	die    int // after so many tries; 0 for never
	tries  []int
	played map[int]int // tries of each point
	ahead  map[int]bool
}

var errKilled = errors.New("killed")

func (f *fake) Ahead(points []int) {
	for _, i := range points {
		f.ahead[i] = true
	}
}

func (f *fake) Try(_ context.Context, i, n int) (Seen, error) {
	if f.die > 0 && len(f.tries) == f.die {
		return Seen{}, errKilled
	}
	f.tries = append(f.tries, i)
	f.played[i]++
	c := f.row[i]
	if c == '.' {
		return Seen{Skip: "does not boot", Starts: 1}, nil
	}
	s := Seen{Starts: 1, Shown: map[string][]string{}}
	for range n {
		key := string(c)
		if c == 'g' && f.noise > 0 && f.random.Float64() < f.noise {
			key = "b"
		} else if c != 'g' && f.rate > 0 && f.random.Float64() >= f.rate {
			key = "g"
		}
		s.Keys = append(s.Keys, key)
		s.Shown[key] = []string{"did " + key}
	}
	return s, nil
}

func newFake(row string) *fake {
	return &fake{row: row, played: map[int]int{}, ahead: map[int]bool{}, random: rand.New(rand.NewPCG(1, 2))}
}

// points names a row: point 3 is 1.3, in series 1 up to the first of the cuts.
func points(row string, cuts ...int) (ps []Point) {
	series := 1
	for i := range row {
		for _, c := range cuts {
			if c == i {
				series++
			}
		}
		ps = append(ps, Point{Name: fmt.Sprintf("%d.%d", series, i), Series: fmt.Sprint(series)})
	}
	return ps
}

func find(t *testing.T, f *fake, s Search) *Result {
	t.Helper()
	s.Oracle = f
	if s.Points == nil {
		s.Points = points(f.row)
	}
	if s.Log == nil {
		s.Log = new(Log)
	}
	r, err := s.Run(t.Context())
	require.NoError(t, err)
	return r
}

// TestEveryBoundary: wherever the change is, it is found, with as many VMs as a
// binary search takes.
func TestEveryBoundary(t *testing.T) {
	for n := 2; n <= 140; n++ {
		for at := 1; at < n; at++ {
			row := row(n, at)
			f := newFake(row)
			r := find(t, f, Search{})
			require.Equal(t, Found, r.Outcome, row)
			require.Len(t, r.Changes, 1)
			require.Equal(t, fmt.Sprintf("1.%d", at-1), r.Changes[0].Last, row)
			require.Equal(t, fmt.Sprintf("1.%d", at), r.Changes[0].First, row)
			require.LessOrEqual(t, len(f.tries), 2+int(math.Ceil(math.Log2(float64(n)))), row)
			require.GreaterOrEqual(t, r.Confidence, 0.99)
			for i := range f.ahead {
				require.Contains(t, f.played, i, "was fetched and not needed")
			}
		}
	}
}

func row(n, at int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'g'
		if i >= at {
			b[i] = 'b'
		}
	}
	return string(b)
}

// TestMend: the good end may be the newer one.
func TestMend(t *testing.T) {
	r := find(t, newFake("bbbbgg"), Search{Good: 5})
	require.Len(t, r.Changes, 1)
	c := r.Changes[0]
	assert.True(t, c.Mend())
	assert.Equal(t, []any{"1.3", "1.4", Bad, Good, "1.3"}, []any{c.Last, c.First, c.From, c.To, c.Bad()})
	assert.Equal(t, []string{"did b"}, c.Before)
	assert.Equal(t, []string{"did g"}, c.After)
}

// TestSkips: points that are no evidence are gone around, and named where they
// lie between the two.
func TestSkips(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 0))
		n := 3 + random.IntN(60)
		b := []byte(row(n, 1+random.IntN(n-1)))
		truth := string(b)
		for i := 1; i < n-1; i++ {
			if random.Float64() < 0.4 {
				b[i] = '.'
			}
		}
		if random.IntN(2) == 0 { // a whole stretch
			from := 1 + random.IntN(n-1)
			for i := from; i < min(n-1, from+n/3); i++ {
				b[i] = '.'
			}
		}
		r := find(t, newFake(string(b)), Search{})
		require.Equal(t, Found, r.Outcome, "seed %d: %s of %s", seed, b, truth)
		last, first := 0, n-1
		for i := range b {
			if b[i] == 'g' {
				last = i
			}
			if b[n-1-i] == 'b' {
				first = n - 1 - i
			}
		}
		c := r.Changes[0]
		require.Equal(t, []string{fmt.Sprintf("1.%d", last), fmt.Sprintf("1.%d", first)}, []string{c.Last, c.First}, "seed %d: %s of %s", seed, b, truth)
		require.Len(t, c.Skipped, first-last-1)
	}
}

// TestManySkips: a stretch that cannot be tried does not cost a try for each of
// its points as long as there are others.
func TestManySkips(t *testing.T) {
	b := []byte(row(100, 90))
	for i := 30; i < 70; i++ {
		b[i] = '.'
	}
	f := newFake(string(b))
	r := find(t, f, Search{})
	assert.Equal(t, "1.90", r.Changes[0].First)
	assert.LessOrEqual(t, len(f.tries), 12)
}

// TestRandomHistories: in a history with changes to and fro the answer is one of
// them, with -series all that outlive their series, and with -all all of them.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := 4 + random.IntN(40)
		b := []byte{'g'}
		for i := 1; i < n; i++ {
			next := b[i-1]
			if random.Float64() < 0.15 {
				next = "gbc"[random.IntN(3)]
			}
			b = append(b, next)
		}
		if b[n-1] == 'g' {
			b[n-1] = 'b'
		}
		cuts := []int{1 + random.IntN(n-1), 1 + random.IntN(n-1)}
		ps := points(string(b), cuts...)
		about := fmt.Sprintf("seed %d: %s %v", seed, b, cuts)
		var all, between []string
		for i := 1; i < n; i++ {
			if b[i] != b[i-1] {
				all = append(all, ps[i].Name)
				if ps[i].Series != ps[i-1].Series {
					between = append(between, ps[i].Name)
				}
			}
		}
		names := func(r *Result) (names []string) {
			for _, c := range r.Changes {
				names = append(names, c.First)
			}
			return names
		}
		one := find(t, newFake(string(b)), Search{Points: ps})
		require.Len(t, one.Changes, 1, about)
		require.Subset(t, all, names(one), about)
		require.Equal(t, all, names(find(t, newFake(string(b)), Search{Points: ps, Mode: All})), about)
		series := names(find(t, newFake(string(b)), Search{Points: ps, Mode: Series}))
		require.Subset(t, all, series, about)
		require.Subset(t, series, between, about)
	}
}

// TestBackport: what one series got by itself is told.
func TestBackport(t *testing.T) {
	const row = "ggg" + "gggbbbg" + "ggggg"
	ps := points(row, 3, 10)
	r := find(t, newFake(row), Search{Points: ps})
	require.Equal(t, Same, r.Outcome)
	for _, row := range []string{row, "ggg" + "gggbbbg" + "ggggb"} {
		r = find(t, newFake(row), Search{Points: ps, Mode: All})
		require.Equal(t, Found, r.Outcome)
		assert.Equal(t, []string{"2.6", "2.9"}, []string{r.Changes[0].First, r.Changes[1].First})
		assert.True(t, r.Changes[1].Mend())
		assert.GreaterOrEqual(t, r.Confidence, 0.99)
	}
	r = find(t, newFake("gggggg"), Search{Mode: All})
	assert.Equal(t, Same, r.Outcome)
	assert.Contains(t, r.Reason, "nothing else was seen in the 6 kernels that were tried")
}

// TestFlaky: the stated confidence is that of the answers, over many searches
// for a change that shows in a part of the plays.
func TestFlaky(t *testing.T) {
	const searches = 1500
	for _, x := range []struct{ rate, noise float64 }{{0.3, 0}, {0.15, 0}, {0.5, 0}, {0.7, 0}, {0.9, 0}, {0.97, 0}, {1, 0.1}, {0.6, 0.1}} {
		t.Run(fmt.Sprintf("rate=%v,noise=%v", x.rate, x.noise), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(x.rate*100), 7))
			right, found, plays, starts := 0, 0, 0, 0
			stated := 0.0
			for range searches {
				n := 2 + random.IntN(70)
				at := 1 + random.IntN(n-1)
				f := newFake(row(n, at))
				f.rate, f.noise, f.random = x.rate, x.noise, random
				r := find(t, f, Search{})
				if r.Outcome != Found {
					require.Equal(t, Same, r.Outcome)
					continue
				}
				found++
				stated += r.Confidence
				plays += r.Plays
				starts += len(f.tries)
				if r.Changes[0].First == fmt.Sprintf("1.%d", at) {
					right++
				}
			}
			stated /= float64(found)
			share := float64(right) / float64(found)
			t.Logf("of %d searches %d say that the ends differ; %d of these are right, %.2f %%; stated %.2f %%; %d plays, %d tries each", searches, found, right, 100*share, 100*stated, plays/found, starts/found)
			assert.GreaterOrEqual(t, stated, 0.985)
			// Three standard deviations below what is stated.
			assert.GreaterOrEqual(t, share, stated-3*math.Sqrt(stated*(1-stated)/float64(found)))
			assert.GreaterOrEqual(t, found, searches*95/100)
		})
	}
}

// TestEndsAlike: a difference that is not there is not found, and it is said how
// rare it might be.
func TestEndsAlike(t *testing.T) {
	f := newFake("gbbbg")
	r := find(t, f, Search{})
	assert.Equal(t, Same, r.Outcome)
	assert.Contains(t, r.Reason, "1.0 and 1.4 do the same: 44 times each, so that a difference in more than 10 % of plays would have shown (99 %)")
	assert.Equal(t, map[int]int{0: 2, 4: 2}, f.played, "only the ends")

	f = newFake("bbbb")
	f.rate = 0.5
	r = find(t, f, Search{})
	assert.Equal(t, Same, r.Outcome)
	assert.Regexp(t, `\d+ good, \d+ bad, and \d+ good, \d+ bad`, r.Reason)
}

func TestRefused(t *testing.T) {
	r := find(t, newFake("ggbb"), Search{Accept: func(good, bad string) error { return fmt.Errorf("%s and %s are swapped", good, bad) }})
	assert.Equal(t, Refused, r.Outcome)
	assert.Equal(t, "g and b are swapped", r.Reason)
	r = find(t, newFake("ggb."), Search{})
	assert.Equal(t, Unknown, r.Outcome)
	assert.Equal(t, "1.3 cannot be tried, and without it there is nothing to go by: does not boot", r.Reason)
}

func TestOnce(t *testing.T) {
	f := newFake(row(64, 20))
	r := find(t, f, Search{Once: true})
	assert.Equal(t, "1.20", r.Changes[0].First)
	assert.Equal(t, len(f.tries), r.Plays)
	assert.Zero(t, r.Confidence)
	assert.Equal(t, Same, find(t, newFake("gbg"), Search{Once: true}).Outcome)
}

// TestResume: a search that is killed at any of its tries and started again comes
// to the same answer and repeats none.
func TestResume(t *testing.T) {
	for _, rate := range []float64{0, 0.3} {
		whole := newFake(row(70, 33))
		whole.rate = rate
		want := find(t, whole, Search{Mode: One})
		path := filepath.Join(t.TempDir(), "log")
		tries, runs := []int(nil), 0
		// The random numbers go on, as time does, whoever is killed.
		random := rand.New(rand.NewPCG(1, 2))
		var got *Result
		for got == nil {
			runs++
			require.Less(t, runs, 1000)
			f := newFake(whole.row)
			f.rate, f.random, f.die = rate, random, 1
			log, err := OpenLog(path, "q", false)
			require.NoError(t, err)
			s := Search{Points: points(f.row), Oracle: f, Log: log}
			r, err := s.Run(t.Context())
			tries = append(tries, f.tries...)
			if err == nil {
				got = r
			} else {
				require.ErrorIs(t, err, errKilled)
			}
			require.NoError(t, log.Close())
		}
		assert.Equal(t, whole.tries, tries, "rate %v", rate)
		assert.Equal(t, want.Changes, got.Changes)
		assert.Equal(t, want.Kernels, got.Kernels)
		assert.Equal(t, want.Confidence, got.Confidence)
		assert.Equal(t, len(tries), runs)
	}
}

// TestProgress: what is left never grows in a search for one change, and ends
// at nothing.
func TestProgress(t *testing.T) {
	last := 100
	find(t, newFake(row(64, 20)), Search{Progress: func(s Step) {
		if s.State != Untried {
			require.LessOrEqual(t, s.Left, last)
			last = s.Left
		}
	}})
	assert.Zero(t, last)
}
