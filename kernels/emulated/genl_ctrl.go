package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Commands of the controller, and their attributes (include/uapi/linux/genetlink.h).
const (
	ctrlCmdNewfamily = 1
	ctrlCmdGetfamily = 3
	ctrlCmdGetpolicy = 10

	ctrlAttrFamilyID = iota - 2
	ctrlAttrFamilyName
	ctrlAttrVersion
	ctrlAttrHdrsize
	ctrlAttrMaxattr
	ctrlAttrOps
	ctrlAttrMcastGroups
	ctrlAttrPolicy
	ctrlAttrOpPolicy
	ctrlAttrOp

	ctrlAttrOpID    = 1
	ctrlAttrOpFlags = 2

	ctrlAttrMcastGrpName = 1
	ctrlAttrMcastGrpID   = 2

	ctrlAttrPolicyDo   = 1
	ctrlAttrPolicyDump = 2
)

var ctrlPolicyFamily = policy{
	ctrlAttrFamilyID:   {typ: nlaU16},
	ctrlAttrFamilyName: {typ: nlaNulString, len: genlNamsiz - 1},
}

var ctrlPolicyPolicy = policy{
	ctrlAttrFamilyID:   {typ: nlaU16},
	ctrlAttrFamilyName: {typ: nlaNulString, len: genlNamsiz - 1},
	ctrlAttrOp:         {typ: nlaU32},
}

// genlCtrl is the controller (net/netlink/genetlink.c genl_ctrl).
func (k *Kernel) genlCtrl() *genlFamily {
	getfamily := genlOp{cmd: ctrlCmdGetfamily, flags: genlCapDo | genlCapDump | genlCapHaspol, validate: genlDontStrict | genlDontDump,
		policy: ctrlPolicyFamily, doit: k.ctrlGetfamily, dumpit: k.ctrlDumpfamily}
	if k.has(genlSplitOps) {
		getfamily.validate &^= genlDontDump
	}
	return &genlFamily{id: genlCtrlID, name: "nlctrl", version: 2, netnsok: true, resvStart: ctrlCmdGetpolicy + 1,
		groups: []genlGroup{{name: "notify", id: genlCtrlID}},
		ops: []genlOp{getfamily,
			{cmd: ctrlCmdGetpolicy, flags: genlCapDump | genlCapHaspol, policy: ctrlPolicyPolicy,
				start: k.ctrlDumppolicyStart, dumpit: k.ctrlDumppolicy}}}
}

// ctrlGetfamily tells of one family, by its ID or its name, which has the last word
// (net/netlink/genetlink.c ctrl_getfamily).
func (k *Kernel) ctrlGetfamily(skb *skBuff, i *genlInfo) errno {
	defer k.enter("ctrl_getfamily")()
	var f *genlFamily
	err := nlmsg.EINVAL
	if a := i.attrs.get(ctrlAttrFamilyID); a != nil {
		f, err = k.genlFamilyFindByid(a.u16()), nlmsg.ENOENT
	}
	if a := i.attrs.get(ctrlAttrFamilyName); a != nil {
		f, err = k.genlFamilyFindByname(a.str()), nlmsg.ENOENT
	}
	if f == nil {
		return err
	}
	if !f.netnsok && i.net != k.initNet {
		return nlmsg.ENOENT
	}
	msg := newSkb(goodSize)
	if err := k.ctrlFillInfo(msg, f, i.portid, i.nlh.Seq, 0); err != 0 {
		return err
	}
	return k.genlReply(msg, i)
}

// ctrlDumpfamily tells of all families that the namespace has
// (net/netlink/genetlink.c ctrl_dumpfamily).
func (k *Kernel) ctrlDumpfamily(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("ctrl_dumpfamily")()
	n := 0
	for _, f := range k.sortedFamilies() {
		if !f.netnsok && cb.net != k.initNet {
			continue
		}
		if n++; n <= cb.args[0] {
			continue
		}
		if err := k.ctrlFillInfo(skb, f, cb.skb.portid, cb.nlh.Seq, nlmMulti); err != 0 {
			if k.has(genlDumpDone) {
				return err
			}
			break
		}
		cb.args[0] = n
	}
	if k.has(genlDumpDone) {
		return 0
	}
	return dumpLen(skb)
}

// ctrlFillInfo is net/netlink/genetlink.c ctrl_fill_info.
func (k *Kernel) ctrlFillInfo(skb *skBuff, f *genlFamily, portid, seq uint32, flags uint16) errno {
	p := genlPut(skb, portid, seq, k.families[genlCtrlID], flags, ctrlCmdNewfamily)
	skb.nlaPutString(ctrlAttrFamilyName, f.name)
	skb.nlaPutU16(ctrlAttrFamilyID, f.id)
	skb.nlaPutU32(ctrlAttrVersion, f.version)
	skb.nlaPutU32(ctrlAttrHdrsize, f.hdrsize)
	skb.nlaPutU32(ctrlAttrMaxattr, f.maxattr)
	if len(f.ops) > 0 {
		all := skb.nlaNestNoflag(ctrlAttrOps)
		for i := range f.ops {
			n := skb.nlaNestNoflag(uint16(i + 1))
			skb.nlaPutU32(ctrlAttrOpID, uint32(f.ops[i].cmd))
			skb.nlaPutU32(ctrlAttrOpFlags, f.ops[i].flags)
			n.end()
		}
		all.end()
	}
	if len(f.groups) > 0 {
		all := skb.nlaNestNoflag(ctrlAttrMcastGroups)
		for i, g := range f.groups {
			n := skb.nlaNestNoflag(uint16(i + 1))
			skb.nlaPutU32(ctrlAttrMcastGrpID, g.id)
			skb.nlaPutString(ctrlAttrMcastGrpName, g.name)
			n.end()
		}
		all.end()
	}
	return p.end()
}

// ctrlDumpPolicy is a dump of policies that goes on (net/netlink/genetlink.c struct
// ctrl_dump_policy_ctx).
type ctrlDumpPolicy struct {
	id   uint16
	ops  []*genlOp // whose policies are still to be named
	dump policyDump
}

// ctrlDumppolicyStart finds the family and collects its policies, or those of one
// operation (net/netlink/genetlink.c ctrl_dumppolicy_start).
func (k *Kernel) ctrlDumppolicyStart(cb *netlinkCallback) errno {
	defer k.enter("ctrl_dumppolicy_start")()
	info := cb.data.(*genlInfo)
	var f *genlFamily
	if a := info.attrs.get(ctrlAttrFamilyID); a != nil {
		f = k.genlFamilyFindByid(a.u16())
	} else if a := info.attrs.get(ctrlAttrFamilyName); a != nil {
		f = k.genlFamilyFindByname(a.str())
	} else {
		return nlmsg.EINVAL
	}
	if f == nil {
		return nlmsg.ENOENT
	}
	d := &ctrlDumpPolicy{id: f.id}
	if a := info.attrs.get(ctrlAttrOp); a != nil {
		i := -1
		if a.u32() <= 0xff {
			i = opIndex(f.ops, uint8(a.u32()))
		}
		if i < 0 {
			cb.extack.bad(a)
			return nlmsg.ENOENT
		}
		d.ops = append(d.ops, &f.ops[i])
	} else {
		for i := range f.ops {
			d.ops = append(d.ops, &f.ops[i])
		}
	}
	for _, o := range d.ops {
		switch {
		case o.policy != nil:
			d.dump.addPolicy(o.policy)
		case o.flags&genlCapHaspol != 0:
			return notEmulated(info.extack)
		}
	}
	if !d.dump.loop() {
		return nlmsg.ENODATA
	}
	cb.data = d
	return 0
}

// ctrlDumppolicy tells which policies the operations have, and then the policies, an
// attribute a message (net/netlink/genetlink.c ctrl_dumppolicy).
func (k *Kernel) ctrlDumppolicy(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("ctrl_dumppolicy")()
	d := cb.data.(*ctrlDumpPolicy)
	for ; len(d.ops) > 0; d.ops = d.ops[1:] {
		if k.ctrlDumppolicyPutOp(skb, cb, d, d.ops[0]) != 0 {
			return dumpLen(skb)
		}
	}
	for d.dump.loop() {
		p := k.ctrlDumppolicyPrep(skb, cb, d)
		n := skb.nlaNest(ctrlAttrPolicy)
		if err := d.dump.write(skb); err != 0 {
			p.cancel()
			break
		}
		n.end()
		if p.end() != 0 {
			break
		}
	}
	return dumpLen(skb)
}

func (k *Kernel) ctrlDumppolicyPrep(skb *skBuff, cb *netlinkCallback, d *ctrlDumpPolicy) put {
	p := genlPut(skb, cb.skb.portid, cb.nlh.Seq, k.families[genlCtrlID], nlmMulti, ctrlCmdGetpolicy)
	skb.nlaPutU16(ctrlAttrFamilyID, d.id)
	return p
}

// ctrlDumppolicyPutOp is net/netlink/genetlink.c ctrl_dumppolicy_put_op.
func (k *Kernel) ctrlDumppolicyPutOp(skb *skBuff, cb *netlinkCallback, d *ctrlDumpPolicy, o *genlOp) errno {
	does, dumps := o.flags&genlCapDo != 0, o.flags&genlCapDump != 0 && o.validate&genlDontDump == 0
	if o.policy == nil || !does && !dumps {
		return 0
	}
	cmd := o.cmd
	if !does && k.has(genlPolicyOpZero) && !k.has(genlPolicyOpRight) {
		cmd = 0
	}
	p := k.ctrlDumppolicyPrep(skb, cb, d)
	all := skb.nlaNest(ctrlAttrOpPolicy)
	n := skb.nlaNest(uint16(cmd))
	if does {
		skb.nlaPutU32(ctrlAttrPolicyDo, uint32(d.dump.idx(o.policy)))
	}
	if dumps {
		skb.nlaPutU32(ctrlAttrPolicyDump, uint32(d.dump.idx(o.policy)))
	}
	n.end()
	all.end()
	return p.end()
}
