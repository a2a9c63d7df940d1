package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Operational states (include/uapi/linux/if.h IF_OPER_*).
const (
	ifOperUnknown = iota
	ifOperNotpresent
	ifOperDown
	ifOperLowerlayerdown
	ifOperTesting
	ifOperDormant
	ifOperUp
)

// devGetFlags is the flags of a link as they are told (net/core/dev.c
// dev_get_flags).
func (d *netDevice) devGetFlags() uint32 {
	f := d.flags&^(iffPromisc|iffAllmulti|iffRunning|iffLowerUp|iffDormant) | d.gflags&(iffPromisc|iffAllmulti)
	if d.flags&iffUp == 0 {
		return f
	}
	if d.operstate == ifOperUp || d.operstate == ifOperUnknown {
		f |= iffRunning
	}
	if d.carrier {
		f |= iffLowerUp
	}
	if d.dormant {
		f |= iffDormant
	}
	return f
}

// fillIfinfo says what rtnlFillIfinfo puts beyond the link itself.
type fillIfinfo struct {
	typ         uint16
	portid, seq uint32
	flags       uint16
	change      uint32
	mask        uint32 // IFLA_EXT_MASK
	event       uint32 // IFLA_EVENT, 0 for none
	newNsid     *int   // IFLA_NEW_NETNSID
	newIfindex  int    // IFLA_NEW_IFINDEX, 0 for none
	// srcNet is the namespace of whoever is told.
	srcNet *netns
	// tgtNetnsid is IFLA_TARGET_NETNSID, if tgtSet.
	tgtNetnsid int
	tgtSet     bool
}

// rtnlFillIfinfo puts a message of a link (net/core/rtnetlink.c
// rtnl_fill_ifinfo).
func (k *Kernel) rtnlFillIfinfo(skb *skBuff, d *netDevice, f *fillIfinfo) errno {
	defer k.enter("rtnl_fill_ifinfo")()
	head := ifinfomsg{family: pfUnspec, typ: d.typ, index: int32(d.index), flags: d.devGetFlags(), change: f.change}
	p := skb.nlmsgPut(f.portid, f.seq, f.typ, f.flags, head.bytes())
	namesFirst := k.has(linkNamesFirst)
	if f.tgtSet && !namesFirst {
		skb.nlaPutU32(iflaTargetNetnsid, uint32(f.tgtNetnsid))
	}
	skb.nlaPutString(iflaIfname, d.name)
	if namesFirst {
		d.fillPropList(skb)
		if f.mask&rtextFilterNameOnly != 0 {
			return p.end()
		}
		if f.tgtSet {
			skb.nlaPutU32(iflaTargetNetnsid, uint32(f.tgtNetnsid))
		}
	}
	k.fillNumbers(skb, d)
	if f.event != 0 {
		skb.nlaPutU32(iflaEvent, f.event)
	}
	late := k.has(linkWithoutRtnl)
	if !late {
		skb.nlaPut(iflaMap, make([]byte, sizeofIfmap))
	}
	if d.addrLen > 0 {
		skb.nlaPut(iflaAddress, d.addr)
		skb.nlaPut(iflaBroadcast, d.bcast)
	}
	if f.mask&rtextFilterSkipStats == 0 || !k.has(linkSkipStats) {
		k.rtnlFillStats(skb, d)
	}
	xdp := skb.nlaNestNoflag(iflaXdp)
	skb.nlaPutU8(iflaXdpAttached, 0)
	xdp.end()
	if d.ops != nil || d.master != nil && d.master.ops != nil {
		k.rtnlLinkFill(skb, d)
	}
	if !late {
		k.rtnlFillLinkNetnsid(skb, d, f.srcNet)
	}
	if f.newNsid != nil {
		skb.nlaPutU32(iflaNewNetnsid, uint32(*f.newNsid))
	}
	if f.newIfindex != 0 {
		skb.nlaPutU32(iflaNewIfindex, uint32(f.newIfindex))
	}
	if anySet(d.permAddr) {
		skb.nlaPut(iflaPermAddress, d.permAddr)
	}
	if late {
		k.rtnlFillLinkNetnsid(skb, d, f.srcNet)
	}
	if late {
		skb.nlaPutString(iflaQdisc, d.qdisc.ops.id)
	}
	k.rtnlFillLinkAf(skb, d, f.mask)
	if late {
		skb.nlaPut(iflaMap, make([]byte, sizeofIfmap))
	}
	if !namesFirst {
		d.fillPropList(skb)
	}
	if k.has(linkDevlinkPort) {
		skb.nlaNest(iflaDevlinkPort).end()
	}
	if k.has(linkDpllPin) {
		skb.nlaNest(iflaDpllPin).end()
	}
	return p.end()
}

// fillNumbers puts what is a number or a string of the link itself.
func (k *Kernel) fillNumbers(skb *skBuff, d *netDevice) {
	skb.nlaPutU32(iflaTxqlen, d.txqlen)
	oper := uint8(ifOperDown)
	if d.flags&iffUp != 0 {
		oper = d.operstate
	}
	skb.nlaPutU8(iflaOperstate, oper)
	skb.nlaPutU8(iflaLinkmode, d.linkmode)
	if k.has(linkNetnsImmutable) {
		skb.nlaPutU8(iflaNetnsImmutable, bit(d.netnsImmutable))
	}
	skb.nlaPutU32(iflaMtu, d.mtu)
	skb.nlaPutU32(iflaMinMtu, d.minMtu)
	skb.nlaPutU32(iflaMaxMtu, d.maxMtu)
	skb.nlaPutU32(iflaGroup, d.group)
	skb.nlaPutU32(iflaPromiscuity, d.promiscuity)
	if k.has(linkAllmulti) {
		skb.nlaPutU32(iflaAllmulti, d.allmulti)
	}
	skb.nlaPutU32(iflaNumTxQueues, uint32(d.txq))
	skb.nlaPutU32(iflaGsoMaxSegs, d.gsoMaxSegs)
	skb.nlaPutU32(iflaGsoMaxSize, d.gsoMaxSize)
	if k.has(linkGroMax) {
		skb.nlaPutU32(iflaGroMaxSize, d.groMaxSize)
	}
	if k.has(linkGsoIpv4) {
		skb.nlaPutU32(iflaGsoIpv4MaxSize, d.gsoIpv4MaxSize)
		skb.nlaPutU32(iflaGroIpv4MaxSize, d.groIpv4MaxSize)
	}
	if k.has(linkTsoMax) {
		skb.nlaPutU32(iflaTsoMaxSize, d.tsoMaxSize)
		skb.nlaPutU32(iflaTsoMaxSegs, d.tsoMaxSegs)
	}
	if k.has(linkPacingHorizon) {
		skb.nlaPutU32(iflaMaxPacingOffloadHorizon, 0)
	}
	skb.nlaPutU32(iflaNumRxQueues, uint32(d.rxq))
	if d.master != nil {
		skb.nlaPutU32(iflaMaster, uint32(d.master.index))
	}
	skb.nlaPutU8(iflaCarrier, bit(d.carrier))
	if !k.has(linkWithoutRtnl) {
		skb.nlaPutString(iflaQdisc, d.qdisc.ops.id)
	}
	if d.alias != "" {
		skb.nlaPutString(iflaIfalias, d.alias)
	}
	skb.nlaPutU32(iflaCarrierChanges, d.carrierUp+d.carrierDown)
	skb.nlaPutU32(iflaCarrierUpCount, d.carrierUp)
	skb.nlaPutU32(iflaCarrierDownCount, d.carrierDown)
	if k.has(linkHeadroom) {
		skb.nlaPutU16(iflaHeadroom, d.neededHeadroom)
		skb.nlaPutU16(iflaTailroom, d.neededTailroom)
	}
	skb.nlaPutU8(iflaProtoDown, bit(d.protoDown))
	if d.protoDownReason != 0 {
		n := skb.nlaNestNoflag(iflaProtoDownReason)
		skb.nlaPutU32(iflaProtoDownReasonValue, d.protoDownReason)
		n.end()
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func anySet(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return true
		}
	}
	return false
}

// fillPropList puts the other names of a link (net/core/rtnetlink.c
// rtnl_fill_prop_list).
func (d *netDevice) fillPropList(skb *skBuff) {
	if len(d.altnames) == 0 {
		return
	}
	n := skb.nlaNest(iflaPropList)
	for _, name := range d.altnames {
		skb.nlaPutString(iflaAltIfname, name)
	}
	n.end()
}

// rtnlFillStats puts counters that have counted nothing (net/core/rtnetlink.c
// rtnl_fill_stats).
func (k *Kernel) rtnlFillStats(skb *skBuff, d *netDevice) {
	skb.nlaPut(iflaStats64, make([]byte, k.sizeofStats64()))
	skb.nlaPut(iflaStats, make([]byte, sizeofStats))
}

// sizeofStats is that of a struct rtnl_link_stats.
const sizeofStats = 24 * 4

// sizeofStats64 is that of a struct rtnl_link_stats64.
func (k *Kernel) sizeofStats64() int {
	if k.has(rxOtherhostDropped) {
		return 25 * 8
	}
	return 24 * 8
}

// rtnlLinkFill puts IFLA_LINKINFO (net/core/rtnetlink.c rtnl_link_fill).
func (k *Kernel) rtnlLinkFill(skb *skBuff, d *netDevice) {
	defer k.enter("rtnl_link_fill")()
	n := skb.nlaNestNoflag(iflaLinkinfo)
	if ops := d.ops; ops != nil {
		skb.nlaPutString(iflaInfoKind, ops.kind)
		if ops.fillXstats != nil && ops.fillXstats(skb, d) != 0 {
			n.cancel()
			return
		}
		if ops.fillInfo != nil {
			data := skb.nlaNestNoflag(iflaInfoData)
			if ops.fillInfo(skb, d) != 0 {
				n.cancel()
				return
			}
			data.end()
		}
	}
	if m := d.master; m != nil && m.ops != nil {
		skb.nlaPutString(iflaInfoSlaveKind, m.ops.kind)
		if m.ops.fillSlaveInfo != nil {
			data := skb.nlaNestNoflag(iflaInfoSlaveData)
			if m.ops.fillSlaveInfo(skb, m, d) != 0 {
				n.cancel()
				return
			}
			data.end()
		}
	}
	n.end()
}

// rtnlFillLinkNetnsid puts the link that a link is on, and its namespace if that is
// another one (net/core/rtnetlink.c rtnl_fill_link_netnsid).
func (k *Kernel) rtnlFillLinkNetnsid(skb *skBuff, d *netDevice, src *netns) {
	iflink, n := d.getIflink()
	far := n != d.net
	if far {
		skb.nlaPutU32(iflaLinkNetnsid, uint32(src.peernet2idAlloc(n)))
	}
	if far || iflink != d.index {
		skb.nlaPutU32(iflaLink, uint32(iflink))
	}
}

// rtnlFillLinkAf puts IFLA_AF_SPEC (net/core/rtnetlink.c rtnl_fill_link_af).
func (k *Kernel) rtnlFillLinkAf(skb *skBuff, d *netDevice, mask uint32) {
	n := skb.nlaNestNoflag(iflaAfSpec)
	for _, ops := range k.afOps {
		if ops.fillLink == nil {
			continue
		}
		af := skb.nlaNestNoflag(uint16(ops.family))
		if ops.fillLink(skb, d, mask) == nlmsg.ENODATA {
			af.cancel()
			continue
		}
		af.end()
	}
	n.end()
}
