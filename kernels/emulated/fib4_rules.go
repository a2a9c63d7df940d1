package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

const (
	iptosTosMask      = 0x1e    // IPTOS_TOS_MASK
	ipv6FlowlabelMask = 0xfffff // IPV6_FLOWLABEL_MASK
)

// fib4RulesInit gives a namespace its IPv4 rules (net/ipv4/fib_rules.c
// fib4_rules_init).
func (k *Kernel) fib4RulesInit(n *netns) {
	n.fibRulesRegister(pfInet, 4, rtnlgrpIpv4Rule, [2]uint32{0, rtTableLocal}, [2]uint32{0x7ffe, rtTableMain}, [2]uint32{0x7fff, rtTableDefault})
}

// fib6RulesNetInit is net/ipv6/fib6_rules.c fib6_rules_net_init.
func (k *Kernel) fib6RulesNetInit(n *netns) errno {
	n.fibRulesRegister(pfInet6, 16, rtnlgrpIpv6Rule, [2]uint32{0, rtTableLocal}, [2]uint32{0x7ffe, rtTableMain})
	return 0
}

// fibRuleConfigure reads what belongs to the family of a rule (net/ipv4/fib_rules.c
// fib4_rule_configure, net/ipv6/fib6_rules.c fib6_rule_configure).
func (k *Kernel) fibRuleConfigure(n *netns, ops *fibRulesOps, r *fibRule, frh fibRuleHdr, tb attrTable, x *extAck) errno {
	switch ops.family {
	case pfInet:
		if err := k.fib4RuleConfigure(n, r, frh, tb, x); err != 0 {
			return err
		}
	case pfInet6:
		if err := k.fib6RuleConfigure(n, r, frh, tb, x); err != 0 {
			return err
		}
	default:
		return 0
	}
	if frh.srcLen != 0 {
		r.src = tb[fraSrc].data
	}
	if frh.dstLen != 0 {
		r.dst = tb[fraDst].data
	}
	return 0
}

func (k *Kernel) fib4RuleConfigure(n *netns, r *fibRule, frh fibRuleHdr, tb attrTable, x *extAck) errno {
	if tb.get(fraFlowlabel) != nil || tb.get(fraFlowlabelMask) != nil {
		x.set("Flow label cannot be specified for IPv4 FIB rules")
		return nlmsg.EINVAL
	}
	if err := k.inetValidateDscp(frh.tos, x); err != 0 {
		return err
	}
	if frh.tos&^iptosTosMask != 0 {
		x.set("Invalid tos")
		return nlmsg.EINVAL
	}
	if err := fibNl2ruleDscp(r, frh.tos, tb, x); err != 0 {
		return err
	}
	n.fibUnmerge()
	if r.table == rtTableUnspec && r.l3mdev == 0 && r.hdr.action == frActToTbl {
		r.table = n.fibEmptyTable().id
	}
	if a := tb[fraFlow]; a != nil {
		r.flow = a.u32()
	}
	return 0
}

func (k *Kernel) fib6RuleConfigure(n *netns, r *fibRule, frh fibRuleHdr, tb attrTable, x *extAck) errno {
	if err := k.inetValidateDscp(frh.tos, x); err != 0 {
		return err
	}
	if err := fibNl2ruleDscp(r, frh.tos, tb, x); err != 0 {
		return err
	}
	label, mask := tb.get(fraFlowlabel), tb.get(fraFlowlabelMask)
	if label != nil || mask != nil {
		if label == nil {
			x.miss(nil, fraFlowlabel)
			return nlmsg.EINVAL
		}
		if mask == nil {
			x.miss(nil, fraFlowlabelMask)
			return nlmsg.EINVAL
		}
		r.flowlabel, r.flowlabelMask = be32(label.data), be32(mask.data)
		if r.flowlabelMask&^ipv6FlowlabelMask != 0 {
			x.setAttr(mask, "Invalid flow label mask")
			return nlmsg.EINVAL
		}
		if r.flowlabel&^r.flowlabelMask != 0 {
			x.set("Flow label and mask do not match")
			return nlmsg.EINVAL
		}
	}
	if r.hdr.action == frActToTbl && r.l3mdev == 0 {
		if r.table == rtTableUnspec {
			x.set("Invalid table")
			return nlmsg.EINVAL
		}
		n.fib6NewTable(r.table)
	}
	return 0
}

// inetValidateDscp refuses the bits of ECN, since there is something that could take
// them for its own (include/net/inet_dscp.h inet_validate_dscp).
func (k *Kernel) inetValidateDscp(tos uint8, x *extAck) errno {
	if tos&3 != 0 && k.has(tosIsDscp) {
		x.set("Invalid dsfield (tos): ECN bits must be 0")
		return nlmsg.EINVAL
	}
	return 0
}

// fibNl2ruleDscp is net/ipv4/fib_rules.c fib4_nl2rule_dscp,
// fib4_nl2rule_dscp_mask.
func fibNl2ruleDscp(r *fibRule, tos uint8, tb attrTable, x *extAck) errno {
	r.dscp = tos
	if a := tb.get(fraDscp); a != nil {
		if tos != 0 {
			x.set("Cannot specify both TOS and DSCP")
			return nlmsg.EINVAL
		}
		r.dscp, r.dscpFull, r.dscpMask = a.u8()<<2, true, 0xfc
	}
	if a := tb.get(fraDscpMask); a != nil {
		if !r.dscpFull {
			x.setAttr(a, "Cannot specify DSCP mask without DSCP value")
			return nlmsg.EINVAL
		}
		if r.dscpMask = a.u8() << 2; r.dscp&^r.dscpMask != 0 {
			x.setAttr(a, "Invalid DSCP mask")
			return nlmsg.EINVAL
		}
	}
	return 0
}

// flowi is what a route is looked up for (include/net/flow.h struct flowi4, struct
// flowi6).
type flowi struct {
	iif, oif     int
	mark         uint32
	saddr, daddr in6Addr // those of IPv4 are in the first four
	tos          uint8
	scope        uint8
	proto        uint8
	sport, dport uint16
	uid          uint32
	hasSaddr     bool // RT6_LOOKUP_F_HAS_SADDR
	iface        bool // RT6_LOOKUP_F_IFACE
	skipNhOif    bool
}

// fibRuleMatch says whether a rule is for a flow (net/core/fib_rules.c
// fib_rule_match, net/ipv4/fib_rules.c fib4_rule_match, net/ipv6/fib6_rules.c
// fib6_rule_match).
func (r *fibRule) fibRuleMatch(ops *fibRulesOps, fl *flowi) bool {
	return r.matches(ops, fl) != (r.hdr.flags&fibRuleInvert != 0)
}

func (r *fibRule) matches(ops *fibRulesOps, fl *flowi) bool {
	if r.iifindex != 0 && r.iifindex != fl.iif || r.oifindex != 0 && r.oifindex != fl.oif {
		return false
	}
	if (r.mark^fl.mark)&r.markMask != 0 || r.tunID != 0 {
		return false
	}
	if r.l3mdev != 0 { // there is no VRF
		return false
	}
	if r.uid[0] != none32 && (fl.uid < r.uid[0] || fl.uid > r.uid[1]) {
		return false
	}
	if !prefixEqual(fl.daddr[:], r.dst, r.hdr.dstLen) {
		return false
	}
	if r.hdr.srcLen != 0 {
		if ops.family == pfInet6 && !fl.hasSaddr {
			if r.hdr.flags&fibRuleFindSaddr == 0 {
				return false
			}
		} else if !prefixEqual(fl.saddr[:], r.src, r.hdr.srcLen) {
			return false
		}
	}
	mask := uint8(0xfc)
	switch {
	case r.dscpFull:
		mask = r.dscpMask
	case ops.family == pfInet:
		mask = iptosTosMask &^ 3
	}
	if (r.dscpFull || r.dscp != 0) && (r.dscp^fl.tos)&mask != 0 {
		return false
	}
	if r.ipProto != 0 && r.ipProto != fl.proto {
		return false
	}
	port := func(want [2]uint16, mask, is uint16) bool {
		if want[0] == 0 {
			return true
		}
		if want[0] == want[1] && mask != 0 {
			return (want[0]^is)&mask == 0
		}
		return want[0] <= is && is <= want[1]
	}
	return port(r.sport, r.sportMask, fl.sport) && port(r.dport, r.dportMask, fl.dport)
}

// fibRulesLookup asks the rules that match, in their order, until one has an answer
// other than EAGAIN: ESRCH for none (net/core/fib_rules.c fib_rules_lookup).
func fibRulesLookup(ops *fibRulesOps, fl *flowi, action func(*fibRule) errno) errno {
	for i := 0; i < len(ops.rules); i++ {
		r := ops.rules[i]
		for r != nil && r.fibRuleMatch(ops, fl) && r.hdr.action == frActGoto {
			// It leads to one behind it.
			target := r.ctarget
			if target == nil {
				r = nil
				break
			}
			for i < len(ops.rules)-1 && ops.rules[i] != target {
				i++
			}
			r = target
		}
		if r == nil || !r.fibRuleMatch(ops, fl) || r.hdr.action == frActNop {
			continue
		}
		if err := fibRuleAction(r, action); err != nlmsg.EAGAIN {
			return err
		}
	}
	return nlmsg.ESRCH
}

// fibRuleAction is net/ipv4/fib_rules.c fib4_rule_action, net/ipv6/fib6_rules.c
// __fib6_rule_action.
func fibRuleAction(r *fibRule, lookup func(*fibRule) errno) errno {
	switch r.hdr.action {
	case frActToTbl:
		return lookup(r)
	case frActUnreachable:
		return nlmsg.ENETUNREACH
	case frActProhibit:
		return nlmsg.EACCES
	}
	return nlmsg.EINVAL
}

// prefixEqual says whether an address is in a prefix.
func prefixEqual(addr, prefix []byte, length uint8) bool {
	n := int(length / 8)
	for i := range n {
		if addr[i] != prefix[i] {
			return false
		}
	}
	if bits := length % 8; bits != 0 {
		return (addr[n]^prefix[n])>>(8-bits) == 0
	}
	return true
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func appendBE32(b []byte, n uint32) []byte {
	return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
