package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// genlHdrlen is GENL_HDRLEN.
const genlHdrlen = 4

// genlCtrlID is GENL_ID_CTRL, the controller's family and group.
const genlCtrlID = 16

// Flags of an operation (include/uapi/linux/genetlink.h GENL_*).
const (
	genlAdminPerm      = 0x01
	genlCapDo          = 0x02
	genlCapDump        = 0x04
	genlCapHaspol      = 0x08
	genlUnsAdminPerm   = 0x10
	genlDontStrict     = 0x100 // validate: GENL_DONT_VALIDATE_STRICT
	genlDontDump       = 0x200 // GENL_DONT_VALIDATE_DUMP
	genlDontDumpStrict = 0x400 // GENL_DONT_VALIDATE_DUMP_STRICT
)

// genlOp is an operation of a family (include/net/genetlink.h struct genl_ops).
// Each of doit and dumpit may have a policy of its own.
type genlOp struct {
	cmd   uint8
	flags uint32
	// doit answers; nil for none.
	doit func(skb *skBuff, i *genlInfo) errno
	// start is called before the first dumpit; nil for nothing to do.
	start  func(*netlinkCallback) errno
	dumpit dumpit
	done   func(*netlinkCallback)
	// policy is the family's where it is nil.
	policy, dumpPolicy policy
}

// genlGroup is a multicast group of a family.
type genlGroup struct {
	name  string
	flags uint8 // GENL_MCAST_CAP_NET_ADMIN, ...
	id    uint32
}

// genlFamily is include/net/genetlink.h struct genl_family.
type genlFamily struct {
	id        uint16
	name      string
	hdrsize   uint32
	version   uint32
	policy    policy
	maxattr   uint32 // where there is no policy
	netnsok   bool
	parallel  bool // parallel_ops
	resvStart uint8
	ops       []genlOp
	groups    []genlGroup
}

// genlInfo is what an operation gets (include/net/genetlink.h struct genl_info).
type genlInfo struct {
	k      *Kernel
	net    *netns
	portid uint32
	nlh    *nlmsghdr
	cmd    uint8
	ver    uint8
	attrs  attrTable
	extack *extAck
	family *genlFamily
}

// genlInit is net/netlink/genetlink.c genl_init.
func (k *Kernel) genlInit() {
	defer k.enter("genl_init")()
	k.genlGroup = genlCtrlID + 1
	k.genlRegisterFamilyWithOpsGroups(k.genlCtrl())
	k.registerPernetSubsys(pernetOperations{"genetlink", k.genlPernetInit, k.genlPernetExit})
}

// genlPernetInit is net/netlink/genetlink.c genl_pernet_init.
func (k *Kernel) genlPernetInit(n *netns) errno {
	defer k.enter("genl_pernet_init")()
	groups := k.genlGroup
	if k.netlinkKernelCreate(n, nlmsg.Generic, netlinkKernelCfg{groups: groups, input: k.genlRcv, flags: cfgNonrootRecv,
		bind: k.genlBind, unbind: k.genlUnbind}) == nil {
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
		for f.id = genlCtrlID + 1; k.families[f.id] != nil; f.id++ {
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

// genlBind asks whether a group may be joined (net/netlink/genetlink.c
// genl_bind).
func (k *Kernel) genlBind(n *netns, group uint32) errno {
	defer k.enter("genl_bind")()
	k.cbLock.RLock()
	defer k.cbLock.RUnlock()
	for _, f := range k.families {
		for _, g := range f.groups {
			if g.id != group {
				continue
			}
			if !f.netnsok && n != k.initNet {
				return 0
			}
			return 0
		}
	}
	if k.has(genlBindUnknown) {
		return 0
	}
	return nlmsg.ENOENT
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
	cmd, ver := h.payload()[0], h.payload()[1]
	if err := k.genlHeaderCheck(f, h, cmd, x); err != 0 {
		return err
	}
	dump := h.Flags&nlmDump == nlmDump
	op := f.op(cmd, dump)
	if op == nil {
		return nlmsg.EOPNOTSUPP
	}
	if op.flags&genlAdminPerm != 0 && !k.netlinkNsCapable(skb, k.init.user) {
		return nlmsg.EPERM
	}
	if op.flags&genlUnsAdminPerm != 0 && !k.netlinkNsCapable(skb, n.user) {
		return nlmsg.EPERM
	}
	if dump {
		return k.genlFamilyRcvMsgDumpit(f, op, skb, h, hdrlen, x)
	}
	tb, err := nlmsgParse(h, hdrlen, op.policyOf(f, false), op.strictness(false), x)
	if err != 0 {
		return err
	}
	return op.doit(skb, &genlInfo{k, n, skb.portid, h, cmd, ver, tb, x, f})
}

// op finds the operation of a command that can do, or dump (genl_get_cmd).
func (f *genlFamily) op(cmd uint8, dump bool) *genlOp {
	for i := range f.ops {
		o := &f.ops[i]
		if o.cmd == cmd && (dump && o.dumpit != nil || !dump && o.doit != nil) {
			return o
		}
	}
	return nil
}

func (o *genlOp) policyOf(f *genlFamily, dump bool) policy {
	switch {
	case dump && o.dumpPolicy != nil:
		return o.dumpPolicy
	case o.policy != nil:
		return o.policy
	}
	return f.policy
}

func (o *genlOp) strictness(dump bool) strictness {
	if o.flags&genlDontStrict != 0 || dump && o.flags&genlDontDumpStrict != 0 {
		return liberal
	}
	return strict
}

// genlFamilyRcvMsgDumpit starts a dump. The lock is given back meanwhile, as a
// dump's own lock comes before it (net/netlink/genetlink.c
// genl_family_rcv_msg_dumpit).
func (k *Kernel) genlFamilyRcvMsgDumpit(f *genlFamily, op *genlOp, skb *skBuff, h *nlmsghdr, hdrlen int, x *extAck) errno {
	var tb attrTable
	if op.flags&genlDontDump == 0 {
		var err errno
		if tb, err = nlmsgParse(h, hdrlen, op.policyOf(f, true), op.strictness(true), x); err != 0 {
			return err
		}
	}
	if !f.parallel {
		k.genlUnlock()
		defer k.genlLock()
	}
	info := &genlInfo{k: k, net: skb.sk.net, portid: skb.portid, nlh: h, attrs: tb, family: f}
	locked := func(g func() errno) errno {
		if !f.parallel {
			k.genlLock()
			defer k.genlUnlock()
		}
		return g()
	}
	c := &netlinkDumpControl{data: info, dump: func(skb *skBuff, cb *netlinkCallback) errno {
		return locked(func() errno { return op.dumpit(skb, cb) })
	}}
	if op.start != nil {
		c.start = func(cb *netlinkCallback) errno { return locked(func() errno { return op.start(cb) }) }
	}
	if op.done != nil {
		c.done = func(cb *netlinkCallback) { locked(func() errno { op.done(cb); return 0 }) }
	}
	return k.netlinkDumpStart(skb.sk.net.kernelSock(nlmsg.Generic), skb, h, c, x)
}

// genlHeaderCheck looks at what commands ask that were added since anybody looks
// (net/netlink/genetlink.c genl_header_check).
func (k *Kernel) genlHeaderCheck(f *genlFamily, h *nlmsghdr, cmd uint8, x *extAck) errno {
	if f.resvStart == 0 || cmd < f.resvStart || !k.has(genlChecksHeader) {
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
