package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// What addresses have the tables of IPv6 routes do.

// hostRoute finds the route of an address to itself.
func (ifp *inet6Ifaddr) hostRoute() *fib6Info {
	d := ifp.idev.dev
	fn := d.net.fib6GetTable(rtTableLocal).nodes[fib6Key{dst: ifp.addr, dstLen: 128}]
	if fn == nil {
		return nil
	}
	for _, rt := range fn.routes {
		if rt.one != nil && rt.one.dev == d && rt.flags&rtfLocal != 0 {
			return rt
		}
	}
	return nil
}

// ip6InsHostRoute enters the route of an address to itself, if it is not in the
// table (net/ipv6/addrconf.c __ipv6_ifa_notify, net/ipv6/route.c
// addrconf_f6i_alloc, ip6_ins_rt).
func (k *Kernel) ip6InsHostRoute(ifp *inet6Ifaddr) {
	if ifp.hostRoute() != nil {
		return
	}
	d := ifp.idev.dev
	k.ip6RouteAdd(d.net, &fib6Config{info: nlInfo{net: d.net}, table: rtTableLocal, oif: d.index, dst: ifp.addr, dstLen: 128,
		protocol: rtprotKernel, typ: rtnLocal, flags: rtfUp | rtfNonexthop | rtfLocal, ignoreDevDown: true}, nil)
}

// ip6DelHostRoute takes that route from the table, and that to the peer's address
// (net/ipv6/addrconf.c __ipv6_ifa_notify, ip6_del_rt).
func (k *Kernel) ip6DelHostRoute(ifp *inet6Ifaddr) {
	d := ifp.idev.dev
	info := nlInfo{net: d.net}
	if !ifp.peerAddr.isAny() {
		if rt := addrconfGetPrefixRoute(d, ifp.peerAddr, 128, false); rt != nil {
			k.fib6Del(d.net, rt, info)
		}
	}
	if rt := ifp.hostRoute(); rt != nil {
		k.fib6Del(d.net, rt, info)
	}
}

// fixupPermanentAddr gives an address its routes that it could not have while its
// link was down (net/ipv6/addrconf.c fixup_permanent_addr).
func (k *Kernel) fixupPermanentAddr(ifp *inet6Ifaddr) {
	if ifp.flags&ifaFNoprefixroute == 0 {
		k.addrconfPrefixRoute(ifp.addr, ifp.prefixLen, ifp.rtPriority, ifp.idev.dev, 0, 0)
	}
	if ifp.state == ifaddrPredad {
		k.addrconfDadStart(ifp)
	}
}

// addrconfPrefixRoute enters the route to a prefix. expires is in seconds, and goes
// with RTF_EXPIRES in flags (net/ipv6/addrconf.c addrconf_prefix_route).
func (k *Kernel) addrconfPrefixRoute(pfx in6Addr, plen uint8, metric uint32, d *netDevice, expires, flags uint32) {
	if metric == 0 {
		metric = ip6RtPrioAddrconf
	}
	k.ip6RouteAdd(d.net, &fib6Config{info: nlInfo{net: d.net}, table: rtTableMain, metric: metric, oif: d.index, expires: expires,
		dst: pfx, dstLen: plen, flags: rtfUp | flags, protocol: rtprotKernel, typ: rtnUnicast}, nil)
}

// addrconfGetPrefixRoute finds a route to a prefix over a link (net/ipv6/addrconf.c
// addrconf_get_prefix_route).
func addrconfGetPrefixRoute(d *netDevice, pfx in6Addr, plen uint8, noGw bool) *fib6Info {
	fn := d.net.fib6GetTable(rtTableMain).nodes[fib6Key{dst: pfx.prefix(int(plen)), dstLen: plen}]
	if fn == nil {
		return nil
	}
	for _, rt := range fn.routes {
		if rt.nh == nil && rt.one.dev == d && (!noGw || rt.one.gwFamily == 0) {
			return rt
		}
	}
	return nil
}

// modifyPrefixRoute gives the route to a prefix of an address another metric or
// lifetime: ENOENT where it is not in the table (net/ipv6/addrconf.c
// modify_prefix_route).
func (k *Kernel) modifyPrefixRoute(ifp *inet6Ifaddr, addr in6Addr, expires, flags uint32) errno {
	d := ifp.idev.dev
	rt := addrconfGetPrefixRoute(d, addr, ifp.prefixLen, true)
	if rt == nil {
		return nlmsg.ENOENT
	}
	prio := ifp.rtPriority
	if prio == 0 {
		prio = ip6RtPrioAddrconf
	}
	if rt.metric != prio {
		k.fib6Del(d.net, rt, nlInfo{net: d.net})
		k.addrconfPrefixRoute(addr, ifp.prefixLen, ifp.rtPriority, d, expires, flags)
		return 0
	}
	rt.setExpires(expires)
	return 0
}

// setExpires gives a route an end, or with 0 none.
func (rt *fib6Info) setExpires(seconds uint32) {
	rt.expires = seconds
	if rt.flags |= rtfExpires; seconds == 0 {
		rt.flags &^= rtfExpires
	}
}

// cleanupPrefixRoute deletes the route to a prefix of an address, or gives it an end
// (net/ipv6/addrconf.c cleanup_prefix_route).
func (k *Kernel) cleanupPrefixRoute(ifp *inet6Ifaddr, addr in6Addr, action cleanupPrefixRt) {
	d := ifp.idev.dev
	rt := addrconfGetPrefixRoute(d, addr, ifp.prefixLen, true)
	if rt == nil {
		return
	}
	if action == cleanupPrefixRtDel {
		k.fib6Del(d.net, rt, nlInfo{net: d.net})
	} else if rt.flags&rtfExpires == 0 {
		rt.setExpires(ifp.validLft)
	}
}

// addrconfAddMroute enters the route to multicast addresses (net/ipv6/addrconf.c
// addrconf_add_mroute).
func (k *Kernel) addrconfAddMroute(d *netDevice) {
	k.ip6RouteAdd(d.net, &fib6Config{info: nlInfo{net: d.net}, table: rtTableLocal, metric: ip6RtPrioAddrconf, oif: d.index,
		dst: in6Addr{0: 0xff}, dstLen: 8, flags: rtfUp, protocol: rtprotKernel, typ: rtnMulticast}, nil)
}

// rt6DisableIp takes the routes of a link that goes down, or for good
// (net/ipv6/route.c rt6_disable_ip).
func (k *Kernel) rt6DisableIp(d *netDevice, unregister bool) {
	e := netdevDown
	if unregister {
		e = netdevUnregister
	}
	k.rt6SyncDownDev(d, e)
	k.neighIfdown(d.net.neighFindTable(pfInet6), d, false)
}

// rt6RemovePrefsrc takes an address that goes from routes that prefer it as their
// source (net/ipv6/route.c rt6_remove_prefsrc).
func (k *Kernel) rt6RemovePrefsrc(ifp *inet6Ifaddr) {
	d := ifp.idev.dev
	if k.ipv6ChkAddrAndFlags(d.net, ifp.addr, nil, ifaFTentative) {
		return
	}
	k.fib6Each(d.net, func(rt *fib6Info) {
		if rt.prefsrc == ifp.addr && rt.nh == nil && rt.one.dev == d {
			rt.prefsrc = in6Addr{}
		}
	})
}
