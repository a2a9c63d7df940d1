package nlmsg

import "encoding/binary"

// native is the kernel's byte order, which is also that of whoever talks to it.
var native = binary.NativeEndian

// maxDepth bounds the nests that Decode follows. The kernel's own are at most
// half as deep.
const maxDepth = 16

// Header is a struct nlmsghdr.
type Header struct {
	Len         uint32
	Type, Flags uint16
	Seq, Pid    uint32
}

// Append puts the header's 16 bytes to b.
func (h Header) Append(b []byte) []byte {
	b = native.AppendUint32(b, h.Len)
	b = native.AppendUint16(b, h.Type)
	b = native.AppendUint16(b, h.Flags)
	b = native.AppendUint32(b, h.Seq)
	return native.AppendUint32(b, h.Pid)
}

func parseHeader(b []byte) Header {
	return Header{native.Uint32(b), native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), native.Uint32(b[12:])}
}

// Align is NLMSG_ALIGN and NLA_ALIGN.
func Align(n int) int { return (n + 3) &^ 3 }

// Message is a decoded message. Its slices point into the datagram.
type Message struct {
	Proto  int
	Header Header
	Raw    []byte // all of it, as much as there was

	// Junk are bytes too few for a header; nothing but Raw is set.
	Junk bool
	// HeaderOnly is a request quoted in an ack without its payload.
	HeaderOnly bool

	Head     *Struct // nil if there is none
	HeadData []byte
	Request  *Message // that an NLMSG_ERROR quotes
	Space    SpaceID
	Attrs    []Attr
	Rest     []byte // what was left and is no attribute
}

// Malformed reports that the header's length is not that of the message.
func (m *Message) Malformed() bool {
	return m.Junk || !m.HeaderOnly && int64(m.Header.Len) != int64(len(m.Raw))
}

// Errno is what an NLMSG_ERROR or NLMSG_DONE says, as a positive number. ok
// is false for other messages.
func (m *Message) Errno() (e Errno, ok bool) {
	if m.Head == nil || m.Head.Name != "nlmsgerr" {
		return 0, false
	}
	return Errno(-int64(int32(native.Uint32(m.HeadData)))), true
}

// Attr is a decoded attribute.
type Attr struct {
	Type  uint16 // without flags
	Flags uint16 // NLA_F_NESTED, NLA_F_NET_BYTEORDER
	Def   *AttrDef
	Data  []byte

	IsNest   bool // Data is what follows
	Space    SpaceID
	Head     *Struct
	HeadData []byte
	Attrs    []Attr
	Rest     []byte
}

// Flags of an attribute's type.
const (
	AttrNested       = 0x8000
	AttrNetByteorder = 0x4000
)

// Decode takes a datagram apart the way a receiver does (NLMSG_OK, NLMSG_NEXT).
// It never fails: a message whose length is wrong is the last and holds all
// that was left.
func Decode(proto int, b []byte) []Message {
	var msgs []Message
	for len(b) > 0 {
		if len(b) < HeaderLen {
			return append(msgs, Message{Proto: proto, Raw: b, Junk: true})
		}
		n := int64(native.Uint32(b))
		if n < HeaderLen || n > int64(len(b)) {
			n = int64(len(b))
		}
		msgs = append(msgs, decodeMessage(proto, b[:n:n], 0))
		b = b[min(Align(int(n)), len(b)):]
	}
	return msgs
}

// decodeMessage decodes what has at least a header.
func decodeMessage(proto int, b []byte, depth int) Message {
	m := Message{Proto: proto, Header: parseHeader(b), Raw: b}
	b = b[HeaderLen:]
	def := TypeOf(proto, m.Header.Type)
	head := def.Head()
	if def != nil {
		m.Space = def.Space
	}
	switch {
	case head == nil:
		m.Rest = b
		return m
	case len(b) < head.Size && len(b) > 0 && len(b) <= 4 && head.Fields[0].Kind == Family:
		head = &structs[sRtgen]
	case len(b) < head.Size:
		m.Rest = b
		return m
	}
	m.Head, m.HeadData = head, b[:head.Size]
	b = b[min(Align(head.Size), len(b)):]
	if m.Header.Type == Error {
		if len(b) < HeaderLen || depth > 0 {
			m.Rest = b
			return m
		}
		n := int64(HeaderLen)
		if m.Header.Flags&FlagCapped == 0 {
			if n = int64(native.Uint32(b)); n < HeaderLen || n > int64(len(b)) {
				n = int64(len(b))
			}
		}
		r := decodeMessage(proto, b[:n:n], depth+1)
		r.HeaderOnly = m.Header.Flags&FlagCapped != 0
		m.Request = &r
		b = b[min(Align(int(n)), len(b)):]
	}
	var ctx Context
	if head.Fields[0].Kind == Family {
		ctx.Family = m.HeadData[0]
	}
	m.Attrs, m.Rest = decodeAttrs(m.Space, ctx, b, 0)
	return m
}

// DecodeAttrs decodes attributes of a space, until what is left is none.
func DecodeAttrs(space SpaceID, ctx Context, b []byte) (attrs []Attr, rest []byte) {
	return decodeAttrs(space, ctx, b, 0)
}

func decodeAttrs(space SpaceID, ctx Context, b []byte, depth int) ([]Attr, []byte) {
	var attrs []Attr
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		t := native.Uint16(b[2:])
		a := Attr{Type: t &^ (AttrNested | AttrNetByteorder), Flags: t & (AttrNested | AttrNetByteorder), Data: b[4:n:n]}
		a.Def = space.ByType(a.Type)
		if space == SpaceLinkInfo && (a.Type == iflaInfoKind || a.Type == iflaInfoSlaveKind) {
			ctx.LinkKind = cString(a.Data)
		}
		a.decodeNest(space, ctx, depth)
		attrs = append(attrs, a)
		b = b[min(Align(n), len(b)):]
	}
	if len(b) == 0 {
		b = nil
	}
	return attrs, b
}

// decodeNest looks into an attribute that is a nest by its definition, by the
// space it is in, or by its own flag. One that does not hold attributes is
// left as the bytes that it is.
func (a *Attr) decodeNest(in SpaceID, ctx Context, depth int) {
	space, head, ok := ctx.nest(in, a.Def)
	if !ok && a.Flags&AttrNested == 0 || depth == maxDepth {
		return
	}
	b := a.Data
	if head != nil && len(b) >= head.Size {
		a.Head, a.HeadData, b = head, b[:head.Size], b[min(Align(head.Size), len(b)):]
	}
	attrs, rest := decodeAttrs(space, ctx, b, depth+1)
	if len(attrs) == 0 && len(rest) > 0 {
		a.Head, a.HeadData = nil, nil
		return
	}
	a.IsNest, a.Space, a.Attrs, a.Rest = true, space, attrs, rest
}

// nest is Child for a definition that may be no nest at all.
func (c Context) nest(in SpaceID, d *AttrDef) (space SpaceID, head *Struct, ok bool) {
	space, head = c.Child(in, d)
	return space, head, d != nil && (d.Kind == Nest || d.Kind == Array) || in.elements() != SpaceNone
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
