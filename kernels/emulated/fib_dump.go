package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// rtmsgFib tells RTNLGRP_IPV4_ROUTE of a route (net/ipv4/fib_semantics.c
// rtmsg_fib).
func (k *Kernel) rtmsgFib(event uint16, fa *fibAlias, table uint32, info nlInfo, flags uint16) {
	defer k.enter("rtmsg_fib")()
	skb := nlmsgNew(200)
	k.fibDumpInfo(skb, info.portid, info.seq(), event, fa, table, flags)
	k.rtnlNotify(skb, info.net, info.portid, rtnlgrpIpv4Route, info.h)
}

// fibDumpInfo puts a route (net/ipv4/fib_semantics.c fib_dump_info).
func (k *Kernel) fibDumpInfo(skb *skBuff, portid, seq uint32, event uint16, fa *fibAlias, table uint32, flags uint16) errno {
	fi := fa.fi
	m := rtmsg{family: pfInet, dstLen: fa.plen, tos: fa.tos, table: tableByte(table), typ: fa.typ, flags: fi.flags, scope: fi.scope, protocol: fi.protocol}
	p := skb.nlmsgPut(portid, seq, event, flags, m.bytes())
	skb.nlaPutU32(rtaTable, table)
	if fa.plen != 0 {
		skb.nlaPut(rtaDst, fa.key.bytes())
	}
	if fi.priority != 0 {
		skb.nlaPutU32(rtaPriority, fi.priority)
	}
	k.rtnetlinkPutMetrics(skb, fi.metrics)
	if fi.prefsrc != 0 {
		skb.nlaPut(rtaPrefsrc, fi.prefsrc.bytes())
	}
	if fi.nh != nil {
		skb.nlaPutU32(rtaNhID, fi.nh.id)
		if fi.nh.isBlackhole() {
			m.typ = rtnBlackhole
		}
	}
	if paths := fi.paths(); len(paths) == 1 {
		nh := paths[0]
		m.flags = uint32(fibNexthopInfo(skb, nh, pfInet, false))
		if nh.family == pfInet && nh.flow != 0 {
			skb.nlaPutU32(rtaFlow, nh.flow)
		}
	} else {
		mp := skb.nlaNestNoflag(rtaMultipath)
		for _, nh := range paths {
			fibAddNexthop(skb, nh, nh.weight, pfInet)
		}
		mp.end()
	}
	p.rewrite(m.bytes())
	return p.end()
}

// rewrite puts the fixed header anew, when more is known.
func (p put) rewrite(head []byte) {
	if !p.skb.full {
		copy(p.skb.data[p.at+nlmsg.HeaderLen:], head)
	}
}

// fibNexthopInfo puts a nexthop, and gives its flags (net/ipv4/fib_semantics.c
// fib_nexthop_info).
func fibNexthopInfo(skb *skBuff, nh *fibNh, family int, skipOif bool) (flags uint8) {
	if nh.flags&rtnhDead != 0 {
		flags |= rtnhDead
	}
	if nh.flags&rtnhLinkdown != 0 {
		flags |= rtnhLinkdown
		if ignore := ipIgnoreLinkdown; nh.family == pfInet && ignore(nh.dev) || nh.family == pfInet6 && ip6IgnoreLinkdown(nh.dev) {
			flags |= rtnhDead
		}
	}
	switch {
	case nh.gwFamily == pfInet:
		skb.nlaPut(rtaGateway, nh.gw[:4])
	case nh.gwFamily == pfInet6 && family != pfInet6:
		skb.nlaPut(rtaVia, append(native.AppendUint16(nil, pfInet6), nh.gw[:]...))
	case nh.gwFamily == pfInet6:
		skb.nlaPut(rtaGateway, nh.gw[:])
	}
	flags |= uint8(nh.flags & (rtnhOnlink | rtnhOffload | rtnhTrap))
	if !skipOif && nh.dev != nil {
		skb.nlaPutU32(rtaOif, uint32(nh.dev.index))
	}
	return flags
}

// fibAddNexthop puts a nexthop of RTA_MULTIPATH (net/ipv4/fib_semantics.c
// fib_add_nexthop).
func fibAddNexthop(skb *skBuff, nh *fibNh, weight, family int) {
	at := len(skb.data)
	b := []byte{0, 0, 0, uint8(weight - 1)}
	index := 0
	if nh.dev != nil {
		index = nh.dev.index
	}
	skb.append(native.AppendUint32(b, uint32(index)))
	flags := fibNexthopInfo(skb, nh, family, true)
	if nh.family == pfInet && nh.flow != 0 {
		skb.nlaPutU32(rtaFlow, nh.flow)
	}
	if !skb.full {
		native.PutUint16(skb.data[at:], uint16(len(skb.data)-at))
		skb.data[at+2] = flags
	}
}

// fibDumpFilter is what of the routes is asked for (include/net/ip_fib.h struct
// fib_dump_filter).
type fibDumpFilter struct {
	table         uint32
	flags         uint32
	protocol, typ uint8
	dev           *netDevice
	routes        bool // and not exceptions
	strict        bool // exceptions are not asked for, or routes
}

// ipValidFibDumpReq is net/ipv4/fib_frontend.c ip_valid_fib_dump_req.
func (k *Kernel) ipValidFibDumpReq(cb *netlinkCallback, f *fibDumpFilter) errno {
	h, x := cb.nlh, cb.extack
	invalid := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	if len(h.payload()) < rtmsgLen {
		return invalid("Invalid header for FIB dump request")
	}
	m := parseRtmsg(h.payload())
	if m.dstLen != 0 || m.srcLen != 0 || m.tos != 0 || m.scope != 0 {
		return invalid("Invalid values in header for FIB dump request")
	}
	if m.flags&^(rtmCloned|rtmPrefix) != 0 {
		return invalid("Invalid flags for FIB dump request")
	}
	f.routes, f.strict = m.flags&rtmCloned == 0, true
	f.flags, f.protocol, f.typ, f.table = m.flags, m.protocol, m.typ, uint32(m.table)
	tb, err := nlmsgParse(h, rtmsgLen, k.rtmIpv4Policy(), deprecatedStrict, x)
	if err != 0 {
		return err
	}
	for i, a := range tb {
		switch {
		case a == nil:
		case i == rtaTable:
			f.table = a.u32()
		case i == rtaOif:
			if f.dev = cb.net.devGetByIndex(int(int32(a.u32()))); f.dev == nil {
				return nlmsg.ENODEV
			}
		default:
			return invalid("Unsupported attribute in dump request")
		}
	}
	if f.flags != 0 || f.protocol != 0 || f.typ != 0 || f.table != 0 || f.dev != nil {
		cb.flags = nlmFiltered
	}
	return 0
}

// inetDumpFib is net/ipv4/fib_frontend.c inet_dump_fib.
func (k *Kernel) inetDumpFib(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet_dump_fib")()
	f := &fibDumpFilter{routes: true}
	if cb.strict {
		if err := k.ipValidFibDumpReq(cb, f); err != 0 {
			return err
		}
	} else if len(cb.nlh.payload()) >= rtmsgLen {
		f.flags = parseRtmsg(cb.nlh.payload()).flags & (rtmPrefix | rtmCloned)
	}
	if f.flags&rtmPrefix != 0 { // which IPv4 does not use
		return k.fibDumpEnd(skb, 0)
	}
	pos, _ := cb.data.(*fibDumpPos)
	if pos == nil {
		pos = &fibDumpPos{}
		cb.data = pos
	}
	if f.table != 0 {
		t := cb.net.fibGetTable(f.table)
		if t == nil {
			if cb.nlh.payload()[0] != pfInet {
				return k.fibDumpEnd(skb, 0)
			}
			cb.extack.set("ipv4: FIB table does not exist")
			return nlmsg.ENOENT
		}
		return k.fibDumpEnd(skb, k.fibTableDump(t, skb, cb, f, pos))
	}
	order := &cb.net.state.fib.order
	for ; cb.args[0] < fibTableHashsz; cb.args[0], cb.args[1] = cb.args[0]+1, 0 {
		for bucket := order[cb.args[0]]; cb.args[1] < len(bucket); cb.args[1]++ {
			if err := k.fibTableDump(bucket[cb.args[1]], skb, cb, f, pos); err != 0 {
				return k.fibDumpEnd(skb, err)
			}
			*pos = fibDumpPos{}
		}
	}
	return k.fibDumpEnd(skb, 0)
}

// fibDumpEnd is what the dump of all routes returns.
func (k *Kernel) fibDumpEnd(skb *skBuff, err errno) errno {
	if k.has(routeDumpErr) {
		return err
	}
	if len(skb.data) > 0 {
		return dumpMore
	}
	return err
}

// fibDumpPos is where the dump of a table goes on: behind so many routes of a key.
type fibDumpPos struct {
	key     in4Addr
	skip    int
	through bool
}

// fibTableDump is net/ipv4/fib_trie.c fib_table_dump.
func (k *Kernel) fibTableDump(t *fibTable, skb *skBuff, cb *netlinkCallback, f *fibDumpFilter, pos *fibDumpPos) errno {
	if pos.through {
		return 0
	}
	from, _ := t.section(pos.key, 32)
	for i := from; i < len(t.aliases); i++ {
		fa := t.aliases[i]
		if fa.key != pos.key {
			pos.key, pos.skip = fa.key, 0
			from = i
		}
		if i-from < pos.skip {
			continue
		}
		if f.wants(fa) {
			flags := uint16(nlmMulti)
			if f.strict {
				flags |= nlmFiltered
			}
			if err := k.fibDumpInfo(skb, cb.skb.portid, cb.nlh.Seq, rtmNewroute, fa, t.id, flags); err != 0 {
				return err
			}
		}
		pos.skip = i - from + 1
	}
	pos.through = true
	return 0
}

// wants says whether a route is asked for (net/ipv4/fib_trie.c fn_trie_dump_leaf).
func (f *fibDumpFilter) wants(fa *fibAlias) bool {
	if !f.routes || f.typ != 0 && fa.typ != f.typ || f.protocol != 0 && fa.fi.protocol != f.protocol {
		return false
	}
	if f.dev == nil {
		return true
	}
	for _, nh := range fa.fi.paths() {
		if nh.dev == f.dev {
			return true
		}
	}
	return false
}
