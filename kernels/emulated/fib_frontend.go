package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// nlInfo is who asked for a change (include/net/netlink.h struct nl_info).
type nlInfo struct {
	net        *netns
	h          *nlmsghdr // nil for none
	portid     uint32
	skipNotify bool
}

func (i nlInfo) seq() uint32 {
	if i.h == nil {
		return 0
	}
	return i.h.Seq
}

// rtmsg is include/uapi/linux/rtnetlink.h struct rtmsg.
type rtmsg struct {
	family, dstLen, srcLen, tos, table, protocol, scope, typ uint8
	flags                                                    uint32
}

const rtmsgLen = 12

func parseRtmsg(b []byte) rtmsg {
	return rtmsg{b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], native.Uint32(b[8:])}
}

func (m rtmsg) bytes() []byte {
	b := []byte{m.family, m.dstLen, m.srcLen, m.tos, m.table, m.protocol, m.scope, m.typ}
	return native.AppendUint32(b, m.flags)
}

// tableByte is a table in a header.
func tableByte(id uint32) uint8 {
	if id > 255 {
		return rtTableCompat
	}
	return uint8(id)
}

// fibConfig is an IPv4 route as it is asked for (include/net/ip_fib.h struct
// fib_config).
type fibConfig struct {
	info                              nlInfo
	nlflags                           uint16
	dstLen, tos, protocol, scope, typ uint8
	dst, prefsrc                      in4Addr
	table, priority, flags            uint32
	flow, nhID                        uint32
	oif                               int
	gwFamily                          int
	gw                                in6Addr
	mx                                []byte // RTA_METRICS
	mxOff                             int
	mp                                []byte // RTA_MULTIPATH
	hasMx                             bool
	encap                             *nlattr
	encapType                         uint16
}

// rtaMax is RTA_MAX.
func (k *Kernel) rtaMax() int {
	if k.has(ruleFlowlabel) {
		return rtaFlowlabel
	}
	return rtaNhID
}

// rtmIpv4Policy is net/ipv4/fib_frontend.c rtm_ipv4_policy.
func (k *Kernel) rtmIpv4Policy() policy {
	p := policy{
		0:            {len: rtaDport + 1},
		rtaDst:       {typ: nlaU32},
		rtaSrc:       {typ: nlaU32},
		rtaIif:       {typ: nlaU32},
		rtaOif:       {typ: nlaU32},
		rtaGateway:   {typ: nlaU32},
		rtaPriority:  {typ: nlaU32},
		rtaPrefsrc:   {typ: nlaU32},
		rtaMetrics:   {typ: nlaNested},
		rtaMultipath: {len: rtnexthopLen},
		rtaFlow:      {typ: nlaU32},
		rtaEncapType: {typ: nlaU16},
		rtaEncap:     {typ: nlaNested},
		rtaUID:       {typ: nlaU32},
		rtaMark:      {typ: nlaU32},
		rtaTable:     {typ: nlaU32},
		rtaIPProto:   {typ: nlaU8},
		rtaSport:     {typ: nlaU16},
		rtaDport:     {typ: nlaU16},
		rtaNhID:      {typ: nlaU32},
	}
	if k.rtaMax() == rtaFlowlabel {
		p = append(p, nlaPolicy{})
	}
	return p
}

// ipFibInit is net/ipv4/fib_frontend.c ip_fib_init.
func (k *Kernel) ipFibInit() {
	k.registerPernetSubsys(pernetOperations{name: "fib", init: func(n *netns) errno {
		k.fib4RulesInit(n)
		return 0
	}})
	k.registerNetdeviceNotifier(k.fibNetdevEvent)
	k.registerInetaddrNotifier(k.fibInetaddrEvent)
	k.rtnlRegister(pfInet, rtmNewroute, k.inetRtmNewroute, nil, 0)
	k.rtnlRegister(pfInet, rtmDelroute, k.inetRtmDelroute, nil, 0)
	k.rtnlRegister(pfInet, rtmGetroute, k.inetRtmGetroute, k.inetDumpFib, rtnlDumpSplitDone)
}

// inetRtmNewroute is net/ipv4/fib_frontend.c inet_rtm_newroute.
func (k *Kernel) inetRtmNewroute(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_rtm_newroute")()
	cfg, err := k.rtmToFibConfig(skb, h, x)
	if err != 0 {
		return err
	}
	n := skb.sk.net
	return k.fibTableInsert(n, n.fibNewTable(cfg.table), cfg, x)
}

// inetRtmDelroute is net/ipv4/fib_frontend.c inet_rtm_delroute.
func (k *Kernel) inetRtmDelroute(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_rtm_delroute")()
	cfg, err := k.rtmToFibConfig(skb, h, x)
	if err != 0 {
		return err
	}
	n := skb.sk.net
	if cfg.nhID != 0 && n.nexthopFindByID(cfg.nhID) == nil {
		x.set("Nexthop id does not exist")
		return nlmsg.EINVAL
	}
	t := n.fibGetTable(cfg.table)
	if t == nil {
		x.set("FIB table does not exist")
		return nlmsg.ESRCH
	}
	return k.fibTableDelete(n, t, cfg, x)
}

// rtmToFibConfig reads a route (net/ipv4/fib_frontend.c rtm_to_fib_config).
func (k *Kernel) rtmToFibConfig(skb *skBuff, h *nlmsghdr, x *extAck) (*fibConfig, errno) {
	if len(h.payload()) < rtmsgLen {
		return nil, nlmsg.EINVAL
	}
	if _, err := nlmsgParse(h, rtmsgLen, k.rtmIpv4Policy(), liberal, x); err != 0 {
		return nil, err
	}
	m := parseRtmsg(h.payload())
	if err := k.inetValidateDscp(m.tos, x); err != 0 {
		return nil, err
	}
	cfg := &fibConfig{
		info: nlInfo{net: skb.sk.net, h: h, portid: skb.portid}, nlflags: h.Flags,
		dstLen: m.dstLen, tos: m.tos, protocol: m.protocol, scope: m.scope, typ: m.typ,
		table: uint32(m.table), flags: m.flags,
	}
	if cfg.typ > rtnMax {
		x.set("Invalid route type")
		return nil, nlmsg.EINVAL
	}
	var hasGw, hasVia bool
	_, err := eachAttr(h.attrs(rtmsgLen), nlmsg.HeaderLen+rtmsgLen, func(a *nlattr) errno {
		switch a.kind() {
		case rtaDst:
			cfg.dst = a.in4()
		case rtaOif:
			cfg.oif = int(int32(a.u32()))
		case rtaGateway:
			hasGw = true
			cfg.setGw4(a.data)
		case rtaVia:
			hasVia = true
			return fibGwFromVia(cfg, a, x)
		case rtaPriority:
			cfg.priority = a.u32()
		case rtaPrefsrc:
			cfg.prefsrc = a.in4()
		case rtaMetrics:
			cfg.mx, cfg.mxOff, cfg.hasMx = a.data, a.off+4, true
		case rtaMultipath:
			cfg.mp = a.data
			return lwtunnelValidEncapTypeAttr(a.data, x)
		case rtaFlow:
			cfg.flow = a.u32()
		case rtaTable:
			cfg.table = a.u32()
		case rtaEncap:
			cfg.encap = a
		case rtaEncapType:
			cfg.encapType = a.u16()
			return lwtunnelValidEncapType(cfg.encapType, x)
		case rtaNhID:
			cfg.nhID = a.u32()
		}
		return 0
	})
	if err != 0 {
		return nil, err
	}
	if k.has(routePrefixEarly) {
		if err := fibValidKeyLen(cfg, x); err != 0 {
			return nil, err
		}
	}
	if cfg.nhID != 0 && (cfg.oif != 0 || cfg.gwFamily != 0 || cfg.encap != nil || cfg.mp != nil) {
		x.set("Nexthop specification and nexthop id are mutually exclusive")
		return nil, nlmsg.EINVAL
	}
	if hasGw && hasVia {
		x.set("Nexthop configuration can not contain both GATEWAY and VIA")
		return nil, nlmsg.EINVAL
	}
	if cfg.table == 0 {
		cfg.table = rtTableMain
	}
	return cfg, 0
}

// fibValidKeyLen is net/ipv4/fib_trie.c fib_valid_key_len.
func fibValidKeyLen(cfg *fibConfig, x *extAck) errno {
	switch {
	case cfg.dstLen > 32:
		x.set("Invalid prefix length")
	case cfg.dstLen < 32 && cfg.dst<<cfg.dstLen != 0:
		x.set("Invalid prefix for given prefix length")
	default:
		return 0
	}
	return nlmsg.EINVAL
}

// setGw4 sets a gateway; 0.0.0.0 is none.
func (cfg *fibConfig) setGw4(b []byte) {
	cfg.gwFamily, cfg.gw = 0, in6Addr{}
	if be32(b) != 0 {
		cfg.gwFamily = pfInet
		copy(cfg.gw[:4], b)
	}
}

// fibGwFromVia is net/ipv4/fib_frontend.c fib_gw_from_via.
func fibGwFromVia(cfg *fibConfig, a *nlattr, x *extAck) errno {
	fail := func(msg string) errno {
		x.set(msg)
		return nlmsg.EINVAL
	}
	if len(a.data) < 2 {
		return fail("Invalid attribute length for RTA_VIA")
	}
	addr := a.data[2:]
	switch family := int(native.Uint16(a.data)); family {
	case pfInet:
		if len(addr) != 4 {
			return fail("Invalid IPv4 address in RTA_VIA")
		}
		cfg.gwFamily = family
	case pfInet6:
		if len(addr) != 16 {
			return fail("Invalid IPv6 address in RTA_VIA")
		}
		cfg.gwFamily = family
	default:
		return fail("Unsupported address family in RTA_VIA")
	}
	cfg.gw = in6Addr{}
	copy(cfg.gw[:], addr)
	return 0
}

// lwtunnelEncapMax is LWTUNNEL_ENCAP_MAX.
const lwtunnelEncapMax = 10

// lwtunnelValidEncapType is net/core/lwtunnel.c lwtunnel_valid_encap_type. No kind of
// tunnel is there.
func lwtunnelValidEncapType(t uint16, x *extAck) errno {
	if t == 0 || t > lwtunnelEncapMax {
		x.set("Unknown lwt encapsulation type")
		return nlmsg.EINVAL
	}
	x.set("lwt encapsulation type not supported")
	return nlmsg.EOPNOTSUPP
}

// lwtunnelValidEncapTypeAttr looks at the nexthops of RTA_MULTIPATH
// (net/core/lwtunnel.c lwtunnel_valid_encap_type_attr).
func lwtunnelValidEncapTypeAttr(mp []byte, x *extAck) errno {
	for nh, rest := rtnhFirst(mp); nh != nil; nh, rest = rtnhFirst(rest) {
		a := nh.find(rtaEncapType)
		if a == nil {
			continue
		}
		if len(a.data) < 2 {
			x.setAttr(a, "Invalid RTA_ENCAP_TYPE")
			return nlmsg.EINVAL
		}
		if err := lwtunnelValidEncapType(a.u16(), x); err != 0 {
			return err
		}
	}
	return 0
}

const rtnexthopLen = 8

// rtnexthop is a nexthop of RTA_MULTIPATH (include/uapi/linux/rtnetlink.h struct
// rtnexthop).
type rtnexthop struct {
	flags, hops uint8
	ifindex     int
	attrs       []byte
}

// rtnhFirst is the first nexthop and what follows it, nil where there is none
// (include/net/nexthop.h rtnh_ok, rtnh_next).
func rtnhFirst(b []byte) (*rtnexthop, []byte) {
	if len(b) < rtnexthopLen {
		return nil, b
	}
	n := int(native.Uint16(b))
	if n < rtnexthopLen || n > len(b) {
		return nil, b
	}
	nh := &rtnexthop{b[2], b[3], int(int32(native.Uint32(b[4:]))), b[rtnexthopLen:n]}
	return nh, b[min(nlmsg.Align(n), len(b)):]
}

// find is net/netlink/attr.c nla_find.
func (nh *rtnexthop) find(typ uint16) (found *nlattr) {
	eachAttr(nh.attrs, 0, func(a *nlattr) errno {
		if a.kind() == typ && found == nil {
			found = a
		}
		return 0
	})
	return found
}
