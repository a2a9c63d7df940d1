package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// nhFillNode puts an object (net/ipv4/nexthop.c nh_fill_node).
func (k *Kernel) nhFillNode(skb *skBuff, nh *nexthop, event uint16, portid, seq uint32, flags uint16, op uint32) errno {
	m := nhmsg{flags: uint32(nh.flags), protocol: nh.protocol}
	if !nh.isGroup {
		m.family = uint8(nh.family)
		if !nh.reject {
			m.scope = nh.nh.scope
		}
	}
	p := skb.nlmsgPut(portid, seq, event, flags, m.bytes())
	skb.nlaPutU32(nhaID, nh.id)
	switch {
	case nh.isGroup:
		if nh.fdb {
			skb.nlaPutFlag(nhaFdb)
		}
		k.nlaPutNhGroup(skb, nh, op)
	case nh.reject:
		skb.nlaPutFlag(nhaBlackhole)
	default:
		if nh.fdb {
			skb.nlaPutFlag(nhaFdb)
		} else if nh.nh.dev != nil {
			skb.nlaPutU32(nhaOif, uint32(nh.nh.dev.index))
		}
		switch nh.nh.gwFamily {
		case pfInet:
			skb.nlaPut(nhaGateway, nh.nh.gw[:4])
		case pfInet6:
			skb.nlaPut(nhaGateway, nh.nh.gw[:])
		}
	}
	return p.end()
}

// nlaPutNhGroup is net/ipv4/nexthop.c nla_put_nh_group.
func (k *Kernel) nlaPutNhGroup(skb *skBuff, nh *nexthop, op uint32) {
	typ := uint16(nexthopGrpTypeMpath)
	if nh.resilient != nil {
		typ = nexthopGrpTypeRes
	}
	skb.nlaPutU16(nhaGroupType, typ)
	var b []byte
	for _, e := range nh.entries {
		b = native.AppendUint32(b, e.nh.id)
		b = append(b, byte(e.weight-1))
		high := byte(0)
		if k.has(nexthopWeight16) {
			high = byte((e.weight - 1) >> 8)
		}
		b = append(b, high, 0, 0)
	}
	skb.nlaPut(nhaGroup, b)
	if t := nh.resilient; t != nil {
		n := skb.nlaNest(nhaResGroup)
		skb.nlaPutU16(nhaResGroupBuckets, uint16(len(t.buckets)))
		skb.nlaPutU32(nhaResGroupIdleTimer, t.idleTimer)
		skb.nlaPutU32(nhaResGroupUnbalancedTimer, t.unbalancedTimer)
		skb.nlaPutU64(nhaResGroupUnbalancedTime, 0)
		n.end()
	}
	if !k.has(nexthopStats) {
		return
	}
	if op&nhaOpFlagDumpStats != 0 {
		k.nlaPutNhGroupStats(skb, nh, op)
	}
	if k.has(nexthopRespGrp) {
		skb.nlaPutU32(nhaOpFlags, nhaOpFlagRespGrpResvd0)
	}
}

// nlaPutNhGroupStats is net/ipv4/nexthop.c nla_put_nh_group_stats. Nothing was ever
// sent.
func (k *Kernel) nlaPutNhGroupStats(skb *skBuff, nh *nexthop, op uint32) {
	hw := uint32(0)
	if nh.hwStats {
		hw = 1
	}
	skb.nlaPutU32(nhaHwStatsEnable, hw)
	if !k.has(nexthopHwStatsOnce) {
		skb.nlaPutU32(nhaHwStatsEnable, hw)
	}
	if nh.hwStats && op&nhaOpFlagDumpHwStats != 0 {
		skb.nlaPutU32(nhaHwStatsUsed, 0)
	}
	stats := skb.nlaNest(nhaGroupStats)
	for _, e := range nh.entries {
		one := skb.nlaNest(nhaGroupStatsEntry)
		skb.nlaPutU32(nhaGroupStatsEntryID, e.nh.id)
		skb.nlaPutU32(nhaGroupStatsEntryPackets, 0)
		if op&nhaOpFlagDumpHwStats != 0 {
			skb.nlaPutU32(nhaGroupStatsEntryPacketsHw, 0)
		}
		one.end()
	}
	stats.end()
}

// nexthopNotify tells RTNLGRP_NEXTHOP (net/ipv4/nexthop.c nexthop_notify).
func (k *Kernel) nexthopNotify(event uint16, nh *nexthop, info nlInfo) {
	defer k.enter("nexthop_notify")()
	var flags uint16
	if info.h != nil {
		flags = info.h.Flags
	}
	skb := nlmsgNew(100)
	k.nhFillNode(skb, nh, event, info.portid, info.seq(), flags, 0)
	k.rtnlNotify(skb, info.net, info.portid, rtnlgrpNexthop, info.h)
}

// nhParse parses a request to get, dump or delete, of which p has the attributes.
// Older kernels have one policy for all, and a text for those that do not belong
// there.
func (k *Kernel) nhParse(h *nlmsghdr, p policy, other string, x *extAck) (attrTable, errno) {
	if k.has(nexthopPolicies) {
		return nlmsgParse(h, nhmsgLen, p, strict, x)
	}
	told := x
	if other == nhOtherDump {
		told = nil
	}
	tb, err := nlmsgParse(h, nhmsgLen, k.rtmNhPolicyNew(), strict, told)
	if err != 0 {
		return nil, err
	}
	for i, a := range tb {
		if a != nil && (i >= len(p) || p[i].typ == nlaUnspec) {
			if x.set(other); other != nhOtherDump {
				x.bad(a)
			}
			return nil, nlmsg.EINVAL
		}
	}
	return tb, 0
}

const (
	nhOtherGet  = "Unexpected attribute in request"
	nhOtherDump = "Unsupported attribute in dump request"
)

// nhValidGetDelReq is net/ipv4/nexthop.c nh_valid_get_del_req.
func nhValidGetDelReq(h *nlmsghdr, tb attrTable, x *extAck) (uint32, errno) {
	m := parseNhmsg(h.payload())
	if m.family = 0; m != (nhmsg{}) {
		x.set("Invalid values in header")
		return 0, nlmsg.EINVAL
	}
	if tb[nhaID] == nil {
		x.set("Nexthop id is missing")
		return 0, nlmsg.EINVAL
	}
	id := tb[nhaID].u32()
	if id == 0 {
		x.set("Invalid nexthop id")
		return 0, nlmsg.EINVAL
	}
	return id, 0
}

// rtmDelNexthop is net/ipv4/nexthop.c rtm_del_nexthop.
func (k *Kernel) rtmDelNexthop(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtm_del_nexthop")()
	tb, err := k.nhParse(h, policy{nhaID: {typ: nlaU32}}, nhOtherGet, x)
	if err != 0 {
		return err
	}
	id, err := nhValidGetDelReq(h, tb, x)
	if err != 0 {
		return err
	}
	n := skb.sk.net
	nh := n.nexthopFindByID(id)
	if nh == nil {
		return nlmsg.ENOENT
	}
	k.removeNexthop(n, nh, &nlInfo{net: n, h: h, portid: skb.portid})
	return 0
}

// nhOpFlagsPolicy is NHA_OP_FLAGS in a request.
var nhOpFlagsPolicy = nlaPolicy{typ: nlaU32, check: validateMask, mask: nhaOpFlagDumpStats | nhaOpFlagDumpHwStats}

// rtmGetNexthop is net/ipv4/nexthop.c rtm_get_nexthop.
func (k *Kernel) rtmGetNexthop(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtm_get_nexthop")()
	p := policy{nhaID: {typ: nlaU32}}
	if k.has(nexthopStats) {
		p = policy{nhaID: {typ: nlaU32}, nhaOpFlags: nhOpFlagsPolicy}
	}
	tb, err := k.nhParse(h, p, nhOtherGet, x)
	if err != 0 {
		return err
	}
	id, err := nhValidGetDelReq(h, tb, x)
	if err != 0 {
		return err
	}
	n := in.sk.net
	nh := n.nexthopFindByID(id)
	if nh == nil {
		return nlmsg.ENOENT
	}
	skb := newSkb(goodSize)
	if err := k.nhFillNode(skb, nh, rtmNewnexthop, in.portid, h.Seq, 0, opFlags(tb)); err != 0 {
		return err
	}
	return k.rtnlUnicast(skb, n, in.portid)
}

func opFlags(tb attrTable) uint32 {
	if a := tb.get(nhaOpFlags); a != nil {
		return a.u32()
	}
	return 0
}

// nhDumpFilter is what of the objects is asked for (net/ipv4/nexthop.c struct
// nh_dump_filter).
type nhDumpFilter struct {
	dev, master int
	groups      bool
	family      int
	id          uint32 // of the group whose buckets
	bucketNhID  uint32
	opFlags     uint32
}

// wants is net/ipv4/nexthop.c nh_dump_filtered, turned round.
func (f *nhDumpFilter) wants(nh *nexthop) bool {
	if f.groups && !nh.isGroup {
		return false
	}
	if f.dev == 0 && f.master == 0 && f.family == 0 {
		return true
	}
	if nh.isGroup || f.family != 0 && nh.family != f.family {
		return false
	}
	d := nh.nh.dev
	if f.dev != 0 && (d == nil || d.index != f.dev) {
		return false
	}
	return f.master == 0 || d != nil && d.master != nil && d.master.index == f.master
}

// nhValidDumpReq is net/ipv4/nexthop.c __nh_valid_dump_req.
func nhValidDumpReq(h *nlmsghdr, tb attrTable, x *extAck) (*nhDumpFilter, errno) {
	f := &nhDumpFilter{groups: tb.get(nhaGroups) != nil, opFlags: opFlags(tb)}
	for _, t := range []struct {
		typ  int
		to   *int
		what string
	}{{nhaOif, &f.dev, "Invalid device index"}, {nhaMaster, &f.master, "Invalid master device index"}} {
		if a := tb.get(t.typ); a != nil {
			if a.u32() > 1<<31-1 {
				x.set(t.what)
				return nil, nlmsg.EINVAL
			}
			*t.to = int(a.u32())
		}
	}
	m := parseNhmsg(h.payload())
	f.family = int(m.family)
	if m.family = 0; m != (nhmsg{}) {
		x.set("Invalid values in header for nexthop dump request")
		return nil, nlmsg.EINVAL
	}
	return f, 0
}

// rtmDumpNexthop is net/ipv4/nexthop.c rtm_dump_nexthop.
func (k *Kernel) rtmDumpNexthop(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtm_dump_nexthop")()
	p := policy{nhaOif: {typ: nlaU32}, nhaGroups: {typ: nlaFlag}, nhaMaster: {typ: nlaU32}, nhaFdb: {typ: nlaFlag}}
	if k.has(nexthopStats) {
		p = append(p, make(policy, nhaOpFlags-nhaFdb-1)...)
		p = append(p, nhOpFlagsPolicy)
	}
	tb, err := k.nhParse(cb.nlh, p, nhOtherDump, cb.extack)
	if err != 0 {
		return err
	}
	f, err := nhValidDumpReq(cb.nlh, tb, cb.extack)
	if err != 0 {
		return err
	}
	s := &cb.net.state.nhs
	err = 0
	for _, nh := range s.objects {
		if nh.id < uint32(cb.args[0]) || !f.wants(nh) {
			continue
		}
		cb.args[0] = int(nh.id)
		if err = k.nhFillNode(skb, nh, rtmNewnexthop, cb.skb.portid, cb.nlh.Seq, nlmMulti, f.opFlags); err != 0 {
			break
		}
		cb.args[0]++
	}
	return k.nhDumpEnd(skb, cb, err)
}

// nhDumpEnd is what the dump of nexthops returns.
func (k *Kernel) nhDumpEnd(skb *skBuff, cb *netlinkCallback, err errno) errno {
	cb.seq = cb.net.state.nhs.seq
	if len(skb.data) > 0 {
		cb.checkConsistent(put{skb, 0})
	}
	if k.has(nexthopDumpErr) {
		return err
	}
	if len(skb.data) > 0 {
		return dumpMore
	}
	return err
}
