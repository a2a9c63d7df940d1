package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Requests about the multicast groups and the VLANs of bridges: the checks that they
// pass before a bridge is asked. What bridges themselves do with them is not emulated.
const (
	rtmNewmdb        = 84
	rtmDelmdb        = 85
	mdbaSetEntry     = 1
	mdbaSetAttrs     = 2
	sizeofBrMdbEntry = 28
)

// mdbPolicy is of requests since links have operations for groups (net/core/rtnetlink.c
// mdba_policy, mdba_get_policy).
var mdbPolicy = policy{
	mdbaSetEntry: {typ: nlaBinary, len: sizeofBrMdbEntry, check: validateFunction, function: rtnlValidateMdbEntry},
	mdbaSetAttrs: {typ: nlaNested},
}

// brRequestsInit is what br_mdb_init, br_vlan_rtnl_init and rtnetlink_init register.
func (k *Kernel) brRequestsInit() {
	k.rtnlRegister(pfBridge, rtmNewmdb, k.rtnlMdbChange, nil, 0)
	k.rtnlRegister(pfBridge, rtmDelmdb, k.rtnlMdbChange, nil, 0)
	if k.has(mdbGet) {
		k.rtnlRegister(pfBridge, rtmGetmdb, k.rtnlMdbGet, nil, 0)
	}
	k.rtnlRegister(pfBridge, rtmNewvlan, k.brVlanRtmProcess, nil, 0)
	k.rtnlRegister(pfBridge, rtmDelvlan, k.brVlanRtmProcess, nil, 0)
}

// rtnlValidateMdbEntry is net/core/rtnetlink.c rtnl_validate_mdb_entry, for what is
// looked at first.
func rtnlValidateMdbEntry(a *nlattr, x *extAck) errno {
	switch {
	case len(a.data) != sizeofBrMdbEntry:
		x.setAttr(a, "Invalid attribute length")
	case native.Uint32(a.data) == 0:
		x.set("Zero entry ifindex is not allowed")
	default:
		return 0
	}
	return nlmsg.EINVAL
}

// rtnlMdbChange is net/core/rtnetlink.c rtnl_mdb_add and rtnl_mdb_del, and
// net/bridge/br_mdb.c br_mdb_parse before them.
func (k *Kernel) rtnlMdbChange(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_mdb_add")()
	if !k.has(mdbOfLinks) {
		return k.brMdbParse(skb, h, x)
	}
	tb, err := nlmsgParse(h, sizeofBrPortMsg, mdbPolicy, liberal, x)
	if err != 0 {
		return err
	}
	return rtnlMdbLink(skb, h, tb, "Missing MDBA_SET_ENTRY attribute", x)
}

// rtnlMdbGet is net/core/rtnetlink.c rtnl_mdb_get.
func (k *Kernel) rtnlMdbGet(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_mdb_get")()
	tb, err := nlmsgParse(h, sizeofBrPortMsg, mdbPolicy, strict, x)
	if err != 0 {
		return err
	}
	return rtnlMdbLink(skb, h, tb, "Missing MDBA_GET_ENTRY attribute", x)
}

// rtnlMdbLink finds the link of a request, and that it has an entry.
func rtnlMdbLink(skb *skBuff, h *nlmsghdr, tb attrTable, missing string, x *extAck) errno {
	index := int(int32(native.Uint32(h.payload()[4:])))
	if index == 0 {
		x.set("Invalid ifindex")
		return nlmsg.EINVAL
	}
	d := skb.sk.net.devGetByIndex(index)
	switch {
	case d == nil:
		x.set("Device doesn't exist")
		return nlmsg.ENODEV
	case tb.get(mdbaSetEntry) == nil:
		x.set(missing)
		x.miss(nil, mdbaSetEntry)
		return nlmsg.EINVAL
	case d.bridge() == nil:
		x.set("Device does not support MDB operations")
		return nlmsg.EOPNOTSUPP
	}
	return notEmulated(x)
}

// brMdbParse is net/bridge/br_mdb.c br_mdb_parse.
func (k *Kernel) brMdbParse(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	tb, err := nlmsgParse(h, sizeofBrPortMsg, make(policy, mdbaSetAttrs+1), liberal, x)
	if err != 0 {
		return err
	}
	index := int(int32(native.Uint32(h.payload()[4:])))
	if index == 0 {
		x.set("bridge: Invalid bridge ifindex")
		return nlmsg.EINVAL
	}
	d := skb.sk.net.devGetByIndex(index)
	switch {
	case d == nil:
		x.set("bridge: Bridge device doesn't exist")
		return nlmsg.ENODEV
	case d.bridge() == nil:
		x.set("bridge: Device is not a bridge")
		return nlmsg.EOPNOTSUPP
	case tb.get(mdbaSetEntry) == nil:
		x.set("bridge: Missing MDBA_SET_ENTRY attribute")
		return nlmsg.EINVAL
	}
	return notEmulated(x)
}

// brVlanRtmProcess is net/bridge/br_vlan.c br_vlan_rtm_process.
func (k *Kernel) brVlanRtmProcess(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("br_vlan_rtm_process")()
	tb, err := nlmsgParse(h, sizeofBrVlanMsg, make(policy, vlandbGlobalOptions+1), deprecatedStrict, x)
	if err != 0 {
		return err
	}
	d := skb.sk.net.devGetByIndex(int(int32(native.Uint32(h.payload()[4:]))))
	switch {
	case d == nil:
		return nlmsg.ENODEV
	case d.bridge() == nil && d.port == nil:
		x.set("bridge: The device is not a valid bridge or bridge port")
		return nlmsg.EINVAL
	case tb.get(vlandbEntry) == nil && tb.get(vlandbGlobalOptions) == nil:
		x.set("bridge: No vlans found to process")
		return nlmsg.EINVAL
	}
	return notEmulated(x)
}
