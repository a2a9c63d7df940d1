package emulated

// Attributes of a bridge's statistics, in LINK_XSTATS_TYPE_BRIDGE
// (include/uapi/linux/if_bridge.h BRIDGE_XSTATS_*).
const (
	linkXstatsTypeBridge = 1

	bridgeXstatsVlan  = 1
	bridgeXstatsMcast = 2
	bridgeXstatsStp   = 4

	sizeofVlanXstats = 40  // struct bridge_vlan_xstats
	sizeofMcastStats = 240 // struct br_mcast_stats
	sizeofStpXstats  = 48  // struct bridge_stp_xstats
	vlanXstatsVid    = 32
	vlanXstatsFlags  = 34
)

// brXstatsOf is what the statistics of a bridge or, with those of a slave, of its
// port are of.
func brXstatsOf(d *netDevice, attr int) (vlans *vlanGroup, p *bridgePort) {
	if attr == iflaStatsLinkXstatsSlave {
		if d.port == nil {
			return nil, nil
		}
		return &d.port.vlans, d.port
	}
	return &d.bridge().vlans, nil
}

// brGetLinkxstatsSize is net/bridge/br_netlink.c br_get_linkxstats_size.
func brGetLinkxstatsSize(d *netDevice, attr int) int {
	vlans, p := brXstatsOf(d, attr)
	if vlans == nil {
		return 0
	}
	size := nlaTotalSize(0) + len(vlans.list)*nlaTotalSize(sizeofVlanXstats) + nlaTotalSize(sizeofMcastStats)
	if p != nil {
		size += nlaTotalSize(sizeofStpXstats)
	}
	return size
}

// brFillLinkxstats puts statistics that have counted nothing, and of which VLANs
// (net/bridge/br_netlink.c br_fill_linkxstats).
func brFillLinkxstats(skb *skBuff, d *netDevice, attr int) errno {
	vlans, p := brXstatsOf(d, attr)
	if vlans == nil {
		return 0
	}
	n := skb.nlaNestNoflag(linkXstatsTypeBridge)
	for _, v := range vlans.list {
		flags := vlans.infoFlags(v)
		if p == nil {
			flags |= vlanInfoMaster
			if v.use {
				flags |= vlanInfoBrentry
			}
		}
		var b [sizeofVlanXstats]byte
		native.PutUint16(b[vlanXstatsVid:], v.vid)
		native.PutUint16(b[vlanXstatsFlags:], flags)
		skb.nlaPut(bridgeXstatsVlan, b[:])
	}
	skb.nlaPut(bridgeXstatsMcast, make([]byte, sizeofMcastStats))
	if p != nil {
		skb.nlaPut(bridgeXstatsStp, make([]byte, sizeofStpXstats))
	}
	n.end()
	return 0
}
