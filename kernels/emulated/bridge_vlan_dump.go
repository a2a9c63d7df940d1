package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Message types of VLANs and of multicast groups of bridges.
const (
	rtmGetmdb  = 86
	rtmNewvlan = 112
	rtmDelvlan = 113
	rtmGetvlan = 114

	rtnlgrpBrvlan = 33
)

// Attributes of a VLAN's message (include/uapi/linux/if_bridge.h BRIDGE_VLANDB_*).
const (
	vlandbDumpFlags = 1

	vlandbEntry                     = 1
	vlandbGlobalOptions             = 2
	vlandbEntryInfo                 = 1
	vlandbEntryRange                = 2
	vlandbEntryState                = 3
	vlandbEntryMcastRouter          = 6
	vlandbEntryNeighSuppress        = 9
	vlandbEntryNeighFwdGrat         = 10
	sizeofBrVlanMsg                 = 8
	sizeofBrPortMsg                 = 8
	mdbaMdb                         = 1
	vlandbDumpGlobal         uint32 = 1 << 1
)

// brVlanRtnlInit is net/bridge/br_vlan.c br_vlan_rtnl_init and what br_mdb_init
// registers, for what is told.
func (k *Kernel) brVlanRtnlInit() {
	k.rtnlRegister(pfBridge, rtmGetvlan, nil, k.brVlanRtmDump, 0)
	k.rtnlRegister(pfBridge, rtmGetmdb, nil, k.brMdbDump, 0)
}

var brVlanDbDumpPolicy = policy{vlandbDumpFlags: {typ: nlaU32}}

// brVlanRtmDump is net/bridge/br_vlan.c br_vlan_rtm_dump.
func (k *Kernel) brVlanRtmDump(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("br_vlan_rtm_dump")()
	tb, err := nlmsgParse(cb.nlh, sizeofBrVlanMsg, brVlanDbDumpPolicy, strict, cb.extack)
	if err != 0 {
		return err
	}
	global := false
	if a := tb[vlandbDumpFlags]; a != nil {
		global = a.u32()&vlandbDumpGlobal != 0 && k.has(boolMcastVlan)
	}
	index := int(native.Uint32(cb.nlh.payload()[4:]))
	if index != 0 {
		d := cb.net.devGetByIndex(index)
		if d == nil {
			return nlmsg.ENODEV
		}
		return k.brVlanDumpDev(skb, cb, d, global)
	}
	for i := cb.args[0]; i < len(cb.net.state.devs); i++ {
		cb.args[0] = i
		if err := k.brVlanDumpDev(skb, cb, cb.net.state.devs[i], global); err == nlmsg.EMSGSIZE {
			return dumpLen(skb)
		}
		cb.args[0], cb.args[1] = i+1, 0
	}
	return dumpLen(skb)
}

// brVlanDumpDev is net/bridge/br_vlan.c br_vlan_dump_dev: the VLANs of a link, of
// which those that follow each other are told as one.
func (k *Kernel) brVlanDumpDev(skb *skBuff, cb *netlinkCallback, d *netDevice, global bool) errno {
	_, p, g := d.ofFdb()
	if g == nil || p != nil && global {
		return nlmsg.EINVAL
	}
	l := g.used()
	if global {
		l = g.list
	}
	if cb.args[1] >= len(l) {
		return 0
	}
	m := cb.put(skb, rtmNewvlan, nlmMulti, brVlanMsg(d))
	for i := cb.args[1]; i < len(l); {
		flags, j := g.infoFlags(l[i]), i+1
		if global {
			flags = 0
		}
		for j < len(l) && flags&vlanInfoPvid == 0 && l[j].vid == l[j-1].vid+1 && (global || g.infoFlags(l[j]) == flags) {
			j++
		}
		at := len(skb.data)
		if global {
			k.brVlanGlobalOptsFill(skb, l[i].vid, l[j-1].vid)
		} else {
			k.brVlanFillVids(skb, l[i].vid, l[j-1].vid, flags, true)
		}
		if skb.full {
			skb.data, skb.full = skb.data[:at], false
			if at == m.at+nlmsg.HeaderLen+sizeofBrVlanMsg {
				m.cancel()
			} else {
				m.end()
			}
			return nlmsg.EMSGSIZE
		}
		i, cb.args[1] = j, j
	}
	return m.end()
}

// brVlanFillVids is net/bridge/br_vlan.c br_vlan_fill_vids; opts says that they are
// there, and have options.
func (k *Kernel) brVlanFillVids(skb *skBuff, first, last, flags uint16, opts bool) {
	n := skb.nlaNest(vlandbEntry)
	skb.nlaPut(vlandbEntryInfo, bridgeVlanInfo{flags, first}.bytes())
	if last > first {
		skb.nlaPutU16(vlandbEntryRange, last)
	}
	if !opts {
		n.end()
		return
	}
	skb.nlaPutU8(vlandbEntryState, brStateForwarding)
	if k.has(brportNeighVlan) {
		skb.nlaPutU8(vlandbEntryNeighSuppress, 0)
	}
	if k.has(brportNeighForwardGrat) {
		skb.nlaPutU8(vlandbEntryNeighFwdGrat, 0)
	}
	if k.has(boolMcastVlan) {
		skb.nlaPutU8(vlandbEntryMcastRouter, 1)
	}
	n.end()
}

// brVlanGlobalOptsFill tells the options of VLANs of a bridge, which nothing here
// changes (net/bridge/br_vlan_options.c br_vlan_global_opts_fill). The types of its
// attributes are BRIDGE_VLANDB_GOPTS_*.
func (k *Kernel) brVlanGlobalOptsFill(skb *skBuff, first, last uint16) {
	n := skb.nlaNest(vlandbGlobalOptions)
	skb.nlaPutU16(1, first) // _ID
	if last > first {
		skb.nlaPutU16(2, last) // _RANGE
	}
	skb.nlaPutU8(3, 1)  // _MCAST_SNOOPING
	skb.nlaPutU8(4, 2)  // _MCAST_IGMP_VERSION
	skb.nlaPutU32(6, 2) // _MCAST_LAST_MEMBER_CNT
	skb.nlaPutU32(7, 2) // _MCAST_STARTUP_QUERY_CNT
	skb.nlaPutU8(15, 0) // _MCAST_QUERIER
	for _, o := range []struct {
		typ     uint16
		seconds uint64
	}{{8, 1}, {10, 260}, {11, 255}, {12, 125}, {13, 10}} { // _MCAST_LAST_MEMBER_INTVL to _MCAST_QUERY_RESPONSE_INTVL
		skb.nlaPutU64(o.typ, 100*o.seconds)
	}
	skb.nlaPutU64(14, jiffiesToClockT(125*hz/4)) // _MCAST_STARTUP_QUERY_INTVL
	skb.nlaPutU8(5, 1)                           // _MCAST_MLD_VERSION
	if k.has(bridgeMst) {
		skb.nlaPutU16(18, 0) // _MSTI
	}
	n.end()
}

// brVlanMsg is a struct br_vlan_msg.
func brVlanMsg(d *netDevice) []byte {
	b := make([]byte, sizeofBrVlanMsg)
	b[0] = pfBridge
	native.PutUint32(b[4:], uint32(d.index))
	return b
}

// brVlanNotify tells of VLANs of a bridge, or of a port of it
// (net/bridge/br_vlan.c br_vlan_notify).
func (k *Kernel) brVlanNotify(b *netBridge, p *bridgePort, first, last uint16, msgtype uint16) {
	defer k.enter("br_vlan_notify")()
	d, g := b.dev, &b.vlans
	if p != nil {
		d, g = p.dev, &p.vlans
	}
	var flags uint16
	if msgtype == rtmNewvlan {
		v := g.find(first)
		if v == nil || !v.use {
			return
		}
		flags = g.infoFlags(v)
	}
	skb := nlmsgNew(sizeofBrVlanMsg + 64)
	m := skb.nlmsgPut(0, 0, msgtype, 0, brVlanMsg(d))
	k.brVlanFillVids(skb, first, last, flags, msgtype == rtmNewvlan)
	m.end()
	k.rtnlNotify(skb, d.net, 0, rtnlgrpBrvlan, nil)
}

// brMdbDump tells of each bridge, none of which has a multicast group
// (net/bridge/br_mdb.c br_mdb_dump).
func (k *Kernel) brMdbDump(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("br_mdb_dump")()
	if cb.strict {
		b := cb.nlh.payload()
		switch {
		case len(b) < sizeofBrPortMsg:
			cb.extack.set("Invalid header for mdb dump request")
			return nlmsg.EINVAL
		case native.Uint32(b[4:]) != 0:
			cb.extack.set("Filtering by device index is not supported for mdb dump request")
			return nlmsg.EINVAL
		case len(b) > sizeofBrPortMsg:
			cb.extack.set("Invalid data after header in mdb dump request")
			return nlmsg.EINVAL
		}
	}
	for i := cb.args[0]; i < len(cb.net.state.devs); i++ {
		d := cb.net.state.devs[i]
		if d.bridge() != nil {
			head := make([]byte, sizeofBrPortMsg)
			native.PutUint32(head[4:], uint32(d.index))
			m := cb.put(skb, rtmGetmdb, nlmMulti, head)
			skb.nlaPut(mdbaMdb, nil)
			if m.end() != 0 {
				break
			}
		}
		cb.args[0] = i + 1
	}
	return dumpLen(skb)
}
