//go:build linux

package host

import (
	"errors"
	"fmt"
	"io"
	"sync"
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

	out    chan *wire.Output // closed with the last stream
	exited chan struct{}     // closed when it has ended, after exit and failed are set
	eof    chan struct{}     // closed when all its output has been taken
	exit   Exit
	failed error // it was not started

	gone    chan struct{} // closed when the reader must not wait
	release sync.Once     // closes gone
}

// Start starts a program.
func (vm *VM) Start(s Spec) (*Process, error) {
	if s.WaitDelay == 0 {
		s.WaitDelay = DefaultWaitDelay
	}
	p := &Process{vm: vm, spec: s, open: 2, out: make(chan *wire.Output, maxAhead),
		exited: make(chan struct{}), eof: make(chan struct{}), gone: make(chan struct{})}
	merged := s.Stdout != nil && s.Stdout == s.Stderr
	if merged {
		p.open = 1
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
			case <-p.gone:
			}
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
	}
	p.open = open
}

// write gives the output to those who want it. One who takes no more is not
// waited for.
func (p *Process) write() {
	defer close(p.eof)
	streams := [3]io.Writer{1: p.spec.Stdout, 2: p.spec.Stderr}
	for {
		select {
		case m, ok := <-p.out:
			if !ok {
				return
			}
			if w := streams[m.Stream]; w != nil {
				if _, err := w.Write(m.Data); err != nil {
					streams[m.Stream] = nil
				}
			}
		case <-p.gone:
			for {
				select {
				case m, ok := <-p.out:
					if !ok {
						return
					}
					if w := streams[m.Stream]; w != nil {
						_, _ = w.Write(m.Data) // the last words
					}
				default:
					return
				}
			}
		}
	}
}

// Signal sends it a signal.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.vm.send(&wire.Signal{Program: p.id, Signal: uint8(sig)})
}

// Exited is closed when it has ended; its output may not have yet.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits until it has ended and all its output has been written. An error
// says that there is more to it than how it ended: a *LostError where its kernel
// was lost, ErrIncomplete, or why it was not started.
func (p *Process) Wait() (Exit, error) {
	defer func() {
		p.vm.mu.Lock()
		delete(p.vm.programs, p.id)
		p.vm.mu.Unlock()
		p.release.Do(func() { close(p.gone) })
		<-p.eof
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
	select {
	case <-p.eof:
		return p.exit, nil
	case <-p.vm.lost:
		return p.exit, p.vm.Err()
	case <-time.After(p.spec.WaitDelay):
		return p.exit, ErrIncomplete
	}
}

// answer sends the next piece of an input, or its end.
func answer(conn *wire.Conn, id uint32, r io.Reader) {
	buf := make([]byte, 32<<10)
	n, err := 0, error(nil)
	for n == 0 && err == nil {
		n, err = r.Read(buf)
	}
	_ = conn.Send(&wire.Input{Program: id, Data: buf[:n]}) // an error is the reader's to notice
}
