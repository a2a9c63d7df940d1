package nlcase

import (
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// messages reads MSG ; MSG up to the end or the expected error.
func (p *parser) messages(proto int, pattern bool) []Msg {
	var msgs []Msg
	for p.peek() != "" && p.peek() != "!" {
		msgs = append(msgs, p.message(proto, pattern))
		if p.msgs++; p.msgs > maxMsgs {
			p.fail("more than %d messages", maxMsgs)
		}
		if !p.accept(";") {
			break
		}
		if t := p.peek(); t == "" || t == "!" {
			p.fail("; without a message after it")
		}
	}
	return msgs
}

func (p *parser) message(proto int, pattern bool) (m Msg) {
	t := p.next("a message")
	switch {
	case t == "..." && pattern:
		m.Ellipsis = true
		return m
	case isRaw(t):
		m.Raw = p.raw(t)
		return m
	}
	var def *nlmsg.TypeDef
	if strings.HasPrefix(t, "$") {
		m.Type = p.arg(t, 16, pattern)
		if proto == nlmsg.Generic {
			def = nlmsg.TypeOf(proto, 0xffff) // any family's
		}
	} else if def = nlmsg.TypeByName(proto, t); def != nil {
		m.Type = Arg{Kind: ArgNumber, N: uint64(def.Type)}
	} else {
		n, err := strconv.ParseUint(t, 0, 16)
		if err != nil {
			p.fail("%q is not a message type of %s", t, nlmsg.ProtocolName(proto))
			return m
		}
		m.Type = Arg{Kind: ArgNumber, N: n}
		def = nlmsg.TypeOf(proto, uint16(n))
	}
	m.Flags, m.AnyFlags = p.flags(pattern)
	p.options(func() setters {
		return setters{
			"seq": func(v string) { m.Seq = p.arg(v, 32, pattern) },
			"pid": func(v string) { m.Pid = p.arg(v, 32, pattern) },
			"len": func(v string) { m.Len = p.arg(v, 32, pattern) }}
	})
	var space nlmsg.SpaceID
	if def != nil {
		space = def.Space
	}
	if v, ok := strings.CutPrefix(p.peek(), "error="); ok {
		p.next("")
		m.Head = nlmsg.StructByName("nlmsgerr")
		m.Fields = []FieldValue{{&m.Head.Fields[0], p.value(nlmsg.Err, v, pattern)}}
	} else {
		m.Head, m.Fields = p.head(pattern)
	}
	var ctx nlmsg.Context
	for _, f := range m.Fields {
		if f.Field.Kind == nlmsg.Family && len(f.Value.Data) == 1 {
			ctx.Family = f.Value.Data[0]
		}
	}
	if p.peek() == "request" {
		p.next("")
		if p.accept("{") {
			if p.nested() {
				r := p.message(proto, pattern)
				m.Request = &r
				p.close()
			}
		} else if pattern {
			m.Quoted = true
		} else {
			p.fail("request{MESSAGE} quotes a message")
		}
	}
	m.Attrs, m.More = p.attrs(space, ctx, pattern)
	return m
}

// nested counts a level that close gives back.
func (p *parser) nested() bool {
	if p.depth++; p.depth > maxNest {
		p.fail("nested more than %d deep", maxNest)
		return false
	}
	return true
}

func (p *parser) close() {
	p.depth--
	if !p.accept("}") {
		p.fail("} is missing")
	}
}

func isRaw(t string) bool { return strings.HasPrefix(t, "hex:") || strings.HasPrefix(t, "zero:") }

func (p *parser) raw(t string) []byte {
	b, err := nlmsg.ParseValue(nlmsg.Bytes, t)
	if err != nil {
		p.fail("%v", err)
	}
	p.count(len(b))
	return b
}

// count adds up the bytes that a few words stand for: zero:65536.
func (p *parser) count(n int) {
	if p.bytes += n; p.bytes > maxBytes {
		p.fail("the case has more than %d bytes of values", maxBytes)
	}
}

// flags reads REQUEST|ACK, 0x5 or, in a pattern, *. Anything else is not
// flags, and stands for none.
func (p *parser) flags(pattern bool) (flags uint16, any bool) {
	t := p.peek()
	if t == "*" && pattern {
		p.next("")
		return 0, true
	}
	for i, name := range strings.Split(t, "|") {
		f, ok := nlmsg.FlagByName(name)
		if !ok {
			n, err := strconv.ParseUint(name, 0, 16)
			if err != nil || len(p.tokens) > 1 && p.tokens[1].text == "{" {
				if i > 0 {
					p.fail("unknown flag %q", name)
				}
				return 0, false
			}
			f = uint16(n)
		}
		flags |= f
	}
	if t != "" {
		p.next("")
	}
	return flags, false
}

// head reads name{field=value,...} where a fixed header is next.
func (p *parser) head(pattern bool) (*nlmsg.Struct, []FieldValue) {
	if len(p.tokens) < 2 || p.tokens[1].text != "{" {
		return nil, nil
	}
	s := nlmsg.StructByName(p.peek())
	if s == nil {
		if c := p.peek()[0]; c >= 'a' && c <= 'z' && p.peek() != "request" {
			p.fail("unknown header %q", p.peek())
		}
		return nil, nil
	}
	p.next("")
	p.next("")
	var fields []FieldValue
	for p.peek() != "}" && p.err == "" {
		name, v, ok := strings.Cut(p.next("}"), "=")
		f := s.Field(name)
		switch {
		case !ok && p.err == "":
			p.fail("%q is not field=value", name)
		case f == nil:
			p.fail("%s has no field %q", s.Name, name)
		default:
			kind := f.Kind
			fields = append(fields, FieldValue{f, p.value(kind, v, pattern)})
		}
		if !p.accept(",") {
			break
		}
	}
	if !p.accept("}") {
		p.fail("} is missing after %s{", s.Name)
	}
	return s, fields
}

// attrs reads attributes up to } ; ! or the end.
func (p *parser) attrs(space nlmsg.SpaceID, ctx nlmsg.Context, pattern bool) (attrs []Attr, more bool) {
	for {
		switch t := p.peek(); t {
		case "", "}", ";", "!":
			return attrs, more
		case "...":
			p.next("")
			if !pattern {
				p.fail("... is for what is expected, not for what is sent")
			}
			return attrs, true
		case "{", ",":
			p.fail("unexpected %q", t)
			return attrs, more
		}
		a := p.attr(space, ctx, pattern)
		if a.Type == 1 || a.Type == 4 { // IFLA_INFO_KIND, IFLA_INFO_SLAVE_KIND
			if n := len(a.Value.Data); space == nlmsg.SpaceLinkInfo && n > 0 {
				ctx.LinkKind = string(a.Value.Data[:n-1])
			}
		}
		attrs = append(attrs, a)
	}
}

func (p *parser) attr(space nlmsg.SpaceID, ctx nlmsg.Context, pattern bool) (a Attr) {
	t := p.next("an attribute")
	if isRaw(t) {
		a.Raw, a.IsRaw = p.raw(t), true
		return a
	}
	if t[0] == '!' && len(t) > 1 {
		if !pattern {
			p.fail("%s is for what is expected, not for what is sent", t)
			return a
		}
		a.Absent, t = true, t[1:]
	}
	name, value, hasValue := strings.Cut(t, "=")
	name, kindName, hasKind := strings.Cut(name, ":")
	name, length, hasLen := strings.Cut(name, "@")
	name, flags, hasFlags := strings.Cut(name, "|")
	a.Name = name
	def := space.ByName(name)
	if def == nil {
		n, err := strconv.ParseUint(name, 10, 14)
		if err != nil {
			p.fail("%q is not an attribute of %s; an unknown one is written by number: 13:u32=5", name, spaceName(space))
			return a
		}
		a.Type = uint16(n)
		def = space.ByType(a.Type)
	} else {
		a.Type = def.Type
	}
	if def != nil {
		a.Kind = def.Kind
	}
	if hasKind {
		k, ok := nlmsg.KindByName(kindName)
		if !ok {
			p.fail("unknown kind %q", kindName)
		}
		a.Kind = k
	}
	if hasLen {
		a.Len = p.arg(length, 16, false)
	}
	if hasFlags {
		for _, f := range strings.Split(flags, "|") {
			switch f {
			case "NESTED":
				a.Flags |= nlmsg.AttrNested
			case "NET_BYTEORDER":
				a.Flags |= nlmsg.AttrNetByteorder
			default:
				p.fail("an attribute's flags are NESTED and NET_BYTEORDER, not %q", f)
			}
		}
	}
	switch {
	case a.Absent:
		if hasValue || hasKind || hasLen || hasFlags || p.peek() == "{" {
			p.fail("%s is absent: no more can be said of it", name)
		}
	case hasValue:
		a.Value = p.value(a.Kind, value, pattern)
	case p.accept("{"):
		a.IsNest = true
		if !p.nested() {
			return a
		}
		child, _ := ctx.Child(space, def)
		a.Head, a.Fields = p.head(pattern)
		a.Attrs, a.More = p.attrs(child, ctx, pattern)
		p.close()
	}
	return a
}

func spaceName(s nlmsg.SpaceID) string {
	if n := s.String(); n != "" {
		return n
	}
	return "these, of which no names are known"
}

// arg reads a number, a $variable or, in a pattern, *.
func (p *parser) arg(v string, bits int, pattern bool) Arg {
	switch {
	case v == "*" && pattern:
		return Arg{Kind: ArgAny}
	case strings.HasPrefix(v, "$"):
		p.variable(v[1:], pattern)
		return Arg{Kind: ArgVar, Var: v[1:]}
	}
	n, err := nlmsg.ParseNumber(nlmsg.U32, v)
	if err != nil || bits < 32 && n>>bits != 0 {
		p.fail("%q is not a number of %d bits", v, bits)
	}
	return Arg{Kind: ArgNumber, N: n}
}

// groups reads a mask, or names of groups: RTNLGRP_LINK|RTNLGRP_NEIGH.
func (p *parser) groups(v string) Arg {
	if v == "*" {
		return Arg{Kind: ArgAny}
	}
	var mask uint64
	for _, name := range strings.Split(v, "|") {
		n, err := strconv.ParseUint(name, 0, 32)
		if err != nil {
			g, ok := nlmsg.Symbol(name)
			if !ok || g == 0 || g > 32 || !strings.HasPrefix(name, "RTNLGRP_") {
				p.fail("%q is neither a mask nor a group up to 32", name)
				return Arg{}
			}
			n = 1 << (g - 1)
		}
		mask |= n
	}
	return Arg{Kind: ArgNumber, N: mask}
}

// value reads the value of a kind, a $variable or, in a pattern, *.
func (p *parser) value(kind nlmsg.Kind, v string, pattern bool) Value {
	switch {
	case p.err != "":
		return Value{}
	case v == "*" && pattern:
		return Value{Any: true}
	case strings.HasPrefix(v, "$"):
		p.variable(v[1:], pattern)
		return Value{Var: v[1:]}
	}
	b, err := nlmsg.ParseValue(kind, v)
	if err != nil {
		p.fail("%v", err)
	}
	p.count(len(b))
	return Value{Data: b}
}

// variable notes that a pattern binds name, or that a request uses it. A
// socket's name is its portid.
func (p *parser) variable(name string, pattern bool) {
	if !isName(name) {
		p.fail("$%s cannot be a variable", name)
		return
	}
	switch {
	case p.ports[name] || p.vars[name]:
	case pattern:
		p.bind(name)
	default:
		p.fail("$%s is neither a socket nor bound by a step before", name)
	}
}

func (p *parser) bind(name string) {
	if p.ports[name] {
		p.fail("$%s is a socket already", name)
	}
	p.vars[name] = true
}
