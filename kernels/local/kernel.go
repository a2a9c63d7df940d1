//go:build linux

// Package local is the running kernel: it plays a case over real sockets, in a
// fresh network namespace, on a thread that dies with it.
//
// It needs CAP_SYS_ADMIN, for unshare(CLONE_NEWNET). An ordinary user gets it
// by starting the program again in a user namespace of its own
// (syscall.SysProcAttr with CLONE_NEWUSER and the user mapped to root), where
// the system allows that. A program of several threads cannot enter one.
//
// System calls are made past the Go poller: no descriptor is ever waited for.
package local

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Kernel is the running kernel. It plays any number of cases at a time.
type Kernel struct {
	// LoadModule gets a module that a case names into the kernel. Where it
	// is nil a module is looked for, or left to the kernel to load.
	LoadModule func(name string) error
	// AllowFaults lets cases break the kernel.
	AllowFaults bool
	// Entered, if not nil, is called in each fresh namespace, on its thread,
	// before the case's first step.
	Entered func()
	// Until, if not nil, is called for each case. Its namespace is taken down
	// when the channel is closed.
	Until func() <-chan struct{}

	running atomic.Uint64          // thread<<32 | line
	fresh   atomic.Int32           // thread of Fresh whose namespace no case has had
	buf     atomic.Pointer[[]byte] // of a case that has ended, for the next
}

// Play plays the case. A *nlcase.NeedError says that it cannot be played here,
// and why.
func (k *Kernel) Play(c *nlcase.Case) (*nlcase.Transcript, error) {
	return k.play(c, k.Release(), nil)
}

// PlayAs is Play with the kernel taken for another release: the steps that
// are guarded for that one are played.
func (k *Kernel) PlayAs(c *nlcase.Case, release string) (*nlcase.Transcript, error) {
	return k.play(c, release, nil)
}

// PlayFunc is Play, which calls before ahead of each step (see
// nlcase.PlayFunc).
func (k *Kernel) PlayFunc(c *nlcase.Case, before func(step int, soFar *nlcase.Transcript)) (*nlcase.Transcript, error) {
	return k.play(c, k.Release(), before)
}

func (k *Kernel) play(c *nlcase.Case, as string, before func(step int, soFar *nlcase.Transcript)) (*nlcase.Transcript, error) {
	if why := c.Inapplicable(as); why != "" {
		return nil, &nlcase.NeedError{Need: nlcase.Need{Kind: "another kernel"}, Err: errors.New(why)}
	}
	if c.NeedsVM() && !k.AllowFaults {
		return nil, &nlcase.NeedError{Need: nlcase.Need{Kind: "vm"}, Err: errors.New("it breaks the kernel on purpose")}
	}
	for _, name := range c.Modules() {
		if err := k.module(name); err != nil {
			return nil, &nlcase.NeedError{Need: nlcase.Need{Kind: "module", Name: name}, Err: err}
		}
	}
	if c.UserNS {
		return k.playApart(c, as)
	}
	r := recorder{release: release{k, as}}
	t := nlcase.PlayFunc(&r, c, func(step int, soFar *nlcase.Transcript) {
		k.running.Store(uint64(unix.Gettid())<<32 | uint64(c.Steps[step].Line))
		if before != nil {
			before(step, soFar)
		}
	})
	k.running.Store(0)
	switch {
	case r.err != nil:
		return nil, &nlcase.NeedError{Need: nlcase.Need{Kind: "network namespaces"}, Err: r.err}
	case t.Failed != "":
		return nil, fmt.Errorf("play %s: %s", c.Name, t.Failed)
	}
	return t, nil
}

// recorder keeps the error that a transcript holds only the text of.
type recorder struct {
	release
	err error
}

func (r *recorder) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	r.err = r.Kernel.Net(s, f)
	return r.err
}

// Running is the thread of the case that started a step last, and the step's
// line; 0, 0 if none runs. /proc/self/task/THREAD/stack shows where in the
// kernel it hangs.
func (k *Kernel) Running() (thread, line int) {
	r := k.running.Load()
	return int(r >> 32), int(uint32(r))
}

// Release is the running kernel's, as uname tells it.
func (k *Kernel) Release() string { return running() }

var running = sync.OnceValue(func() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail: the buffer is ours
	return nlcase.Release(unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]))
})

// NamespaceError says why a case cannot have its network namespace.
type NamespaceError struct {
	Op  string
	Err error
}

func (e *NamespaceError) Error() string {
	s := e.Op + ": " + e.Err.Error()
	switch e.Err {
	case unix.EPERM:
		s += " (it takes CAP_SYS_ADMIN: be root, or be started in a user namespace where the system" +
			" allows those: see sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns," +
			" user.max_user_namespaces, and a container's seccomp profile)"
	case unix.ENOSPC:
		s += " (the limit of network namespaces is reached: see sysctl user.max_net_namespaces)"
	case unix.EINVAL:
		s += " (the kernel is built without CONFIG_NET_NS)"
	}
	return s
}

func (e *NamespaceError) Unwrap() error { return e.Err }

// Fresh calls f in a fresh network namespace, on a thread that ends with f. The
// first case that f plays has that namespace, and starts the sooner.
func (k *Kernel) Fresh(f func()) {
	go k.apart(func(err error) {
		if err == nil {
			k.fresh.Store(int32(unix.Gettid()))
			defer k.fresh.Store(0)
		}
		deepen()
		f()
	})
}

// Net calls f in a fresh network namespace, on a thread that ends with f. All
// errors are *NamespaceError.
func (k *Kernel) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	if k.fresh.CompareAndSwap(int32(unix.Gettid()), 0) {
		return k.inNamespace(s, f)
	}
	var until <-chan struct{}
	if k.Until != nil {
		until = k.Until()
	}
	done := make(chan error, 1)
	go k.apart(func(err error) {
		if err != nil {
			done <- &NamespaceError{"unshare(CLONE_NEWNET)", err}
			return
		}
		done <- k.inNamespace(s, f)
		if until != nil {
			<-until
		}
	})
	return <-done
}

// apart calls f on a thread that ends with it, in a namespace of its own or with
// what kept it from having one.
func (k *Kernel) apart(f func(error)) {
	// Never unlocked: the thread goes, and its namespace with it.
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread cannot go. While it is held here, f gets another.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.apart(f)
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil && k.Entered != nil {
		k.Entered()
	}
	f(err)
}

// deepen has the goroutine's stack grow to what a case needs, ahead of the case.
//
//go:noinline
func deepen() {
	var room [32 << 10]byte
	for i := 0; i < len(room); i += 4096 {
		room[i] = 1
	}
	runtime.KeepAlive(&room[0])
}

func (k *Kernel) inNamespace(s nlcase.Setup, f func(nlcase.Net)) error {
	if s.NoCaps {
		if err := dropCaps(); err != nil {
			return &NamespaceError{"capset", err}
		}
	}
	buf := k.buf.Swap(nil)
	if buf == nil {
		b := make([]byte, maxDatagram)
		buf = &b
	}
	t := &thread{faults: k.AllowFaults, dropped: s.NoCaps, buf: *buf, at: -1}
	defer t.close()
	defer k.buf.Store(buf)
	f(&netns{thread: t, fd: -1})
	return nil
}

// dropCaps takes the capabilities of the calling thread alone: the raw call is
// not for the process.
func dropCaps() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&hdr, &none[0])
}

// maxDatagram holds whatever the default send buffer lets through.
const maxDatagram = 256 << 10

func errnoOf(err error) nlcase.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(unix.Errno); ok {
		return nlcase.Errno(e)
	}
	return nlmsg.EIO
}
