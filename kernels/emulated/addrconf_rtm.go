package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// ifaIpv6Policy is net/ipv6/addrconf.c ifa_ipv6_policy.
func (k *Kernel) ifaIpv6Policy() policy {
	p := make(policy, ifaMcUsers+1)
	p[ifaAddress].len = 16
	p[ifaLocal].len = 16
	p[ifaCacheinfo].len = sizeofIfaCacheinfo
	p[ifaFlags].len = 4
	p[ifaRtPriority].len = 4
	p[ifaTargetNetnsid].typ = nlaS32
	p[ifaProto].typ = nlaU8
	return p[:k.ifaMax()]
}

// extractAddr is the address that attributes name, and that of the peer if it is
// another: IFA_LOCAL and IFA_ADDRESS, or IFA_ADDRESS alone (net/ipv6/addrconf.c
// extract_addr).
func extractAddr(tb attrTable) (addr in6Addr, peer *in6Addr, ok bool) {
	if a := tb[ifaAddress]; a != nil {
		addr, ok = a.in6(), true
	}
	if l := tb[ifaLocal]; l != nil {
		if ok && (addr != l.in6() || len(l.data) != 16) {
			p := addr
			peer = &p
		}
		addr, ok = l.in6(), true
	}
	return addr, peer, ok
}

// inet6RtmNewaddr is net/ipv6/addrconf.c inet6_rtm_newaddr. Optimistic detection of
// duplicates is off, and nobody can have switched it on.
func (k *Kernel) inet6RtmNewaddr(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_newaddr")()
	fails := k.addrFails(x, "ipv6: ")
	tb, err := nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy6, liberal, x)
	if err != 0 {
		return err
	}
	pfx, peer, ok := extractAddr(tb)
	if !ok {
		return nlmsg.EINVAL
	}
	m := readIfaddrmsg(h)
	cfg := &ifa6Config{pfx: pfx, peerPfx: peer, plen: m.prefixlen, flags: uint32(m.flags)}
	if a := tb[ifaRtPriority]; a != nil {
		cfg.rtPriority = a.u32()
	}
	if a := tb.get(ifaProto); a != nil {
		cfg.proto = a.u8()
	}
	cfg.validLft, cfg.preferredLft = lifetimes(tb[ifaCacheinfo])
	if cfg.lifetimeBad() && k.has(inet6ValidateFirst) {
		return fails(nlmsg.EINVAL, "address lifetime invalid")
	}
	d := skb.sk.net.devGetByIndex(int(int32(m.index)))
	if d == nil {
		return fails(nlmsg.ENODEV, "Unable to find the interface")
	}
	if a := tb[ifaFlags]; a != nil {
		cfg.flags = a.u32()
	}
	cfg.flags &= ifaFNodad | ifaFHomeaddress | ifaFManagetempaddr | ifaFNoprefixroute | ifaFMcautojoin
	if _, err := k.ipv6FindIdev(d); err != 0 {
		return err
	}
	ifp := d.net.ipv6GetIfaddr(pfx, d)
	switch {
	case ifp == nil:
		return k.inet6AddrAdd(d, cfg, x)
	case h.Flags&nlmExcl != 0 || h.Flags&nlmReplace == 0:
		return fails(nlmsg.EEXIST, "address already assigned")
	}
	return k.inet6AddrModify(ifp, cfg)
}

// inet6RtmDeladdr is net/ipv6/addrconf.c inet6_rtm_deladdr.
func (k *Kernel) inet6RtmDeladdr(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_deladdr")()
	tb, err := nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy6, liberal, x)
	if err != 0 {
		return err
	}
	pfx, _, ok := extractAddr(tb)
	if !ok {
		return nlmsg.EINVAL
	}
	m := readIfaddrmsg(h)
	return k.inet6AddrDel(skb.sk.net, int(int32(m.index)), pfx, m.prefixlen, x)
}

// inet6FillIfaddr puts an address (net/ipv6/addrconf.c inet6_fill_ifaddr).
func (k *Kernel) inet6FillIfaddr(skb *skBuff, ifp *inet6Ifaddr, f *fillAddr) errno {
	p := f.put(skb, ifaddrmsg{pfInet6, ifp.prefixLen, uint8(ifp.flags), rtScope(ifp.scope), uint32(ifp.idev.dev.index)})
	preferred, valid := ifp.preferedLft, ifp.validLft
	if ifp.flags&ifaFPermanent != 0 && preferred == infinityLifeTime {
		valid = infinityLifeTime
	}
	if ifp.peerAddr != (in6Addr{}) {
		skb.nlaPut(ifaLocal, ifp.addr[:])
		skb.nlaPut(ifaAddress, ifp.peerAddr[:])
	} else {
		skb.nlaPut(ifaAddress, ifp.addr[:])
	}
	if ifp.rtPriority != 0 {
		skb.nlaPutU32(ifaRtPriority, ifp.rtPriority)
	}
	skb.putCacheinfo(preferred, valid)
	skb.nlaPutU32(ifaFlags, ifp.flags)
	if ifp.proto != 0 && k.has(addrProto) {
		skb.nlaPutU8(ifaProto, ifp.proto)
	}
	return p.end()
}

// inet6IfaddrMsgsize is net/ipv6/addrconf.c inet6_ifaddr_msgsize.
const inet6IfaddrMsgsize = sizeofIfaddrmsg + 20 + 20 + 20 + 8 + 8 + 8

// inet6IfaNotify tells RTNLGRP_IPV6_IFADDR of an address, but not who changed it
// (net/ipv6/addrconf.c inet6_ifa_notify).
func (k *Kernel) inet6IfaNotify(event uint16, ifp *inet6Ifaddr) {
	defer k.enter("inet6_ifa_notify")()
	skb := nlmsgNew(inet6IfaddrMsgsize)
	k.inet6FillIfaddr(skb, ifp, &fillAddr{event: event})
	k.rtnlNotify(skb, ifp.idev.dev.net, 0, rtnlgrpIpv6Ifaddr, nil)
}

// inet6DumpIfaddr is net/ipv6/addrconf.c inet6_dump_ifaddr.
func (k *Kernel) inet6DumpIfaddr(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_dump_ifaddr")()
	return k.dumpAddr(skb, cb, &addrDump{policy: k.ifaPolicy6, prefix: "ipv6: ", event: rtmNewaddr, ends: addrDumpReturn,
		genid: func(n *netns) uint32 { return n.state.inet6.addrGenid },
		addrs: func(d *netDevice) (int, fillAddrFunc) {
			if d.in6Dev == nil {
				return 0, nil
			}
			l := d.in6Dev.addrList
			return len(l), func(i int, skb *skBuff, f *fillAddr) errno { return k.inet6FillIfaddr(skb, l[i], f) }
		}})
}

// inet6RtmValidGetaddrReq is net/ipv6/addrconf.c inet6_rtm_valid_getaddr_req.
func (k *Kernel) inet6RtmValidGetaddrReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	fails := func(text string) (attrTable, errno) {
		x.set("ipv6: " + text)
		return nil, nlmsg.EINVAL
	}
	if len(h.payload()) < sizeofIfaddrmsg {
		return fails("Invalid header for get address request")
	}
	if !k.netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy6, liberal, x)
	}
	if m := readIfaddrmsg(h); m.prefixlen != 0 || m.flags != 0 || m.scope != 0 {
		return fails("Invalid values in header for get address request")
	}
	tb, err := nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy6, deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	for t, a := range tb {
		if a != nil && t != ifaTargetNetnsid && t != ifaAddress && t != ifaLocal {
			return fails("Unsupported attribute in get address request")
		}
	}
	return tb, 0
}

// inet6RtmGetaddr is net/ipv6/addrconf.c inet6_rtm_getaddr. An index without a link
// is any link.
func (k *Kernel) inet6RtmGetaddr(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_getaddr")()
	tb, err := k.inet6RtmValidGetaddrReq(in, h, x)
	if err != 0 {
		return err
	}
	n := in.sk.net
	f := fillAddr{portid: in.portid, seq: h.Seq, event: rtmNewaddr}
	if a := tb[ifaTargetNetnsid]; a != nil {
		f.netnsid, f.netnsidSet = int(int32(a.u32())), true
		if n, err = k.rtnlGetNetNsCapable(in, f.netnsid); err != 0 {
			return err
		}
	}
	addr, _, ok := extractAddr(tb)
	if !ok {
		return nlmsg.EINVAL
	}
	ifp := n.ipv6GetIfaddr(addr, n.devGetByIndex(int(int32(readIfaddrmsg(h).index))))
	if ifp == nil {
		return nlmsg.EADDRNOTAVAIL
	}
	skb := nlmsgNew(inet6IfaddrMsgsize)
	k.inet6FillIfaddr(skb, ifp, &f)
	return k.rtnlUnicast(skb, n, in.portid)
}
