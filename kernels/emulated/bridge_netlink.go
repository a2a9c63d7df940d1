package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Attributes of IFLA_AF_SPEC for PF_BRIDGE (include/uapi/linux/if_bridge.h
// IFLA_BRIDGE_*), and what IFLA_BRIDGE_FLAGS says.
const (
	iflaBridgeFlags = iota
	iflaBridgeMode
	iflaBridgeVlanInfo
	iflaBridgeVlanTunnelInfo
	iflaBridgeMrp
	iflaBridgeCfm
	iflaBridgeMst

	bridgeFlagsMaster = 1
	bridgeFlagsSelf   = 2
)

// rtextFilterBridge is what of IFLA_EXT_MASK a bridge answers.
func (k *Kernel) rtextFilterBridge() uint32 {
	if !k.has(bridgeCfm) {
		return rtextFilterBrvlan | rtextFilterBrvlanC | rtextFilterMrp
	}
	return rtextFilterBrvlan | rtextFilterBrvlanC | rtextFilterMrp | rtextFilterCfmConfig | rtextFilterCfmStatus
}

// brFillIfinfo puts a message of a port, or of a bridge if p is nil
// (net/bridge/br_netlink.c br_fill_ifinfo).
func (k *Kernel) brFillIfinfo(skb *skBuff, b *netBridge, p *bridgePort, portid, seq uint32, typ, flags uint16, mask uint32) errno {
	defer k.enter("br_fill_ifinfo")()
	d, g := b.dev, &b.vlans
	if p != nil {
		d, g = p.dev, &p.vlans
	}
	oper := uint8(ifOperDown)
	if d.flags&iffUp != 0 {
		oper = d.operstate
	}
	head := ifinfomsg{family: pfBridge, typ: d.typ, index: int32(d.index), flags: d.devGetFlags()}
	m := skb.nlmsgPut(portid, seq, typ, flags, head.bytes())
	skb.nlaPutString(iflaIfname, d.name)
	skb.nlaPutU32(iflaMaster, uint32(b.dev.index))
	skb.nlaPutU32(iflaMtu, d.mtu)
	skb.nlaPutU8(iflaOperstate, oper)
	if d.addrLen > 0 {
		skb.nlaPut(iflaAddress, d.addr)
	}
	if iflink, _ := d.getIflink(); iflink != d.index {
		skb.nlaPutU32(iflaLink, uint32(iflink))
	}
	if typ == rtmNewlink && p != nil {
		n := skb.nlaNest(iflaProtinfo)
		k.brPortFillAttrs(skb, p)
		n.end()
	}
	if mask&(rtextFilterBrvlan|rtextFilterBrvlanC) != 0 {
		af := skb.nlaNestNoflag(iflaAfSpec)
		if mask&rtextFilterBrvlanC != 0 {
			g.fillCompressed(skb)
		} else {
			for _, v := range g.used() {
				skb.nlaPut(iflaBridgeVlanInfo, bridgeVlanInfo{g.infoFlags(v), v.vid}.bytes())
			}
		}
		if !skb.full && af.empty() && k.has(brAfSpecEmpty) {
			af.cancel()
		} else {
			af.end()
		}
	} else if mask&k.rtextFilterBridge() != 0 && !k.has(brAfSpecEmpty) {
		skb.nlaNestNoflag(iflaAfSpec).end()
	}
	return m.end()
}

// infoFlags are the flags that a VLAN is told with.
func (g *vlanGroup) infoFlags(v *bridgeVlan) uint16 {
	f := v.flags & vlanInfoUntagged
	if v.vid == g.pvid {
		f |= vlanInfoPvid
	}
	return f
}

// fillCompressed tells VLANs as ranges (net/bridge/br_netlink.c
// br_fill_ifvlaninfo_compressed).
func (g *vlanGroup) fillCompressed(skb *skBuff) {
	l := g.used()
	for i := 0; i < len(l); {
		flags, j := g.infoFlags(l[i]), i+1
		for j < len(l) && l[j].vid == l[j-1].vid+1 && g.infoFlags(l[j]) == flags {
			j++
		}
		if j-i > 1 {
			skb.nlaPut(iflaBridgeVlanInfo, bridgeVlanInfo{flags | vlanInfoRangeBegin, l[i].vid}.bytes())
			skb.nlaPut(iflaBridgeVlanInfo, bridgeVlanInfo{flags | vlanInfoRangeEnd, l[j-1].vid}.bytes())
		} else {
			skb.nlaPut(iflaBridgeVlanInfo, bridgeVlanInfo{flags, l[i].vid}.bytes())
		}
		i = j
	}
}

// brIfinfoNotify tells of a port, or of a bridge if p is nil
// (net/bridge/br_netlink.c br_ifinfo_notify).
func (k *Kernel) brIfinfoNotify(typ uint16, b *netBridge, p *bridgePort) {
	defer k.enter("br_ifinfo_notify")()
	if p != nil {
		b = p.br
	}
	skb := nlmsgNew(sizeofIfinfo + 100 + brPortInfoSize)
	k.brFillIfinfo(skb, b, p, 0, 0, typ, 0, rtextFilterBrvlanC)
	k.rtnlNotify(skb, b.dev.net, 0, rtnlgrpLink, nil)
}

// brSetlink is net/bridge/br_netlink.c br_setlink.
func (k *Kernel) brSetlink(d *netDevice, h *nlmsghdr, x *extAck) errno {
	defer k.enter("br_setlink")()
	protinfo, afspec := nlmsgFindAttr(h, sizeofIfinfo, iflaProtinfo), nlmsgFindAttr(h, sizeofIfinfo, iflaAfSpec)
	if protinfo == nil && afspec == nil {
		return 0
	}
	p, b := d.port, d.bridge()
	if p == nil && (afspec == nil || b == nil) {
		return nlmsg.EINVAL
	}
	changed := false
	if p != nil && protinfo != nil {
		var err errno
		if protinfo.typ&nlmsg.AttrNested != 0 {
			var tb attrTable
			if tb, err = nlaParseNested(protinfo, k.brPortPolicy(), liberal, nil); err == 0 {
				err = k.brSetport(p, tb, x)
			}
		} else if len(protinfo.data) < 1 {
			err = nlmsg.EINVAL
		} else {
			err = k.brSetPortState(p, protinfo.u8())
		}
		if err != 0 {
			return err
		}
		changed = true
	}
	var err errno
	if afspec != nil {
		err = k.brAfspec(b, p, afspec, rtmSetlink, &changed, x)
	}
	if changed {
		k.brIfinfoNotify(rtmNewlink, b, p)
	}
	return err
}

// brDellink is net/bridge/br_netlink.c br_dellink.
func (k *Kernel) brDellink(d *netDevice, h *nlmsghdr) errno {
	defer k.enter("br_dellink")()
	afspec := nlmsgFindAttr(h, sizeofIfinfo, iflaAfSpec)
	if afspec == nil {
		return 0
	}
	p, b := d.port, d.bridge()
	if p == nil && b == nil {
		return nlmsg.EINVAL
	}
	changed := false
	err := k.brAfspec(b, p, afspec, rtmDellink, &changed, nil)
	if changed {
		k.brIfinfoNotify(rtmNewlink, b, p)
	}
	return err
}

// brAfspec is net/bridge/br_netlink.c br_afspec.
func (k *Kernel) brAfspec(b *netBridge, p *bridgePort, spec *nlattr, cmd int, changed *bool, x *extAck) errno {
	if p != nil {
		b = p.br
	}
	var last *bridgeVlanInfo
	_, err := eachAttr(spec.data, spec.off+4, func(a *nlattr) errno {
		switch a.kind() {
		case iflaBridgeVlanTunnelInfo:
			if p == nil || p.flags&brVlanTunnel == 0 {
				return nlmsg.EINVAL
			}
		case iflaBridgeVlanInfo:
			if len(a.data) != 4 {
				return nlmsg.EINVAL
			}
			return k.brProcessVlanInfo(b, p, cmd, bridgeVlanInfo{a.u16(), native.Uint16(a.data[2:])}, &last, changed, x)
		case iflaBridgeMst:
			switch {
			case !k.has(bridgeMst):
			case p == nil:
				x.set("MST states can only be set on bridge ports")
				return nlmsg.EINVAL
			case cmd != rtmSetlink:
				x.set("MST states can only be set through RTM_SETLINK")
				return nlmsg.EINVAL
			default:
				return brMstProcess(p, a, x)
			}
		}
		return 0
	})
	return err
}

// brMstPolicy is net/bridge/br_mst.c br_mst_nl_policy.
var brMstPolicy = policy{
	1: {typ: nlaU16, check: validateRange, min: 1, max: vlanVidMask - 1},
	2: {typ: nlaU8, check: validateRange, max: brStateBlocking},
}

// brMstProcess is net/bridge/br_mst.c br_mst_process. No VLAN is in any other spanning
// tree than the first, which has no state of its own to be set.
func brMstProcess(p *bridgePort, spec *nlattr, x *extAck) errno {
	if p.br.boolopts>>boolMstEnable&1 == 0 {
		x.set("bridge: Can't modify MST state when MST is disabled")
		return nlmsg.EBUSY
	}
	_, err := eachAttr(spec.data, spec.off+4, func(a *nlattr) errno {
		if a.kind() != 1 { // IFLA_BRIDGE_MST_ENTRY
			return 0
		}
		tb, err := nlaParseNested(a, brMstPolicy, strict, x)
		switch {
		case err != 0:
			return err
		case tb[1] == nil:
			x.set("bridge: MSTI not specified")
		case tb[2] == nil:
			x.set("bridge: State not specified")
		default:
			return 0
		}
		return nlmsg.EINVAL
	})
	return err
}

// validBridgeGetlinkReq is net/core/rtnetlink.c valid_bridge_getlink_req.
func (k *Kernel) validBridgeGetlinkReq(h *nlmsghdr, strictly bool, x *extAck) (mask uint32, err errno) {
	s := liberal
	if strictly {
		s = deprecatedStrict
		if len(h.payload()) < sizeofIfinfo {
			x.set("Invalid header for bridge link dump")
			return 0, nlmsg.EINVAL
		}
		if m := parseIfinfomsg(h.payload()); m.pad != 0 || m.typ != 0 || m.flags != 0 || m.change != 0 || m.index != 0 {
			x.set("Invalid values in header for bridge link dump request")
			return 0, nlmsg.EINVAL
		}
	}
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, s, x)
	if err != 0 {
		return 0, err
	}
	for t, a := range tb {
		switch {
		case a == nil:
		case t == iflaExtMask:
			mask = a.u32()
		case strictly:
			x.set("Unsupported attribute in bridge link dump request")
			return 0, nlmsg.EINVAL
		}
	}
	return mask, 0
}

// rtnlBridgeGetlink is net/core/rtnetlink.c rtnl_bridge_getlink.
func (k *Kernel) rtnlBridgeGetlink(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_bridge_getlink")()
	mask, err := k.validBridgeGetlinkReq(cb.nlh, cb.strict, cb.extack)
	if err != 0 && cb.strict {
		return err
	}
	i := 0
	one := func(b *netBridge, p *bridgePort) errno { // br_getlink
		if i++; i <= cb.args[0] || p == nil && mask&k.rtextFilterBridge() == 0 {
			return 0
		}
		return k.brFillIfinfo(skb, b, p, cb.skb.portid, cb.nlh.Seq, rtmNewlink, nlmMulti, mask)
	}
	for _, d := range cb.net.state.devs {
		err = 0
		if p := d.port; p != nil {
			err = one(p.br, p)
		}
		if b := d.bridge(); b != nil && err == 0 {
			err = one(b, nil)
		}
		if err != 0 {
			if cb.args[0] = i - 1; len(skb.data) == 0 {
				return err
			}
			return dumpLen(skb)
		}
	}
	cb.args[0] = i
	return dumpLen(skb)
}

// bridgeRequest finds the link of a request and the flags that say whom to ask, which
// are in a, nil without (net/core/rtnetlink.c rtnl_bridge_setlink).
func bridgeRequest(n *netns, h *nlmsghdr, x *extAck) (d *netDevice, a *nlattr, flags uint16, err errno) {
	if len(h.payload()) < sizeofIfinfo {
		return nil, nil, 0, nlmsg.EINVAL
	}
	if d = n.devGetByIndex(int(parseIfinfomsg(h.payload()).index)); d == nil {
		x.set("unknown ifindex")
		return nil, nil, 0, nlmsg.ENODEV
	}
	if spec := nlmsgFindAttr(h, sizeofIfinfo, iflaAfSpec); spec != nil {
		_, err = eachAttr(spec.data, 0, func(s *nlattr) errno {
			switch kind := s.kind(); {
			case kind == iflaBridgeFlags && a == nil:
				if len(s.data) < 2 {
					return nlmsg.EINVAL
				}
				a, flags = s, s.u16()
			case kind == iflaBridgeMode && len(s.data) < 2 && h.Type == rtmSetlink:
				return nlmsg.EINVAL
			}
			return 0
		})
	}
	return d, a, flags, err
}

// rtnlBridgeSetlink is net/core/rtnetlink.c rtnl_bridge_setlink.
func (k *Kernel) rtnlBridgeSetlink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_bridge_setlink")()
	return k.bridgeChange(skb.sk.net, h, x, func(d *netDevice) errno { return k.brSetlink(d, h, x) })
}

// rtnlBridgeDellink is net/core/rtnetlink.c rtnl_bridge_dellink.
func (k *Kernel) rtnlBridgeDellink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_bridge_dellink")()
	return k.bridgeChange(skb.sk.net, h, x, func(d *netDevice) errno { return k.brDellink(d, h) })
}

// bridgeChange asks the bridge above a link, and the link itself. The flags in the
// request are left with what has not been done.
func (k *Kernel) bridgeChange(n *netns, h *nlmsghdr, x *extAck, change func(*netDevice) errno) errno {
	d, a, flags, err := bridgeRequest(n, h, x)
	if err != 0 {
		return err
	}
	if flags == 0 || flags&bridgeFlagsMaster != 0 {
		if d.port == nil {
			return nlmsg.EOPNOTSUPP
		}
		if err := change(d); err != 0 {
			return err
		}
		flags &^= bridgeFlagsMaster
	}
	if flags&bridgeFlagsSelf != 0 {
		err = nlmsg.EOPNOTSUPP
		if d.bridge() != nil {
			err = change(d)
		}
		if err == 0 {
			flags &^= bridgeFlagsSelf
		}
	}
	if a != nil {
		native.PutUint16(a.data, flags)
	}
	return err
}
