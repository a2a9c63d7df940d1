package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fib6Prop is what a type of IPv6 routes stands for (net/ipv6/route.c
// fib6_prop).
var fib6Prop = [rtnMax + 1]errno{
	rtnBlackhole:   nlmsg.EINVAL,
	rtnUnreachable: nlmsg.EHOSTUNREACH,
	rtnProhibit:    nlmsg.EACCES,
	rtnThrow:       nlmsg.EAGAIN,
	rtnNat:         nlmsg.EINVAL,
	rtnXresolve:    nlmsg.EINVAL,
}

// fib6Result is an IPv6 route that was found (include/net/ip6_fib.h struct
// fib6_result).
type fib6Result struct {
	rt  *fib6Info
	nh  *fibNh
	err errno // dst.error
}

// fib6TableLookup finds the route of a flow in a table (net/ipv6/route.c
// fib6_table_lookup).
func (k *Kernel) fib6TableLookup(t *fib6Table, fl *flowi, ignoreLinkstate bool) (fib6Result, bool) {
	for plen := 128; plen >= 0; plen-- {
		dst := fl.daddr.prefix(plen)
		if t.srcs > 0 && fl.hasSaddr {
			for slen := 128; slen > 0; slen-- {
				fn := t.nodes[fib6Key{dst, fl.saddr.prefix(slen), uint8(plen), uint8(slen)}]
				if res, ok := fn.rt6Select(fl, ignoreLinkstate); ok {
					return res, true
				}
			}
		}
		fn := t.nodes[fib6Key{dst: dst, dstLen: uint8(plen)}]
		if res, ok := fn.rt6Select(fl, ignoreLinkstate); ok {
			return res, true
		}
	}
	return fib6Result{}, false
}

// rt6Select is the best route of a prefix (net/ipv6/route.c rt6_select,
// find_rr_leaf).
func (fn *fib6Node) rt6Select(fl *flowi, ignoreLinkstate bool) (best fib6Result, ok bool) {
	if fn == nil {
		return best, false
	}
	most := -1
	for i, rt := range fn.routes {
		if i > 0 && ok && rt.metric != fn.routes[i-1].metric {
			break
		}
		paths := []*fibNh{rt.one}
		if rt.nh != nil {
			if rt.nh.isBlackhole() {
				return fib6Result{rt, rt.first(), nlmsg.EINVAL}, true
			}
			paths = rt.nh.paths()
		}
		for _, nh := range paths {
			score := 2
			if fl.oif != 0 && nh.dev != nil && nh.dev.index != fl.oif {
				if score = 0; fl.iface {
					continue
				}
			}
			if nh.flags&rtnhDead != 0 || nh.flags&rtnhLinkdown != 0 && !ignoreLinkstate && ip6IgnoreLinkdown(nh.dev) {
				continue
			}
			// IPV6_DECODE_PREF: low is 1, medium 2, high 3.
			score |= int((rt.flags>>rtfPrefShift&3)^2) << 2
			if score > most {
				most, ok = score, true
				best = fib6Result{rt: rt, nh: nh}
				if rt.flags&rtfReject != 0 {
					best.err = fib6Prop[rt.typ]
				}
			}
		}
	}
	return best, ok
}

// fib6Lookup finds the route of a flow by the rules: ENETUNREACH for none
// (net/ipv6/fib6_rules.c fib6_rule_lookup).
func (k *Kernel) fib6Lookup(n *netns, fl *flowi, ignoreLinkstate bool) (res fib6Result, err errno) {
	lookup := func(id uint32) errno {
		t := n.fib6GetTable(id)
		if t == nil {
			return nlmsg.EAGAIN
		}
		var ok bool
		if res, ok = k.fib6TableLookup(t, fl, ignoreLinkstate); !ok {
			return nlmsg.EAGAIN
		}
		return res.err
	}
	ops := n.lookupRulesOps(pfInet6)
	if ops == nil || !ops.custom {
		if err = lookup(rtTableLocal); err == nlmsg.EAGAIN {
			err = lookup(rtTableMain)
		}
	} else {
		err = fibRulesLookup(ops, fl, func(r *fibRule) errno {
			e := lookup(r.table)
			if e == 0 && fibRuleSuppress(r, int(res.rt.key.dstLen), res.nh) {
				return nlmsg.EAGAIN
			}
			return e
		})
	}
	if err == nlmsg.EAGAIN || err == nlmsg.ESRCH {
		err = nlmsg.ENETUNREACH
	}
	return res, err
}

func (a in6Addr) isMulticast() bool { return a[0] == 0xff }
func (a in6Addr) isLinklocal() bool {
	return a.typ() == ipv6AddrLinklocal|ipv6AddrUnicast|ipv6ScopeLink
}
func (a in6Addr) isLoopback() bool { return a == in6AddrLoopback }
func (a in6Addr) isAny() bool      { return a == in6Addr{} }

// ipv6ChkAddrAndFlags says that an address is one of a link's, or of any with nil for
// it, and has none of the flags (net/ipv6/addrconf.c ipv6_chk_addr_and_flags).
func (k *Kernel) ipv6ChkAddrAndFlags(n *netns, a in6Addr, dev *netDevice, banned uint32) bool {
	for _, d := range n.state.devs {
		if d.in6Dev == nil {
			continue
		}
		for _, ifp := range d.in6Dev.addrList {
			if ifp.addr == a && ifp.flags&banned == 0 && (dev == nil || dev == d || ifp.scope&(ifaHost|ifaLink) == 0) {
				return true
			}
		}
	}
	return false
}

// ipv6DevGetSaddr is the address that is best to reach another one from over a link
// (net/ipv6/addrconf.c ipv6_dev_get_saddr).
func (k *Kernel) ipv6DevGetSaddr(n *netns, dev *netDevice, daddr in6Addr) (best in6Addr, ok bool) {
	var most [7]int
	for _, d := range n.state.devs {
		if d.in6Dev == nil || d != dev && (daddr.isMulticast() || daddr.isLinklocal()) {
			continue
		}
		for _, ifp := range d.in6Dev.addrList {
			if ifp.flags&ifaFTentative != 0 && ifp.flags&ifaFOptimistic == 0 {
				continue
			}
			s := saddrScore(ifp, dev, daddr)
			if !ok || less(most, s) {
				best, most, ok = ifp.addr, s, true
			}
		}
	}
	return best, ok
}

func less(a, b [7]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// saddrScore is how good an address is as a source, by the rules in their order
// (net/ipv6/addrconf.c ipv6_get_saddr_eval).
func saddrScore(ifp *inet6Ifaddr, dev *netDevice, daddr in6Addr) (s [7]int) {
	yes := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	n := ifp.idev.dev.net
	label := func(a in6Addr) uint32 {
		index := 0
		if dev != nil {
			index = dev.index
		}
		if e := n.state.inet6.labels.find(a, uint32(index)); e != nil {
			return e.label
		}
		return ipv6AddrLabelDefault
	}
	scope := ifp.addr.srcScope()
	if scope >= daddr.srcScope() {
		scope = -scope
	} else {
		scope -= 128
	}
	diff := 0
	for diff < 128 && (ifp.addr[diff/8]^daddr[diff/8])>>(7-diff%8)&1 == 0 {
		diff++
	}
	return [7]int{
		yes(ifp.addr == daddr),
		scope,
		yes(ifp.flags&(ifaFDeprecated|ifaFOptimistic) == 0),
		yes(dev == nil || ifp.idev.dev == dev),
		yes(label(ifp.addr) == label(daddr)),
		yes(ifp.flags&ifaFSecondary == 0), // IFA_F_TEMPORARY
		min(diff, int(ifp.prefixLen)),
	}
}
