//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const (
	// outputGrace bounds the wait for a program's last words, once nothing
	// that could write more is left.
	outputGrace = 2 * time.Second
	// piece is how much of an output or a file is sent at once.
	piece = 128 << 10
)

// programs are those that the host has started and that have not ended.
type programs struct {
	mu  sync.Mutex // guards the rest, and orders starts with the reaping of orphans
	all map[uint32]*program
}

type program struct {
	pid   int
	input chan *wire.Input // holds one
	ended chan struct{}
}

func (p *programs) get(id uint32) *program {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[id]
}

// run starts a program, and has its end told.
func (s *server) run(m *wire.Exec) {
	p, flush, err := s.startProgram(m)
	if err != nil {
		_ = s.conn.Send(&wire.Exited{Program: m.Program, Err: err.Error()}) // a host that is gone is noticed by listen
		return
	}
	go func() {
		e := wire.Exited{Program: m.Program}
		ws := p.wait()
		close(p.ended)
		if ws.Signaled() {
			e.Signal = uint8(ws.Signal())
		} else {
			e.Status = uint8(ws.ExitStatus())
		}
		s.programs.mu.Lock()
		delete(s.programs.all, m.Program)
		s.programs.mu.Unlock()
		if m.Alone {
			// What is left of it could write on, and the host waits for what
			// has been written. The kernel need not say that it powers off.
			_ = unix.Kill(-1, unix.SIGKILL)
			_ = os.WriteFile("/proc/sys/kernel/printk", []byte("0"), 0)
			flush()
		}
		s.readLog(allRecords) // what the kernel says of it is to be known with its end
		_ = s.conn.Send(&e)
	}()
}

func (s *server) startProgram(m *wire.Exec) (p *program, flush func(), err error) {
	if s.vm == nil {
		return nil, nil, errors.New("a program is for a VM only")
	}
	start := s.onPipes
	if m.Term != "" {
		start = s.onTerminal
	}
	p = &program{input: make(chan *wire.Input, 1), ended: make(chan struct{})}
	s.programs.mu.Lock()
	defer s.programs.mu.Unlock()
	if flush, err = start(p, m); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", m.Path, err)
	}
	s.programs.all[m.Program] = p
	return p, flush, nil
}

func (p *program) wait() (ws unix.WaitStatus) {
	for {
		if _, err := unix.Wait4(p.pid, &ws, 0, nil); err != unix.EINTR {
			return ws
		}
	}
}

// signal passes on a signal. A program that has ended is past it.
func (s *server) signal(m *wire.Signal) {
	if p := s.programs.get(m.Program); p != nil {
		_ = unix.Kill(p.pid, syscall.Signal(m.Signal))
	}
}

func (s *server) typed(m *wire.Input) {
	if p := s.programs.get(m.Program); p != nil {
		select {
		case p.input <- m:
		default: // nobody has asked for it
		}
	}
}

// reapOrphans waits for the processes that PID 1 has inherited and that have
// ended. Those that somebody waits for are left to them.
func (p *programs) reapOrphans() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return
	}
	ours := map[string]bool{}
	for _, x := range p.all {
		ours[fmt.Sprint(x.pid)] = true
	}
	for _, c := range children() {
		if c.state == "Z" && !ours[c.pid] {
			_, _ = unix.Wait4(atoi(c.pid), nil, unix.WNOHANG, nil)
		}
	}
}

// onTerminal starts a program on the console. The session is PID 1's, because
// the kernel throws away what a terminal has not printed yet when the leader
// of its session ends (drivers/tty/tty_jobctrl.c disassociate_ctty).
func (s *server) onTerminal(p *program, m *wire.Exec) (flush func(), err error) {
	fd, err := unix.Open(ttyPath, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ttyPath, err)
	}
	_, _ = unix.Setsid() // fails for a leader, which is as good
	if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 0); err != nil {
		return nil, fmt.Errorf("controlling terminal: %w", err)
	}
	resize(m.Rows, m.Cols)
	p.pid, err = fork(m, [3]int{fd, fd, fd}, &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: fd})
	return func() { _ = unix.IoctlSetInt(fd, unix.TCSBRK, 1) }, err // tcdrain(3)
}

// ttyPath is the console's.
const ttyPath = "/dev/ttyS0"

func resize(rows, cols uint16) {
	fd, err := unix.Open(ttyPath, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // no console, nothing on it
	}
	defer unix.Close(fd)
	_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// onPipes starts a program on pipes that end at the host. flush waits for their
// end.
func (s *server) onPipes(p *program, m *wire.Exec) (flush func(), err error) {
	var ends [3]int // the program's
	var ours [3]int
	defer func() {
		for _, fd := range ends {
			if fd > 0 {
				unix.Close(fd)
			}
		}
	}()
	pipe := func(i, its, other int) error {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		ends[i], ours[i] = fds[its], fds[other]
		return nil
	}
	if m.Stdin {
		err = pipe(0, 0, 1)
	} else {
		ends[0], err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		err = pipe(1, 1, 0)
	}
	fds := [3]int{ends[0], ends[1], ends[1]}
	if err == nil && !m.Merged {
		err = pipe(2, 1, 0)
		fds[2] = ends[2]
	}
	if err == nil {
		p.pid, err = fork(m, fds, &syscall.SysProcAttr{Setsid: true})
	}
	if err != nil {
		for _, fd := range ours {
			if fd > 0 {
				unix.Close(fd)
			}
		}
		return nil, err
	}
	if m.Stdin {
		go s.feed(m.Program, p, port(ours[0]))
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.collect(m.Program, 1, ours[1]) })
	if !m.Merged {
		wg.Go(func() { s.collect(m.Program, 2, ours[2]) })
	}
	return func() {
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(outputGrace):
		}
	}, nil
}

// feed gets a program's input from the host, a piece whenever the one before
// has gone, until the host has no more or the program takes no more.
func (s *server) feed(id uint32, p *program, w port) {
	defer unix.Close(int(w))
	for s.conn.Send(&wire.Read{Program: id}) == nil {
		select {
		case m := <-p.input:
			if len(m.Data) == 0 {
				return
			}
			if _, err := w.Write(m.Data); err != nil {
				return
			}
		case <-p.ended:
			return
		}
	}
}

// collect sends the host what a program writes, and the end of it.
func (s *server) collect(id uint32, stream uint8, fd int) {
	_ = unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), "pipe") // Go's poller takes no thread, and no time
	defer f.Close()
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 1<<20) // fewer turns
	buf := make([]byte, piece)
	for {
		n, err := f.Read(buf)
		if s.conn.Send(&wire.Output{Program: id, Stream: stream, Data: buf[:n]}) != nil || err != nil {
			return
		}
	}
}

func fork(m *wire.Exec, fds [3]int, sys *syscall.SysProcAttr) (int, error) {
	path, err := lookPath(m)
	if err == nil {
		err = known(path)
	}
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, m.Args, &syscall.ProcAttr{
		Dir:   m.Dir,
		Env:   m.Env,
		Files: []uintptr{uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2])},
		Sys:   sys,
	})
}

// known is an error for a file of a format for which the kernel would look for a
// module (fs/exec.c search_binary_handler): it would ask the agent for it, which
// waits for the kernel to start the program.
func known(path string) error {
	if err := unix.Access(path, unix.X_OK); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := f.Read(magic)
	if err != nil && err != io.EOF {
		return err
	}
	if s := string(magic[:n]); s != "\x7fELF" && !strings.HasPrefix(s, "#!") {
		return unix.ENOEXEC
	}
	return nil
}

// lookPath finds a program that is named without a directory where its PATH
// says.
func lookPath(m *wire.Exec) (string, error) {
	if strings.Contains(m.Path, "/") {
		return m.Path, nil
	}
	dirs := layout.Path
	for _, e := range m.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = v
		}
	}
	for dir := range strings.SplitSeq(dirs, ":") {
		path := dir + "/" + m.Path
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("not found in PATH=%s", dirs)
}
