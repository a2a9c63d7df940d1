//go:build linux

package fuzz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Fuzzer compares two kernels.
type Fuzzer struct {
	// Targets are the two.
	Targets []host.Target
	Seed    uint64
	// N is how many sequences are played; 0 for as many as there is time for.
	N int
	// Dir is where findings are written.
	Dir string
	// Runner bounds the time of a case and of a boot.
	Runner host.Runner
	// Found hears of each finding, and Progress how far it is.
	Found    func(Finding)
	Progress func(Counts)

	corpus *corpus
	counts Counts
	seen   map[string]bool // signatures
	start  time.Time
	played int // cases on the machines that there are
}

// Counts say how far a Fuzzer is.
type Counts struct {
	Sequences int // that were played
	Differ    int // cases that the kernels did not do alike
	Again     int // those of them that are like a finding
	Unsteady  int // those of them that a kernel does not do alike twice
	Findings  int
	Took      time.Duration
}

// Finding is something that the kernels do not do alike, or that a kernel does
// not survive.
type Finding struct {
	Seed, Number uint64
	Signature    string // what is different, in few words
	File         string // the case
	Caps         string // what its thread may do, as the case says it
	Lines        []nlcase.DiffLine
	Died         *host.Outcome // of the kernel that did not survive, or complained
	Kernel       string        // that one
}

// Run plays until N sequences are through or ctx ends, which is no error. An
// error is this machine's.
func (f *Fuzzer) Run(ctx context.Context) (Counts, error) {
	all, err := cases.All()
	if err != nil {
		return f.counts, err
	}
	f.corpus, f.seen, f.start = newCorpus(all), map[string]bool{}, time.Now()
	f.Runner.Keep = true
	err = f.run(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	return f.counts, errors.Join(err, f.Runner.End(f.Targets))
}

// Bounds of how many packs are played in one go, and how long that is to take.
const (
	minBatch  = 4
	maxBatch  = 256
	batchTime = time.Second
)

func (f *Fuzzer) run(ctx context.Context) error {
	size := minBatch
	for next := uint64(0); f.N == 0 || f.counts.Sequences < f.N; {
		var packs []pack
		for left := f.N - f.counts.Sequences; len(packs) < size && (f.N == 0 || left > 0); left -= perPack {
			packs = append(packs, f.corpus.pack(f.Seed, next))
			next++
		}
		start := time.Now()
		results, err := f.play(ctx, packs)
		if err != nil {
			return err
		}
		if took := time.Since(start); took < batchTime/2 {
			size = min(size*2, maxBatch)
		} else if took > 2*batchTime {
			size = max(size/2, minBatch)
		}
		f.counts.Sequences += len(packs) * perPack
		f.tell()
		for i := range results {
			if results[i].signature == "" {
				continue
			}
			if err := f.look(ctx, &packs[i], &results[i]); err != nil {
				return err
			}
			f.tell()
		}
	}
	return nil
}

func (f *Fuzzer) tell() {
	f.counts.Took = time.Since(f.start)
	if f.Progress != nil {
		f.Progress(f.counts)
	}
}

// result is a case on both kernels.
type result struct {
	c         *nlcase.Case
	out       [2]*host.Outcome
	lines     [2][]string
	signature string // of how they differ, "" for alike
	died      int    // the kernel that did not survive, -1 for none
}

// maxPlayed is how many cases a machine plays: a kernel may be slower to take
// namespaces down than they are made.
const maxPlayed = 2000

// play plays each pack on both kernels.
func (f *Fuzzer) play(ctx context.Context, packs []pack) ([]result, error) {
	list := make([]*nlcase.Case, len(packs))
	for i := range packs {
		c, err := packs[i].parse(packs[i].String())
		if err != nil {
			return nil, fmt.Errorf("what was generated is no case: %w", err)
		}
		list[i] = c
	}
	if f.played += len(list); f.played > maxPlayed {
		f.played = len(list)
		if err := f.Runner.End(f.Targets); err != nil {
			return nil, err
		}
	}
	columns := f.Runner.Run(ctx, f.Targets, list)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := host.Broken(columns); err != nil {
		return nil, err
	}
	results := make([]result, len(packs))
	for i, c := range list {
		r := &results[i]
		r.c, r.died = c, -1
		for k := range columns {
			r.out[k] = &columns[k].Outcomes[i]
			if v := r.out[k].Verdict; v == host.BootFail {
				return nil, fmt.Errorf("%s: %s", columns[k].Target, r.out[k].Reason)
			}
			if r.out[k].Transcript != nil {
				r.lines[k] = r.out[k].Transcript.Lines(c)
			}
			if r.died < 0 && broken(r.out[k]) {
				r.died = k
				r.signature = fmt.Sprintf("%s %s: %s", columns[k].Target, r.out[k].Verdict, strings.Join(only(strings.Fields(r.out[k].Reason), nil), " "))
			}
		}
		if r.died < 0 && r.lines[0] != nil && r.lines[1] != nil {
			r.signature = signature(r.lines[0], r.lines[1])
		}
	}
	return results, nil
}

// broken says that a kernel did not survive, or complained.
func broken(o *host.Outcome) bool {
	switch o.Verdict {
	case host.Panic, host.Oops, host.Lockup, host.Hang, host.OOM, host.AgentLost, host.VMCrash:
		return true
	case host.Warn:
		return len(o.LastWords) > 0
	}
	return false
}

// look finds the sequences of a pack that differ, and makes a finding of each
// that is new.
func (f *Fuzzer) look(ctx context.Context, p *pack, r *result) error {
	f.counts.Differ++
	if f.seen[r.signature] {
		f.counts.Again++
		return nil
	}
	alone := p.alone()
	results, err := f.twice(ctx, alone)
	if err != nil {
		return err
	}
	found := false
	for i := range results {
		x := &results[i]
		if x.signature == "" {
			continue
		}
		found = true
		if f.seen[x.signature] {
			f.seen[r.signature] = true
			continue
		}
		if err := f.find(ctx, alone[i], x); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	// None does it by itself: it takes several of them.
	together := pack{p.first, p.caps, []sequence{settle(fromText(r.c))}}
	both, err := f.twice(ctx, []pack{together})
	if err != nil {
		return err
	}
	if both[0].signature == "" {
		f.counts.Unsteady++
		return nil
	}
	return f.find(ctx, together, &both[0])
}

// fromText is the sequences of a pack as one.
func fromText(c *nlcase.Case) sequence { return steps(c, len(c.Steps)) }

// twice plays packs two times. What a kernel does not do alike then has no
// signature.
func (f *Fuzzer) twice(ctx context.Context, packs []pack) ([]result, error) {
	results, err := f.play(ctx, append(slices.Clone(packs), packs...))
	if err != nil {
		return nil, err
	}
	n := len(packs)
	for i := range n {
		a, b := &results[i], &results[i+n]
		same := slices.Equal(a.lines[0], b.lines[0]) && slices.Equal(a.lines[1], b.lines[1])
		if a.signature != b.signature || !same && a.died < 0 {
			a.signature = ""
		}
	}
	return results[:n], nil
}

// find shrinks what differs and writes it down.
func (f *Fuzzer) find(ctx context.Context, p pack, r *result) error {
	f.seen[r.signature] = true
	small, err := f.shrink(ctx, p, r.signature)
	if err != nil {
		return err
	}
	again, err := f.twice(ctx, []pack{small, p})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(again, func(x result) bool { return x.signature == r.signature })
	if i < 0 {
		f.counts.Unsteady++
		return nil
	}
	x := Finding{Seed: f.Seed, Number: p.first, Caps: string(p.caps), Signature: r.signature}
	if k := again[i].died; k >= 0 {
		x.Died, x.Kernel = again[i].out[k], f.Targets[k].Name
	} else {
		x.Lines, _ = nlcase.DiffLines(again[i].lines[0], again[i].lines[1])
	}
	if x.File, err = f.write(ctx, &again[i], &x); err != nil {
		return err
	}
	f.counts.Findings++
	if f.Found != nil {
		f.Found(x)
	}
	return nil
}

// expected is the kernel whose answers a case is to expect: a real one.
func (f *Fuzzer) expected() int {
	if _, emulated := report.Emulated(f.Targets[0].Name); emulated {
		return 1
	}
	return 0
}
