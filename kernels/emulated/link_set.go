package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// What do_setlink has done (net/core/rtnetlink.c DO_SETLINK_*).
const (
	setlinkModified = 1
	setlinkNotify   = 3
)

// validateLinkmsg is net/core/rtnetlink.c validate_linkmsg. d is nil for a link that
// is yet to be made.
func (k *Kernel) validateLinkmsg(d *netDevice, tb attrTable, x *extAck) errno {
	if d != nil {
		for _, t := range []int{iflaAddress, iflaBroadcast} {
			if a := tb.get(t); a != nil && len(a.data) < d.addrLen {
				return nlmsg.EINVAL
			}
		}
		if k.has(gsoValidated) {
			for _, g := range []struct {
				attr int
				max  uint32
				msg  string
			}{
				{iflaGsoMaxSize, d.tsoMaxSize, "too big gso_max_size"},
				{iflaGsoMaxSegs, min(gsoMaxSegs, d.tsoMaxSegs), "too big gso_max_segs"},
				{iflaGroMaxSize, groMaxSize, "too big gro_max_size"},
				{iflaGsoIpv4MaxSize, d.tsoMaxSize, "too big gso_ipv4_max_size"},
				{iflaGroIpv4MaxSize, groMaxSize, "too big gro_ipv4_max_size"},
			} {
				if a := tb.get(g.attr); a != nil && a.u32() > g.max {
					x.set(g.msg)
					return nlmsg.EINVAL
				}
			}
		}
	}
	spec := tb.get(iflaAfSpec)
	if spec == nil {
		return 0
	}
	_, err := eachAttr(spec.data, spec.off+4, func(a *nlattr) errno {
		ops := k.rtnlAfLookup(int(a.kind()))
		if ops == nil {
			return nlmsg.EAFNOSUPPORT
		}
		if ops.set == nil {
			return nlmsg.EOPNOTSUPP
		}
		if ops.validate != nil {
			return ops.validate(d, a, x)
		}
		return 0
	})
	return err
}

// groMaxSize is GRO_MAX_SIZE.
const groMaxSize = 8 * 65535

// setGso sets one of the sizes that a link sends or puts together at most. The
// general ones hold for IPv4 too, as far as they are no larger than a packet of
// old (net/core/dev.c netif_set_gso_max_size and its like).
func (d *netDevice) setGso(t int, n uint32) {
	switch t {
	case iflaGsoMaxSegs:
		d.gsoMaxSegs = n
	case iflaGsoMaxSize:
		d.gsoMaxSize = n
		if n <= gsoLegacyMaxSize {
			d.gsoIpv4MaxSize = n
		}
	case iflaGroMaxSize:
		d.groMaxSize = n
		if n <= gsoLegacyMaxSize {
			d.groIpv4MaxSize = n
		}
	case iflaGsoIpv4MaxSize:
		d.gsoIpv4MaxSize = n
	case iflaGroIpv4MaxSize:
		d.groIpv4MaxSize = n
	}
}

// gso is the size that setGso sets.
func (d *netDevice) gso(t int) uint32 {
	switch t {
	case iflaGsoMaxSegs:
		return d.gsoMaxSegs
	case iflaGsoMaxSize:
		return d.gsoMaxSize
	case iflaGroMaxSize:
		return d.groMaxSize
	case iflaGsoIpv4MaxSize:
		return d.gsoIpv4MaxSize
	}
	return d.groIpv4MaxSize
}

// gsoTooBig says that an older kernel, which looks at the sizes only where it sets
// them, refuses one.
func (k *Kernel) gsoTooBig(d *netDevice, t int, n uint32) bool {
	if k.has(gsoValidated) {
		return false
	}
	switch t {
	case iflaGsoMaxSegs:
		return n > gsoMaxSegs || n > d.tsoMaxSegs
	case iflaGroMaxSize, iflaGroIpv4MaxSize:
		return false
	}
	return n > d.tsoMaxSize
}

// rtnlLinkGetNet is the namespace that a request names, by a process or a
// descriptor (net/core/rtnetlink.c rtnl_link_get_net).
func (k *Kernel) rtnlLinkGetNet(t *task, src *netns, tb attrTable) (*netns, errno) {
	if a := tb.get(iflaNetNsPid); a != nil {
		return t.byPid(a.u32())
	}
	if a := tb.get(iflaNetNsFd); a != nil {
		return t.byFd(int(int32(a.u32())))
	}
	return src, 0
}

// rtnlLinkGetNetCapable is the namespace that a request names in any way, for whoever
// may do what takes a capability there (net/core/rtnetlink.c
// rtnl_link_get_net_capable).
func (k *Kernel) rtnlLinkGetNetCapable(skb *skBuff, src *netns, tb attrTable) (n *netns, err errno) {
	if a := tb.get(iflaTargetNetnsid); a != nil {
		if n = src.byID(int(int32(a.u32()))); n == nil {
			return nil, nlmsg.EINVAL
		}
	} else if n, err = k.rtnlLinkGetNet(skb.creds.task, src, tb); err != 0 {
		return nil, err
	}
	if !k.netlinkNsCapable(skb, n.user) {
		return nil, nlmsg.EPERM
	}
	return n, 0
}

// rtnlSetlink is net/core/rtnetlink.c rtnl_setlink.
func (k *Kernel) rtnlSetlink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_setlink")()
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, liberal, x)
	if err == 0 {
		err = rtnlEnsureUniqueNetns(tb, x, false)
	}
	if err != 0 {
		return err
	}
	n := skb.sk.net
	var dest *netns
	if k.has(newlinkKindFirst) {
		if dest, err = k.rtnlLinkGetNetCapable(skb, n, tb); err != 0 {
			return err
		}
	}
	ifm := parseIfinfomsg(h.payload())
	var d *netDevice
	switch {
	case ifm.index > 0:
		d = n.devGetByIndex(int(ifm.index))
	case tb.get(iflaIfname) != nil || tb.get(iflaAltIfname) != nil:
		d = n.rtnlDevGet(tb)
	default:
		return nlmsg.EINVAL
	}
	if d == nil {
		return nlmsg.ENODEV
	}
	return k.doSetlink(skb, d, dest, ifm, tb, 0, x)
}

// doSetlink changes a link as a request says, as far as nothing is refused; what was
// changed before that stays (net/core/rtnetlink.c do_setlink). dest is the
// namespace that the link is to be in, nil where that is yet to be found.
func (k *Kernel) doSetlink(skb *skBuff, d *netDevice, dest *netns, ifm ifinfomsg, tb attrTable, status int, x *extAck) errno {
	defer k.enter("do_setlink")()
	err := k.validateLinkmsg(d, tb, x)
	if err == 0 {
		err = k.setlink(skb, d, dest, ifm, tb, &status, x)
	}
	if status&setlinkNotify == setlinkNotify {
		k.netdevStateChange(d)
	}
	return err
}

func (k *Kernel) setlink(skb *skBuff, d *netDevice, dest *netns, ifm ifinfomsg, tb attrTable, status *int, x *extAck) (err errno) {
	name := ""
	if a := tb.get(iflaIfname); a != nil {
		name = a.str()
	}
	if dest == nil && (tb.get(iflaNetNsPid) != nil || tb.get(iflaNetNsFd) != nil || tb.get(iflaTargetNetnsid) != nil) {
		if dest, err = k.rtnlLinkGetNetCapable(skb, d.net, tb); err != 0 {
			return err
		}
	}
	if dest != nil && dest != d.net {
		index := 0
		if a := tb.get(iflaNewIfindex); a != nil && k.has(linkNewIfindex) {
			index = int(int32(a.u32()))
		}
		if err := k.devChangeNetNamespace(d, dest, name, index, x); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	if tb.get(iflaMap) != nil { // nothing here has ndo_set_config
		return nlmsg.EOPNOTSUPP
	}
	if a := tb.get(iflaAddress); a != nil {
		if err := k.devSetMacAddress(d, a.data, x); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	if a := tb.get(iflaMtu); a != nil {
		if err := k.devSetMtu(d, a.u32(), x); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	if a := tb.get(iflaGroup); a != nil {
		d.group = a.u32()
		*status |= setlinkNotify
	}
	if ifm.index > 0 && name != "" {
		if err := k.devChangeName(d, name); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	if a := tb.get(iflaIfalias); a != nil {
		if err := devSetAlias(d, a); err != 0 {
			return err
		}
		*status |= setlinkNotify
	}
	if a := tb.get(iflaBroadcast); a != nil {
		copy(d.bcast, a.data)
		k.callNetdevice(netdevChangeaddr, d, nil)
	}
	if err := k.setlinkFlagsAndMaster(d, ifm, tb, status, x); err != 0 {
		return err
	}
	return k.setlinkRest(d, tb, status, x)
}

// setlinkFlagsAndMaster is the part of do_setlink that newer kernels do in another
// order, so that a link that joins a master is not up before.
func (k *Kernel) setlinkFlagsAndMaster(d *netDevice, ifm ifinfomsg, tb attrTable, status *int, x *extAck) errno {
	flags := func() errno {
		if ifm.flags == 0 && ifm.change == 0 {
			return 0
		}
		return k.devChangeFlags(d, d.rtnlDevCombineFlags(ifm), x)
	}
	master := func() errno {
		a := tb.get(iflaMaster)
		if a == nil {
			return 0
		}
		err := k.doSetMaster(d, int(int32(a.u32())), x)
		if err == 0 {
			*status |= setlinkModified
		}
		return err
	}
	first, second := flags, master
	if k.has(masterFirst) {
		first, second = master, flags
	}
	if err := first(); err != 0 {
		return err
	}
	return second()
}

// setlinkRest is what do_setlink does in the end.
func (k *Kernel) setlinkRest(d *netDevice, tb attrTable, status *int, x *extAck) errno {
	if a := tb.get(iflaCarrier); a != nil {
		if err := devChangeCarrier(d, a.u8() != 0); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	if a := tb.get(iflaTxqlen); a != nil {
		if err := k.devChangeTxQueueLen(d, a.u32()); err != 0 {
			return err
		}
		*status |= setlinkModified
	}
	for _, t := range []int{iflaGsoMaxSize, iflaGsoMaxSegs, iflaGroMaxSize, iflaGsoIpv4MaxSize, iflaGroIpv4MaxSize} {
		a := tb.get(t)
		if a == nil {
			continue
		}
		if k.gsoTooBig(d, t, a.u32()) {
			return nlmsg.EINVAL
		}
		if d.gso(t) != a.u32() {
			d.setGso(t, a.u32())
			*status |= setlinkModified
		}
	}
	if a := tb.get(iflaOperstate); a != nil {
		k.setOperstate(d, a.u8())
	}
	if a := tb.get(iflaLinkmode); a != nil {
		if d.linkmode != a.u8() {
			*status |= setlinkNotify
		}
		d.linkmode = a.u8()
	}
	if a := tb.get(iflaVfinfoList); a != nil {
		if err := doSetvfinfo(a); err != 0 {
			return err
		}
		*status |= setlinkNotify
	}
	if tb.get(iflaVfPorts) != nil || tb.get(iflaPortSelf) != nil { // nothing here has ndo_set_vf_port
		return nlmsg.EOPNOTSUPP
	}
	if spec := tb.get(iflaAfSpec); spec != nil {
		_, err := eachAttr(spec.data, spec.off+4, func(a *nlattr) errno {
			err := k.rtnlAfLookup(int(a.kind())).set(d, a, x)
			if err == 0 {
				*status |= setlinkNotify
			}
			return err
		})
		if err != 0 {
			return err
		}
	}
	if tb.get(iflaProtoDown) != nil || tb.get(iflaProtoDownReason) != nil {
		x.set("Protodown not supported by device")
		return nlmsg.EOPNOTSUPP
	}
	return k.setlinkXdp(tb.get(iflaXdp), status, x)
}

// doSetvfinfo refuses what is said of virtual functions, which nothing here has
// (net/core/rtnetlink.c do_setvfinfo).
func doSetvfinfo(list *nlattr) errno {
	_, err := eachAttr(list.data, list.off+4, func(a *nlattr) errno {
		if a.kind() != 1 || len(a.data) < 4 { // IFLA_VF_INFO
			return nlmsg.EINVAL
		}
		tb, err := nlaParseNested(a, iflaVfPolicy, liberal, nil)
		if err != 0 {
			return err
		}
		for _, v := range tb {
			if v != nil {
				return nlmsg.EOPNOTSUPP
			}
		}
		return nlmsg.EINVAL
	})
	return err
}

// iflaVfPolicy is net/core/rtnetlink.c ifla_vf_policy: the lengths of IFLA_VF_MAC
// to IFLA_VF_BROADCAST.
var iflaVfPolicy = policy{1: {len: 36}, 2: {len: 12}, 3: {len: 8}, 4: {len: 8}, 5: {len: 8}, 6: {len: 12}, 7: {len: 8}, 8: {typ: nlaNested},
	9: {len: 8}, 10: {len: 16}, 11: {len: 16}, 12: {typ: nlaNested}, 13: {len: 32}}

var iflaXdpPolicy = policy{iflaXdpFd: {typ: nlaS32}, iflaXdpAttached: {typ: nlaU8}, iflaXdpFlags: {typ: nlaU32}, iflaXdpProgID: {typ: nlaU32}}

// setlinkXdp is IFLA_XDP: there are no programs here to be attached, and to detach
// none does no harm.
func (k *Kernel) setlinkXdp(a *nlattr, status *int, x *extAck) errno {
	if a == nil {
		return 0
	}
	const modes, all = 0xe, 0x1f // XDP_FLAGS_MODES, XDP_FLAGS_MASK
	tb, err := nlaParseNested(a, iflaXdpPolicy, liberal, x)
	if err != 0 {
		return err
	}
	if tb.get(iflaXdpAttached) != nil || tb.get(iflaXdpProgID) != nil {
		return nlmsg.EINVAL
	}
	if f := tb.get(iflaXdpFlags); f != nil {
		if m := f.u32() & modes; f.u32()&^all != 0 || m&(m-1) != 0 {
			return nlmsg.EINVAL
		}
	}
	if fd := tb.get(iflaXdpFd); fd != nil {
		if int32(fd.u32()) >= 0 {
			return nlmsg.EBADF
		}
		*status |= setlinkNotify
	}
	return 0
}

// doSetMaster is net/core/rtnetlink.c do_set_master.
func (k *Kernel) doSetMaster(d *netDevice, index int, x *extAck) errno {
	if m := d.master; m != nil {
		if m.index == index {
			return 0
		}
		del := m.driver().delSlave
		if del == nil {
			return nlmsg.EOPNOTSUPP
		}
		if err := del(m, d); err != 0 {
			return err
		}
	}
	if index == 0 {
		return 0
	}
	m := d.net.devGetByIndex(index)
	if m == nil {
		return nlmsg.EINVAL
	}
	add := m.driver().addSlave
	if add == nil {
		return nlmsg.EOPNOTSUPP
	}
	return add(m, d, x)
}
