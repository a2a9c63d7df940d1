package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewrule = 32 + iota
	rtmDelrule
	rtmGetrule
)

// Attributes of a rule (include/uapi/linux/fib_rules.h).
const (
	fraDst = 1 + iota
	fraSrc
	fraIifname
	fraGoto
	_
	fraPriority
	_
	_
	_
	fraFwmark
	fraFlow
	fraTunID
	fraSuppressIfgroup
	fraSuppressPrefixlen
	fraTable
	fraFwmask
	fraOifname
	_
	fraL3mdev
	fraUIDRange
	fraProtocol
	fraIPProto
	fraSportRange
	fraDportRange
	fraDscp
	fraFlowlabel
	fraFlowlabelMask
	fraSportMask
	fraDportMask
	fraDscpMask
)

// What a rule does (include/uapi/linux/fib_rules.h FR_ACT_*), and its flags.
const (
	frActToTbl       = 1
	frActGoto        = 2
	frActNop         = 3
	frActBlackhole   = 6
	frActUnreachable = 7
	frActProhibit    = 8

	fibRulePermanent   = 0x1
	fibRuleInvert      = 0x2
	fibRuleUnresolved  = 0x4
	fibRuleIifDetached = 0x8
	fibRuleOifDetached = 0x10
	fibRuleFindSaddr   = 0x10000
)

const (
	none32 = 1<<32 - 1 // a number of 32 bits that says nothing: -1

	rtprotUnspec = 0
	rtprotKernel = 2
	rtprotBoot   = 3
)

// rulesState are the rules of a namespace, by family in the order that the families
// were registered in (struct net rules_ops).
type rulesState struct{ ops []*fibRulesOps }

// fibRulesOps are the rules of a family (include/net/fib_rules.h struct
// fib_rules_ops).
type fibRulesOps struct {
	family   int
	addrSize int
	nlgroup  uint32
	rules    []*fibRule
	custom   bool // one was made or deleted: fib_has_custom_rules
}

// fibRule is a rule of any family (include/net/fib_rules.h struct fib_rule, struct
// fib4_rule, struct fib6_rule).
type fibRule struct {
	hdr                      fibRuleHdr // as it is told, without what is found out
	pref, table, target      uint32
	ctarget                  *fibRule
	iifname, oifname         string
	iifindex, oifindex       int // -1: no such link
	mark, markMask           uint32
	tunID                    uint64
	l3mdev, proto, ipProto   uint8
	suppressPrefix           uint32
	suppressGroup            uint32
	uid                      [2]uint32
	sport, dport             [2]uint16
	sportMask, dportMask     uint16
	src, dst                 []byte
	flow                     uint32
	dscpFull                 bool
	dscp, dscpMask           uint8
	flowlabel, flowlabelMask uint32
}

// fibRuleHdr is include/uapi/linux/fib_rules.h struct fib_rule_hdr.
type fibRuleHdr struct {
	family, dstLen, srcLen, tos, table, res1, res2, action uint8
	flags                                                  uint32
}

const fibRuleHdrLen = 12

func parseFibRuleHdr(b []byte) fibRuleHdr {
	return fibRuleHdr{b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], native.Uint32(b[8:])}
}

func (h fibRuleHdr) bytes() []byte {
	b := []byte{h.family, h.dstLen, h.srcLen, h.tos, h.table, h.res1, h.res2, h.action}
	return native.AppendUint32(b, h.flags)
}

// fibRulesInit is net/core/fib_rules.c fib_rules_init.
func (k *Kernel) fibRulesInit() {
	k.rtnlRegister(pfUnspec, rtmNewrule, k.fibNlNewrule, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDelrule, k.fibNlDelrule, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGetrule, nil, k.fibNlDumprule, 0)
	k.registerNetdeviceNotifier(k.fibRulesEvent)
}

// fibRulesRegister gives a namespace the rules of a family, which are the defaults
// (net/core/fib_rules.c fib_rules_register, fib_default_rule_add).
func (n *netns) fibRulesRegister(family, addrSize int, nlgroup uint32, defaults ...[2]uint32) {
	ops := &fibRulesOps{family: family, addrSize: addrSize, nlgroup: nlgroup}
	for _, d := range defaults {
		ops.rules = append(ops.rules, &fibRule{hdr: fibRuleHdr{action: frActToTbl}, pref: d[0], table: d[1], proto: rtprotKernel,
			suppressPrefix: none32, suppressGroup: none32, uid: [2]uint32{none32, none32}})
	}
	n.state.rules.ops = append(n.state.rules.ops, ops)
}

// lookupRulesOps is net/core/fib_rules.c lookup_rules_ops.
func (n *netns) lookupRulesOps(family int) *fibRulesOps {
	for _, o := range n.state.rules.ops {
		if o.family == family {
			return o
		}
	}
	return nil
}

// fibRulePolicy is net/core/fib_rules.c fib_rule_policy.
func (k *Kernel) fibRulePolicy() policy {
	p := policy{
		0:                    {len: fraDportRange + 1},
		fraIifname:           {typ: nlaString, len: ifnamsiz - 1},
		fraOifname:           {typ: nlaString, len: ifnamsiz - 1},
		fraPriority:          {typ: nlaU32},
		fraFwmark:            {typ: nlaU32},
		fraFlow:              {typ: nlaU32},
		fraTunID:             {typ: nlaU64},
		fraFwmask:            {typ: nlaU32},
		fraTable:             {typ: nlaU32},
		fraSuppressPrefixlen: {typ: nlaU32},
		fraSuppressIfgroup:   {typ: nlaU32},
		fraGoto:              {typ: nlaU32},
		fraL3mdev:            {typ: nlaU8},
		fraUIDRange:          {len: 8},
		fraProtocol:          {typ: nlaU8},
		fraIPProto:           {typ: nlaU8},
		fraSportRange:        {len: 4},
		fraDportRange:        {len: 4},
	}
	if k.has(ruleDscp) {
		p = append(p, nlaPolicy{typ: nlaU8, check: validateMax, max: 63})
	}
	if k.has(ruleFlowlabel) {
		p = append(p, nlaPolicy{typ: nlaBE32}, nlaPolicy{typ: nlaBE32})
	}
	if k.has(ruleMasks) {
		p = append(p, nlaPolicy{typ: nlaU16}, nlaPolicy{typ: nlaU16}, nlaPolicy{typ: nlaU8, check: validateMask, mask: 63})
	}
	return p
}

// fibNlNewrule is net/core/fib_rules.c fib_nl_newrule.
func (k *Kernel) fibNlNewrule(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("fib_nl_newrule")()
	ops, frh, tb, err := k.fibRuleRequest(skb, h, x)
	if err != 0 {
		return err
	}
	rule, _, err := k.fibNl2rule(skb, frh, tb, ops, x)
	if err != 0 {
		return err
	}
	n := skb.sk.net
	if h.Flags&nlmExcl != 0 && k.ruleExists(ops, frh, tb, rule) {
		return nlmsg.EEXIST
	}
	if err := k.fibRuleConfigure(n, ops, rule, frh, tb, x); err != 0 {
		return err
	}
	ops.custom = true
	at := slices.IndexFunc(ops.rules, func(r *fibRule) bool { return r.pref > rule.pref })
	if at < 0 {
		at = len(ops.rules)
	}
	for _, r := range ops.rules {
		if r.pref == rule.target {
			rule.ctarget = r
			break
		}
	}
	ops.rules = slices.Insert(ops.rules, at, rule)
	for _, r := range ops.rules {
		if r.hdr.action == frActGoto && r.target == rule.pref && r.ctarget == nil {
			r.ctarget = rule
		}
	}
	k.notifyRuleChange(n, rtmNewrule, rule, ops, h, skb.portid)
	return 0
}

// fibNlDelrule is net/core/fib_rules.c fib_nl_delrule.
func (k *Kernel) fibNlDelrule(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("fib_nl_delrule")()
	ops, frh, tb, err := k.fibRuleRequest(skb, h, x)
	if err != 0 {
		return err
	}
	like, priority, err := k.fibNl2rule(skb, frh, tb, ops, x)
	if err != 0 {
		return err
	}
	at := k.ruleFind(ops, frh, tb, like, priority)
	if at < 0 {
		return nlmsg.ENOENT
	}
	rule := ops.rules[at]
	if rule.hdr.flags&fibRulePermanent != 0 {
		return nlmsg.EPERM
	}
	n := skb.sk.net
	if ops.family == pfInet {
		n.fibUnmerge()
		ops.custom = true
	}
	ops.rules = slices.Delete(ops.rules, at, at+1)
	var next *fibRule // those that led to it go to the next of its priority
	if at < len(ops.rules) && ops.rules[at].pref == rule.pref {
		next = ops.rules[at]
	}
	for _, r := range ops.rules {
		if r.ctarget == rule {
			r.ctarget = next
		}
	}
	k.notifyRuleChange(n, rtmDelrule, rule, ops, h, skb.portid)
	return 0
}

// fibRuleRequest is what making and deleting a rule begin with.
func (k *Kernel) fibRuleRequest(skb *skBuff, h *nlmsghdr, x *extAck) (*fibRulesOps, fibRuleHdr, attrTable, errno) {
	if len(h.payload()) < fibRuleHdrLen {
		x.set("Invalid msg length")
		return nil, fibRuleHdr{}, nil, nlmsg.EINVAL
	}
	frh := parseFibRuleHdr(h.payload())
	ops := skb.sk.net.lookupRulesOps(int(frh.family))
	if ops == nil {
		x.set("Rule family not supported")
		return nil, frh, nil, nlmsg.EAFNOSUPPORT
	}
	tb, err := nlmsgParse(h, fibRuleHdrLen, k.fibRulePolicy(), liberal, x)
	if err != 0 {
		x.set("Error parsing msg")
	}
	return ops, frh, tb, err
}

// fibNl2rule reads a rule, and says whether its priority was given
// (net/core/fib_rules.c fib_nl2rule).
func (k *Kernel) fibNl2rule(skb *skBuff, frh fibRuleHdr, tb attrTable, ops *fibRulesOps, x *extAck) (*fibRule, bool, errno) {
	invalid := func(msg string) (*fibRule, bool, errno) {
		x.set(msg)
		return nil, false, nlmsg.EINVAL
	}
	wrong := func(length uint8, a *nlattr) bool {
		return length > 0 && (a == nil || int(length) > ops.addrSize*8 || len(a.data) != ops.addrSize)
	}
	if wrong(frh.srcLen, tb[fraSrc]) {
		return invalid("Invalid source address")
	}
	if wrong(frh.dstLen, tb[fraDst]) {
		return invalid("Invalid dst address")
	}
	n := skb.sk.net
	u32 := func(t int, otherwise uint32) uint32 {
		if a := tb.get(t); a != nil {
			return a.u32()
		}
		return otherwise
	}
	u8 := func(t int) uint8 {
		if a := tb.get(t); a != nil {
			return a.u8()
		}
		return 0
	}
	r := &fibRule{
		hdr:            fibRuleHdr{action: frh.action, flags: frh.flags, srcLen: frh.srcLen, dstLen: frh.dstLen},
		proto:          u8(fraProtocol),
		mark:           u32(fraFwmark, 0),
		table:          u32(fraTable, uint32(frh.table)),
		ipProto:        u8(fraIPProto),
		suppressPrefix: u32(fraSuppressPrefixlen, none32),
		suppressGroup:  u32(fraSuppressIfgroup, none32),
		uid:            [2]uint32{none32, none32},
	}
	if tb[fraPriority] != nil {
		r.pref = tb[fraPriority].u32()
	} else {
		r.pref = ops.fibDefaultRulePref()
	}
	link := func(t int) (string, int) {
		if tb[t] == nil {
			return "", 0
		}
		name := tb[t].str()
		if d := n.devGetByName(name); d != nil {
			return name, d.index
		}
		return name, -1
	}
	r.iifname, r.iifindex = link(fraIifname)
	r.oifname, r.oifindex = link(fraOifname)
	if r.mark != 0 {
		r.markMask = none32
	}
	r.markMask = u32(fraFwmask, r.markMask)
	if a := tb[fraTunID]; a != nil {
		r.tunID = a.u64()
	}
	if a := tb[fraL3mdev]; a != nil {
		if r.l3mdev = a.u8(); r.l3mdev != 1 {
			return invalid("Invalid l3mdev attribute")
		}
	}
	if a := tb[fraGoto]; a != nil {
		if r.hdr.action != frActGoto {
			return invalid("Unexpected goto")
		}
		if r.target = a.u32(); r.target <= r.pref {
			return invalid("Backward goto not supported")
		}
	} else if r.hdr.action == frActGoto {
		return invalid("Missing goto target for action goto")
	}
	if r.l3mdev != 0 && r.table != 0 {
		return invalid("l3mdev and table are mutually exclusive")
	}
	if a := tb[fraUIDRange]; a != nil {
		if skb.creds.task.user != n.user {
			x.set("No permission to set uid")
			return nil, false, nlmsg.EPERM
		}
		r.uid = [2]uint32{native.Uint32(a.data), native.Uint32(a.data[4:])}
		if r.uid[0] == none32 || r.uid[1] == none32 || r.uid[0] > r.uid[1] {
			return invalid("Invalid uid range")
		}
	}
	ports := func(t, mask int, to *[2]uint16, m *uint16, what string) bool {
		if a := tb[t]; a != nil {
			*to = [2]uint16{native.Uint16(a.data), native.Uint16(a.data[2:])}
			if to[0] == 0 || to[1] == 0xffff || to[0] > to[1] {
				x.set("Invalid " + what + " range")
				return false
			}
			if to[0] == to[1] {
				*m = 0xffff
			}
		}
		a := tb.get(mask)
		if a == nil {
			return true
		}
		switch {
		case to[0] == 0:
			x.setAttr(a, "Cannot specify port mask without port value")
		case to[0] != to[1]:
			x.setAttr(a, "Cannot specify port mask for port range")
		case to[0]&^a.u16() != 0:
			x.setAttr(a, "Invalid port mask")
		default:
			*m = a.u16()
			return true
		}
		return false
	}
	if !ports(fraSportRange, fraSportMask, &r.sport, &r.sportMask, "sport") ||
		!ports(fraDportRange, fraDportMask, &r.dport, &r.dportMask, "dport") {
		return nil, false, nlmsg.EINVAL
	}
	return r, tb[fraPriority] != nil, 0
}

// fibDefaultRulePref is one below the second rule's (net/core/fib_rules.c
// fib_default_rule_pref).
func (ops *fibRulesOps) fibDefaultRulePref() uint32 {
	if len(ops.rules) > 1 && ops.rules[1].pref != 0 {
		return ops.rules[1].pref - 1
	}
	return 0
}

// ruleExists is net/core/fib_rules.c rule_exists.
func (k *Kernel) ruleExists(ops *fibRulesOps, frh fibRuleHdr, tb attrTable, rule *fibRule) bool {
	return slices.ContainsFunc(ops.rules, func(r *fibRule) bool {
		return r.hdr.action == rule.hdr.action && r.table == rule.table && r.pref == rule.pref &&
			r.iifname == rule.iifname && r.oifname == rule.oifname &&
			r.mark == rule.mark && r.markMask == rule.markMask &&
			r.suppressGroup == rule.suppressGroup && r.suppressPrefix == rule.suppressPrefix &&
			r.tunID == rule.tunID && r.l3mdev == rule.l3mdev && r.uid == rule.uid &&
			r.ipProto == rule.ipProto && r.proto == rule.proto &&
			r.sport == rule.sport && r.dport == rule.dport &&
			r.sportMask == rule.sportMask && r.dportMask == rule.dportMask &&
			fibRuleCompare(ops, r, frh, tb)
	})
}

// ruleFind is the first rule that is like one, in what is said of that, -1 for none
// (net/core/fib_rules.c rule_find).
func (k *Kernel) ruleFind(ops *fibRulesOps, frh fibRuleHdr, tb attrTable, rule *fibRule, priority bool) int {
	same := func(is, want uint32) bool { return want == 0 || is == want }
	unlessNone := func(is, want uint32) bool { return want == none32 || is == want }
	return slices.IndexFunc(ops.rules, func(r *fibRule) bool {
		return same(uint32(r.hdr.action), uint32(rule.hdr.action)) && same(r.table, rule.table) &&
			(!priority || r.pref == rule.pref) &&
			(rule.iifname == "" || r.iifname == rule.iifname) &&
			(rule.oifname == "" || r.oifname == rule.oifname) &&
			same(r.mark, rule.mark) && same(r.markMask, rule.markMask) &&
			unlessNone(r.suppressGroup, rule.suppressGroup) && unlessNone(r.suppressPrefix, rule.suppressPrefix) &&
			(rule.tunID == 0 || r.tunID == rule.tunID) &&
			same(uint32(r.l3mdev), uint32(rule.l3mdev)) &&
			(rule.uid[0] == none32 || r.uid == rule.uid) &&
			same(uint32(r.ipProto), uint32(rule.ipProto)) && same(uint32(r.proto), uint32(rule.proto)) &&
			(rule.sport[0] == 0 || r.sport == rule.sport) && (rule.dport[0] == 0 || r.dport == rule.dport) &&
			(rule.sportMask == 0 || r.sportMask == rule.sportMask) &&
			(rule.dportMask == 0 || r.dportMask == rule.dportMask) &&
			fibRuleCompare(ops, r, frh, tb)
	})
}

// fibRuleCompare compares what belongs to the family (net/ipv4/fib_rules.c
// fib4_rule_compare, net/ipv6/fib6_rules.c fib6_rule_compare).
func fibRuleCompare(ops *fibRulesOps, r *fibRule, frh fibRuleHdr, tb attrTable) bool {
	if ops.family != pfInet && ops.family != pfInet6 {
		return true
	}
	if frh.srcLen != 0 && (r.hdr.srcLen != frh.srcLen || !bytes.Equal(r.src, tb[fraSrc].data)) ||
		frh.dstLen != 0 && (r.hdr.dstLen != frh.dstLen || !bytes.Equal(r.dst, tb[fraDst].data)) {
		return false
	}
	if frh.tos != 0 && (r.dscpFull || r.dscp != frh.tos) {
		return false
	}
	if a := tb.get(fraDscp); a != nil && (!r.dscpFull || r.dscp != a.u8()<<2) {
		return false
	}
	if a := tb.get(fraDscpMask); a != nil && r.dscpMask != a.u8()<<2 {
		return false
	}
	if ops.family == pfInet {
		return tb[fraFlow] == nil || r.flow == tb[fraFlow].u32()
	}
	if a := tb.get(fraFlowlabel); a != nil && r.flowlabel != be32(a.data) {
		return false
	}
	if a := tb.get(fraFlowlabelMask); a != nil && r.flowlabelMask != be32(a.data) {
		return false
	}
	return true
}
