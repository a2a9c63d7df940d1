package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Flags of a route that was looked up (include/uapi/linux/in_route.h).
const (
	rtcfNotify    = 0x00010000
	rtcfLocal     = 0x80000000
	rtcfBroadcast = 0x10000000
	rtcfMulticast = 0x20000000
)

const (
	ipprotoIcmp   = 1
	ipprotoTCP    = 6
	ipprotoUDP    = 17
	ipprotoIcmpv6 = 58
)

// rtable is the route to one address (include/net/route.h struct rtable).
type rtable struct {
	dev   *netDevice
	flags uint32
	typ   uint8
	err   errno
	fi    *fibInfo // whose metrics it has
	nhc   *fibNh
	input bool
}

// inetRtmValidGetrouteReq is net/ipv4/route.c inet_rtm_valid_getroute_req.
func (k *Kernel) inetRtmValidGetrouteReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	invalid := func(msg string) (attrTable, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	if len(h.payload()) < rtmsgLen {
		return invalid("ipv4: Invalid header for route get request")
	}
	if !netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, rtmsgLen, k.rtmIpv4Policy(), liberal, x)
	}
	m := parseRtmsg(h.payload())
	if m.srcLen != 0 && m.srcLen != 32 || m.dstLen != 0 && m.dstLen != 32 || m.table != 0 || m.protocol != 0 || m.scope != 0 || m.typ != 0 {
		return invalid("ipv4: Invalid values in header for route get request")
	}
	if m.flags&^(rtmNotify|rtmLookupTable|rtmFibMatch) != 0 {
		return invalid("ipv4: Unsupported rtm_flags for route get request")
	}
	tb, err := nlmsgParse(h, rtmsgLen, k.rtmIpv4Policy(), deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	if tb[rtaSrc] != nil && m.srcLen == 0 || tb[rtaDst] != nil && m.dstLen == 0 {
		return invalid("ipv4: rtm_src_len and rtm_dst_len must be 32 for IPv4")
	}
	for i, a := range tb {
		switch i {
		case rtaIif, rtaOif, rtaSrc, rtaDst, rtaIPProto, rtaSport, rtaDport, rtaMark, rtaUID:
		default:
			if a != nil {
				return invalid("ipv4: Unsupported attribute in route get request")
			}
		}
	}
	return tb, 0
}

// netlinkStrictGetCheck says that the sender wants its requests checked strictly
// (net/netlink/af_netlink.c netlink_strict_get_check).
func netlinkStrictGetCheck(skb *skBuff) bool {
	sk := skb.sk
	sk.mu.Lock()
	defer sk.mu.Unlock()
	return sk.flags&flagStrictChk != 0
}

// rtmGetrouteParseIPProto is net/ipv4/netlink.c rtm_getroute_parse_ip_proto.
func rtmGetrouteParseIPProto(a *nlattr, family int, x *extAck) (uint8, errno) {
	icmp := uint8(ipprotoIcmp)
	if family == pfInet6 {
		icmp = ipprotoIcmpv6
	}
	switch p := a.u8(); p {
	case ipprotoTCP, ipprotoUDP, icmp:
		return p, 0
	}
	x.set("Unsupported ip proto")
	return 0, nlmsg.EOPNOTSUPP
}

// routeFlow is the flow that a RTM_GETROUTE asks for. a number in it that is not
// there is 0.
func routeFlow(skb *skBuff, m rtmsg, tb attrTable) *flowi {
	u32 := func(t int) uint32 {
		if a := tb[t]; a != nil {
			return a.u32()
		}
		return 0
	}
	port := func(t int) uint16 {
		if a := tb[t]; a != nil {
			return uint16(a.data[0])<<8 | uint16(a.data[1])
		}
		return 0
	}
	fl := &flowi{oif: int(int32(u32(rtaOif))), iif: int(int32(u32(rtaIif))), mark: u32(rtaMark), tos: m.tos, sport: port(rtaSport), dport: port(rtaDport)}
	switch {
	case tb[rtaUID] != nil:
		fl.uid = u32(rtaUID)
	case fl.iif != 0:
		fl.uid = none32
	default:
		fl.uid = skb.creds.task.uid
	}
	return fl
}

// inetRtmGetroute is net/ipv4/route.c inet_rtm_getroute.
func (k *Kernel) inetRtmGetroute(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_rtm_getroute")()
	tb, err := k.inetRtmValidGetrouteReq(in, h, x)
	if err != 0 {
		return err
	}
	n := in.sk.net
	m := parseRtmsg(h.payload())
	var dst, src in4Addr
	if a := tb[rtaDst]; a != nil {
		dst = a.in4()
	}
	if a := tb[rtaSrc]; a != nil {
		src = a.in4()
	}
	fl := routeFlow(in, m, tb)
	fl.daddr, fl.saddr, fl.proto = addr4(dst), addr4(src), ipprotoUDP
	if a := tb[rtaIPProto]; a != nil {
		if fl.proto, err = rtmGetrouteParseIPProto(a, pfInet, x); err != 0 {
			return err
		}
	}
	if k.has(tosIsDscp) {
		fl.tos &^= 3
	}
	var rt *rtable
	var res fibResult
	if fl.iif != 0 {
		dev := n.devGetByIndex(fl.iif)
		if dev == nil {
			return nlmsg.ENODEV
		}
		if rt, res, err = k.ipRouteInput(n, fl, dev); err == 0 {
			err = rt.err
		}
	} else {
		fl.iif = loopbackIfindex
		rt, res, err = k.ipRouteOutputKeyHash(n, fl)
	}
	if err != 0 {
		return err
	}
	if m.flags&rtmNotify != 0 {
		rt.flags |= rtcfNotify
	}
	table := uint32(rtTableMain)
	if m.flags&rtmLookupTable != 0 {
		table = 0
		if res.table != nil {
			table = res.table.id
		}
	}
	skb := newSkb(goodSize)
	if m.flags&rtmFibMatch != 0 {
		if res.fi == nil {
			if err := fibProps[res.typ].err; err != 0 {
				return err
			}
			return nlmsg.EHOSTUNREACH
		}
		fa := *res.fa
		fa.tos = fl.tos
		if k.has(fibMatchTos) {
			fa.tos = res.fa.tos
		}
		fa.typ = rt.typ
		err = k.fibDumpInfo(skb, in.portid, h.Seq, rtmNewroute, &fa, table, 0)
	} else {
		err = k.rtFillInfo(skb, in.portid, h.Seq, dst, src, rt, table, fl)
	}
	if err != 0 {
		return err
	}
	return k.rtnlUnicast(skb, n, in.portid)
}

// rtFillInfo is net/ipv4/route.c rt_fill_info.
func (k *Kernel) rtFillInfo(skb *skBuff, portid, seq uint32, dst, src in4Addr, rt *rtable, table uint32, fl *flowi) errno {
	m := rtmsg{family: pfInet, dstLen: 32, tos: fl.tos, table: tableByte(table), typ: rt.typ, flags: rt.flags&^0xffff | rtmCloned}
	if rt.flags&rtcfNotify != 0 {
		m.flags |= rtmNotify
	}
	if src != 0 {
		m.srcLen = 32
	}
	p := skb.nlmsgPut(portid, seq, rtmNewroute, 0, m.bytes())
	skb.nlaPutU32(rtaTable, table)
	skb.nlaPut(rtaDst, dst.bytes())
	if src != 0 {
		skb.nlaPut(rtaSrc, src.bytes())
	}
	if rt.dev != nil {
		skb.nlaPutU32(rtaOif, uint32(rt.dev.index))
	}
	if rt.nhc != nil && rt.nhc.flow != 0 && rt.nhc.family == pfInet {
		skb.nlaPutU32(rtaFlow, rt.nhc.flow)
	}
	if saddr := be32(fl.saddr[:]); !rt.input && in4Addr(saddr) != src {
		skb.nlaPut(rtaPrefsrc, fl.saddr[:4])
	}
	if nh := rt.nhc; nh != nil && nh.scope == rtScopeLink {
		switch nh.gwFamily {
		case pfInet:
			skb.nlaPut(rtaGateway, nh.gw[:4])
		case pfInet6:
			skb.nlaPut(rtaVia, append(native.AppendUint16(nil, pfInet6), nh.gw[:]...))
		}
	}
	if rt.fi != nil {
		k.rtnetlinkPutMetrics(skb, rt.fi.metrics)
	}
	if fl.mark != 0 {
		skb.nlaPutU32(rtaMark, fl.mark)
	}
	if fl.uid != none32 {
		skb.nlaPutU32(rtaUID, fl.uid)
	}
	if rt.input {
		skb.nlaPutU32(rtaIif, uint32(fl.iif))
	}
	rtnlPutCacheinfo(skb, 0)
	return p.end()
}

// rtnlPutCacheinfo puts a struct rta_cacheinfo, which here holds no more than how
// long the route lives (net/core/rtnetlink.c rtnl_put_cacheinfo).
func rtnlPutCacheinfo(skb *skBuff, expires uint32) {
	b := make([]byte, 32)
	native.PutUint32(b[8:], expires)
	skb.nlaPut(rtaCacheinfo, b)
}

// ipRouteOutputKeyHash finds the way out to an address, and completes the flow
// (net/ipv4/route.c ip_route_output_key_hash_rcu).
func (k *Kernel) ipRouteOutputKeyHash(n *netns, fl *flowi) (*rtable, fibResult, errno) {
	fail := func(err errno) (*rtable, fibResult, errno) { return nil, fibResult{typ: rtnUnreachable}, err }
	daddr, saddr := in4Addr(be32(fl.daddr[:])), in4Addr(be32(fl.saddr[:]))
	orig := fl.oif
	var dev *netDevice
	res := fibResult{typ: rtnUnspec}
	direct := func() (*rtable, fibResult, errno) { return k.mkrouteOutput(res, fl, orig, dev, 0) }
	if saddr != 0 {
		if ipv4IsMulticast(saddr) || ipv4IsLbcast(saddr) || ipv4IsZeronet(saddr) {
			return fail(nlmsg.EINVAL)
		}
		from := k.ipDevFind(n, saddr)
		if orig == 0 && (ipv4IsMulticast(daddr) || ipv4IsLbcast(daddr)) && from != nil {
			dev = from
			fl.oif = dev.index
			return direct()
		}
		if from == nil {
			return fail(nlmsg.ENETUNREACH)
		}
	}
	if fl.oif != 0 {
		if dev = n.devGetByIndex(fl.oif); dev == nil {
			return fail(nlmsg.ENODEV)
		}
		if dev.flags&iffUp == 0 || dev.inDev == nil {
			return fail(nlmsg.ENETUNREACH)
		}
		switch {
		case ipv4IsLocalMulticast(daddr) || ipv4IsLbcast(daddr):
			if saddr == 0 {
				fl.saddr = addr4(k.inetSelectAddr(dev, 0, rtScopeLink))
			}
			return direct()
		case saddr == 0 && ipv4IsMulticast(daddr):
			fl.saddr = addr4(k.inetSelectAddr(dev, 0, fl.scope))
		case saddr == 0 && daddr == 0:
			fl.saddr = addr4(k.inetSelectAddr(dev, 0, rtScopeHost))
		}
	}
	if daddr == 0 {
		if fl.daddr = fl.saddr; be32(fl.daddr[:]) == 0 {
			fl.daddr, fl.saddr = addr4(0x7f000001), addr4(0x7f000001)
		}
		dev = n.devGetByIndex(loopbackIfindex)
		fl.oif = loopbackIfindex
		res.typ = rtnLocal
		return k.mkrouteOutput(res, fl, orig, dev, rtcfLocal)
	}
	res, err := k.fibLookup(n, fl, false)
	if err != 0 {
		if fl.oif == 0 {
			return fail(err)
		}
		// With a link that is asked for, the address is taken to be on it.
		if be32(fl.saddr[:]) == 0 {
			fl.saddr = addr4(k.inetSelectAddr(dev, 0, rtScopeLink))
		}
		res = fibResult{typ: rtnUnicast}
		return direct()
	}
	if res.typ == rtnLocal {
		if be32(fl.saddr[:]) == 0 {
			if fl.saddr = addr4(res.fi.prefsrc); res.fi.prefsrc == 0 {
				fl.saddr = fl.daddr
			}
		}
		dev = n.devGetByIndex(loopbackIfindex)
		orig = res.nhc.oif
		fl.oif = dev.index
		return k.mkrouteOutput(res, fl, orig, dev, rtcfLocal)
	}
	if be32(fl.saddr[:]) == 0 {
		fl.saddr = addr4(k.fibResultPrefsrc(res))
	}
	dev = res.nhc.dev
	fl.oif = dev.index
	return k.mkrouteOutput(res, fl, orig, dev, 0)
}

// mkrouteOutput is net/ipv4/route.c __mkroute_output.
func (k *Kernel) mkrouteOutput(res fibResult, fl *flowi, orig int, dev *netDevice, flags uint32) (*rtable, fibResult, errno) {
	if dev == nil || dev.inDev == nil {
		return nil, res, nlmsg.EINVAL
	}
	daddr, typ, fi := in4Addr(be32(fl.daddr[:])), res.typ, res.fi
	if ipv4IsLoopback(in4Addr(be32(fl.saddr[:]))) && dev.flags&iffLoopback == 0 {
		return nil, res, nlmsg.EINVAL
	}
	switch {
	case ipv4IsLbcast(daddr):
		typ = rtnBroadcast
	case ipv4IsMulticast(daddr):
		typ = rtnMulticast
	case ipv4IsZeronet(daddr):
		return nil, res, nlmsg.EINVAL
	}
	if dev.flags&iffLoopback != 0 {
		flags |= rtcfLocal
	}
	switch typ {
	case rtnBroadcast:
		flags |= rtcfBroadcast | rtcfLocal
		fi = nil
	case rtnMulticast:
		flags |= rtcfMulticast | rtcfLocal
		if !dev.inDev.listens(daddr) {
			flags &^= rtcfLocal
		}
		if fi != nil && res.fa.plen < 4 {
			fi = nil
		}
	}
	rt := &rtable{dev: dev, flags: flags, typ: typ, fi: fi}
	if fi != nil {
		rt.nhc = res.nhc
	}
	return rt, res, 0
}

// listens says that the link is a member of a multicast group (net/ipv4/igmp.c
// ip_check_mc_rcu).
func (in *inDevice) listens(a in4Addr) bool {
	for _, m := range in.mcList {
		if m.multiaddr == a {
			return true
		}
	}
	return false
}

// ipRouteInput finds where a packet goes that came in over a link (net/ipv4/route.c
// ip_route_input_rcu, ip_route_input_slow).
func (k *Kernel) ipRouteInput(n *netns, fl *flowi, dev *netDevice) (*rtable, fibResult, errno) {
	daddr, saddr := in4Addr(be32(fl.daddr[:])), in4Addr(be32(fl.saddr[:]))
	fail := func(err errno) (*rtable, fibResult, errno) { return nil, fibResult{}, err }
	if dev.inDev == nil {
		return fail(nlmsg.EINVAL)
	}
	local := func(flags uint32, typ uint8, res fibResult) (*rtable, fibResult, errno) {
		res.typ = typ
		return &rtable{dev: n.devGetByIndex(loopbackIfindex), flags: flags | rtcfLocal, typ: typ, input: true, fi: res.fi}, res, 0
	}
	unreachable := func(err errno) (*rtable, fibResult, errno) {
		return &rtable{dev: dev, typ: rtnUnreachable, err: err, input: true}, fibResult{typ: rtnUnreachable}, 0
	}
	if ipv4IsMulticast(daddr) {
		if !dev.inDev.listens(daddr) {
			return fail(nlmsg.EINVAL)
		}
		return local(rtcfMulticast, rtnMulticast, fibResult{})
	}
	if ipv4IsMulticast(saddr) || ipv4IsLbcast(saddr) {
		return fail(nlmsg.EINVAL)
	}
	if ipv4IsLbcast(daddr) || saddr == 0 && daddr == 0 {
		return local(rtcfBroadcast, rtnBroadcast, fibResult{})
	}
	if ipv4IsZeronet(saddr) || ipv4IsZeronet(daddr) ||
		(ipv4IsLoopback(daddr) || ipv4IsLoopback(saddr)) && dev.flags&iffLoopback == 0 {
		return fail(nlmsg.EINVAL)
	}
	in := *fl
	in.oif = 0
	res, err := k.fibLookup(n, &in, false)
	forward := dev.inDev.cnf[ipv4Forwarding] != 0
	if err != 0 {
		if !forward {
			err = nlmsg.EHOSTUNREACH
		}
		return unreachable(err)
	}
	switch {
	case res.typ == rtnBroadcast:
		return local(rtcfBroadcast, rtnBroadcast, res)
	case res.typ == rtnLocal:
		return local(0, rtnLocal, res)
	case !forward:
		return unreachable(nlmsg.EHOSTUNREACH)
	case res.typ != rtnUnicast:
		return fail(nlmsg.EINVAL)
	}
	return &rtable{dev: res.nhc.dev, typ: res.typ, input: true, fi: res.fi, nhc: res.nhc}, res, 0
}

// fibResultPrefsrc is the source address for a route (net/ipv4/fib_semantics.c
// fib_result_prefsrc).
func (k *Kernel) fibResultPrefsrc(res fibResult) in4Addr {
	if res.fi.prefsrc != 0 {
		return res.fi.prefsrc
	}
	var gw in4Addr
	if res.nhc.gwFamily == pfInet {
		gw = res.nhc.gw4()
	}
	return k.inetSelectAddr(res.nhc.dev, gw, res.fi.scope)
}

// ipDevFind is the link with a local address (net/ipv4/devinet.c __ip_dev_find).
func (k *Kernel) ipDevFind(n *netns, a in4Addr) *netDevice {
	for _, d := range n.state.devs {
		if d.inDev == nil {
			continue
		}
		for _, ifa := range d.inDev.ifaList {
			if ifa.local == a {
				return d
			}
		}
	}
	// Others are local that a route says it of.
	if t := n.fibGetTable(rtTableLocal); t != nil {
		if res, err := k.fibTableLookup(n, t, &flowi{daddr: addr4(a)}, true); err == 0 && res.typ == rtnLocal {
			return res.nhc.dev
		}
	}
	return nil
}

// inetSelectAddr is the address of a link that is best to reach another one from
// (net/ipv4/devinet.c inet_select_addr).
func (k *Kernel) inetSelectAddr(dev *netDevice, dst in4Addr, scope uint8) (addr in4Addr) {
	if dev == nil {
		return 0
	}
	if dev.inDev != nil {
		for _, ifa := range dev.inDev.ifaList {
			if ifa.flags&ifaFSecondary != 0 || ifa.scope > scope {
				continue
			}
			if dst == 0 || ifa.match(dst) {
				return ifa.local
			}
			if addr == 0 {
				addr = ifa.local
			}
		}
	}
	if addr != 0 {
		return addr
	}
	for _, d := range dev.net.state.devs {
		if d.inDev == nil {
			continue
		}
		for _, ifa := range d.inDev.ifaList {
			if ifa.flags&ifaFSecondary == 0 && ifa.scope != rtScopeLink && ifa.scope <= scope {
				return ifa.local
			}
		}
	}
	return 0
}
