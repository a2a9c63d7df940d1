package fuzz

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Values that kernels look at: bounds, links that are there and that are not,
// families with handlers and without.
var (
	numbers  = []uint64{0, 0, 1, 1, 2, 3, 4, 7, 8, 10, 16, 24, 32, 33, 64, 100, 127, 128, 129, 200, 252, 253, 254, 255, 256, 1000, 1500, 4095, 4096, 65535, 65536, 1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	indexes  = []uint64{0, 1, 1, 1, 2, 2, 3, 4, 4242, 1<<31 - 1, 1<<32 - 1}
	families = []uint64{0, 0, 2, 2, 2, 10, 10, 10, 7, 7, 1, 17, 28, 128, 129, 130, 255}
	names    = []string{"lo", "d0", "d0", "d1", "d1", "v0", "v1", "br0", "br0", "", "d%d", "a b", "a/b", ".", "..", "fifteenbytes-15", "sixteen-bytes-16", "nothing"}
	kinds    = []string{"dummy", "dummy", "bridge", "bridge", "veth", "vlan", "none", "", "Dummy", "dummyy"}
	qdiscs   = []string{"pfifo", "bfifo", "pfifo_fast", "noqueue", "none", "ingress", ""}
	ips      = []string{"10.0.0.1", "10.0.0.2", "10.0.0.0", "10.0.1.0", "10.0.0.255", "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.168.1.1",
		"2001:db8::1", "2001:db8::2", "2001:db8::", "2001:db8:1::", "::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1"}
	ethers = []string{"02:00:00:00:00:01", "02:00:00:00:00:02", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// numberOf is a number that fits the kind, or the first of its bytes.
func numberOf(r *rand.Rand, k nlmsg.Kind) uint64 {
	var n uint64
	switch {
	case k == nlmsg.Index:
		n = pick(r, indexes)
	case k == nlmsg.Family:
		n = pick(r, families)
	case r.IntN(8) == 0:
		n = r.Uint64()
	default:
		n = pick(r, numbers)
	}
	if bits := k.Size() * 8; bits < 64 {
		n &= 1<<bits - 1
	}
	return n
}

// data is a value of the kind, for an attribute of that name in a message of that
// family.
func data(r *rand.Rand, k nlmsg.Kind, name string, family uint8) []byte {
	if size := k.Size(); size > 0 {
		return nlmsg.AppendNumber(nil, k, size, numberOf(r, k))
	}
	switch k {
	case nlmsg.String, nlmsg.Str:
		s := pick(r, names)
		switch {
		case strings.HasSuffix(name, "_KIND"):
			s = pick(r, kinds)
		case strings.HasSuffix(name, "IFALIAS") && r.IntN(2) == 0:
			s = strings.Repeat("x", pick(r, []int{1, 255, 256}))
		}
		if k == nlmsg.String {
			s += "\x00"
		}
		return []byte(s)
	case nlmsg.IP:
		a := netip.MustParseAddr(pick(r, ips))
		for r.IntN(8) > 0 && (family == 2 && !a.Is4() || family == 10 && a.Is4()) {
			a = netip.MustParseAddr(pick(r, ips))
		}
		return a.AsSlice()
	case nlmsg.Ether:
		b, _ := nlmsg.ParseValue(nlmsg.Ether, pick(r, ethers)) // all of them are some
		return b
	case nlmsg.Flag:
		return nil
	}
	b := make([]byte, pick(r, []int{0, 1, 2, 3, 4, 4, 4, 6, 8, 8, 12, 16, 20, 32, 60}))
	if r.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

// attr is an attribute of a space; deep is how deep in others.
func attr(r *rand.Rand, space nlmsg.SpaceID, ctx nlmsg.Context, deep int) nlcase.Attr {
	var def *nlmsg.AttrDef
	for range 12 {
		if def = space.ByType(uint16(r.IntN(72))); def != nil {
			break
		}
	}
	if def == nil || r.IntN(24) == 0 {
		return nlcase.Attr{Type: uint16(r.IntN(160)), Value: nlcase.Value{Data: data(r, nlmsg.Bytes, "", 0)}}
	}
	a := nlcase.Attr{Type: def.Type, Name: def.Name, Kind: def.Kind}
	if def.Kind != nlmsg.Nest && def.Kind != nlmsg.Array {
		a.Value.Data = data(r, def.Kind, def.Name, ctx.Family)
		return a
	}
	a.IsNest = true
	if r.IntN(3) > 0 {
		a.Flags = nlmsg.AttrNested
	}
	child, head := ctx.Child(space, def)
	if head != nil {
		a.Head = head
	}
	for n := r.IntN(4); n > 0 && deep < 3; n-- {
		x := attr(r, child, ctx, deep+1)
		a.Attrs = append(a.Attrs, x)
		ctx = after(ctx, child, &x)
	}
	return a
}

// message is one of the tables.
func message(r *rand.Rand) nlcase.Msg {
	var def *nlmsg.TypeDef
	for def == nil {
		def = nlmsg.TypeOf(nlmsg.Route, uint16(16+r.IntN(110)))
	}
	m := nlcase.Msg{Type: nlcase.Arg{Kind: nlcase.ArgNumber, N: uint64(def.Type)}, Flags: nlmsg.FlagRequest, Head: def.Head()}
	m.Flags |= pick(r, []uint16{0, nlmsg.FlagAck, 0x300, 0x300 | nlmsg.FlagAck, 0x400 | nlmsg.FlagAck, 0x600 | nlmsg.FlagAck, 0x100, 0x200, 0x500, 0x800})
	if m.Head != nil {
		for i := range m.Head.Fields {
			f := &m.Head.Fields[i]
			if f.Kind == nlmsg.Family || r.IntN(3) == 0 {
				m.Fields = append(m.Fields, nlcase.FieldValue{Field: f, Value: number(f.Kind, int(f.Size), numberOf(r, f.Kind))})
			}
		}
	}
	ctx := nlmsg.Context{Family: family(&m)}
	for n := r.IntN(5); n > 0; n-- {
		m.Attrs = append(m.Attrs, attr(r, def.Space, ctx, 0))
	}
	return m
}
