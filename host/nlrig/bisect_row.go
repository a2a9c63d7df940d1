//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/host/search"
	"github.com/nlrig/nlrig/kernels"
)

// end is one kernel of the row that is searched.
type end choice

func (e end) String() string {
	if e.name != "" {
		return e.name
	}
	return e.version.String()
}

// number is the kernel's own version, which gives it its place.
func (e end) number() string {
	if e.name != "" {
		if n, ok := report.Emulated(e.name); ok {
			return n
		}
		return ""
	}
	return e.version.Version
}

// series is that of its number.
func (e end) series() string { return kernels.Version{Version: e.number()}.Series() }

// ends finds the two kernels that were named and all that there are between
// them.
func (b *bisection) ends(ctx context.Context) error {
	var two []end
	for _, spec := range []*string{&b.good, &b.bad} {
		some, err := choose(ctx, b.rig.Catalogue, *spec)
		if err != nil {
			return err
		}
		if len(some) != 1 {
			return misuse("%s is %d kernels, want one", *spec, len(some))
		}
		e := end(some[0])
		if e.name != "" && (e.number() == "" || b.pkg != "") {
			return misuse("%s has no place in this row of kernels: want a version, such as 6.12", e)
		}
		*spec = e.String()
		two = append(two, e)
	}
	good, bad := two[0], two[1]
	if (good.name == "") != (bad.name == "") {
		return misuse("%s and %s: want two real kernels, or two emulated ones", good, bad)
	}
	if good.String() == bad.String() {
		return misuse("-good and -bad are both %s", good)
	}
	swapped := kernels.CompareVersions(good.number(), bad.number()) > 0
	if swapped {
		two[0], two[1] = bad, good
	}
	between, err := b.between(ctx, two[0], two[1])
	if err != nil {
		return err
	}
	b.row = slices.Concat(two[:1], between, two[1:])
	if swapped {
		b.search.Good = len(b.row) - 1
	}
	for _, e := range b.row {
		b.search.Points = append(b.search.Points, search.Point{Name: e.String(), Series: e.series()})
	}
	return nil
}

// between are the kernels that the catalogue has between two, of their flavour;
// of emulated kernels those that the catalogue has real ones of.
func (b *bisection) between(ctx context.Context, from, to end) (row []end, err error) {
	flavour := kernels.DefaultFlavour
	for i, e := range []end{from, to} {
		if e.name != "" || e.version.Source != kernels.SourceDebian {
			continue
		}
		if i == 1 && from.version.Source == kernels.SourceDebian && from.version.Flavour != e.version.Flavour {
			return nil, misuse("%s and %s are of two flavours: %s and %s", from, to, from.version.Flavour, e.version.Flavour)
		}
		flavour = e.version.Flavour
	}
	all, err := b.rig.Catalogue.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.Source != kernels.SourceDebian || v.Flavour != flavour || b.here && !v.Here ||
			kernels.CompareVersions(v.Version, from.number()) <= 0 || kernels.CompareVersions(v.Version, to.number()) >= 0 {
			continue
		}
		e := end{version: v}
		if from.name != "" {
			e = end{name: "emulated@" + v.Version}
		}
		row = append(row, e)
	}
	return row, nil
}

// fetcher has kernels on their way before they are needed.
type fetcher struct {
	ctx       context.Context
	cancel    context.CancelFunc
	catalogue *kernels.Catalogue
	row       []end
	show      *steps
	slots     chan struct{}
	jobs      map[int]*fetching
	wg        sync.WaitGroup
}

type fetching struct {
	done chan struct{}
	// What follows is known once done is closed.
	kernel *kernels.Kernel // nil for an emulated one
	err    error
}

// fetchAhead is how many kernels are fetched ahead of need, and fetchSlots how
// many at a time: unpacking takes the processor, and a mirror is to be used
// with care.
const fetchAhead, fetchSlots = 3, 2

func newFetcher(ctx context.Context, c *kernels.Catalogue, row []end, show *steps) *fetcher {
	f := &fetcher{catalogue: c, row: row, show: show, slots: make(chan struct{}, fetchSlots), jobs: map[int]*fetching{}}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// Ahead is search.Oracle's.
func (f *fetcher) Ahead(points []int) {
	for _, i := range points[:min(len(points), fetchAhead)] {
		f.start(i)
	}
}

func (f *fetcher) start(i int) *fetching {
	if j := f.jobs[i]; j != nil {
		return j
	}
	j := &fetching{done: make(chan struct{})}
	f.jobs[i] = j
	e := f.row[i]
	if e.name != "" {
		close(j.done)
		return j
	}
	f.wg.Go(func() {
		defer close(j.done)
		f.slots <- struct{}{}
		defer func() { <-f.slots }()
		j.kernel, j.err = f.catalogue.Get(f.ctx, e.version, func(p kernels.Progress) { f.show.status(e.String(), host.Fetching(p)) })
	})
	return j
}

// wait returns when kernel i is here, or cannot be.
func (f *fetcher) wait(i int) error {
	j := f.start(i)
	<-j.done
	return j.err
}

// close ends what is on its way.
func (f *fetcher) close() {
	f.cancel()
	f.wg.Wait()
}

// steps shows a search while it goes on: a line for each kernel that was tried,
// and on a terminal what goes on at the moment.
type steps struct {
	live  bool
	style report.Style

	mu    sync.Mutex // guards w and shown
	w     *os.File
	shown bool
}

func (s *steps) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintf(s.w, format+"\n", args...)
}

func (s *steps) erase() {
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}

func (s *steps) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// status is of the moment, on a terminal only.
func (s *steps) status(kernel, text string) {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	line := []rune(kernel + ": " + text)
	if s.style.Width > 1 && len(line) >= s.style.Width {
		line = line[:s.style.Width-1]
	}
	fmt.Fprint(s.w, string(line))
	s.shown = true
}

// step is search.Search's Progress.
func (s *steps) step(x search.Step) {
	left := "the last"
	if x.Left > 0 {
		left = fmt.Sprintf("%d left at most", x.Left)
	}
	if x.Between[0] != "" {
		left += fmt.Sprintf(", between %s and %s", x.Between[0], x.Between[1])
	}
	if !x.Tried {
		s.status(x.Name, "trying; "+left)
		return
	}
	what := string(x.State)
	switch {
	case x.State == search.Skip:
		what += ": " + strings.Join(strings.Fields(x.Skip), " ")
	case x.State == search.Untried:
		what = fmt.Sprintf("an end, played %d times", x.Tally.Good+x.Tally.Bad)
	default:
		what += fmt.Sprintf(" (%v)", x.Tally)
	}
	if x.Again {
		what += ", from the log"
	}
	s.say("%s: %s; %s", x.Name, what, left)
}
