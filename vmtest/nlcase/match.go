package nlcase

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// received is a message and what is known of its datagram.
type received struct {
	msg   nlmsg.Message
	multi bool // was sent to a multicast group
}

// flatten are the messages of datagrams, in order.
func flatten(proto int, datagrams []Datagram) []received {
	var all []received
	for i := range datagrams {
		for _, x := range nlmsg.Decode(proto, datagrams[i].Data) {
			all = append(all, received{x, datagrams[i].From.Groups != 0})
		}
	}
	return all
}

// match compares messages with patterns, of which "..." is any number of
// messages: as few as will do. why says what did not fit, "" if all did.
func (m *machine) match(so *sock, pats []Msg, got []received) (why string) {
	// The place to go back to: behind the last "...", taking one more
	// message, with the names as they were.
	star, from, vars, last := -1, 0, 0, 0
	p, g := 0, 0
	for {
		var miss string
		switch {
		case p < len(pats) && pats[p].Ellipsis:
			if p == len(pats)-1 {
				return "" // takes all that is left
			}
			star, from, vars, last = p, g, len(m.vars), so.last
			p++
			continue
		case p == len(pats) && g == len(got):
			return ""
		case p == len(pats):
			miss = "message " + strconv.Itoa(g+1) + " is one more than expected"
		case g == len(got):
			if why == "" {
				why = "message " + strconv.Itoa(g+1) + " is missing"
			}
			return why // going back would only make it fewer
		default:
			if miss = m.matchMsg(so, &pats[p], &got[g]); miss != "" {
				miss = "message " + strconv.Itoa(g+1) + ": " + miss
			}
		}
		if miss == "" {
			p, g = p+1, g+1
			continue
		}
		why = miss
		if star < 0 {
			return why
		}
		from++
		p, g = star+1, from
		m.vars, so.last = m.vars[:vars], last
	}
}

func (m *machine) matchMsg(so *sock, x *Msg, r *received) string {
	if x.Type.Kind == ArgNone || r.msg.Junk {
		if x.Type.Kind != ArgNone || string(x.Raw) != string(r.msg.Raw) {
			return "other bytes"
		}
		return ""
	}
	if why := m.matchHeader(x, &r.msg); why != "" {
		return why
	}
	if x.Seq.Kind == ArgNone && !r.multi && r.msg.Header.Type != 0 {
		if i := so.answered(r.msg.Header.Seq); i >= 0 {
			so.last = i
		} else if len(so.sent) > 0 {
			return "seq " + strconv.Itoa(int(r.msg.Header.Seq)) + " is not that of a request"
		}
	}
	if x.Quoted {
		if why := so.quotes(&r.msg); why != "" {
			return why
		}
	}
	return m.matchBody(x, &r.msg)
}

// answered finds the request that a seq answers: not one before the last that
// was answered. It is -1 if there is none.
func (s *sock) answered(seq uint32) int {
	for i := s.last; i < len(s.sent); i++ {
		if binary.NativeEndian.Uint32(s.sent[i][8:]) == seq {
			return i
		}
	}
	return -1
}

// quotes compares the request in an ack with the one that was sent, as far
// as the ack holds it.
func (s *sock) quotes(got *nlmsg.Message) string {
	if got.Request == nil {
		return "quotes no request"
	}
	i := s.answered(got.Header.Seq)
	if i < 0 {
		return "quotes a request that was not sent"
	}
	want := s.sent[i]
	if got.Request.HeaderOnly {
		want = want[:nlmsg.HeaderLen]
	}
	if string(want) != string(got.Request.Raw) {
		return "quotes another request than the one sent"
	}
	return ""
}

func (m *machine) matchHeader(x *Msg, got *nlmsg.Message) string {
	h := got.Header
	switch {
	case !m.equalNumber(x.Type, uint64(h.Type)):
		return "type " + nlmsg.TypeName(got.Proto, h.Type)
	case !x.AnyFlags && x.Flags != h.Flags:
		def := nlmsg.TypeOf(got.Proto, h.Type)
		return fmt.Sprintf("flags %q, not %q", def.FlagString(h.Flags), def.FlagString(x.Flags))
	case x.Len.Kind == ArgNone && got.Malformed():
		return fmt.Sprintf("length %d, with %d bytes there", h.Len, len(got.Raw))
	case !m.equalNumber(x.Len, uint64(h.Len)):
		return "length " + strconv.Itoa(int(h.Len))
	case !m.equalNumber(x.Seq, uint64(h.Seq)):
		return "seq " + strconv.Itoa(int(h.Seq))
	case !m.equalNumber(x.Pid, uint64(h.Pid)):
		return "pid " + strconv.Itoa(int(h.Pid))
	}
	return ""
}

// matchBody compares what follows the nlmsghdr.
func (m *machine) matchBody(x *Msg, got *nlmsg.Message) string {
	if x.Head != nil {
		if got.Head != x.Head {
			return "no " + x.Head.Name
		}
		if why := m.matchHead(x.Fields, got.HeadData); why != "" {
			return why
		}
	}
	if x.Request != nil {
		if got.Request == nil {
			return "quotes no request"
		}
		if why := m.matchHeader(x.Request, got.Request); why != "" {
			return "request: " + why
		}
		if why := m.matchBody(x.Request, got.Request); why != "" {
			return "request: " + why
		}
	}
	return m.matchAttrs(x.Attrs, x.More, got.Attrs, got.Rest)
}

func (m *machine) matchHead(fields []FieldValue, data []byte) string {
	for _, f := range fields {
		b := data[f.Field.Off : f.Field.Off+f.Field.Size]
		if !m.equal(f.Field.Kind, f.Value, b) {
			return f.Field.Name + "=" + nlmsg.FormatValue(f.Field.Kind, b)
		}
	}
	return ""
}

// matchAttrs compares attributes: with "...", those named are to be among the
// others, in any order; without it the list is exact.
func (m *machine) matchAttrs(want []Attr, more bool, got []nlmsg.Attr, rest []byte) string {
	next := 0
	used := make([]bool, len(got))
	for i := range want {
		w := &want[i]
		switch {
		case w.Absent:
			for j := range got {
				if got[j].Type == w.Type {
					return got[j].String() + " is there"
				}
			}
			continue
		case w.IsRaw:
			if string(w.Raw) != string(rest) {
				return "other bytes after the attributes"
			}
			rest = nil
			continue
		case more:
			if why := m.findAttr(w, got, used); why != "" {
				return why
			}
			continue
		case next == len(got):
			return w.Name + " is missing"
		}
		if why := m.matchAttr(w, &got[next]); why != "" {
			return why
		}
		next++
	}
	switch {
	case more:
		return ""
	case next < len(got):
		return got[next].String() + " is one more than expected"
	case len(rest) > 0:
		return fmt.Sprintf("%d bytes left over after the attributes", len(rest))
	}
	return ""
}

func (m *machine) findAttr(w *Attr, got []nlmsg.Attr, used []bool) (why string) {
	why = w.Name + " is missing"
	for j := range got {
		if used[j] || got[j].Type != w.Type {
			continue
		}
		vars := len(m.vars)
		if why = m.matchAttr(w, &got[j]); why == "" {
			used[j] = true
			return ""
		}
		m.vars = m.vars[:vars]
	}
	return why
}

func (m *machine) matchAttr(w *Attr, got *nlmsg.Attr) string {
	switch {
	case w.Type != got.Type:
		return got.String() + ", not " + w.Name
	case w.Flags != 0 && w.Flags != got.Flags:
		return got.String() + " has other flags"
	case w.Len.Kind != ArgNone && !m.equalNumber(w.Len, uint64(len(got.Data)+4)):
		return got.String() + " has another length"
	case !w.IsNest:
		if !m.equal(w.Kind, w.Value, got.Data) {
			return got.String()
		}
		return ""
	case !got.IsNest && len(got.Data) > 0:
		return got.String() + " is not a nest"
	}
	if w.Head != nil {
		if got.Head != w.Head {
			return w.Name + ": no " + w.Head.Name
		}
		if why := m.matchHead(w.Fields, got.HeadData); why != "" {
			return w.Name + ": " + why
		}
	}
	if why := m.matchAttrs(w.Attrs, w.More, got.Attrs, got.Rest); why != "" {
		return w.Name + ": " + why
	}
	return ""
}
