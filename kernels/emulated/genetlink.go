package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// genlHdrlen is GENL_HDRLEN.
const genlHdrlen = 4

// IDs of families and groups: the controller's of both (GENL_ID_CTRL), the first that
// a family is given (GENL_START_ALLOC), the first that a group is given, and how
// many groups there are (net/netlink/genetlink.c mc_groups).
const (
	genlCtrlID      = 16
	genlFirstFamily = 19
	genlFirstGroup  = 2
	genlGroups      = 64
)

// genlNamsiz is GENL_NAMSIZ.
const genlNamsiz = 16

// Flags of an operation, of which GENL_UNS_ADMIN_PERM is one of groups, too
// (include/uapi/linux/genetlink.h GENL_*).
const (
	genlAdminPerm    = 0x01
	genlCapDo        = 0x02
	genlCapDump      = 0x04
	genlCapHaspol    = 0x08
	genlUnsAdminPerm = 0x10
)

// What is not validated of an operation's attributes (include/net/genetlink.h enum
// genl_validate_flags).
const (
	genlDontStrict = 1 << iota
	genlDontDump
)

// genlOp is an operation of a family (include/net/genetlink.h struct genl_ops). It
// has a doit or a dumpit where flags say so; one that is nil is not emulated, but for a
// dump of nothing.
type genlOp struct {
	cmd      uint8
	flags    uint32
	validate uint8
	policy   policy
	doit     func(skb *skBuff, i *genlInfo) errno
	start    func(*netlinkCallback) errno // before the first dumpit; nil for nothing to do
	dumpit   dumpit
	nothing  bool // there is nothing that it would dump
}

// genlGroup is a multicast group of a family.
type genlGroup struct {
	name  string
	flags uint8
	id    uint32
}

// genlFamily is include/net/genetlink.h struct genl_family.
type genlFamily struct {
	id        uint16
	name      string
	hdrsize   uint32
	version   uint32
	maxattr   uint32
	netnsok   bool  // all namespaces have it
	parallel  bool  // parallel_ops
	resvStart uint8 // the first command whose header is looked at: resv_start_op
	ops       []genlOp
	groups    []genlGroup
}

// genlInfo is what an operation gets (include/net/genetlink.h struct genl_info).
type genlInfo struct {
	net    *netns
	portid uint32
	nlh    *nlmsghdr
	attrs  attrTable
	extack *extAck
}

// genlInit is net/netlink/genetlink.c genl_init.
func (k *Kernel) genlInit() {
	defer k.enter("genl_init")()
	k.genlGroup = genlFirstGroup
	k.genlRegisterFamilyWithOpsGroups(k.genlCtrl())
	k.registerPernetSubsys(pernetOperations{"genetlink", k.genlPernetInit, k.genlPernetExit})
}

// genlPernetInit is net/netlink/genetlink.c genl_pernet_init.
func (k *Kernel) genlPernetInit(n *netns) errno {
	defer k.enter("genl_pernet_init")()
	cfg := netlinkKernelCfg{groups: genlGroups, input: k.genlRcv, flags: cfgNonrootRecv}
	if k.has(genlBindChecks) {
		cfg.bind, cfg.unbind = k.genlBind, k.genlUnbind
	}
	if k.netlinkKernelCreate(n, nlmsg.Generic, cfg) == nil {
		return nlmsg.ENOMEM
	}
	return 0
}

// genlPernetExit is net/netlink/genetlink.c genl_pernet_exit.
func (k *Kernel) genlPernetExit(*netns) { defer k.enter("genl_pernet_exit")() }

// genlRegisterFamilyWithOpsGroups is genl_register_family_with_ops_groups of older
// kernels.
func (k *Kernel) genlRegisterFamilyWithOpsGroups(f *genlFamily) {
	defer k.enter("genl_register_family_with_ops_groups")()
	k.genlRegisterFamily(f)
}

// genlRegisterFamily gives a family its ID and its groups theirs, unless it has
// them (net/netlink/genetlink.c genl_register_family). It panics where the name is
// taken.
func (k *Kernel) genlRegisterFamily(f *genlFamily) {
	defer k.enter("genl_register_family")()
	k.cbLock.Lock()
	defer k.cbLock.Unlock()
	if k.genlFamilyFindByname(f.name) != nil {
		panic("emulated: generic netlink family " + f.name + " is registered twice")
	}
	if f.id == 0 {
		for f.id = genlFirstFamily; k.families[f.id] != nil; f.id++ {
		}
	}
	if k.families[f.id] != nil {
		panic("emulated: generic netlink family " + f.name + ": its ID is taken")
	}
	for i := range f.groups {
		if f.groups[i].id == 0 {
			f.groups[i].id = k.genlGroup
			k.genlGroup++
		}
	}
	k.families[f.id] = f
}

// genlFamilyFindByid is net/netlink/genetlink.c genl_family_find_byid; cb_lock is
// held.
func (k *Kernel) genlFamilyFindByid(id uint16) *genlFamily {
	defer k.enter("genl_family_find_byid")()
	return k.families[id]
}

// genlFamilyFindByname is net/netlink/genetlink.c genl_family_find_byname.
func (k *Kernel) genlFamilyFindByname(name string) *genlFamily {
	for _, f := range k.families {
		if f.name == name {
			return f
		}
	}
	return nil
}

// sortedFamilies are all, by their ID.
func (k *Kernel) sortedFamilies() []*genlFamily {
	var all []*genlFamily
	for _, f := range k.families {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *genlFamily) int { return int(a.id) - int(b.id) })
	return all
}

// genlBind asks whether a group may be joined, which groups of nobody may
// (net/netlink/genetlink.c genl_bind).
func (k *Kernel) genlBind(t *task, n *netns, group uint32) errno {
	defer k.enter("genl_bind")()
	k.cbLock.RLock()
	defer k.cbLock.RUnlock()
	for _, f := range k.families {
		for _, g := range f.groups {
			if g.id == group && g.flags&genlUnsAdminPerm != 0 && !t.nsCapable(n.user) {
				return nlmsg.EPERM
			}
		}
	}
	return 0
}

// genlUnbind hears that a group was left (net/netlink/genetlink.c genl_unbind).
func (k *Kernel) genlUnbind(*netns, uint32) { defer k.enter("genl_unbind")() }

// genlRcv is net/netlink/genetlink.c genl_rcv.
func (k *Kernel) genlRcv(skb *skBuff) {
	defer k.enter("genl_rcv")()
	k.cbLock.RLock()
	defer k.cbLock.RUnlock()
	k.netlinkRcvSkb(skb, k.genlRcvMsg)
}

// genlLock is net/netlink/genetlink.c genl_lock, genlUnlock is genl_unlock.
func (k *Kernel) genlLock() {
	defer k.enter("genl_lock")()
	k.genlMutex.Lock()
}

func (k *Kernel) genlUnlock() {
	defer k.enter("genl_unlock")()
	k.genlMutex.Unlock()
}

// genlRcvMsg runs one operation at a time of families that are not parallel
// (net/netlink/genetlink.c genl_rcv_msg).
func (k *Kernel) genlRcvMsg(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("genl_rcv_msg")()
	f := k.genlFamilyFindByid(h.Type)
	if f == nil {
		return nlmsg.ENOENT
	}
	if !f.parallel {
		k.genlLock()
		defer k.genlUnlock()
	}
	return k.genlFamilyRcvMsg(f, skb, h, x)
}

// genlFamilyRcvMsg is net/netlink/genetlink.c genl_family_rcv_msg.
func (k *Kernel) genlFamilyRcvMsg(f *genlFamily, skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("genl_family_rcv_msg")()
	n := skb.sk.net
	if !f.netnsok && n != k.initNet {
		return nlmsg.ENOENT
	}
	hdrlen := genlHdrlen + int(f.hdrsize)
	if len(h.payload()) < hdrlen {
		return nlmsg.EINVAL
	}
	cmd := h.payload()[0]
	if err := k.genlHeaderCheck(f, h, cmd, x); err != 0 {
		return err
	}
	need := uint32(genlCapDo)
	if h.Flags&nlmDump == nlmDump {
		need = genlCapDump
	}
	at := opIndex(f.ops, cmd)
	if at < 0 || f.ops[at].flags&need == 0 && k.has(genlSplitOps) {
		return nlmsg.EOPNOTSUPP
	}
	op := &f.ops[at]
	if op.flags&genlAdminPerm != 0 && !k.netlinkNsCapable(skb, k.init.user) {
		return nlmsg.EPERM
	}
	if op.flags&genlUnsAdminPerm != 0 && !k.netlinkNsCapable(skb, n.user) {
		return nlmsg.EPERM
	}
	info := &genlInfo{net: n, portid: skb.portid, nlh: h, extack: x}
	switch {
	case op.flags&need == 0:
		return nlmsg.EOPNOTSUPP
	case need == genlCapDump:
		return k.genlFamilyRcvMsgDumpit(f, op, skb, hdrlen, info)
	case op.doit == nil:
		return notEmulated(x)
	}
	var err errno
	s := strict
	if op.validate&genlDontStrict != 0 {
		s = liberal
	}
	if info.attrs, err = nlmsgParse(h, hdrlen, op.policy, s, x); err != 0 {
		return err
	}
	return op.doit(skb, info)
}

// notEmulated is the answer to what the real kernel can do and this one can not. No
// real kernel gives this error.
func notEmulated(x *extAck) errno {
	x.set("emulated: this operation is not emulated")
	return nlmsg.ENOSYS
}

// opIndex is where the operation of a command is, -1 for nowhere.
func opIndex(ops []genlOp, cmd uint8) int {
	return slices.IndexFunc(ops, func(o genlOp) bool { return o.cmd == cmd })
}

// genlFamilyRcvMsgDumpit starts a dump. The lock is given back meanwhile, as a
// dump's own lock comes before it (net/netlink/genetlink.c
// genl_family_rcv_msg_dumpit).
func (k *Kernel) genlFamilyRcvMsgDumpit(f *genlFamily, op *genlOp, skb *skBuff, hdrlen int, info *genlInfo) errno {
	dumpit := op.dumpit
	if dumpit == nil {
		// What attributes would have to be is not known.
		if !op.nothing || len(info.nlh.attrs(hdrlen)) > 0 {
			return notEmulated(info.extack)
		}
		dumpit = func(*skBuff, *netlinkCallback) errno { return 0 }
	}
	if op.validate&genlDontDump == 0 {
		var err errno
		if info.attrs, err = nlmsgParse(info.nlh, hdrlen, op.policy, strict, info.extack); err != 0 {
			return err
		}
	}
	if !f.parallel {
		k.genlUnlock()
		defer k.genlLock()
	}
	c := &netlinkDumpControl{data: info, dump: func(skb *skBuff, cb *netlinkCallback) errno {
		defer k.genlLockUnless(f.parallel)()
		return dumpit(skb, cb)
	}}
	if op.start != nil {
		c.start = func(cb *netlinkCallback) errno {
			defer k.genlLockUnless(f.parallel)()
			return op.start(cb)
		}
	}
	return k.netlinkDumpStart(skb.sk.net.kernelSock(nlmsg.Generic), skb, info.nlh, c, info.extack)
}

// genlLockUnless locks what one operation at a time may do, unless the family is
// parallel, and returns what unlocks it.
func (k *Kernel) genlLockUnless(parallel bool) func() {
	if parallel {
		return func() {}
	}
	k.genlLock()
	return k.genlUnlock
}

// genlHeaderCheck looks at what commands ask that were added since anybody looks
// (net/netlink/genetlink.c genl_header_check).
func (k *Kernel) genlHeaderCheck(f *genlFamily, h *nlmsghdr, cmd uint8, x *extAck) errno {
	if cmd < f.resvStart || !k.has(genlChecksHeader) {
		return 0
	}
	if native.Uint16(h.payload()[2:]) != 0 {
		x.set("genlmsghdr.reserved field is not 0")
		return nlmsg.EINVAL
	}
	flags := h.Flags
	if flags&nlmDump == nlmDump {
		flags &^= nlmDump
	}
	if flags&^(nlmRequest|nlmAck|nlmEcho) != 0 {
		x.set("ambiguous or reserved bits set in nlmsg_flags")
		return nlmsg.EINVAL
	}
	return 0
}

// genlPut begins a message of a family (net/netlink/genetlink.c genlmsg_put).
func genlPut(skb *skBuff, portid, seq uint32, f *genlFamily, flags uint16, cmd uint8) put {
	return skb.nlmsgPut(portid, seq, f.id, flags, []byte{cmd, uint8(f.version), 0, 0})
}

// genlReply sends an answer (include/net/genetlink.h genlmsg_reply).
func (k *Kernel) genlReply(skb *skBuff, i *genlInfo) errno {
	return k.nlmsgUnicast(i.net.kernelSock(nlmsg.Generic), skb, i.portid)
}
