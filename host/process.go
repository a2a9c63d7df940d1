//go:build linux

package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// Spec is a program to start in a VM.
type Spec struct {
	Path string   // in the guest; a name alone is looked up in its PATH
	Args []string // after the name
	Env  []string
	Dir  string
	// Stdin is the program's; nil for none. A Read that blocks is left behind
	// when the program has ended.
	Stdin io.Reader
	// Stdout and Stderr get what it writes; nil for nowhere. Where they are the
	// same it has one pipe for both, and what it writes keeps its order.
	Stdout, Stderr io.Writer
	// WaitDelay is how long its output may stay open when it has ended, for
	// what it has left behind may hold it; 0 for DefaultWaitDelay.
	WaitDelay time.Duration
}

// DefaultWaitDelay is the go command's for a test without a timeout of its own.
const DefaultWaitDelay = 5 * time.Second

// ErrIncomplete is Wait's where the output was still open after WaitDelay.
var ErrIncomplete = errors.New("its output is still open")

// Exit is how a program ended.
type Exit struct {
	Status int
	Signal syscall.Signal // 0 for none
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "signal: " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// maxAhead is how many pieces of output a program may be ahead of who takes it.
const maxAhead = 512

// Process is a program that was started.
type Process struct {
	vm   *VM
	id   uint32
	spec Spec

	// Of the VM's reader.
	ended bool
	open  int // streams

	out     chan *wire.Output // closed with the last stream
	exited  chan struct{}     // closed when it has ended, after exit and failed are set
	all     chan struct{}     // closed when all its output is here
	eof     chan struct{}     // closed when that has been taken
	stalled atomic.Bool       // the reader waits for who takes it
	exit    Exit
	failed  error // it was not started
	untaken error // of writing its output, after eof

	gone    chan struct{} // closed when the reader must not wait
	release sync.Once     // closes gone
}

// Start starts a program.
func (vm *VM) Start(s Spec) (*Process, error) {
	if s.WaitDelay == 0 {
		s.WaitDelay = DefaultWaitDelay
	}
	p := &Process{vm: vm, spec: s, open: 2, out: make(chan *wire.Output, maxAhead),
		exited: make(chan struct{}), all: make(chan struct{}), eof: make(chan struct{}), gone: make(chan struct{})}
	merged := s.Stdout != nil && same(s.Stdout, s.Stderr)
	if merged {
		p.open = 1
	}
	if n := max(len(s.Args)+1, len(s.Env)); n > wire.MaxWords {
		return nil, fmt.Errorf("start %s: %d arguments or variables, at most %d", s.Path, n, wire.MaxWords)
	}
	vm.mu.Lock()
	if err := vm.Err(); err != nil || vm.closed {
		vm.mu.Unlock()
		return nil, errors.Join(err, fmt.Errorf("start %s in a VM that has ended", s.Path))
	}
	vm.next++
	p.id = vm.next
	vm.programs[p.id] = p
	vm.mu.Unlock()
	go p.write()
	err := vm.send(&wire.Exec{Program: p.id, Path: s.Path, Args: append([]string{s.Path}, s.Args...),
		Env: s.Env, Dir: s.Dir, Stdin: s.Stdin != nil, Merged: merged})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// same is a == b, and false where that cannot be told.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }() // as os/exec does: the comparison panics on some types
	return a == b
}

// take is the VM's reader's.
func (p *Process) take(msg wire.Message) {
	switch m := msg.(type) {
	case *wire.Read:
		if p.spec.Stdin != nil {
			go answer(p.vm.s.conn, p.id, p.spec.Stdin)
		}
	case *wire.Output:
		switch {
		case p.open == 0:
		case len(m.Data) == 0:
			p.close(p.open - 1)
		default:
			select {
			case p.out <- m:
				return
			default:
			}
			p.stalled.Store(true)
			select {
			case p.out <- m:
			case <-p.gone:
			}
			p.stalled.Store(false)
		}
	case *wire.Exited:
		if p.ended {
			return
		}
		p.ended = true
		p.exit = Exit{Status: int(m.Status), Signal: syscall.Signal(m.Signal)}
		if m.Err != "" {
			p.failed = errors.New(p.vm.t.Name + ": " + console.Printable(m.Err))
			p.close(0)
		}
		close(p.exited)
	}
}

func (p *Process) close(open int) {
	if p.open > 0 && open == 0 {
		close(p.out)
		close(p.all)
	}
	p.open = open
}

// write gives the output to those who want it. Where one takes no more, the
// program ends as by a broken pipe; what cannot be written else, Wait tells.
func (p *Process) write() {
	defer close(p.eof)
	streams := [3]io.Writer{1: p.spec.Stdout, 2: p.spec.Stderr}
	give := func(m *wire.Output) {
		w := streams[m.Stream]
		if w == nil {
			return
		}
		if _, err := w.Write(m.Data); err != nil {
			streams[m.Stream] = nil
			if p.untaken == nil {
				p.untaken = fmt.Errorf("write its output: %w", err)
			}
			if errors.Is(err, syscall.EPIPE) {
				_ = p.Signal(syscall.SIGKILL) // a VM that is lost is the reader's to notice
			}
		}
	}
	for {
		select {
		case m, ok := <-p.out:
			if !ok {
				return
			}
			give(m)
		case <-p.gone:
			for { // the last words
				select {
				case m, ok := <-p.out:
					if !ok {
						return
					}
					give(m)
				default:
					return
				}
			}
		}
	}
}

// letGo has the reader wait for nobody to take the output.
func (p *Process) letGo() { p.release.Do(func() { close(p.gone) }) }

// Signal sends it a signal.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.vm.send(&wire.Signal{Program: p.id, Signal: uint8(sig)})
}

// Exited is closed when it has ended; its output may not have yet.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits until it has ended and all its output has been taken, however long
// that takes. An error says that there is more to it than how it ended: a
// *LostError where its kernel was lost, ErrIncomplete, why it was not started, or
// why its output could not be written.
func (p *Process) Wait() (Exit, error) { return p.wait(context.Background()) }

// wait is Wait, and gives up what has not been taken when ctx ends.
func (p *Process) wait(ctx context.Context) (exit Exit, err error) {
	defer func() {
		p.vm.mu.Lock()
		delete(p.vm.programs, p.id)
		p.vm.mu.Unlock()
		p.letGo()
		select {
		case <-p.eof:
		case <-time.After(lastWords): // it is left to whoever does not take it
			return
		}
		if p.untaken == nil {
			return
		}
		if errors.Is(p.untaken, syscall.EPIPE) {
			if exit.Signal == syscall.SIGKILL {
				exit.Signal = syscall.SIGPIPE
			}
		} else if err == nil {
			err = p.untaken
		}
	}()
	select {
	case <-p.exited:
	case <-p.vm.lost:
		select {
		case <-p.exited: // before that
		default:
			return Exit{}, p.vm.Err()
		}
	}
	if p.failed != nil {
		return Exit{}, p.failed
	}
	for here := false; !here; {
		select {
		case <-p.all:
			here = true
		case <-p.vm.lost:
			return p.exit, p.vm.Err()
		case <-ctx.Done():
			return p.exit, context.Cause(ctx)
		case <-time.After(p.spec.WaitDelay):
			if !p.stalled.Load() {
				return p.exit, ErrIncomplete
			}
		}
	}
	select {
	case <-p.eof:
		return p.exit, nil
	case <-p.gone: // on purpose, or with a kernel that is lost
		return p.exit, cmp.Or(p.vm.Err(), errUntaken)
	case <-ctx.Done():
		return p.exit, errUntaken
	}
}

var errUntaken = errors.New("nobody took its output")

// lastWords bounds the wait for the end of an output that is given up.
const lastWords = time.Second

// answer sends the next piece of an input, or its end.
func answer(conn *wire.Conn, id uint32, r io.Reader) {
	buf := make([]byte, 32<<10)
	n, err := 0, error(nil)
	for n == 0 && err == nil {
		n, err = r.Read(buf)
	}
	_ = conn.Send(&wire.Input{Program: id, Data: buf[:n]}) // an error is the reader's to notice
}
