package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// rtnlGetNetNsCapable is the namespace that has an ID in another, for whoever may
// do what takes a capability there (net/core/rtnetlink.c
// rtnl_get_net_ns_capable).
func (k *Kernel) rtnlGetNetNsCapable(skb *skBuff, id int) (*netns, errno) {
	n := skb.sk.net.byID(id)
	if n == nil {
		return nil, nlmsg.EINVAL
	}
	if !k.skNsCapable(skb, n.user) {
		return nil, nlmsg.EACCES
	}
	return n, 0
}

// skNsCapable is net/core/sock.c sk_ns_capable.
func (k *Kernel) skNsCapable(skb *skBuff, user *userNS) bool {
	return skb.sk.fileNsCapable(user) && skb.creds.task.nsCapable(user)
}

// netlinkStrictGetCheck says that requests of the sender are checked strictly
// (net/netlink/af_netlink.c netlink_strict_get_check).
func (k *Kernel) netlinkStrictGetCheck(skb *skBuff) bool {
	skb.sk.mu.Lock()
	defer skb.sk.mu.Unlock()
	return skb.sk.flags&flagStrictChk != 0
}

// rtnlValidGetlinkReq is net/core/rtnetlink.c rtnl_valid_getlink_req.
func (k *Kernel) rtnlValidGetlinkReq(skb *skBuff, h *nlmsghdr, x *extAck) (attrTable, errno) {
	if len(h.payload()) < sizeofIfinfo {
		x.set("Invalid header for get link")
		return nil, nlmsg.EINVAL
	}
	if !k.netlinkStrictGetCheck(skb) {
		return nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, liberal, x)
	}
	if m := parseIfinfomsg(h.payload()); m.pad != 0 || m.typ != 0 || m.flags != 0 || m.change != 0 {
		x.set("Invalid values in header for get link request")
		return nil, nlmsg.EINVAL
	}
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	for t, a := range tb {
		if a == nil {
			continue
		}
		switch t {
		case iflaIfname, iflaAltIfname, iflaExtMask, iflaTargetNetnsid:
		default:
			x.set("Unsupported attribute in get link request")
			return nil, nlmsg.EINVAL
		}
	}
	return tb, 0
}

// rtnlDevGet finds a link by one of its names (net/core/rtnetlink.c
// rtnl_dev_get).
func (n *netns) rtnlDevGet(tb attrTable) *netDevice {
	if a := tb.get(iflaIfname); a != nil {
		return n.devGetByName(a.str())
	}
	if a := tb.get(iflaAltIfname); a != nil {
		return n.devGetByName(a.str())
	}
	return nil
}

// rtnlEnsureUniqueNetns lets a request name no more than one namespace, and that
// by its ID if byID (net/core/rtnetlink.c rtnl_ensure_unique_netns).
func rtnlEnsureUniqueNetns(tb attrTable, x *extAck, byID bool) errno {
	pid, fd, id := tb.get(iflaNetNsPid) != nil, tb.get(iflaNetNsFd) != nil, tb.get(iflaTargetNetnsid) != nil
	if byID {
		if !pid && !fd {
			return 0
		}
		x.set("specified netns attribute not supported")
		return nlmsg.EOPNOTSUPP
	}
	if id && (pid || fd) || pid && (id || fd) {
		x.set("multiple netns identifying attributes specified")
		return nlmsg.EINVAL
	}
	return 0
}

// rtnlGetlink answers with one link (net/core/rtnetlink.c rtnl_getlink).
func (k *Kernel) rtnlGetlink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_getlink")()
	tb, err := k.rtnlValidGetlinkReq(skb, h, x)
	if err != 0 {
		return err
	}
	if err := rtnlEnsureUniqueNetns(tb, x, true); err != 0 {
		return err
	}
	n := skb.sk.net
	f := fillIfinfo{typ: rtmNewlink, portid: skb.portid, seq: h.Seq, srcNet: n}
	if a := tb.get(iflaTargetNetnsid); a != nil {
		f.tgtNetnsid, f.tgtSet = int(int32(a.u32())), true
		if n, err = k.rtnlGetNetNsCapable(skb, f.tgtNetnsid); err != 0 {
			return err
		}
	}
	if a := tb.get(iflaExtMask); a != nil {
		f.mask = a.u32()
	}
	var d *netDevice
	switch m := parseIfinfomsg(h.payload()); {
	case m.index > 0:
		d = n.devGetByIndex(int(m.index))
	case tb.get(iflaIfname) != nil || tb.get(iflaAltIfname) != nil:
		d = n.rtnlDevGet(tb)
	default:
		return nlmsg.EINVAL
	}
	if d == nil {
		return nlmsg.ENODEV
	}
	ans := nlmsgNew(k.ifNlmsgSize(d, f.mask))
	if err := k.rtnlFillIfinfo(ans, d, &f); err != 0 {
		return err
	}
	return k.rtnlUnicast(ans, skb.sk.net, skb.portid)
}

// rtnlValidDumpIfinfoReq is net/core/rtnetlink.c rtnl_valid_dump_ifinfo_req.
func (k *Kernel) rtnlValidDumpIfinfoReq(h *nlmsghdr, strictly bool, x *extAck) (attrTable, errno) {
	if !strictly {
		// Those of old have a struct rtgenmsg in place of the ifinfomsg.
		size := sizeofIfinfo
		if len(h.payload()) < size {
			size = 1
		}
		return nlmsgParse(h, size, k.iflaPolicy, liberal, x)
	}
	if len(h.payload()) < sizeofIfinfo {
		x.set("Invalid header for link dump")
		return nil, nlmsg.EINVAL
	}
	m := parseIfinfomsg(h.payload())
	if m.pad != 0 || m.typ != 0 || m.flags != 0 || m.change != 0 {
		x.set("Invalid values in header for link dump request")
		return nil, nlmsg.EINVAL
	}
	if m.index != 0 {
		x.set("Filter by device index not supported for link dumps")
		return nil, nlmsg.EINVAL
	}
	return nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, deprecatedStrict, x)
}

// linkDumpFilter is which links a dump is of.
type linkDumpFilter struct {
	master int // 0 for any, -1 for those without
	kind   *rtnlLinkOps
}

// filtered is net/core/rtnetlink.c link_dump_filtered.
func (f linkDumpFilter) filtered(k *Kernel, d *netDevice) bool {
	switch {
	case f.master == 0:
	case f.master == -1 && k.has(dumpWithoutMaster):
		if d.master != nil {
			return true
		}
	case d.master == nil || d.master.index != f.master:
		return true
	}
	return f.kind != nil && d.ops != f.kind
}

// linkinfoToKindOps is net/core/rtnetlink.c linkinfo_to_kind_ops.
func (k *Kernel) linkinfoToKindOps(a *nlattr) *rtnlLinkOps {
	tb, err := nlaParseNested(a, iflaInfoPolicy, liberal, nil)
	if err != 0 || tb.get(iflaInfoKind) == nil {
		return nil
	}
	return k.rtnlLinkOpsGet(tb.get(iflaInfoKind).str())
}

// rtnlDumpIfinfo dumps links in the order of their index, of which older kernels
// take the last eight bits first (net/core/rtnetlink.c rtnl_dump_ifinfo).
func (k *Kernel) rtnlDumpIfinfo(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_dump_ifinfo")()
	n := cb.net
	f := fillIfinfo{typ: rtmNewlink, portid: cb.skb.portid, seq: cb.nlh.Seq, flags: nlmMulti, srcNet: cb.net}
	var filter linkDumpFilter
	tb, err := k.rtnlValidDumpIfinfoReq(cb.nlh, cb.strict, cb.extack)
	if err != 0 {
		if cb.strict {
			return err
		}
		tb, err = nil, 0
	}
	for t, a := range tb {
		if a == nil {
			continue
		}
		switch t {
		case iflaTargetNetnsid:
			f.tgtNetnsid, f.tgtSet = int(int32(a.u32())), true
			if n, err = k.rtnlGetNetNsCapable(cb.skb, f.tgtNetnsid); err != 0 {
				cb.extack.set("Invalid target network namespace id")
				return err
			}
		case iflaExtMask:
			f.mask = a.u32()
		case iflaMaster:
			filter.master = int(int32(a.u32()))
		case iflaLinkinfo:
			filter.kind = k.linkinfoToKindOps(a)
		default:
			if cb.strict {
				cb.extack.set("Unsupported attribute in link dump request")
				return nlmsg.EINVAL
			}
		}
	}
	if filter != (linkDumpFilter{}) {
		f.flags |= nlmFiltered
	}
	for _, d := range k.dumpOrder(n, cb.args[0]) {
		if filter.filtered(k, d) {
			continue
		}
		if err = k.rtnlFillIfinfo(skb, d, &f); err != 0 {
			break
		}
		cb.args[0] = k.dumpKey(d) + 1
	}
	cb.seq = n.state.devSeq
	cb.checkConsistent(put{skb, 0})
	if k.has(dumpByIndex) {
		return err
	}
	if err != 0 && len(skb.data) == 0 {
		return err
	}
	return dumpLen(skb)
}

// dumpKey is what dumps are in the order of: the index, or the hash chain of it and
// the place in that, of which the youngest link is first.
func (k *Kernel) dumpKey(d *netDevice) int {
	if k.has(dumpByIndex) {
		return d.index
	}
	return d.index&255<<32 | (1<<31 - d.index)
}

// dumpOrder is the links of a namespace that a dump has yet to tell.
func (k *Kernel) dumpOrder(n *netns, from int) []*netDevice {
	var l []*netDevice
	for _, d := range n.state.devs {
		if k.dumpKey(d) >= from {
			l = append(l, d)
		}
	}
	slices.SortFunc(l, func(a, b *netDevice) int { return k.dumpKey(a) - k.dumpKey(b) })
	return l
}

// rtnlCalcit is how much room a dump of links needs at least in a datagram
// (net/core/rtnetlink.c rtnl_calcit).
func (k *Kernel) rtnlCalcit(skb *skBuff, h *nlmsghdr) int {
	defer k.enter("rtnl_calcit")()
	size := sizeofIfinfo
	if len(h.payload()) < size {
		size = 1
	}
	mask := uint32(0)
	if tb, err := nlmsgParse(h, size, k.iflaPolicy, liberal, nil); err == 0 && tb.get(iflaExtMask) != nil {
		mask = tb.get(iflaExtMask).u32()
	}
	if mask == 0 {
		return goodSize
	}
	least := 0
	for _, d := range skb.sk.net.state.devs {
		least = max(least, k.ifNlmsgSize(d, mask))
	}
	return nlmsg.Align(nlmsg.HeaderLen + least)
}
