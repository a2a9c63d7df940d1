package emulated

import (
	"cmp"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewnexthop       = 104
	rtmDelnexthop       = 105
	rtmGetnexthop       = 106
	rtmNewnexthopbucket = 116
	rtmGetnexthopbucket = 118
)

// Attributes of a nexthop (include/uapi/linux/nexthop.h).
const (
	nhaID = 1 + iota
	nhaGroup
	nhaGroupType
	nhaBlackhole
	nhaOif
	nhaGateway
	nhaEncapType
	nhaEncap
	nhaGroups
	nhaMaster
	nhaFdb
	nhaResGroup
	nhaResBucket
	nhaOpFlags
	nhaGroupStats
	nhaHwStatsEnable
	nhaHwStatsUsed
)

const (
	nexthopGrpTypeMpath = 0
	nexthopGrpTypeRes   = 1

	nhaResGroupBuckets         = 1
	nhaResGroupIdleTimer       = 2
	nhaResGroupUnbalancedTimer = 3
	nhaResGroupUnbalancedTime  = 4

	nhaResBucketIndex    = 1
	nhaResBucketIdleTime = 2
	nhaResBucketNhID     = 3

	nhaGroupStatsEntry          = 1
	nhaGroupStatsEntryID        = 1
	nhaGroupStatsEntryPackets   = 2
	nhaGroupStatsEntryPacketsHw = 3

	nhaOpFlagDumpStats     = 1
	nhaOpFlagDumpHwStats   = 2
	nhaOpFlagRespGrpResvd0 = 1 << 31
)

// nexthopState are the nexthop objects of a namespace, by ID.
type nexthopState struct {
	objects []*nexthop
	lastID  uint32 // last_id_allocated
	seq     uint32
}

// nexthop is a nexthop object (include/net/nexthop.h struct nexthop, struct nh_info,
// struct nh_group).
type nexthop struct {
	id       uint32
	protocol uint8
	flags    uint8
	isGroup  bool

	family int
	reject bool
	fdb    bool
	nh     *fibNh

	entries   []nhGrpEntry
	resilient *nhResTable // nil for a group of the other kind
	hwStats   bool

	groups []*nexthop // that it is in, the last one first
	fis    map[*fibInfo]struct{}
	f6is   map[*fib6Info]struct{}
}

// nhGrpEntry is a member of a group (struct nh_grp_entry).
type nhGrpEntry struct {
	nh     *nexthop
	weight int
}

// nhResTable are the buckets of a resilient group (struct nh_res_table).
type nhResTable struct {
	buckets                    []*nexthop
	idleTimer, unbalancedTimer uint32 // in clock ticks
}

func (nh *nexthop) isBlackhole() bool {
	if nh.isGroup {
		return len(nh.entries) == 1 && nh.entries[0].nh.reject
	}
	return nh.reject
}

// paths are the nexthops of an object, with their weights.
func (nh *nexthop) paths() []*fibNh {
	if !nh.isGroup {
		return []*fibNh{nh.nh}
	}
	var l []*fibNh
	for _, e := range nh.entries {
		one := *e.nh.nh
		one.weight = e.weight
		l = append(l, &one)
	}
	return l
}

// hasV4 says that a member of a group is of IPv4 (nh_group has_v4).
func (nh *nexthop) hasV4() bool {
	return slices.ContainsFunc(nh.entries, func(e nhGrpEntry) bool { return e.nh.family == pfInet })
}

// nexthopInit is net/ipv4/nexthop.c nexthop_init.
func (k *Kernel) nexthopInit() {
	k.registerNetdeviceNotifier(k.nhNetdevEvent)
	k.rtnlRegister(pfUnspec, rtmNewnexthop, k.rtmNewNexthop, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDelnexthop, k.rtmDelNexthop, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGetnexthop, k.rtmGetNexthop, k.rtmDumpNexthop, 0)
	for _, family := range []int{pfInet, pfInet6} {
		k.rtnlRegister(family, rtmNewnexthop, k.rtmNewNexthop, nil, 0)
		k.rtnlRegister(family, rtmGetnexthop, nil, k.rtmDumpNexthop, 0)
	}
	if k.has(nexthopResilient) {
		k.rtnlRegister(pfUnspec, rtmGetnexthopbucket, k.rtmGetNexthopBucket, k.rtmDumpNexthopBucket, 0)
	}
}

// nexthopFindByID is net/ipv4/nexthop.c nexthop_find_by_id.
func (n *netns) nexthopFindByID(id uint32) *nexthop {
	if i, ok := n.state.nhs.find(id); ok {
		return n.state.nhs.objects[i]
	}
	return nil
}

func (s *nexthopState) find(id uint32) (int, bool) {
	return slices.BinarySearchFunc(s.objects, id, func(nh *nexthop, id uint32) int { return cmp.Compare(nh.id, id) })
}

// nhFindUnusedID is net/ipv4/nexthop.c nh_find_unused_id.
func (n *netns) nhFindUnusedID() uint32 {
	s := &n.state.nhs
	for start := s.lastID; ; {
		if s.lastID++; s.lastID == start {
			return 0
		}
		if s.lastID != 0 && n.nexthopFindByID(s.lastID) == nil {
			return s.lastID
		}
	}
}

// nexthopAdd makes an object or replaces one (net/ipv4/nexthop.c nexthop_add).
func (k *Kernel) nexthopAdd(n *netns, cfg *nhConfig, x *extAck) errno {
	if cfg.nlflags&nlmReplace != 0 && cfg.id == 0 {
		x.set("Replace requires nexthop id")
		return nlmsg.EINVAL
	}
	if cfg.id == 0 {
		if cfg.id = n.nhFindUnusedID(); cfg.id == 0 {
			x.set("No unused id")
			return nlmsg.EINVAL
		}
	}
	nh := &nexthop{id: cfg.id, protocol: cfg.protocol, flags: cfg.flags, family: cfg.family, fdb: cfg.fdb,
		fis: map[*fibInfo]struct{}{}, f6is: map[*fib6Info]struct{}{}}
	if cfg.grp != nil {
		k.nexthopCreateGroup(nh, cfg)
	} else if err := k.nexthopCreate(n, nh, cfg, x); err != 0 {
		return err
	}
	return k.insertNexthop(n, nh, cfg, x)
}

// nexthopCreateGroup is net/ipv4/nexthop.c nexthop_create_group.
func (k *Kernel) nexthopCreateGroup(nh *nexthop, cfg *nhConfig) {
	nh.isGroup, nh.entries, nh.hwStats = true, cfg.grp, cfg.hwStats
	if cfg.grpType == nexthopGrpTypeRes {
		nh.resilient = &nhResTable{buckets: make([]*nexthop, cfg.buckets), idleTimer: cfg.idleTimer, unbalancedTimer: cfg.unbalancedTimer}
	}
}

// nexthopCreate is net/ipv4/nexthop.c nexthop_create, nh_create_ipv4 and
// nh_create_ipv6.
func (k *Kernel) nexthopCreate(n *netns, nh *nexthop, cfg *nhConfig, x *extAck) errno {
	if cfg.blackhole {
		nh.reject = true
		cfg.ifindex = loopbackIfindex
	}
	if cfg.family == pfInet6 {
		c := &fib6Config{table: rtTableMain, oif: cfg.ifindex, gateway: cfg.gw, flags: uint32(cfg.flags), fdb: cfg.fdb}
		if cfg.gw != (in6Addr{}) {
			c.flags |= rtfGateway
		}
		one, err := k.fib6NhInit(n, c, x)
		if err != 0 {
			return err
		}
		nh.nh, nh.flags = one, uint8(one.flags)
		one.scope = rtScopeLink
		return 0
	}
	c := &fibConfig{oif: cfg.ifindex, gw: cfg.gw, flags: uint32(cfg.flags)}
	if cfg.gw != (in6Addr{}) {
		c.gwFamily = pfInet
	}
	nh.nh, _ = fibNhInit(c, 1, x)
	nh.nh.scope = rtScopeLink
	if nh.fdb {
		return 0
	}
	if err := k.fibCheckNh(n, nh.nh, rtTableMain, 0, x); err != 0 {
		return err
	}
	nh.flags = uint8(nh.nh.flags)
	return 0
}

// insertNexthop is net/ipv4/nexthop.c insert_nexthop.
func (k *Kernel) insertNexthop(n *netns, nh *nexthop, cfg *nhConfig, x *extAck) errno {
	s := &n.state.nhs
	at, there := s.find(nh.id)
	replace := cfg.nlflags&nlmReplace != 0
	switch {
	case there && !replace:
		return nlmsg.EEXIST
	case there:
		old := s.objects[at]
		if err := k.replaceNexthop(n, old, nh, cfg, x); err != 0 {
			return err
		}
		s.seq++
		k.nexthopNotify(rtmNewnexthop, old, cfg.info)
		k.nexthopReplaceNotify(n, old, cfg.info)
		return 0
	case replace && cfg.nlflags&nlmCreate == 0:
		x.set("Replace specified without create and no entry exists")
		return nlmsg.ENOENT
	}
	if nh.resilient != nil {
		if !cfg.hasBuckets {
			x.set("Number of buckets not specified for nexthop group insertion")
			return nlmsg.EINVAL
		}
		nh.spread()
	}
	for _, e := range nh.entries {
		e.nh.groups = slices.Insert(e.nh.groups, 0, nh)
	}
	s.objects = slices.Insert(s.objects, at, nh)
	s.seq++
	k.nexthopNotify(rtmNewnexthop, nh, cfg.info)
	return 0
}

// spread gives the buckets that no member has to those that have too few, the last
// member first. Others keep theirs until they are idle (net/ipv4/nexthop.c
// nh_res_group_rebalance, nh_res_table_upkeep).
func (nh *nexthop) spread() {
	total, w, from := 0, 0, 0
	for _, e := range nh.entries {
		total += e.weight
	}
	t := nh.resilient
	wants := map[*nexthop]int{}
	for _, e := range nh.entries {
		w += e.weight
		to := (len(t.buckets)*w + total/2) / total
		wants[e.nh] = to - from
		from = to
	}
	for _, has := range t.buckets {
		if _, ok := wants[has]; ok {
			wants[has]--
		}
	}
	last := len(nh.entries) - 1
	for i, has := range t.buckets {
		if _, ok := wants[has]; ok {
			continue
		}
		for last > 0 && wants[nh.entries[last].nh] <= 0 {
			last--
		}
		to := nh.entries[last].nh
		t.buckets[i] = to
		wants[to]--
	}
}

// removeNexthop takes an object away, and with it what is made of it. Nobody is told
// where info is nil (net/ipv4/nexthop.c remove_nexthop).
func (k *Kernel) removeNexthop(n *netns, nh *nexthop, info *nlInfo) {
	s := &n.state.nhs
	at, there := s.find(nh.id)
	if !there {
		return
	}
	s.objects = slices.Delete(s.objects, at, at+1)
	if info != nil {
		k.nexthopNotify(rtmDelnexthop, nh, *info)
	}
	k.removeNexthopFib(n, nh)
	if nh.isGroup {
		for _, e := range nh.entries {
			e.nh.groups = slices.DeleteFunc(e.nh.groups, func(g *nexthop) bool { return g == nh })
		}
	} else {
		for _, g := range slices.Clone(nh.groups) {
			k.removeNhGrpEntry(n, g, nh, info)
		}
	}
	s.seq++
}

// removeNexthopFib is net/ipv4/nexthop.c __remove_nexthop_fib.
func (k *Kernel) removeNexthopFib(n *netns, nh *nexthop) {
	if len(nh.fis) > 0 {
		for fi := range nh.fis {
			fi.flags |= rtnhDead
		}
		k.fibFlush(n)
	}
	if len(nh.f6is) > 0 {
		k.fib6DelWhere(n, func(rt *fib6Info) bool { return rt.nh == nh }, nlInfo{net: n})
	}
}

// removeNhGrpEntry takes a member from a group, and the group away with its last
// (net/ipv4/nexthop.c remove_nh_grp_entry).
func (k *Kernel) removeNhGrpEntry(n *netns, g, nh *nexthop, info *nlInfo) {
	if len(g.entries) == 1 {
		k.removeNexthop(n, g, info)
		return
	}
	g.entries = slices.DeleteFunc(slices.Clone(g.entries), func(e nhGrpEntry) bool { return e.nh == nh })
	if g.resilient != nil {
		g.spread()
	}
	nh.groups = slices.DeleteFunc(nh.groups, func(o *nexthop) bool { return o == g })
	if info != nil {
		k.nexthopNotify(rtmNewnexthop, g, *info)
	}
}

// nhNetdevEvent takes away the objects whose link goes (net/ipv4/nexthop.c
// nh_netdev_event).
func (k *Kernel) nhNetdevEvent(e netdevEvent, d *netDevice, _ *extAck) errno {
	switch e {
	case netdevDown, netdevUnregister:
	case netdevChange:
		if d.devGetFlags()&(iffRunning|iffLowerUp) != 0 {
			return 0
		}
	default:
		return 0
	}
	for _, nh := range slices.Clone(d.net.state.nhs.objects) {
		if nh.nh == nil || nh.nh.dev != d || nh.reject && e != netdevUnregister && k.has(nexthopBlackholeStays) {
			continue
		}
		k.removeNexthop(d.net, nh, nil)
	}
	return 0
}
