//go:build linux

// Package host plays cases on kernels: it boots a VM for each kernel, as many
// at once as the machine has room for, judges what comes back, and replaces a
// VM that a case has broken, so that such a case costs itself alone.
package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Target is a kernel to play cases on. Rig.Target and LocalTarget make one.
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
	release  func() string
	kept     *session // the machine of the Run before, nil for none
	prepared bool     // and need not be again

	// silent is what to think of when not a word comes from the kernel.
	silent string
}

// Says is how a target speaks of its preparation.
type Says struct {
	Note   func(string) // to be kept with the column
	Moment func(string) // of this machine and not of the kernel: shown, and not kept
	Status func(string) // of the moment
}

// Runner plays. The zero value of each field is a working default.
type Runner struct {
	// Slots is how many VMs run at once; 0 for what cores and memory allow.
	Slots int
	// CaseTimeout bounds one case, BootTimeout the way to the agent.
	CaseTimeout, BootTimeout time.Duration
	// Isolation is what a case has to itself.
	Isolation Isolation
	// Keep has the machine of each target stay when a Run has ended, for the
	// next Run on the same targets. End ends them.
	Keep bool
	// Timing has each column say where the time of its VMs went.
	Timing bool
	// Console is a directory where the console of each VM is kept; empty
	// for nowhere. Of VMs that had one case each, only of those where it did
	// not hold.
	Console string
	// Progress hears what happens, from many goroutines.
	Progress func(Event)
}

// Isolation is what a case has to itself.
type Isolation string

const (
	// IsolateNetns is a network namespace, in a VM that plays all cases; the
	// zero value means it, too.
	IsolateNetns Isolation = "netns"
	// IsolateVM is a VM, the next of which starts while a case is played.
	IsolateVM Isolation = "vm"
)

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
	Timings  []Timing  // of each VM, with Runner.Timing
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
			p.event(Event{Kind: Ended})
		})
	}
	wg.Wait()
	return columns
}

// End ends the machines that Keep has kept.
func (r *Runner) End(targets []Target) error {
	var errs *multierror.Error
	for i := range targets {
		t := &targets[i]
		if t.kept != nil {
			errs = multierror.Append(errs, t.kept.close())
			t.kept = nil
		}
		if t.prepared && t.close != nil {
			errs = multierror.Append(errs, t.close())
		}
	}
	return errs.ErrorOrNil()
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

// SkipError says why a target cannot be played at all on this machine.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return e.Reason }

// Broken returns what kept the columns from being evidence, nil if nothing.
func Broken(columns []Column) error {
	var errs *multierror.Error
	for _, c := range columns {
		seen := map[string]bool{}
		for _, o := range c.Outcomes {
			if (o.Verdict == Infra || o.Verdict == AccelUnusable) && !seen[o.Reason] {
				seen[o.Reason] = true
				errs = multierror.Append(errs, fmt.Errorf("%s: %s", c.Target, o.Reason))
			}
		}
	}
	return errs.ErrorOrNil()
}
