package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fib6Config is an IPv6 route as it is asked for (include/net/ip6_fib.h struct
// fib6_config).
type fib6Config struct {
	info           nlInfo
	table          uint32
	metric         uint32
	dst, src       in6Addr
	dstLen, srcLen uint8
	oif            int
	flags          uint32 // RTF_*, and RTNH_F_ONLINK
	protocol       uint8
	typ            uint8
	prefsrc        in6Addr
	gateway        in6Addr
	mx             []byte
	mxOff          int
	mp             []byte
	expires        uint32
	nhID           uint32
	fdb            bool
	ignoreDevDown  bool
	encap          *nlattr
}

// rtmIpv6Policy is net/ipv6/route.c rtm_ipv6_policy.
func (k *Kernel) rtmIpv6Policy() policy {
	p := policy{
		0:            {len: rtaDport + 1},
		rtaGateway:   {len: 16},
		rtaPrefsrc:   {len: 16},
		rtaOif:       {typ: nlaU32},
		rtaIif:       {typ: nlaU32},
		rtaPriority:  {typ: nlaU32},
		rtaMetrics:   {typ: nlaNested},
		rtaMultipath: {len: rtnexthopLen},
		rtaPref:      {typ: nlaU8},
		rtaEncapType: {typ: nlaU16},
		rtaEncap:     {typ: nlaNested},
		rtaExpires:   {typ: nlaU32},
		rtaUID:       {typ: nlaU32},
		rtaMark:      {typ: nlaU32},
		rtaTable:     {typ: nlaU32},
		rtaIPProto:   {typ: nlaU8},
		rtaSport:     {typ: nlaU16},
		rtaDport:     {typ: nlaU16},
		rtaNhID:      {typ: nlaU32},
	}
	if k.rtaMax() == rtaFlowlabel {
		p = append(p, nlaPolicy{typ: nlaBE32})
	}
	return p
}

// ip6RouteInit is net/ipv6/route.c ip6_route_init and net/ipv6/ip6_fib.c
// fib6_init.
func (k *Kernel) ip6RouteInit() {
	k.registerPernetSubsys(pernetOperations{name: "fib6_rules", init: k.fib6RulesNetInit})
	k.rtnlRegister(pfInet6, rtmNewroute, k.inet6RtmNewroute, nil, 0)
	k.rtnlRegister(pfInet6, rtmDelroute, k.inet6RtmDelroute, nil, 0)
	k.rtnlRegister(pfInet6, rtmGetroute, k.inet6RtmGetroute, k.inet6DumpFib, 0)
}

// rtmToFib6Config reads a route (net/ipv6/route.c rtm_to_fib6_config).
func (k *Kernel) rtmToFib6Config(skb *skBuff, h *nlmsghdr, x *extAck) (*fib6Config, errno) {
	invalid := func(msg string) (*fib6Config, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	tb, err := nlmsgParse(h, rtmsgLen, k.rtmIpv6Policy(), liberal, x)
	if err != 0 {
		return nil, err
	}
	m := parseRtmsg(h.payload())
	if m.tos != 0 && k.has(tosIsDscp) {
		return invalid("Invalid dsfield (tos): option not available for IPv6")
	}
	cfg := &fib6Config{info: nlInfo{net: skb.sk.net, h: h, portid: skb.portid}, table: uint32(m.table), dstLen: m.dstLen, srcLen: m.srcLen,
		flags: rtfUp | m.flags&rtnhOnlink, protocol: m.protocol, typ: m.typ}
	switch m.typ {
	case rtnUnreachable, rtnBlackhole, rtnProhibit, rtnThrow:
		cfg.flags |= rtfReject
	case rtnLocal:
		cfg.flags |= rtfLocal
	}
	if m.flags&rtmCloned != 0 {
		cfg.flags |= rtfCache
	}
	if a := tb[rtaNhID]; a != nil {
		if tb[rtaGateway] != nil || tb[rtaOif] != nil || tb[rtaMultipath] != nil || tb[rtaEncap] != nil {
			return invalid("Nexthop specification and nexthop id are mutually exclusive")
		}
		cfg.nhID = a.u32()
	}
	if a := tb[rtaGateway]; a != nil {
		cfg.gateway = a.in6()
		cfg.flags |= rtfGateway
	}
	if tb[rtaVia] != nil {
		return invalid("IPv6 does not support RTA_VIA attribute")
	}
	for _, p := range []struct {
		a   *nlattr
		len uint8
		to  *in6Addr
	}{{tb[rtaDst], m.dstLen, &cfg.dst}, {tb[rtaSrc], m.srcLen, &cfg.src}} {
		if p.a == nil {
			continue
		}
		n := (int(p.len) + 7) / 8
		if len(p.a.data) < n {
			return nil, nlmsg.EINVAL
		}
		copy(p.to[:], p.a.data[:n])
	}
	u32 := func(t int, to *uint32) {
		if a := tb[t]; a != nil {
			*to = a.u32()
		}
	}
	if a := tb[rtaPrefsrc]; a != nil {
		cfg.prefsrc = a.in6()
	}
	if a := tb[rtaOif]; a != nil {
		cfg.oif = int(int32(a.u32()))
	}
	u32(rtaPriority, &cfg.metric)
	if a := tb[rtaMetrics]; a != nil {
		cfg.mx, cfg.mxOff = a.data, a.off+4
	}
	u32(rtaTable, &cfg.table)
	if a := tb[rtaMultipath]; a != nil {
		cfg.mp = a.data
		if err := lwtunnelValidEncapTypeAttr(a.data, x); err != 0 {
			return nil, err
		}
	}
	if a := tb[rtaPref]; a != nil {
		pref := uint32(a.u8())
		if pref != 1 && pref != 3 { // ICMPV6_ROUTER_PREF_HIGH, _LOW
			pref = 0
		}
		cfg.flags |= pref << rtfPrefShift
	}
	cfg.encap = tb[rtaEncap]
	if a := tb[rtaEncapType]; a != nil {
		if err := lwtunnelValidEncapType(a.u16(), x); err != 0 {
			return nil, err
		}
	}
	if a := tb[rtaExpires]; a != nil && a.u32() != none32 {
		cfg.expires = a.u32()
		cfg.flags |= rtfExpires
	}
	return cfg, 0
}

// inet6RtmNewroute is net/ipv6/route.c inet6_rtm_newroute.
func (k *Kernel) inet6RtmNewroute(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_newroute")()
	cfg, err := k.rtmToFib6Config(skb, h, x)
	if err != 0 {
		return err
	}
	if cfg.metric == 0 {
		cfg.metric = ip6RtPrioUser
	}
	if cfg.mp != nil {
		return k.ip6RouteMultipathAdd(skb.sk.net, cfg, x)
	}
	return k.ip6RouteAdd(skb.sk.net, cfg, x)
}

// inet6RtmDelroute is net/ipv6/route.c inet6_rtm_delroute.
func (k *Kernel) inet6RtmDelroute(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_delroute")()
	cfg, err := k.rtmToFib6Config(skb, h, x)
	if err != 0 {
		return err
	}
	n := skb.sk.net
	if cfg.nhID != 0 && n.nexthopFindByID(cfg.nhID) == nil {
		x.set("Nexthop id does not exist")
		return nlmsg.EINVAL
	}
	if cfg.mp != nil {
		return k.ip6RouteMultipathDel(n, cfg, x)
	}
	return k.ip6RouteDel(n, cfg, true, x)
}

// ip6RouteAdd makes a route and inserts it (net/ipv6/route.c ip6_route_add).
func (k *Kernel) ip6RouteAdd(n *netns, cfg *fib6Config, x *extAck) errno {
	defer k.enter("ip6_route_add")()
	rt, err := k.ip6RouteInfoCreate(n, cfg, x)
	if err != 0 {
		return err
	}
	return k.fib6Add(n, rt, cfg.info, x)
}

// ip6RouteInfoCreate checks a route (net/ipv6/route.c ip6_route_info_create).
func (k *Kernel) ip6RouteInfoCreate(n *netns, cfg *fib6Config, x *extAck) (*fib6Info, errno) {
	invalid := func(msg string) (*fib6Info, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	switch {
	case cfg.flags&rtfCache != 0:
		return invalid("Userspace can not set RTF_CACHE")
	case cfg.typ > rtnMax:
		return invalid("Invalid route type")
	case cfg.dstLen > 128:
		return invalid("Invalid prefix length")
	case cfg.srcLen > 128:
		return invalid("Invalid source address length")
	}
	rt := &fib6Info{metric: cfg.metric, protocol: cfg.protocol, typ: cfg.typ, flags: cfg.flags &^ (rtfGateway | rtnhOnlink), expires: cfg.expires,
		key: fib6Key{cfg.dst.prefix(int(cfg.dstLen)), cfg.src.prefix(int(cfg.srcLen)), cfg.dstLen, cfg.srcLen}}
	if cfg.nhID != 0 {
		if rt.nh = n.nexthopFindByID(cfg.nhID); rt.nh == nil {
			return invalid("Nexthop id does not exist")
		}
		if err := fib6CheckNexthop(rt.nh, cfg, x); err != 0 {
			return nil, err
		}
	}
	rt.table = n.fib6NewTable(cfg.table)
	var err errno
	if rt.metrics, err = k.ipFibMetricsInit(cfg.mx, cfg.mxOff, x); err != 0 {
		return nil, err
	}
	if rt.protocol == rtprotUnspec {
		rt.protocol = rtprotBoot
	}
	if rt.typ == rtnUnspec {
		rt.typ = rtnUnicast
	}
	if rt.nh != nil {
		if rt.key.srcLen != 0 {
			return invalid("Nexthops can not be used with source routing")
		}
	} else {
		if rt.one, err = k.fib6NhInit(n, cfg, x); err != 0 {
			return nil, err
		}
		if fib6IsReject(cfg, rt.one.dev) {
			rt.flags = rtfReject | rtfNonexthop
		}
	}
	if !cfg.prefsrc.isAny() {
		var dev *netDevice
		if nh := rt.first(); nh != nil {
			dev = nh.dev
		}
		if !k.ipv6ChkAddrAndFlags(n, cfg.prefsrc, dev, ifaFTentative) {
			return invalid("Invalid source address")
		}
		rt.prefsrc = cfg.prefsrc
	}
	return rt, 0
}

// fib6IsReject says that a route leads nowhere: it would lead round and round by lo
// otherwise (net/ipv6/route.c fib6_is_reject).
func fib6IsReject(cfg *fib6Config, dev *netDevice) bool {
	return cfg.flags&rtfReject != 0 ||
		dev != nil && dev.flags&iffLoopback != 0 && !cfg.dst.isLoopback() && cfg.flags&(rtfAnycast|rtfLocal) == 0
}

// fib6NhInit checks the nexthop of a route (net/ipv6/route.c fib6_nh_init).
func (k *Kernel) fib6NhInit(n *netns, cfg *fib6Config, x *extAck) (*fibNh, errno) {
	fail := func(err errno, msg string) (*fibNh, errno) {
		x.set(msg)
		return nil, err
	}
	nh := &fibNh{family: pfInet6, weight: 1, scope: rtScopeUniverse}
	if cfg.fdb {
		nh.gw, nh.gwFamily = cfg.gateway, pfInet6
		return nh, 0
	}
	var dev *netDevice
	if cfg.oif != 0 {
		if dev = n.devGetByIndex(cfg.oif); dev == nil || dev.in6Dev == nil {
			return nil, nlmsg.ENODEV
		}
	}
	if cfg.flags&rtnhOnlink != 0 {
		if dev == nil {
			return fail(nlmsg.ENODEV, "Nexthop device required for onlink")
		}
		if dev.flags&iffUp == 0 {
			return fail(nlmsg.ENETDOWN, "Nexthop device is not up")
		}
		nh.flags |= rtnhOnlink
	}
	if reject := cfg.flags&rtfReject != 0; reject || !k.has(loNotReject) && fib6IsReject(cfg, dev) {
		if dev = n.devGetByIndex(loopbackIfindex); dev == nil || dev.in6Dev == nil {
			return nil, nlmsg.ENODEV
		}
		nh.dev, nh.oif = dev, dev.index
		return nh, 0
	}
	if cfg.flags&rtfGateway != 0 {
		var err errno
		if dev, err = k.ip6ValidateGw(n, cfg, dev, x); err != 0 {
			return nil, err
		}
		nh.gw, nh.gwFamily = cfg.gateway, pfInet6
	}
	if dev == nil {
		return nil, nlmsg.ENODEV
	}
	if dev.in6Dev == nil || dev.in6Dev.cnf[ipv6DisableIpv6] != 0 {
		return fail(nlmsg.EACCES, "IPv6 is disabled on nexthop device")
	}
	if dev.flags&iffUp == 0 && !cfg.ignoreDevDown {
		return fail(nlmsg.ENETDOWN, "Nexthop device is not up")
	}
	if cfg.flags&(rtfLocal|rtfAnycast) == 0 && !netifCarrierOk(dev) {
		nh.flags |= rtnhLinkdown
	}
	nh.dev, nh.oif = dev, dev.index
	return nh, 0
}

// ip6ValidateGw says over which link a gateway is reached (net/ipv6/route.c
// ip6_validate_gw).
func (k *Kernel) ip6ValidateGw(n *netns, cfg *fib6Config, dev *netDevice, x *extAck) (*netDevice, errno) {
	fail := func(msg string) (*netDevice, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	gw := cfg.gateway
	isOurs := func() bool {
		on := dev
		if !gw.isLinklocal() {
			on = nil
		}
		return k.ipv6ChkAddrAndFlags(n, gw, on, 0)
	}
	late := dev == nil
	if !late && isOurs() {
		return fail("Gateway can not be a local address")
	}
	if !gw.isLinklocal() {
		if gw.isMulticast() || gw.isAny() {
			return fail("Invalid gateway address")
		}
		if cfg.flags&rtnhOnlink != 0 {
			if err := k.ip6RouteCheckNhOnlink(n, cfg, dev, x); err != 0 {
				return nil, err
			}
		} else {
			found, err := k.ip6RouteCheckNh(n, cfg, dev)
			if err != 0 {
				return nil, err
			}
			dev = found
		}
	}
	if dev == nil {
		return fail("Egress device not specified")
	}
	if dev.flags&iffLoopback != 0 {
		return fail("Egress device can not be loopback device for this route")
	}
	if late && isOurs() {
		return fail("Gateway can not be a local address")
	}
	return dev, 0
}

// ip6RouteCheckNhOnlink is net/ipv6/route.c ip6_route_check_nh_onlink.
func (k *Kernel) ip6RouteCheckNhOnlink(n *netns, cfg *fib6Config, dev *netDevice, x *extAck) errno {
	fl := &flowi{daddr: cfg.gateway, saddr: cfg.prefsrc, hasSaddr: !cfg.prefsrc.isAny(), oif: cfg.oif}
	res, ok := k.fib6TableLookup(n.fib6GetTable(rtTableMain), fl, true)
	if ok && res.rt.flags&rtfReject == 0 && (res.rt.typ == rtnLocal || res.rt.typ == rtnAnycast || dev != res.nh.dev) && res.rt.key.dstLen != 0 {
		x.set("Nexthop has invalid gateway or device mismatch")
		return nlmsg.EINVAL
	}
	return 0
}

// ip6RouteCheckNh is net/ipv6/route.c ip6_route_check_nh.
func (k *Kernel) ip6RouteCheckNh(n *netns, cfg *fib6Config, dev *netDevice) (*netDevice, errno) {
	fl := &flowi{daddr: cfg.gateway, saddr: cfg.prefsrc, hasSaddr: !cfg.prefsrc.isAny(), oif: cfg.oif, iface: true}
	good := func(res fib6Result) bool { return res.rt.flags&rtfReject == 0 && res.nh.gwFamily == 0 }
	var res fib6Result
	ok := false
	if cfg.table != 0 {
		if t := n.fib6GetTable(cfg.table); t != nil {
			res, ok = k.fib6TableLookup(t, fl, true)
			ok = ok && good(res) && (dev == nil || dev == res.nh.dev)
		}
	}
	if !ok {
		var err errno
		if res, err = k.fib6Lookup(n, fl, true); err != 0 || res.rt == nil || !good(res) {
			return nil, nlmsg.EHOSTUNREACH
		}
	}
	if dev != nil && dev != res.nh.dev {
		return nil, nlmsg.EHOSTUNREACH
	}
	return res.nh.dev, 0
}
