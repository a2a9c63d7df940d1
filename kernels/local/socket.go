//go:build linux

package local

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// socket is an AF_NETLINK socket of the running kernel.
type socket struct {
	fd      int
	*thread // its buffer is shared: the sockets of a case run one at a time
}

// maxSockaddr is the size of a struct sockaddr_storage, which bounds what a
// system call may be told.
const maxSockaddr = 128

// sockaddr is an address, in room enough for whatever size it pretends.
func sockaddr(a nlcase.Addr) (b *[maxSockaddr]byte, size uintptr) {
	b = new([maxSockaddr]byte)
	sa := (*unix.RawSockaddrNetlink)(unsafe.Pointer(b))
	*sa = unix.RawSockaddrNetlink{Family: unix.AF_NETLINK, Pid: a.Pid, Groups: a.Groups}
	if a.Family != 0 {
		sa.Family = uint16(a.Family)
	}
	size = unix.SizeofSockaddrNetlink
	if a.Size > 0 {
		size = uintptr(a.Size)
	}
	return b, size
}

func (s *socket) address(call uintptr, a nlcase.Addr) nlcase.Errno {
	sa, size := sockaddr(a)
	_, _, e := unix.Syscall(call, uintptr(s.fd), uintptr(unsafe.Pointer(sa)), size)
	return nlcase.Errno(e)
}

func (s *socket) Bind(a nlcase.Addr) nlcase.Errno    { return s.address(unix.SYS_BIND, a) }
func (s *socket) Connect(a nlcase.Addr) nlcase.Errno { return s.address(unix.SYS_CONNECT, a) }

func (s *socket) Getsockname() (nlcase.Addr, nlcase.Errno) {
	var sa unix.RawSockaddrNetlink
	size := uint32(unix.SizeofSockaddrNetlink)
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(s.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	return nlcase.Addr{Pid: sa.Pid, Groups: sa.Groups}, nlcase.Errno(e)
}

func (s *socket) Setsockopt(level, opt int, value []byte) nlcase.Errno {
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), 0)
	return nlcase.Errno(e)
}

func (s *socket) Getsockopt(level, opt, size int) ([]byte, nlcase.Errno) {
	b := make([]byte, max(size, 1))
	n := uint32(size)
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return nil, nlcase.Errno(e)
	}
	return b[:min(int(n), size)], 0 // n may be what there is room for elsewhere
}

func (s *socket) Filter(prog []nlcase.Instruction) nlcase.Errno {
	if prog == nil {
		return s.Setsockopt(unix.SOL_SOCKET, unix.SO_DETACH_FILTER, make([]byte, 4))
	}
	f := make([]unix.SockFilter, len(prog))
	for i, x := range prog {
		f[i] = unix.SockFilter{Code: x.Code, Jt: x.Jt, Jf: x.Jf, K: x.K}
	}
	p := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		uintptr(unsafe.Pointer(&p)), unsafe.Sizeof(p), 0)
	return nlcase.Errno(e)
}

func (s *socket) Send(b []byte, o nlcase.SendOptions) (int, nlcase.Errno) {
	return s.send(b, o, unix.MSG_DONTWAIT)
}

func (s *socket) send(b []byte, o nlcase.SendOptions, flags uintptr) (int, nlcase.Errno) {
	var h unix.Msghdr
	var iov unix.Iovec
	iov.Base = unsafe.SliceData(b)
	iov.SetLen(len(b))
	h.Iov = &iov
	h.SetIovlen(1)
	if o.To != nil {
		sa, size := sockaddr(*o.To)
		h.Name, h.Namelen = &sa[0], uint32(size)
	}
	if o.Cred != nil {
		control := unix.UnixCredentials(&unix.Ucred{Pid: int32(o.Cred.Pid), Uid: o.Cred.UID, Gid: o.Cred.GID})
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	if o.OOB {
		flags |= unix.MSG_OOB
	}
	n, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&h)), flags)
	return int(n), nlcase.Errno(e)
}

// Start waits until its thread sleeps, so that what comes next finds it
// waiting.
func (s *socket) Start(b []byte, o nlcase.SendOptions) <-chan nlcase.Errno {
	done := make(chan nlcase.Errno, 1)
	tid := make(chan int, 1)
	go func() {
		runtime.LockOSThread() // and not unlocked: its capabilities may be gone
		if s.dropped {
			if err := dropCaps(); err != nil {
				tid <- 0
				done <- errnoOf(err)
				return
			}
		}
		tid <- unix.Gettid()
		_, e := s.send(b, o, 0)
		done <- e
	}()
	path := "/proc/self/task/" + strconv.Itoa(<-tid) + "/stat"
	for range maxStart {
		if len(done) > 0 || state(path) == 'S' {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return done
}

// maxStart is how many milliseconds a send in the background may take to get
// to sleep.
const maxStart = 200

// state is that of a thread, by its stat: 42 (name) S ...
func state(path string) byte {
	b, _ := os.ReadFile(path)
	if i := bytes.LastIndexByte(b, ')'); i >= 0 && i+2 < len(b) {
		return b[i+2]
	}
	return 0
}

// Recv reads into a buffer of the size that is asked for, since that size is
// part of what the kernel does (net/netlink/af_netlink.c netlink_recvmsg).
func (s *socket) Recv(o nlcase.RecvOptions) (nlcase.Datagram, nlcase.Errno) {
	buf := s.buf
	if o.Size > 0 && o.Size < len(buf) {
		buf = buf[:o.Size]
	}
	var h unix.Msghdr
	var iov unix.Iovec
	var sa unix.RawSockaddrNetlink
	var oob [512]byte
	iov.Base = &buf[0]
	iov.SetLen(len(buf))
	h.Iov = &iov
	h.SetIovlen(1)
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&sa)), unix.SizeofSockaddrNetlink
	h.Control = &oob[0]
	h.SetControllen(len(oob))
	flags := unix.MSG_DONTWAIT | unix.MSG_TRUNC
	if o.Peek {
		flags |= unix.MSG_PEEK
	}
	if o.OOB {
		flags |= unix.MSG_OOB
	}
	n, _, e := unix.Syscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	if e != 0 {
		return nlcase.Datagram{}, nlcase.Errno(e)
	}
	d := nlcase.Datagram{
		Data:  bytes.Clone(buf[:min(int(n), len(buf))]),
		Len:   int(n),
		From:  nlcase.Addr{Pid: sa.Pid, Groups: sa.Groups},
		Flags: uint32(h.Flags) &^ unix.MSG_CMSG_CLOEXEC,
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:h.Controllen])
	if err != nil {
		return d, 0
	}
	for _, c := range msgs {
		d.Control = append(d.Control, nlcase.Control{Level: uint32(c.Header.Level), Type: uint32(c.Header.Type), Data: c.Data})
	}
	return d, 0
}

func (s *socket) Close() nlcase.Errno {
	err := unix.Close(s.fd)
	s.fd = -1
	return errnoOf(err)
}
