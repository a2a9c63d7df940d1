//go:build linux

package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/guest/klog"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// machine is something with an agent in it: a VM, or a process of this
// machine. It has booted nothing yet when it is handed over.
type machine interface {
	Port() io.ReadWriter
	Console() *console.Log
	// NMI makes a kernel that hangs say where, if it can be done.
	NMI() error
	// Wait waits for the machine to end by itself, at most d.
	Wait(d time.Duration) bool
	// Failure says what went wrong with the machine rather than with the
	// kernel in it; empty if nothing.
	Failure() string
	Close() error
}

const (
	// lostGrace is how long a kernel that is dying may take to say why.
	lostGrace = 5 * time.Second
	// showTimeout bounds the wait for the stacks of a case that hangs. Beside one
	// that spins with a real-time priority the agent has a twentieth of the
	// processor (kernel/sched/deadline.c dl_server).
	showTimeout = 6 * time.Second
	// oopsGrace is how long a case may take to end after an oops, which as a
	// rule killed its thread, and the kernel to tell all of it.
	oopsGrace = 1500 * time.Millisecond
	// localTimeout bounds the start of an agent on the running kernel.
	localTimeout = 2 * time.Second
	// byeTimeout has the guest's wait for namespaces to go in it.
	byeTimeout = 5 * time.Second
)

// session talks to one machine's agent.
type session struct {
	m       machine
	conn    *wire.Conn
	hello   *wire.Hello
	modules func(name string) ([]initramfs.Module, error)
	in      chan wire.Message // closed when the stream ended, after readErr is set
	readErr error
	nextID  uint32
	taint   uint32 // as the guest told it last
	// idle is what the kernel logged while no case ran: what a worker of it
	// did after a case, as a rule.
	idle health
	// undead are the cases whose namespaces outlived them, known in the end.
	undead []uint32
	// config is what the kernel says of its configuration, read when it is
	// asked for; nil if it says nothing.
	config func() map[string]string
	// stuck says that QEMU stands still, and not only the kernel in it.
	stuck bool
	// entropy says that the guest gets a random pool of its own.
	entropy bool
	// timing is where its time goes; nil when nobody asked.
	timing *Timing
}

// newSession starts to read from m, which is one of t's.
func newSession(m machine, t *Target) *session {
	s := &session{m: m, conn: wire.NewConn(wire.Host, m.Port()), modules: t.modules, entropy: t.entropy, in: make(chan wire.Message, 64)}
	s.config = sync.OnceValue(s.readConfig)
	go s.read()
	return s
}

// close ends the machine and the reader.
func (s *session) close() error {
	err := s.m.Close()
	for range s.in { // the reader may wait to hand over what nobody wants now
	}
	return err
}

// awaitHello wakes the agent, which must be the one named.
func (s *session) awaitHello(ctx context.Context, agent string, timeout time.Duration) error {
	wake := &wire.Wake{Time: time.Now().UnixNano()}
	if s.entropy {
		wake.Entropy = make([]byte, 64)
		rand.Read(wake.Entropy)
	}
	if err := s.conn.Send(wake); err != nil {
		return fmt.Errorf("no hello from the agent: %w", err)
	}
	select {
	case msg, ok := <-s.in:
		if !ok {
			return fmt.Errorf("no hello from the agent: %w", s.readErr)
		}
		hello, ok := msg.(*wire.Hello)
		if !ok {
			return fmt.Errorf("the agent's first message is %v, want hello", msg.Type())
		}
		if hello.Agent != agent {
			return fmt.Errorf("the agent is %.12q, want %.12q", hello.Agent, agent)
		}
		s.hello, s.taint = hello, hello.Tainted
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("no hello from the agent within %v", timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read is the port's one reader. Wants are answered at once: the kernel, and
// not only the case, may wait for the module.
func (s *session) read() {
	defer close(s.in)
	for {
		m, err := s.conn.Recv()
		if err != nil {
			s.readErr = err
			return
		}
		if w, ok := m.(*wire.Want); ok {
			go s.supply(w)
			continue
		}
		s.in <- m
	}
}

// supply sends the modules that w needs. An error of the stream is read's to
// notice.
func (s *session) supply(w *wire.Want) {
	mods, err := s.modules(w.Name)
	if err != nil {
		_ = s.conn.Send(&wire.Module{ID: w.ID, Name: w.Name, Err: err.Error()})
		return
	}
	if len(mods) == 0 { // built in
		_ = s.conn.Send(&wire.Module{ID: w.ID, Name: w.Name})
	}
	for i, m := range mods {
		if s.conn.Send(&wire.Module{ID: w.ID, Name: m.Name, Data: m.Data, Left: uint32(len(mods) - 1 - i)}) != nil {
			return
		}
	}
}

// ended says whether the stream ended while no case ran.
func (s *session) ended() bool {
	for {
		select {
		case msg, ok := <-s.in:
			if !ok {
				return true
			}
			s.idle.heard(msg)
		default:
			return false
		}
	}
}

// play has the guest play c, as if it were the kernel of another release where
// one is given. alive is false when the machine is of no use from then on.
func (s *session) play(ctx context.Context, c *nlcase.Case, as string, timeout time.Duration) (o Outcome, alive bool) {
	start := time.Now()
	s.nextID++
	id := s.nextID
	var h health
	mark := s.m.Console().Written()
	defer func() {
		if !alive {
			// What did not reach the agent may be on the console.
			h.console(s.m.Console().Since(mark))
		}
		o = h.judge(o)
		alive = alive && trusted(o.Verdict)
		o.Case, o.Log, o.Took = c, h.log(), time.Since(start)
		s.timing.played(o.Took)
	}()
	if err := s.conn.Send(&wire.Play{ID: id, Name: c.Name, Text: c.Text, Release: as}); err != nil {
		return s.lost(err), false
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	beat := start
	var oopsed <-chan time.Time
	for {
		select {
		case msg, ok := <-s.in:
			if !ok {
				return s.lost(s.readErr), false
			}
			switch m := msg.(type) {
			case *wire.Heartbeat:
				beat = time.Now()
			case *wire.Kmsg:
				if m.Case != id {
					s.idle.heard(m)
					continue
				}
				h.heard(m)
				if w := h.reports.Worst(); w != nil && w.Kind == klog.Oops && oopsed == nil {
					oopsed = time.After(oopsGrace)
				}
			case *wire.Result:
				if m.Case != id {
					return s.lost(fmt.Errorf("result of case %d while case %d ran", m.Case, id)), false
				}
				h.ended(m, s.taint)
				s.taint |= m.Tainted
				return s.result(c, m, as), true
			case *wire.Stacks: // late, of a case before
			default:
				return s.lost(fmt.Errorf("unexpected %v while a case ran", msg.Type())), false
			}
		case <-oopsed:
			return Outcome{Verdict: Oops}, false
		case <-deadline.C:
			return s.hung(timeout, time.Since(beat)), false
		case <-ctx.Done():
			return Outcome{Verdict: Infra, Reason: "interrupted: " + context.Cause(ctx).Error()}, false
		}
	}
}

func (s *session) result(c *nlcase.Case, r *wire.Result, as string) Outcome {
	switch {
	case r.Err != "":
		return Outcome{Verdict: Infra, Reason: "the agent could not play it: " + console.Printable(r.Err)}
	case r.Skip != "":
		return Outcome{Verdict: Skip, Reason: console.Printable(r.Skip)}
	}
	t := new(nlcase.Transcript)
	if err := t.UnmarshalBinary(r.Transcript); err != nil {
		return Outcome{Verdict: Infra, Reason: "the agent's transcript is malformed: " + err.Error()}
	}
	// What the guest left out by version guards is checked against what the
	// kernel said of itself at first.
	if t.Release = as; as == "" {
		t.Release = nlcase.Release(s.hello.Release, s.hello.KernelVersion)
	}
	return judge(c, t)
}

// lost is the verdict on a machine whose stream ended or broke with err.
func (s *session) lost(err error) Outcome {
	ended := s.m.Wait(lostGrace)
	if d, ok := s.m.Console().Death(); ok {
		o := Outcome{Verdict: Panic, Reason: d.Panic, LastWords: d.Lines}
		if d.Init {
			o.Verdict = AgentLost
		}
		// A kernel that finds no process to kill but PID 1 panics.
		if strings.Contains(d.Panic, "System is deadlocked on memory") {
			o.Verdict = OOM
		}
		return o
	}
	o := Outcome{Verdict: AgentLost, LastWords: s.m.Console().Last(lastLines)}
	switch f := s.m.Failure(); {
	case f != "":
		o.Verdict, o.Reason = VMCrash, f
	case ended && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		o.Verdict, o.Reason = VMCrash, "the VM ended with no word from its kernel"
		if said := turnedOff(o.LastWords); said != "" {
			o.Verdict, o.Reason = AgentLost, "the kernel was turned off from inside: "+said
		}
	default:
		o.Reason = "lost the agent: " + err.Error()
	}
	return o
}

// turnedOff is what a kernel says last that was told to end by a program
// (kernel/reboot.c kernel_power_off, drivers/tty/sysrq.c sysrq_handle_reboot).
func turnedOff(words []string) string {
	for _, line := range slices.Backward(words) {
		for _, said := range []string{"reboot: Power", "reboot: Restarting", "reboot: System halted", "sysrq: Resetting"} {
			if i := strings.Index(line, said); i >= 0 {
				return line[i:]
			}
		}
	}
	return ""
}

// hung asks an agent that still lives for the kernel stacks of its threads,
// and a kernel that does not for its last words.
func (s *session) hung(timeout, silent time.Duration) Outcome {
	o := Outcome{Verdict: Hang}
	if silent < 4*time.Second && s.conn.Send(&wire.Show{}) == nil {
		if text, ok := s.awaitStacks(); ok {
			o.Reason = fmt.Sprintf("no result within %v; the agent lives", timeout)
			o.LastWords = strings.Split(strings.TrimSpace(console.Printable(text)), "\n")
			return o
		}
	}
	o.Reason = fmt.Sprintf("no result within %v; the kernel runs no user space", timeout)
	if err := s.m.NMI(); errors.Is(err, os.ErrDeadlineExceeded) {
		s.stuck = true
		o.Verdict, o.Reason = VMCrash, fmt.Sprintf("no result within %v; QEMU itself does not answer: %v", timeout, err)
	} else if err != nil {
		o.Reason += " (" + err.Error() + ")"
	} else if s.m.Wait(lostGrace) {
		if d, ok := s.m.Console().Death(); ok {
			o.LastWords = d.Lines
			return o
		}
	}
	o.LastWords = s.m.Console().Last(lastLines)
	return o
}

func (s *session) awaitStacks() (string, bool) {
	timeout := time.After(showTimeout)
	for {
		select {
		case msg, ok := <-s.in:
			if !ok {
				return "", false
			}
			if m, ok := msg.(*wire.Stacks); ok {
				return m.Text, true
			}
		case <-timeout:
			return "", false
		}
	}
}

// bye asks the agent for what is to be known in the end. What is left of the
// machine then is nobody's loss. A guest that does not answer is left to
// Close.
func (s *session) bye() {
	start := time.Now()
	defer func() { s.timing.left(time.Since(start), s.m) }()
	if s.conn.Send(&wire.Leave{}) != nil {
		return
	}
	timeout := time.After(byeTimeout)
	for {
		select {
		case msg, ok := <-s.in:
			if !ok {
				return
			}
			s.idle.heard(msg)
			if m, ok := msg.(*wire.Bye); ok {
				s.undead = m.Undead
				return
			}
		case <-timeout:
			return
		}
	}
}
