//go:build linux

package host

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/emulated"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// newestEmulated is the series that "emulated" stands for.
const newestEmulated = "7.3"

// NewEmulated is the emulated kernel that -k calls name: "emulated", which is
// the newest, "emulated@6.12" or "emulated@6.12.94". An error wraps
// kernels.ErrSpec.
func NewEmulated(name string) (*emulated.Kernel, error) {
	release, ok := report.Emulated(name)
	if !ok {
		return nil, fmt.Errorf("%w: %q: want emulated, emulated@6.12 or emulated@6.12.94", kernels.ErrSpec, name)
	}
	if release == "" {
		release = newestEmulated
	}
	k, err := emulated.New(release)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", kernels.ErrSpec, name, err)
	}
	return k, nil
}

// EmulatedTarget is the kernel of NewEmulated, in this process. It speaks to
// the player as an agent does, so that it is played on in the same way.
func EmulatedTarget(name string) (Target, error) {
	k, err := NewEmulated(name)
	if err != nil {
		return Target{}, err
	}
	return Target{
		Name:    name,
		prepare: func(context.Context, Says) error { return nil },
		start: func(context.Context, time.Duration, func(string)) (machine, bool, error) {
			k, err := NewEmulated(name)
			if err != nil {
				return nil, false, err
			}
			return startEmulation(k), false, nil
		},
		modules: func(string) ([]initramfs.Module, error) { return nil, nil },
		config:  func(string) (string, bool) { return "y", true },
		agent:   func() string { return "" },
		release: k.Release,
	}, nil
}

// emulation is an emulated kernel behind an agent's port.
type emulation struct {
	kernel nlcase.Kernel
	port   net.Conn // the host's end
	theirs net.Conn
	conn   *wire.Conn
	log    console.Log
	ended  chan struct{} // closed when nothing is served any more
}

func startEmulation(k nlcase.Kernel) *emulation {
	e := &emulation{kernel: k, ended: make(chan struct{})}
	e.port, e.theirs = net.Pipe()
	e.conn = wire.NewConn(wire.Guest, e.theirs)
	go e.serve()
	return e
}

// serve does what the host asks until either end is closed.
func (e *emulation) serve() {
	defer close(e.ended)
	for {
		m, err := e.conn.Recv()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *wire.Wake:
			err = e.conn.Send(&wire.Hello{Release: e.kernel.Release(), KernelVersion: "emulated"})
			go e.beat()
		case *wire.Play:
			go e.play(m)
		case *wire.Show:
			stacks := make([]byte, 64<<10)
			err = e.conn.Send(&wire.Stacks{Text: string(stacks[:runtime.Stack(stacks, true)])})
		case *wire.Leave:
			err = e.conn.Send(&wire.Bye{})
		}
		if err != nil {
			return
		}
	}
}

// beat says that this process is well, whatever a case does.
func (e *emulation) beat() {
	for range time.Tick(time.Second) {
		if e.conn.Send(&wire.Heartbeat{}) != nil {
			return
		}
	}
}

func (e *emulation) play(p *wire.Play) {
	r := &wire.Result{Case: p.ID}
	c, err := nlcase.Parse(p.Name, p.Text)
	if err != nil {
		r.Err = err.Error()
	} else {
		run := &emulatedRun{Kernel: e.kernel, as: p.Release, died: e.died}
		t := nlcase.PlayFunc(run, c, func(_ int, soFar *nlcase.Transcript) { run.soFar = soFar })
		r.Transcript = t.AppendBinary(nil)
	}
	_ = e.conn.Send(r) // a host that is gone needs none
}

// died has the kernel go as a real one does: with its last words on the
// console.
func (e *emulation) died(why string) {
	fmt.Fprintf(&e.log, "Kernel panic - not syncing: %s\n", strings.TrimPrefix(why, "panic: "))
	e.theirs.Close()
}

// emulatedRun is the kernel for one case.
type emulatedRun struct {
	nlcase.Kernel
	as    string // its release, where it is to be another
	soFar *nlcase.Transcript
	died  func(why string)
}

func (r *emulatedRun) Release() string {
	if r.as != "" {
		return r.as
	}
	return r.Kernel.Release()
}

func (r *emulatedRun) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	return r.Kernel.Net(s, func(n nlcase.Net) {
		f(n)
		if r.soFar != nil && strings.HasPrefix(r.soFar.Failed, "panic: ") {
			r.died(r.soFar.Failed)
		}
	})
}

func (e *emulation) Port() io.ReadWriter   { return e.port }
func (e *emulation) Console() *console.Log { return &e.log }
func (e *emulation) NMI() error            { return errNoNMI }
func (e *emulation) Failure() string       { return "" }

func (e *emulation) Wait(d time.Duration) bool {
	select {
	case <-e.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// Close leaves a case that hangs to itself.
func (e *emulation) Close() error {
	e.theirs.Close()
	return e.port.Close()
}
