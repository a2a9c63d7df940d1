package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fibCreateInfo checks a route and makes what it has in common with others
// (net/ipv4/fib_semantics.c fib_create_info).
func (k *Kernel) fibCreateInfo(n *netns, cfg *fibConfig, x *extAck) (*fibInfo, errno) {
	defer k.enter("fib_create_info")()
	invalid := func(msg string) (*fibInfo, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	props := fibProps[cfg.typ]
	if props.scope > cfg.scope {
		return invalid("Invalid scope")
	}
	if cfg.flags&(rtnhDead|rtnhLinkdown) != 0 {
		return invalid("Invalid rtm_flags - can not contain DEAD or LINKDOWN")
	}
	fi := &fibInfo{
		fibInfoKey: fibInfoKey{protocol: cfg.protocol, scope: cfg.scope, prefsrc: cfg.prefsrc, priority: cfg.priority, nhID: cfg.nhID, nNhs: 1},
		flags:      cfg.flags, typ: cfg.typ, table: cfg.table,
	}
	if cfg.nhID != 0 {
		fi.nNhs = 0
		if fi.nh = n.nexthopFindByID(cfg.nhID); fi.nh == nil {
			return invalid("Nexthop id does not exist")
		}
	}
	if cfg.mp != nil {
		if fi.nNhs = fibCountNexthops(cfg.mp, x); fi.nNhs == 0 {
			return nil, nlmsg.EINVAL
		}
	}
	var err errno
	if fi.metrics, err = k.ipFibMetricsInit(cfg.mx, cfg.mxOff, x); err != 0 {
		return nil, err
	}
	switch {
	case fi.nh != nil:
	case cfg.mp != nil:
		err = k.fibGetNhs(fi, cfg, x)
	default:
		var nh *fibNh
		nh, err = fibNhInit(cfg, 1, x)
		fi.nhs = []*fibNh{nh}
	}
	if err != 0 {
		return nil, err
	}
	if props.err != 0 {
		if cfg.gwFamily != 0 || cfg.oif != 0 || cfg.mp != nil {
			return invalid("Gateway, device and multipath can not be specified for this route type")
		}
		return n.fibLink(fi), 0
	}
	if cfg.typ < rtnUnicast || cfg.typ > rtnMulticast {
		return invalid("Invalid route type")
	}
	if cfg.scope > rtScopeHost {
		return invalid("Invalid scope")
	}
	if err := k.fibCheckNhs(n, fi, cfg, x); err != 0 {
		return nil, err
	}
	if fi.prefsrc != 0 && !k.fibValidPrefsrc(n, cfg, fi.prefsrc) {
		return invalid("Invalid prefsrc address")
	}
	return n.fibLink(fi), 0
}

// fibCheckNhs is the part of fib_create_info that looks at nexthops.
func (k *Kernel) fibCheckNhs(n *netns, fi *fibInfo, cfg *fibConfig, x *extAck) errno {
	invalid := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	if fi.nh != nil {
		return fibCheckNexthop(fi.nh, cfg.scope, x)
	}
	if cfg.scope == rtScopeHost { // an address of the host
		nh := fi.nhs[0]
		if len(fi.nhs) != 1 {
			return invalid("Route with host scope can not have multiple nexthops")
		}
		if nh.gwFamily != 0 {
			return invalid("Route with host scope can not have a gateway")
		}
		nh.scope = rtScopeNowhere
		if nh.dev = n.devGetByIndex(nh.oif); nh.dev == nil {
			return nlmsg.ENODEV
		}
		return 0
	}
	down := 0
	for _, nh := range fi.nhs {
		if err := k.fibCheckNh(n, nh, cfg.table, cfg.scope, x); err != 0 {
			return err
		}
		if nh.flags&rtnhLinkdown != 0 {
			down++
		}
	}
	if down == len(fi.nhs) {
		fi.flags |= rtnhLinkdown
	}
	return 0
}

// fibLink is the fib_info that is alike and there already, or fi
// (net/ipv4/fib_semantics.c fib_find_info).
func (n *netns) fibLink(fi *fibInfo) *fibInfo {
	infos := n.state.fib.infos
	for _, o := range infos[fi.fibInfoKey] {
		if o.typ == fi.typ && o.table == fi.table && o.metrics.equal(fi.metrics) && (o.flags^fi.flags)&^rtnhCompareMask == 0 && nhComp(o, fi) {
			o.refs++
			return o
		}
	}
	fi.refs = 1
	infos[fi.fibInfoKey] = append(infos[fi.fibInfoKey], fi)
	if fi.nh != nil {
		fi.nh.fis[fi] = struct{}{}
	}
	return fi
}

// rtnhCompareMask are the flags that make no difference.
const rtnhCompareMask = rtnhDead | rtnhLinkdown | rtnhOffload | rtnhTrap

// nhComp is net/ipv4/fib_semantics.c nh_comp.
func nhComp(a, b *fibInfo) bool {
	for i, nh := range a.nhs {
		o := b.nhs[i]
		if nh.oif != o.oif || nh.gwFamily != o.gwFamily || nh.gw != o.gw || nh.scope != o.scope || nh.weight != o.weight || nh.flow != o.flow ||
			(nh.flags^o.flags)&^rtnhCompareMask != 0 {
			return false
		}
	}
	return true
}

// fibNhInit is net/ipv4/fib_semantics.c fib_nh_init.
func fibNhInit(cfg *fibConfig, weight int, x *extAck) (*fibNh, errno) {
	if cfg.encap != nil && cfg.encapType == 0 {
		x.set("LWT encap type not specified")
		return nil, nlmsg.EINVAL
	}
	return &fibNh{family: pfInet, oif: cfg.oif, gwFamily: cfg.gwFamily, gw: cfg.gw, flags: cfg.flags, flow: cfg.flow, weight: weight}, 0
}

// fibCountNexthops is net/ipv4/fib_semantics.c fib_count_nexthops.
func fibCountNexthops(mp []byte, x *extAck) (nhs int) {
	nh, rest := rtnhFirst(mp)
	for ; nh != nil; nh, rest = rtnhFirst(rest) {
		nhs++
	}
	if len(rest) > 0 {
		x.set("Invalid nexthop configuration - extra data after nexthops")
		return 0
	}
	return nhs
}

// fibGetNhs reads the nexthops of a route (net/ipv4/fib_semantics.c fib_get_nhs).
func (k *Kernel) fibGetNhs(fi *fibInfo, cfg *fibConfig, x *extAck) errno {
	invalid := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	for nh, rest := rtnhFirst(cfg.mp); nh != nil; nh, rest = rtnhFirst(rest) {
		if nh.flags&(rtnhDead|rtnhLinkdown) != 0 {
			return invalid("Invalid flags for nexthop - can not contain DEAD or LINKDOWN")
		}
		c := &fibConfig{flags: cfg.flags&^0xff | uint32(nh.flags), oif: nh.ifindex}
		gw, via := nh.find(rtaGateway), nh.find(rtaVia)
		switch {
		case gw != nil && via != nil:
			return invalid("Nexthop configuration can not contain both GATEWAY and VIA")
		case gw != nil:
			if len(gw.data) < 4 {
				return invalid("Invalid IPv4 address in RTA_GATEWAY")
			}
			c.setGw4(gw.data)
		case via != nil:
			if err := fibGwFromVia(c, via, x); err != 0 {
				return err
			}
		}
		if a := nh.find(rtaFlow); a != nil {
			if len(a.data) < 4 {
				return invalid("Invalid RTA_FLOW")
			}
			c.flow = a.u32()
		}
		c.encap = nh.find(rtaEncap)
		one, err := fibNhInit(c, int(nh.hops)+1, x)
		if err != 0 {
			return err
		}
		fi.nhs = append(fi.nhs, one)
	}
	first := fi.nhs[0]
	if cfg.oif != 0 && first.oif != cfg.oif {
		return invalid("Nexthop device index does not match RTA_OIF")
	}
	if cfg.gwFamily != 0 && (cfg.gwFamily != first.gwFamily || cfg.gw != first.gw) {
		return invalid("Nexthop gateway does not match RTA_GATEWAY or RTA_VIA")
	}
	if cfg.flow != 0 && first.flow != cfg.flow {
		return invalid("Nexthop class id does not match RTA_FLOW")
	}
	return 0
}

// fibCheckNh says whether a nexthop can be reached, and over which link
// (net/ipv4/fib_semantics.c fib_check_nh).
func (k *Kernel) fibCheckNh(n *netns, nh *fibNh, table uint32, scope uint8, x *extAck) errno {
	switch nh.gwFamily {
	case pfInet:
		return k.fibCheckNhV4Gw(n, nh, table, scope, x)
	case pfInet6:
		return k.fibCheckNhV6Gw(n, nh, table, x)
	}
	return k.fibCheckNhNongw(n, nh, x)
}

// fibCheckNhV6Gw is net/ipv4/fib_semantics.c fib_check_nh_v6_gw.
func (k *Kernel) fibCheckNhV6Gw(n *netns, nh *fibNh, table uint32, x *extAck) errno {
	cfg := &fib6Config{table: table, flags: nh.flags | rtfGateway, oif: nh.oif, gateway: nh.gw}
	nh6, err := k.fib6NhInit(n, cfg, x)
	if err != 0 {
		return err
	}
	nh.dev, nh.oif, nh.scope = nh6.dev, nh6.dev.index, rtScopeLink
	return 0
}

// fibCheckNhV4Gw is net/ipv4/fib_semantics.c fib_check_nh_v4_gw.
func (k *Kernel) fibCheckNhV4Gw(n *netns, nh *fibNh, table uint32, scope uint8, x *extAck) errno {
	fail := func(err errno, msg string) errno {
		x.set(msg)
		return err
	}
	if nh.flags&rtnhOnlink != 0 {
		if scope >= rtScopeLink {
			return fail(nlmsg.EINVAL, "Nexthop has invalid scope")
		}
		dev := n.devGetByIndex(nh.oif)
		if dev == nil {
			return fail(nlmsg.ENODEV, "Nexthop device required for onlink")
		}
		if dev.flags&iffUp == 0 {
			return fail(nlmsg.ENETDOWN, "Nexthop device is not up")
		}
		if k.inetAddrType(n, nh.gw4(), rtTableLocal) != rtnUnicast {
			return fail(nlmsg.EINVAL, "Nexthop has invalid gateway")
		}
		nh.setDev(dev)
		nh.scope = rtScopeLink
		return 0
	}
	fl := &flowi{daddr: nh.gw, scope: max(scope+1, rtScopeLink), oif: nh.oif, iif: loopbackIfindex}
	if scope == rtScopeNowhere {
		fl.scope = rtScopeNowhere
	}
	var res fibResult
	err := errno(nlmsg.EAGAIN)
	if t := n.fibGetTable(table); table != 0 && table != rtTableMain && t != nil {
		res, err = k.fibTableLookup(n, t, fl, true)
	}
	if err != 0 {
		res, err = k.fibLookup(n, fl, true)
	}
	if err != 0 {
		return fail(err, "Nexthop has invalid gateway")
	}
	if res.typ != rtnUnicast && res.typ != rtnLocal {
		return fail(nlmsg.EINVAL, "Nexthop has invalid gateway")
	}
	nh.scope = res.scope
	if res.nhc.dev == nil {
		return fail(nlmsg.EINVAL, "No egress device for nexthop gateway")
	}
	nh.oif = res.nhc.oif
	nh.setDev(res.nhc.dev)
	if nh.dev.flags&iffUp == 0 {
		return nlmsg.ENETDOWN
	}
	return 0
}

// netifCarrierOk is include/linux/netdevice.h netif_carrier_ok.
func netifCarrierOk(d *netDevice) bool { return d.carrier }

// loopbackIfindex is LOOPBACK_IFINDEX.
const loopbackIfindex = 1

func (nh *fibNh) setDev(d *netDevice) {
	if nh.dev = d; !netifCarrierOk(d) {
		nh.flags |= rtnhLinkdown
	}
}

// fibCheckNhNongw is net/ipv4/fib_semantics.c fib_check_nh_nongw.
func (k *Kernel) fibCheckNhNongw(n *netns, nh *fibNh, x *extAck) errno {
	if nh.flags&(rtnhPervasive|rtnhOnlink) != 0 {
		x.set("Invalid flags for nexthop - PERVASIVE and ONLINK can not be set")
		return nlmsg.EINVAL
	}
	dev := n.devGetByIndex(nh.oif)
	if dev == nil || dev.inDev == nil {
		return nlmsg.ENODEV
	}
	if dev.flags&iffUp == 0 {
		x.set("Device for nexthop is not up")
		return nlmsg.ENETDOWN
	}
	nh.setDev(dev)
	if nh.scope = rtScopeLink; k.has(nexthopHostScope) {
		nh.scope = rtScopeHost
	}
	return 0
}

// fibValidPrefsrc is net/ipv4/fib_semantics.c fib_valid_prefsrc.
func (k *Kernel) fibValidPrefsrc(n *netns, cfg *fibConfig, src in4Addr) bool {
	if cfg.typ == rtnLocal && cfg.dst != 0 && src == cfg.dst {
		return true
	}
	table := cfg.table
	if table == rtTableMain {
		table = rtTableLocal
	}
	return k.inetAddrType(n, src, table) == rtnLocal ||
		table != rtTableLocal && k.inetAddrType(n, src, rtTableLocal) == rtnLocal
}

// fibNhMatch says whether a route has the nexthops that are to be deleted
// (net/ipv4/fib_semantics.c fib_nh_match).
func fibNhMatch(cfg *fibConfig, fi *fibInfo, x *extAck) bool {
	if cfg.priority != 0 && cfg.priority != fi.priority {
		return false
	}
	if cfg.nhID != 0 {
		return fi.nh != nil && cfg.nhID == fi.nh.id
	}
	if cfg.oif != 0 || cfg.gwFamily != 0 {
		if fi.nh != nil {
			return false
		}
		nh := fi.nhs[0]
		return (cfg.flow == 0 || cfg.flow == nh.flow) && (cfg.oif == 0 || cfg.oif == nh.oif) &&
			(cfg.gwFamily == 0 || cfg.gwFamily == nh.gwFamily && cfg.gw == nh.gw)
	}
	if cfg.mp == nil {
		return true
	}
	if fi.nh != nil {
		return false
	}
	rest := cfg.mp
	for _, nh := range fi.nhs {
		var r *rtnexthop
		if r, rest = rtnhFirst(rest); r == nil {
			return false
		}
		if r.ifindex != 0 && r.ifindex != nh.oif {
			return false
		}
		c := &fibConfig{}
		gw, via := r.find(rtaGateway), r.find(rtaVia)
		switch {
		case gw != nil && via != nil:
			x.set("Nexthop configuration can not contain both GATEWAY and VIA")
			return false
		case gw != nil:
			if len(gw.data) < 4 {
				x.set("Invalid IPv4 address in RTA_GATEWAY")
				return false
			}
			copy(c.gw[:4], gw.data)
			c.gwFamily = pfInet
		case via != nil:
			if fibGwFromVia(c, via, x) != 0 {
				return false
			}
		}
		if c.gwFamily != 0 && (c.gwFamily != nh.gwFamily || c.gw != nh.gw) {
			return false
		}
		if a := r.find(rtaFlow); a != nil && (len(a.data) < 4 || a.u32() != nh.flow) {
			return false
		}
	}
	return true
}
