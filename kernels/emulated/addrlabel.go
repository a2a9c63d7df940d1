package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewaddrlabel = 72
	rtmDeladdrlabel = 73
	rtmGetaddrlabel = 74
)

// Attributes of a label (include/uapi/linux/if_addrlabel.h).
const (
	ifalAddress = 1
	ifalLabel   = 2

	sizeofIfaddrlblmsg = 12

	ipv6AddrLabelDefault = 0xffffffff
)

// ifaddrlblmsg is include/uapi/linux/if_addrlabel.h struct ifaddrlblmsg.
type ifaddrlblmsg struct {
	family, reserved, prefixlen, flags uint8
	index, seq                         uint32
}

func readIfaddrlblmsg(h *nlmsghdr) ifaddrlblmsg {
	b := h.payload()
	return ifaddrlblmsg{b[0], b[1], b[2], b[3], native.Uint32(b[4:]), native.Uint32(b[8:])}
}

func (m ifaddrlblmsg) bytes() []byte {
	b := native.AppendUint32([]byte{m.family, m.reserved, m.prefixlen, m.flags}, m.index)
	return native.AppendUint32(b, m.seq)
}

// ip6addrlblTable is a namespace's labels, which source addresses are chosen by
// (include/net/netns/ipv6.h ip6addrlbl_table).
type ip6addrlblTable struct {
	entries []*ip6addrlblEntry // the longest prefix first
	seq     uint32             // counts what was added
}

// ip6addrlblEntry is net/ipv6/addrlabel.c struct ip6addrlbl_entry.
type ip6addrlblEntry struct {
	prefix    in6Addr
	prefixlen uint8
	index     uint32
	addrtype  uint32 // of the addresses that it is for, 0 for all
	label     uint32
}

// ip6addrlblInitTable is the table that a namespace begins with
// (net/ipv6/addrlabel.c ip6addrlbl_init_table).
var ip6addrlblInitTable = []struct {
	prefix    in6Addr
	prefixlen uint8
	label     uint32
}{
	{in6Addr{}, 0, 1},
	{in6Addr{0xfc}, 7, 5},
	{in6Addr{0xfe, 0xc0}, 10, 11},
	{in6Addr{0x20, 0x02}, 16, 2},
	{in6Addr{0x3f, 0xfe}, 16, 12},
	{in6Addr{0x20, 0x01}, 32, 6},
	{in6Addr{0x20, 0x01, 0x00, 0x10}, 28, 7},
	{in6Addr{10: 0xff, 11: 0xff}, 96, 4},
	{in6Addr{}, 96, 3},
	{in6Addr{15: 1}, 128, 0},
}

// ifalPolicy is net/ipv6/addrlabel.c ifal_policy.
var ifalPolicy = policy{ifalAddress: {len: 16}, ifalLabel: {len: 4}}

// ipv6AddrLabelInit is net/ipv6/addrlabel.c ipv6_addr_label_init and
// ipv6_addr_label_rtnl_register.
func (k *Kernel) ipv6AddrLabelInit() {
	defer k.enter("ipv6_addr_label_init")()
	k.registerPernetSubsys(pernetOperations{name: "addrlabel", init: func(n *netns) errno {
		for _, e := range ip6addrlblInitTable {
			if err := n.state.inet6.labels.add(e.prefix, e.prefixlen, 0, e.label, false); err != 0 {
				return err
			}
		}
		return 0
	}})
	k.rtnlRegister(pfInet6, rtmNewaddrlabel, k.ip6addrlblNewdel, nil, rtnlDoitUnlocked)
	k.rtnlRegister(pfInet6, rtmDeladdrlabel, k.ip6addrlblNewdel, nil, rtnlDoitUnlocked)
	k.rtnlRegister(pfInet6, rtmGetaddrlabel, k.ip6addrlblGet, k.ip6addrlblDump, rtnlDoitUnlocked)
}

// ipv6AddrTypesOfLabels are the types of addresses that labels tell apart.
const ipv6AddrTypesOfLabels = ipv6AddrMapped | ipv6AddrCompatV4 | ipv6AddrLoopback

// add is net/ipv6/addrlabel.c ip6addrlbl_add.
func (t *ip6addrlblTable) add(prefix in6Addr, plen uint8, index, label uint32, replace bool) errno {
	typ := prefix.typ() & ipv6AddrTypesOfLabels
	switch typ { // ip6addrlbl_alloc
	case ipv6AddrMapped:
		if plen > 96 {
			return nlmsg.EINVAL
		}
		if plen < 96 {
			typ = 0
		}
	case ipv6AddrCompatV4:
		if plen != 96 {
			typ = 0
		}
	case ipv6AddrLoopback:
		if plen != 128 {
			typ = 0
		}
	}
	e := &ip6addrlblEntry{prefix.prefix(int(plen)), plen, index, typ, label}
	at := len(t.entries)
	for i, o := range t.entries {
		if o.prefixlen == plen && o.index == index && o.prefix == e.prefix {
			if !replace {
				return nlmsg.EEXIST
			}
			t.entries[i] = e
			t.seq++
			return 0
		}
		if o.prefixlen == plen && o.index == 0 || o.prefixlen < plen {
			at = i
			break
		}
	}
	t.entries = slices.Insert(t.entries, at, e)
	t.seq++
	return 0
}

// del is net/ipv6/addrlabel.c ip6addrlbl_del.
func (t *ip6addrlblTable) del(prefix in6Addr, plen uint8, index uint32) errno {
	prefix = prefix.prefix(int(plen))
	for i, e := range t.entries {
		if e.prefixlen == plen && e.index == index && e.prefix == prefix {
			t.entries = slices.Delete(t.entries, i, i+1)
			return 0
		}
	}
	return nlmsg.ESRCH
}

// find is net/ipv6/addrlabel.c __ipv6_addr_label.
func (t *ip6addrlblTable) find(addr in6Addr, index uint32) *ip6addrlblEntry {
	typ := addr.typ() & 0xffff
	for _, e := range t.entries {
		if e.index != 0 && e.index != index || e.addrtype != 0 && e.addrtype != typ {
			continue
		}
		if addr.prefix(int(e.prefixlen)) == e.prefix {
			return e
		}
	}
	return nil
}

// ip6addrlblNewdel is net/ipv6/addrlabel.c ip6addrlbl_newdel.
func (k *Kernel) ip6addrlblNewdel(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("ip6addrlbl_newdel")()
	tb, err := nlmsgParse(h, sizeofIfaddrlblmsg, ifalPolicy, liberal, x)
	if err != 0 {
		return err
	}
	m := readIfaddrlblmsg(h)
	n := skb.sk.net
	if m.family != pfInet6 || m.prefixlen > 128 || tb[ifalAddress] == nil || tb[ifalLabel] == nil {
		return nlmsg.EINVAL
	}
	addr, label := tb[ifalAddress].in6(), tb[ifalLabel].u32()
	if label == ipv6AddrLabelDefault {
		return nlmsg.EINVAL
	}
	if h.Type == rtmDeladdrlabel {
		return n.state.inet6.labels.del(addr, m.prefixlen, m.index)
	}
	if !n.addrlblIfindexExists(m.index) {
		return nlmsg.EINVAL
	}
	return n.state.inet6.labels.add(addr, m.prefixlen, m.index, label, h.Flags&nlmReplace != 0)
}

// addrlblIfindexExists says that there is such a link, or that none is meant
// (net/ipv6/addrlabel.c addrlbl_ifindex_exists).
func (n *netns) addrlblIfindexExists(index uint32) bool {
	return index == 0 || n.devGetByIndex(int(int32(index))) != nil
}

// fill is net/ipv6/addrlabel.c ip6addrlbl_fill.
func (e *ip6addrlblEntry) fill(skb *skBuff, lseq, portid, seq uint32, flags uint16) errno {
	p := skb.nlmsgPut(portid, seq, rtmNewaddrlabel, flags,
		ifaddrlblmsg{family: pfInet6, prefixlen: e.prefixlen, index: e.index, seq: lseq}.bytes())
	skb.nlaPut(ifalAddress, e.prefix[:])
	skb.nlaPutU32(ifalLabel, e.label)
	return p.end()
}

// ip6addrlblDump is net/ipv6/addrlabel.c ip6addrlbl_dump.
func (k *Kernel) ip6addrlblDump(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("ip6addrlbl_dump")()
	if cb.strict {
		if err := ip6addrlblValidDumpReq(cb.nlh, cb.extack); err != 0 {
			return err
		}
	}
	t := &cb.net.state.inet6.labels
	var err errno
	for ; cb.args[0] < len(t.entries); cb.args[0]++ {
		if err = t.entries[cb.args[0]].fill(skb, t.seq, cb.skb.portid, cb.nlh.Seq, nlmMulti); err != 0 {
			break
		}
	}
	if !k.has(addrlabelDumpReturn) {
		return dumpLen(skb)
	}
	return err
}

// ip6addrlblValidDumpReq is net/ipv6/addrlabel.c ip6addrlbl_valid_dump_req.
func ip6addrlblValidDumpReq(h *nlmsghdr, x *extAck) errno {
	fails := func(text string) errno {
		x.set("ipv6: " + text)
		return nlmsg.EINVAL
	}
	if len(h.payload()) < sizeofIfaddrlblmsg {
		return fails("Invalid header for address label dump request")
	}
	if m := readIfaddrlblmsg(h); m != (ifaddrlblmsg{family: m.family}) {
		return fails("Invalid values in header for address label dump request")
	}
	if len(h.payload()) > sizeofIfaddrlblmsg {
		return fails("Invalid data after header for address label dump request")
	}
	return 0
}

// ip6addrlblValidGetReq is net/ipv6/addrlabel.c ip6addrlbl_valid_get_req.
func (k *Kernel) ip6addrlblValidGetReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	fails := func(text string) (attrTable, errno) {
		x.set("ipv6: " + text)
		return nil, nlmsg.EINVAL
	}
	if len(h.payload()) < sizeofIfaddrlblmsg {
		return fails("Invalid header for addrlabel get request")
	}
	if !k.netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, sizeofIfaddrlblmsg, ifalPolicy, liberal, x)
	}
	if m := readIfaddrlblmsg(h); m.reserved != 0 || m.flags != 0 || m.seq != 0 {
		return fails("Invalid values in header for addrlabel get request")
	}
	tb, err := nlmsgParse(h, sizeofIfaddrlblmsg, ifalPolicy, deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	if tb[ifalLabel] != nil {
		return fails("Unsupported attribute in addrlabel get request")
	}
	return tb, 0
}

// ip6addrlblGet is net/ipv6/addrlabel.c ip6addrlbl_get.
func (k *Kernel) ip6addrlblGet(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("ip6addrlbl_get")()
	tb, err := k.ip6addrlblValidGetReq(in, h, x)
	if err != 0 {
		return err
	}
	m := readIfaddrlblmsg(h)
	n := in.sk.net
	if m.family != pfInet6 || m.prefixlen != 128 || !n.addrlblIfindexExists(m.index) || tb[ifalAddress] == nil {
		return nlmsg.EINVAL
	}
	e := n.state.inet6.labels.find(tb[ifalAddress].in6(), m.index)
	if e == nil {
		return nlmsg.ESRCH
	}
	skb := nlmsgNew(sizeofIfaddrlblmsg + 20 + 8)
	e.fill(skb, n.state.inet6.labels.seq, in.portid, h.Seq, 0)
	return k.rtnlUnicast(skb, n, in.portid)
}
