package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// registerLinkKinds is what the modules of kinds of links register; a request for
// one loads its module (net/core/rtnetlink.c rtnl_newlink).
func (k *Kernel) registerLinkKinds() {
	for _, ops := range []*rtnlLinkOps{k.vethLinkOps(), k.dummyLinkOps(), k.vlanLinkOps(), k.macvlanLinkOps(), k.nlmonLinkOps(), k.wgLinkOps()} {
		k.rtnlLinkRegister(ops)
	}
	k.registerNetdeviceNotifier(k.vlanDeviceEvent)
	k.registerNetdeviceNotifier(k.macvlanDeviceEvent)
}

// nlmonLinkOps is drivers/net/nlmon.c nlmon_link_ops.
func (k *Kernel) nlmonLinkOps() *rtnlLinkOps {
	return &rtnlLinkOps{
		kind: "nlmon",
		setup: func(d *netDevice) {
			d.typ = arphrdNetlink
			d.flags = iffNoarp
			d.mtu, d.minMtu = goodSize, nlmsg.HeaderLen
		},
		validate: func(tb, data attrTable, x *extAck) errno {
			if tb.get(iflaAddress) != nil {
				return nlmsg.EINVAL
			}
			return 0
		},
	}
}

// wgOps is drivers/net/wireguard/device.c netdev_ops: a tunnel sends no redirects,
// and has no link-local address.
var wgOps = &netDeviceOps{open: func(d *netDevice) errno {
	if d.inDev != nil {
		d.inDev.cnf[ipv4SendRedirects] = 0
		d.net.state.inet.devconfAll[ipv4SendRedirects] = 0
	}
	if d.in6Dev != nil {
		d.in6Dev.cnf[ipv6AddrGenMode] = in6AddrGenModeNone
	}
	return 0
}}

// wgLinkOps is drivers/net/wireguard/device.c link_ops, without the generic netlink
// that configures it.
func (k *Kernel) wgLinkOps() *rtnlLinkOps {
	return &rtnlLinkOps{
		kind: "wireguard",
		setup: func(d *netDevice) {
			d.typ = arphrdNone
			d.flags = iffPointopoint | iffNoarp
			d.mtu, d.maxMtu = 1420, 1<<31-1-95
			d.neededHeadroom, d.neededTailroom = 128, 32
			if k.has(wgTsoMax) {
				d.tsoMaxSize = gsoMaxSize
			}
			d.ndo = wgOps
		},
	}
}
