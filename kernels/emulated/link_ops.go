package emulated

// rtnlLinkOps is a kind of links (include/net/rtnetlink.h struct rtnl_link_ops). A
// hook that a kind does not have is nil.
type rtnlLinkOps struct {
	kind        string
	setup       func(*netDevice)                                                          // nil: such a link cannot be made
	policy      policy                                                                    // of IFLA_INFO_DATA
	validate    func(tb, data attrTable, x *extAck) errno                                 // before the link is made or changed
	newlink     func(d *netDevice, p *newlinkParams, tb, data attrTable, x *extAck) errno // nil: it is only registered
	changelink  func(d *netDevice, tb, data attrTable, x *extAck) errno
	dellink     func(d *netDevice) []*netDevice // what goes with it, and itself; nil: nothing else
	netnsRefund bool                            // its links go with their namespace, not back to the first
	peerType    int                             // the attribute of data that has a peer's ifinfomsg; 0 for none

	getSize  func(d *netDevice) int // of what fillInfo puts
	fillInfo func(skb *skBuff, d *netDevice) errno
	// getXstatsSize and fillXstats are for IFLA_INFO_XSTATS, which fillXstats puts
	// with its header.
	getXstatsSize func(d *netDevice) int
	fillXstats    func(skb *skBuff, d *netDevice) errno

	slavePolicy     policy // of IFLA_INFO_SLAVE_DATA
	slaveChangelink func(master, d *netDevice, tb, data attrTable, x *extAck) errno
	getSlaveSize    func(master, d *netDevice) int
	fillSlaveInfo   func(skb *skBuff, master, d *netDevice) errno

	// getLinkxstatsSize and fillLinkxstats are for RTM_GETSTATS. attr is
	// IFLA_STATS_LINK_XSTATS or that of a slave.
	getLinkxstatsSize func(d *netDevice, attr int) int
	fillLinkxstats    func(skb *skBuff, d *netDevice, attr int) errno
}

// rtnlLinkRegister is net/core/rtnetlink.c rtnl_link_register.
func (k *Kernel) rtnlLinkRegister(ops *rtnlLinkOps) {
	defer k.enter("rtnl_link_register")()
	if k.rtnlLinkOpsGet(ops.kind) != nil {
		panic("emulated: the kind " + ops.kind + " is registered twice")
	}
	if ops.setup != nil && ops.dellink == nil {
		ops.dellink = func(d *netDevice) []*netDevice { return []*netDevice{d} }
	}
	k.linkOps = append(k.linkOps, ops)
}

// rtnlLinkOpsGet is net/core/rtnetlink.c rtnl_link_ops_get.
func (k *Kernel) rtnlLinkOpsGet(kind string) *rtnlLinkOps {
	for _, ops := range k.linkOps {
		if ops.kind == kind {
			return ops
		}
	}
	return nil
}

// rtnlAfOps is what a family of addresses says of a link in IFLA_AF_SPEC, and what
// it takes there (include/net/rtnetlink.h struct rtnl_af_ops).
type rtnlAfOps struct {
	family   int
	fillLink func(skb *skBuff, d *netDevice, mask uint32) errno // ENODATA: nothing
	size     func(d *netDevice, mask uint32) int
	validate func(d *netDevice, a *nlattr, x *extAck) errno // d is nil for a link that is yet to be made
	set      func(d *netDevice, a *nlattr, x *extAck) errno
}

// rtnlAfRegister is net/core/rtnetlink.c rtnl_af_register.
func (k *Kernel) rtnlAfRegister(ops *rtnlAfOps) { k.afOps = append(k.afOps, ops) }

// rtnlAfLookup is net/core/rtnetlink.c rtnl_af_lookup.
func (k *Kernel) rtnlAfLookup(family int) *rtnlAfOps {
	for _, ops := range k.afOps {
		if ops.family == family {
			return ops
		}
	}
	return nil
}
