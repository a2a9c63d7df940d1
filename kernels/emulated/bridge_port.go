package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Attributes of a port (include/uapi/linux/if_link.h IFLA_BRPORT_*).
const (
	iflaBrportState = 1 + iota
	iflaBrportPriority
	iflaBrportCost
	iflaBrportMode
	iflaBrportGuard
	iflaBrportProtect
	iflaBrportFastLeave
	iflaBrportLearning
	iflaBrportUnicastFlood
	iflaBrportProxyarp
	iflaBrportLearningSync
	iflaBrportProxyarpWifi
	iflaBrportRootID
	iflaBrportBridgeID
	iflaBrportDesignatedPort
	iflaBrportDesignatedCost
	iflaBrportID
	iflaBrportNo
	iflaBrportTopologyChangeAck
	iflaBrportConfigPending
	iflaBrportMessageAgeTimer
	iflaBrportForwardDelayTimer
	iflaBrportHoldTimer
	iflaBrportFlush
	iflaBrportMulticastRouter
	iflaBrportPad
	iflaBrportMcastFlood
	iflaBrportMcastToUcast
	iflaBrportVlanTunnel
	iflaBrportBcastFlood
	iflaBrportGroupFwdMask
	iflaBrportNeighSuppress
	iflaBrportIsolated
	iflaBrportBackupPort
	iflaBrportMrpRingOpen
	iflaBrportMrpInOpen
	iflaBrportMcastEhtHostsLimit
	iflaBrportMcastEhtHostsCnt
	iflaBrportLocked
	iflaBrportMab
	iflaBrportMcastNGroups
	iflaBrportMcastMaxGroups
	iflaBrportNeighVlanSuppress
	iflaBrportBackupNhid
	iflaBrportNeighForwardGrat
)

// brPortInfoSize is net/bridge/br_netlink.c br_port_info_size.
const brPortInfoSize = 360

// brPortFlags are the flags of a port that are an attribute each, in the order in
// which they are set.
var brPortFlags = []struct {
	attr int
	flag uint32
}{
	{iflaBrportMode, brHairpinMode}, {iflaBrportGuard, brBpduGuard}, {iflaBrportFastLeave, brMulticastFastLeave},
	{iflaBrportProtect, brRootBlock}, {iflaBrportLearning, brLearning}, {iflaBrportUnicastFlood, brFlood},
	{iflaBrportMcastFlood, brMcastFlood}, {iflaBrportMcastToUcast, brMulticastToUnicast}, {iflaBrportBcastFlood, brBcastFlood},
	{iflaBrportProxyarp, brProxyarp}, {iflaBrportProxyarpWifi, brProxyarpWifi}, {iflaBrportVlanTunnel, brVlanTunnel},
	{iflaBrportNeighSuppress, brNeighSuppress}, {iflaBrportIsolated, brIsolated}, {iflaBrportLocked, brPortLocked},
	{iflaBrportMab, brPortMab}, {iflaBrportNeighVlanSuppress, brNeighVlanSuppress}, {iflaBrportNeighForwardGrat, brNeighForwardGrat},
}

// brPortMax is IFLA_BRPORT_MAX.
func (k *Kernel) brPortMax() int {
	for _, m := range []struct {
		q   quirk
		max int
	}{
		{brportNeighForwardGrat, iflaBrportNeighForwardGrat}, {brportBackupNhid, iflaBrportBackupNhid},
		{brportNeighVlan, iflaBrportNeighVlanSuppress}, {brportMcastGroups, iflaBrportMcastMaxGroups}, {brportMab, iflaBrportMab},
		{brportLocked, iflaBrportLocked}, {brportEht, iflaBrportMcastEhtHostsCnt},
	} {
		if k.has(m.q) {
			return m.max
		}
	}
	return iflaBrportMrpInOpen
}

// brPortPolicy is net/bridge/br_netlink.c br_port_policy.
func (k *Kernel) brPortPolicy() policy {
	p := make(policy, iflaBrportNeighForwardGrat+1)
	for _, f := range brPortFlags {
		p[f.attr].typ = nlaU8
	}
	for _, t := range []int{iflaBrportState, iflaBrportMulticastRouter} {
		p[t].typ = nlaU8
	}
	for _, t := range []int{iflaBrportPriority, iflaBrportGroupFwdMask} {
		p[t].typ = nlaU16
	}
	for _, t := range []int{iflaBrportCost, iflaBrportBackupPort, iflaBrportMcastEhtHostsLimit, iflaBrportMcastMaxGroups, iflaBrportBackupNhid} {
		p[t].typ = nlaU32
	}
	p[iflaBrportMcastNGroups].typ = nlaReject
	for _, t := range []int{iflaBrportNeighVlanSuppress, iflaBrportNeighForwardGrat} {
		p[t] = nlaPolicy{typ: nlaU8, check: validateMax, max: 1}
	}
	if k.has(brportLocked) {
		p[0].len = iflaBrportMcastEhtHostsLimit + 1
	}
	return p[:k.brPortMax()+1]
}

// brPortFillAttrs is net/bridge/br_netlink.c br_port_fill_attrs.
func (k *Kernel) brPortFillAttrs(skb *skBuff, p *bridgePort) {
	most := k.brPortMax()
	flag := func(attr int) {
		if attr > most {
			return
		}
		for _, f := range brPortFlags {
			if f.attr == attr {
				skb.nlaPutU8(uint16(attr), bit(p.flags&f.flag != 0))
			}
		}
	}
	skb.nlaPutU8(iflaBrportState, p.state)
	skb.nlaPutU16(iflaBrportPriority, p.priority)
	skb.nlaPutU32(iflaBrportCost, p.cost)
	for _, attr := range []int{iflaBrportMode, iflaBrportGuard, iflaBrportProtect, iflaBrportFastLeave, iflaBrportMcastToUcast,
		iflaBrportLearning, iflaBrportUnicastFlood, iflaBrportMcastFlood, iflaBrportBcastFlood, iflaBrportProxyarp, iflaBrportProxyarpWifi} {
		flag(attr)
	}
	skb.nlaPut(iflaBrportRootID, p.root[:])
	skb.nlaPut(iflaBrportBridgeID, p.bridge[:])
	skb.nlaPutU16(iflaBrportDesignatedPort, p.designatedPort)
	skb.nlaPutU16(iflaBrportDesignatedCost, 0)
	skb.nlaPutU16(iflaBrportID, p.id())
	skb.nlaPutU16(iflaBrportNo, p.no)
	skb.nlaPutU8(iflaBrportTopologyChangeAck, 0)
	skb.nlaPutU8(iflaBrportConfigPending, 0)
	flag(iflaBrportVlanTunnel)
	skb.nlaPutU16(iflaBrportGroupFwdMask, p.groupFwdMask)
	flag(iflaBrportNeighSuppress)
	skb.nlaPutU8(iflaBrportMrpRingOpen, 0)
	skb.nlaPutU8(iflaBrportMrpInOpen, 0)
	for _, attr := range []int{iflaBrportIsolated, iflaBrportLocked, iflaBrportMab, iflaBrportNeighVlanSuppress, iflaBrportNeighForwardGrat} {
		flag(attr)
	}
	for _, attr := range []uint16{iflaBrportMessageAgeTimer, iflaBrportForwardDelayTimer, iflaBrportHoldTimer} {
		skb.nlaPutU64(attr, 0)
	}
	skb.nlaPutU8(iflaBrportMulticastRouter, p.mcastRouter)
	if k.has(brportEht) {
		skb.nlaPutU32(iflaBrportMcastEhtHostsLimit, p.ehtHostsLimit)
		skb.nlaPutU32(iflaBrportMcastEhtHostsCnt, 0)
	}
	if k.has(brportMcastGroups) {
		skb.nlaPutU32(iflaBrportMcastNGroups, 0)
		skb.nlaPutU32(iflaBrportMcastMaxGroups, p.maxGroups)
	}
	if p.backup != nil {
		skb.nlaPutU32(iflaBrportBackupPort, uint32(p.backup.dev.index))
	}
	if p.backupNhid != 0 {
		skb.nlaPutU32(iflaBrportBackupNhid, p.backupNhid)
	}
}

// brSetport is net/bridge/br_netlink.c br_setport.
func (k *Kernel) brSetport(p *bridgePort, tb attrTable, x *extAck) errno {
	if p == nil {
		return nlmsg.EINVAL
	}
	old := p.flags
	for _, f := range brPortFlags {
		if a := tb.get(f.attr); a != nil {
			p.flags &^= f.flag
			if a.u8() != 0 {
				p.flags |= f.flag
			}
		}
	}
	if p.flags&brPortMab != 0 && p.flags&(brPortLocked|brLearning) != brPortLocked|brLearning {
		x.set("Bridge port must be locked and have learning enabled when MAB is enabled")
		p.flags = old
		return nlmsg.EINVAL
	}
	if (p.flags^old)&brAutoMask != 0 { // br_port_flags_change
		k.nbpUpdatePortCount(p.br)
	}
	if a := tb.get(iflaBrportCost); a != nil {
		if err := k.brStpSetPathCost(p, a.u32()); err != 0 {
			return err
		}
	}
	if a := tb.get(iflaBrportPriority); a != nil {
		if err := k.brStpSetPortPriority(p, a.u16()); err != 0 {
			return err
		}
	}
	if a := tb.get(iflaBrportState); a != nil {
		if err := k.brSetPortState(p, a.u8()); err != 0 {
			return err
		}
	}
	if tb.get(iflaBrportFlush) != nil {
		k.brFdbDeleteByPort(p.br, p, 0, false)
	}
	return k.brSetportMore(p, tb)
}

// brSetportMore is the rest of brSetport.
func (k *Kernel) brSetportMore(p *bridgePort, tb attrTable) errno {
	if a := tb.get(iflaBrportMulticastRouter); a != nil {
		if a.u8() > 3 {
			return nlmsg.EINVAL
		}
		p.mcastRouter = a.u8()
	}
	if a := tb.get(iflaBrportMcastEhtHostsLimit); a != nil {
		if a.u32() == 0 {
			return nlmsg.EINVAL
		}
		p.ehtHostsLimit = a.u32()
	}
	if a := tb.get(iflaBrportMcastMaxGroups); a != nil {
		p.maxGroups = a.u32()
	}
	if a := tb.get(iflaBrportGroupFwdMask); a != nil {
		if a.u16()&2 != 0 { // BR_GROUPFWD_MACPAUSE
			return nlmsg.EINVAL
		}
		p.groupFwdMask = a.u16()
	}
	if a := tb.get(iflaBrportBackupPort); a != nil {
		var d *netDevice
		if index := a.u32(); index != 0 {
			if d = p.dev.net.devGetByIndex(int(index)); d == nil {
				return nlmsg.ENOENT
			}
		}
		if err := p.nbpBackupChange(d); err != 0 {
			return err
		}
	}
	if a := tb.get(iflaBrportBackupNhid); a != nil {
		p.backupNhid = a.u32()
	}
	return 0
}
