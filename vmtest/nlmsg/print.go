package nlmsg

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Printer shows messages. The zero value shows everything as it is.
type Printer struct {
	// Where set, these show an ifindex, a descriptor, the numbers of a
	// header, and a message type that has no name.
	Index, FD, Seq, Pid func(uint32) string
	Type                func(uint16) string
	// Stable hides what differs between runs: "IFLA_STATS=*".
	Stable bool
}

func (m *Message) String() string { return (&Printer{}).Message(m) }

func (a *Attr) String() string { return (&Printer{}).Attr(a) }

func (h Header) String() string {
	return "type=" + strconv.Itoa(int(h.Type)) + " flags=0x" + strconv.FormatUint(uint64(h.Flags), 16) +
		" seq=" + decimal(h.Seq) + " pid=" + decimal(h.Pid) + " len=" + decimal(h.Len)
}

func (f *Field) String() string   { return f.Name }
func (s *Struct) String() string  { return s.Name }
func (d *AttrDef) String() string { return d.Name }
func (t *TypeDef) String() string { return t.Name }

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Message shows a message as the text of a case has it.
func (p *Printer) Message(m *Message) string {
	var b strings.Builder
	p.message(&b, m)
	return b.String()
}

// Attr shows an attribute as the text of a case has it.
func (p *Printer) Attr(a *Attr) string {
	var b strings.Builder
	p.attr(&b, a)
	return b.String()
}

func (p *Printer) message(b *strings.Builder, m *Message) {
	if m.Junk {
		b.WriteString("hex:" + hex.EncodeToString(m.Raw))
		return
	}
	def := TypeOf(m.Proto, m.Header.Type)
	if p.Type != nil && (def == nil || def.Name == "") {
		b.WriteString(p.Type(m.Header.Type))
	} else {
		b.WriteString(TypeName(m.Proto, m.Header.Type))
	}
	if s := def.FlagString(m.Header.Flags); s != "" {
		b.WriteString(" " + s)
	}
	number := func(name string, f func(uint32) string, n uint32) {
		if f == nil {
			f = decimal
		}
		b.WriteString(name + f(n))
	}
	number(" seq=", p.Seq, m.Header.Seq)
	number(" pid=", p.Pid, m.Header.Pid)
	if m.Malformed() {
		b.WriteString(" len=" + decimal(m.Header.Len))
	}
	if m.Head != nil {
		b.WriteByte(' ')
		if m.Head.Name == "nlmsgerr" {
			b.WriteString("error=" + FormatValue(Err, m.HeadData))
		} else {
			p.head(b, m.Head, m.HeadData)
		}
	}
	if m.Request != nil {
		b.WriteString(" request{")
		p.message(b, m.Request)
		b.WriteByte('}')
	}
	p.attrs(b, " ", m.Attrs, m.Rest)
}

func (p *Printer) head(b *strings.Builder, s *Struct, data []byte) {
	b.WriteString(s.Name + "{")
	for i := range s.Fields {
		f := &s.Fields[i]
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.Name + "=" + p.value(f.Kind, data[f.Off:f.Off+f.Size]))
	}
	b.WriteByte('}')
}

func (p *Printer) value(k Kind, data []byte) string {
	if k == Index && p.Index != nil && len(data) == 4 {
		return p.Index(native.Uint32(data))
	}
	if k == FD && p.FD != nil && len(data) == 4 {
		return p.FD(native.Uint32(data))
	}
	return FormatValue(k, data)
}

// attrs shows attributes, each after sep the first time and a space then.
func (p *Printer) attrs(b *strings.Builder, sep string, attrs []Attr, rest []byte) {
	for i := range attrs {
		b.WriteString(sep)
		sep = " "
		p.attr(b, &attrs[i])
	}
	if len(rest) > 0 {
		b.WriteString(sep + "hex:" + hex.EncodeToString(rest))
	}
}

func (p *Printer) attr(b *strings.Builder, a *Attr) {
	kind := Bytes
	if a.Def != nil {
		b.WriteString(a.Def.Name)
		kind = a.Def.Kind
	} else {
		b.WriteString(strconv.Itoa(int(a.Type)))
	}
	if a.Flags&AttrNested != 0 {
		b.WriteString("|NESTED")
	}
	if a.Flags&AttrNetByteorder != 0 {
		b.WriteString("|NET_BYTEORDER")
	}
	switch {
	case a.Def != nil && a.Def.Volatile && p.Stable:
		b.WriteString("=*")
	case a.IsNest:
		b.WriteByte('{')
		sep := ""
		if a.Head != nil {
			p.head(b, a.Head, a.HeadData)
			sep = " "
		}
		p.attrs(b, sep, a.Attrs, a.Rest)
		b.WriteByte('}')
	case len(a.Data) == 0:
	case kind == String && !isString(a.Data) && isText(a.Data):
		b.WriteString(":str=" + strconv.Quote(string(a.Data)))
	default:
		b.WriteString("=" + p.value(kind, a.Data))
	}
}

func isString(b []byte) bool {
	_, err := formatKind(String, b)
	return err == nil
}

func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
