//go:build linux

package local

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// thread is what the namespaces of a case share: the thread that is in one of
// them.
type thread struct {
	faults  bool
	dropped bool // it has no capabilities
	buf     []byte
	home    int   // a descriptor of the first namespace, where others were made
	others  []int // of those
	at      int   // the one it is in; -1 for the first
}

// netns is a network namespace of a case. fd is -1 for the first.
type netns struct {
	*thread
	fd int
}

// enter makes the thread one of the namespace.
func (n *netns) enter() nlcase.Errno {
	if n.at == n.fd {
		return 0
	}
	fd := n.fd
	if fd < 0 {
		fd = n.home
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return errnoOf(err)
	}
	n.at = n.fd
	return 0
}

// Netns leaves the thread in the new namespace: whoever needs another enters
// it.
func (n *netns) Netns() (nlcase.Net, int, nlcase.Errno) {
	open := func() (int, error) {
		return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if n.others == nil {
		fd, err := open()
		if err != nil {
			return nil, 0, errnoOf(err)
		}
		n.home = fd
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, 0, errnoOf(err)
	}
	fd, err := open()
	if err != nil {
		return nil, 0, errnoOf(err)
	}
	n.others = append(n.others, fd)
	n.at = fd
	return &netns{n.thread, fd}, fd, 0
}

func (t *thread) close() {
	for _, fd := range t.others {
		unix.Close(fd)
	}
	if t.others != nil {
		unix.Close(t.home)
	}
}

func (n *netns) Drop() nlcase.Errno {
	n.dropped = true
	return errnoOf(dropCaps())
}

func (n *netns) Socket(typ, proto int) (nlcase.Socket, nlcase.Errno) {
	// Not unix.Socket, which keeps the Go scheduler from running anything
	// else on this processor: the kernel may wait here for a module, which
	// another goroutine of the agent gets (netlink_create, request_module).
	if err := n.enter(); err != 0 {
		return nil, err
	}
	fd, _, err := unix.Syscall(unix.SYS_SOCKET, unix.AF_NETLINK, uintptr(typ|unix.SOCK_CLOEXEC), uintptr(proto))
	if err != 0 {
		return nil, nlcase.Errno(err)
	}
	return &socket{fd: int(fd), thread: n.thread}, 0
}

// IfIndex asks with an ioctl, so that no netlink traffic is added.
func (n *netns) IfIndex(name string) (int, nlcase.Errno) {
	if err := n.enter(); err != 0 {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, errnoOf(err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, nlmsg.EINVAL
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, errnoOf(err)
	}
	return int(r.Uint32()), 0
}

func (n *netns) Sleep(d time.Duration) { time.Sleep(d) }

func (n *netns) WriteFile(path string, data []byte) nlcase.Errno {
	if !n.faults {
		return nlmsg.EPERM
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errnoOf(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, data)
	return errnoOf(err)
}

func (n *netns) Spin() nlcase.Errno {
	if !n.faults {
		return nlmsg.EPERM
	}
	// The loop is not interrupted where the runtime does not preempt. What
	// time the kernel leaves to others goes to those that tell of it, and they
	// are ready by then.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	_ = unix.Nanosleep(&unix.Timespec{Nsec: 100e6}, nil)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 99}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return errnoOf(err)
	}
	for {
	}
}

func (n *netns) Exit() nlcase.Errno {
	if !n.faults {
		return nlmsg.EPERM
	}
	os.Exit(1)
	return 0
}
