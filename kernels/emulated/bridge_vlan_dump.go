package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Message types of VLANs and of multicast groups of bridges.
const (
	rtmGetmdb  = 86
	rtmNewvlan = 112
	rtmGetvlan = 114
)

// Attributes of a VLAN's message (include/uapi/linux/if_bridge.h BRIDGE_VLANDB_*).
const (
	vlandbDumpFlags = 1

	vlandbEntry                     = 1
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
		global = a.u32()&vlandbDumpGlobal != 0
	}
	index := int(native.Uint32(cb.nlh.payload()[4:]))
	if index != 0 {
		d := cb.net.devGetByIndex(index)
		if d == nil {
			return nlmsg.ENODEV
		}
		if err := k.brVlanDumpDev(skb, cb, d, global); err != 0 && err != nlmsg.EMSGSIZE {
			return err
		}
		return dumpLen(skb)
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
	if global || cb.args[1] >= len(l) {
		return 0
	}
	head := make([]byte, sizeofBrVlanMsg)
	head[0] = pfBridge
	native.PutUint32(head[4:], uint32(d.index))
	m := cb.put(skb, rtmNewvlan, nlmMulti, head)
	for i := cb.args[1]; i < len(l); {
		flags, j := g.infoFlags(l[i]), i+1
		for j < len(l) && flags&vlanInfoPvid == 0 && l[j].vid == l[j-1].vid+1 && g.infoFlags(l[j]) == flags {
			j++
		}
		at := len(skb.data)
		k.brVlanFillVids(skb, p, l[i].vid, l[j-1].vid, flags)
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

// brVlanFillVids is net/bridge/br_vlan.c br_vlan_fill_vids.
func (k *Kernel) brVlanFillVids(skb *skBuff, p *bridgePort, first, last, flags uint16) {
	n := skb.nlaNest(vlandbEntry)
	skb.nlaPut(vlandbEntryInfo, bridgeVlanInfo{flags, first}.bytes())
	if last > first {
		skb.nlaPutU16(vlandbEntryRange, last)
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
