package emulated

import (
	"maps"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Message types and attributes of the numbers that namespaces have for each other
// (include/uapi/linux/net_namespace.h).
const (
	rtmNewnsid = 88
	rtmDelnsid = 89
	rtmGetnsid = 90

	rtnlgrpNsid = 28

	netnsaNsid        = 1
	netnsaPid         = 2
	netnsaFd          = 3
	netnsaTargetNsid  = 4
	netnsaCurrentNsid = 5

	nsidNotAssigned = -1
)

var rtnlNetPolicy = policy{
	netnsaNsid:        {typ: nlaS32},
	netnsaPid:         {typ: nlaU32},
	netnsaFd:          {typ: nlaU32},
	netnsaTargetNsid:  {typ: nlaS32},
	netnsaCurrentNsid: {},
}

const sizeofRtgenmsg = 1

// netNsInit is net/core/net_namespace.c net_ns_init.
func (k *Kernel) netNsInit() {
	k.rtnlRegister(pfUnspec, rtmNewnsid, k.rtnlNetNewid, nil, rtnlDoitUnlocked)
	k.rtnlRegister(pfUnspec, rtmGetnsid, k.rtnlNetGetid, k.rtnlNetDumpid, rtnlDoitUnlocked)
}

// byPid is the namespace of a process (net/core/net_namespace.c
// get_net_ns_by_pid).
func (t *task) byPid(pid uint32) (*netns, errno) {
	switch {
	case pid == 1:
		return t.k.initNet, 0
	case pid == t.pid && t.net != nil:
		return t.net, 0
	}
	return nil, nlmsg.ESRCH
}

// byID is the namespace that n has a number for (net/core/net_namespace.c
// get_net_ns_by_id).
func (n *netns) byID(id int) *netns {
	n.ids.Lock()
	defer n.ids.Unlock()
	return n.peers[id]
}

// allocNetid gives a peer a number, any that is free where want is negative
// (net/core/net_namespace.c alloc_netid).
func (n *netns) allocNetid(peer *netns, want int) (id int, err errno) {
	n.ids.Lock()
	defer n.ids.Unlock()
	if n.peers == nil {
		return 0, nlmsg.ENOSPC
	}
	if want >= 0 {
		if n.peers[want] != nil {
			return 0, nlmsg.ENOSPC
		}
		n.peers[want] = peer
		return want, 0
	}
	for n.peers[id] != nil {
		id++
	}
	n.peers[id] = peer
	return id, 0
}

// peernet2id is the number of a peer, -1 where it has none
// (net/core/net_namespace.c peernet2id).
func (n *netns) peernet2id(peer *netns) int {
	if id, ok := n.peer2id(peer); ok {
		return id
	}
	return nsidNotAssigned
}

// peernet2idAlloc is the number of a peer, which is given one where it has none
// (net/core/net_namespace.c peernet2id_alloc).
func (n *netns) peernet2idAlloc(peer *netns) int {
	if n.gone() || peer.gone() {
		return nsidNotAssigned
	}
	if id, ok := n.peer2id(peer); ok {
		return id
	}
	id, err := n.allocNetid(peer, -1)
	if err != 0 {
		return nsidNotAssigned
	}
	n.k.rtnlNetNotifyid(n, rtmNewnsid, id, 0, nil)
	return id
}

// gone says that the namespace is being taken down.
func (n *netns) gone() bool {
	n.ids.Lock()
	defer n.ids.Unlock()
	return n.peers == nil
}

// unhashNsid has all others forget the number of a namespace that goes, and tell
// (net/core/net_namespace.c unhash_nsid).
func (k *Kernel) unhashNsid(gone *netns) {
	k.nets.Lock()
	delete(k.allNets, gone)
	others := slices.SortedFunc(maps.Keys(k.allNets), func(a, b *netns) int { return a.ino - b.ino })
	k.nets.Unlock()
	for _, n := range others {
		n.ids.Lock()
		id := nsidNotAssigned
		for i, p := range n.peers {
			if p == gone {
				id = i
				delete(n.peers, i)
			}
		}
		n.ids.Unlock()
		if id >= 0 {
			k.rtnlNetNotifyid(n, rtmDelnsid, id, 0, nil)
		}
	}
	gone.ids.Lock()
	gone.peers = nil
	gone.ids.Unlock()
}

// rtnlNetNotifyid is net/core/net_namespace.c rtnl_net_notifyid.
func (k *Kernel) rtnlNetNotifyid(n *netns, cmd uint16, id int, portid uint32, h *nlmsghdr) {
	seq := uint32(0)
	if h != nil {
		seq = h.Seq
	}
	skb := nlmsgNew(rtnlNetGetSize)
	rtnlNetFill(skb, netFill{portid: portid, seq: seq, cmd: cmd, nsid: id})
	k.rtnlNotify(skb, n, portid, rtnlgrpNsid, h)
}

// rtnlNetGetSize is rtnl_net_get_size.
const rtnlNetGetSize = 4 + 8 + 8

// netFill is what a message says (net/core/net_namespace.c struct net_fill_args).
type netFill struct {
	portid, seq uint32
	flags, cmd  uint16
	nsid        int
	addRef      bool
	refNsid     int
}

// rtnlNetFill is net/core/net_namespace.c rtnl_net_fill.
func rtnlNetFill(skb *skBuff, f netFill) errno {
	p := skb.nlmsgPut(f.portid, f.seq, f.cmd, f.flags, make([]byte, sizeofRtgenmsg))
	skb.nlaPutU32(netnsaNsid, uint32(f.nsid))
	if f.addRef {
		skb.nlaPutU32(netnsaCurrentNsid, uint32(f.refNsid))
	}
	return p.end()
}

// rtnlNetPeer is the namespace that NETNSA_PID, NETNSA_FD or, where ids is set,
// NETNSA_NSID names.
func (k *Kernel) rtnlNetPeer(skb *skBuff, tb attrTable, ids bool, x *extAck) (peer *netns, a *nlattr, err errno) {
	t := skb.creds.task
	switch {
	case tb[netnsaPid] != nil:
		a = tb[netnsaPid]
		peer, err = t.byPid(a.u32())
	case tb[netnsaFd] != nil:
		a = tb[netnsaFd]
		peer, err = t.byFd(int(a.u32()))
	case ids && tb[netnsaNsid] != nil:
		a = tb[netnsaNsid]
		if peer = skb.sk.net.byID(int(int32(a.u32()))); peer == nil {
			err = nlmsg.ENOENT
		}
	default:
		x.set("Peer netns reference is missing")
		return nil, nil, nlmsg.EINVAL
	}
	if err != 0 {
		x.setAttr(a, "Peer netns reference is invalid")
	}
	return peer, a, err
}

// rtnlNetNewid is net/core/net_namespace.c rtnl_net_newid.
func (k *Kernel) rtnlNetNewid(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_net_newid")()
	n := skb.sk.net
	tb, err := nlmsgParse(h, sizeofRtgenmsg, rtnlNetPolicy, liberal, x)
	if err != 0 {
		return err
	}
	if tb[netnsaNsid] == nil {
		x.set("nsid is missing")
		return nlmsg.EINVAL
	}
	want := int(int32(tb[netnsaNsid].u32()))
	peer, a, err := k.rtnlNetPeer(skb, tb, false, x)
	if err != 0 {
		return err
	}
	if n.peernet2id(peer) >= 0 {
		x.setAttr(a, "Peer netns already has a nsid assigned")
		return nlmsg.EEXIST
	}
	id, err := n.allocNetid(peer, want)
	switch {
	case err == nlmsg.ENOSPC && want >= 0:
		x.setAttr(tb[netnsaNsid], "The specified nsid is already used")
		return nlmsg.EEXIST
	case err != 0:
		return err
	}
	k.rtnlNetNotifyid(n, rtmNewnsid, id, skb.portid, h)
	return 0
}

// rtnlNetGetid is net/core/net_namespace.c rtnl_net_getid.
func (k *Kernel) rtnlNetGetid(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_net_getid")()
	n := skb.sk.net
	tb, err := k.rtnlNetValidGetidReq(skb, h, x)
	if err != 0 {
		return err
	}
	peer, _, err := k.rtnlNetPeer(skb, tb, true, x)
	if err != 0 {
		return err
	}
	f := netFill{portid: skb.portid, seq: h.Seq, cmd: rtmNewnsid}
	target := n
	if a := tb[netnsaTargetNsid]; a != nil {
		if target, err = k.rtnlGetNetNsCapable(skb, int(int32(a.u32()))); err != 0 {
			x.setAttr(a, "Target netns reference is invalid")
			return err
		}
		f.addRef, f.refNsid = true, n.peernet2id(peer)
	}
	f.nsid = target.peernet2id(peer)
	msg := nlmsgNew(rtnlNetGetSize)
	if err := rtnlNetFill(msg, f); err != 0 {
		return err
	}
	return k.rtnlUnicast(msg, n, skb.portid)
}

// rtnlNetValidGetidReq is net/core/net_namespace.c rtnl_net_valid_getid_req.
func (k *Kernel) rtnlNetValidGetidReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	if !k.netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, sizeofRtgenmsg, rtnlNetPolicy, liberal, x)
	}
	tb, err := nlmsgParse(h, sizeofRtgenmsg, rtnlNetPolicy, deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	if tb[netnsaCurrentNsid] != nil {
		x.set("Unsupported attribute in peer netns getid request")
		return nil, nlmsg.EINVAL
	}
	return tb, 0
}

// rtnlNetDumpid is net/core/net_namespace.c rtnl_net_dumpid.
func (k *Kernel) rtnlNetDumpid(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_net_dumpid")()
	n, f := cb.net, netFill{portid: cb.skb.portid, seq: cb.nlh.Seq, flags: nlmMulti, cmd: rtmNewnsid}
	if cb.strict {
		tb, err := nlmsgParse(cb.nlh, sizeofRtgenmsg, rtnlNetPolicy, deprecatedStrict, cb.extack)
		if err != 0 {
			return err
		}
		for t, a := range tb {
			if a == nil {
				continue
			}
			if t != netnsaTargetNsid {
				cb.extack.setAttr(a, "Unsupported attribute in dump request")
				return nlmsg.EINVAL
			}
			if n, err = k.rtnlGetNetNsCapable(cb.skb, int(int32(a.u32()))); err != 0 {
				cb.extack.setAttr(a, "Invalid target network namespace id")
				return err
			}
			f.addRef = true
		}
	}
	n.ids.Lock()
	peers := maps.Clone(n.peers)
	n.ids.Unlock()
	ids := slices.Sorted(maps.Keys(peers))
	for i := cb.args[0]; i < len(ids); i++ {
		f.nsid = ids[i]
		if f.addRef {
			f.refNsid = cb.net.peernet2id(peers[ids[i]])
		}
		if err := rtnlNetFill(skb, f); err != 0 {
			if k.has(nsidDumpEnds) {
				return err
			}
			break
		}
		cb.args[0] = i + 1
	}
	if k.has(nsidDumpEnds) {
		return 0
	}
	return dumpLen(skb)
}
