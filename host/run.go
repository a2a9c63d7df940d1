//go:build linux

// Package host plays cases on kernels: it boots a VM for each kernel, as many
// at once as the machine has room for, judges what comes back, and replaces a
// VM that a case has broken, so that such a case costs itself alone.
package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Target is a kernel to play cases on. QEMUTarget and LocalTarget make one.
type Target struct {
	// Name is the column's head in the matrix.
	Name string
	// vm says that cases which may break the kernel can be played, and that
	// it takes one of the runner's slots.
	vm bool
	// prepare fetches and verifies what start needs. It runs once, before a
	// slot is taken.
	prepare func(ctx context.Context, say Says) error
	// start starts a machine, which is ready within timeout, and says what is
	// to be known of how it did. warm is one that was started from an image.
	start func(ctx context.Context, timeout time.Duration, say func(string)) (m machine, warm bool, err error)
	// discard removes the image that a machine did not start from; nil where
	// there are none.
	discard func() error
	// close ends what start shared between machines; nil for nothing.
	close   func() error
	entropy bool
	modules func(name string) ([]initramfs.Module, error)
	// config is an option's value, as kernels.Kernel has it; nil where only
	// the kernel itself can tell.
	config func(option string) (value string, known bool)
	// agent is the sum that hello must name.
	agent func() string
	// release is what uname -r must say, empty if it is not known.
	release func() string
	// silent is what to think of when not a word comes from the kernel.
	silent string
}

// Says is how a target speaks of its preparation.
type Says struct {
	Note   func(string) // to be kept with the column
	Status func(string) // of the moment
}

// Runner plays. The zero value of each field is a working default.
type Runner struct {
	// Slots is how many VMs run at once; 0 for what cores and memory allow.
	Slots int
	// CaseTimeout bounds one case, BootTimeout the way to the agent.
	CaseTimeout, BootTimeout time.Duration
	// Console is a directory where the console of each VM is kept; empty
	// for nowhere.
	Console string
	// Progress hears what happens, from many goroutines.
	Progress func(Event)
}

// Defaults of Runner.
const (
	DefaultCaseTimeout = 10 * time.Second
	DefaultBootTimeout = 60 * time.Second
)

// Event is one thing that happened to a target.
type Event struct {
	Target string
	Kind   EventKind
	Text   string        // of a note, or why
	Took   time.Duration // of a boot
	Done   int           // cases that have a verdict
	Of     int           // cases in all
	Out    *Outcome      // of a case
}

// EventKind tells events apart.
type EventKind int

const (
	Note    EventKind = iota // Text, to be kept
	Status                   // Text, of the moment: a download
	Booting                  // a VM starts
	Booted                   // its agent said hello; Took
	Played                   // a case has its verdict; Out, Done, Of
	Ended                    // the target is through; Done, Of
)

// Column is what became of a target.
type Column struct {
	Target string
	// Release and Version are uname(2)'s, empty when nothing booted.
	Release, Version string
	// Notes are for a person: a second try, where a console's log is.
	Notes []string
	// Boots is how many VMs were started, BootTime the first one's way to
	// its agent.
	Boots    int
	BootTime time.Duration
	Outcomes []Outcome // one for each case, in their order
}

// Run plays every case on every target and returns a column for each, in
// their order. It always returns all of them: what could not be played has
// a verdict that says so.
func (r *Runner) Run(ctx context.Context, targets []Target, cases []*nlcase.Case) []Column {
	slots := make(chan struct{}, r.slots())
	columns := make([]Column, len(targets))
	var wg sync.WaitGroup
	for i := range targets {
		wg.Go(func() {
			p := &player{Runner: r, t: &targets[i], col: &columns[i], cases: cases, slots: slots}
			p.col.Target = targets[i].Name
			p.col.Outcomes = make([]Outcome, len(cases))
			p.run(ctx)
			p.event(Event{Kind: Ended, Done: len(cases)})
		})
	}
	wg.Wait()
	return columns
}

func (r *Runner) caseTimeout() time.Duration {
	if r.CaseTimeout > 0 {
		return r.CaseTimeout
	}
	return DefaultCaseTimeout
}

func (r *Runner) bootTimeout() time.Duration {
	if r.BootTimeout > 0 {
		return r.BootTimeout
	}
	return DefaultBootTimeout
}

// player fills one target's column.
type player struct {
	*Runner
	t     *Target
	col   *Column
	cases []*nlcase.Case
	slots chan struct{}
	done  int
	again *nlcase.Case // has had a second try, because QEMU stood still in the first
}

func (p *player) event(e Event) {
	if p.Progress != nil {
		e.Target, e.Of = p.t.Name, len(p.cases)
		p.Progress(e)
	}
}

func (p *player) note(s string) {
	p.col.Notes = append(p.col.Notes, s)
	p.event(Event{Kind: Note, Text: s})
}

// say is a note of how this machine did it, which no report keeps.
func (p *player) say(s string) { p.event(Event{Kind: Note, Text: s}) }

func (p *player) status(s string) { p.event(Event{Kind: Status, Text: s}) }

// set gives case i its verdict.
func (p *player) set(i int, o Outcome) {
	o.Case = p.cases[i]
	p.col.Outcomes[i] = o
	p.done++
	p.event(Event{Kind: Played, Out: &p.col.Outcomes[i], Done: p.done})
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
	if err := p.t.prepare(ctx, Says{p.note, p.status}); err != nil {
		var skip *SkipError
		if errors.As(err, &skip) {
			p.setRest(0, Outcome{Verdict: Skip, Reason: skip.Reason})
			return
		}
		p.setRest(0, Outcome{Verdict: Infra, Reason: err.Error()})
		return
	}
	if p.t.vm {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-ctx.Done():
		}
	}
	if p.t.close != nil {
		defer func() {
			if err := p.t.close(); err != nil {
				p.say("keep the warm image: " + err.Error())
			}
		}()
	}
	for i := 0; i < len(p.cases); {
		if err := context.Cause(ctx); err != nil {
			p.setRest(i, Outcome{Verdict: Infra, Reason: "interrupted: " + err.Error()})
			return
		}
		s, failed := p.boot(ctx)
		if s == nil {
			p.setRest(i, failed)
			return
		}
		i = p.playFrom(ctx, s, i)
	}
}

// playFrom plays on s from case i on, and returns the first case that needs
// another machine.
func (p *player) playFrom(ctx context.Context, s *session, i int) (next int) {
	first, last, alive := i, -1, true // last is the case that was played last
	ids := map[uint32]int{}           // the case of each that the guest knows
	defer func() {
		if alive {
			s.bye()
			p.late(s, last)
		}
		for _, id := range s.undead {
			if i, ok := ids[id]; ok {
				p.amend(i, leaked(p.col.Outcomes[i], "its network namespace"))
			}
		}
		p.end(s)
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
		if !alive {
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
	p.event(Event{Kind: Booting, Done: p.done})
	p.col.Boots++
	start := time.Now()
	m, warm, err := p.t.start(ctx, p.bootTimeout(), p.say)
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
		p.end(s)
		p.say("booting cold: its warm image does not start: " + err.Error())
		if err := p.t.discard(); err != nil {
			p.say("remove the warm image: " + err.Error())
		}
		return p.bootOnce(ctx)
	}
	if err != nil {
		o := p.bootFailure(ctx, m, err)
		p.end(s)
		return nil, o
	}
	took := time.Since(start)
	if p.col.Release == "" {
		p.col.Release, p.col.Version, p.col.BootTime = s.hello.Release, s.hello.KernelVersion, took
	}
	p.event(Event{Kind: Booted, Took: took, Done: p.done})
	return s, Outcome{}
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

// end closes a machine and keeps its console.
func (p *player) end(s *session) {
	if err := s.close(); err != nil {
		p.note("close the VM: " + err.Error())
	}
	if p.Console == "" || !p.t.vm {
		return
	}
	if err := keepConsole(p.Console, p.t.Name, s.m.Console().String()); err != nil {
		p.note("keep the console: " + err.Error())
	}
}

// SkipError says why a target cannot be played at all on this machine.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return e.Reason }

// Broken returns what kept the columns from being evidence, nil if nothing.
func Broken(columns []Column) error {
	var errs *multierror.Error
	for _, c := range columns {
		seen := map[string]bool{}
		for _, o := range c.Outcomes {
			if o.Verdict == Infra && !seen[o.Reason] {
				seen[o.Reason] = true
				errs = multierror.Append(errs, fmt.Errorf("%s: %s", c.Target, o.Reason))
			}
		}
	}
	return errs.ErrorOrNil()
}
