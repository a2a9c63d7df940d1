//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nlrig/nlrig/kernels/build"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// player fills one target's column.
type player struct {
	*Runner
	t     *Target
	col   *Column
	cases []*nlcase.Case
	slots chan struct{}
	again *nlcase.Case // has had a second try, because QEMU stood still in the first
	ahead chan booted  // the VM for the next case, nil for none

	mu   sync.Mutex // guards done, and what of col a boot writes
	done int
}

func (p *player) event(e Event) {
	if p.Progress == nil {
		return
	}
	p.mu.Lock()
	e.Target, e.Done, e.Of = p.t.Name, p.done, len(p.cases)
	p.mu.Unlock()
	p.Progress(e)
}

func (p *player) note(s string) {
	p.mu.Lock()
	p.col.Notes = append(p.col.Notes, s)
	p.mu.Unlock()
	p.event(Event{Kind: Note, Text: s})
}

// say is a note of how this machine did it, which no report keeps.
func (p *player) say(s string) { p.event(Event{Kind: Note, Text: s}) }

func (p *player) status(s string) { p.event(Event{Kind: Status, Text: s}) }

// set gives case i its verdict.
func (p *player) set(i int, o Outcome) {
	o.Case = p.cases[i]
	p.col.Outcomes[i] = o
	p.mu.Lock()
	p.done++
	p.mu.Unlock()
	p.event(Event{Kind: Played, Out: &p.col.Outcomes[i]})
}

// setRest gives the cases from i on one verdict.
func (p *player) setRest(i int, o Outcome) {
	for ; i < len(p.cases); i++ {
		if p.col.Outcomes[i].Verdict == "" {
			p.set(i, o)
		}
	}
}

func (p *player) run(ctx context.Context) {
	if err := p.prepare(ctx); err != nil {
		var skip *SkipError
		if errors.As(err, &skip) {
			p.setRest(0, Outcome{Verdict: Skip, Reason: skip.Reason})
			return
		}
		o := Outcome{Verdict: Infra, Reason: err.Error()}
		if accel := new(AccelError); errors.As(err, &accel) {
			o.Verdict = AccelUnusable
		}
		if failed := new(build.FailedError); errors.As(err, &failed) {
			o = Outcome{Verdict: BootFail, Reason: failed.Summary(), LastWords: failed.Lines}
		}
		p.setRest(0, o)
		return
	}
	if p.t.vm {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-ctx.Done():
		}
	}
	if p.t.close != nil && !p.Keep {
		defer func() {
			if err := p.t.close(); err != nil {
				p.say("keep the warm image: " + err.Error())
			}
		}()
	}
	defer p.endAhead()
	for i := 0; i < len(p.cases); {
		if err := context.Cause(ctx); err != nil {
			p.setRest(i, Outcome{Verdict: Infra, Reason: "interrupted: " + err.Error()})
			return
		}
		s, failed := p.next(ctx)
		if s == nil {
			p.setRest(i, failed)
			return
		}
		if p.isolated() && i+1 < len(p.cases) {
			p.bootAhead(ctx)
		}
		i = p.playFrom(ctx, s, i)
	}
}

func (p *player) prepare(ctx context.Context) error {
	if p.t.prepared {
		return nil
	}
	err := p.t.prepare(ctx, Says{p.note, p.say, p.status})
	p.t.prepared = err == nil && p.Keep
	return err
}

// Prepare fetches and verifies what VMs of t need, unless that was done.
func (t *Target) Prepare(ctx context.Context, says Says) error {
	if t.prepared {
		return nil
	}
	err := t.prepare(ctx, says)
	t.prepared = err == nil
	return err
}

// Close ends what VMs of t share.
func (t *Target) Close() error {
	if t.close == nil {
		return nil
	}
	return t.close()
}

// isolated says that a case has a VM to itself.
func (p *player) isolated() bool { return p.t.vm && p.Isolation == IsolateVM }

// playFrom plays on s from case i on, and returns the first case that needs
// another machine.
func (p *player) playFrom(ctx context.Context, s *session, i int) (next int) {
	first, last, alive := i, -1, true // last is the case that was played last
	ids := map[uint32]int{}           // the case of each that the guest knows
	defer func() {
		if alive && p.Keep && p.late(s, last) {
			p.t.kept = s
			return
		}
		if alive {
			s.bye()
			p.late(s, last)
		}
		for _, id := range s.undead {
			if i, ok := ids[id]; ok {
				p.amend(i, leaked(p.col.Outcomes[i], "its network namespace"))
			}
		}
		p.end(s, last < 0 || !p.col.Outcomes[last].Verdict.Held())
	}()
	for ; i < len(p.cases); i++ {
		c := p.cases[i]
		if c.NeedsVM() && !p.t.vm {
			p.set(i, Outcome{Verdict: Skip, Reason: "breaks the kernel on purpose: for a VM only"})
			continue
		}
		if i > first && s.ended() {
			alive = false
			p.note("the VM ended after " + p.cases[i-1].Name + " had its verdict: " + s.lost(s.readErr).Reason)
			return i
		}
		if !p.late(s, last) {
			alive = false
			return i
		}
		o := Outcome{Case: c, Verdict: Skip, Reason: c.Inapplicable(nlcase.Release(s.hello.Release, s.hello.KernelVersion))}
		missing, unknown := p.options(c, s)
		if len(missing) > 0 {
			p.set(i, Outcome{Verdict: ConfigMissing, Reason: "requires " + strings.Join(missing, ", ")})
			continue
		}
		ours := o.Reason == ""
		before := s.nextID
		if ours {
			o, alive = s.play(ctx, c, "", p.caseTimeout())
		}
		if alive && !c.NeedsVM() && (!ours || o.Verdict == Pass) {
			alive = p.tryStale(ctx, s, &o)
		}
		for id := before; id < s.nextID; {
			id++
			ids[id], last = i, i
		}
		if s.stuck && p.again != c {
			p.again = c
			p.note(c.Name + ": " + o.Reason + "; playing it once more")
			return i
		}
		if o.Verdict == Fail && len(unknown) > 0 {
			o.Reason = strings.TrimPrefix(o.Reason+"; it requires "+strings.Join(unknown, ", ")+", and nothing says how this kernel was configured", "; ")
		}
		p.set(i, o)
		if !alive || p.isolated() && last == i {
			return i + 1
		}
	}
	return i
}

// late gives case i what the kernel reported after it, while no case ran, and
// says whether the VM is still to be trusted.
func (p *player) late(s *session, i int) bool {
	h := s.idle
	s.idle = health{}
	if h.reports.Worst() == nil || i < 0 {
		return true
	}
	o := h.judge(p.col.Outcomes[i])
	o.Reason += " (after the case, or one before it)"
	p.amend(i, o)
	return trusted(o.Verdict)
}

// amend changes the verdict that case i has.
func (p *player) amend(i int, o Outcome) {
	p.col.Outcomes[i] = o
	p.event(Event{Kind: Status, Text: fmt.Sprintf("%s: %s: %s", p.cases[i].Name, o.Verdict, o.Reason)})
}

// options are those that c needs and the kernel is built without, and those of
// which nothing is known.
func (p *player) options(c *nlcase.Case, s *session) (missing, unknown []string) {
	for _, option := range c.Configs() {
		value, known := "", false
		if p.t.config != nil {
			value, known = p.t.config(option)
		}
		if !known {
			value, known = s.option(option)
		}
		switch {
		case !known:
			unknown = append(unknown, option)
		case value != "y" && value != "m":
			missing = append(missing, option)
		}
	}
	return missing, unknown
}
