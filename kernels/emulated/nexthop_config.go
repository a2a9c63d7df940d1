package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// nhmsg is include/uapi/linux/nexthop.h struct nhmsg.
type nhmsg struct {
	family, scope, protocol, resvd uint8
	flags                          uint32
}

const nhmsgLen = 8

func parseNhmsg(b []byte) nhmsg { return nhmsg{b[0], b[1], b[2], b[3], native.Uint32(b[4:])} }

func (m nhmsg) bytes() []byte {
	return native.AppendUint32([]byte{m.family, m.scope, m.protocol, m.resvd}, m.flags)
}

// nhConfig is an object as it is asked for (include/net/nexthop.h struct
// nh_config).
type nhConfig struct {
	info           nlInfo
	nlflags        uint16
	id             uint32
	family         int
	protocol       uint8
	flags          uint8
	blackhole, fdb bool
	ifindex        int
	gw             in6Addr

	grp                        []nhGrpEntry
	grpType                    uint16
	hasBuckets                 bool
	buckets                    int
	hasIdle, hasUnbalanced     bool
	idleTimer, unbalancedTimer uint32
	hwStats                    bool
}

// rtmNhPolicyNew is net/ipv4/nexthop.c rtm_nh_policy_new.
func (k *Kernel) rtmNhPolicyNew() policy {
	p := policy{
		nhaID:        {typ: nlaU32},
		nhaGroup:     {typ: nlaBinary},
		nhaGroupType: {typ: nlaU16},
		nhaBlackhole: {typ: nlaFlag},
		nhaOif:       {typ: nlaU32},
		nhaGateway:   {typ: nlaBinary},
		nhaEncapType: {typ: nlaU16},
		nhaEncap:     {typ: nlaNested},
		nhaFdb:       {typ: nlaFlag},
	}
	if !k.has(nexthopPolicies) {
		p[nhaGroups], p[nhaMaster] = nlaPolicy{typ: nlaFlag}, nlaPolicy{typ: nlaU32}
	}
	if k.has(nexthopResilient) {
		p = append(p, nlaPolicy{typ: nlaNested})
	}
	if k.has(nexthopStats) {
		p = append(p, nlaPolicy{}, nlaPolicy{}, nlaPolicy{}, nlaPolicy{typ: nlaU32, check: validateMax, max: 1})
	}
	return p
}

// rtmNewNexthop is net/ipv4/nexthop.c rtm_new_nexthop.
func (k *Kernel) rtmNewNexthop(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtm_new_nexthop")()
	cfg, err := k.rtmToNhConfig(skb, h, x)
	if err != 0 {
		return err
	}
	return k.nexthopAdd(skb.sk.net, cfg, x)
}

// rtmToNhConfig reads an object (net/ipv4/nexthop.c rtm_to_nh_config).
func (k *Kernel) rtmToNhConfig(skb *skBuff, h *nlmsghdr, x *extAck) (*nhConfig, errno) {
	invalid := func(msg string) (*nhConfig, errno) {
		x.set(msg)
		return nil, nlmsg.EINVAL
	}
	tb, err := nlmsgParse(h, nhmsgLen, k.rtmNhPolicyNew(), strict, x)
	if err != 0 {
		return nil, err
	}
	m := parseNhmsg(h.payload())
	if m.resvd != 0 || m.scope != 0 {
		return invalid("Invalid values in ancillary header")
	}
	if m.flags&^rtnhOnlink != 0 {
		return invalid("Invalid nexthop flags in ancillary header")
	}
	switch {
	case m.family == pfInet, m.family == pfInet6:
	case m.family == pfUnspec && tb[nhaGroup] != nil:
	default:
		return invalid("Invalid address family")
	}
	if !k.has(nexthopPolicies) && (tb[nhaGroups] != nil || tb[nhaMaster] != nil) {
		return invalid("Invalid attributes in request")
	}
	cfg := &nhConfig{info: nlInfo{net: skb.sk.net, h: h, portid: skb.portid}, nlflags: h.Flags,
		family: int(m.family), protocol: m.protocol, flags: uint8(m.flags)}
	if a := tb[nhaID]; a != nil {
		cfg.id = a.u32()
	}
	if tb[nhaFdb] != nil {
		if tb[nhaOif] != nil || tb[nhaBlackhole] != nil || tb[nhaEncap] != nil || tb[nhaEncapType] != nil {
			return invalid("Fdb attribute can not be used with encap, oif or blackhole")
		}
		if m.flags != 0 {
			return invalid("Unsupported nexthop flags in ancillary header")
		}
		cfg.fdb = true
	}
	if tb[nhaGroup] != nil {
		if m.family != pfUnspec {
			return invalid("Invalid family for group")
		}
		if err := k.rtmToNhConfigGrp(skb.sk.net, cfg, tb, x); err != 0 {
			return nil, err
		}
		return cfg, 0
	}
	if tb[nhaBlackhole] != nil {
		if tb[nhaGateway] != nil || tb[nhaOif] != nil || tb[nhaEncap] != nil || tb[nhaEncapType] != nil || tb[nhaFdb] != nil {
			return invalid("Blackhole attribute can not be used with gateway, oif, encap or fdb")
		}
		cfg.blackhole = true
		return cfg, 0
	}
	if !cfg.fdb {
		if tb[nhaOif] == nil {
			return invalid("Device attribute required for non-blackhole and non-fdb nexthops")
		}
		cfg.ifindex = int(int32(tb[nhaOif].u32()))
		switch d := skb.sk.net.devGetByIndex(cfg.ifindex); {
		case d == nil:
			return invalid("Invalid device index")
		case d.flags&iffUp == 0:
			x.set("Nexthop device is not up")
			return nil, nlmsg.ENETDOWN
		case !netifCarrierOk(d):
			x.set("Carrier for nexthop device is down")
			return nil, nlmsg.ENETDOWN
		}
	}
	if a := tb[nhaGateway]; a != nil {
		if cfg.family == pfInet && len(a.data) != 4 || cfg.family == pfInet6 && len(a.data) != 16 {
			return invalid("Invalid gateway")
		}
		if cfg.family == pfUnspec {
			return invalid("Unknown address family for gateway")
		}
		cfg.gw = a.in6()
	} else if cfg.flags&rtnhOnlink != 0 {
		return invalid("ONLINK flag can not be set for nexthop without a gateway")
	}
	if tb[nhaEncap] != nil {
		if tb[nhaEncapType] == nil {
			return invalid("LWT encapsulation type is missing")
		}
		return nil, lwtunnelValidEncapType(tb[nhaEncapType].u16(), x)
	}
	if tb[nhaEncapType] != nil {
		return invalid("LWT encapsulation attribute is missing")
	}
	return cfg, 0
}

// rtmToNhConfigGrp reads a group.
func (k *Kernel) rtmToNhConfigGrp(n *netns, cfg *nhConfig, tb attrTable, x *extAck) errno {
	cfg.grpType = nexthopGrpTypeMpath
	if a := tb[nhaGroupType]; a != nil {
		cfg.grpType = a.u16()
	}
	last := uint16(nexthopGrpTypeMpath)
	if k.has(nexthopResilient) {
		last = nexthopGrpTypeRes
	}
	if cfg.grpType > last {
		x.set("Invalid group type")
		return nlmsg.EINVAL
	}
	if err := k.nhCheckAttrGroup(n, cfg, tb, x); err != 0 {
		return err
	}
	if cfg.grpType == nexthopGrpTypeRes {
		if err := rtmToNhConfigGrpRes(cfg, tb.get(nhaResGroup), x); err != 0 {
			return err
		}
	}
	if a := tb.get(nhaHwStatsEnable); a != nil {
		cfg.hwStats = a.u32() != 0
	}
	return 0
}

// nhCheckAttrGroup is net/ipv4/nexthop.c nh_check_attr_group.
func (k *Kernel) nhCheckAttrGroup(n *netns, cfg *nhConfig, tb attrTable, x *extAck) errno {
	invalid := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	b := tb[nhaGroup].data
	if len(b) == 0 || len(b)%8 != 0 {
		return invalid("Invalid length for nexthop group attribute")
	}
	last := map[uint32]int{} // where an ID stands last
	for i := 0; i < len(b); i += 8 {
		last[native.Uint32(b[i:])] = i
	}
	for i := 0; i < len(b); i += 8 {
		e := b[i:]
		weight := int(e[4])
		if k.has(nexthopWeight16) {
			if native.Uint16(e[6:]) != 0 {
				return invalid("Reserved field in nexthop_grp must be 0")
			}
			if weight |= int(e[5]) << 8; weight == 0xffff {
				return invalid("Invalid value for weight")
			}
		} else {
			if e[5] != 0 || native.Uint16(e[6:]) != 0 {
				return invalid("Reserved fields in nexthop_grp must be 0")
			}
			if weight > 254 {
				return invalid("Invalid value for weight")
			}
		}
		if last[native.Uint32(e)] > i {
			return invalid("Nexthop id can not be used twice in a group")
		}
		cfg.grp = append(cfg.grp, nhGrpEntry{weight: weight + 1})
	}
	family := 0
	for i := range cfg.grp {
		nh := n.nexthopFindByID(native.Uint32(b[8*i:]))
		if nh == nil {
			return invalid("Invalid nexthop id")
		}
		cfg.grp[i].nh = nh
		switch {
		case nh.isGroup && nh.resilient != nil:
			return invalid("Resilient group can not be a nexthop within a group")
		case nh.isGroup && k.has(nexthopResilient):
			return invalid("Hash-threshold group can not be a nexthop within a group")
		case nh.isGroup:
			return invalid("Multipath group can not be a nexthop within a group")
		case nh.reject && len(cfg.grp) > 1:
			return invalid("Blackhole nexthop can not be used in a group with more than 1 path")
		}
		if cfg.fdb {
			if !nh.fdb {
				return invalid("FDB nexthop group can only have fdb nexthops")
			}
			if family != 0 && family != nh.family {
				return invalid("FDB nexthop group cannot have mixed family nexthops")
			}
			family = nh.family
		} else if nh.fdb {
			return invalid("Non FDB nexthop group cannot have fdb nexthops")
		}
	}
	for i, a := range tb {
		switch {
		case a == nil || i <= nhaGroupType || i == nhaFdb || i == nhaHwStatsEnable:
		case i == nhaResGroup && cfg.grpType == nexthopGrpTypeRes:
		default:
			return invalid("No other attributes can be set in nexthop groups")
		}
	}
	return 0
}

// rtmToNhConfigGrpRes is net/ipv4/nexthop.c rtm_to_nh_config_grp_res.
func rtmToNhConfigGrpRes(cfg *nhConfig, res *nlattr, x *extAck) errno {
	cfg.idleTimer = 120 * userHz
	if res == nil {
		return 0
	}
	tb, err := nlaParseNested(res, policy{
		nhaResGroupBuckets:         {typ: nlaU16},
		nhaResGroupIdleTimer:       {typ: nlaU32},
		nhaResGroupUnbalancedTimer: {typ: nlaU32},
	}, strict, x)
	if err != 0 {
		return err
	}
	if a := tb[nhaResGroupBuckets]; a != nil {
		cfg.hasBuckets, cfg.buckets = true, int(a.u16())
		if cfg.buckets == 0 {
			x.set("Number of buckets needs to be non-0")
			return nlmsg.EINVAL
		}
	}
	if a := tb[nhaResGroupIdleTimer]; a != nil {
		cfg.hasIdle, cfg.idleTimer = true, a.u32()
	}
	if a := tb[nhaResGroupUnbalancedTimer]; a != nil {
		cfg.hasUnbalanced, cfg.unbalancedTimer = true, a.u32()
	}
	return 0
}

// userHz is USER_HZ.
const userHz = 100
