package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fibResult is a route that was found (include/net/ip_fib.h struct fib_result).
type fibResult struct {
	table *fibTable
	fa    *fibAlias
	fi    *fibInfo
	nhc   *fibNh
	typ   uint8
	scope uint8
}

// fibTableLookup finds the route of a flow in a table: EAGAIN for none
// (net/ipv4/fib_trie.c fib_table_lookup). As long as the local table is merged with
// the main one, both are looked at.
func (k *Kernel) fibTableLookup(n *netns, t *fibTable, fl *flowi, ignoreLinkstate bool) (fibResult, errno) {
	tables := []*fibTable{t}
	if f := &n.state.fib; !f.unmerged && (t.id == rtTableMain || t.id == rtTableLocal) && f.tables[rtTableLocal] != nil {
		tables = []*fibTable{f.tables[rtTableLocal], f.tables[rtTableMain]}
	}
	dst := in4Addr(be32(fl.daddr[:]))
	for plen := 32; plen >= 0; plen-- {
		key := dst & inetMakeMask(uint8(plen))
		for _, in := range tables {
			from, to := in.section(key, uint8(plen))
			for _, fa := range in.aliases[from:to] {
				if res, err, ok := k.fibAliasMatch(fa, fl, ignoreLinkstate); ok {
					res.table = t
					return res, err
				}
			}
		}
	}
	return fibResult{}, nlmsg.EAGAIN
}

func (k *Kernel) fibAliasMatch(fa *fibAlias, fl *flowi, ignoreLinkstate bool) (res fibResult, err errno, ok bool) {
	fi := fa.fi
	if fa.tos != 0 && fa.tos != fl.tos&iptosTosMask&^3 || fi.scope < fl.scope {
		return res, 0, false
	}
	if err := fibProps[fa.typ].err; err != 0 {
		return res, err, true
	}
	if fi.flags&rtnhDead != 0 {
		return res, 0, false
	}
	if fi.nh != nil && fi.nh.isBlackhole() {
		return res, nlmsg.EINVAL, true
	}
	for _, nh := range fi.paths() {
		if nh.flags&rtnhDead != 0 || fl.oif != 0 && !fl.skipNhOif && fl.oif != nh.oif {
			continue
		}
		if nh.flags&rtnhLinkdown != 0 && !ignoreLinkstate && ipIgnoreLinkdown(nh.dev) {
			continue
		}
		return fibResult{fa: fa, fi: fi, nhc: nh, typ: fa.typ, scope: fi.scope}, 0, true
	}
	return res, 0, false
}

// fibLookup finds the route of a flow by the rules: ENETUNREACH for none
// (include/net/ip_fib.h fib_lookup, net/ipv4/fib_rules.c __fib_lookup).
func (k *Kernel) fibLookup(n *netns, fl *flowi, ignoreLinkstate bool) (res fibResult, err errno) {
	lookup := func(id uint32) errno {
		t := n.fibGetTable(id)
		if t == nil {
			return nlmsg.EAGAIN
		}
		res, err = k.fibTableLookup(n, t, fl, ignoreLinkstate)
		return err
	}
	ops := n.lookupRulesOps(pfInet)
	if ops == nil || !ops.custom {
		if e := lookup(rtTableMain); e == nlmsg.EAGAIN {
			err = lookup(rtTableDefault)
		}
	} else {
		err = fibRulesLookup(ops, fl, func(r *fibRule) errno {
			e := lookup(r.table)
			if e == 0 && res.fi != nil && fibRuleSuppress(r, int(res.fa.plen), res.nhc) {
				return nlmsg.EAGAIN
			}
			return e
		})
	}
	if err == nlmsg.EAGAIN || err == nlmsg.ESRCH {
		err = nlmsg.ENETUNREACH
	}
	if err != 0 {
		res = fibResult{}
	}
	return res, err
}

// fibRuleSuppress says that a rule does not take a route (net/ipv4/fib_rules.c
// fib4_rule_suppress, net/ipv6/fib6_rules.c fib6_rule_suppress).
func fibRuleSuppress(r *fibRule, plen int, nh *fibNh) bool {
	return plen <= int(int32(r.suppressPrefix)) ||
		r.suppressGroup != none32 && nh != nil && nh.dev != nil && nh.dev.group == r.suppressGroup
}

func ipv4IsMulticast(a in4Addr) bool { return a>>28 == 0xe }
func ipv4IsLbcast(a in4Addr) bool    { return a == 1<<32-1 }
func ipv4IsZeronet(a in4Addr) bool   { return a>>24 == 0 }
func ipv4IsLoopback(a in4Addr) bool  { return a>>24 == 127 }
func ipv4IsLocalMulticast(a in4Addr) bool {
	return a>>8 == 0xe00000
}

// inetAddrType is the type of an address in a table (net/ipv4/fib_frontend.c
// __inet_dev_addr_type).
func (k *Kernel) inetAddrType(n *netns, addr in4Addr, table uint32) uint8 {
	if ipv4IsZeronet(addr) || ipv4IsLbcast(addr) {
		return rtnBroadcast
	}
	if ipv4IsMulticast(addr) {
		return rtnMulticast
	}
	t := n.fibGetTable(table)
	if t == nil {
		return rtnBroadcast
	}
	res, err := k.fibTableLookup(n, t, &flowi{daddr: addr4(addr)}, false)
	if err != 0 {
		return rtnUnicast
	}
	return res.typ
}

// addr4 is an IPv4 address in the first four bytes.
func addr4(a in4Addr) (b in6Addr) {
	copy(b[:], a.bytes())
	return b
}
