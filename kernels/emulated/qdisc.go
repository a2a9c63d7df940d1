package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// qdiscOps is a kind of queueing disciplines (include/net/sch_generic.h struct
// Qdisc_ops).
type qdiscOps struct {
	id string
	// limit says that it has a limit, which is of bytes where bytes says so.
	limit, bytes bool
	options      []byte // TCA_OPTIONS, of those that have always the same
	ingress      bool   // it is for what arrives
}

// qdiscKinds are those that a kernel has without a module.
var qdiscKinds = []*qdiscOps{
	{id: "pfifo_fast", options: append(native.AppendUint32(nil, 3), 1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)},
	{id: "pfifo", limit: true},
	{id: "bfifo", limit: true, bytes: true},
	{id: "pfifo_head_drop", limit: true},
	noqueueOps,
	{id: "mq"},
	{id: "ingress", ingress: true},
	{id: "clsact", ingress: true},
}

var noqueueOps = &qdiscOps{id: "noqueue"}

// qdisc is a queueing discipline of a link (include/net/sch_generic.h struct Qdisc).
type qdisc struct {
	ops            *qdiscOps
	handle, parent uint32
	limit          uint32
}

// noopQdisc is what a link has before it is first up. Nobody is told of it
// (net/sched/sch_generic.c noop_qdisc).
var noopQdisc = &qdisc{ops: &qdiscOps{id: "noop"}}

// defaultQdisc is what a link gets that is up and has none: those here have no queue
// (net/sched/sch_generic.c attach_default_qdiscs).
func defaultQdisc() *qdisc { return &qdisc{ops: noqueueOps, parent: tcHRoot} }

// qdiscLookup finds a link's discipline by its handle (net/sched/sch_api.c
// qdisc_lookup).
func (d *netDevice) qdiscLookup(handle uint32) *qdisc {
	switch {
	case handle == 0:
		return nil
	case d.qdisc.handle == handle:
		return d.qdisc
	case d.ingress != nil && d.ingress.handle == handle:
		return d.ingress
	}
	return nil
}

// slot is where a link keeps the discipline of a parent.
func (d *netDevice) slot(parent uint32) **qdisc {
	if parent&tcHMaj == tcHIngress&tcHMaj && parent != tcHRoot {
		return &d.ingress
	}
	return &d.qdisc
}

// noLeaf is the error for what is looked for below a discipline, none of which has
// classes here (net/sched/sch_api.c qdisc_leaf).
func (q *qdisc) noLeaf(x *extAck) errno {
	x.set("Parent qdisc is not classful")
	return nlmsg.EOPNOTSUPP
}

// qdiscCreate is net/sched/sch_api.c qdisc_create.
func (k *Kernel) qdiscCreate(d *netDevice, t tcmsg, tb attrTable, x *extAck) (*qdisc, errno) {
	defer k.enter("qdisc_create")()
	var ops *qdiscOps
	if a := tb.get(tcaKind); a != nil {
		for _, o := range qdiscKinds {
			if o.id == a.str() {
				ops = o
			}
		}
	}
	if ops == nil {
		x.set("Specified qdisc kind is unknown")
		return nil, nlmsg.ENOENT
	}
	q := &qdisc{ops: ops, handle: t.handle, parent: t.parent}
	switch {
	case t.parent == tcHIngress:
		if !ops.ingress {
			x.set("Specified parent ID is reserved for ingress and clsact Qdiscs")
			return nil, nlmsg.EINVAL
		}
		q.handle = tcHIngress & tcHMaj
	case t.handle == 0:
		q.handle = k.qdiscAllocHandle(d)
	}
	if d.txqlen == 0 { // of a link without a queue
		d.txqlen = 1000 // DEFAULT_TX_QUEUE_LEN
	}
	switch {
	case ops.ingress && t.parent != tcHIngress, ops.id == "mq" && d.txq < 2:
		return nil, nlmsg.EOPNOTSUPP
	case ops.id == "mq":
		return nil, notEmulated(x)
	case ops.limit:
		return q, q.fifoInit(d, tb.get(tcaOptions))
	}
	return q, 0
}

// fifoInit is net/sched/sch_fifo.c fifo_init.
func (q *qdisc) fifoInit(d *netDevice, options *nlattr) errno {
	if options == nil {
		q.limit = d.txqlen
		if q.ops.bytes {
			q.limit *= d.mtu + uint32(d.hardHeaderLen())
		}
		return 0
	}
	if len(options.data) < 4 {
		return nlmsg.EINVAL
	}
	q.limit = options.u32()
	return 0
}

// hardHeaderLen is how long a link's header is: that of Ethernet (ETH_HLEN).
func (d *netDevice) hardHeaderLen() int { return 14 }

// qdiscAllocHandle is net/sched/sch_api.c qdisc_alloc_handle.
func (k *Kernel) qdiscAllocHandle(d *netDevice) uint32 {
	auto := &d.net.state.sched.autohandle
	for {
		if *auto += 0x10000; *auto < 0x80010000 || *auto == tcHRoot&tcHMaj {
			*auto = 0x80010000
		}
		if d.qdiscLookup(*auto) == nil {
			return *auto
		}
	}
}

// qdiscChange is net/sched/sch_api.c qdisc_change.
func (k *Kernel) qdiscChange(q *qdisc, tb attrTable, x *extAck) errno {
	options := tb.get(tcaOptions)
	switch {
	case options == nil:
		return 0
	case !q.ops.limit:
		x.set("Change operation not supported by specified qdisc")
		return nlmsg.EINVAL
	}
	return q.fifoInit(nil, options)
}

// qdiscGraft puts a discipline in a link's slot, or the default where it is nil, and
// tells of both (net/sched/sch_api.c qdisc_graft).
func (k *Kernel) qdiscGraft(in *skBuff, d *netDevice, q *qdisc, h *nlmsghdr, parent uint32, slot **qdisc) {
	old := *slot
	*slot = q
	if q == nil && slot == &d.qdisc {
		*slot = noopQdisc
	}
	if old == nil {
		old = noopQdisc
	}
	k.qdiscNotify(in, d, h, parent, old, q)
	if d.flags&iffUp != 0 {
		k.devActivate(d)
	}
}

// qdiscNotify tells of a discipline that is gone, and of one that is there
// (net/sched/sch_api.c qdisc_notify).
func (k *Kernel) qdiscNotify(in *skBuff, d *netDevice, h *nlmsghdr, parent uint32, old, q *qdisc) {
	skb := newSkb(goodSize)
	if old != nil && old != noopQdisc {
		refs := uint32(1)
		if old.ops.ingress && k.has(qdiscIngressFreed) {
			refs = 0
		}
		p := skb.nlmsgPut(in.portid, h.Seq, rtmDelqdisc, 0, old.tcmsg(d, parent, refs))
		k.tcFillQdisc(skb, old, p)
	}
	if q != nil && q != noopQdisc {
		flags := uint16(0)
		if old != nil {
			flags = nlmReplace
		}
		p := skb.nlmsgPut(in.portid, h.Seq, rtmNewqdisc, flags, q.tcmsg(d, parent, q.refs(d)))
		k.tcFillQdisc(skb, q, p)
	}
	if len(skb.data) > 0 {
		k.rtnetlinkSend(skb, d.net, in.portid, rtnlgrpTc, h.Flags&nlmEcho != 0)
	}
}

// refs is how often a discipline is referred to: by the queue, and that of what is
// sent by the link.
func (q *qdisc) refs(d *netDevice) uint32 {
	if d.qdisc == q {
		return 2
	}
	return 1
}

// tcmsg is the header of an answer about a discipline.
func (q *qdisc) tcmsg(d *netDevice, parent, refs uint32) []byte {
	b := native.AppendUint32(make([]byte, 4, sizeofTcmsg), uint32(d.index))
	b = native.AppendUint32(b, q.handle)
	b = native.AppendUint32(b, parent)
	return native.AppendUint32(b, refs)
}

// Attributes in TCA_STATS2 (include/uapi/linux/gen_stats.h), and their sizes.
const (
	tcaStatsBasic   = 1
	tcaStatsQueue   = 3
	sizeofStatBasic = 16
	sizeofStatQueue = 20
	sizeofTcStats   = 40
)

// tcFillQdisc completes a message about a discipline, whose counters are 0: nothing is
// ever sent (net/sched/sch_api.c tc_fill_qdisc).
func (k *Kernel) tcFillQdisc(skb *skBuff, q *qdisc, p put) errno {
	skb.nlaPutString(tcaKind, q.ops.id)
	switch {
	case q.ops.limit:
		skb.nlaPutU32(tcaOptions, q.limit)
	case q.ops.options != nil:
		skb.nlaPut(tcaOptions, q.ops.options)
	case q.ops.ingress:
		skb.nlaPut(tcaOptions, nil)
	}
	skb.nlaPutU8(tcaHwOffload, 0)
	n := skb.nlaNestNoflag(tcaStats2)
	skb.nlaPut(tcaStatsBasic, make([]byte, sizeofStatBasic))
	skb.nlaPut(tcaStatsQueue, make([]byte, sizeofStatQueue))
	n.end()
	skb.nlaPut(tcaStats, make([]byte, sizeofTcStats))
	return p.end()
}
