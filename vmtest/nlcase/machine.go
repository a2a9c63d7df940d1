package nlcase

import (
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// machine is the state that the steps of a case have led to: what its names
// stand for. Play and Check each run one over the same results, so that names
// bind alike in the guest and on the host.
type machine struct {
	c       *Case
	release string
	vars    []binding // only ever appended to, so that a length is a snapshot
	socks   []*sock
}

type binding struct {
	name string
	num  uint64 // where data is nil
	fd   bool   // a descriptor of a namespace
	data []byte
}

// sock is what is known of a socket.
type sock struct {
	name   string
	proto  int
	portid uint32
	seq    uint32   // the last that a message was given
	sent   [][]byte // every message
	last   int      // index in sent of the one answered last
}

func newMachine(c *Case, release string) *machine { return &machine{c: c, release: release} }

// sock finds the latest socket of a name; one that could not be opened is
// there too, so that what follows can be judged.
func (m *machine) sock(name string) *sock {
	for i := len(m.socks) - 1; i >= 0; i-- {
		if m.socks[i].name == name {
			return m.socks[i]
		}
	}
	s := &sock{name: name}
	m.socks = append(m.socks, s)
	return s
}

// lookup finds what a name stands for: a variable, or a socket's portid.
func (m *machine) lookup(name string) (binding, bool) {
	for _, b := range m.vars {
		if b.name == name {
			return b, true
		}
	}
	for i := len(m.socks) - 1; i >= 0; i-- {
		if m.socks[i].name == name {
			return binding{name: name, num: uint64(m.socks[i].portid)}, true
		}
	}
	return binding{}, false
}

// number is an argument's value. A variable that no step has bound, because
// one failed, is 0.
func (m *machine) number(a Arg) uint64 {
	if a.Kind == ArgVar {
		b, _ := m.lookup(a.Var)
		return b.num
	}
	return a.N
}

// equalNumber compares, and binds a variable that is not bound.
func (m *machine) equalNumber(a Arg, n uint64) bool {
	switch a.Kind {
	case ArgNumber:
		return a.N == n
	case ArgVar:
		b, ok := m.lookup(a.Var)
		if !ok {
			m.vars = append(m.vars, binding{name: a.Var, num: n})
			return true
		}
		return b.data == nil && b.num == n
	}
	return true
}

// bytes is a value to send.
func (m *machine) bytes(kind nlmsg.Kind, size int, v Value) []byte {
	if v.Var == "" {
		return v.Data
	}
	b, _ := m.lookup(v.Var)
	if b.data != nil || kind.Size() == 0 && size == 0 {
		return b.data
	}
	return nlmsg.AppendNumber(nil, kind, size, b.num)
}

// equal compares a value with bytes, and binds a variable that is not bound.
func (m *machine) equal(kind nlmsg.Kind, v Value, got []byte) bool {
	switch {
	case v.Any:
		return true
	case v.Var == "":
		return string(v.Data) == string(got)
	}
	n, isNum := nlmsg.Number(kind, got)
	b, ok := m.lookup(v.Var)
	switch {
	case !ok && isNum:
		m.vars = append(m.vars, binding{name: v.Var, num: n})
		return true
	case !ok:
		m.vars = append(m.vars, binding{name: v.Var, data: append([]byte{}, got...)})
		return true
	case b.data != nil:
		return string(b.data) == string(got)
	}
	return isNum && n == b.num
}

// encode is the datagram of a send step, the messages in it, and the seq of
// the last that was given one.
func (m *machine) encode(s *Step) (d []byte, msgs [][]byte, seq uint32) {
	seq = m.sock(s.Sock).seq
	for i := range s.Msgs {
		d = pad(d, 0)
		at := len(d)
		d = m.appendMsg(d, &s.Msgs[i], &seq)
		if s.Msgs[i].Type.Kind != ArgNone {
			msgs = append(msgs, d[at:len(d):len(d)])
		}
	}
	return d, msgs, seq
}

// appendMsg counts seq up for each message that names none of its own.
func (m *machine) appendMsg(d []byte, x *Msg, seq *uint32) []byte {
	if x.Type.Kind == ArgNone {
		return append(d, x.Raw...)
	}
	start := len(d)
	d = append(d, make([]byte, nlmsg.HeaderLen)...)
	if x.Head != nil {
		d = m.appendHead(d, x.Head, x.Fields)
	}
	if x.Request != nil {
		d = m.appendMsg(d, x.Request, seq)
		d = pad(d, start)
	}
	d = m.appendAttrs(d, start, x.Attrs)
	h := nlmsg.Header{Len: uint32(len(d) - start), Type: uint16(m.number(x.Type)), Flags: x.Flags, Pid: uint32(m.number(x.Pid))}
	if x.Seq.Kind != ArgNone {
		h.Seq = uint32(m.number(x.Seq))
	} else {
		*seq++
		h.Seq = *seq
	}
	if x.Len.Kind != ArgNone {
		h.Len = uint32(m.number(x.Len))
	}
	h.Append(d[:start])
	return d
}

func pad(d []byte, start int) []byte {
	for (len(d)-start)%4 != 0 {
		d = append(d, 0)
	}
	return d
}

func (m *machine) appendHead(d []byte, h *nlmsg.Struct, fields []FieldValue) []byte {
	at := len(d)
	d = append(d, make([]byte, h.Size)...)
	for _, f := range fields {
		copy(d[at+int(f.Field.Off):at+int(f.Field.Off+f.Field.Size)], m.bytes(f.Field.Kind, int(f.Field.Size), f.Value))
	}
	return d
}

// appendAttrs aligns to start, which is itself aligned in what is sent.
func (m *machine) appendAttrs(d []byte, start int, attrs []Attr) []byte {
	for i := range attrs {
		a := &attrs[i]
		if a.IsRaw {
			d = append(d, a.Raw...)
			continue
		}
		d = pad(d, start)
		at := len(d)
		d = append(d, 0, 0, 0, 0)
		if a.IsNest {
			if a.Head != nil {
				d = m.appendHead(d, a.Head, a.Fields)
			}
			d = m.appendAttrs(d, at, a.Attrs)
		} else {
			d = append(d, m.bytes(a.Kind, a.Kind.Size(), a.Value)...)
		}
		n := uint64(len(d) - at)
		if a.Len.Kind != ArgNone {
			n = m.number(a.Len)
		}
		h := nlmsg.AppendNumber(nil, nlmsg.U16, 2, n)
		h = nlmsg.AppendNumber(h, nlmsg.U16, 2, uint64(a.Type|a.Flags))
		copy(d[at:], h)
		d = pad(d, start)
	}
	return d
}
