package emulated

import (
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Dial opens a socket of a netlink protocol in the namespace and binds it, as
// netlink.Dial does in the namespace of the calling thread. cfg may be nil; its NetNS
// is a descriptor that Netns gave.
//
// The connection has all that one of a real kernel has, but for SyscallConn: there is
// no file descriptor. genetlink.NewConn takes it. Errors are those that the kernel
// gives, in the types that package netlink has for them.
func (n *Netns) Dial(proto int, cfg *netlink.Config) (*netlink.Conn, error) {
	if cfg == nil {
		cfg = &netlink.Config{}
	}
	in := n
	if cfg.NetNS != 0 {
		other, err := n.task.byFd(cfg.NetNS)
		if err != 0 {
			return nil, syscallError("setns", err)
		}
		in = &Netns{task: n.task, net: other}
	}
	sk, err := in.open(sockRaw, proto)
	if err != 0 {
		return nil, syscallError("socket", err)
	}
	c := &conn{sk: sk}
	if err := sk.Bind(nlcase.Addr{Pid: cfg.PID, Groups: cfg.Groups}); err != 0 {
		c.Close()
		return nil, syscallError("bind", err)
	}
	if cfg.Strict {
		for _, o := range []netlink.ConnOption{netlink.ExtendedAcknowledge, netlink.GetStrictCheck} {
			if err := c.SetOption(o, true); err != nil {
				c.Close()
				return nil, err
			}
		}
	}
	name, err := sk.Getsockname()
	if err != 0 {
		return nil, syscallError("getsockname", err)
	}
	return netlink.NewConn(c, name.Pid), nil
}

// conn is what a netlink.Conn of the emulated kernel sits on: a netlink.Socket, with
// each of the optional methods that a netlink.Conn looks for. It waits for what a
// Socket does not. It can be used by any number of goroutines.
type conn struct {
	sk     *Socket
	closed atomic.Bool

	reading sync.Mutex // held while a datagram is measured and read, never to wait
	rd, wd  deadline
}

var _ netlink.Socket = (*conn)(nil)

// Close ends a Receive that waits, too. A second one does nothing.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.sk.Close()
	}
	return nil
}

func (c *conn) Send(m netlink.Message) error { return c.SendMessages([]netlink.Message{m}) }

// SendMessages sends one datagram to the kernel, which handles it meanwhile.
func (c *conn) SendMessages(ms []netlink.Message) error {
	var b []byte
	for _, m := range ms {
		one, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		b = append(b, one...)
	}
	if at, _ := c.wd.get(); passed(at) && !c.closed.Load() {
		return os.ErrDeadlineExceeded
	}
	_, err := c.sk.Send(b, nlcase.SendOptions{To: &nlcase.Addr{}})
	return syscallError("sendmsg", err)
}

// Receive reads the messages of one datagram, and waits for it.
func (c *conn) Receive() ([]netlink.Message, error) {
	b, err := c.recvmsg()
	if err != nil {
		return nil, err
	}
	return messages(b)
}

// ReceiveIter is what later releases of package netlink call.
func (c *conn) ReceiveIter() iter.Seq2[netlink.Message, error] {
	return func(yield func(netlink.Message, error) bool) {
		ms, err := c.Receive()
		for _, m := range ms {
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(netlink.Message{}, err)
		}
	}
}

// recvmsg waits for a datagram until the deadline, or until Close.
func (c *conn) recvmsg() ([]byte, error) {
	for waited := false; ; waited = true {
		at, changed := c.rd.get()
		if passed(at) && !c.closed.Load() {
			return nil, os.ErrDeadlineExceeded
		}
		b, err := c.tryRecvmsg()
		switch {
		case err == nlmsg.EBADF && waited:
			return nil, os.ErrClosed
		case err != nlmsg.EAGAIN:
			return b, syscallError("recvmsg", err)
		}
		var late <-chan time.Time
		var timer *time.Timer
		if !at.IsZero() {
			timer = time.NewTimer(time.Until(at))
			late = timer.C
		}
		select {
		case <-c.sk.readable():
		case <-changed:
		case <-late:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// tryRecvmsg measures the next datagram and reads it, as package netlink does: what a
// dump puts into a datagram depends on the sizes that it is read with.
func (c *conn) tryRecvmsg() ([]byte, errno) {
	c.reading.Lock()
	defer c.reading.Unlock()
	d, err := c.sk.Recv(nlcase.RecvOptions{Size: 1, Peek: true})
	if err != 0 {
		return nil, err
	}
	d, err = c.sk.Recv(nlcase.RecvOptions{Size: d.Len})
	return d.Data, err
}

// messages are those of a datagram.
func messages(b []byte) (ms []netlink.Message, err error) {
	for len(b) >= nlmsg.HeaderLen {
		n := native.Uint32(b)
		if n < nlmsg.HeaderLen || uint64(n) > uint64(len(b)) {
			return nil, syscallErrno(nlmsg.EINVAL)
		}
		m := netlink.Message{Header: netlink.Header{Length: n, Type: netlink.HeaderType(native.Uint16(b[4:])),
			Flags: netlink.HeaderFlags(native.Uint16(b[6:])), Sequence: native.Uint32(b[8:]), PID: native.Uint32(b[12:])},
			Data: b[nlmsg.HeaderLen:n:n]}
		if err := checkMessage(m); err != nil {
			return nil, err
		}
		ms = append(ms, m)
		b = b[min(nlmsg.Align(int(n)), len(b)):]
	}
	return ms, nil
}

func (c *conn) JoinGroup(group uint32) error {
	return c.setsockopt(solNetlink, netlinkAddMembership, group)
}

func (c *conn) LeaveGroup(group uint32) error {
	return c.setsockopt(solNetlink, netlinkDropMembership, group)
}

// connOptions are the kernel's numbers of package netlink's options.
var connOptions = map[netlink.ConnOption]int{
	netlink.PacketInfo: netlinkPktinfo, netlink.BroadcastError: netlinkBroadcastError,
	netlink.NoENOBUFS: netlinkNoEnobufs, netlink.ListenAllNSID: netlinkListenAllNsid,
	netlink.CapAcknowledge: netlinkCapAck, netlink.ExtendedAcknowledge: netlinkExtAck,
	netlink.GetStrictCheck: netlinkGetStrictChk,
}

func (c *conn) SetOption(o netlink.ConnOption, enable bool) error {
	opt, ok := connOptions[o]
	if !ok {
		return syscallError("setsockopt", nlmsg.ENOPROTOOPT)
	}
	on := uint32(0)
	if enable {
		on = 1
	}
	return c.setsockopt(solNetlink, opt, on)
}

// SetReadBuffer goes beyond the kernel's limit where the task may.
func (c *conn) SetReadBuffer(bytes int) error {
	if c.setsockopt(solSocket, soRcvbufforce, uint32(bytes)) == nil {
		return nil
	}
	return c.setsockopt(solSocket, soRcvbuf, uint32(bytes))
}

func (c *conn) SetWriteBuffer(bytes int) error {
	if c.setsockopt(solSocket, soSndbufforce, uint32(bytes)) == nil {
		return nil
	}
	return c.setsockopt(solSocket, soSndbuf, uint32(bytes))
}

func (c *conn) ReadBuffer() (int, error)  { return c.getsockopt(solSocket, soRcvbuf) }
func (c *conn) WriteBuffer() (int, error) { return c.getsockopt(solSocket, soSndbuf) }

func (c *conn) setsockopt(level, opt int, value uint32) error {
	return syscallError("setsockopt", c.sk.Setsockopt(level, opt, native.AppendUint32(nil, value)))
}

func (c *conn) getsockopt(level, opt int) (int, error) {
	b, err := c.sk.Getsockopt(level, opt, 4)
	if err != 0 {
		return 0, syscallError("getsockopt", err)
	}
	return int(native.Uint32(b)), nil
}

func (c *conn) SetBPF(filter []bpf.RawInstruction) error {
	prog := []nlcase.Instruction{}
	for _, i := range filter {
		prog = append(prog, nlcase.Instruction{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return syscallError("setsockopt", c.sk.Filter(prog))
}

func (c *conn) RemoveBPF() error { return syscallError("setsockopt", c.sk.Filter(nil)) }

func (c *conn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wd.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.rd.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.wd.set(t)
	return nil
}

// deadline is when a call is to give up; who waits hears of another one.
type deadline struct {
	mu      sync.Mutex // guards what follows
	at      time.Time
	changed chan struct{}
}

func (d *deadline) get() (at time.Time, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}

func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func passed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// syscallError is the kernel's error in package netlink's types.
func syscallError(call string, err errno) error {
	if err == 0 {
		return nil
	}
	return os.NewSyscallError(call, syscallErrno(err))
}
