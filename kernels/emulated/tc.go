package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Message types of traffic control.
const (
	rtmNewqdisc   = 36
	rtmDelqdisc   = 37
	rtmGetqdisc   = 38
	rtmNewtclass  = 40
	rtmDeltclass  = 41
	rtmGettclass  = 42
	rtmNewtfilter = 44
	rtmDeltfilter = 45
	rtmGettfilter = 46
	rtmNewaction  = 48
	rtmDelaction  = 49
	rtmGetaction  = 50
	rtmNewchain   = 100
	rtmDelchain   = 101
	rtmGetchain   = 102

	rtnlgrpTc = 4
)

// Handles (include/uapi/linux/pkt_sched.h).
const (
	tcHRoot    = 0xffffffff
	tcHIngress = 0xfffffff1
	tcHMaj     = 0xffff0000
)

// Attributes of traffic control (include/uapi/linux/rtnetlink.h TCA_*).
const (
	tcaKind = 1 + iota
	tcaOptions
	tcaStats
	tcaXstats
	tcaRate
	_
	tcaStats2
	tcaStab
	_
	tcaDumpInvisible
	tcaChain
	tcaHwOffload
	tcaIngressBlock
	tcaEgressBlock
	_
	tcaExtWarnMsg
)

var rtmTcaPolicy = policy{
	tcaKind:          {typ: nlaString},
	tcaRate:          {typ: nlaBinary, len: 2},
	tcaStab:          {typ: nlaNested},
	tcaDumpInvisible: {typ: nlaFlag},
	tcaChain:         {typ: nlaU32},
	tcaIngressBlock:  {typ: nlaU32},
	tcaEgressBlock:   {typ: nlaU32},
	tcaExtWarnMsg:    {},
}

// schedState is what a namespace knows of queueing disciplines.
type schedState struct {
	// autohandle is the last handle that was made up. The kernel has one for all
	// namespaces, and here each begins as a kernel does that has just been booted.
	autohandle uint32
}

// tcmsg is a request's header (include/uapi/linux/rtnetlink.h struct tcmsg).
type tcmsg struct {
	ifindex              int
	handle, parent, info uint32
}

const sizeofTcmsg = 20

// ifindexMagicBlock is TCM_IFINDEX_MAGIC_BLOCK: parent is a block of filters, and
// there is none.
const ifindexMagicBlock = -1

// tcParse takes a request apart, and finds its link.
func (k *Kernel) tcParse(skb *skBuff, h *nlmsghdr, x *extAck) (t tcmsg, tb attrTable, d *netDevice, err errno) {
	if tb, err = nlmsgParse(h, sizeofTcmsg, rtmTcaPolicy, liberal, x); err != 0 {
		return
	}
	b := h.payload()
	t = tcmsg{int(int32(native.Uint32(b[4:]))), native.Uint32(b[8:]), native.Uint32(b[12:]), native.Uint32(b[16:])}
	if d = skb.sk.net.devGetByIndex(t.ifindex); d == nil {
		err = nlmsg.ENODEV
	}
	return
}

// isKind says whether a request names a discipline's kind, or none.
func (q *qdisc) isKind(tb attrTable) bool {
	a := tb.get(tcaKind)
	return a == nil || a.str() == q.ops.id
}

// tcInit registers traffic control (net/sched/sch_api.c pktsched_init,
// net/sched/cls_api.c tc_filter_init, net/sched/act_api.c tc_action_init).
func (k *Kernel) tcInit() {
	k.rtnlRegister(pfUnspec, rtmNewqdisc, k.tcModifyQdisc, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDelqdisc, k.tcGetQdisc, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGetqdisc, k.tcGetQdisc, k.tcDumpQdisc, 0)
	k.rtnlRegister(pfUnspec, rtmNewtclass, k.tcCtlTclass, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDeltclass, k.tcCtlTclass, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGettclass, k.tcCtlTclass, k.tcDumpNothing, 0)
	for _, t := range []int{rtmNewtfilter, rtmDeltfilter, rtmGettfilter, rtmNewchain, rtmDelchain, rtmGetchain} {
		dump := k.tcDumpNothing
		if t != rtmGettfilter && t != rtmGetchain {
			dump = nil
		}
		k.rtnlRegister(pfUnspec, t, k.tcFilter, dump, 0)
	}
	k.rtnlRegister(pfUnspec, rtmNewaction, k.tcCtlAction, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDelaction, k.tcCtlAction, nil, 0)
	k.rtnlRegister(pfUnspec, rtmGetaction, k.tcCtlAction, k.tcDumpNothing, 0)
}

// tcModifyQdisc makes a discipline or changes one (net/sched/sch_api.c
// tc_modify_qdisc).
func (k *Kernel) tcModifyQdisc(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("tc_modify_qdisc")()
	t, tb, d, err := k.tcParse(skb, h, x)
	if err != 0 {
		return err
	}
	var q *qdisc
	switch t.parent {
	case 0:
		if t.handle == 0 {
			x.set("Handle cannot be zero")
			return nlmsg.EINVAL
		}
		q = d.qdiscLookup(t.handle)
	case tcHRoot:
		q = d.qdisc
	case tcHIngress:
		d.ingressQueue = true
		q = d.ingress
	default:
		p := d.qdiscLookup(t.parent & tcHMaj)
		if p == nil {
			x.set("Failed to find specified qdisc")
			return nlmsg.ENOENT
		}
		return p.noLeaf(x)
	}
	if q != nil && q.handle == 0 {
		q = nil // the default
	}
	if t.parent != 0 && (q == nil || t.handle == 0 || q.handle != t.handle) {
		var do qdiscPlan
		if q, do, err = k.qdiscPlan(d, q, t, h, tb, x); err != 0 {
			return err
		}
		if do == createQdisc && h.Flags&nlmCreate == 0 {
			x.set("Qdisc not found. To create specify NLM_F_CREATE flag")
			return nlmsg.ENOENT
		}
		if do == createQdisc || do == replaceQdisc {
			if q, err = k.qdiscCreate(d, t, tb, x); err != 0 {
				return err
			}
		}
		if do != changeQdisc {
			k.qdiscGraft(skb, d, q, h, t.parent, d.slot(t.parent))
			return 0
		}
	}
	switch {
	case q == nil:
		x.set("Specified qdisc not found")
		return nlmsg.ENOENT
	case h.Flags&nlmExcl != 0:
		x.set("Exclusivity flag on, cannot modify")
		return nlmsg.EEXIST
	case !q.isKind(tb):
		x.set(k.mustMatchQdisc())
		return nlmsg.EINVAL
	}
	if err := k.qdiscChange(q, tb, x); err != 0 {
		return err
	}
	k.qdiscNotify(skb, d, h, t.parent, nil, q)
	return 0
}

// mustMatchQdisc is what is said where a kind is not that of what is there.
func (k *Kernel) mustMatchQdisc() string {
	if k.has(qdiscMustMatch) {
		return "Invalid qdisc name: must match existing qdisc"
	}
	return "Invalid qdisc name"
}

// qdiscPlan is what is to be done about a place.
type qdiscPlan int

const (
	changeQdisc  qdiscPlan = iota // what is there is changed
	graftQdisc                    // another that there is is put there
	createQdisc                   // a new one is put there, if NLM_F_CREATE says so
	replaceQdisc                  // a new one is put there
)

// qdiscPlan is the part of tc_modify_qdisc that decides about the place that q is in,
// nil for none: whether it is changed, or what comes in its place.
func (k *Kernel) qdiscPlan(d *netDevice, q *qdisc, t tcmsg, h *nlmsghdr, tb attrTable, x *extAck) (*qdisc, qdiscPlan, errno) {
	switch {
	case t.handle == 0 && q == nil:
		return nil, createQdisc, 0
	case t.handle == 0 && q.isKind(tb):
		return q, changeQdisc, 0
	case t.handle == 0:
		// Another kind is asked for expressly, or by no flag at all.
		switch h.Flags & (nlmCreate | nlmReplace | nlmExcl) {
		case 0, nlmCreate | nlmReplace, nlmCreate | nlmExcl, nlmCreate | nlmReplace | nlmExcl:
			return nil, replaceQdisc, 0
		}
		return q, changeQdisc, 0
	case q != nil && h.Flags&nlmReplace == 0:
		x.set("NLM_F_REPLACE needed to override")
		return nil, 0, nlmsg.EEXIST
	case t.handle&^tcHMaj != 0:
		x.set("Invalid minor handle")
		return nil, 0, nlmsg.EINVAL
	}
	switch q = d.qdiscLookup(t.handle); {
	case q == nil:
		return nil, createQdisc, 0
	case h.Flags&nlmExcl != 0:
		x.set("Exclusivity flag on, cannot override")
		return nil, 0, nlmsg.EEXIST
	case !q.isKind(tb):
		x.set(k.mustMatchQdisc())
		return nil, 0, nlmsg.EINVAL
	case q.ops.ingress:
		x.set("Cannot regraft ingress or clsact Qdiscs")
		return nil, 0, nlmsg.EINVAL
	case t.parent == tcHIngress:
		x.set("Ingress cannot graft directly")
		return nil, 0, nlmsg.EINVAL
	}
	return q, graftQdisc, 0
}

// tcGetQdisc tells of a discipline or takes it away (net/sched/sch_api.c
// tc_get_qdisc).
func (k *Kernel) tcGetQdisc(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("tc_get_qdisc")()
	t, tb, d, err := k.tcParse(skb, h, x)
	if err != 0 {
		return err
	}
	var q *qdisc
	switch {
	case t.parent == 0:
		if q = d.qdiscLookup(t.handle); q == nil {
			x.set("Failed to find qdisc with specified handle")
			return nlmsg.ENOENT
		}
	case t.parent == tcHRoot:
		q = d.qdisc
	case t.parent&tcHMaj != tcHIngress&tcHMaj:
		p := d.qdiscLookup(t.parent & tcHMaj)
		if p == nil {
			x.set("Failed to find qdisc with specified classid")
			return nlmsg.ENOENT
		}
		return p.noLeaf(x)
	case d.ingressQueue:
		if q = d.ingress; q == nil {
			q = noopQdisc
		}
	default:
		x.set("Cannot find specified qdisc on specified device")
		return nlmsg.ENOENT
	}
	switch {
	case t.parent != 0 && t.handle != 0 && q.handle != t.handle:
		x.set("Invalid handle")
		return nlmsg.EINVAL
	case !q.isKind(tb):
		x.set(k.mustMatchQdisc())
		return nlmsg.EINVAL
	case h.Type == rtmGetqdisc:
		k.qdiscNotify(skb, d, h, t.parent, nil, q)
		return 0
	case t.parent == 0:
		x.set("Classid cannot be zero")
		return nlmsg.EINVAL
	case q.handle == 0:
		x.set("Cannot delete qdisc with handle of zero")
		return nlmsg.ENOENT
	}
	k.qdiscGraft(skb, d, nil, h, t.parent, d.slot(t.parent))
	return 0
}

// tcDumpQdisc tells of all disciplines, from later releases on of those of one link
// (net/sched/sch_api.c tc_dump_qdisc).
func (k *Kernel) tcDumpQdisc(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("tc_dump_qdisc")()
	if _, err := nlmsgParse(cb.nlh, sizeofTcmsg, rtmTcaPolicy, liberal, cb.extack); err != 0 {
		return err
	}
	only := 0
	if k.has(qdiscDumpByLink) {
		only = int(int32(native.Uint32(cb.nlh.payload()[4:])))
	}
	i := 0
	for _, d := range slices.Clone(cb.net.state.devs) {
		if only > 0 && d.index != only {
			continue
		}
		for _, q := range []*qdisc{d.qdisc, d.ingress} {
			if q == nil || q == noopQdisc {
				continue
			}
			if i++; i <= cb.args[0] {
				continue
			}
			p := cb.put(skb, rtmNewqdisc, nlmMulti, q.tcmsg(d, q.parent, q.refs(d)))
			if k.tcFillQdisc(skb, q, p) != 0 {
				return dumpLen(skb)
			}
			cb.args[0] = i
		}
	}
	return dumpLen(skb)
}

// tcCtlTclass finds that no discipline has classes (net/sched/sch_api.c
// tc_ctl_tclass).
func (k *Kernel) tcCtlTclass(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("tc_ctl_tclass")()
	t, _, d, err := k.tcParse(skb, h, x)
	if err != 0 {
		return err
	}
	qid := t.handle & tcHMaj
	if t.parent != tcHRoot {
		switch major := t.parent & tcHMaj; {
		case qid != 0 && major != 0 && qid != major:
			return nlmsg.EINVAL
		case qid == 0:
			qid = major
		}
	}
	if qid == 0 {
		qid = d.qdisc.handle
	}
	if d.qdiscLookup(qid) == nil {
		return nlmsg.ENOENT
	}
	return nlmsg.EINVAL
}

// tcDumpNothing is a dump of classes, filters, chains or actions, of which there are
// none (net/sched/sch_api.c tc_dump_tclass, net/sched/cls_api.c tc_dump_tfilter,
// tc_dump_chain, net/sched/act_api.c tc_dump_action).
func (k *Kernel) tcDumpNothing(*skBuff, *netlinkCallback) errno { return 0 }

// tcFilter finds that no discipline takes filters, but those of what arrives, which
// are not emulated (net/sched/cls_api.c tc_new_tfilter, tc_del_tfilter,
// tc_get_tfilter, tc_ctl_chain).
func (k *Kernel) tcFilter(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	t, tb, d, err := k.tcParse(skb, h, x)
	if err != 0 && err != nlmsg.ENODEV {
		return err
	}
	if t.info>>16 == 0 { // no priority
		switch {
		case h.Type == rtmGettfilter, h.Type == rtmNewtfilter && h.Flags&nlmCreate == 0:
			x.set("Invalid filter command with priority of zero")
			return nlmsg.ENOENT
		case h.Type == rtmDeltfilter && (t.info != 0 || t.handle != 0 || tb.get(tcaKind) != nil):
			x.set("Cannot flush filters with protocol, handle or kind set")
			return nlmsg.ENOENT
		}
	}
	if t.ifindex == ifindexMagicBlock {
		x.set("Block of given index was not found")
		return nlmsg.EINVAL
	}
	if d == nil {
		return nlmsg.ENODEV
	}
	q := d.qdisc
	if t.parent != 0 {
		if q = d.qdiscLookup(t.parent & tcHMaj); q == nil {
			x.set("Parent Qdisc doesn't exists")
			return nlmsg.EINVAL
		}
	}
	if q.ops.ingress {
		return notEmulated(x)
	}
	x.set("Qdisc not classful")
	return nlmsg.EINVAL
}

// tcCtlAction is net/sched/act_api.c tc_ctl_action. Actions are not emulated.
func (k *Kernel) tcCtlAction(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("tc_ctl_action")()
	const tcaActTab = 1
	if h.Type != rtmGetaction && !k.netlinkNsCapable(skb, k.init.user) {
		return nlmsg.EPERM
	}
	tb, err := nlmsgParse(h, 4, policy{tcaActTab: {}}, liberal, x)
	if err != 0 {
		return err
	}
	if tb.get(tcaActTab) == nil {
		x.set("Netlink action attributes missing")
		return nlmsg.EINVAL
	}
	return notEmulated(x)
}
