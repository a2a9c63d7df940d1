//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host/console"
)

// booted is what came of a boot.
type booted struct {
	s      *session // nil for none
	failed Outcome
}

// next is a machine for the next case.
func (p *player) next(ctx context.Context) (*session, Outcome) {
	if s := p.t.kept; s != nil {
		p.t.kept = nil
		if !s.ended() {
			return s, Outcome{}
		}
		p.end(s, true)
	}
	if p.ahead == nil {
		return p.boot(ctx)
	}
	b := <-p.ahead
	p.ahead = nil
	return b.s, b.failed
}

// bootAhead starts the machine that next returns.
func (p *player) bootAhead(ctx context.Context) {
	c := make(chan booted, 1)
	p.ahead = c
	go func() {
		s, failed := p.boot(ctx)
		c <- booted{s, failed}
	}()
}

// endAhead ends a machine that was not needed after all.
func (p *player) endAhead() {
	if p.ahead == nil {
		return
	}
	if s, _ := p.next(context.Background()); s != nil {
		p.end(s, false)
	}
}

// boot brings up a machine, with a second try before a kernel is blamed.
func (p *player) boot(ctx context.Context) (*session, Outcome) {
	var o Outcome
	for try := 1; try <= 2; try++ {
		var s *session
		if s, o = p.bootOnce(ctx); s != nil {
			return s, o
		}
		if o.Verdict != BootFail || ctx.Err() != nil {
			return nil, o
		}
		if try == 1 {
			p.note("the first boot failed (" + o.Reason + "); trying once more")
		}
	}
	o.Reason += " (twice)"
	return nil, o
}

func (p *player) bootOnce(ctx context.Context) (*session, Outcome) {
	p.mu.Lock()
	p.col.Boots++
	shown := p.col.Boots == 1 || !p.isolated()
	p.mu.Unlock()
	if shown {
		p.event(Event{Kind: Booting})
	}
	start := time.Now()
	m, warm, err := p.t.start(ctx, p.bootTimeout(), p.say)
	if err != nil && warm && ctx.Err() == nil {
		return p.bootCold(ctx, err)
	}
	if err != nil {
		var skip *SkipError
		if errors.As(err, &skip) {
			return nil, Outcome{Verdict: Skip, Reason: skip.Reason}
		}
		return nil, Outcome{Verdict: Infra, Reason: err.Error()}
	}
	s := newSession(m, p.t)
	timeout := p.bootTimeout()
	if warm {
		timeout = min(timeout, warmTimeout)
	}
	err = s.awaitHello(ctx, p.t.agent(), timeout)
	if err == nil {
		if want := p.t.release(); want != "" && want != s.hello.Release {
			err = fmt.Errorf("the kernel says it is %q, want %q", s.hello.Release, want)
		}
	}
	if err != nil && warm && ctx.Err() == nil {
		m.Wait(100 * time.Millisecond)
		if f := m.Failure(); f != "" {
			err = errors.New(f)
		}
		p.end(s, true)
		return p.bootCold(ctx, err)
	}
	if err != nil {
		o := p.bootFailure(ctx, m, err)
		p.end(s, true)
		return nil, o
	}
	took := time.Since(start)
	if p.Timing {
		s.timing = newTiming(start, m, s.hello, warm)
	}
	p.mu.Lock()
	if p.col.Release == "" {
		p.col.Release, p.col.Version, p.col.BootTime = s.hello.Release, s.hello.KernelVersion, took
	}
	p.mu.Unlock()
	if shown {
		p.event(Event{Kind: Booted, Took: took})
	}
	return s, Outcome{}
}

// bootCold boots where the warm image does not start.
func (p *player) bootCold(ctx context.Context, why error) (*session, Outcome) {
	p.say("booting cold: its warm image does not start: " + why.Error())
	if err := p.t.discard(); err != nil {
		p.say("remove the warm image: " + err.Error())
	}
	return p.bootOnce(ctx)
}

func (p *player) bootFailure(ctx context.Context, m machine, err error) Outcome {
	if ctx.Err() != nil {
		return Outcome{Verdict: Infra, Reason: "interrupted: " + context.Cause(ctx).Error()}
	}
	m.Wait(100 * time.Millisecond) // a stream that ended is a machine about to end
	o := Outcome{Verdict: BootFail, Reason: err.Error(), LastWords: m.Console().Last(lastLines)}
	if d, ok := m.Console().Death(); ok {
		o.Reason, o.LastWords = bootReason(d), d.Lines
	} else if f := m.Failure(); f != "" {
		o.Reason = f
		if len(o.LastWords) == 0 {
			o.Verdict = Infra // not one word from a kernel: it is not to blame
		}
	} else if len(o.LastWords) == 0 {
		o.Reason += "; the console is silent"
	}
	if len(o.LastWords) == 0 && p.t.silent != "" {
		o.Verdict = Infra
		o.Reason = p.t.silent + ": " + o.Reason
	}
	return o
}

// bootReason names what a kernel lacks, where its panic tells.
func bootReason(d console.Death) string {
	for _, line := range d.Lines {
		if _, words, ok := strings.Cut(line, "nlrig agent: "); ok {
			return words
		}
	}
	if strings.Contains(d.Panic, "Unable to mount root fs") {
		return "the kernel did not unpack the initramfs (it needs CONFIG_BLK_DEV_INITRD): " + d.Panic
	}
	return "panic: " + d.Panic
}

// end closes a machine and keeps its console; failed says that something in it
// did not hold.
func (p *player) end(s *session, failed bool) {
	start := time.Now()
	if err := s.close(); err != nil {
		p.note("close the VM: " + err.Error())
	}
	if s.timing != nil {
		s.timing.End = time.Since(start)
		p.mu.Lock()
		p.col.Timings = append(p.col.Timings, *s.timing)
		p.mu.Unlock()
	}
	if p.Console == "" || !p.t.vm || p.isolated() && !failed {
		return
	}
	if err := keepConsole(p.Console, p.t.Name, s.m.Console().String()); err != nil {
		p.note("keep the console: " + err.Error())
	}
}
