package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

const (
	rtmNewstats = 92
	rtmGetstats = 94
	rtmSetstats = 95

	rtnlgrpStats = 36
)

// Attributes of RTM_NEWSTATS, of which each has its bit in a filter_mask, of a
// request, and of IFLA_STATS_LINK_OFFLOAD_XSTATS (include/uapi/linux/if_link.h).
const (
	iflaStatsLink64 = 1 + iota
	iflaStatsLinkXstats
	iflaStatsLinkXstatsSlave
	iflaStatsLinkOffloadXstats
	iflaStatsAfSpec
	iflaStatsMax = iflaStatsAfSpec

	iflaStatsGetFilters          = 1
	iflaStatsSetOffloadXstatsL3  = 2
	iflaOffloadXstatsCPUHit      = 1
	iflaOffloadXstatsHwSInfo     = 2
	iflaOffloadXstatsL3Stats     = 3
	iflaOffloadXstatsInfoRequest = 1
	iflaOffloadXstatsInfoUsed    = 2
)

const (
	sizeofIfStatsMsg = 12 // struct if_stats_msg
	sizeofHwStats64  = 72 // struct rtnl_hw_stats64
)

func statsBit(attr int) uint32 { return 1 << (attr - 1) }

// statsFilters are the statistics that are asked for: the filter_mask, and one for
// what is in each attribute (net/core/rtnetlink.c struct rtnl_stats_dump_filters).
type statsFilters [iflaStatsMax + 1]uint32

// Policies of a request (net/core/rtnetlink.c rtnl_stats_get_policy,
// rtnl_stats_get_policy_filters, ifla_stats_set_policy).
var (
	statsGetFiltersPolicy = policy{
		iflaStatsLinkOffloadXstats: {typ: nlaU32, check: validateMask, mask: uint64(statsBit(iflaOffloadXstatsCPUHit) |
			statsBit(iflaOffloadXstatsHwSInfo) | statsBit(iflaOffloadXstatsL3Stats))},
		iflaStatsMax: {},
	}
	statsGetPolicy = policy{
		iflaStatsGetFilters:         {typ: nlaNested, nested: statsGetFiltersPolicy},
		iflaStatsSetOffloadXstatsL3: {},
	}
	statsSetPolicy = policy{iflaStatsSetOffloadXstatsL3: {typ: nlaU8, check: validateMax, max: 1}}
)

// ifStatsMsg is the fixed header (struct if_stats_msg).
type ifStatsMsg struct {
	family, pad1 uint8
	pad2         uint16
	ifindex      uint32
	filterMask   uint32
}

// parseIfStatsMsg reads a header that rtnlValidStatsReq has found there.
func parseIfStatsMsg(b []byte) ifStatsMsg {
	return ifStatsMsg{b[0], b[1], native.Uint16(b[2:]), native.Uint32(b[4:]), native.Uint32(b[8:])}
}

// rtnlRegisterStats is what rtnetlink_init registers for statistics.
func (k *Kernel) rtnlRegisterStats() {
	k.rtnlRegister(pfUnspec, rtmGetstats, k.rtnlStatsGet, k.rtnlStatsDump, 0)
	if k.has(statsFilterAttrs) {
		k.rtnlRegister(pfUnspec, rtmSetstats, k.rtnlStatsSet, nil, 0)
	}
}

// rtnlValidStatsReq is net/core/rtnetlink.c rtnl_valid_stats_req.
func (k *Kernel) rtnlValidStatsReq(h *nlmsghdr, strictly, dump bool, x *extAck) errno {
	if len(h.payload()) < sizeofIfStatsMsg {
		x.set("Invalid header for stats dump")
		return nlmsg.EINVAL
	}
	if !strictly {
		return 0
	}
	m := parseIfStatsMsg(h.payload())
	switch {
	case m.pad1 != 0 || m.pad2 != 0 || dump && m.ifindex != 0:
		x.set("Invalid values in header for stats dump request")
	case !k.has(statsFilterAttrs) && len(h.attrs(sizeofIfStatsMsg)) > 0:
		x.set("Invalid attributes after stats header")
	case m.filterMask >= statsBit(iflaStatsMax+1):
		x.set("Invalid stats requested through filter mask")
	default:
		return 0
	}
	return nlmsg.EINVAL
}

// rtnlStatsGetParse is net/core/rtnetlink.c rtnl_stats_get_parse.
func (k *Kernel) rtnlStatsGetParse(h *nlmsghdr, mask uint32, x *extAck) (f statsFilters, err errno) {
	for i := range f {
		f[i] = ^uint32(0)
	}
	f[0] = mask
	if !k.has(statsFilterAttrs) {
		return f, 0
	}
	tb, err := nlmsgParse(h, sizeofIfStatsMsg, statsGetPolicy, strict, x)
	if err != 0 {
		return f, err
	}
	if a := tb.get(iflaStatsGetFilters); a != nil {
		tb, err := nlaParseNested(a, statsGetFiltersPolicy, strict, x)
		if err != 0 {
			return f, err
		}
		for t, a := range tb {
			if a != nil {
				f[t] = a.u32()
			}
		}
	}
	return f, 0
}

// rtnlStatsGet answers with the statistics of one link (net/core/rtnetlink.c
// rtnl_stats_get).
func (k *Kernel) rtnlStatsGet(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_stats_get")()
	if err := k.rtnlValidStatsReq(h, k.netlinkStrictGetCheck(skb), false, x); err != 0 {
		return err
	}
	n, m := skb.sk.net, parseIfStatsMsg(h.payload())
	if m.ifindex == 0 {
		return nlmsg.EINVAL
	}
	d := n.devGetByIndex(int(m.ifindex))
	if d == nil {
		return nlmsg.ENODEV
	}
	if m.filterMask == 0 {
		if k.has(statsGetMessage) {
			x.set("Filter mask must be set for stats get")
		}
		return nlmsg.EINVAL
	}
	f, err := k.rtnlStatsGetParse(h, m.filterMask, x)
	if err != 0 {
		return err
	}
	ans := nlmsgNew(k.ifNlmsgStatsSize(d, &f))
	if err := k.rtnlFillStatsinfo(ans, d, skb.portid, h.Seq, 0, &f); err != 0 {
		return err
	}
	return k.rtnlUnicast(ans, n, skb.portid)
}

// rtnlStatsDump is net/core/rtnetlink.c rtnl_stats_dump.
func (k *Kernel) rtnlStatsDump(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_stats_dump")()
	if err := k.rtnlValidStatsReq(cb.nlh, cb.strict, true, cb.extack); err != 0 {
		return err
	}
	m := parseIfStatsMsg(cb.nlh.payload())
	if m.filterMask == 0 {
		cb.extack.set("Filter mask must be set for stats dump")
		return nlmsg.EINVAL
	}
	f, err := k.rtnlStatsGetParse(cb.nlh, m.filterMask, cb.extack)
	if err != 0 {
		return err
	}
	cb.seq = cb.net.state.devSeq
	for _, d := range k.dumpOrder(cb.net, cb.args[0]) {
		at := len(skb.data)
		if err = k.rtnlFillStatsinfo(skb, d, cb.skb.portid, cb.nlh.Seq, nlmMulti, &f); err != 0 {
			break
		}
		cb.checkConsistent(put{skb, at})
		cb.args[0] = k.dumpKey(d) + 1
	}
	if k.has(dumpByIndex) {
		return err
	}
	return dumpLen(skb)
}

// rtnlFillStatsinfo puts a message of a link's statistics (net/core/rtnetlink.c
// rtnl_fill_statsinfo).
func (k *Kernel) rtnlFillStatsinfo(skb *skBuff, d *netDevice, portid, seq uint32, flags uint16, f *statsFilters) errno {
	defer k.enter("rtnl_fill_statsinfo")()
	wants := func(attr int) bool { return f[0]&statsBit(attr) != 0 }
	head := native.AppendUint32([]byte{0, 0, 0, 0}, uint32(d.index))
	p := skb.nlmsgPut(portid, seq, rtmNewstats, flags, native.AppendUint32(head, f[0]))
	if wants(iflaStatsLink64) {
		skb.nlaPut(iflaStatsLink64, make([]byte, k.sizeofStats64()))
	}
	for _, x := range []struct {
		attr int
		of   *netDevice
	}{{iflaStatsLinkXstats, d}, {iflaStatsLinkXstatsSlave, d.master}} {
		if !wants(x.attr) || x.of == nil || x.of.ops == nil || x.of.ops.fillLinkxstats == nil {
			continue
		}
		n := skb.nlaNestNoflag(uint16(x.attr))
		if err := x.of.ops.fillLinkxstats(skb, d, x.attr); err != 0 {
			p.cancel()
			return err
		}
		n.end()
	}
	if wants(iflaStatsLinkOffloadXstats) {
		k.rtnlOffloadXstatsFill(skb, d, f[iflaStatsLinkOffloadXstats])
	}
	if wants(iflaStatsAfSpec) {
		skb.nlaNestNoflag(iflaStatsAfSpec).end() // MPLS alone has something to say
	}
	return p.end()
}

// rtnlOffloadXstatsFill puts what hardware counts, and whether it is to. No
// hardware does (net/core/rtnetlink.c rtnl_offload_xstats_fill).
func (k *Kernel) rtnlOffloadXstatsFill(skb *skBuff, d *netDevice, mask uint32) {
	if !k.has(statsFilterAttrs) {
		return
	}
	n := skb.nlaNestNoflag(iflaStatsLinkOffloadXstats)
	if mask&statsBit(iflaOffloadXstatsHwSInfo) != 0 {
		info := skb.nlaNest(iflaOffloadXstatsHwSInfo)
		l3 := skb.nlaNest(iflaOffloadXstatsL3Stats)
		skb.nlaPutU8(iflaOffloadXstatsInfoRequest, bit(d.offloadL3))
		skb.nlaPutU8(iflaOffloadXstatsInfoUsed, 0)
		l3.end()
		info.end()
	}
	if mask&statsBit(iflaOffloadXstatsL3Stats) != 0 && d.offloadL3 {
		skb.nlaPut(iflaOffloadXstatsL3Stats, make([]byte, sizeofHwStats64))
	}
	if n.empty() {
		n.cancel()
		return
	}
	n.end()
}

// ifNlmsgStatsSize is net/core/rtnetlink.c if_nlmsg_stats_size.
func (k *Kernel) ifNlmsgStatsSize(d *netDevice, f *statsFilters) int {
	size := sizeofIfStatsMsg
	if f[0]&statsBit(iflaStatsLink64) != 0 {
		size += nlaTotalSize(k.sizeofStats64())
	}
	for _, x := range []struct {
		attr int
		of   *netDevice
	}{{iflaStatsLinkXstats, d}, {iflaStatsLinkXstatsSlave, d.master}} {
		if f[0]&statsBit(x.attr) != 0 && x.of != nil && x.of.ops != nil && x.of.ops.getLinkxstatsSize != nil {
			size += nlaTotalSize(4) + x.of.ops.getLinkxstatsSize(d, x.attr)
		}
	}
	if f[0]&statsBit(iflaStatsLinkOffloadXstats) != 0 {
		size += 5*nlaTotalSize(4) + nlaTotalSize(sizeofHwStats64)
	}
	if f[0]&statsBit(iflaStatsAfSpec) != 0 {
		size += nlaTotalSize(4)
	}
	return size
}

// rtnlStatsSet has hardware count or not (net/core/rtnetlink.c rtnl_stats_set).
func (k *Kernel) rtnlStatsSet(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_stats_set")()
	if err := k.rtnlValidStatsReq(h, k.netlinkStrictGetCheck(skb), false, x); err != 0 {
		return err
	}
	m := parseIfStatsMsg(h.payload())
	if m.family != pfUnspec {
		x.set("Address family should be AF_UNSPEC")
		return nlmsg.EINVAL
	}
	if m.ifindex == 0 {
		return nlmsg.EINVAL
	}
	d := skb.sk.net.devGetByIndex(int(m.ifindex))
	if d == nil {
		return nlmsg.ENODEV
	}
	if m.filterMask != 0 {
		x.set("Filter mask must be 0 for stats set")
		return nlmsg.EINVAL
	}
	tb, err := nlmsgParse(h, sizeofIfStatsMsg, statsSetPolicy, strict, x)
	if err != 0 {
		return err
	}
	a := tb.get(iflaStatsSetOffloadXstatsL3)
	if a == nil || a.u8() != 0 == d.offloadL3 {
		return 0
	}
	d.offloadL3 = !d.offloadL3
	k.rtnlOffloadXstatsNotify(d)
	return 0
}

// rtnlOffloadXstatsNotify is net/core/rtnetlink.c rtnl_offload_xstats_notify.
func (k *Kernel) rtnlOffloadXstatsNotify(d *netDevice) {
	f := statsFilters{0: statsBit(iflaStatsLinkOffloadXstats), iflaStatsLinkOffloadXstats: statsBit(iflaOffloadXstatsHwSInfo)}
	skb := nlmsgNew(k.ifNlmsgStatsSize(d, &f))
	if err := k.rtnlFillStatsinfo(skb, d, 0, 0, 0, &f); err != 0 {
		k.rtnlSetSkErr(d.net, rtnlgrpStats, err)
		return
	}
	k.rtnlNotify(skb, d.net, 0, rtnlgrpStats, nil)
}
