//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels/child"
)

// LocalTarget is the running kernel: the agent as an ordinary process. Without
// root it is root of a user namespace of its own.
func (r *Rig) LocalTarget() Target {
	t := Target{Name: "local"}
	t.agent = func() string { return "" }
	t.release = func() string { return "" }
	t.modules = func(name string) ([]initramfs.Module, error) {
		return nil, errors.New("modules of the running kernel are its own")
	}
	t.config = bootConfig()
	t.prepare = func(ctx context.Context, _ Says) error {
		_, err := r.Agent(ctx)
		return err
	}
	t.start = func(ctx context.Context, _ time.Duration, _ func(string)) (machine, bool, error) {
		agent, err := r.Agent(ctx)
		if err != nil {
			return nil, false, err
		}
		m, err := startProcess(ctx, agent)
		return m, false, err
	}
	return t
}

// TryLocal says why the running kernel cannot be played on, nil if it can.
func TryLocal(ctx context.Context, r *Rig) error {
	t := r.LocalTarget()
	m, _, err := t.start(ctx, localTimeout, nil)
	if err != nil {
		return err
	}
	s := newSession(m, &t)
	defer s.close()
	return s.awaitHello(ctx, t.agent(), localTimeout)
}

// process is the agent on the running kernel.
type process struct {
	port    *os.File
	log     console.Log // what the agent says on its standard error
	process *child.Process
}

// startProcess runs agent from memory, so that no file is left behind.
func startProcess(ctx context.Context, agent []byte) (machine, error) {
	exe, err := memoryFile("nlrig-agent", agent)
	if err != nil {
		return nil, fmt.Errorf("the agent in memory: %w", err)
	}
	defer exe.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket pair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	p := &process{port: os.NewFile(uintptr(fds[0]), "port")}
	theirs := os.NewFile(uintptr(fds[1]), "port")
	defer theirs.Close()
	cmd := child.Command(ctx, "/proc/self/fd/4", "-serve")
	cmd.ExtraFiles = []*os.File{theirs, exe}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.WaitDelay = time.Second
	// Not to share this process's network namespace is all the more
	// important where a case forgets to make its own.
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	p.process, err = child.Start(cmd)
	if err != nil {
		p.port.Close()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
			return nil, &SkipError{"this machine allows no network namespace here (" + err.Error() + "): be root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)"}
		}
		return nil, fmt.Errorf("start the agent on the running kernel: %w", err)
	}
	return p, nil
}

// memoryFile holds b in memory, to be executed as /proc/self/fd/N.
func memoryFile(name string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(f, bytes.NewReader(b))
	return f, err
}

func (p *process) Port() io.ReadWriter   { return p.port }
func (p *process) Console() *console.Log { return &p.log }
func (p *process) NMI() error            { return errNoNMI }

func (p *process) Wait(d time.Duration) bool { return p.process.Within(d) }

func (p *process) Failure() string {
	f := p.process.Failure()
	if f == "" {
		return ""
	}
	return "the agent " + f + "\n" + strings.Join(p.log.Last(5), "\n")
}

func (p *process) Close() error {
	p.process.End()
	return p.port.Close()
}
