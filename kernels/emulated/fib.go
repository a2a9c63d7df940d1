package emulated

import (
	"cmp"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewroute = 24 + iota
	rtmDelroute
	rtmGetroute
)

// Attributes of a route (include/uapi/linux/rtnetlink.h).
const (
	rtaDst = 1 + iota
	rtaSrc
	rtaIif
	rtaOif
	rtaGateway
	rtaPriority
	rtaPrefsrc
	rtaMetrics
	rtaMultipath
	_
	rtaFlow
	rtaCacheinfo
	_
	_
	rtaTable
	rtaMark
	_
	rtaVia
	_
	rtaPref
	rtaEncapType
	rtaEncap
	rtaExpires
	_
	rtaUID
	_
	rtaIPProto
	rtaSport
	rtaDport
	rtaNhID
	rtaFlowlabel
)

// Types of routes.
const (
	rtnUnspec = iota
	rtnUnicast
	rtnLocal
	rtnBroadcast
	rtnAnycast
	rtnMulticast
	rtnBlackhole
	rtnUnreachable
	rtnProhibit
	rtnThrow
	rtnNat
	rtnXresolve
	rtnMax = rtnXresolve
)

// rtScopeNowhere is RT_SCOPE_NOWHERE: there is no such address.
const rtScopeNowhere = 255

// Tables.
const (
	rtTableUnspec  = 0
	rtTableDefault = 253
	rtTableMain    = 254
	rtTableLocal   = 255
)

// Flags of a route and of its nexthops.
const (
	rtnhDead      = 1
	rtnhPervasive = 2
	rtnhOnlink    = 4
	rtnhOffload   = 8
	rtnhLinkdown  = 16
	rtnhTrap      = 64

	rtmNotify      = 0x100
	rtmCloned      = 0x200
	rtmPrefix      = 0x800
	rtmLookupTable = 0x1000
	rtmFibMatch    = 0x2000
)

// Multicast groups (include/uapi/linux/rtnetlink.h RTNLGRP_*).
const (
	rtnlgrpIpv4Route = 7
	rtnlgrpIpv4Rule  = 8
	rtnlgrpIpv6Route = 11
	rtnlgrpIpv6Rule  = 19
	rtnlgrpNexthop   = 32
)

// fibProps is what a type of routes stands for (net/ipv4/fib_semantics.c
// fib_props).
var fibProps = [rtnMax + 1]struct {
	err   errno
	scope uint8
}{
	rtnUnspec:      {0, rtScopeNowhere},
	rtnUnicast:     {0, rtScopeUniverse},
	rtnLocal:       {0, rtScopeHost},
	rtnBroadcast:   {0, rtScopeLink},
	rtnAnycast:     {0, rtScopeLink},
	rtnMulticast:   {0, rtScopeUniverse},
	rtnBlackhole:   {nlmsg.EINVAL, rtScopeUniverse},
	rtnUnreachable: {nlmsg.EHOSTUNREACH, rtScopeUniverse},
	rtnProhibit:    {nlmsg.EACCES, rtScopeUniverse},
	rtnThrow:       {nlmsg.EAGAIN, rtScopeUniverse},
	rtnNat:         {nlmsg.EINVAL, rtScopeNowhere},
	rtnXresolve:    {nlmsg.EINVAL, rtScopeNowhere},
}

// fibState are the IPv4 routes of a namespace.
type fibState struct {
	tables   map[uint32]*fibTable
	order    [fibTableHashsz][]*fibTable // fib_table_hash
	infos    map[fibInfoKey][]*fibInfo   // fib_info_hash
	unmerged bool                        // the local table is not in the main one's trie
}

// fibTableHashsz is FIB_TABLE_HASHSZ with CONFIG_IP_MULTIPLE_TABLES.
const fibTableHashsz = 256

// fibTable is a table of IPv4 routes, in the order of its trie: by key, longer
// prefixes first, higher TOS first, lower priorities first (net/ipv4/fib_trie.c
// struct fib_table, struct trie).
type fibTable struct {
	id      uint32
	aliases []*fibAlias
}

// fibAlias is a route (net/ipv4/fib_lookup.h struct fib_alias).
type fibAlias struct {
	key  in4Addr
	plen uint8
	tos  uint8
	typ  uint8
	fi   *fibInfo
}

// fibInfo is what routes of one kind have in common (include/net/ip_fib.h struct
// fib_info).
type fibInfo struct {
	fibInfoKey
	refs         int
	flags        uint32
	typ          uint8
	table        uint32
	metrics      *fibMetrics
	nh           *nexthop // nil where nhs are
	nhs          []*fibNh
	pfsrcRemoved bool
}

// fibInfoKey is what fib_infos are found by.
type fibInfoKey struct {
	protocol, scope uint8
	prefsrc         in4Addr
	priority, nhID  uint32
	nNhs            int
}

// fibNh is a nexthop, of either family (include/net/ip_fib.h struct fib_nh,
// include/net/ip6_fib.h struct fib6_nh).
type fibNh struct {
	family   int
	dev      *netDevice
	oif      int
	gwFamily int
	gw       in6Addr // that of IPv4 is in the first four
	scope    uint8
	flags    uint32
	weight   int
	flow     uint32
}

func (nh *fibNh) gw4() in4Addr { return in4Addr(be32(nh.gw[:])) }

// paths are the nexthops of a route (fib_info_nhc).
func (fi *fibInfo) paths() []*fibNh {
	if fi.nh != nil {
		return fi.nh.paths()
	}
	return fi.nhs
}

// fibGetTable is net/ipv4/fib_frontend.c fib_get_table.
func (n *netns) fibGetTable(id uint32) *fibTable {
	if id == 0 {
		id = rtTableMain
	}
	return n.state.fib.tables[id]
}

// fibNewTable is net/ipv4/fib_frontend.c fib_new_table.
func (n *netns) fibNewTable(id uint32) *fibTable {
	if id == 0 {
		id = rtTableMain
	}
	f := &n.state.fib
	if t := f.tables[id]; t != nil {
		return t
	}
	if id == rtTableLocal && !f.unmerged {
		n.fibNewTable(rtTableMain)
	}
	if f.tables == nil {
		f.tables, f.infos = map[uint32]*fibTable{}, map[fibInfoKey][]*fibInfo{}
	}
	t := &fibTable{id: id}
	f.tables[id] = t
	h := &f.order[id%fibTableHashsz]
	*h = slices.Insert(*h, 0, t)
	return t
}

// fibEmptyTable makes the first table that is not there (net/ipv4/fib_rules.c
// fib_empty_table).
func (n *netns) fibEmptyTable() *fibTable {
	id := uint32(1)
	for n.fibGetTable(id) != nil {
		id++
	}
	return n.fibNewTable(id)
}

// fibUnmerge gives the local table a trie of its own (net/ipv4/fib_frontend.c
// fib_unmerge).
func (n *netns) fibUnmerge() { n.state.fib.unmerged = true }

// compare is the order of a trie, without that of TOS and priority.
func (fa *fibAlias) compare(key in4Addr, plen uint8) int {
	if c := cmp.Compare(fa.key, key); c != 0 {
		return c
	}
	return cmp.Compare(plen, fa.plen)
}

// section is where the routes of a prefix are.
func (t *fibTable) section(key in4Addr, plen uint8) (from, to int) {
	from, _ = slices.BinarySearchFunc(t.aliases, struct{}{}, func(fa *fibAlias, _ struct{}) int { return fa.compare(key, plen) })
	for to = from; to < len(t.aliases) && t.aliases[to].compare(key, plen) == 0; {
		to++
	}
	return from, to
}

// fibFindAlias is the first route of a section whose TOS is that one and its
// priority not below, or the place for one (net/ipv4/fib_trie.c fib_find_alias).
func (t *fibTable) fibFindAlias(from, to int, tos uint8, prio uint32) int {
	for i := from; i < to; i++ {
		fa := t.aliases[i]
		if fa.tos <= tos && (fa.fi.priority >= prio || fa.tos < tos) {
			return i
		}
	}
	return to
}

// fibTableInsert is net/ipv4/fib_trie.c fib_table_insert.
func (k *Kernel) fibTableInsert(n *netns, t *fibTable, cfg *fibConfig, x *extAck) errno {
	defer k.enter("fib_table_insert")()
	if err := fibValidKeyLen(cfg, x); err != 0 {
		return err
	}
	fi, err := k.fibCreateInfo(n, cfg, x)
	if err != 0 {
		return err
	}
	from, to := t.section(cfg.dst, cfg.dstLen)
	at := t.fibFindAlias(from, to, cfg.tos, fi.priority)
	same := func(i int) bool {
		return i < to && t.aliases[i].tos == cfg.tos && t.aliases[i].fi.priority == fi.priority
	}
	alias := &fibAlias{cfg.dst, cfg.dstLen, cfg.tos, cfg.typ, fi}
	flags := uint16(nlmExcl)
	if same(at) {
		if cfg.nlflags&nlmExcl != 0 {
			n.fibReleaseInfo(fi)
			return nlmsg.EEXIST
		}
		flags = 0
		match, last := -1, at
		for ; same(last); last++ {
			if fa := t.aliases[last]; fa.typ == cfg.typ && fa.fi == fi {
				match = last
				break
			}
		}
		switch {
		case cfg.nlflags&nlmReplace != 0 && match == at:
			n.fibReleaseInfo(fi)
			return 0
		case match >= 0:
			n.fibReleaseInfo(fi)
			return nlmsg.EEXIST
		case cfg.nlflags&nlmReplace != 0:
			old := t.aliases[at].fi
			k.rtmsgFib(rtmNewroute, alias, t.id, cfg.info, flags|nlmReplace)
			t.aliases[at] = alias
			n.fibReleaseInfo(old)
			return 0
		case cfg.nlflags&nlmAppend != 0:
			flags |= nlmAppend
			at = last
		}
	}
	if cfg.nlflags&nlmCreate == 0 {
		n.fibReleaseInfo(fi)
		return nlmsg.ENOENT
	}
	t.aliases = slices.Insert(t.aliases, at, alias)
	k.rtmsgFib(rtmNewroute, alias, t.id, cfg.info, flags|nlmCreate)
	return 0
}

// fibTableDelete is net/ipv4/fib_trie.c fib_table_delete.
func (k *Kernel) fibTableDelete(n *netns, t *fibTable, cfg *fibConfig, x *extAck) errno {
	defer k.enter("fib_table_delete")()
	if err := fibValidKeyLen(cfg, x); err != 0 {
		return err
	}
	from, to := t.section(cfg.dst, cfg.dstLen)
	for i := t.fibFindAlias(from, to, cfg.tos, 0); i < to && t.aliases[i].tos == cfg.tos; i++ {
		fa := t.aliases[i]
		if cfg.typ != 0 && fa.typ != cfg.typ || cfg.scope != rtScopeNowhere && fa.fi.scope != cfg.scope ||
			cfg.prefsrc != 0 && fa.fi.prefsrc != cfg.prefsrc || cfg.protocol != 0 && fa.fi.protocol != cfg.protocol ||
			!fibNhMatch(cfg, fa.fi, x) || !fibMetricsMatch(cfg, fa.fi) {
			continue
		}
		k.rtmsgFib(rtmDelroute, fa, t.id, cfg.info, 0)
		t.aliases = slices.Delete(t.aliases, i, i+1)
		n.fibReleaseInfo(fa.fi)
		return 0
	}
	return nlmsg.ESRCH
}

// fibFlush drops the routes that are dead (net/ipv4/fib_frontend.c fib_flush,
// net/ipv4/fib_trie.c fib_table_flush).
func (k *Kernel) fibFlush(n *netns) {
	for _, bucket := range n.state.fib.order {
		for _, t := range bucket {
			t.aliases = slices.DeleteFunc(t.aliases, func(fa *fibAlias) bool {
				if fa.fi.flags&rtnhDead == 0 || fibProps[fa.typ].err != 0 {
					return false
				}
				if fa.fi.pfsrcRemoved && k.has(routeSrcGone) {
					k.rtmsgFib(rtmDelroute, fa, t.id, nlInfo{net: n}, 0)
				}
				n.fibReleaseInfo(fa.fi)
				return true
			})
		}
	}
}

// fibReleaseInfo is net/ipv4/fib_semantics.c fib_release_info.
func (n *netns) fibReleaseInfo(fi *fibInfo) {
	if fi.refs--; fi.refs > 0 {
		return
	}
	infos := n.state.fib.infos
	if l := slices.DeleteFunc(infos[fi.fibInfoKey], func(o *fibInfo) bool { return o == fi }); len(l) > 0 {
		infos[fi.fibInfoKey] = l
	} else {
		delete(infos, fi.fibInfoKey)
	}
	if fi.nh != nil {
		delete(fi.nh.fis, fi)
	}
}
