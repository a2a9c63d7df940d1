//go:build linux

// Package child starts programs that do not outlive this process, however it
// ends: apt-get, dpkg-deb, go build, QEMU.
//
// The kernel sends the parent-death signal when the thread that forked dies,
// not the process (prctl(2), PR_SET_PDEATHSIG), and the Go runtime may end a
// thread at will. So each child is forked from a thread that is kept until
// the child has been waited for.
package child

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a started program. Done is closed once it has been reaped and
// its output copied; Err is valid from then on.
type Process struct {
	*exec.Cmd
	Done chan struct{}
	Err  error

	ended bool // by End
}

// Command is exec.CommandContext for a program that has a process group of
// its own, so that an interrupt typed at a terminal reaches nlrig alone and
// teardown stays in nlrig's hands. Cancelling ctx kills the whole group.
func Command(ctx context.Context, name string, arg ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Start runs cmd, which Command made, on a thread of its own. It returns
// when the program has been executed or could not be.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Never unlocked: the thread dies with this goroutine, and by
		// then there is no child left to signal.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.Err = cmd.Wait()
		close(p.Done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Within waits for p to end by itself, at most d, and says whether it did.
func (p *Process) Within(d time.Duration) bool {
	select {
	case <-p.Done:
		return true
	case <-time.After(d):
		return false
	}
}

// End kills p and what it has started, if it runs, and waits for it.
func (p *Process) End() {
	select {
	case <-p.Done:
	default:
		p.ended = true
		_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL) // it may have just ended
		<-p.Done
	}
}

// Failure says how p went wrong: "was killed by SIGKILL", "ended with status
// 1". It is empty when p ended well, runs, or was ended by End.
func (p *Process) Failure() string {
	select {
	case <-p.Done:
	default:
		return ""
	}
	var exit *exec.ExitError
	switch {
	case p.Err == nil || p.ended:
		return ""
	case errors.As(p.Err, &exit):
		if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
			return fmt.Sprintf("was killed by %s", unix.SignalName(ws.Signal()))
		}
		return fmt.Sprintf("ended with status %d", exit.ExitCode())
	}
	return p.Err.Error()
}

// Run starts cmd and waits for it, like exec.Cmd.Run.
func Run(cmd *exec.Cmd) error {
	p, err := Start(cmd)
	if err != nil {
		return err
	}
	<-p.Done
	return p.Err
}
