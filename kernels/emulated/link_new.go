package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// newlinkParams is what a kind's newlink gets to know of the request
// (include/net/rtnetlink.h struct rtnl_newlink_params).
type newlinkParams struct {
	task *task  // that asks
	src  *netns // of the socket
	link *netns // IFLA_LINK_NETNSID; nil for src
}

// linkNet is where IFLA_LINK is to be looked up (rtnl_newlink_link_net).
func (p *newlinkParams) linkNet() *netns {
	if p.link != nil {
		return p.link
	}
	return p.src
}

// newlink is an RTM_NEWLINK on its way.
type newlink struct {
	skb            *skBuff
	h              *nlmsghdr
	x              *extAck
	net            *netns
	ifm            ifinfomsg
	tb, info, data attrTable
	ops            *rtnlLinkOps
	dest           *netns // 6.13 and later: IFLA_NET_NS_*
	link           *netns // 6.13 and later: IFLA_LINK_NETNSID
}

// rtnlNewlink is net/core/rtnetlink.c rtnl_newlink.
func (k *Kernel) rtnlNewlink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_newlink")()
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, liberal, x)
	if err == 0 {
		err = rtnlEnsureUniqueNetns(tb, x, false)
	}
	if err != 0 {
		return err
	}
	r := &newlink{skb: skb, h: h, x: x, net: skb.sk.net, ifm: parseIfinfomsg(h.payload()), tb: tb}
	if k.has(newlinkKindFirst) {
		if err := k.newlinkKind(r); err != 0 {
			return err
		}
		if r.dest, err = k.rtnlLinkGetNetCapable(skb, r.net, tb); err != 0 {
			return err
		}
		if r.link, err = k.newlinkLinkNet(r, r.dest); err != 0 {
			return err
		}
	}
	d, named, err := k.newlinkDev(r)
	if err != 0 {
		return err
	}
	if !k.has(newlinkKindFirst) {
		if !k.has(newlinkValidatesLink) {
			if err := k.validateLinkmsg(d, tb, x); err != 0 {
				return err
			}
		}
		if err := k.newlinkKind(r); err != 0 {
			return err
		}
	}
	if d != nil {
		return k.rtnlChangelink(r, d)
	}
	if h.Flags&nlmCreate == 0 {
		if group := tb.get(iflaGroup); group != nil && r.ifm.index == 0 && !named {
			return k.rtnlGroupChangelink(r, group.u32())
		}
		return nlmsg.ENODEV
	}
	if tb.get(iflaMap) != nil || tb.get(iflaProtinfo) != nil {
		return nlmsg.EOPNOTSUPP
	}
	if r.ops == nil {
		x.set("Unknown device type")
		return nlmsg.EOPNOTSUPP
	}
	return k.rtnlNewlinkCreate(r)
}

// newlinkDev finds the link that a request is of, if it is there. named says that
// it has a name in the request.
func (k *Kernel) newlinkDev(r *newlink) (d *netDevice, named bool, err errno) {
	named = r.tb.get(iflaIfname) != nil || r.tb.get(iflaAltIfname) != nil
	switch {
	case r.ifm.index > 0:
		return r.net.devGetByIndex(int(r.ifm.index)), named, 0
	case r.ifm.index < 0:
		r.x.set("ifindex can't be negative")
		return nil, named, nlmsg.EINVAL
	case named:
		return r.net.rtnlDevGet(r.tb), named, 0
	}
	return nil, named, 0
}

// newlinkKind finds the kind that IFLA_LINKINFO names, and has it look at what is
// said of it. A kind that is not there is one whose module is not.
func (k *Kernel) newlinkKind(r *newlink) (err errno) {
	a := r.tb.get(iflaLinkinfo)
	if a == nil {
		return 0
	}
	if r.info, err = nlaParseNested(a, iflaInfoPolicy, liberal, nil); err != 0 {
		return err
	}
	kind := r.info.get(iflaInfoKind)
	if kind == nil {
		return 0
	}
	if r.ops = k.rtnlLinkOpsGet(kind.str()); r.ops == nil {
		return 0
	}
	if data := r.info.get(iflaInfoData); data != nil && len(r.ops.policy) > 0 {
		if r.data, err = nlaParseNested(data, r.ops.policy, liberal, r.x); err != 0 {
			return err
		}
	}
	if r.ops.validate != nil {
		err = r.ops.validate(r.tb, r.data, r.x)
	}
	if err == 0 && k.has(newlinkKindFirst) {
		err = k.rtnlGetPeerNet(r)
	}
	return err
}

// rtnlGetPeerNet looks at what is said of a peer, and at the namespace that it is to
// be in (net/core/rtnetlink.c rtnl_get_peer_net).
func (k *Kernel) rtnlGetPeerNet(r *newlink) errno {
	a := r.data.get(r.ops.peerType)
	if r.ops.peerType == 0 || a == nil {
		return 0
	}
	_, tb, err := k.rtnlNlaParseIfinfomsg(a, r.x)
	if err == 0 && r.ops.validate != nil {
		err = r.ops.validate(tb, nil, r.x)
	}
	if err != 0 {
		return err
	}
	n, err := k.rtnlLinkGetNet(r.skb.creds.task, r.net, tb)
	if err == 0 && !k.netlinkNsCapable(r.skb, n.user) {
		err = nlmsg.EPERM
	}
	return err
}

// rtnlChangelink changes a link that is there (net/core/rtnetlink.c
// rtnl_changelink).
func (k *Kernel) rtnlChangelink(r *newlink, d *netDevice) errno {
	var mops *rtnlLinkOps
	if d.master != nil {
		mops = d.master.ops
	}
	var slaveData attrTable
	slave := r.info.get(iflaInfoSlaveData)
	if slave != nil && mops != nil && len(mops.slavePolicy) > 0 {
		var err errno
		if slaveData, err = nlaParseNested(slave, mops.slavePolicy, liberal, r.x); err != 0 {
			return err
		}
	}
	if r.h.Flags&nlmExcl != 0 {
		return nlmsg.EEXIST
	}
	if r.h.Flags&nlmReplace != 0 {
		return nlmsg.EOPNOTSUPP
	}
	if k.has(newlinkValidatesLink) && !k.has(newlinkKindFirst) {
		if err := k.validateLinkmsg(d, r.tb, r.x); err != 0 {
			return err
		}
	}
	status := 0
	if r.info.get(iflaInfoData) != nil {
		if r.ops == nil || r.ops != d.ops || r.ops.changelink == nil {
			return nlmsg.EOPNOTSUPP
		}
		if err := r.ops.changelink(d, r.tb, r.data, r.x); err != 0 {
			return err
		}
		status |= setlinkNotify
	}
	if slave != nil {
		if mops == nil || mops.slaveChangelink == nil {
			return nlmsg.EOPNOTSUPP
		}
		if err := mops.slaveChangelink(d.master, d, r.tb, slaveData, r.x); err != 0 {
			return err
		}
		status |= setlinkNotify
	}
	return k.doSetlink(r.skb, d, r.dest, r.ifm, r.tb, status, r.x)
}

// rtnlGroupChangelink changes all links of a group (net/core/rtnetlink.c
// rtnl_group_changelink).
func (k *Kernel) rtnlGroupChangelink(r *newlink, group uint32) errno {
	for _, d := range append([]*netDevice{}, r.net.state.devs...) {
		if d.group != group || d.net != r.net {
			continue
		}
		if err := k.doSetlink(r.skb, d, r.dest, r.ifm, r.tb, 0, r.x); err != 0 {
			return err
		}
	}
	return 0
}

// newlinkLinkNet is the namespace that IFLA_LINK_NETNSID names, nil for none.
func (k *Kernel) newlinkLinkNet(r *newlink, dest *netns) (*netns, errno) {
	a := r.tb.get(iflaLinkNetnsid)
	if a == nil {
		return nil, 0
	}
	n := dest.byID(int(int32(a.u32())))
	if n == nil {
		r.x.set("Unknown network namespace id")
		return nil, nlmsg.EINVAL
	}
	if !k.netlinkNsCapable(r.skb, n.user) {
		return nil, nlmsg.EPERM
	}
	return n, 0
}

// rtnlNewlinkCreate makes a link: in the namespace of the one below, from where it
// is moved (net/core/rtnetlink.c rtnl_newlink_create).
func (k *Kernel) rtnlNewlinkCreate(r *newlink) (err errno) {
	ops, tb, x := r.ops, r.tb, r.x
	if ops.setup == nil {
		return nlmsg.EOPNOTSUPP
	}
	name := ops.kind + "%d"
	if a := tb.get(iflaIfname); a != nil && (a.str() != "" || k.has(emptyNameRefused)) {
		name = a.str()
	}
	dest, link := r.dest, r.link
	if dest == nil {
		if dest, err = k.rtnlLinkGetNetCapable(r.skb, r.net, tb); err != 0 {
			return err
		}
		if link, err = k.newlinkLinkNet(r, dest); err != 0 {
			return err
		}
	}
	in := dest
	if link != nil {
		in = link
	}
	d, err := k.rtnlCreateLink(in, name, ops, tb, x)
	if err != 0 {
		return err
	}
	d.index = int(r.ifm.index)
	if ops.newlink != nil {
		err = ops.newlink(d, &newlinkParams{task: r.skb.creds.task, src: r.net, link: link}, tb, r.data, x)
	} else {
		err = k.registerNetdevice(d)
	}
	if err != 0 {
		return err
	}
	var portid uint32
	var h *nlmsghdr
	if k.has(linkEcho) {
		portid, h = r.skb.portid, r.h
	}
	err = k.rtnlConfigureLink(d, &r.ifm, portid, h)
	if err == 0 && link != nil {
		err = k.devChangeNetNamespace(d, dest, name, 0, x)
	}
	if a := tb.get(iflaMaster); err == 0 && a != nil {
		err = k.doSetMaster(d, int(int32(a.u32())), x)
	}
	if err != 0 {
		if ops.newlink != nil {
			k.unregisterNetdeviceMany(ops.dellink(d), 0, nil)
		} else {
			k.unregisterNetdevice(d)
		}
	}
	return err
}

// rtnlCreateLink is net/core/rtnetlink.c rtnl_create_link.
func (k *Kernel) rtnlCreateLink(n *netns, name string, ops *rtnlLinkOps, tb attrTable, x *extAck) (*netDevice, errno) {
	queues := [2]uint32{1, 1}
	for i, q := range []struct {
		attr int
		msg  string
	}{{iflaNumTxQueues, "Invalid number of transmit queues"}, {iflaNumRxQueues, "Invalid number of receive queues"}} {
		if a := tb.get(q.attr); a != nil {
			queues[i] = a.u32()
		}
		if queues[i] < 1 || queues[i] > 4096 {
			x.set(q.msg)
			return nil, nlmsg.EINVAL
		}
	}
	d := k.allocNetdevMqs(name, ops.setup, int(queues[0]), int(queues[1]))
	d.net, d.ops = n, ops
	if k.has(createValidates) {
		if err := k.validateLinkmsg(d, tb, x); err != 0 {
			return nil, err
		}
	}
	for t, a := range tb {
		if a == nil {
			continue
		}
		switch t {
		case iflaMtu:
			if err := devValidateMtu(d, a.u32(), x); err != 0 {
				return nil, err
			}
			d.mtu = a.u32()
		case iflaAddress:
			copy(d.addr, a.data)
		case iflaBroadcast:
			copy(d.bcast, a.data)
		case iflaTxqlen:
			d.txqlen = a.u32()
		case iflaOperstate:
			k.setOperstate(d, a.u8())
		case iflaLinkmode:
			d.linkmode = a.u8()
		case iflaGroup:
			d.group = a.u32()
		default:
			d.setGso(t, a.u32())
		}
	}
	return d, 0
}

// rtnlConfigureLink gives a new link its flags, and tells of it
// (net/core/rtnetlink.c rtnl_configure_link).
func (k *Kernel) rtnlConfigureLink(d *netDevice, ifm *ifinfomsg, portid uint32, h *nlmsghdr) errno {
	old := d.flags
	if ifm != nil && (ifm.flags != 0 || ifm.change != 0) {
		if err := k.devChangeFlagsQuiet(d, d.rtnlDevCombineFlags(*ifm), nil); err != 0 {
			return err
		}
	}
	changes := old ^ d.flags
	if !d.rtnlInit {
		d.rtnlInit = true
		changes = ^uint32(0)
	}
	k.devNotifyFlags(d, old, changes, portid, h)
	return 0
}

// rtnlDevCombineFlags are the flags that a request wants; without a mask it means
// all (net/core/rtnetlink.c rtnl_dev_combine_flags).
func (d *netDevice) rtnlDevCombineFlags(m ifinfomsg) uint32 {
	if m.change == 0 {
		return m.flags
	}
	const users = iffPromisc | iffAllmulti
	return m.flags&m.change | (d.flags&^users|d.gflags&users)&^m.change
}
