package emulated

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Flags of an IPv6 route (include/uapi/linux/route.h, ipv6_route.h RTF_*).
const (
	rtfUp        = 0x0001
	rtfGateway   = 0x0002
	rtfReject    = 0x0200
	rtfAddrconf  = 0x00040000
	rtfPrefixRt  = 0x00080000
	rtfAnycast   = 0x00100000
	rtfNonexthop = 0x00200000
	rtfCache     = 0x01000000
	rtfLocal     = 0x80000000

	rtfPrefShift = 27
)

const (
	ip6RtPrioUser     = 1024
	ip6RtPrioAddrconf = 256
)

// fib6State are the IPv6 routes of a namespace.
type fib6State struct {
	tables map[uint32]*fib6Table
	order  [fibTableHashsz][]*fib6Table // fib_table_hash
	seq    uint32                       // of dumps: changes with every node
}

// fib6Table is a table of IPv6 routes (include/net/ip6_fib.h struct fib6_table).
type fib6Table struct {
	id    uint32
	nodes map[fib6Key]*fib6Node
	walk  []*fib6Node // in the order of a walk: those below a node before it
	srcs  int         // nodes with a source prefix
}

// fib6Key is a prefix, and that of the source.
type fib6Key struct {
	dst, src       in6Addr
	dstLen, srcLen uint8
}

// fib6Node are the routes of a prefix, by metric (struct fib6_node).
type fib6Node struct {
	fib6Key
	routes []*fib6Info
}

// fib6Info is an IPv6 route (struct fib6_info).
type fib6Info struct {
	table    *fib6Table
	node     *fib6Node // nil until it is inserted
	key      fib6Key
	metric   uint32
	protocol uint8
	typ      uint8
	flags    uint32 // RTF_*
	prefsrc  in6Addr
	metrics  *fibMetrics
	expires  uint32
	nh       *nexthop // nil where one is
	one      *fibNh
}

// first is the nexthop that a route has first.
func (rt *fib6Info) first() *fibNh {
	if rt.nh != nil {
		if paths := rt.nh.paths(); len(paths) > 0 {
			return paths[0]
		}
	}
	return rt.one
}

// qualifies says that a route can be one of several to the same prefix
// (include/net/ip6_route.h rt6_qualify_for_ecmp).
func (rt *fib6Info) qualifies() bool {
	return rt.flags&rtfAddrconf == 0 && rt.nh == nil && rt.one.gwFamily != 0
}

// siblings are the route and those that it shares its prefix with, it first.
func (rt *fib6Info) siblings() []*fib6Info {
	if rt.node == nil || !rt.qualifies() {
		return []*fib6Info{rt}
	}
	var l []*fib6Info
	at := 0
	for _, o := range rt.node.routes {
		if o.metric == rt.metric && o.qualifies() {
			if o == rt {
				at = len(l)
			}
			l = append(l, o)
		}
	}
	return append(l[at:len(l):len(l)], l[:at]...)
}

// compare is the order of a walk.
func (k fib6Key) compare(o fib6Key) int {
	n := min(k.dstLen, o.dstLen)
	if !prefixEqual(k.dst[:], o.dst[:], n) {
		return bytes.Compare(k.dst[:], o.dst[:])
	}
	if c := cmp.Compare(o.dstLen, k.dstLen); c != 0 {
		return c
	}
	if c := cmp.Compare(o.srcLen, k.srcLen); c != 0 {
		return c
	}
	return bytes.Compare(k.src[:], o.src[:])
}

// fib6GetTable is net/ipv6/ip6_fib.c fib6_get_table.
func (n *netns) fib6GetTable(id uint32) *fib6Table {
	if id == 0 {
		id = rtTableMain
	}
	if id == rtTableMain || id == rtTableLocal { // which are there from the beginning
		return n.fib6NewTable(id)
	}
	return n.state.fib6.tables[id]
}

// fib6NewTable is net/ipv6/ip6_fib.c fib6_new_table.
func (n *netns) fib6NewTable(id uint32) *fib6Table {
	if id == 0 {
		id = rtTableMain
	}
	f := &n.state.fib6
	if t := f.tables[id]; t != nil {
		return t
	}
	if f.tables == nil {
		f.tables = map[uint32]*fib6Table{}
	}
	t := &fib6Table{id: id, nodes: map[fib6Key]*fib6Node{}}
	f.tables[id] = t
	h := &f.order[id%fibTableHashsz]
	*h = slices.Insert(*h, 0, t)
	return t
}

// addNode is the node of a prefix, made if it is not there (net/ipv6/ip6_fib.c
// fib6_add_1).
func (t *fib6Table) addNode(key fib6Key) *fib6Node {
	if fn := t.nodes[key]; fn != nil {
		return fn
	}
	fn := &fib6Node{fib6Key: key}
	t.nodes[key] = fn
	at, _ := slices.BinarySearchFunc(t.walk, key, func(fn *fib6Node, key fib6Key) int { return fn.compare(key) })
	t.walk = slices.Insert(t.walk, at, fn)
	if key.srcLen != 0 {
		t.srcs++
	}
	return fn
}

// dropNode takes a node away that has no route left (net/ipv6/ip6_fib.c
// fib6_repair_tree).
func (t *fib6Table) dropNode(fn *fib6Node) {
	if len(fn.routes) > 0 || t.nodes[fn.fib6Key] != fn {
		return
	}
	delete(t.nodes, fn.fib6Key)
	if at, ok := slices.BinarySearchFunc(t.walk, fn.fib6Key, func(fn *fib6Node, key fib6Key) int { return fn.compare(key) }); ok {
		t.walk = slices.Delete(t.walk, at, at+1)
	}
	if fn.srcLen != 0 {
		t.srcs--
	}
}

// fib6Add inserts a route (net/ipv6/ip6_fib.c fib6_add).
func (k *Kernel) fib6Add(n *netns, rt *fib6Info, info nlInfo, x *extAck) errno {
	defer k.enter("fib6_add")()
	var flags uint16
	if info.h != nil {
		flags = info.h.Flags
	}
	t := rt.table
	if t.nodes[rt.key] == nil && info.h != nil && flags&(nlmCreate|nlmReplace) == nlmReplace {
		x.set("Can not replace route - no match found")
		return nlmsg.ENOENT
	}
	fn := t.addNode(rt.key)
	err := k.fib6AddRt2node(n, fn, rt, info, flags)
	if err != 0 {
		t.dropNode(fn)
		return err
	}
	n.state.fib6.seq++
	return 0
}

// fib6AddRt2node inserts a route among those of its prefix (net/ipv6/ip6_fib.c
// fib6_add_rt2node).
func (k *Kernel) fib6AddRt2node(n *netns, fn *fib6Node, rt *fib6Info, info nlInfo, flags uint16) errno {
	replace := flags&nlmReplace != 0
	ecmp := rt.qualifies()
	told := uint16(nlmExcl)
	if flags&nlmAppend != 0 {
		told |= nlmAppend
	}
	at, found, fallback := 0, false, -1
	for ; at < len(fn.routes); at++ {
		o := fn.routes[at]
		if o.metric == rt.metric {
			if flags&nlmExcl != 0 {
				return nlmsg.EEXIST
			}
			told &^= nlmExcl
			switch {
			case replace && ecmp == o.qualifies():
				found = true
			case replace:
				if fallback < 0 {
					fallback = at
				}
			case rt6DuplicateNexthop(o, rt):
				if o.flags&rtfExpires != 0 {
					o.flags = o.flags&^rtfExpires | rt.flags&rtfExpires
					o.expires = rt.expires
				}
				return nlmsg.EEXIST
			}
		}
		if found || o.metric > rt.metric {
			break
		}
	}
	if !found && fallback >= 0 {
		at, found = fallback, true
	}
	if replace && found {
		old := fn.routes[at]
		siblings := old.siblings()
		rt.attach(fn)
		fn.routes[at] = rt
		old.detach()
		for _, o := range siblings {
			if o != old {
				fn.routes = slices.DeleteFunc(fn.routes, func(r *fib6Info) bool { return r == o })
				o.detach()
			}
		}
		if !info.skipNotify {
			k.inet6RtNotify(rtmNewroute, rt, info, nlmReplace)
		}
		return 0
	}
	if replace && info.h != nil && flags&nlmCreate == 0 {
		return nlmsg.ENOENT
	}
	rt.attach(fn)
	fn.routes = slices.Insert(fn.routes, at, rt)
	if !info.skipNotify {
		k.inet6RtNotify(rtmNewroute, rt, info, told|nlmCreate)
	}
	return 0
}

func (rt *fib6Info) attach(fn *fib6Node) {
	rt.node = fn
	if rt.nh != nil {
		rt.nh.f6is[rt] = struct{}{}
	}
}

func (rt *fib6Info) detach() {
	rt.node = nil
	if rt.nh != nil {
		delete(rt.nh.f6is, rt)
	}
}

// rt6DuplicateNexthop is include/net/ip6_route.h rt6_duplicate_nexthop.
func rt6DuplicateNexthop(a, b *fib6Info) bool {
	if a.nh != nil || b.nh != nil {
		return a.nh == b.nh
	}
	return a.one.dev == b.one.dev && a.one.gwFamily == b.one.gwFamily && a.one.gw == b.one.gw
}

// fib6Del takes a route away (net/ipv6/ip6_fib.c fib6_del).
func (k *Kernel) fib6Del(n *netns, rt *fib6Info, info nlInfo) errno {
	defer k.enter("fib6_del")()
	fn := rt.node
	if fn == nil {
		return nlmsg.ENOENT
	}
	fn.routes = slices.DeleteFunc(fn.routes, func(o *fib6Info) bool { return o == rt })
	rt.detach()
	if !info.skipNotify {
		k.inet6RtNotify(rtmDelroute, rt, info, 0)
	}
	rt.table.dropNode(fn)
	n.state.fib6.seq++
	return 0
}

// fib6Each calls f for every route, in the order of the tables.
func (k *Kernel) fib6Each(n *netns, f func(*fib6Info)) {
	for _, bucket := range n.state.fib6.order {
		for _, t := range bucket {
			for _, fn := range slices.Clone(t.walk) {
				for _, rt := range slices.Clone(fn.routes) {
					f(rt)
				}
			}
		}
	}
}

// fib6DelWhere takes all routes away that are so (net/ipv6/ip6_fib.c
// fib6_clean_all).
func (k *Kernel) fib6DelWhere(n *netns, so func(*fib6Info) bool, info nlInfo) {
	k.fib6Each(n, func(rt *fib6Info) {
		if rt.node != nil && so(rt) {
			k.fib6Del(n, rt, info)
		}
	})
}

// rt6SyncDownDev has the routes follow a link that goes down, loses its carrier or is
// gone (net/ipv6/route.c rt6_sync_down_dev, fib6_ifdown).
func (k *Kernel) rt6SyncDownDev(d *netDevice, e netdevEvent) {
	uses := func(rt *fib6Info) bool { return rt.nh == nil && rt.one.dev == d }
	if e == netdevChange {
		k.fib6Each(d.net, func(rt *fib6Info) {
			if uses(rt) && rt.flags&(rtfLocal|rtfAnycast) == 0 {
				rt.one.flags |= rtnhLinkdown
			}
		})
		return
	}
	k.fib6DelWhere(d.net, func(rt *fib6Info) bool {
		siblings := rt.siblings()
		if e == netdevUnregister || len(siblings) == 1 {
			return uses(rt)
		}
		dead := 0
		for _, o := range siblings {
			if o.one.dev == d {
				o.one.flags |= rtnhDead | rtnhLinkdown
			}
			if o.one.flags&rtnhDead != 0 {
				dead++
			}
		}
		return dead == len(siblings)
	}, nlInfo{net: d.net})
}

// rt6SyncUp has the routes follow a link that is up or has a carrier again
// (net/ipv6/route.c rt6_sync_up).
func (k *Kernel) rt6SyncUp(d *netDevice) {
	flags := uint32(rtnhDead)
	if netifCarrierOk(d) {
		flags |= rtnhLinkdown
	}
	k.fib6Each(d.net, func(rt *fib6Info) {
		if rt.nh == nil && rt.one.dev == d {
			rt.one.flags &^= flags
		}
	})
}
