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
	UserNS bool // it has all of them, in a user namespace of its own
}

// Net is a network namespace.
type Net interface {
	// Socket opens an AF_NETLINK socket of SOCK_RAW or another type.
	Socket(typ, proto int) (Socket, Errno)
	// IfIndex is the index of the named link (SIOCGIFINDEX).
	IfIndex(name string) (int, Errno)
	// Netns makes another network namespace. fd is a descriptor of it, for
	// attributes such as NETNSA_FD.
	Netns() (n Net, fd int, errno Errno)
	// Drop takes all capabilities from the thread, for good.
	Drop() Errno
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

// Socket is an AF_NETLINK socket. No operation blocks but that of Start.
type Socket interface {
	Bind(Addr) Errno
	Connect(Addr) Errno
	Getsockname() (Addr, Errno)
	Setsockopt(level, opt int, value []byte) Errno
	Getsockopt(level, opt, size int) ([]byte, Errno)
	// Filter attaches a classic BPF program, and detaches what there is
	// where it is nil.
	Filter(prog []Instruction) Errno
	// Send sends one datagram. It returns how many bytes the kernel says it
	// took.
	Send(b []byte, o SendOptions) (int, Errno)
	// Start is a Send that may block, in a thread of its own. It returns
	// once that thread sleeps, or has sent. The channel holds the outcome.
	Start(b []byte, o SendOptions) <-chan Errno
	// Recv reads one datagram; EAGAIN when there is none.
	Recv(RecvOptions) (Datagram, Errno)
	Close() Errno
}

// Addr is a struct sockaddr_nl.
type Addr struct {
	Pid, Groups uint32
	Family      uint32 // 0 stands for AF_NETLINK, AFUnspec for 0
	Size        int    // of it, as the system call is told; 0 stands for the true one
}

// AFUnspec stands for AF_UNSPEC in an address.
const AFUnspec = 1 << 16

// Instruction is a struct sock_filter.
type Instruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// SendOptions are the arguments of sendmsg.
type SendOptions struct {
	To   *Addr // nil for the connected peer
	OOB  bool  // MSG_OOB
	Cred *Cred // SCM_CREDENTIALS
}

// Cred is a struct ucred.
type Cred struct{ Pid, UID, GID uint32 }

// RecvOptions are the arguments of recvmsg.
type RecvOptions struct {
	Size int  // of the buffer; 0 means large enough for anything
	Peek bool // MSG_PEEK
	OOB  bool // MSG_OOB
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
