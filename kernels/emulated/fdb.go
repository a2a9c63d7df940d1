package emulated

import (
	"bytes"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// rtnlRegisterBridge is what of PF_BRIDGE rtnetlink_init registers.
func (k *Kernel) rtnlRegisterBridge() {
	k.rtnlRegister(pfBridge, rtmNewneigh, k.rtnlFdbAdd, nil, 0)
	k.rtnlRegister(pfBridge, rtmDelneigh, k.rtnlFdbDel, nil, rtnlBulkDel)
	k.rtnlRegister(pfBridge, rtmGetneigh, k.rtnlFdbGet, k.rtnlFdbDump, 0)
	k.rtnlRegister(pfBridge, rtmGetlink, nil, k.rtnlBridgeGetlink, 0)
	k.rtnlRegister(pfBridge, rtmDellink, k.rtnlBridgeDellink, nil, 0)
	k.rtnlRegister(pfBridge, rtmSetlink, k.rtnlBridgeSetlink, nil, 0)
}

// ndaMax is NDA_MAX.
func (k *Kernel) ndaMax() int { return len(k.ndaPolicy()) - 1 }

// anyNda lets all attributes through, of whatever length: a NULL policy.
func (k *Kernel) anyNda() policy { return make(policy, k.ndaMax()+1) }

// fdbVidParse is net/core/rtnetlink.c fdb_vid_parse.
func fdbVidParse(a *nlattr, x *extAck) (vid uint16, err errno) {
	if a == nil {
		return 0, 0
	}
	if len(a.data) != 2 {
		x.set("invalid vlan attribute size")
		return 0, nlmsg.EINVAL
	}
	if vid = a.u16(); vid == 0 || vid >= vlanVidMask {
		x.set("invalid vlan id")
		return 0, nlmsg.EINVAL
	}
	return vid, 0
}

// fdbDev is the link of a request.
func fdbDev(n *netns, m ndmsg, x *extAck) (*netDevice, errno) {
	if m.ifindex == 0 {
		x.set("invalid ifindex")
		return nil, nlmsg.EINVAL
	}
	d := n.devGetByIndex(m.ifindex)
	if d == nil {
		x.set("unknown ifindex")
		return nil, nlmsg.ENODEV
	}
	return d, 0
}

// fdbAddr is the address of a request.
func fdbAddr(tb attrTable, x *extAck) ([]byte, errno) {
	a := tb.get(ndaLladdr)
	if a == nil || len(a.data) != 6 {
		x.set("invalid address")
		return nil, nlmsg.EINVAL
	}
	return a.data, 0
}

// clearNtf takes a flag that has been dealt with from the request, which an error
// that follows quotes.
func clearNtf(h *nlmsghdr, m *ndmsg, flag uint8) {
	m.flags &^= flag
	h.payload()[10] = m.flags
}

// rtnlFdbAdd is net/core/rtnetlink.c rtnl_fdb_add.
func (k *Kernel) rtnlFdbAdd(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_fdb_add")()
	tb, err := nlmsgParse(h, ndmsgLen, k.anyNda(), liberal, x)
	if err != 0 {
		return err
	}
	m, _ := readNdmsg(h)
	d, err := fdbDev(skb.sk.net, m, x)
	if err != 0 {
		return err
	}
	addr, err := fdbAddr(tb, x)
	if err != 0 {
		return err
	}
	if d.typ != arphrdEther {
		x.set("FDB add only supported for Ethernet devices")
		return nlmsg.EINVAL
	}
	vid, err := fdbVidParse(tb.get(ndaVlan), x)
	if err != 0 {
		return err
	}
	err = nlmsg.EOPNOTSUPP
	if (m.flags == 0 || m.flags&ntfMaster != 0) && d.port != nil {
		if err = k.brFdbAdd(m, tb, d, addr, vid, h.Flags, x); err != 0 {
			return err
		}
		clearNtf(h, &m, ntfMaster)
	}
	if m.flags&ntfSelf != 0 {
		notified := false
		if d.bridge() != nil {
			err = k.brFdbAdd(m, tb, d, addr, vid, h.Flags, x)
			notified = k.has(fdbNotified)
		} else {
			err = k.ndoDfltFdbAdd(m, d, addr, vid, h.Flags)
		}
		if err == 0 {
			if !notified {
				k.rtnlFdbNotify(d, addr, vid, rtmNewneigh, m.state)
			}
			clearNtf(h, &m, ntfSelf)
		}
	}
	return err
}

// rtnlFdbDel is net/core/rtnetlink.c rtnl_fdb_del.
func (k *Kernel) rtnlFdbDel(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_fdb_del")()
	bulk := h.Flags&nlmBulk != 0 && k.has(bulkDel)
	later := bulk && k.has(fdbBulkByDriver) // the driver looks at the attributes
	p, s := k.anyNda(), liberal
	if bulk {
		p, s = k.fdbDelBulkPolicy(), strict
	}
	var tb attrTable
	if !later {
		var err errno
		if tb, err = nlmsgParse(h, ndmsgLen, p, s, x); err != 0 {
			return err
		}
	} else if len(h.payload()) < ndmsgLen {
		x.set("Invalid header length")
		return nlmsg.EINVAL
	}
	m, _ := readNdmsg(h)
	d, err := fdbDev(skb.sk.net, m, x)
	if err != 0 {
		return err
	}
	var addr []byte
	if !bulk {
		if addr, err = fdbAddr(tb, x); err != 0 {
			return err
		}
	}
	if d.typ != arphrdEther {
		x.set("FDB delete only supported for Ethernet devices")
		return nlmsg.EINVAL
	}
	vid, err := fdbVidParse(tb.get(ndaVlan), x)
	if err != 0 {
		return err
	}
	bridge := func() errno {
		if !bulk {
			return k.brFdbDel(d, addr, vid)
		}
		if !k.has(ndaFdbFlush) {
			return nlmsg.EOPNOTSUPP
		}
		if later {
			if tb, err = nlmsgParse(h, ndmsgLen, p, s, x); err != 0 {
				return err
			}
		}
		return k.brFdbDelBulk(m, tb, d, x)
	}
	err = nlmsg.EOPNOTSUPP
	if (m.flags == 0 || m.flags&ntfMaster != 0) && d.port != nil {
		if err = bridge(); err != 0 {
			return err
		}
		clearNtf(h, &m, ntfMaster)
	}
	if m.flags&ntfSelf != 0 {
		notified := bulk
		switch {
		case d.bridge() != nil:
			err = bridge()
			notified = notified || k.has(fdbNotified)
		case bulk:
			err = nlmsg.EOPNOTSUPP
		default:
			err = ndoDfltFdbDel(m, d, addr)
		}
		if err == 0 {
			if !notified {
				k.rtnlFdbNotify(d, addr, vid, rtmDelneigh, m.state)
			}
			clearNtf(h, &m, ntfSelf)
		}
	}
	return err
}

// multicastEther is include/linux/etherdevice.h is_multicast_ether_addr, but of those
// that bridges keep to themselves (is_link_local_ether_addr).
func multicastEther(a []byte) bool {
	return a[0]&1 != 0 && !(bytes.Equal(a[:5], []byte{0x01, 0x80, 0xc2, 0, 0}) && a[5]&0xf0 == 0)
}

// ndoDfltFdbAdd is net/core/rtnetlink.c ndo_dflt_fdb_add: the addresses that a link
// listens to.
func (k *Kernel) ndoDfltFdbAdd(m ndmsg, d *netDevice, addr []byte, vid, nlmflags uint16) errno {
	if m.state != 0 && m.state&nudPermanent == 0 || vid != 0 {
		return nlmsg.EINVAL
	}
	list := &d.uc
	if multicastEther(addr) {
		list = &d.mc
	}
	if !list.addExcl(addr) && nlmflags&nlmExcl != 0 {
		return nlmsg.EEXIST
	}
	k.devSetRxMode(d)
	return 0
}

// ndoDfltFdbDel is net/core/rtnetlink.c ndo_dflt_fdb_del.
func ndoDfltFdbDel(m ndmsg, d *netDevice, addr []byte) errno {
	if m.state&nudPermanent == 0 {
		return nlmsg.EINVAL
	}
	list := &d.uc
	if multicastEther(addr) {
		list = &d.mc
	}
	if !list.del(addr) {
		return nlmsg.ENOENT
	}
	d.net.k.devSetRxMode(d)
	return 0
}

// fdbSelfHead is the header of an address that a link listens to.
func fdbSelfHead(d *netDevice, state uint16) []byte {
	return ndmsg{family: pfBridge, ifindex: d.index, state: state, flags: ntfSelf}.bytes()
}

// rtnlFdbNotify is net/core/rtnetlink.c rtnl_fdb_notify.
func (k *Kernel) rtnlFdbNotify(d *netDevice, addr []byte, vid, msgtype, state uint16) {
	skb := nlmsgNew(ndmsgLen + 12 + 8)
	p := skb.nlmsgPut(0, 0, msgtype, 0, fdbSelfHead(d, state))
	skb.nlaPut(ndaLladdr, addr)
	if vid != 0 {
		skb.nlaPutU16(ndaVlan, vid)
	}
	p.end()
	k.rtnlNotify(skb, d.net, 0, rtnlgrpNeigh, nil)
}

// fdbDumpOne puts one entry unless the dump has been beyond it already.
func fdbDumpOne(cb *netlinkCallback, at *int, put func() errno) errno {
	if *at >= cb.args[2] {
		if err := put(); err != 0 {
			return err
		}
	}
	*at++
	return 0
}

// ndoDfltFdbDump is net/core/rtnetlink.c ndo_dflt_fdb_dump.
func ndoDfltFdbDump(skb *skBuff, cb *netlinkCallback, d *netDevice, at *int) errno {
	if d.typ != arphrdEther {
		return nlmsg.EINVAL
	}
	for _, list := range [][]hwAddr{d.uc, d.mcAddrs()} {
		for _, a := range list {
			err := fdbDumpOne(cb, at, func() errno {
				m := cb.put(skb, rtmNewneigh, nlmMulti, fdbSelfHead(d, nudPermanent))
				skb.nlaPut(ndaLladdr, a.addr[:])
				return m.end()
			})
			if err != 0 {
				return err
			}
		}
	}
	return 0
}
