//go:build linux

package guest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const (
	// ttyPath is the console's.
	ttyPath = "/dev/ttyS0"
	// outputGrace bounds the wait for a shell's last words, once nothing
	// that could write more is left.
	outputGrace = 2 * time.Second
)

// comforts are mounted for a person to look at. What the kernel does not have
// is left out.
var comforts = []struct{ fstype, dir, data string }{
	{"devpts", "/dev/pts", "ptmxmode=0666"},
	{"tracefs", "/sys/kernel/tracing", ""},
	{"debugfs", "/sys/kernel/debug", ""},
	{"cgroup2", "/sys/fs/cgroup", ""},
	{"bpf", "/sys/fs/bpf", ""},
}

// shell runs the shell and says how it ended.
func (s *server) shell(m *wire.Shell) {
	var e wire.Exited
	status, err := s.runShell(m)
	if err != nil {
		e.Err = err.Error()
	}
	e.Status = status
	_ = s.conn.Send(&e) // a host that is gone is noticed by serve
}

func (s *server) runShell(m *wire.Shell) (status uint8, err error) {
	if os.Getpid() != 1 {
		return 0, errors.New("a shell is for a VM only")
	}
	_ = os.Mkdir("/dev/pts", 0o755) // if it is missing, so is devpts
	for _, c := range comforts {
		_ = unix.Mount(c.fstype, c.dir, c.fstype, 0, c.data)
	}
	start := s.onPipes
	if m.Term != "" {
		start = s.onTerminal
	}
	pid, flush, err := start(m)
	if err != nil {
		return 0, fmt.Errorf("start the shell: %w", err)
	}
	status = reap(pid)
	// What is left of it could write on, and the host waits for what has
	// been written. The kernel need not say that it powers off.
	_ = unix.Kill(-1, unix.SIGKILL)
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("0"), 0)
	flush()
	return status, nil
}

// reap waits for pid, and for all orphans that end before it, as PID 1 must.
func reap(pid int) uint8 {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR || err == nil && got != pid:
		case err != nil:
			return 255 // no child left: somebody else has reaped it
		case ws.Signaled():
			return 128 + uint8(ws.Signal())
		default:
			return uint8(ws.ExitStatus())
		}
	}
}

// onTerminal starts the shell on the console. The session is PID 1's, because
// the kernel throws away what a terminal has not printed yet when the leader
// of its session ends (drivers/tty/tty_jobctrl.c disassociate_ctty).
func (s *server) onTerminal(m *wire.Shell) (pid int, flush func(), err error) {
	fd, err := unix.Open(ttyPath, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", ttyPath, err)
	}
	_, _ = unix.Setsid() // fails for a leader, which is as good
	if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 0); err != nil {
		return 0, nil, fmt.Errorf("controlling terminal: %w", err)
	}
	resize(m.Rows, m.Cols)
	pid, err = exec([3]int{fd, fd, fd}, m.Term, &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: fd})
	return pid, func() { _ = unix.IoctlSetInt(fd, unix.TCSBRK, 1) }, err // tcdrain(3)
}

func resize(rows, cols uint16) {
	fd, err := unix.Open(ttyPath, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // no console, no shell on it
	}
	defer unix.Close(fd)
	_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// onPipes starts the shell on pipes that end at the host.
func (s *server) onPipes(*wire.Shell) (pid int, flush func(), err error) {
	var pipes [3][2]int
	for i := range pipes {
		if err := unix.Pipe2(pipes[i][:], unix.O_CLOEXEC); err != nil {
			return 0, nil, err
		}
	}
	in, out, errs := pipes[0], pipes[1], pipes[2]
	pid, err = exec([3]int{in[0], out[1], errs[1]}, "dumb", &syscall.SysProcAttr{Setsid: true})
	for _, fd := range []int{in[0], out[1], errs[1]} {
		unix.Close(fd)
	}
	if err != nil {
		return 0, nil, err
	}
	go s.feed(port(in[1]))
	var wg sync.WaitGroup
	wg.Go(func() { s.collect(1, port(out[0])) })
	wg.Go(func() { s.collect(2, port(errs[0])) })
	return pid, func() {
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(outputGrace):
		}
	}, nil
}

// feed gets the shell's input from the host, a piece whenever the one before
// has gone, until the host has no more or the shell takes no more.
func (s *server) feed(p port) {
	defer unix.Close(int(p))
	for s.conn.Send(&wire.Read{}) == nil {
		m := <-s.input
		if len(m.Data) == 0 {
			return
		}
		if _, err := p.Write(m.Data); err != nil {
			return
		}
	}
}

// collect sends the host what the shell writes.
func (s *server) collect(stream uint8, p port) {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.Read(buf)
		if err != nil || s.conn.Send(&wire.Output{Stream: stream, Data: buf[:n]}) != nil {
			return
		}
	}
}

func exec(fds [3]int, term string, sys *syscall.SysProcAttr) (int, error) {
	return syscall.ForkExec(layout.Shell, []string{"gosh"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + layout.Path, "HOME=/", "USER=root", "SHELL=" + layout.Shell, "TERM=" + term},
		Files: []uintptr{uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2])},
		Sys:   sys,
	})
}
