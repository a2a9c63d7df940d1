package nlcase

import (
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Errno is the kernel's answer to an operation; 0 is success.
type Errno = nlmsg.Errno

// Kernel is the seam: what a case is played on. Bytes go in, bytes come out.
type Kernel interface {
	// Release is what uname -r says, or as much of it as is known: "6.12".
	Release() string
	// Net makes a fresh network namespace and calls f with it, on the
	// thread that owns it. All of a case's operations are called from f.
	// The namespace and its sockets are gone once f has returned. An error
	// means that f was not called.
	Net(s Setup, f func(Net)) error
}

// Setup describes the namespace of a case.
type Setup struct {
	NoCaps bool // the thread has no capabilities
}

// Net is a network namespace.
type Net interface {
	// Socket opens an AF_NETLINK socket of SOCK_RAW or another type.
	Socket(typ, proto int) (Socket, Errno)
	// IfIndex is the index of the named link (SIOCGIFINDEX).
	IfIndex(name string) (int, Errno)
	// Sleep lets the kernel's deferred work run. Where time is simulated
	// it only advances.
	Sleep(time.Duration)
	// WriteFile writes to a file in one write call. It, Spin and Exit are
	// for tests of what becomes of a broken kernel, and give EPERM unless
	// those are allowed.
	WriteFile(path string, data []byte) Errno
	// Spin takes the processor at the highest real-time priority, for good.
	Spin() Errno
	// Exit ends the process that plays the case.
	Exit() Errno
}

// Socket is an AF_NETLINK socket. No operation blocks.
type Socket interface {
	Bind(Addr) Errno
	Connect(Addr) Errno
	Getsockname() (Addr, Errno)
	Setsockopt(level, opt int, value []byte) Errno
	Getsockopt(level, opt, size int) ([]byte, Errno)
	// Send sends one datagram, to the connected peer where to is nil. It
	// returns how many bytes the kernel says it took.
	Send(b []byte, to *Addr) (int, Errno)
	// Recv reads one datagram; EAGAIN when there is none.
	Recv(RecvOptions) (Datagram, Errno)
	Close() Errno
}

// Addr is a struct sockaddr_nl.
type Addr struct{ Pid, Groups uint32 }

// RecvOptions are the arguments of recvmsg.
type RecvOptions struct {
	Size int  // of the buffer; 0 means large enough for anything
	Peek bool // MSG_PEEK
}

// Datagram is what recvmsg gave.
type Datagram struct {
	Data    []byte // at most the buffer's size
	Len     int    // the real length, by MSG_TRUNC
	From    Addr
	Flags   uint32 // msg_flags: MsgTrunc
	Control []Control
}

// Control is an ancillary message.
type Control struct {
	Level, Type uint32
	Data        []byte
}

// MsgTrunc is MSG_TRUNC in the flags of a datagram.
const MsgTrunc = 0x20
