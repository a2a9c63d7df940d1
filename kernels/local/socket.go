//go:build linux

package local

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// socket is an AF_NETLINK socket of the running kernel.
type socket struct {
	fd  int
	buf []byte // shared by the sockets of a case, which run one at a time
}

func sockaddr(a nlcase.Addr) unix.RawSockaddrNetlink {
	return unix.RawSockaddrNetlink{Family: unix.AF_NETLINK, Pid: a.Pid, Groups: a.Groups}
}

func (s *socket) address(call uintptr, a nlcase.Addr) nlcase.Errno {
	sa := sockaddr(a)
	_, _, e := unix.Syscall(call, uintptr(s.fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrNetlink)
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

func (s *socket) Send(b []byte, to *nlcase.Addr) (int, nlcase.Errno) {
	var h unix.Msghdr
	var iov unix.Iovec
	var sa unix.RawSockaddrNetlink
	iov.Base = unsafe.SliceData(b)
	iov.SetLen(len(b))
	h.Iov = &iov
	h.SetIovlen(1)
	if to != nil {
		sa = sockaddr(*to)
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&sa)), unix.SizeofSockaddrNetlink
	}
	n, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
	return int(n), nlcase.Errno(e)
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
