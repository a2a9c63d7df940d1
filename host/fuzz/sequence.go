// Package fuzz writes netlink exchanges that nobody thought of, plays them on two
// kernels and finds those on which the kernels differ. What it finds it makes as
// short as it can and writes down as a case.
//
//	nlrig fuzz -k emulated@6.12,6.12 -n 20000
//
// A sequence is a few system calls on sockets of its own: one of the corpus's cases
// that was changed in places, or messages from the tables of vmtest/nlmsg, with valid
// and nearly valid values, or the bytes of such messages changed. The same seed and
// number give the same sequence. Several sequences are played as one case, for a
// real VM takes longer to make a namespace than to answer.
package fuzz

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// step is a system call. A send is followed by the reading of all that it
// brought.
type step struct {
	text  string // of what is no send, without an expectation
	sock  string
	proto int // of sock
	opts  string
	msgs  []nlcase.Msg // of a send
}

func (s *step) send() bool { return s.msgs != nil }

// sequence is steps that are played one after the other.
type sequence []step

// caps is what the thread of a case may do, as a case says it.
type caps string

// text is the sequences as a case.
func text(head string, c caps, all ...sequence) string {
	var b strings.Builder
	b.WriteString(head)
	if c != "" {
		b.WriteString("caps " + string(c) + "\n")
	}
	for i, s := range all {
		w := writer{b: &b}
		if len(all) > 1 {
			w.suffix = strconv.Itoa(i)
		}
		w.sequence(s)
	}
	return b.String()
}

// writer writes a sequence; suffix makes its names its own.
type writer struct {
	b      *strings.Builder
	suffix string
}

func (w *writer) sequence(s sequence) {
	var open, joined []string
	for i := range s {
		st := &s[i]
		if st.send() {
			fmt.Fprintf(w.b, "send %s%s", w.name(st.sock), w.words(st.opts))
			for j := range st.msgs {
				if j > 0 {
					w.b.WriteString(" ;")
				}
				w.message(st.proto, &st.msgs[j])
			}
			fmt.Fprintf(w.b, "\ncollect %s\n", w.name(st.sock))
			continue
		}
		f := strings.Fields(st.text)
		switch f[0] {
		case "open":
			open = append(open, st.sock)
		case "close":
			open = slices.DeleteFunc(open, func(x string) bool { return x == st.sock })
		case "join":
			joined = append(joined, st.sock)
		}
		if st.sock != "" {
			f[1] = w.name(st.sock)
		}
		w.b.WriteString(strings.TrimSpace(w.words(strings.Join(f, " "))) + "\n")
	}
	for i, x := range joined {
		if slices.Contains(open, x) && !slices.Contains(joined[:i], x) {
			fmt.Fprintf(w.b, "collect %s\n", w.name(x))
		}
	}
	for i, x := range open {
		if w.suffix == "" {
			break // they are closed with the namespace
		}
		if !slices.Contains(open[:i], x) {
			fmt.Fprintf(w.b, "close %s\n", w.name(x))
		}
	}
}

func (w *writer) name(s string) string { return s + w.suffix }

// words writes words whose variables are renamed, each after a blank.
func (w *writer) words(s string) string {
	var b strings.Builder
	for _, f := range strings.Fields(s) {
		if i := strings.IndexByte(f, '$'); i >= 0 {
			f += w.suffix
		}
		b.WriteString(" " + f)
	}
	return b.String()
}

func (w *writer) arg(name string, a nlcase.Arg) {
	switch a.Kind {
	case nlcase.ArgNumber:
		fmt.Fprintf(w.b, " %s=%d", name, a.N)
	case nlcase.ArgVar:
		fmt.Fprintf(w.b, " %s=$%s", name, w.name(a.Var))
	}
}

func (w *writer) value(k nlmsg.Kind, v nlcase.Value) string {
	if v.Var != "" {
		return "$" + w.name(v.Var)
	}
	s := nlmsg.FormatValue(k, v.Data)
	if strings.HasPrefix(s, `"`) && strings.ContainsFunc(s[1:len(s)-1], odd) {
		s = "hex:" + hex.EncodeToString(v.Data)
	}
	return s
}

// odd says that a character is better shown in hex.
func odd(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }

// message writes a message after a blank, with the names that the parser knows
// where it stands.
func (w *writer) message(proto int, m *nlcase.Msg) {
	if m.Type.Kind == nlcase.ArgNone {
		w.b.WriteString(" hex:" + hex.EncodeToString(m.Raw))
		return
	}
	def := nlmsg.TypeOf(proto, uint16(m.Type.N))
	flags := def.FlagString(m.Flags)
	if flags == "" {
		flags = "0x0"
	}
	fmt.Fprintf(w.b, " %s %s", nlmsg.TypeName(proto, uint16(m.Type.N)), flags)
	w.arg("seq", m.Seq)
	w.arg("pid", m.Pid)
	w.arg("len", m.Len)
	var space nlmsg.SpaceID
	if def != nil {
		space = def.Space
	}
	w.head(m.Head, m.Fields)
	w.attrs(m.Attrs, space, nlmsg.Context{Family: family(m)})
}

// family is the address family in a message's header.
func family(m *nlcase.Msg) (f uint8) {
	for _, x := range m.Fields {
		if x.Field.Kind == nlmsg.Family && len(x.Value.Data) == 1 {
			f = x.Value.Data[0]
		}
	}
	return f
}

func (w *writer) head(h *nlmsg.Struct, fields []nlcase.FieldValue) {
	if h == nil {
		return
	}
	var f []string
	for _, x := range fields {
		f = append(f, x.Field.Name+"="+w.value(x.Field.Kind, x.Value))
	}
	w.b.WriteString(" " + h.Name + "{" + strings.Join(f, ",") + "}")
}

func (w *writer) attrs(attrs []nlcase.Attr, space nlmsg.SpaceID, ctx nlmsg.Context) {
	for i := range attrs {
		a := &attrs[i]
		w.attr(a, space, ctx)
		ctx = after(ctx, space, a)
	}
}

// after is what decides the meaning of the attributes that come after a.
func after(ctx nlmsg.Context, space nlmsg.SpaceID, a *nlcase.Attr) nlmsg.Context {
	if n := len(a.Value.Data); space == nlmsg.SpaceLinkInfo && (a.Type == infoKind || a.Type == infoSlaveKind) && n > 0 {
		ctx.LinkKind = string(a.Value.Data[:n-1])
	}
	return ctx
}

// IFLA_INFO_KIND and IFLA_INFO_SLAVE_KIND.
const (
	infoKind      = 1
	infoSlaveKind = 4
)

func (w *writer) attr(a *nlcase.Attr, space nlmsg.SpaceID, ctx nlmsg.Context) {
	if a.IsRaw {
		w.b.WriteString(" hex:" + hex.EncodeToString(a.Raw))
		return
	}
	def := space.ByType(a.Type)
	kind := nlmsg.Bytes
	if def != nil {
		kind = def.Kind
		w.b.WriteString(" " + def.Name)
	} else {
		fmt.Fprintf(w.b, " %d", a.Type)
	}
	if a.Flags&nlmsg.AttrNested != 0 {
		w.b.WriteString("|NESTED")
	}
	if a.Flags&nlmsg.AttrNetByteorder != 0 {
		w.b.WriteString("|NET_BYTEORDER")
	}
	if a.Len.Kind == nlcase.ArgNumber {
		fmt.Fprintf(w.b, "@%d", a.Len.N)
	}
	switch {
	case a.IsNest:
		w.b.WriteString("{")
		w.head(a.Head, a.Fields)
		child, _ := ctx.Child(space, def)
		w.attrs(a.Attrs, child, ctx)
		w.b.WriteString("}")
	case a.Value.Var != "" && kind.Size() == 0:
		w.b.WriteString(":u32=" + w.value(nlmsg.U32, a.Value))
	case a.Value.Var != "" || len(a.Value.Data) > 0:
		w.b.WriteString("=" + w.value(kind, a.Value))
	}
}

// clone copies a sequence, so that it can be changed.
func (s sequence) clone() sequence {
	c := slices.Clone(s)
	for i := range c {
		c[i].msgs = cloneMsgs(c[i].msgs)
	}
	return c
}

func cloneMsgs(ms []nlcase.Msg) []nlcase.Msg {
	c := slices.Clone(ms)
	for i := range c {
		c[i].Raw = slices.Clone(c[i].Raw)
		c[i].Fields = cloneFields(c[i].Fields)
		c[i].Attrs = cloneAttrs(c[i].Attrs)
	}
	return c
}

func cloneFields(fs []nlcase.FieldValue) []nlcase.FieldValue {
	c := slices.Clone(fs)
	for i := range c {
		c[i].Value.Data = slices.Clone(c[i].Value.Data)
	}
	return c
}

func cloneAttrs(as []nlcase.Attr) []nlcase.Attr {
	c := slices.Clone(as)
	for i := range c {
		a := &c[i]
		a.Raw, a.Value.Data = slices.Clone(a.Raw), slices.Clone(a.Value.Data)
		a.Fields, a.Attrs = cloneFields(a.Fields), cloneAttrs(a.Attrs)
	}
	return c
}
