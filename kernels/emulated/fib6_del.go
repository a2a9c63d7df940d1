package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// ip6RouteDel takes the first route away that is like one, and with all those that it
// shares its prefix with (net/ipv6/route.c ip6_route_del).
func (k *Kernel) ip6RouteDel(n *netns, cfg *fib6Config, all bool, x *extAck) errno {
	defer k.enter("ip6_route_del")()
	t := n.fib6GetTable(cfg.table)
	if t == nil {
		x.set("FIB table does not exist")
		return nlmsg.ESRCH
	}
	if cfg.dstLen > 128 || cfg.srcLen > 128 || cfg.flags&rtfCache != 0 {
		return nlmsg.ESRCH
	}
	fn := t.nodes[fib6Key{cfg.dst.prefix(int(cfg.dstLen)), cfg.src.prefix(int(cfg.srcLen)), cfg.dstLen, cfg.srcLen}]
	if fn == nil {
		return nlmsg.ESRCH
	}
	for _, rt := range fn.routes {
		if rt.nh != nil && cfg.nhID != 0 && rt.nh.id != cfg.nhID ||
			cfg.metric != 0 && cfg.metric != rt.metric || cfg.protocol != 0 && cfg.protocol != rt.protocol {
			continue
		}
		if rt.nh != nil {
			return k.fib6Del(n, rt, cfg.info)
		}
		if cfg.nhID != 0 || cfg.oif != 0 && (rt.one.dev == nil || rt.one.dev.index != cfg.oif) ||
			cfg.flags&rtfGateway != 0 && cfg.gateway != rt.one.gw {
			continue
		}
		if siblings := rt.siblings(); len(siblings) > 1 && all && cfg.flags&rtfGateway == 0 {
			return k.ip6DelRtSiblings(n, rt, siblings, cfg.info)
		}
		return k.fib6Del(n, rt, cfg.info)
	}
	return nlmsg.ESRCH
}

// ip6DelRtSiblings takes routes away that share a prefix, and tells of them as one
// (net/ipv6/route.c __ip6_del_rt_siblings).
func (k *Kernel) ip6DelRtSiblings(n *netns, rt *fib6Info, siblings []*fib6Info, info nlInfo) errno {
	skb := nlmsgNew(200)
	k.rt6FillNode(skb, rt, nil, rtmDelroute, info.portid, info.seq(), 0)
	quiet := info
	quiet.skipNotify = true
	for _, o := range append(siblings[1:len(siblings):len(siblings)], rt) {
		if err := k.fib6Del(n, o, quiet); err != 0 {
			return err
		}
	}
	k.rtnlNotify(skb, n, info.portid, rtnlgrpIpv6Route, info.h)
	return 0
}

// ip6Nexthops are the routes that RTA_MULTIPATH stands for, one for each of its
// nexthops.
func ip6Nexthops(cfg *fib6Config, x *extAck) ([]*fib6Config, []int, errno) {
	var cfgs []*fib6Config
	var weights []int
	for nh, rest := rtnhFirst(cfg.mp); nh != nil; nh, rest = rtnhFirst(rest) {
		c := *cfg
		c.mp = nil
		if nh.ifindex != 0 {
			c.oif = nh.ifindex
		}
		if a := nh.find(rtaGateway); a != nil {
			if len(a.data) < 16 {
				x.set("Invalid IPv6 address in RTA_GATEWAY")
				return nil, nil, nlmsg.EINVAL
			}
			c.gateway = a.in6()
			c.flags |= rtfGateway
		}
		c.flags |= uint32(nh.flags) & rtnhOnlink
		cfgs, weights = append(cfgs, &c), append(weights, int(nh.hops)+1)
	}
	return cfgs, weights, 0
}

// ip6RouteMultipathAdd is net/ipv6/route.c ip6_route_multipath_add.
func (k *Kernel) ip6RouteMultipathAdd(n *netns, cfg *fib6Config, x *extAck) errno {
	told := uint16(nlmCreate)
	if cfg.info.h.Flags&nlmReplace != 0 {
		told = nlmReplace
	}
	told |= cfg.info.h.Flags & nlmAppend
	cfgs, weights, err := ip6Nexthops(cfg, x)
	if err != 0 {
		return err
	}
	if len(cfgs) == 0 {
		x.set("Invalid nexthop configuration - no valid nexthops")
		return nlmsg.EINVAL
	}
	var routes []*fib6Info
	for i, c := range cfgs {
		rt, err := k.ip6RouteInfoCreate(n, c, x)
		if err != 0 {
			return err
		}
		if !rt.qualifies() {
			x.set("Device only routes can not be added for IPv6 using the multipath API.")
			return nlmsg.EINVAL
		}
		for _, o := range routes {
			if rt6DuplicateNexthop(o, rt) {
				return nlmsg.EEXIST
			}
		}
		rt.one.weight = weights[i]
		routes = append(routes, rt)
	}
	info := cfg.info
	info.skipNotify = true
	for i, rt := range routes {
		if err := k.fib6Add(n, rt, info, x); err != 0 {
			if i > 0 {
				k.ip6RouteMpathNotify(routes[:i], cfg.info, told)
			}
			for _, c := range cfgs[:i] {
				k.ip6RouteDel(n, c, false, x)
			}
			return err
		}
		// Those behind the first are added to it. The request itself is changed, and is
		// quoted so.
		info.h.Flags = info.h.Flags&^(nlmExcl|nlmReplace) | nlmCreate
		native.PutUint16(info.h.raw[6:], info.h.Flags)
	}
	k.ip6RouteMpathNotify(routes, cfg.info, told)
	return 0
}

// ip6RouteMpathNotify is net/ipv6/route.c ip6_route_mpath_notify.
func (k *Kernel) ip6RouteMpathNotify(routes []*fib6Info, info nlInfo, flags uint16) {
	rt := routes[0]
	if flags&nlmAppend != 0 {
		last := routes[len(routes)-1]
		for _, o := range last.node.routes {
			if o.metric == last.metric && o.qualifies() {
				rt = o
				break
			}
		}
	}
	k.inet6RtNotify(rtmNewroute, rt, info, flags)
}

// ip6RouteMultipathDel is net/ipv6/route.c ip6_route_multipath_del.
func (k *Kernel) ip6RouteMultipathDel(n *netns, cfg *fib6Config, x *extAck) (last errno) {
	cfgs, _, err := ip6Nexthops(cfg, x)
	if err != 0 {
		return err
	}
	for _, c := range cfgs {
		if err := k.ip6RouteDel(n, c, false, x); err != 0 {
			last = err
		}
	}
	return last
}

// inet6RtNotify tells RTNLGRP_IPV6_ROUTE of a route (net/ipv6/route.c
// inet6_rt_notify).
func (k *Kernel) inet6RtNotify(event uint16, rt *fib6Info, info nlInfo, flags uint16) {
	defer k.enter("inet6_rt_notify")()
	skb := nlmsgNew(200)
	k.rt6FillNode(skb, rt, nil, event, info.portid, info.seq(), flags)
	k.rtnlNotify(skb, info.net, info.portid, rtnlgrpIpv6Route, info.h)
}
