package nlcase

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// judge compares a step's result with what is expected, and moves the state
// on: sockets, what they sent, and names. It returns what did not hold.
func (m *machine) judge(s *Step, r *StepResult) (bad []Mismatch) {
	if r.Skipped {
		return nil
	}
	miss := func(want, got string) {
		bad = append(bad, Mismatch{Line: s.Line, Want: want, Got: got})
	}
	var so *sock
	if s.Op == OpOpen {
		so = &sock{name: s.Sock}
		m.socks = append(m.socks, so)
	} else if s.Sock != "" {
		so = m.sock(s.Sock)
	}
	if so != nil {
		so.proto = s.Proto
	}
	if s.Op == OpRecv || s.Op == OpCollect || s.Op == OpQuiet {
		m.judgeRecv(s, so, r, miss)
		return bad
	}
	if s.Op == OpSend {
		d, msgs, seq := m.encode(s)
		if s.Took.Kind != ArgNone {
			d = d[:min(m.number(s.Took), uint64(len(d)))]
		}
		if string(d) != string(r.Value) {
			miss("to send "+m.show(s.Proto, d), "sent "+m.show(s.Proto, r.Value))
		}
		so.sent, so.seq = append(so.sent, msgs...), seq
	}
	if so != nil && r.Portid != 0 {
		so.portid = r.Portid // after encode, which did not know it either
	}
	if r.Errno != s.Want {
		miss(wantErrno(s.Want), gotErrno(r.Errno))
		return bad
	}
	if s.Want != 0 {
		return bad
	}
	switch s.Op {
	case OpNetns:
		n, _ := nlmsg.Number(nlmsg.U32, r.Value)
		m.vars = append(m.vars, binding{name: s.Var, num: n, fd: true})
	case OpIfindex:
		n, _ := nlmsg.Number(nlmsg.U32, r.Value)
		if !m.equalNumber(Arg{Kind: ArgVar, Var: s.Var}, n) {
			miss("$"+s.Var, strconv.FormatUint(n, 10))
		}
	case OpName:
		if !m.equalNumber(s.Pid, uint64(r.Portid)) {
			miss("pid="+m.showArg(s.Pid), "pid="+strconv.FormatUint(uint64(r.Portid), 10))
		}
		if !m.equalNumber(s.Groups, uint64(r.Groups)) {
			miss(fmt.Sprintf("groups=%#x", s.Groups.N), fmt.Sprintf("groups=%#x", r.Groups))
		}
	case OpGet:
		if !m.equal(nlmsg.U32, s.Value, r.Value) {
			miss(s.Option.Name+" "+m.showValue(s.Value), nlmsg.FormatValue(nlmsg.U32, r.Value))
		}
	}
	return bad
}

// judgeRecv judges what was read. Its miss is called at most once: the first
// reason is the one that counts.
func (m *machine) judgeRecv(s *Step, so *sock, r *StepResult, miss func(want, got string)) {
	got := func(why string) string {
		text := m.showDatagrams(s.Proto, r.Datagrams)
		if text == "" {
			text = gotErrno(r.Errno)
		}
		if why != "" {
			text = why + "\n" + text
		}
		return text
	}
	want := s.Text
	switch {
	case r.Errno != s.Want:
		miss(want, got("the read gave "+gotErrno(r.Errno)))
		return
	case s.Want != 0 && len(r.Datagrams) > 0 && s.Op != OpCollect:
		miss(want, got(""))
		return
	case s.Want != 0 && s.Op != OpCollect:
		return
	case s.Op == OpRecv && len(r.Datagrams) != 1:
		miss(want, got(strconv.Itoa(len(r.Datagrams))+" datagrams"))
		return
	}
	for i := range r.Datagrams {
		if why := m.matchDatagram(&s.Recv, &r.Datagrams[i]); why != "" {
			miss(want, got(why))
			return
		}
	}
	if len(s.Msgs) == 0 {
		return // collect takes all there is
	}
	if why := m.match(so, s.Msgs, flatten(s.Proto, r.Datagrams)); why != "" {
		miss(want, got(why))
	}
}

// holds reports whether a read would be judged well, and forgets it.
func (m *machine) holds(s *Step, r *StepResult) bool {
	so := m.sock(s.Sock)
	vars, last := len(m.vars), so.last
	ok := true
	m.judgeRecv(s, so, r, func(string, string) { ok = false })
	m.vars, so.last = m.vars[:vars], last
	return ok
}

func (m *machine) matchDatagram(w *RecvPattern, d *Datagram) string {
	from := w.From
	if from.Kind == ArgNone {
		from = Arg{Kind: ArgNumber} // the kernel
	}
	switch {
	case !m.equalNumber(from, uint64(d.From.Pid)):
		return "from portid " + strconv.FormatUint(uint64(d.From.Pid), 10)
	case !m.equalNumber(w.Groups, uint64(d.From.Groups)):
		return fmt.Sprintf("groups=%#x", d.From.Groups)
	case !m.equalNumber(w.Size, uint64(d.Len)):
		return "size=" + strconv.Itoa(d.Len)
	case w.Truncated != (d.Flags&MsgTrunc != 0):
		return fmt.Sprintf("truncated is %t: %d of %d bytes", d.Flags&MsgTrunc != 0, len(d.Data), d.Len)
	}
	for _, c := range [...]struct {
		name string
		arg  Arg
		typ  uint32
	}{{"pktinfo", w.PktGroup, cmsgPktinfo}, {"nsid", w.Nsid, cmsgNsid}} {
		if c.arg.Kind == ArgNone {
			continue
		}
		n, ok := d.control(c.typ)
		switch {
		case !ok:
			return "no " + c.name
		case !m.equalNumber(c.arg, uint64(n)):
			return c.name + "=" + strconv.FormatUint(uint64(n), 10)
		}
	}
	if w.Cred == nil {
		return ""
	}
	c, ok := d.cred()
	switch {
	case !ok:
		return "no credentials"
	case !m.equalNumber(w.Cred.Pid, uint64(c.Pid)), !m.equalNumber(w.Cred.UID, uint64(c.UID)), !m.equalNumber(w.Cred.GID, uint64(c.GID)):
		return fmt.Sprintf("cred.pid=%d cred.uid=%d cred.gid=%d", c.Pid, c.UID, c.GID)
	}
	return ""
}

// cred are the credentials in an ancillary message.
func (d *Datagram) cred() (Cred, bool) {
	for _, c := range d.Control {
		if cred, ok := c.cred(); ok {
			return cred, true
		}
	}
	return Cred{}, false
}

func (c *Control) cred() (Cred, bool) {
	if c.Level != solSocket || c.Type != scmCredentials || len(c.Data) != 12 {
		return Cred{}, false
	}
	u := func(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
	return Cred{u(c.Data), u(c.Data[4:]), u(c.Data[8:])}, true
}

// control is the number in an ancillary message of SOL_NETLINK.
func (d *Datagram) control(typ uint32) (uint32, bool) {
	for _, c := range d.Control {
		if c.Level == solNetlink && c.Type == typ {
			n, ok := nlmsg.Number(nlmsg.U32, c.Data)
			return uint32(n), ok
		}
	}
	return 0, false
}

func (m *machine) show(proto int, d []byte) string {
	msgs := nlmsg.Decode(proto, d)
	s := make([]string, len(msgs))
	for i := range msgs {
		s[i] = msgs[i].String()
	}
	return strings.Join(s, " ; ")
}

// maxShown bounds what a mismatch shows, give or take a message.
const maxShown = 64 << 10

// showDatagrams has a line for each message, and says where a datagram ends.
func (m *machine) showDatagrams(proto int, ds []Datagram) string {
	var b strings.Builder
	for i := range ds {
		if i > 0 {
			b.WriteString("--\n")
		}
		for _, x := range nlmsg.Decode(proto, ds[i].Data) {
			if b.Len() > maxShown {
				return b.String() + "and more"
			}
			b.WriteString(x.String() + "\n")
		}
		if len(ds[i].Data) == 0 {
			b.WriteString("an empty datagram\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (m *machine) showArg(a Arg) string {
	if a.Kind == ArgVar {
		return "$" + a.Var + "=" + strconv.FormatUint(m.number(a), 10)
	}
	return strconv.FormatUint(a.N, 10)
}

func (m *machine) showValue(v Value) string {
	if v.Var != "" {
		return "$" + v.Var
	}
	return nlmsg.FormatValue(nlmsg.U32, v.Data)
}

func wantErrno(e Errno) string {
	if e == 0 {
		return "success"
	}
	return e.Error()
}

func gotErrno(e Errno) string { return wantErrno(e) }
