package emulated

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// What a byte string of FuzzSocket asks for. A call is a byte of who (in the upper
// half) and what, and its arguments.
const (
	fuzzOpen = iota
	fuzzClose
	fuzzBind
	fuzzConnect
	fuzzSet
	fuzzGet
	fuzzFilter
	fuzzSend
	fuzzStart
	fuzzRecv
	fuzzName
	fuzzNetns
	fuzzCloseNetns
	fuzzDrop
	fuzzIfIndex
)

var fuzzReleases = []string{"5.10", "6.1", "6.12", "6.17", "7.3", "6.12.1"}

// tape is what is left of the byte string; all is 0 beyond its end.
type tape []byte

func (t *tape) take(n int) []byte {
	b := make([]byte, n)
	*t = (*t)[copy(b, *t):]
	return b
}
func (t *tape) u8() int     { return int(t.take(1)[0]) }
func (t *tape) u32() uint32 { return native.Uint32(t.take(4)) }
func (t *tape) blob() []byte {
	n := int(native.Uint16(t.take(2)))
	return t.take(min(n, len(*t)))
}
func (t *tape) addr() nlcase.Addr { return nlcase.Addr{Pid: t.u32(), Groups: t.u32()} }

// writer is a kernel that plays on another, and keeps the byte string of what is
// asked of it.
type writer struct {
	nlcase.Kernel
	b    []byte
	nets int
	next int              // socket
	sent map[int][][]byte // by protocol
}

// writeCases plays all cases.
func writeCases(t testing.TB) (written []*writer) {
	all, err := cases.All()
	require.NoError(t, err)
	k, err := New("6.12")
	require.NoError(t, err)
	for i, c := range all {
		w := &writer{Kernel: k, b: []byte{byte(i)}, sent: map[int][][]byte{}}
		nlcase.Play(w, c)
		written = append(written, w)
	}
	return written
}

func (w *writer) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	return w.Kernel.Net(s, func(n nlcase.Net) {
		w.nets = 1
		f(&writerNet{n, w, 0})
	})
}

type writerNet struct {
	nlcase.Net
	w  *writer
	id int
}

func (n *writerNet) Socket(typ, proto int) (nlcase.Socket, errno) {
	sk, err := n.Net.Socket(typ, proto)
	if err != 0 {
		return nil, err
	}
	who := n.w.next % 16
	n.w.next++
	n.w.b = append(n.w.b, byte(who<<4|fuzzOpen), byte(typ), byte(proto), byte(n.id))
	return &writerSocket{sk, n.w, byte(who << 4), proto}, 0
}

func (n *writerNet) Netns() (nlcase.Net, int, errno) {
	other, fd, err := n.Net.Netns()
	if err != 0 {
		return nil, 0, err
	}
	n.w.b = append(n.w.b, fuzzNetns, byte(n.id))
	n.w.nets++
	return &writerNet{other, n.w, n.w.nets - 1}, fd, 0
}

type writerSocket struct {
	nlcase.Socket
	w     *writer
	who   byte
	proto int
}

func (s *writerSocket) addr(what byte, a nlcase.Addr) {
	s.w.b = native.AppendUint32(native.AppendUint32(append(s.w.b, s.who|what), a.Pid), a.Groups)
}

func (s *writerSocket) Bind(a nlcase.Addr) errno {
	s.addr(fuzzBind, a)
	return s.Socket.Bind(a)
}

func (s *writerSocket) Connect(a nlcase.Addr) errno {
	s.addr(fuzzConnect, a)
	return s.Socket.Connect(a)
}

func (s *writerSocket) blob(b []byte) {
	s.w.b = append(native.AppendUint16(s.w.b, uint16(len(b))), b...)
}

func (s *writerSocket) Setsockopt(level, opt int, value []byte) errno {
	s.w.b = append(s.w.b, s.who|fuzzSet, byte(level), byte(opt))
	s.blob(value)
	return s.Socket.Setsockopt(level, opt, value)
}

func (s *writerSocket) Send(b []byte, o nlcase.SendOptions) (int, errno) {
	to := nlcase.Addr{}
	if o.To != nil {
		to = *o.To
	}
	s.w.sent[s.proto] = append(s.w.sent[s.proto], slices.Clone(b))
	s.addr(fuzzSend, to)
	s.blob(b)
	return s.Socket.Send(b, o)
}

func (s *writerSocket) Recv(o nlcase.RecvOptions) (nlcase.Datagram, errno) {
	s.w.b = append(s.w.b, s.who|fuzzRecv, byte(o.Size/64))
	return s.Socket.Recv(o)
}

// FuzzSocket makes the calls that a byte string asks for, on several sockets in
// several namespaces: none may panic, last for ever or leave anything, and what the
// kernel says has the form of netlink messages. It begins with all that the cases
// ask.
func FuzzSocket(f *testing.F) {
	for _, w := range writeCases(f) {
		f.Add(w.b)
	}
	f.Fuzz(fuzzSocket)
}

func fuzzSocket(t *testing.T, b []byte) {
	if len(b) > 1<<14 {
		return
	}
	defer watch(20 * time.Second)()
	first, again := playTape(t, b), playTape(t, b)
	require.Equal(t, first, again, "the same calls are answered otherwise")
}

// playTape makes the calls on a kernel of its own, and returns what was read.
func playTape(t *testing.T, b []byte) (read [][]byte) {
	in := tape(b)
	k, err := New(fuzzReleases[in.u8()%len(fuzzReleases)])
	require.NoError(t, err)
	nets := []*Netns{k.NewNetns()}
	var sockets [16]*Socket
	for len(in) > 0 {
		op := in.u8()
		at := &sockets[op>>4]
		if sk := *at; sk != nil {
			if d := fuzzCall(t, sk, op&15, &in); d != nil {
				read = append(read, d)
			}
		}
		switch op & 15 {
		case fuzzOpen:
			typ, proto, id := in.u8(), in.u8(), in.u8()
			if sk, err := nets[id%len(nets)].open(typ, proto); err == 0 {
				*at = sk
			}
		case fuzzNetns:
			n := nets[in.u8()%len(nets)]
			if len(nets) == 4 {
				break
			}
			if other, _, err := n.Netns(); err == 0 {
				nets = append(nets, other.(*Netns))
			}
		case fuzzCloseNetns:
			nets[in.u8()%len(nets)].Close()
		case fuzzDrop:
			nets[0].Drop()
		case fuzzIfIndex:
			nets[in.u8()%len(nets)].IfIndex(string(in.take(4)))
		}
	}
	for _, n := range nets {
		n.Close()
	}
	requireIdle(t, k)
	return read
}

// fuzzCall is a call on a socket. It returns what was read.
func fuzzCall(t *testing.T, sk *Socket, what int, in *tape) []byte {
	switch what {
	case fuzzClose:
		sk.Close()
	case fuzzBind:
		sk.Bind(in.addr())
	case fuzzConnect:
		sk.Connect(in.addr())
	case fuzzSet:
		level, opt := in.u8(), in.u8()
		if level == solNetlink&0xff {
			level = solNetlink
		}
		sk.Setsockopt(level, opt, in.blob())
	case fuzzGet:
		level, opt := in.u8(), in.u8()
		sk.Getsockopt(level, opt, in.u8())
	case fuzzFilter:
		var prog []nlcase.Instruction
		for range in.u8() % 16 {
			prog = append(prog, nlcase.Instruction{Code: uint16(in.u8()), Jt: uint8(in.u8()), Jf: uint8(in.u8()), K: in.u32()})
		}
		sk.Filter(prog)
	case fuzzSend, fuzzStart:
		to := in.addr()
		if what == fuzzSend {
			sk.Send(in.blob(), nlcase.SendOptions{To: &to})
		} else {
			sk.Start(in.blob(), nlcase.SendOptions{To: &to})
		}
	case fuzzRecv:
		d, err := sk.Recv(nlcase.RecvOptions{Size: in.u8() * 64})
		if err != 0 || d.From.Pid != 0 || d.Flags != 0 || sk.proto == nlmsg.Usersock {
			return nil // not the kernel's, or not whole
		}
		for b := d.Data; len(b) > 0; {
			require.GreaterOrEqual(t, len(b), nlmsg.HeaderLen)
			n := int(native.Uint32(b))
			require.GreaterOrEqual(t, n, nlmsg.HeaderLen)
			require.LessOrEqual(t, n, len(b))
			b = b[min(nlmsg.Align(n), len(b)):]
		}
		return d.Data
	case fuzzName:
		sk.Getsockname()
	}
	return nil
}
