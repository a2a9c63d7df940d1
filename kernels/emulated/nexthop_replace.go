package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// replaceNexthop makes old what nh is (net/ipv4/nexthop.c replace_nexthop).
func (k *Kernel) replaceNexthop(n *netns, old, nh *nexthop, cfg *nhConfig, x *extAck) errno {
	for _, user := range append([]*nexthop{old}, old.groups...) {
		if user != old && nh.reject && len(user.entries) > 1 {
			x.set("Blackhole nexthop can not be a member of a group with more than one path")
			return nlmsg.EINVAL
		}
		if err := fibCheckNhList(user, nh, x); err != 0 {
			return err
		}
		if len(user.f6is) > 0 {
			if err := fib6CheckNexthop(nh, nil, x); err != 0 {
				return err
			}
		}
	}
	if !old.isGroup {
		if nh.isGroup {
			x.set("Can not replace a nexthop with a nexthop group.")
			return nlmsg.EINVAL
		}
		old.protocol, old.flags, old.family, old.reject, old.fdb, old.nh = nh.protocol, nh.flags, nh.family, nh.reject, nh.fdb, nh.nh
		return 0
	}
	if !nh.isGroup {
		x.set("Can not replace a nexthop group with a nexthop.")
		return nlmsg.EINVAL
	}
	if (nh.resilient == nil) != (old.resilient == nil) {
		x.set("Can not replace a nexthop group with one of a different type.")
		return nlmsg.EINVAL
	}
	if t := old.resilient; t != nil {
		if cfg.hasBuckets && cfg.buckets != len(t.buckets) {
			x.set("Can not change number of buckets of a resilient nexthop group.")
			return nlmsg.EINVAL
		}
		if cfg.hasIdle {
			t.idleTimer = cfg.idleTimer
		}
		if cfg.hasUnbalanced {
			t.unbalancedTimer = cfg.unbalancedTimer
		}
	}
	for _, e := range old.entries {
		e.nh.groups = slices.DeleteFunc(e.nh.groups, func(g *nexthop) bool { return g == old })
	}
	for _, e := range nh.entries {
		e.nh.groups = slices.Insert(e.nh.groups, 0, old)
	}
	old.entries, old.hwStats, old.fdb = nh.entries, nh.hwStats, nh.fdb
	if old.resilient != nil {
		old.spread()
	}
	return 0
}

// fibCheckNhList says whether the IPv4 routes of an object can have another one
// (net/ipv4/nexthop.c fib_check_nh_list).
func fibCheckNhList(user, nh *nexthop, x *extAck) errno {
	for fi := range user.fis {
		return fibCheckNexthop(nh, fi.scope, x)
	}
	return 0
}

// fibCheckNexthop says whether an IPv4 route can have an object (net/ipv4/nexthop.c
// fib_check_nexthop).
func fibCheckNexthop(nh *nexthop, scope uint8, x *extAck) errno {
	fail := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	if nh.fdb {
		return fail("Route cannot point to a fdb nexthop")
	}
	one := nh
	if nh.isGroup {
		if scope == rtScopeHost {
			return fail("Route with host scope can not have multiple nexthops")
		}
		one = nh.entries[0].nh
	}
	if scope == rtScopeHost && one.nh.gwFamily != 0 {
		return fail("Route with host scope can not have a gateway")
	}
	if one.nh.flags&rtnhOnlink != 0 && scope >= rtScopeLink {
		return fail("Scope mismatch with nexthop")
	}
	return 0
}

// fib6CheckNexthop says whether an IPv6 route can have an object (net/ipv4/nexthop.c
// fib6_check_nexthop).
func fib6CheckNexthop(nh *nexthop, cfg *fib6Config, x *extAck) errno {
	fail := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	if cfg != nil && cfg.src != (in6Addr{}) {
		return fail("IPv6 routes using source address can not use nexthop objects")
	}
	if nh.isGroup && nh.hasV4() || !nh.isGroup && nh.family == pfInet {
		return fail("IPv6 routes can not use an IPv4 nexthop")
	}
	if nh.fdb {
		return fail("Route cannot point to a fdb nexthop")
	}
	return 0
}

// nexthopReplaceNotify tells of the routes that have an object that was replaced
// (net/ipv4/nexthop.c nexthop_replace_notify).
func (k *Kernel) nexthopReplaceNotify(n *netns, nh *nexthop, info nlInfo) {
	for _, user := range append([]*nexthop{nh}, nh.groups...) {
		if len(user.fis) > 0 {
			k.fibInfoNotifyUpdate(n, user, info)
		}
		k.fib6Each(n, func(rt *fib6Info) {
			if rt.nh == user {
				k.inet6RtNotify(rtmNewroute, rt, info, nlmReplace)
			}
		})
	}
}

// fibInfoNotifyUpdate is net/ipv4/fib_trie.c fib_info_notify_update.
func (k *Kernel) fibInfoNotifyUpdate(n *netns, nh *nexthop, info nlInfo) {
	for _, bucket := range n.state.fib.order {
		for _, t := range bucket {
			for _, fa := range t.aliases {
				if fa.fi.nh == nh {
					k.rtmsgFib(rtmNewroute, fa, t.id, info, nlmReplace)
				}
			}
		}
	}
}
