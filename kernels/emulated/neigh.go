package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Neighbours (net/core/neighbour.c). Nothing here takes time: an entry stays in the
// state that a request has left it in.

// Message types of neighbours.
const (
	rtmNewneigh = 28 + iota
	rtmDelneigh
	rtmGetneigh
)

const rtnlgrpNeigh = 3

// Attributes of a neighbour (include/uapi/linux/neighbour.h NDA_*).
const (
	ndaDst = 1 + iota
	ndaLladdr
	ndaCacheinfo
	ndaProbes
	ndaVlan
	ndaPort
	ndaVni
	ndaIfindex
	ndaMaster
	ndaLinkNetnsid
	ndaSrcVni
	ndaProtocol
	ndaNhID
	ndaFdbExtAttrs
	ndaFlagsExt
	ndaNdmStateMask
	ndaNdmFlagsMask
)

// States of a neighbour.
const (
	nudIncomplete = 0x01
	nudReachable  = 0x02
	nudStale      = 0x04
	nudDelay      = 0x08
	nudProbe      = 0x10
	nudFailed     = 0x20
	nudNoarp      = 0x40
	nudPermanent  = 0x80
	nudConnected  = nudPermanent | nudNoarp | nudReachable
	nudValid      = nudConnected | nudProbe | nudStale | nudDelay
)

// Flags of a neighbour. Those from 8 on are in NDA_FLAGS_EXT.
const (
	ntfUse          = 1 << 0
	ntfSelf         = 1 << 1
	ntfMaster       = 1 << 2
	ntfProxy        = 1 << 3
	ntfExtLearned   = 1 << 4
	ntfSticky       = 1 << 6
	ntfRouter       = 1 << 7
	ntfExtShift     = 8
	ntfManaged      = 1 << 8
	ntfExtValidated = 1 << 10
)

// Types of a neighbour's address (include/uapi/linux/rtnetlink.h RTN_*).
const (
	neighUnicast   = 1
	neighLocal     = 2
	neighBroadcast = 3
	neighMulticast = 5
)

// ndmsgLen is sizeof(struct ndmsg).
const ndmsgLen = 12

// ndmsg is the fixed header of a neighbour's message
// (include/uapi/linux/neighbour.h struct ndmsg).
type ndmsg struct {
	family  uint8
	pad     bool // one of the reserved fields is not 0
	ifindex int
	state   uint16
	flags   uint8
	typ     uint8
}

// readNdmsg reads the header; ok says that it is there.
func readNdmsg(h *nlmsghdr) (m ndmsg, ok bool) {
	b := h.payload()
	if len(b) < ndmsgLen {
		return m, false
	}
	return ndmsg{family: b[0], pad: b[1] != 0 || b[2] != 0 || b[3] != 0, ifindex: int(int32(native.Uint32(b[4:]))),
		state: native.Uint16(b[8:]), flags: b[10], typ: b[11]}, true
}

func (m ndmsg) bytes() []byte {
	b := make([]byte, ndmsgLen)
	b[0] = m.family
	native.PutUint32(b[4:], uint32(m.ifindex))
	native.PutUint16(b[8:], m.state)
	b[10], b[11] = m.flags, m.typ
	return b
}

// neighState are the neighbours of a namespace.
type neighState struct {
	tables []*neighTable // by NEIGH_*_TABLE
}

// neighTable is a table of neighbours (include/net/neighbour.h struct neigh_table).
// The kernel has one for all namespaces.
type neighTable struct {
	family  uint8
	id      string
	keyLen  int
	entries []*neighbour // in the order of their creation
	phash   [16][]*pneighEntry
	tblConfig
}

// neighbour is one entry (include/net/neighbour.h struct neighbour).
type neighbour struct {
	tbl      *neighTable
	dev      *netDevice
	key      []byte
	ha       []byte
	state    uint8
	flags    uint32
	typ      uint8
	protocol uint8
	probes   uint32
	exempt   bool // from the garbage collection
}

// pneighEntry is an address that is answered for (struct pneigh_entry).
type pneighEntry struct {
	dev       *netDevice // nil for any
	key       []byte
	flags     uint32
	protocol  uint8
	permanent bool
}

// ndaPolicy is net/core/neighbour.c nda_policy.
func (k *Kernel) ndaPolicy() policy {
	if k.has(ndaFdbFlush) {
		if k.has(ndaExtValidated) {
			return ndaPolicies[3]
		}
		return ndaPolicies[2]
	}
	if k.has(ndaExtFlags) {
		return ndaPolicies[1]
	}
	return ndaPolicies[0]
}

// ndaPolicies grow with the releases.
var ndaPolicies = func() (p [4]policy) {
	base := policy{
		0:              {len: ndaNhID},
		ndaDst:         {typ: nlaBinary, len: maxAddrLen},
		ndaLladdr:      {typ: nlaBinary, len: maxAddrLen},
		ndaCacheinfo:   {len: 16},
		ndaProbes:      {typ: nlaU32},
		ndaVlan:        {typ: nlaU16},
		ndaPort:        {typ: nlaU16},
		ndaVni:         {typ: nlaU32},
		ndaIfindex:     {typ: nlaU32},
		ndaMaster:      {typ: nlaU32},
		ndaProtocol:    {typ: nlaU8},
		ndaNhID:        {typ: nlaU32},
		ndaFdbExtAttrs: {typ: nlaNested},
	}
	ext := append(slices.Clone(base), nlaPolicy{typ: nlaU32, check: validateMask, mask: 1})
	// NDA_NDM_STATE_MASK and NDA_NDM_FLAGS_MASK are for flushes alone.
	flush := append(slices.Clone(ext), nlaPolicy{}, nlaPolicy{})
	validated := slices.Clone(flush)
	validated[ndaFlagsExt].mask = 1 | 1<<2
	return [4]policy{base, ext, flush, validated}
}()

// neighInit is net/core/neighbour.c neigh_init, and what arp_init and ndisc_init
// tell it of.
func (k *Kernel) neighInit() {
	k.rtnlRegister(pfUnspec, rtmNewneigh, k.neighAdd, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDelneigh, k.neighDelete, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGetneigh, k.neighGet, k.neighDumpInfo, rtnlDumpUnlocked)
	k.rtnlRegister(pfUnspec, rtmGetneightbl, nil, k.neightblDumpInfo, 0)
	k.rtnlRegister(pfUnspec, rtmSetneightbl, k.neightblSet, nil, 0)
	k.registerPernetSubsys(pernetOperations{name: "neigh", init: func(n *netns) errno {
		n.state.neigh.tables = []*neighTable{
			{family: pfInet, id: "arp_cache", keyLen: 4, tblConfig: newTblConfig(1000)},
			{family: pfInet6, id: "ndisc_cache", keyLen: 16, tblConfig: newTblConfig(0)},
		}
		return 0
	}})
	k.registerNetdeviceNotifier(k.neighNetdevEvent)
}

// neighFindTable is net/core/neighbour.c neigh_find_table.
func (n *netns) neighFindTable(family uint8) *neighTable {
	for _, t := range n.state.neigh.tables {
		if t.family == family {
			return t
		}
	}
	return nil
}

// lookup is net/core/neighbour.c neigh_lookup.
func (t *neighTable) lookup(key []byte, dev *netDevice) *neighbour {
	for _, n := range t.entries {
		if n.dev == dev && bytes.Equal(n.key, key[:t.keyLen]) {
			return n
		}
	}
	return nil
}

// create is net/core/neighbour.c ___neigh_create. One that the table's constructor
// makes the same as another is that other.
func (k *Kernel) neighCreate(t *neighTable, key []byte, dev *netDevice, flags uint32, exempt bool) (*neighbour, errno) {
	if !exempt && !k.neighAlloc(t) {
		return nil, nlmsg.ENOBUFS
	}
	n := &neighbour{tbl: t, dev: dev, key: slices.Clone(key[:t.keyLen]), ha: make([]byte, dev.addrLen), flags: flags, exempt: exempt}
	var err errno
	if t.family == pfInet {
		err = k.arpConstructor(n)
	} else {
		err = k.ndiscConstructor(n)
	}
	if err != 0 {
		return nil, err
	}
	if other := t.lookup(n.key, dev); other != nil {
		return other, 0
	}
	t.entries = append(t.entries, n)
	t.allocs++
	return n, 0
}

// neighAlloc says whether there is room for one more that is not exempt from the
// garbage collection (net/core/neighbour.c neigh_alloc, neigh_forced_gc).
func (k *Kernel) neighAlloc(t *neighTable) bool {
	count := func() (c int) {
		for _, n := range t.entries {
			if !n.exempt {
				c++
			}
		}
		return c
	}
	if count() < int(t.thresh[2]) {
		return true
	}
	for _, n := range slices.Clone(t.entries) {
		if !n.exempt && n.state&nudPermanent == 0 && (n.state&(nudFailed|nudNoarp) != 0 || n.typ == neighMulticast) {
			k.neighRemoveOne(n)
		}
	}
	return count() < int(t.thresh[2])
}

// arpConstructor is net/ipv4/arp.c arp_constructor.
func (k *Kernel) arpConstructor(n *neighbour) errno {
	d := n.dev
	if d.flags&(iffLoopback|iffPointopoint) != 0 {
		clear(n.key)
	}
	if d.inDev == nil {
		return nlmsg.EINVAL
	}
	n.typ = d.net.inetAddrTypeDevTable(d, n.key)
	switch {
	case n.typ == neighMulticast:
		n.state = nudNoarp
		if d.flags&iffLoopback == 0 {
			copy(n.ha, []byte{0x01, 0x00, 0x5e, n.key[1] & 0x7f, n.key[2], n.key[3]})
		}
	case d.flags&(iffNoarp|iffLoopback) != 0:
		n.state = nudNoarp
		copy(n.ha, d.addr)
	case n.typ == neighBroadcast || d.flags&iffPointopoint != 0:
		n.state = nudNoarp
		copy(n.ha, d.bcast)
	}
	return 0
}

// ndiscConstructor is net/ipv6/ndisc.c ndisc_constructor.
func (k *Kernel) ndiscConstructor(n *neighbour) errno {
	d := n.dev
	if d.in6Dev == nil {
		return nlmsg.EINVAL
	}
	n.typ = neighUnicast
	switch {
	case n.key[0] == 0xff:
		n.typ, n.state = neighMulticast, nudNoarp
		if d.flags&iffLoopback == 0 {
			copy(n.ha, append([]byte{0x33, 0x33}, n.key[12:]...))
		}
	case d.flags&(iffNoarp|iffLoopback) != 0:
		n.state = nudNoarp
		copy(n.ha, d.addr)
		if d.flags&iffLoopback != 0 {
			n.typ = neighLocal
		}
	case d.flags&iffPointopoint != 0:
		n.state = nudNoarp
		copy(n.ha, d.bcast)
	}
	return 0
}

// neighAdd is net/core/neighbour.c neigh_add.
func (k *Kernel) neighAdd(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("neigh_add")()
	n := skb.sk.net
	tb, err := nlmsgParse(h, ndmsgLen, k.ndaPolicy(), liberal, x)
	if err != 0 {
		return err
	}
	if tb.get(ndaDst) == nil {
		x.set("Network address not specified")
		return nlmsg.EINVAL
	}
	m, _ := readNdmsg(h)
	flags := uint32(m.flags)
	if a := tb.get(ndaFlagsExt); a != nil {
		flags |= a.u32() << ntfExtShift
	}
	var dev *netDevice
	if m.ifindex != 0 {
		if dev = n.devGetByIndex(m.ifindex); dev == nil {
			return nlmsg.ENODEV
		}
		if a := tb.get(ndaLladdr); a != nil && len(a.data) < dev.addrLen {
			x.set("Invalid link address")
			return nlmsg.EINVAL
		}
	}
	t := n.neighFindTable(m.family)
	if t == nil {
		return nlmsg.EAFNOSUPPORT
	}
	if len(tb[ndaDst].data) < t.keyLen {
		x.set("Invalid network address")
		return nlmsg.EINVAL
	}
	dst := tb[ndaDst].data[:t.keyLen]
	var protocol uint8
	if a := tb.get(ndaProtocol); a != nil {
		protocol = a.u8()
	}
	if flags&ntfProxy != 0 {
		if flags&(ntfManaged|ntfExtValidated) != 0 {
			x.set("Invalid NTF_* flag combination")
			return nlmsg.EINVAL
		}
		return k.pneighCreate(t, dst, dev, flags, protocol, m.state&nudPermanent != 0)
	}
	if dev == nil {
		x.set("Device not specified")
		return nlmsg.EINVAL
	}
	if t.family == pfInet6 && !ndiscAllowAdd(dev) {
		x.set("IPv6 is disabled on this device")
		return nlmsg.EINVAL
	}
	return k.neighAddEntry(t, dst, dev, tb.get(ndaLladdr), m, flags, protocol, h.Flags, skb.portid, x)
}

// neighAddEntry is what neigh_add does to the table.
func (k *Kernel) neighAddEntry(t *neighTable, dst []byte, dev *netDevice, lladdr *nlattr, m ndmsg, flags uint32, protocol uint8, nlmflags uint16, portid uint32, x *extAck) errno {
	update := uint32(neighUpdateAdmin | neighUpdateOverride | neighUpdateOverrideIsrouter)
	permanent := m.state&nudPermanent != 0
	if flags&ntfExtValidated != 0 {
		state := uint8(m.state)
		if flags&(ntfUse|ntfManaged) != 0 { // which leave it in NUD_NONE
			state = 0
		}
		if state&nudValid == 0 {
			x.set("Cannot create externally validated neighbor with an invalid state")
			return nlmsg.EINVAL
		}
	}
	e := t.lookup(dst, dev)
	if e == nil {
		if nlmflags&nlmCreate == 0 {
			return nlmsg.ENOENT
		}
		if permanent && flags&ntfManaged != 0 {
			x.set("Invalid NTF_* flag for permanent entry")
			return nlmsg.EINVAL
		}
		var initial uint32
		if k.has(ndaExtFlags) {
			initial = flags & (ntfExtLearned | ntfManaged | ntfExtValidated)
		}
		var err errno
		if e, err = k.neighCreate(t, dst, dev, initial, permanent || flags&ntfExtLearned != 0); err != 0 {
			return err
		}
	} else {
		if nlmflags&nlmExcl != 0 {
			return nlmsg.EEXIST
		}
		if nlmflags&nlmReplace == 0 {
			update &^= neighUpdateOverride | neighUpdateOverrideIsrouter
		}
	}
	if protocol != 0 {
		e.protocol = protocol
	}
	if flags&ntfExtLearned != 0 {
		update |= neighUpdateExtLearned
	}
	if flags&ntfRouter != 0 {
		update |= neighUpdateIsrouter
	}
	if flags&ntfManaged != 0 {
		update |= neighUpdateManaged
	}
	if flags&ntfExtValidated != 0 {
		update |= neighUpdateExtValidated
	}
	var ha []byte
	if lladdr != nil {
		ha = lladdr.data[:dev.addrLen]
	}
	if !k.has(ndaExtFlags) {
		if flags&ntfUse != 0 {
			k.neighEventSend(e)
			return 0
		}
		return k.neighUpdate(e, ha, uint8(m.state), update, portid, x)
	}
	if flags&ntfUse != 0 {
		update |= neighUpdateUse
	}
	err := k.neighUpdate(e, ha, uint8(m.state), update, portid, x)
	if err == 0 && flags&(ntfUse|ntfManaged) != 0 {
		k.neighEventSend(e)
	}
	return err
}

// neighDelete is net/core/neighbour.c neigh_delete.
func (k *Kernel) neighDelete(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("neigh_delete")()
	n := skb.sk.net
	m, ok := readNdmsg(h)
	if !ok {
		return nlmsg.EINVAL
	}
	dst := nlmsgFindAttr(h, ndmsgLen, ndaDst)
	if dst == nil {
		x.set("Network address not specified")
		return nlmsg.EINVAL
	}
	var dev *netDevice
	if m.ifindex != 0 {
		if dev = n.devGetByIndex(m.ifindex); dev == nil {
			return nlmsg.ENODEV
		}
	}
	t := n.neighFindTable(m.family)
	if t == nil {
		return nlmsg.EAFNOSUPPORT
	}
	if len(dst.data) < t.keyLen {
		x.set("Invalid network address")
		return nlmsg.EINVAL
	}
	if m.flags&ntfProxy != 0 {
		return t.pneighDelete(dst.data[:t.keyLen], dev)
	}
	if dev == nil {
		return nlmsg.EINVAL
	}
	e := t.lookup(dst.data, dev)
	if e == nil {
		return nlmsg.ENOENT
	}
	err := k.neighUpdate(e, nil, nudFailed, neighUpdateOverride|neighUpdateAdmin, skb.portid, x)
	k.neighRemoveOne(e)
	return err
}

// nlmsgFindAttr is the first attribute of a type behind a fixed header of size bytes
// (include/net/netlink.h nlmsg_find_attr).
func nlmsgFindAttr(h *nlmsghdr, size int, typ uint16) (found *nlattr) {
	eachAttr(h.attrs(size), nlmsg.HeaderLen+nlmsg.Align(size), func(a *nlattr) errno {
		if found == nil && a.kind() == typ {
			found = a
		}
		return 0
	})
	return found
}

// ndiscAllowAdd is net/ipv6/ndisc.c ndisc_allow_add.
func ndiscAllowAdd(d *netDevice) bool { return d.in6Dev != nil }
