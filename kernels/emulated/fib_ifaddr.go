package emulated

import "slices"

// fibMagic adds or deletes a route that an address brings (net/ipv4/fib_frontend.c
// fib_magic).
func (k *Kernel) fibMagic(cmd int, typ uint8, dst in4Addr, plen uint8, ifa *inIfaddr, prio uint32) {
	d := ifa.dev.dev
	cfg := &fibConfig{
		info: nlInfo{net: d.net}, nlflags: nlmCreate | nlmAppend,
		protocol: rtprotKernel, typ: typ, dst: dst, dstLen: plen, priority: prio, prefsrc: ifa.local, oif: d.index,
		scope: rtScopeLink, table: rtTableLocal,
	}
	if typ == rtnUnicast {
		cfg.table = rtTableMain
	}
	if typ == rtnLocal {
		cfg.scope = rtScopeHost
	}
	t := d.net.fibNewTable(cfg.table)
	if cmd == rtmNewroute {
		k.fibTableInsert(d.net, t, cfg, nil)
	} else {
		k.fibTableDelete(d.net, t, cfg, nil)
	}
}

// prefixType is the type of the route to the subnet of an address.
func (d *netDevice) prefixType() uint8 {
	if d.flags&iffLoopback != 0 {
		return rtnLocal
	}
	return rtnUnicast
}

// inetIfaByprefix is the primary address of a subnet (net/ipv4/devinet.c
// inet_ifa_byprefix).
func (in *inDevice) inetIfaByprefix(prefix, mask in4Addr) *inIfaddr {
	for _, ifa := range in.ifaList {
		if ifa.flags&ifaFSecondary == 0 && ifa.mask == mask && ifa.match(prefix) {
			return ifa
		}
	}
	return nil
}

// fibAddIfaddr adds the routes that an address brings (net/ipv4/fib_frontend.c
// fib_add_ifaddr).
func (k *Kernel) fibAddIfaddr(ifa *inIfaddr) {
	defer k.enter("fib_add_ifaddr")()
	d := ifa.dev.dev
	prefix := ifa.address & ifa.mask
	prim := ifa
	if ifa.flags&ifaFSecondary != 0 {
		if prim = ifa.dev.inetIfaByprefix(prefix, ifa.mask); prim == nil {
			return
		}
	}
	k.fibMagic(rtmNewroute, rtnLocal, ifa.local, 32, prim, 0)
	if d.flags&iffUp == 0 {
		return
	}
	if ifa.broadcast != 0 && !ipv4IsLbcast(ifa.broadcast) {
		k.fibMagic(rtmNewroute, rtnBroadcast, ifa.broadcast, 32, prim, 0)
	}
	if ipv4IsZeronet(prefix) || ifa.flags&ifaFSecondary != 0 || prefix == ifa.local && ifa.prefixlen == 32 {
		return
	}
	if ifa.flags&ifaFNoprefixroute == 0 {
		k.fibMagic(rtmNewroute, d.prefixType(), prefix, ifa.prefixlen, prim, ifa.rtPriority)
	}
	if ifa.prefixlen < 31 {
		if !k.has(routeNoNetBroadcast) {
			k.fibMagic(rtmNewroute, rtnBroadcast, prefix, 32, prim, 0)
		}
		k.fibMagic(rtmNewroute, rtnBroadcast, prefix|^ifa.mask, 32, prim, 0)
	}
}

// fibModifyPrefixMetric gives the route to a subnet another priority
// (net/ipv4/fib_frontend.c fib_modify_prefix_metric).
func (k *Kernel) fibModifyPrefixMetric(ifa *inIfaddr, metric uint32) {
	d := ifa.dev.dev
	prefix := ifa.address & ifa.mask
	if d.flags&iffUp == 0 || ifa.flags&(ifaFSecondary|ifaFNoprefixroute) != 0 || ipv4IsZeronet(prefix) ||
		prefix == ifa.local && ifa.prefixlen == 32 {
		return
	}
	k.fibMagic(rtmNewroute, d.prefixType(), prefix, ifa.prefixlen, ifa, metric)
	k.fibMagic(rtmDelroute, d.prefixType(), prefix, ifa.prefixlen, ifa, ifa.rtPriority)
}

// fibDelIfaddr deletes the routes that an address brought, as far as no other needs
// them. iprim, if there is one, is the primary address of a subnet that goes with all
// of its secondary ones (net/ipv4/fib_frontend.c fib_del_ifaddr).
func (k *Kernel) fibDelIfaddr(ifa, iprim *inIfaddr) {
	defer k.enter("fib_del_ifaddr")()
	in := ifa.dev
	d := in.dev
	brd, net := ifa.address|^ifa.mask, ifa.address&ifa.mask
	prim, subnet := ifa, false
	if ifa.flags&ifaFSecondary != 0 {
		if prim = in.inetIfaByprefix(net, ifa.mask); prim == nil || iprim != nil && iprim != prim {
			return
		}
	} else if !ipv4IsZeronet(net) && (net != ifa.local || ifa.prefixlen < 32) {
		if ifa.flags&ifaFNoprefixroute == 0 {
			k.fibMagic(rtmDelroute, d.prefixType(), net, ifa.prefixlen, prim, 0)
		}
		subnet = true
	}
	var keep keptRoutes
	if !in.dead {
		keep = in.needed(ifa, prim, iprim, brd, net)
	}
	if !keep.brd {
		k.fibMagic(rtmDelroute, rtnBroadcast, ifa.broadcast, 32, prim, 0)
	}
	if subnet && ifa.prefixlen < 31 {
		if !keep.brd1 {
			k.fibMagic(rtmDelroute, rtnBroadcast, brd, 32, prim, 0)
		}
		if !keep.brd0 {
			k.fibMagic(rtmDelroute, rtnBroadcast, net, 32, prim, 0)
		}
	}
	if keep.local {
		return
	}
	k.fibMagic(rtmDelroute, rtnLocal, ifa.local, 32, prim, 0)
	gone := !slices.Contains(in.ifaList, ifa)
	if gone && k.inetAddrType(d.net, ifa.local, rtTableLocal) != rtnLocal && k.fibSyncDownAddr(d, ifa.local) {
		k.fibFlush(d.net)
	}
}

// keptRoutes are the routes of an address that others need.
type keptRoutes struct{ local, brd, brd0, brd1 bool }

// needed looks for who needs the routes of an address that goes.
func (in *inDevice) needed(ifa, prim, iprim *inIfaddr, brd, net in4Addr) (keep keptRoutes) {
	var prim1 *inIfaddr
	samePrefsrc := false
	for _, o := range in.ifaList {
		if o == ifa || iprim != nil && o.mask == iprim.mask && iprim.match(o.address) {
			continue
		}
		switch {
		case o.flags&ifaFSecondary == 0:
			if prim.local != o.local {
				continue
			}
			if prim1 = o; prim != prim1 {
				samePrefsrc = true
			}
		case o.mask == prim.mask && prim.match(o.address):
			prim1 = prim
		default:
			if !samePrefsrc {
				continue
			}
			if prim1 == nil || o.mask != prim1.mask || !prim1.match(o.address) {
				prim1 = in.inetIfaByprefix(o.address, o.mask)
			}
			if prim1 == nil || prim1.local != prim.local {
				continue
			}
		}
		keep.local = keep.local || ifa.local == o.local
		keep.brd = keep.brd || ifa.broadcast == o.broadcast
		keep.brd1 = keep.brd1 || brd == o.broadcast
		keep.brd0 = keep.brd0 || net == o.broadcast
		if prim1 == o && o.prefixlen < 31 {
			brd1, net1 := o.address|^o.mask, o.address&o.mask
			if !ipv4IsZeronet(net1) {
				keep.brd = keep.brd || ifa.broadcast == brd1 || ifa.broadcast == net1
				keep.brd1 = keep.brd1 || brd == brd1 || brd == net1
				keep.brd0 = keep.brd0 || net == brd1 || net == net1
			}
		}
	}
	return keep
}

// fibInetaddrEvent has the routes follow the addresses: netdevUp for one that is new,
// netdevDown for one that is gone (net/ipv4/fib_frontend.c fib_inetaddr_event).
func (k *Kernel) fibInetaddrEvent(e netdevEvent, ifa *inIfaddr) {
	defer k.enter("fib_inetaddr_event")()
	d := ifa.dev.dev
	switch e {
	case netdevUp:
		k.fibAddIfaddr(ifa)
		k.fibSyncUp(d, rtnhDead)
	case netdevDown:
		k.fibDelIfaddr(ifa, nil)
		if len(ifa.dev.ifaList) == 0 {
			k.fibDisableIP(d, e, true)
		}
	}
}
