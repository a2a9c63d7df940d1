package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Attributes of a link (include/uapi/linux/if_link.h IFLA_*).
const (
	iflaUnspec = iota
	iflaAddress
	iflaBroadcast
	iflaIfname
	iflaMtu
	iflaLink
	iflaQdisc
	iflaStats
	iflaCost
	iflaPriority
	iflaMaster
	iflaWireless
	iflaProtinfo
	iflaTxqlen
	iflaMap
	iflaWeight
	iflaOperstate
	iflaLinkmode
	iflaLinkinfo
	iflaNetNsPid
	iflaIfalias
	iflaNumVf
	iflaVfinfoList
	iflaStats64
	iflaVfPorts
	iflaPortSelf
	iflaAfSpec
	iflaGroup
	iflaNetNsFd
	iflaExtMask
	iflaPromiscuity
	iflaNumTxQueues
	iflaNumRxQueues
	iflaCarrier
	iflaPhysPortID
	iflaCarrierChanges
	iflaPhysSwitchID
	iflaLinkNetnsid
	iflaPhysPortName
	iflaProtoDown
	iflaGsoMaxSegs
	iflaGsoMaxSize
	iflaPad
	iflaXdp
	iflaEvent
	iflaNewNetnsid
	iflaTargetNetnsid
	iflaCarrierUpCount
	iflaCarrierDownCount
	iflaNewIfindex
	iflaMinMtu
	iflaMaxMtu
	iflaPropList
	iflaAltIfname
	iflaPermAddress
	iflaProtoDownReason
	iflaParentDevName
	iflaParentDevBusName
	iflaGroMaxSize
	iflaTsoMaxSize
	iflaTsoMaxSegs
	iflaAllmulti
	iflaDevlinkPort
	iflaGsoIpv4MaxSize
	iflaGroIpv4MaxSize
	iflaDpllPin
	iflaMaxPacingOffloadHorizon
	iflaNetnsImmutable
	iflaHeadroom
	iflaTailroom
)

// Attributes of IFLA_LINKINFO.
const (
	iflaInfoKind = 1 + iota
	iflaInfoData
	iflaInfoXstats
	iflaInfoSlaveKind
	iflaInfoSlaveData
)

// Attributes of IFLA_XDP and of IFLA_PROTO_DOWN_REASON.
const (
	iflaXdpFd = 1 + iota
	iflaXdpAttached
	iflaXdpFlags
	iflaXdpProgID

	iflaProtoDownReasonMask  = 1
	iflaProtoDownReasonValue = 2
)

// Bits of IFLA_EXT_MASK (include/uapi/linux/rtnetlink.h RTEXT_FILTER_*).
const (
	rtextFilterVf        = 1 << 0
	rtextFilterBrvlan    = 1 << 1
	rtextFilterBrvlanC   = 1 << 2 // RTEXT_FILTER_BRVLAN_COMPRESSED
	rtextFilterSkipStats = 1 << 3
	rtextFilterMrp       = 1 << 4
	rtextFilterCfmConfig = 1 << 5
	rtextFilterCfmStatus = 1 << 6
	rtextFilterMst       = 1 << 7
	rtextFilterNameOnly  = 1 << 8
)

// Lengths.
const (
	ifnamsiz      = 16
	altifnamsiz   = 128
	ifaliasz      = 256
	maxAddrLen    = 32
	maxPhysItemID = 32
	sizeofIfinfo  = 16 // struct ifinfomsg
	sizeofIfmap   = 32 // struct rtnl_link_ifmap
	maxTCPHeader  = 256
)

// ifinfomsg is the fixed header of messages of links (struct ifinfomsg).
type ifinfomsg struct {
	family uint8
	pad    uint8
	typ    uint16
	index  int32
	flags  uint32
	change uint32
}

// parseIfinfomsg reads a header; what is missing of a shorter one is 0.
func parseIfinfomsg(b []byte) (m ifinfomsg) {
	var f [sizeofIfinfo]byte
	copy(f[:], b)
	return ifinfomsg{f[0], f[1], native.Uint16(f[2:]), int32(native.Uint32(f[4:])), native.Uint32(f[8:]), native.Uint32(f[12:])}
}

func (m ifinfomsg) bytes() []byte {
	b := []byte{m.family, m.pad}
	b = native.AppendUint16(b, m.typ)
	b = native.AppendUint32(b, uint32(m.index))
	b = native.AppendUint32(b, m.flags)
	return native.AppendUint32(b, m.change)
}

// iflaMax is IFLA_MAX: each release knows the attributes up to one.
func (k *Kernel) iflaMax() int {
	for _, m := range []struct {
		q   quirk
		max int
	}{
		{linkHeadroom, iflaTailroom}, {linkNetnsImmutable, iflaNetnsImmutable}, {linkPacingHorizon, iflaMaxPacingOffloadHorizon},
		{linkDpllPin, iflaDpllPin}, {linkGsoIpv4, iflaGroIpv4MaxSize}, {linkDevlinkPort, iflaDevlinkPort},
		{linkAllmulti, iflaAllmulti}, {linkTsoMax, iflaTsoMaxSegs}, {linkGroMax, iflaGroMaxSize}, {linkParentDev, iflaParentDevBusName},
	} {
		if k.has(m.q) {
			return m.max
		}
	}
	return iflaProtoDownReason
}

// newIflaPolicy is net/core/rtnetlink.c ifla_policy.
func (k *Kernel) newIflaPolicy() policy {
	p := make(policy, iflaTailroom+1)
	for _, t := range []int{iflaMtu, iflaLink, iflaMaster, iflaTxqlen, iflaWeight, iflaNetNsPid, iflaNetNsFd, iflaExtMask, iflaPromiscuity,
		iflaNumTxQueues, iflaNumRxQueues, iflaGsoMaxSegs, iflaGsoMaxSize, iflaCarrierChanges, iflaEvent, iflaGroup, iflaCarrierUpCount,
		iflaCarrierDownCount, iflaMinMtu, iflaMaxMtu, iflaGroMaxSize, iflaGsoIpv4MaxSize, iflaGroIpv4MaxSize} {
		p[t].typ = nlaU32
	}
	for _, t := range []int{iflaCarrier, iflaOperstate, iflaLinkmode, iflaProtoDown} {
		p[t].typ = nlaU8
	}
	for _, t := range []int{iflaLinkinfo, iflaVfinfoList, iflaVfPorts, iflaPortSelf, iflaAfSpec, iflaXdp, iflaPropList, iflaProtoDownReason} {
		p[t].typ = nlaNested
	}
	for _, t := range []int{iflaLinkNetnsid, iflaTargetNetnsid} {
		p[t].typ = nlaS32
	}
	for _, t := range []int{iflaPermAddress, iflaTsoMaxSize, iflaTsoMaxSegs, iflaAllmulti, iflaNetnsImmutable,
		iflaHeadroom, iflaTailroom} {
		p[t].typ = nlaReject
	}
	for _, t := range []int{iflaAddress, iflaBroadcast, iflaPhysPortID, iflaPhysSwitchID} {
		p[t] = nlaPolicy{typ: nlaBinary, len: maxAddrLen}
	}
	p[iflaIfname] = nlaPolicy{typ: nlaString, len: ifnamsiz - 1}
	p[iflaAltIfname] = nlaPolicy{typ: nlaString, len: altifnamsiz - 1}
	p[iflaIfalias] = nlaPolicy{typ: nlaBinary, len: ifaliasz - 1}
	p[iflaMap] = nlaPolicy{len: sizeofIfmap}
	if k.has(linkParentDev) {
		p[iflaParentDevName].typ = nlaNulString
	}
	if k.has(linkNewIfindex) {
		p[iflaNewIfindex] = nlaPolicy{typ: nlaS32, check: validateMin, min: 1}
	}
	if k.has(gsoMaxSizeChecked) {
		p[iflaGsoMaxSize] = nlaPolicy{typ: nlaU32, check: validateMin, min: maxTCPHeader + 1}
		p[iflaGsoIpv4MaxSize] = p[iflaGsoMaxSize]
	}
	if k.has(txqlenChecked) {
		p[iflaTxqlen] = nlaPolicy{typ: nlaU32, check: validateMax, max: 0x7fff}
	}
	if k.has(linkPacingHorizon) {
		p[0].len = iflaDpllPin
	}
	return p[:k.iflaMax()+1]
}

// iflaInfoPolicy is net/core/rtnetlink.c ifla_info_policy.
var iflaInfoPolicy = policy{
	iflaInfoKind:      {typ: nlaString},
	iflaInfoData:      {typ: nlaNested},
	iflaInfoXstats:    {},
	iflaInfoSlaveKind: {typ: nlaString},
	iflaInfoSlaveData: {typ: nlaNested},
}

// nlaTotalSize is how long an attribute with a payload of n bytes gets
// (include/net/netlink.h nla_total_size).
func nlaTotalSize(n int) int { return nlmsg.Align(4 + n) }
