package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// rtTableCompat is the table of a header for those beyond 255.
const rtTableCompat = 252

// fibNlFillRule puts a rule behind its header (net/core/fib_rules.c
// fib_nl_fill_rule).
func (k *Kernel) fibNlFillRule(skb *skBuff, r *fibRule, portid, seq uint32, typ, flags uint16, ops *fibRulesOps) errno {
	hdr := r.hdr
	hdr.family = uint8(ops.family)
	if hdr.table = uint8(r.table); r.table > 255 {
		hdr.table = rtTableCompat
	}
	if hdr.action == frActGoto && r.ctarget == nil {
		hdr.flags |= fibRuleUnresolved
	}
	if r.iifname != "" && r.iifindex == -1 {
		hdr.flags |= fibRuleIifDetached
	}
	if r.oifname != "" && r.oifindex == -1 {
		hdr.flags |= fibRuleOifDetached
	}
	if hdr.tos = r.dscp; r.dscpFull {
		hdr.tos = 0
	}
	p := skb.nlmsgPut(portid, seq, typ, flags, hdr.bytes())
	skb.nlaPutU32(fraTable, r.table)
	skb.nlaPutU32(fraSuppressPrefixlen, r.suppressPrefix)
	skb.nlaPutU8(fraProtocol, r.proto)
	if r.iifname != "" {
		skb.nlaPutString(fraIifname, r.iifname)
	}
	if r.oifname != "" {
		skb.nlaPutString(fraOifname, r.oifname)
	}
	unlessZero := func(t uint16, n uint32) {
		if n != 0 {
			skb.nlaPutU32(t, n)
		}
	}
	unlessZero(fraPriority, r.pref)
	unlessZero(fraFwmark, r.mark)
	if r.mark != 0 || r.markMask != 0 {
		skb.nlaPutU32(fraFwmask, r.markMask)
	}
	unlessZero(fraGoto, r.target)
	if r.tunID != 0 {
		skb.nlaPutU64(fraTunID, r.tunID)
	}
	if r.l3mdev != 0 {
		skb.nlaPutU8(fraL3mdev, r.l3mdev)
	}
	if r.uid[0] != none32 {
		skb.nlaPut(fraUIDRange, native.AppendUint32(native.AppendUint32(nil, r.uid[0]), r.uid[1]))
	}
	ports := func(t uint16, p [2]uint16, mt uint16, mask uint16) {
		if p[0] == 0 {
			return
		}
		skb.nlaPut(t, native.AppendUint16(native.AppendUint16(nil, p[0]), p[1]))
		if mask != 0 && k.has(ruleMasks) {
			skb.nlaPutU16(mt, mask)
		}
	}
	ports(fraSportRange, r.sport, fraSportMask, r.sportMask)
	ports(fraDportRange, r.dport, fraDportMask, r.dportMask)
	if r.ipProto != 0 {
		skb.nlaPutU8(fraIPProto, r.ipProto)
	}
	if r.suppressGroup != none32 {
		skb.nlaPutU32(fraSuppressIfgroup, r.suppressGroup)
	}
	k.fibRuleFill(skb, r, ops)
	return p.end()
}

// fibRuleFill puts what belongs to the family (net/ipv4/fib_rules.c
// fib4_rule_fill, net/ipv6/fib6_rules.c fib6_rule_fill).
func (k *Kernel) fibRuleFill(skb *skBuff, r *fibRule, ops *fibRulesOps) {
	if r.dscpFull {
		skb.nlaPutU8(fraDscp, r.dscp>>2)
		if k.has(ruleMasks) {
			skb.nlaPutU8(fraDscpMask, r.dscpMask>>2)
		}
	}
	if r.flowlabelMask != 0 {
		skb.nlaPut(fraFlowlabel, appendBE32(nil, r.flowlabel))
		skb.nlaPut(fraFlowlabelMask, appendBE32(nil, r.flowlabelMask))
	}
	if r.hdr.dstLen != 0 {
		skb.nlaPut(fraDst, r.dst)
	}
	if r.hdr.srcLen != 0 {
		skb.nlaPut(fraSrc, r.src)
	}
	if r.flow != 0 {
		skb.nlaPutU32(fraFlow, r.flow)
	}
}

// notifyRuleChange is net/core/fib_rules.c notify_rule_change.
func (k *Kernel) notifyRuleChange(n *netns, event uint16, r *fibRule, ops *fibRulesOps, h *nlmsghdr, portid uint32) {
	defer k.enter("notify_rule_change")()
	skb := nlmsgNew(200)
	k.fibNlFillRule(skb, r, portid, h.Seq, event, 0, ops)
	k.rtnlNotify(skb, n, portid, ops.nlgroup, h)
}

// fibNlDumprule is net/core/fib_rules.c fib_nl_dumprule.
func (k *Kernel) fibNlDumprule(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("fib_nl_dumprule")()
	if cb.strict {
		if err := fibValidDumpruleReq(cb.nlh, cb.extack); err != 0 {
			return err
		}
	}
	end := func(err errno) errno {
		if k.has(ruleDumpErr) {
			return err
		}
		return dumpLen(skb)
	}
	if family := int(cb.nlh.payload()[0]); family != pfUnspec {
		ops := cb.net.lookupRulesOps(family)
		if ops == nil {
			return nlmsg.EAFNOSUPPORT
		}
		return end(k.dumpRules(skb, cb, ops))
	}
	for _, ops := range cb.net.state.rules.ops[min(cb.args[0], len(cb.net.state.rules.ops)):] {
		if err := k.dumpRules(skb, cb, ops); err != 0 {
			return end(err)
		}
		cb.args[1] = 0
		cb.args[0]++
	}
	return end(0)
}

// dumpRules is net/core/fib_rules.c dump_rules.
func (k *Kernel) dumpRules(skb *skBuff, cb *netlinkCallback, ops *fibRulesOps) errno {
	for ; cb.args[1] < len(ops.rules); cb.args[1]++ {
		err := k.fibNlFillRule(skb, ops.rules[cb.args[1]], cb.skb.portid, cb.nlh.Seq, rtmNewrule, nlmMulti, ops)
		if err != 0 {
			return err
		}
	}
	return 0
}

// fibValidDumpruleReq is net/core/fib_rules.c fib_valid_dumprule_req.
func fibValidDumpruleReq(h *nlmsghdr, x *extAck) errno {
	if len(h.payload()) < fibRuleHdrLen {
		x.set("Invalid header for fib rule dump request")
		return nlmsg.EINVAL
	}
	frh := parseFibRuleHdr(h.payload())
	frh.family = 0
	if frh != (fibRuleHdr{}) {
		x.set("Invalid values in header for fib rule dump request")
		return nlmsg.EINVAL
	}
	if len(h.attrs(fibRuleHdrLen)) > 0 {
		x.set("Invalid data after header in fib rule dump request")
		return nlmsg.EINVAL
	}
	return 0
}

// fibRulesEvent has rules know their links by index (net/core/fib_rules.c
// fib_rules_event).
func (k *Kernel) fibRulesEvent(e netdevEvent, d *netDevice, _ *extAck) errno {
	if e != netdevRegister && e != netdevChangename && e != netdevUnregister {
		return 0
	}
	for _, ops := range d.net.state.rules.ops {
		for _, r := range ops.rules {
			for _, l := range []struct {
				name  string
				index *int
			}{{r.iifname, &r.iifindex}, {r.oifname, &r.oifindex}} {
				if *l.index == d.index && e != netdevRegister {
					*l.index = -1
				}
				if *l.index == -1 && l.name == d.name && e != netdevUnregister {
					*l.index = d.index
				}
			}
		}
	}
	return 0
}
