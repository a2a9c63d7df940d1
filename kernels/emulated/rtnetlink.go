package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Message types (include/uapi/linux/rtnetlink.h).
const rtmBase = 16

// Address families.
const (
	pfUnspec   = 0
	pfInet     = 2
	pfBridge   = 7
	pfInet6    = 10
	pfPhonet   = 35
	pfMpls     = 28
	pfMctp     = 45
	rtnlIpmr   = 128
	rtnlIp6mr  = 129
	rtnlFamMax = 129 // RTNL_FAMILY_MAX
)

// Flags of requests.
const (
	nlmRequest  = 0x1
	nlmMulti    = 0x2
	nlmAck      = 0x4
	nlmEcho     = 0x8
	nlmDumpIntr = 0x10
	nlmFiltered = 0x20
	nlmReplace  = 0x100 // of RTM_NEW*
	nlmExcl     = 0x200
	nlmCreate   = 0x400
	nlmAppend   = 0x800
	nlmRoot     = 0x100 // of RTM_GET*
	nlmMatch    = 0x200
	nlmDump     = nlmRoot | nlmMatch
	nlmBulk     = 0x200 // of RTM_DEL*
)

// doit answers one request. What it puts is sent by it.
type doit func(skb *skBuff, h *nlmsghdr, x *extAck) errno

// rtnlLink is an entry of rtnl_msg_handlers (net/core/rtnetlink.c struct
// rtnl_link).
type rtnlLink struct {
	doit   doit
	dumpit dumpit
	flags  int
}

// Flags of an entry (include/net/rtnetlink.h RTNL_FLAG_*).
const (
	rtnlDoitUnlocked = 1 << iota
	rtnlBulkDel
	rtnlDumpUnlocked
	rtnlDumpSplitDone
)

type handlerKey struct{ family, msgtype int }

// rtnlRegister enters a doit and a dumpit (net/core/rtnetlink.c rtnl_register). A
// second of either panics.
func (k *Kernel) rtnlRegister(family, msgtype int, d doit, dump dumpit, flags int) {
	defer k.enter("rtnl_register")()
	key := handlerKey{family, msgtype}
	l := k.rtnlHandlers[key]
	if l.doit != nil && d != nil || l.dumpit != nil && dump != nil {
		panic("emulated: " + nlmsg.TypeName(nlmsg.Route, uint16(msgtype)) + " is registered twice")
	}
	if d != nil {
		l.doit = d
	}
	if dump != nil {
		l.dumpit = dump
	}
	l.flags |= flags
	k.rtnlHandlers[key] = l
}

// rtnetlinkInit is net/core/rtnetlink.c rtnetlink_init.
func (k *Kernel) rtnetlinkInit() {
	defer k.enter("rtnetlink_init")()
	k.registerPernetSubsys(pernetOperations{"rtnetlink", k.rtnetlinkNetInit, k.rtnetlinkNetExit})
	k.registerNetdeviceNotifier(k.rtnetlinkEvent)
	k.rtnlRegisterLinks()
	k.rtnlRegister(pfUnspec, rtmGetaddr, nil, k.rtnlDumpAll, 0)
	k.rtnlRegister(pfUnspec, rtmGetnetconf, nil, k.rtnlDumpAll, 0)
	k.rtnlRegister(pfUnspec, rtmGetroute, nil, k.rtnlDumpAll, 0)
}

// rtnlgrpMax is RTNLGRP_MAX.
func (k *Kernel) rtnlgrpMax() uint32 {
	switch {
	case k.has(mcNotify):
		return 39 // RTNLGRP_IPV6_ACADDR
	case k.has(groupsOfStats):
		return 36 // RTNLGRP_STATS
	}
	return 33 // RTNLGRP_BRVLAN
}

// rtnetlinkNetInit is net/core/rtnetlink.c rtnetlink_net_init.
func (k *Kernel) rtnetlinkNetInit(n *netns) errno {
	defer k.enter("rtnetlink_net_init")()
	if k.netlinkKernelCreate(n, nlmsg.Route, netlinkKernelCfg{groups: k.rtnlgrpMax(), input: k.rtnetlinkRcv, flags: cfgNonrootRecv}) == nil {
		return nlmsg.ENOMEM
	}
	return 0
}

// rtnetlinkNetExit is net/core/rtnetlink.c rtnetlink_net_exit. The socket goes with
// the namespace.
func (k *Kernel) rtnetlinkNetExit(*netns) { defer k.enter("rtnetlink_net_exit")() }

// rtnetlinkRcv is net/core/rtnetlink.c rtnetlink_rcv. The lock is taken for each
// message, as all but the oldest kernels do.
func (k *Kernel) rtnetlinkRcv(skb *skBuff) {
	defer k.enter("rtnetlink_rcv")()
	k.netlinkRcvSkb(skb, k.rtnetlinkRcvMsg)
	k.runWorks()
}

// scheduleWork has f done with rtnl_mutex held, after what is being done has let go
// of it (kernel/workqueue.c schedule_work). A worker does so at any time from then
// on; here it is when a datagram has been answered.
func (k *Kernel) scheduleWork(f func()) { k.works = append(k.works, f) }

// runWorks does what scheduleWork put off, and what that puts off in its turn.
func (k *Kernel) runWorks() {
	k.rtnlMutex.Lock()
	defer k.rtnlMutex.Unlock()
	for len(k.works) > 0 {
		f := k.works[0]
		k.works = k.works[1:]
		f()
	}
}

// rtnlLock is net/core/rtnetlink.c rtnl_lock, rtnlUnlock is rtnl_unlock.
func (k *Kernel) rtnlLock() {
	defer k.enter("rtnl_lock")()
	k.rtnlMutex.Lock()
}

func (k *Kernel) rtnlUnlock() {
	defer k.enter("rtnl_unlock")()
	k.rtnlMutex.Unlock()
}

// What a message type does is in its last two bits (include/net/rtnetlink.h enum
// rtnl_kinds).
const (
	rtnlKindNew = iota
	rtnlKindDel
	rtnlKindGet
	rtnlKindSet
)

// rtnetlinkRcvMsg is net/core/rtnetlink.c rtnetlink_rcv_msg.
func (k *Kernel) rtnetlinkRcvMsg(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnetlink_rcv_msg")()
	msgtype := int(h.Type)
	if msgtype > k.rtmMax() {
		return nlmsg.EOPNOTSUPP
	}
	if len(h.payload()) < 1 { // a struct rtgenmsg
		return 0
	}
	family := int(h.payload()[0])
	kind := (msgtype - rtmBase) & 3
	if kind != rtnlKindGet && !k.netlinkNetCapable(skb) {
		return nlmsg.EPERM
	}
	if kind == rtnlKindGet && h.Flags&nlmDump != 0 {
		link := k.rtnlGetLink(family, msgtype)
		if link.dumpit == nil {
			if link = k.rtnlGetLink(pfUnspec, msgtype); link.dumpit == nil {
				return nlmsg.EOPNOTSUPP
			}
		}
		least := 0
		if msgtype == rtmGetlink {
			k.rtnlLock()
			least = k.rtnlCalcit(skb, h)
			k.rtnlUnlock()
		}
		return k.netlinkDumpStart(skb.sk.net.kernelSock(nlmsg.Route), skb, h,
			&netlinkDumpControl{dump: k.rtnlDumpit(link), min: least}, x)
	}
	d, flags := k.rtnlGetDoit(family, msgtype)
	if d == nil {
		return nlmsg.EOPNOTSUPP
	}
	if kind == rtnlKindDel && h.Flags&nlmBulk != 0 && flags&rtnlBulkDel == 0 && k.has(bulkDel) {
		x.set("Bulk delete is not supported")
		return nlmsg.EOPNOTSUPP
	}
	k.rtnlLock()
	defer k.rtnlUnlock()
	return d(skb, h, x)
}

// rtnlGetDoit finds a doit, that of PF_UNSPEC where the family has none
// (net/core/rtnetlink.c rtnl_get_doit).
func (k *Kernel) rtnlGetDoit(family, msgtype int) (doit, int) {
	defer k.enter("rtnl_get_doit")()
	l := k.rtnlGetLink(family, msgtype)
	if l.doit == nil {
		l = k.rtnlGetLink(pfUnspec, msgtype)
	}
	return l.doit, l.flags
}

// rtnlGetLink is net/core/rtnetlink.c rtnl_get_link. A family beyond the table, or
// without one, is PF_UNSPEC.
func (k *Kernel) rtnlGetLink(family, msgtype int) rtnlLink {
	if family > rtnlFamMax {
		family = pfUnspec
	}
	return k.rtnlHandlers[handlerKey{family, msgtype}]
}

// rtnlDumpit has a dumpit run with the lock held. One with RTNL_FLAG_DUMP_SPLIT_NLM_DONE
// is not asked again once it has said that it is through, and what it put goes
// without the NLMSG_DONE (net/core/rtnetlink.c rtnl_dumpit).
func (k *Kernel) rtnlDumpit(link rtnlLink) dumpit {
	split := link.flags&rtnlDumpSplitDone != 0 && k.has(dumpSplitDone)
	through := false
	return func(skb *skBuff, cb *netlinkCallback) errno {
		if through {
			return 0
		}
		k.rtnlLock()
		defer k.rtnlUnlock()
		err := link.dumpit(skb, cb)
		if !split || err != 0 && err != nlmsg.EMSGSIZE && err != dumpMore {
			return err
		}
		through = err == 0
		return dumpLen(skb)
	}
}

// rtnlDumpAll asks each family for its dump of a type (net/core/rtnetlink.c
// rtnl_dump_all).
func (k *Kernel) rtnlDumpAll(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_dump_all")()
	// A family that has been begun is in args of its own.
	type progress struct {
		family int
		args   [6]int
		data   any
	}
	p, _ := cb.data.(*progress)
	if p == nil {
		p = &progress{family: 1}
	}
	var ret errno
	at := len(skb.data)
	for ; p.family <= rtnlFamMax; p.family++ {
		if p.family == 17 { // PF_PACKET
			continue
		}
		l := k.rtnlHandlers[handlerKey{p.family, int(cb.nlh.Type)}]
		if l.dumpit == nil {
			continue
		}
		cb.data, cb.args, cb.prevSeq, cb.seq = p.data, p.args, 0, 0
		ret = l.dumpit(skb, cb)
		p.data, p.args = cb.data, cb.args
		if ret != 0 {
			break
		}
		p.args, p.data = [6]int{}, nil
	}
	cb.data = p
	if len(skb.data) > at {
		return dumpMore
	}
	if ret == dumpMore {
		return 0
	}
	return ret
}

// netlinkCapable says whether a sender may do what takes a capability in a user
// namespace: the task that sends, and the one that opened the socket
// (net/netlink/af_netlink.c netlink_ns_capable).
func (k *Kernel) netlinkNsCapable(skb *skBuff, user *userNS) bool {
	return (skb.dst || skb.sk.fileNsCapable(user)) && skb.creds.task.nsCapable(user)
}

// netlinkNetCapable is for the namespace of the socket (netlink_net_capable).
func (k *Kernel) netlinkNetCapable(skb *skBuff) bool {
	return k.netlinkNsCapable(skb, skb.sk.net.user)
}

// rtnlUnicast is net/core/rtnetlink.c rtnl_unicast.
func (k *Kernel) rtnlUnicast(skb *skBuff, n *netns, portid uint32) errno {
	defer k.enter("rtnl_unicast")()
	return k.nlmsgUnicast(n.kernelSock(nlmsg.Route), skb, portid)
}

// rtnlNotify tells a group, and with NLM_F_ECHO who asked
// (net/core/rtnetlink.c rtnl_notify). h is the request, nil for none.
func (k *Kernel) rtnlNotify(skb *skBuff, n *netns, portid, group uint32, h *nlmsghdr) {
	defer k.enter("rtnl_notify")()
	k.nlmsgNotify(n.kernelSock(nlmsg.Route), skb, portid, group, h != nil && h.Flags&nlmEcho != 0)
}

// rtnetlinkSend tells a group, and who asked where echo says so
// (net/core/rtnetlink.c rtnetlink_send).
func (k *Kernel) rtnetlinkSend(skb *skBuff, n *netns, portid, group uint32, echo bool) {
	defer k.enter("rtnetlink_send")()
	sk := n.kernelSock(nlmsg.Route)
	if k.has(rtnetlinkSendNotifies) {
		k.nlmsgNotify(sk, skb, portid, group, echo)
		return
	}
	k.nlmsgMulticast(sk, skb, portid, group)
	if echo {
		k.nlmsgUnicast(sk, skb, portid)
	}
}

// rtnlSetSkErr tells all members of a group that something was lost
// (net/core/rtnetlink.c rtnl_set_sk_err).
func (k *Kernel) rtnlSetSkErr(n *netns, group uint32, e errno) {
	k.nlTable.RLock()
	defer k.nlTable.RUnlock()
	g := group - 1
	for sk := range k.protocols[nlmsg.Route].members {
		if sk.net != n || int(g/64) >= len(sk.groups) || sk.groups[g/64]>>(g%64)&1 == 0 {
			continue
		}
		sk.mu.Lock()
		if !(e == nlmsg.ENOBUFS && sk.flags&flagNoEnobufs != 0) {
			sk.err = e
			sk.ready.wake()
		}
		sk.mu.Unlock()
	}
}
