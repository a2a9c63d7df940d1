package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// sequence is number i of a seed: always the same.
func (c *corpus) sequence(seed, i uint64) sequence {
	r := rand.New(rand.NewPCG(seed, i))
	var s sequence
	switch n := r.IntN(20); {
	case n < 8:
		s = pick(r, c.sequences).clone()
		c.changeSome(r, s)
	case n < 11:
		s = pick(r, c.sequences).clone()
		if r.IntN(2) == 0 {
			c.changeSome(r, s)
		}
		changeBytes(r, s)
	default:
		s = c.fresh(r)
	}
	s = settle(vary(r, s))
	tame(s)
	for len(s) > 1 && len(text("", "", s)) > maxText {
		s = s[:len(s)-1]
	}
	return s
}

// maxText bounds the text of a sequence, so that a pack of them is a case.
const maxText = 6 << 10

// caps are those of the sequences that are played in one case with number i.
func capsOf(seed, pack uint64) caps {
	switch rand.New(rand.NewPCG(seed, 1<<63|pack)).IntN(16) {
	case 0:
		return "none"
	case 1:
		return "userns"
	}
	return ""
}

// fresh is messages of the corpus and of the tables on a new socket.
func (c *corpus) fresh(r *rand.Rand) sequence {
	s := sequence{{text: "open s route", sock: "s"}}
	for range 1 + r.IntN(4) {
		st := step{sock: "s", msgs: []nlcase.Msg{c.message(r)}}
		for r.IntN(6) == 0 {
			st.msgs = append(st.msgs, c.message(r))
		}
		s = append(s, st)
	}
	return s
}

func (c *corpus) message(r *rand.Rand) nlcase.Msg {
	if r.IntN(3) == 0 {
		return message(r)
	}
	m := cloneMsgs([]nlcase.Msg{pick(r, c.msgs)})[0]
	literal(m.Fields, m.Attrs)
	for _, a := range []*nlcase.Arg{&m.Seq, &m.Pid, &m.Len} {
		if a.Kind == nlcase.ArgVar {
			*a = nlcase.Arg{}
		}
	}
	for range r.IntN(3) {
		changeMessage(r, &m)
	}
	return m
}

// literal is unbind of all names.
func literal(fields []nlcase.FieldValue, attrs []nlcase.Attr) { unbind(fields, attrs, nil) }

// vary adds steps around the sends: options, groups, the closing of a socket.
func vary(r *rand.Rand, s sequence) sequence {
	var out sequence
	listener := r.IntN(5) == 0
	for i := range s {
		st := s[i]
		out = append(out, st)
		if !strings.HasPrefix(st.text, "open ") || st.proto != nlmsg.Route {
			continue
		}
		for _, o := range []string{"EXT_ACK", "GET_STRICT_CHK", "CAP_ACK"} {
			if r.IntN(3) == 0 {
				out = append(out, step{text: "set " + st.sock + " " + o + " 1", sock: st.sock})
			}
		}
		if listener {
			listener = false
			out = append(out, step{text: "open z route", sock: "z"})
			for range 1 + r.IntN(4) {
				out = append(out, step{text: fmt.Sprintf("join z %d", 1+r.IntN(37)), sock: "z"})
			}
		}
	}
	return out
}

// changeSome changes a few messages, or leaves out, repeats or moves a send.
func (c *corpus) changeSome(r *rand.Rand, s sequence) {
	sends := sendsOf(s)
	if len(sends) == 0 {
		return
	}
	for range 1 + r.IntN(4) {
		st := &s[pick(r, sends)]
		switch r.IntN(12) {
		case 0:
			if st.proto == nlmsg.Route {
				st.msgs = append(st.msgs, c.message(r))
			}
		case 1:
			if st.proto == nlmsg.Route {
				st.msgs = []nlcase.Msg{c.message(r)}
			}
		case 2:
			st.msgs = append(st.msgs, cloneMsgs(st.msgs[:1])...)
		case 3:
			other := &s[pick(r, sends)]
			if other.sock == st.sock {
				st.msgs, other.msgs = other.msgs, st.msgs
			}
		default:
			changeMessage(r, &st.msgs[r.IntN(len(st.msgs))])
		}
	}
}

func sendsOf(s sequence) (at []int) {
	for i := range s {
		if s[i].send() {
			at = append(at, i)
		}
	}
	return at
}

// changeMessage changes one thing about a message.
func changeMessage(r *rand.Rand, m *nlcase.Msg) {
	if m.Type.Kind == nlcase.ArgNone {
		return
	}
	def := nlmsg.TypeOf(nlmsg.Route, uint16(m.Type.N))
	space := nlmsg.SpaceNone
	if def != nil && def.Head() == m.Head {
		space = def.Space
	}
	ctx := nlmsg.Context{Family: family(m)}
	switch n := r.IntN(20); {
	case n < 3:
		m.Flags ^= pick(r, []uint16{1, 4, 4, 4, 8, 0x100, 0x100, 0x200, 0x200, 0x300, 0x300, 0x400, 0x800, 0x20, 0x10, 2})
	case n == 3:
		if m.Type.N >= nlmsg.MinType {
			m.Type.N = m.Type.N&^3 | r.Uint64N(4) // new, delete, get or set of the same
		} else {
			m.Type.N = r.Uint64N(140)
		}
	case n == 4:
		*pick(r, []*nlcase.Arg{&m.Seq, &m.Pid}) = nlcase.Arg{Kind: nlcase.ArgNumber, N: pick(r, []uint64{0, 7, 1<<32 - 1})}
	case n == 5:
		m.Len = nlcase.Arg{Kind: nlcase.ArgNumber, N: pick(r, []uint64{0, 15, 16, 17, 20, 24, 28, 32, 36, 1 << 16, 1<<32 - 1})}
	case n < 9 && m.Head != nil:
		f := &m.Head.Fields[r.IntN(len(m.Head.Fields))]
		setField(m, f, numberOf(r, f.Kind))
	case n == 9 && m.Head != nil:
		f := &m.Head.Fields[0]
		setField(m, f, numberOf(r, f.Kind))
	case n < 16 && len(m.Attrs) > 0:
		changeAttrs(r, &m.Attrs, space, ctx)
	default:
		m.Attrs = slices.Insert(m.Attrs, r.IntN(len(m.Attrs)+1), attr(r, space, ctx, 0))
	}
}

func setField(m *nlcase.Msg, f *nlmsg.Field, n uint64) {
	v := number(f.Kind, int(f.Size), n)
	for i := range m.Fields {
		if m.Fields[i].Field == f {
			m.Fields[i].Value = v
			return
		}
	}
	m.Fields = append(m.Fields, nlcase.FieldValue{Field: f, Value: v})
}

// changeAttrs changes one of attributes, of which there is one at least, or one
// in it.
func changeAttrs(r *rand.Rand, attrs *[]nlcase.Attr, space nlmsg.SpaceID, ctx nlmsg.Context) {
	i := r.IntN(len(*attrs))
	a := &(*attrs)[i]
	if a.IsRaw {
		return
	}
	for j := range i {
		ctx = after(ctx, space, &(*attrs)[j])
	}
	def := space.ByType(a.Type)
	if a.IsNest && r.IntN(5) > 0 {
		child, _ := ctx.Child(space, def)
		if len(a.Attrs) > 0 && r.IntN(3) > 0 {
			changeAttrs(r, &a.Attrs, child, ctx)
		} else {
			a.Attrs = slices.Insert(a.Attrs, r.IntN(len(a.Attrs)+1), attr(r, child, ctx, 2))
		}
		return
	}
	switch r.IntN(8) {
	case 0:
		*attrs = slices.Delete(*attrs, i, i+1)
	case 1:
		*attrs = slices.Insert(*attrs, i, cloneAttrs((*attrs)[i:i+1])...)
	case 2:
		a.Flags ^= nlmsg.AttrNested
	case 3:
		a.Len = nlcase.Arg{Kind: nlcase.ArgNumber, N: pick(r, []uint64{0, 3, 4, 5, 6, 7, 8, 9, 12, 255, 65535})}
	case 4:
		if !a.IsNest {
			a.Value = nlcase.Value{Data: make([]byte, pick(r, []int{0, 1, 2, 3, 4, 5, 8, 16, 17, 40, 300}))}
		}
	case 5:
		if n := len(a.Value.Data); n > 0 {
			a.Value.Data = a.Value.Data[:r.IntN(n)]
		}
	default:
		if !a.IsNest && def != nil {
			a.Value = nlcase.Value{Data: data(r, def.Kind, def.Name, ctx.Family)}
		}
	}
}

// tame takes away what time or chance decides: a link but the loopback that is
// up has addresses, and events, which workers make; a new link has a random
// address, unless it is given one; which processes and descriptors there are is up
// to whoever plays; and the kernel counts up handles of qdiscs for all namespaces.
func tame(s sequence) {
	for i := range s {
		for j := range s[i].msgs {
			m := &s[i].msgs[j]
			if m.Head == nil || s[i].proto != nlmsg.Route {
				continue
			}
			tameHead(m.Head, m.Fields)
			if m.Head.Name == "tcmsg" {
				if f := m.Head.Field("handle"); fieldOf(m.Fields, f) == 0 && m.Type.N%4 == 0 {
					setField(m, f, 1<<16)
				}
			}
			tameAttrs(m.Attrs)
			if m.Type.N == 16 { // RTM_NEWLINK
				m.Attrs = withAddress(m.Attrs)
			}
		}
	}
}

// withAddress gives the link that attributes make an address.
func withAddress(as []nlcase.Attr) []nlcase.Attr {
	const address, linkinfo = 1, 18
	has := func(t uint16) bool { return slices.ContainsFunc(as, func(a nlcase.Attr) bool { return a.Type == t }) }
	if !has(linkinfo) || has(address) {
		return as
	}
	return append(as, nlcase.Attr{Type: address, Name: "IFLA_ADDRESS", Kind: nlmsg.Ether, Value: nlcase.Value{Data: []byte{2, 0, 0, 0, 0, 9}}})
}

func tameHead(h *nlmsg.Struct, fields []nlcase.FieldValue) {
	if h == nil || h.Name != "ifinfomsg" || fieldOf(fields, h.Field("index")) == 1 {
		return
	}
	for i := range fields {
		if f := &fields[i]; f.Field.Name == "flags" && len(f.Value.Data) == 4 {
			n, _ := nlmsg.Number(nlmsg.U32, f.Value.Data)
			f.Value = number(nlmsg.U32, 4, n&^1)
		}
	}
}

func fieldOf(fields []nlcase.FieldValue, f *nlmsg.Field) uint64 {
	for i := range fields {
		if fields[i].Field == f {
			n, _ := nlmsg.Number(f.Kind, fields[i].Value.Data)
			return n
		}
	}
	return 0
}

func tameAttrs(attrs []nlcase.Attr) {
	for i := range attrs {
		a := &attrs[i]
		switch {
		case a.Value.Var != "": // shown as it is where it cannot be read
			a.Len, a.Flags = nlcase.Arg{}, 0
		case strings.HasSuffix(a.Name, "_PID") || strings.HasSuffix(a.Name, "_FD"):
			if len(a.Value.Data) >= 4 {
				a.Value.Data = nlmsg.AppendNumber(nil, nlmsg.U32, 4, 99999)
			}
		case a.Name == "IFA_CACHEINFO": // no lifetime that ends while one looks
			for j := 0; j+4 <= len(a.Value.Data) && j < 8; j += 4 {
				if n, _ := nlmsg.Number(nlmsg.U32, a.Value.Data[j:j+4]); n > 0 && n < 1000 {
					copy(a.Value.Data[j:], nlmsg.AppendNumber(nil, nlmsg.U32, 4, n+1000))
				}
			}
		}
		tameHead(a.Head, a.Fields)
		tameAttrs(a.Attrs)
		if a.Head != nil && a.Head.Name == "ifinfomsg" && !slices.ContainsFunc(a.Attrs, func(x nlcase.Attr) bool { return x.Name == "IFLA_ADDRESS" }) { // a veth's peer
			a.Attrs = append(a.Attrs, nlcase.Attr{Type: 1, Name: "IFLA_ADDRESS", Kind: nlmsg.Ether, Value: nlcase.Value{Data: []byte{2, 0, 0, 0, 0, 8}}})
		}
	}
}
