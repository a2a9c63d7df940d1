package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

const (
	vethInfoPeer = 1 // VETH_INFO_PEER
	ethMinMtu    = 68
	ethMaxMtu    = 65535
)

// veth is what a link has of a pair (drivers/net/veth.c struct veth_priv).
type veth struct {
	k    *Kernel
	peer *netDevice // nil while the pair is being made or deleted
}

// vethLinkOps is drivers/net/veth.c veth_link_ops.
func (k *Kernel) vethLinkOps() *rtnlLinkOps {
	return &rtnlLinkOps{
		kind:     "veth",
		setup:    k.vethSetup,
		policy:   policy{vethInfoPeer: {len: sizeofIfinfo}},
		validate: vethValidate,
		newlink:  k.vethNewlink,
		dellink:  vethDellink,
		peerType: vethInfoPeer,
	}
}

// etherSetup is net/ethernet/eth.c ether_setup.
func etherSetup(d *netDevice) {
	d.typ = arphrdEther
	d.mtu, d.minMtu, d.maxMtu = 1500, ethMinMtu, 1500
	d.addrLen = 6
	d.addr, d.bcast = make([]byte, 6), []byte{255, 255, 255, 255, 255, 255}
	d.txqlen = 1000
	d.flags = iffBroadcast | iffMulticast
}

// ethHwAddrRandom gives a link an address that no other has
// (include/linux/etherdevice.h eth_hw_addr_random). It is the same in every run.
func (k *Kernel) ethHwAddrRandom(d *netDevice) {
	k.lastAddr++
	n := k.lastAddr
	d.addr = []byte{0x02, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// vethSetup is drivers/net/veth.c veth_setup.
func (k *Kernel) vethSetup(d *netDevice) {
	etherSetup(d)
	d.maxMtu = ethMaxMtu
	if k.has(linkTsoMax) {
		d.tsoMaxSize = gsoMaxSize
	}
	d.priv = &veth{k: k}
	d.ndo = vethNetdevOps
}

// vethNetdevOps is drivers/net/veth.c veth_netdev_ops.
var vethNetdevOps = &netDeviceOps{
	open:          vethOpen,
	stop:          vethClose,
	setMacAddress: ethMacAddr,
	iflink: func(d *netDevice) (int, *netns) {
		if peer := d.priv.(*veth).peer; peer != nil {
			return peer.index, peer.net
		}
		return 0, d.net
	},
}

// vethOpen is drivers/net/veth.c veth_open.
func vethOpen(d *netDevice) errno {
	v := d.priv.(*veth)
	if v.peer == nil {
		return nlmsg.ENOTCONN
	}
	if v.peer.flags&iffUp != 0 {
		v.k.netifCarrierOn(d)
		v.k.netifCarrierOn(v.peer)
	}
	return 0
}

// vethClose is drivers/net/veth.c veth_close.
func vethClose(d *netDevice) {
	v := d.priv.(*veth)
	v.k.netifCarrierOff(d)
	if v.peer != nil {
		v.k.netifCarrierOff(v.peer)
	}
}

// vethValidate is drivers/net/veth.c veth_validate.
func vethValidate(tb, data attrTable, x *extAck) errno {
	if err := etherValidate(tb); err != 0 {
		return err
	}
	if a := tb.get(iflaMtu); a != nil && (a.u32() < ethMinMtu || a.u32() > ethMaxMtu) {
		return nlmsg.EINVAL
	}
	return 0
}

// etherValidate refuses what is no address of an Ethernet link, as most kinds do.
func etherValidate(tb attrTable) errno {
	switch a := tb.get(iflaAddress); {
	case a == nil:
	case len(a.data) != 6:
		return nlmsg.EINVAL
	case !validEtherAddr(a.data):
		return nlmsg.EADDRNOTAVAIL
	}
	return 0
}

// rtnlNlaParseIfinfomsg parses the ifinfomsg and the attributes of a peer
// (net/core/rtnetlink.c rtnl_nla_parse_ifinfomsg).
func (k *Kernel) rtnlNlaParseIfinfomsg(a *nlattr, x *extAck) (ifinfomsg, attrTable, errno) {
	m := parseIfinfomsg(a.data)
	if len(a.data) < sizeofIfinfo {
		x.setAttr(a, "Invalid header length")
		return m, nil, nlmsg.EINVAL
	}
	if m.index < 0 && k.has(peerChecked) {
		x.setAttr(a, "ifindex can't be negative")
		return m, nil, nlmsg.EINVAL
	}
	tb, err := nlaParse(a.data[sizeofIfinfo:], a.off+4+sizeofIfinfo, k.iflaPolicy, liberal, x)
	return m, tb, err
}

// vethNewlink makes a pair: the peer first (drivers/net/veth.c veth_newlink).
func (k *Kernel) vethNewlink(d *netDevice, p *newlinkParams, tb, data attrTable, x *extAck) errno {
	tbp := tb
	var ifmp *ifinfomsg
	if a := data.get(vethInfoPeer); a != nil {
		m, t, err := k.rtnlNlaParseIfinfomsg(a, x)
		if err == 0 {
			err = vethValidate(t, nil, x)
		}
		if err != 0 {
			return err
		}
		tbp, ifmp = t, &m
	}
	name := "veth%d"
	if a := tbp.get(iflaIfname); a != nil && ifmp != nil {
		name = a.str()
	}
	n, err := k.rtnlLinkGetNet(p.task, p.src, tbp)
	if err != 0 {
		return err
	}
	peer, err := k.rtnlCreateLink(n, name, d.ops, tbp, x)
	if err != 0 {
		return err
	}
	if ifmp == nil || tbp.get(iflaAddress) == nil {
		k.ethHwAddrRandom(peer)
	}
	if ifmp != nil && d.index != 0 {
		peer.index = int(ifmp.index)
	}
	if err := k.registerNetdevice(peer); err != 0 {
		return err
	}
	k.netifCarrierOff(peer)
	if err := k.rtnlConfigureLink(peer, ifmp, 0, nil); err != 0 {
		k.unregisterNetdevice(peer)
		return err
	}
	if tb.get(iflaAddress) == nil {
		k.ethHwAddrRandom(d)
	}
	d.name = "veth%d"
	if a := tb.get(iflaIfname); a != nil {
		d.name = a.str()
	}
	if err := k.registerNetdevice(d); err != 0 {
		k.unregisterNetdevice(peer)
		return err
	}
	k.netifCarrierOff(d)
	d.priv.(*veth).peer, peer.priv.(*veth).peer = peer, d
	return 0
}

// vethDellink takes both of a pair away (drivers/net/veth.c veth_dellink).
func vethDellink(d *netDevice) []*netDevice {
	v := d.priv.(*veth)
	list := []*netDevice{d}
	if v.peer != nil {
		list = append(list, v.peer)
		v.peer.priv.(*veth).peer = nil
		v.peer = nil
	}
	return list
}
