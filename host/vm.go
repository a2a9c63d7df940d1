//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/klog"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// VM is a kernel that programs run in. Its methods may be called by many
// goroutines.
type VM struct {
	t *Target
	p *player
	s *session

	lost chan struct{}                           // closed when the kernel is, after outcome is set
	ill  chan struct{}                           // closed when the kernel reported what a program may not survive
	done chan struct{}                           // closed when the reader has ended
	fate chan func(silent time.Duration) Outcome // to the reader: the kernel is to be given up

	born  time.Time
	heard atomic.Int64 // after born

	putting sync.Mutex // orders files; held before mu
	shared  []byte     // memory that the guest sees, too; nil for none

	mu       sync.Mutex // guards the rest
	outcome  Outcome    // of a kernel that was lost
	health   health
	programs map[uint32]*Process
	answers  map[uint32]chan wire.Message
	next     uint32
	closed   bool
}

// VMOptions is how a VM is to be. The zero value works.
type VMOptions struct {
	// Modules are loaded at first.
	Modules []string
	// Console is a directory where the console's log is kept; empty for
	// nowhere.
	Console string
	// Quiet is how long the guest may say nothing before it is taken to hang;
	// 0 for a default that suits a busy machine.
	Quiet time.Duration
	// BootTimeout bounds the way to the agent; 0 for DefaultBootTimeout.
	BootTimeout time.Duration
	Says        Says
}

const (
	// requestTimeout bounds what the guest does by itself.
	requestTimeout = 30 * time.Second
	// vmSilence is how long a guest whose agent sends a sign of life four times
	// a second may send none.
	vmSilence = 30 * time.Second
	// doubt is how much longer it may then send none.
	doubt = time.Second
	// piece is how much of a file is sent over the port at once, and smallFile
	// what is sent so where there is a better way.
	piece     = 64 << 10
	smallFile = 16 << 10
)

// OpenVM starts a VM of t for programs, and prepares t if need be. An error is a
// *LostError where a kernel did not come up.
func (r *Rig) OpenVM(ctx context.Context, t *Target, o VMOptions) (*VM, error) {
	if !t.vm {
		return nil, fmt.Errorf("%s is no VM", t.Name)
	}
	if o.Says.Note == nil {
		say := func(string) {}
		o.Says = Says{say, say, say}
	}
	progress := func(e Event) {
		switch e.Kind {
		case Note:
			o.Says.Moment(e.Target + ": " + e.Text)
		case Booting:
			o.Says.Status("starting " + e.Target)
		}
	}
	p := &player{t: t, col: new(Column), Runner: &Runner{Console: o.Console, BootTimeout: o.BootTimeout, Progress: progress}}
	preparing := o.Says
	preparing.Status = func(s string) { o.Says.Status(t.Name + ": " + s) }
	if err := t.Prepare(ctx, preparing); err != nil {
		return nil, err
	}
	s, failed := p.boot(ctx)
	o.Says.Status("")
	if s == nil {
		return nil, &LostError{t.Name, failed}
	}
	vm := &VM{t: t, p: p, s: s, born: time.Now(), lost: make(chan struct{}), ill: make(chan struct{}), done: make(chan struct{}), fate: make(chan func(time.Duration) Outcome),
		programs: map[uint32]*Process{}, answers: map[uint32]chan wire.Message{}}
	quiet := o.Quiet
	if quiet == 0 {
		quiet = vmSilence
	}
	if m, ok := s.m.(interface{ Shared() []byte }); ok {
		vm.shared = m.Shared()
	}
	go vm.read(quiet)
	var err error
	if vm.shared == nil { // else it has been, in its image
		err = vm.request(ctx, func(id uint32) wire.Message { return &wire.Equip{ID: id} })
	}
	for _, name := range o.Modules {
		if err == nil {
			err = vm.Modprobe(ctx, name)
		}
	}
	if err != nil {
		return nil, errors.Join(err, vm.Close())
	}
	return vm, nil
}

// Kernel is the kernel's name, as it was asked for.
func (vm *VM) Kernel() string { return vm.t.Name }

// Release is uname -r's.
func (vm *VM) Release() string { return vm.s.hello.Release }

// Lost is closed when the kernel or its agent is no more.
func (vm *VM) Lost() <-chan struct{} { return vm.lost }

// Ill is closed when the kernel has reported an oops or a lockup.
func (vm *VM) Ill() <-chan struct{} { return vm.ill }

// Trouble is the worst that the kernel has reported so far: a verdict and its
// report, false if there is nothing.
func (vm *VM) Trouble() (Outcome, bool) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	o := vm.health.judge(Outcome{Verdict: Pass})
	return o, o.Verdict != Pass
}

// Err is a *LostError once the kernel is lost, else nil.
func (vm *VM) Err() error {
	select {
	case <-vm.lost:
		return &LostError{vm.t.Name, vm.outcome}
	default:
		return nil
	}
}

// Close ends the VM and its programs.
func (vm *VM) Close() error {
	vm.mu.Lock()
	was := vm.closed
	vm.closed = true
	vm.mu.Unlock()
	if was {
		return nil
	}
	_, ill := vm.Trouble()
	vm.release()
	vm.p.end(vm.s, ill || vm.Err() != nil)
	<-vm.done
	return nil
}

// read takes what the guest sends, to the end.
func (vm *VM) read(silence time.Duration) {
	defer close(vm.done)
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	give := func(why func() Outcome) {
		vm.lose(why)
		for range vm.s.in { // until the machine is closed
		}
	}
	doubted := false
	for {
		select {
		case msg, ok := <-vm.s.in:
			if !ok {
				vm.lose(func() Outcome { return vm.s.lost(vm.s.readErr) })
				return
			}
			vm.take(msg)
			doubted = false
			quiet.Reset(silence)
			vm.heard.Store(int64(time.Since(vm.born)))
		case why := <-vm.fate:
			give(func() Outcome { return why(vm.silent()) })
			return
		case <-quiet.C:
			// It may be this process that did not run, and what the guest has
			// sent is on its way.
			if !doubted {
				doubted = true
				quiet.Reset(doubt)
				continue
			}
			give(func() Outcome { return vm.s.hung(silence, silence) })
			return
		}
	}
}

// silent is how long ago the agent was heard.
func (vm *VM) silent() time.Duration { return time.Since(vm.born) - time.Duration(vm.heard.Load()) }

// condemn gives the kernel up, for what why finds out. silent is how long ago its
// agent was heard.
func (vm *VM) condemn(why func(silent time.Duration) Outcome) {
	vm.release() // the reader is to hear of it
	select {
	case vm.fate <- why:
	case <-vm.lost:
	}
	<-vm.lost
}

// lose finds out how the kernel was lost, unless it was ended on purpose.
func (vm *VM) lose(why func() Outcome) {
	vm.mu.Lock()
	closed := vm.closed
	vm.mu.Unlock()
	o := Outcome{Verdict: Infra, Reason: "the VM was closed"}
	if !closed {
		o = why()
	}
	vm.mu.Lock()
	if !closed {
		vm.health.console(vm.s.m.Console().Since(0))
		o = vm.health.judge(o)
	}
	vm.outcome = o
	close(vm.lost)
	vm.mu.Unlock()
	vm.release()
}

// release has the reader wait for no program's output any more.
func (vm *VM) release() {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	for _, p := range vm.programs {
		p.letGo()
	}
}

func (vm *VM) take(msg wire.Message) {
	vm.mu.Lock()
	var p *Process
	var answer chan wire.Message
	switch m := msg.(type) {
	case *wire.Kmsg:
		vm.health.heard(m)
		if w := vm.health.reports.Worst(); w != nil && (w.Kind == klog.Oops || w.Kind == klog.Lockup) {
			select {
			case <-vm.ill:
			default:
				close(vm.ill)
			}
		}
	case *wire.Read:
		p = vm.programs[m.Program]
	case *wire.Output:
		p = vm.programs[m.Program]
	case *wire.Exited:
		p = vm.programs[m.Program]
	case *wire.Done:
		answer = vm.answers[m.ID]
	case *wire.Content:
		answer = vm.answers[m.ID]
	}
	vm.mu.Unlock()
	if answer != nil {
		answer <- msg
	}
	if p != nil {
		p.take(msg)
	}
}

// ask registers for the answers to a request. forget must be called.
func (vm *VM) ask() (id uint32, answers chan wire.Message, forget func()) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.next++
	id, answers = vm.next, make(chan wire.Message, 4)
	vm.answers[id] = answers
	return id, answers, func() {
		vm.mu.Lock()
		delete(vm.answers, id)
		vm.mu.Unlock()
		select { // the reader may have one more
		case <-answers:
		default:
		}
	}
}

// send sends m. Where that cannot be done the kernel is lost, or will be.
func (vm *VM) send(m wire.Message) error {
	if err := vm.s.conn.Send(m); err != nil {
		select {
		case <-vm.lost:
			return vm.Err()
		case <-time.After(lostGrace + time.Second):
		}
		return fmt.Errorf("%s: %w", vm.t.Name, err)
	}
	return nil
}

func (vm *VM) request(ctx context.Context, m func(id uint32) wire.Message) error {
	_, err := vm.requestLeft(ctx, m)
	return err
}

func (vm *VM) requestLeft(ctx context.Context, m func(id uint32) wire.Message) (left []string, err error) {
	id, answers, forget := vm.ask()
	defer forget()
	if err := vm.send(m(id)); err != nil {
		return nil, err
	}
	return vm.await(ctx, answers)
}

// await waits for Done.
func (vm *VM) await(ctx context.Context, answers <-chan wire.Message) (left []string, err error) {
	select {
	case msg := <-answers:
		d, ok := msg.(*wire.Done)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: the agent answered %v, want done", vm.t.Name, msg.Type())
		case d.Err != "":
			return nil, &agentError{vm.t.Name, console.Printable(d.Err)}
		}
		for i := range d.Left {
			d.Left[i] = console.Printable(d.Left[i])
		}
		return d.Left, nil
	case <-vm.lost:
		return nil, vm.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(requestTimeout):
		return nil, fmt.Errorf("%s: the agent did not answer within %v", vm.t.Name, requestTimeout)
	}
}

// agentError is the agent's.
type agentError struct{ target, text string }

func (e *agentError) Error() string { return e.target + ": " + e.text }

// Is makes fs.ErrNotExist of what the guest does not have.
func (e *agentError) Is(target error) bool {
	return target == fs.ErrNotExist && strings.HasSuffix(e.text, unix.ENOENT.Error())
}

// Modprobe loads a module and those it needs. One that is built in is no error.
func (vm *VM) Modprobe(ctx context.Context, name string) error {
	err := vm.request(ctx, func(id uint32) wire.Message { return &wire.Modprobe{ID: id, Name: name} })
	if err != nil {
		return fmt.Errorf("modprobe %s: %w", name, err)
	}
	return nil
}

// Tidy ends all programs and removes all files that were put. left says what
// else they have changed: then another VM is better for what comes next.
func (vm *VM) Tidy(ctx context.Context) (left []string, err error) {
	return vm.requestLeft(ctx, func(id uint32) wire.Message { return &wire.Tidy{ID: id} })
}

// Put writes a file with its directories; of a symbolic link r gives the target.
func (vm *VM) Put(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error {
	vm.putting.Lock()
	defer vm.putting.Unlock()
	id, answers, forget := vm.ask()
	defer forget()
	buf := vm.shared
	if buf == nil {
		buf = make([]byte, piece)
	}
	for more := true; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(r, buf)
		more = err == nil
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		m := &wire.Put{ID: id, Path: path, Mode: statMode(mode), More: more}
		if vm.shared != nil && n > smallFile {
			m.Shared = uint32(n)
		} else {
			m.Data = buf[:n]
		}
		if err := vm.send(m); err != nil {
			return err
		}
		if m.Shared > 0 || !more {
			if _, err := vm.await(ctx, answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// statMode is st_mode of stat(2).
func statMode(m fs.FileMode) uint32 {
	kind := uint32(unix.S_IFREG)
	switch m.Type() {
	case fs.ModeDir:
		kind = unix.S_IFDIR
	case fs.ModeSymlink:
		kind = unix.S_IFLNK
	}
	return kind | uint32(m.Perm())
}

// Fetch reads a file, or the files below a directory, from the guest: take gets
// each piece, with a name that is relative to path and not to be trusted.
func (vm *VM) Fetch(ctx context.Context, path string, take func(*wire.Content) error) error {
	id, answers, forget := vm.ask()
	defer forget()
	if err := vm.send(&wire.Fetch{ID: id, Path: path}); err != nil {
		return err
	}
	var failed error
	for {
		select {
		case msg := <-answers:
			c, ok := msg.(*wire.Content)
			if !ok {
				return fmt.Errorf("%s: the agent answered %v, want content", vm.t.Name, msg.Type())
			}
			if c.End {
				if c.Err != "" && failed == nil {
					failed = &agentError{vm.t.Name, console.Printable(c.Err)}
				}
				return failed
			}
			if failed == nil { // else it is only drained
				failed = take(c)
			}
		case <-vm.lost:
			return vm.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(requestTimeout):
			return fmt.Errorf("%s: the agent sent nothing of %s within %v", vm.t.Name, path, requestTimeout)
		}
	}
}
