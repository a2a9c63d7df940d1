package emulated

import (
	"math/bits"
	"strconv"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Attributes of a bridge (include/uapi/linux/if_link.h IFLA_BR_*).
const (
	iflaBrForwardDelay = 1 + iota
	iflaBrHelloTime
	iflaBrMaxAge
	iflaBrAgeingTime
	iflaBrStpState
	iflaBrPriority
	iflaBrVlanFiltering
	iflaBrVlanProtocol
	iflaBrGroupFwdMask
	iflaBrRootID
	iflaBrBridgeID
	iflaBrRootPort
	iflaBrRootPathCost
	iflaBrTopologyChange
	iflaBrTopologyChangeDetected
	iflaBrHelloTimer
	iflaBrTcnTimer
	iflaBrTopologyChangeTimer
	iflaBrGcTimer
	iflaBrGroupAddr
	iflaBrFdbFlush
	iflaBrMcastRouter
	iflaBrMcastSnooping
	iflaBrMcastQueryUseIfaddr
	iflaBrMcastQuerier
	iflaBrMcastHashElasticity
	iflaBrMcastHashMax
	iflaBrMcastLastMemberCnt
	iflaBrMcastStartupQueryCnt
	iflaBrMcastLastMemberIntvl
	iflaBrMcastMembershipIntvl
	iflaBrMcastQuerierIntvl
	iflaBrMcastQueryIntvl
	iflaBrMcastQueryResponseIntvl
	iflaBrMcastStartupQueryIntvl
	iflaBrNfCallIptables
	iflaBrNfCallIP6tables
	iflaBrNfCallArptables
	iflaBrVlanDefaultPvid
	iflaBrPad
	iflaBrVlanStatsEnabled
	iflaBrMcastStatsEnabled
	iflaBrMcastIgmpVersion
	iflaBrMcastMldVersion
	iflaBrVlanStatsPerPort
	iflaBrMultiBoolopt
	iflaBrMcastQuerierState
	iflaBrFdbNLearned
	iflaBrFdbMaxLearned
	iflaBrStpMode
)

// brInfoSize is net/bridge/br_netlink.c br_get_size.
const brInfoSize = 480

// brMax is IFLA_BR_MAX.
func (k *Kernel) brMax() int {
	switch {
	case k.has(brStpMode):
		return iflaBrStpMode
	case k.has(brFdbLearned):
		return iflaBrFdbMaxLearned
	case k.has(brQuerierState):
		return iflaBrMcastQuerierState
	}
	return iflaBrMultiBoolopt
}

// brPolicy is net/bridge/br_netlink.c br_policy.
func (k *Kernel) brPolicy() policy {
	p := make(policy, iflaBrStpMode+1)
	for _, t := range []int{iflaBrForwardDelay, iflaBrHelloTime, iflaBrMaxAge, iflaBrAgeingTime, iflaBrStpState, iflaBrMcastHashElasticity,
		iflaBrMcastHashMax, iflaBrMcastLastMemberCnt, iflaBrMcastStartupQueryCnt, iflaBrFdbMaxLearned} {
		p[t].typ = nlaU32
	}
	for _, t := range []int{iflaBrPriority, iflaBrVlanProtocol, iflaBrGroupFwdMask, iflaBrVlanDefaultPvid} {
		p[t].typ = nlaU16
	}
	for _, t := range []int{iflaBrVlanFiltering, iflaBrMcastRouter, iflaBrMcastSnooping, iflaBrMcastQueryUseIfaddr, iflaBrMcastQuerier,
		iflaBrNfCallIptables, iflaBrNfCallIP6tables, iflaBrNfCallArptables, iflaBrVlanStatsEnabled, iflaBrMcastStatsEnabled,
		iflaBrMcastIgmpVersion, iflaBrMcastMldVersion, iflaBrVlanStatsPerPort} {
		p[t].typ = nlaU8
	}
	for t := iflaBrMcastLastMemberIntvl; t <= iflaBrMcastStartupQueryIntvl; t++ {
		p[t].typ = nlaU64
	}
	p[iflaBrGroupAddr] = nlaPolicy{typ: nlaBinary, len: 6}
	p[iflaBrMultiBoolopt] = nlaPolicy{typ: nlaBinary, check: validateRange, min: 8, max: 8}
	p[iflaBrFdbNLearned].typ = nlaReject
	p[iflaBrStpMode] = nlaPolicy{typ: nlaU32, check: validateRange, max: 2}
	if k.has(brFdbLearned) {
		p[0].len = iflaBrFdbNLearned
	}
	return p[:k.brMax()+1]
}

// brValidate is net/bridge/br_netlink.c br_validate.
func brValidate(tb, data attrTable, x *extAck) errno {
	if err := etherValidate(tb); err != 0 {
		return err
	}
	if a := data.get(iflaBrVlanProtocol); a != nil {
		if p := be16(a.data); p != ethP8021q && p != ethP8021ad {
			return nlmsg.EPROTONOSUPPORT
		}
	}
	if a := data.get(iflaBrVlanDefaultPvid); a != nil && a.u16() >= vlanVidMask {
		return nlmsg.EINVAL
	}
	return 0
}

// brChangelink is net/bridge/br_netlink.c br_changelink.
func (k *Kernel) brChangelink(d *netDevice, tb, data attrTable, x *extAck) errno {
	if data == nil {
		return 0
	}
	b := d.bridge()
	for _, f := range []func(*netBridge, attrTable, *extAck) errno{k.brChangeStp, k.brChangeVlan, k.brChangeGroup, k.brChangeMcast} {
		if err := f(b, data, x); err != 0 {
			return err
		}
	}
	for i := range b.nfCall {
		if a := data.get(iflaBrNfCallIptables + i); a != nil {
			b.nfCall[i] = a.u8() != 0
		}
	}
	if a := data.get(iflaBrMultiBoolopt); a != nil {
		if err := k.brBooloptMultiToggle(b, a.u32(), native.Uint32(a.data[4:]), x); err != 0 {
			return err
		}
	}
	if a := data.get(iflaBrFdbMaxLearned); a != nil {
		b.fdbMaxLearned = a.u32()
	}
	return 0
}

// brChangeStp sets what is of the spanning tree.
func (k *Kernel) brChangeStp(b *netBridge, data attrTable, x *extAck) errno {
	for _, o := range []struct {
		attr      int
		v         *uint64
		low, high uint64
		stpOnly   bool
	}{
		{iflaBrForwardDelay, &b.forwardDelay, 2 * hz, 30 * hz, true},
		{iflaBrHelloTime, &b.helloTime, hz, 10 * hz, false},
		{iflaBrMaxAge, &b.maxAge, 6 * hz, 40 * hz, false},
		{iflaBrAgeingTime, &b.ageingTime, 0, ^uint64(0), false},
	} {
		a := data.get(o.attr)
		if a == nil {
			continue
		}
		t := clockTToJiffies(uint64(a.u32()))
		if (t < o.low || t > o.high) && !(o.stpOnly && b.stp == brStpNone) {
			return nlmsg.ERANGE
		}
		*o.v = t
	}
	if a := data.get(iflaBrStpMode); a != nil {
		state := data.get(iflaBrStpState)
		if a.u32() != b.stpMode && b.stp != brStpNone && (state == nil || state.u32() != 0) {
			x.set("bridge: Can't change STP mode while STP is enabled")
			return nlmsg.EBUSY
		}
		b.stpMode = a.u32()
	}
	if a := data.get(iflaBrStpState); a != nil {
		if !k.has(stpInNetns) && b.dev.net != k.initNet {
			x.set("bridge: STP does not work in non-root netns")
		}
		k.brStpSetEnabled(b, a.u32() != 0)
	}
	if a := data.get(iflaBrPriority); a != nil {
		k.brStpSetBridgePriority(b, a.u16())
	}
	return 0
}

// brChangeVlan sets what is of VLANs.
func (k *Kernel) brChangeVlan(b *netBridge, data attrTable, x *extAck) errno {
	if a := data.get(iflaBrVlanFiltering); a != nil {
		k.brVlanFilterToggle(b, a.u8() != 0)
	}
	if a := data.get(iflaBrVlanProtocol); a != nil {
		b.vlanProto = be16(a.data)
		b.recalculateGroupAddr()
	}
	if a := data.get(iflaBrVlanDefaultPvid); a != nil {
		if err := k.brVlanSetDefaultPvid(b, a.u16(), x); err != 0 {
			return err
		}
	}
	if a := data.get(iflaBrVlanStatsEnabled); a != nil {
		if a.u8() > 1 {
			return nlmsg.EINVAL
		}
		b.vlanStats = a.u8() != 0
	}
	if a := data.get(iflaBrVlanStatsPerPort); a != nil {
		for _, p := range b.ports { // br_vlan_set_stats_per_port
			if len(p.vlans.list) > 0 {
				return nlmsg.EBUSY
			}
		}
		if a.u8() > 1 {
			return nlmsg.EINVAL
		}
		b.vlanStatsPerPort = a.u8() != 0
	}
	return 0
}

// brChangeGroup sets what is of the group address, and flushes.
func (k *Kernel) brChangeGroup(b *netBridge, data attrTable, x *extAck) errno {
	if a := data.get(iflaBrGroupFwdMask); a != nil {
		if a.u16()&7 != 0 { // BR_GROUPFWD_RESTRICTED
			return nlmsg.EINVAL
		}
		b.groupFwdMask = a.u16()
	}
	if a := data.get(iflaBrGroupAddr); a != nil {
		if len(a.data) != 6 || a.data[0]&1 == 0 || multicastEther(a.data) || a.data[5] >= 1 && a.data[5] <= 3 {
			return nlmsg.EINVAL
		}
		b.groupAddr, b.groupAddrSet = [6]byte(a.data), true
	}
	if data.get(iflaBrFdbFlush) != nil {
		k.brFdbFlush(b, fdbFlushDesc{mask: fdbStatic})
	}
	return 0
}

// brChangeMcast sets what is of multicast snooping.
func (k *Kernel) brChangeMcast(b *netBridge, data attrTable, x *extAck) errno {
	if a := data.get(iflaBrMcastRouter); a != nil {
		if a.u8() > 2 {
			return nlmsg.EINVAL
		}
		b.mcastRouter = a.u8()
	}
	if a := data.get(iflaBrMcastSnooping); a != nil && b.mcastSnooping != (a.u8() != 0) { // br_multicast_toggle
		b.mcastSnooping = !b.mcastSnooping
		if !b.mcastSnooping || b.dev.flags&iffUp != 0 {
			k.brMulticastSnoopers(b, b.mcastSnooping)
		}
	}
	for _, o := range []struct {
		attr int
		v    *bool
	}{{iflaBrMcastQueryUseIfaddr, &b.mcastIfaddr}, {iflaBrMcastQuerier, &b.mcastQuerier},
		{iflaBrMcastStatsEnabled, &b.mcastStats}} {
		if a := data.get(o.attr); a != nil {
			*o.v = a.u8() != 0
		}
	}
	for _, o := range []struct {
		attr int
		v    *uint32
	}{{iflaBrMcastHashMax, &b.hashMax}, {iflaBrMcastLastMemberCnt, &b.lastMemberCnt}, {iflaBrMcastStartupQueryCnt, &b.startupQueryCnt}} {
		if a := data.get(o.attr); a != nil {
			*o.v = a.u32()
		}
	}
	for i := range b.mcastIntervals {
		a := data.get(iflaBrMcastLastMemberIntvl + i)
		if a == nil {
			continue
		}
		t := clockTToJiffies(a.u64())
		if attr := iflaBrMcastLastMemberIntvl + i; k.has(queryIntvlMin) && (attr == iflaBrMcastQueryIntvl || attr == iflaBrMcastStartupQueryIntvl) {
			t = max(t, hz) // BR_MULTICAST_QUERY_INTVL_MIN
		}
		b.mcastIntervals[i] = t
	}
	if a := data.get(iflaBrMcastIgmpVersion); a != nil {
		if a.u8() != 2 && a.u8() != 3 {
			return nlmsg.EINVAL
		}
		b.igmpVersion = a.u8()
	}
	if a := data.get(iflaBrMcastMldVersion); a != nil {
		if a.u8() != 1 && a.u8() != 2 {
			return nlmsg.EINVAL
		}
		b.mldVersion = a.u8()
	}
	return 0
}

// booloptMask are the options that there are: BR_BOOLOPT_MAX.
func (k *Kernel) booloptMask() uint32 {
	switch {
	case k.has(boolFdbLocalVlan):
		return 0x1f
	case k.has(boolMdbOffload):
		return 0x0f
	case k.has(bridgeMst):
		return 0x07
	case k.has(boolMcastVlan):
		return 0x03
	}
	return 0x01
}

// brBooloptMultiToggle is net/bridge/br.c br_boolopt_multi_toggle.
func (k *Kernel) brBooloptMultiToggle(b *netBridge, value, mask uint32, x *extAck) errno {
	if !k.has(boolUnknown) {
		mask &= k.booloptMask()
	}
	for m := mask; m != 0; m &= m - 1 {
		opt := bits.TrailingZeros32(m)
		if k.booloptMask()>>opt&1 == 0 {
			x.set("bridge: Unknown boolean option " + strconv.Itoa(opt))
			return nlmsg.EINVAL
		}
		on := value>>opt&1 != 0
		if on == (b.boolopts>>opt&1 != 0) {
			continue
		}
		switch {
		case opt == boolMcastVlanSnooping && on && !b.vlanFiltering:
			x.set("bridge: Cannot enable multicast vlan snooping with vlan filtering disabled")
			return nlmsg.EINVAL
		case opt == boolMstEnable && len(b.vlans.list) > 0:
			x.set("MST mode can't be changed while VLANs exist")
			return nlmsg.EBUSY
		}
		b.boolopts ^= 1 << opt
	}
	return 0
}

// brFillInfo is net/bridge/br_netlink.c br_fill_info.
func (k *Kernel) brFillInfo(skb *skBuff, d *netDevice) errno {
	b := d.bridge()
	if b == nil {
		return nlmsg.EINVAL
	}
	for t := uint16(iflaBrHelloTimer); t <= iflaBrGcTimer; t++ {
		skb.nlaPutU64(t, 0)
	}
	skb.nlaPutU32(iflaBrForwardDelay, uint32(jiffiesToClockT(b.forwardDelay)))
	skb.nlaPutU32(iflaBrHelloTime, uint32(jiffiesToClockT(b.helloTime)))
	skb.nlaPutU32(iflaBrMaxAge, uint32(jiffiesToClockT(b.maxAge)))
	skb.nlaPutU32(iflaBrAgeingTime, uint32(jiffiesToClockT(b.ageingTime)))
	skb.nlaPutU32(iflaBrStpState, b.stp)
	skb.nlaPutU16(iflaBrPriority, b.bridgeID.prio())
	skb.nlaPutU8(iflaBrVlanFiltering, bit(b.vlanFiltering))
	skb.nlaPutU16(iflaBrGroupFwdMask, b.groupFwdMask)
	skb.nlaPut(iflaBrBridgeID, b.bridgeID[:])
	skb.nlaPut(iflaBrRootID, b.root[:])
	skb.nlaPutU16(iflaBrRootPort, 0)
	skb.nlaPutU32(iflaBrRootPathCost, 0)
	skb.nlaPutU8(iflaBrTopologyChange, 0)
	skb.nlaPutU8(iflaBrTopologyChangeDetected, 0)
	skb.nlaPut(iflaBrGroupAddr, b.groupAddr[:])
	skb.nlaPut(iflaBrMultiBoolopt, native.AppendUint32(native.AppendUint32(nil, b.boolopts), k.booloptMask()))
	if k.has(brFdbLearned) {
		skb.nlaPutU32(iflaBrFdbNLearned, 0)
		skb.nlaPutU32(iflaBrFdbMaxLearned, b.fdbMaxLearned)
	}
	if k.has(brStpMode) {
		skb.nlaPutU32(iflaBrStpMode, b.stpMode)
	}
	skb.nlaPut(iflaBrVlanProtocol, []byte{byte(b.vlanProto >> 8), byte(b.vlanProto)})
	skb.nlaPutU16(iflaBrVlanDefaultPvid, b.defaultPvid)
	skb.nlaPutU8(iflaBrVlanStatsEnabled, bit(b.vlanStats))
	skb.nlaPutU8(iflaBrVlanStatsPerPort, bit(b.vlanStatsPerPort))
	skb.nlaPutU8(iflaBrMcastRouter, b.mcastRouter)
	skb.nlaPutU8(iflaBrMcastSnooping, bit(b.mcastSnooping))
	skb.nlaPutU8(iflaBrMcastQueryUseIfaddr, bit(b.mcastIfaddr))
	skb.nlaPutU8(iflaBrMcastQuerier, bit(b.mcastQuerier))
	skb.nlaPutU8(iflaBrMcastStatsEnabled, bit(b.mcastStats))
	skb.nlaPutU32(iflaBrMcastHashElasticity, 16)
	skb.nlaPutU32(iflaBrMcastHashMax, b.hashMax)
	skb.nlaPutU32(iflaBrMcastLastMemberCnt, b.lastMemberCnt)
	skb.nlaPutU32(iflaBrMcastStartupQueryCnt, b.startupQueryCnt)
	skb.nlaPutU8(iflaBrMcastIgmpVersion, b.igmpVersion)
	skb.nlaPutU8(iflaBrMcastMldVersion, b.mldVersion)
	for i, t := range b.mcastIntervals {
		skb.nlaPutU64(uint16(iflaBrMcastLastMemberIntvl+i), jiffiesToClockT(t))
	}
	for i, on := range b.nfCall {
		skb.nlaPutU8(uint16(iflaBrNfCallIptables+i), bit(on))
	}
	return 0
}
