package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// rt6Get is what a RTM_GETROUTE asks for a route to, and the link of that.
type rt6Get struct {
	net *netns
	fl  *flowi
	iif int
	dev *netDevice
	nh  *fibNh
}

// rt6FillNode puts a route, or with get one to the address that was asked for
// (net/ipv6/route.c rt6_fill_node).
func (k *Kernel) rt6FillNode(skb *skBuff, rt *fib6Info, get *rt6Get, event uint16, portid, seq uint32, flags uint16) errno {
	m := rtmsg{family: pfInet6, dstLen: rt.key.dstLen, srcLen: rt.key.srcLen, table: tableByte(rt.table.id), typ: rt.typ, protocol: rt.protocol}
	if get != nil {
		m.dstLen, m.srcLen = 128, 128
	}
	p := skb.nlmsgPut(portid, seq, event, flags, m.bytes())
	skb.nlaPutU32(rtaTable, rt.table.id)
	switch {
	case get != nil:
		skb.nlaPut(rtaDst, get.fl.daddr[:])
		skb.nlaPut(rtaSrc, get.fl.saddr[:])
		k.rt6FillSource(skb, rt, get)
	default:
		if m.dstLen != 0 {
			skb.nlaPut(rtaDst, rt.key.dst[:])
		}
		if m.srcLen != 0 {
			skb.nlaPut(rtaSrc, rt.key.src[:])
		}
	}
	if !rt.prefsrc.isAny() {
		skb.nlaPut(rtaPrefsrc, rt.prefsrc[:])
	}
	k.rtnetlinkPutMetrics(skb, rt.metrics)
	skb.nlaPutU32(rtaPriority, rt.metric)
	siblings := rt.siblings()
	switch {
	case get != nil:
		if get.nh.gwFamily == pfInet6 {
			skb.nlaPut(rtaGateway, get.nh.gw[:])
		}
		if get.dev != nil {
			skb.nlaPutU32(rtaOif, uint32(get.dev.index))
		}
	case len(siblings) > 1:
		mp := skb.nlaNestNoflag(rtaMultipath)
		for _, o := range siblings {
			fibAddNexthop(skb, o.one, o.one.weight, pfInet6)
		}
		mp.end()
	case rt.nh != nil:
		skb.nlaPutU32(rtaNhID, rt.nh.id)
		if rt.nh.isBlackhole() {
			m.typ = rtnBlackhole
		}
		m.flags |= rt6FillNodeNexthop(skb, rt.nh)
	default:
		m.flags |= uint32(fibNexthopInfo(skb, rt.one, pfInet6, false))
	}
	rtnlPutCacheinfo(skb, rt.expires*userHz)
	skb.nlaPutU8(rtaPref, uint8(rt.flags>>rtfPrefShift&3))
	p.rewrite(m.bytes())
	return p.end()
}

// rt6FillSource puts where a packet comes from, or would.
func (k *Kernel) rt6FillSource(skb *skBuff, rt *fib6Info, get *rt6Get) {
	if get.iif != 0 {
		skb.nlaPutU32(rtaIif, uint32(get.iif))
		return
	}
	saddr, ok := rt.prefsrc, !rt.prefsrc.isAny()
	if !ok {
		saddr, ok = k.ipv6DevGetSaddr(get.net, get.nh.dev, get.fl.daddr)
	}
	if ok {
		skb.nlaPut(rtaPrefsrc, saddr[:])
	}
}

// rt6FillNodeNexthop puts the nexthops of an object (net/ipv6/route.c
// rt6_fill_node_nexthop).
func rt6FillNodeNexthop(skb *skBuff, nh *nexthop) uint32 {
	paths := nh.paths()
	if !nh.isGroup {
		return uint32(fibNexthopInfo(skb, paths[0], pfInet6, false))
	}
	mp := skb.nlaNestNoflag(rtaMultipath)
	for _, one := range paths {
		fibAddNexthop(skb, one, one.weight, pfInet6)
	}
	mp.end()
	return 0
}

// inet6RtmValidGetrouteReq is net/ipv6/route.c inet6_rtm_valid_getroute_req.
func (k *Kernel) inet6RtmValidGetrouteReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	invalid := func(msg string) (attrTable, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	if len(h.payload()) < rtmsgLen {
		return invalid("ipv6: Invalid header for get route request")
	}
	if !netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, rtmsgLen, k.rtmIpv6Policy(), liberal, x)
	}
	m := parseRtmsg(h.payload())
	if m.srcLen != 0 && m.srcLen != 128 || m.dstLen != 0 && m.dstLen != 128 || m.table != 0 || m.protocol != 0 || m.scope != 0 || m.typ != 0 {
		return invalid("ipv6: Invalid values in header for get route request")
	}
	if m.flags&^rtmFibMatch != 0 {
		return invalid("ipv6: Invalid flags for get route request")
	}
	tb, err := nlmsgParse(h, rtmsgLen, k.rtmIpv6Policy(), deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	if a := tb.get(rtaFlowlabel); a != nil && be32(a.data)&^ipv6FlowlabelMask != 0 {
		x.setAttr(a, "Invalid flow label")
		return nil, nlmsg.EINVAL
	}
	if tb[rtaSrc] != nil && m.srcLen == 0 || tb[rtaDst] != nil && m.dstLen == 0 {
		return invalid("ipv6: rtm_src_len and rtm_dst_len must be 128 for IPv6")
	}
	for i, a := range tb {
		switch i {
		case rtaSrc, rtaDst, rtaIif, rtaOif, rtaMark, rtaUID, rtaSport, rtaDport, rtaIPProto, rtaFlowlabel:
		default:
			if a != nil {
				return invalid("ipv6: Unsupported attribute in get route request")
			}
		}
	}
	return tb, 0
}

// inet6RtmGetroute is net/ipv6/route.c inet6_rtm_getroute.
func (k *Kernel) inet6RtmGetroute(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_rtm_getroute")()
	tb, err := k.inet6RtmValidGetrouteReq(in, h, x)
	if err != 0 {
		return err
	}
	n := in.sk.net
	m := parseRtmsg(h.payload())
	fl := routeFlow(in, m, tb)
	for _, a := range []struct {
		a  *nlattr
		to *in6Addr
	}{{tb[rtaSrc], &fl.saddr}, {tb[rtaDst], &fl.daddr}} {
		if a.a == nil {
			continue
		}
		if len(a.a.data) < 16 {
			return nlmsg.EINVAL
		}
		*a.to = a.a.in6()
	}
	if a := tb[rtaIPProto]; a != nil {
		if fl.proto, err = rtmGetrouteParseIPProto(a, pfInet6, x); err != 0 {
			return err
		}
	}
	get := &rt6Get{net: n, fl: fl, iif: fl.iif}
	fl.hasSaddr = !fl.saddr.isAny()
	if fl.iif != 0 {
		if n.devGetByIndex(fl.iif) == nil {
			return nlmsg.ENODEV
		}
		fl.oif = 0
	} else {
		fl.iif = loopbackIfindex
		fl.iface = fl.daddr.isMulticast() || fl.daddr.isLinklocal() || fl.oif != 0 && !fl.hasSaddr
	}
	res, err := k.fib6Lookup(n, fl, false)
	if err != 0 {
		return err
	}
	// What is for the host goes by lo.
	if get.nh, get.dev = res.nh, res.nh.dev; res.rt.flags&(rtfLocal|rtfAnycast) != 0 {
		get.dev = n.devGetByIndex(loopbackIfindex)
	}
	if m.flags&rtmFibMatch != 0 {
		get = nil
	}
	skb := newSkb(goodSize)
	if err := k.rt6FillNode(skb, res.rt, get, rtmNewroute, in.portid, h.Seq, 0); err != 0 {
		return err
	}
	return k.rtnlUnicast(skb, n, in.portid)
}

// inet6DumpFib is net/ipv6/ip6_fib.c inet6_dump_fib.
func (k *Kernel) inet6DumpFib(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_dump_fib")()
	f := &fibDumpFilter{routes: true}
	if cb.strict {
		if err := k.ipValidFibDumpReq(cb, f); err != 0 {
			return err
		}
	} else if len(cb.nlh.payload()) >= rtmsgLen {
		m := parseRtmsg(cb.nlh.payload())
		if m.flags&rtmPrefix != 0 {
			f.flags |= rtmPrefix
		}
	}
	if f.table != 0 {
		t := cb.net.fib6GetTable(f.table)
		if t == nil {
			if cb.nlh.payload()[0] != pfInet6 {
				return dumpLen(skb)
			}
			cb.extack.set("ipv6: FIB table does not exist")
			return nlmsg.ENOENT
		}
		if cb.args[0] == 0 {
			if err := k.fib6DumpTable(t, skb, cb, f); err != 0 {
				return fib6DumpEnd(skb, err)
			}
			cb.args[0] = 1
		}
		return fib6DumpEnd(skb, 0)
	}
	cb.net.fib6GetTable(rtTableMain)
	order := &cb.net.state.fib6.order
	for ; cb.args[0] < fibTableHashsz; cb.args[0], cb.args[1] = cb.args[0]+1, 0 {
		for bucket := order[cb.args[0]]; cb.args[1] < len(bucket); cb.args[1]++ {
			if err := k.fib6DumpTable(bucket[cb.args[1]], skb, cb, f); err != 0 {
				return fib6DumpEnd(skb, err)
			}
			cb.args[2], cb.args[3] = 0, 0
		}
	}
	return fib6DumpEnd(skb, 0)
}

// fib6DumpEnd is what the dump returns.
func fib6DumpEnd(skb *skBuff, err errno) errno {
	if len(skb.data) > 0 {
		return dumpMore
	}
	return err
}

// fib6DumpTable is net/ipv6/ip6_fib.c fib6_dump_table, rt6_dump_route. It goes on
// behind args[2] nodes and args[3] routes of the next.
func (k *Kernel) fib6DumpTable(t *fib6Table, skb *skBuff, cb *netlinkCallback, f *fibDumpFilter) errno {
	flags := uint16(nlmMulti)
	if f.strict {
		flags |= nlmFiltered
	}
	for ; cb.args[2] < len(t.walk); cb.args[2], cb.args[3] = cb.args[2]+1, 0 {
		fn := t.walk[cb.args[2]]
		for cb.args[3] < len(fn.routes) {
			rt := fn.routes[cb.args[3]]
			if f.wants6(rt) {
				if err := k.rt6FillNode(skb, rt, nil, rtmNewroute, cb.skb.portid, cb.nlh.Seq, flags); err != 0 {
					return err
				}
			}
			// Those that share a prefix are told of as one.
			cb.args[3]++
			for rt.qualifies() && cb.args[3] < len(fn.routes) && fn.routes[cb.args[3]].metric == rt.metric && fn.routes[cb.args[3]].qualifies() {
				cb.args[3]++
			}
		}
	}
	return 0
}

// wants6 is net/ipv6/route.c rt6_dump_route's filter.
func (f *fibDumpFilter) wants6(rt *fib6Info) bool {
	if f.flags&rtmPrefix != 0 && rt.flags&rtfPrefixRt == 0 || !f.routes {
		return false
	}
	if f.typ != 0 && rt.typ != f.typ || f.protocol != 0 && rt.protocol != f.protocol {
		return false
	}
	if f.dev == nil {
		return true
	}
	if rt.nh != nil {
		for _, nh := range rt.nh.paths() {
			if nh.dev == f.dev {
				return true
			}
		}
		return false
	}
	for _, o := range rt.siblings() {
		if o.one.dev == f.dev {
			return true
		}
	}
	return false
}
