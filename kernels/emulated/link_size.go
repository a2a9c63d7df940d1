package emulated

// ifNlmsgSize is the room that is made for a message of a link, which decides what it
// counts for in a receive buffer (net/core/rtnetlink.c if_nlmsg_size).
func (k *Kernel) ifNlmsgSize(d *netDevice, mask uint32) int {
	const (
		u8s = 3 // IFLA_CARRIER, IFLA_OPERSTATE, IFLA_LINKMODE
		// u32s are IFLA_TXQLEN, _WEIGHT, _MTU, _LINK, _MASTER, _PROMISCUITY, _NUM_TX_QUEUES, _NUM_RX_QUEUES,
		// _GSO_MAX_SEGS, _GSO_MAX_SIZE, _CARRIER_CHANGES, _LINK_NETNSID, _GROUP, _EVENT, _NEW_NETNSID,
		// _NEW_IFINDEX, _TARGET_NETNSID, _CARRIER_UP_COUNT, _CARRIER_DOWN_COUNT, _MIN_MTU and _MAX_MTU.
		u32s = 21
	)
	size := sizeofIfinfo +
		3*nlaTotalSize(ifnamsiz) + // IFLA_IFNAME, IFLA_QDISC, IFLA_PHYS_PORT_NAME
		nlaTotalSize(ifaliasz) +
		nlaTotalSize(sizeofIfmap) +
		nlaTotalSize(sizeofStats) + nlaTotalSize(k.sizeofStats64()) +
		3*nlaTotalSize(maxAddrLen) + // IFLA_ADDRESS, IFLA_BROADCAST, IFLA_PERM_ADDRESS
		2*nlaTotalSize(maxPhysItemID) + // IFLA_PHYS_PORT_ID, IFLA_PHYS_SWITCH_ID
		u8s*nlaTotalSize(1) + u32s*nlaTotalSize(4) +
		nlaTotalSize(0) + nlaTotalSize(1) + nlaTotalSize(4) + // IFLA_XDP
		nlaTotalSize(1) // IFLA_PROTO_DOWN
	if d.protoDownReason != 0 {
		size += nlaTotalSize(0) + nlaTotalSize(4)
	}
	if mask&rtextFilterVf != 0 {
		size += nlaTotalSize(4)
	} else {
		size += nlaTotalSize(0)
	}
	for _, x := range []struct {
		q quirk
		n int
	}{
		{linkGroMax, nlaTotalSize(4)}, {linkTsoMax, 2 * nlaTotalSize(4)}, {linkAllmulti, nlaTotalSize(4)},
		{linkDevlinkPort, nlaTotalSize(0)}, {linkGsoIpv4, 2 * nlaTotalSize(4)}, {linkDpllPin, nlaTotalSize(0)},
		{linkPacingHorizon, nlaTotalSize(4)}, {linkNetnsImmutable, nlaTotalSize(1)}, {linkHeadroom, 2 * nlaTotalSize(2)},
	} {
		if k.has(x.q) {
			size += x.n
		}
	}
	if len(d.altnames) > 0 {
		size += nlaTotalSize(0) + len(d.altnames)*nlaTotalSize(altifnamsiz)
	}
	return size + rtnlLinkGetSize(d) + k.rtnlLinkGetAfSize(d, mask)
}

// rtnlLinkGetSize is for IFLA_LINKINFO (net/core/rtnetlink.c rtnl_link_get_size).
func rtnlLinkGetSize(d *netDevice) int {
	ops := d.ops
	if ops == nil {
		return 0
	}
	size := nlaTotalSize(4) + nlaTotalSize(len(ops.kind)+1)
	if ops.getSize != nil {
		size += nlaTotalSize(4) + ops.getSize(d)
	}
	if ops.getXstatsSize != nil {
		size += nlaTotalSize(ops.getXstatsSize(d))
	}
	if m := d.master; m != nil && m.ops != nil && m.ops.getSlaveSize != nil {
		size += nlaTotalSize(4) + m.ops.getSlaveSize(m, d)
	}
	return size
}

// rtnlLinkGetAfSize is for IFLA_AF_SPEC (net/core/rtnetlink.c
// rtnl_link_get_af_size).
func (k *Kernel) rtnlLinkGetAfSize(d *netDevice, mask uint32) int {
	size := nlaTotalSize(4)
	for _, ops := range k.afOps {
		if ops.size != nil {
			size += nlaTotalSize(4) + ops.size(d, mask)
		}
	}
	return size
}
