package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewneightbl = 64
	rtmGetneightbl = 66
	rtmSetneightbl = 67
)

// Attributes of a table (include/uapi/linux/neighbour.h NDTA_*).
const (
	ndtaName = 1 + iota
	ndtaThresh1
	ndtaThresh2
	ndtaThresh3
	ndtaConfig
	ndtaParms
	ndtaStats
	ndtaGcInterval
	ndtaPad
)

// Attributes of its parameters (NDTPA_*).
const (
	ndtpaIfindex = 1 + iota
	ndtpaRefcnt
	ndtpaReachableTime
	ndtpaBaseReachableTime
	ndtpaRetransTime
	ndtpaGcStaletime
	ndtpaDelayProbeTime
	ndtpaQueueLen
	ndtpaAppProbes
	ndtpaUcastProbes
	ndtpaMcastProbes
	ndtpaAnycastDelay
	ndtpaProxyDelay
	ndtpaProxyQlen
	ndtpaLocktime
	ndtpaQueueLenbytes
	ndtpaMcastReprobes
	ndtpaPad
	ndtpaIntervalProbeTimeMs
)

// ndtmsgLen is sizeof(struct ndtmsg).
const ndtmsgLen = 4

// neighParms are the parameters of a table, or of a link in it
// (include/net/neighbour.h struct neigh_parms). Times are in milliseconds.
type neighParms struct {
	queueLenBytes, proxyQlen, appProbes, ucastProbes, mcastProbes, mcastReprobes uint32
	reachableTime, baseReachableTime, gcStaletime, delayProbeTime, retransTime   uint64
	anycastDelay, proxyDelay, locktime, intervalProbeTime                        uint64
}

// tblConfig is what is set of a table.
type tblConfig struct {
	thresh     [3]uint32
	gcInterval uint64
	def        neighParms
	perDev     map[*netDevice]*neighParms
	noarp      map[*netDevice]bool // that had IFF_NOARP when they last changed
	allocs     uint64
	destroys   uint64
}

func newTblConfig(locktime uint64) tblConfig {
	return tblConfig{thresh: [3]uint32{128, 512, 1024}, gcInterval: 30000, perDev: map[*netDevice]*neighParms{}, noarp: map[*netDevice]bool{},
		def: neighParms{queueLenBytes: 212992, proxyQlen: 64, ucastProbes: 3, mcastProbes: 3, reachableTime: 30000,
			baseReachableTime: 30000, gcStaletime: 60000, delayProbeTime: 5000, retransTime: 1000, anycastDelay: 1000,
			proxyDelay: 800, locktime: locktime, intervalProbeTime: 5000}}
}

// parms are those of a link (net/core/neighbour.c neigh_parms_alloc).
func (t *neighTable) parms(d *netDevice) *neighParms {
	p := t.perDev[d]
	if p == nil {
		c := t.def
		p = &c
		t.perDev[d] = p
	}
	return p
}

// forget is net/core/neighbour.c neigh_parms_release.
func (t *neighTable) forget(d *netDevice) {
	delete(t.perDev, d)
	delete(t.noarp, d)
}

// has says that a link has parameters in the table: that it speaks its protocol.
func (t *neighTable) has(d *netDevice) bool {
	if t.family == pfInet {
		return d.inDev != nil
	}
	return d.in6Dev != nil
}

var nlNeightblPolicy = policy{
	ndtaName:       {typ: nlaString},
	ndtaThresh1:    {typ: nlaU32},
	ndtaThresh2:    {typ: nlaU32},
	ndtaThresh3:    {typ: nlaU32},
	ndtaParms:      {typ: nlaNested},
	ndtaGcInterval: {typ: nlaU64},
	ndtaPad:        {},
}

// nlNtblParmPolicy is net/core/neighbour.c nl_ntbl_parm_policy.
func (k *Kernel) nlNtblParmPolicy() policy {
	switch {
	case !k.has(intervalProbe):
		return ntblParmPolicy[:ndtpaIntervalProbeTimeMs]
	case k.has(intervalProbeRange):
		return ntblParmPolicyRange
	}
	return ntblParmPolicy
}

var ntblParmPolicyRange = append(slices.Clone(ntblParmPolicy[:ndtpaIntervalProbeTimeMs]),
	nlaPolicy{typ: nlaU64, check: validateRange, min: 1, max: 86400000})

var ntblParmPolicy = policy{
	ndtpaIfindex:             {typ: nlaU32},
	ndtpaBaseReachableTime:   {typ: nlaU64},
	ndtpaRetransTime:         {typ: nlaU64},
	ndtpaGcStaletime:         {typ: nlaU64},
	ndtpaDelayProbeTime:      {typ: nlaU64},
	ndtpaQueueLen:            {typ: nlaU32},
	ndtpaAppProbes:           {typ: nlaU32},
	ndtpaUcastProbes:         {typ: nlaU32},
	ndtpaMcastProbes:         {typ: nlaU32},
	ndtpaAnycastDelay:        {typ: nlaU64},
	ndtpaProxyDelay:          {typ: nlaU64},
	ndtpaProxyQlen:           {typ: nlaU32},
	ndtpaLocktime:            {typ: nlaU64},
	ndtpaMcastReprobes:       {typ: nlaU32},
	ndtpaPad:                 {},
	ndtpaQueueLenbytes:       {typ: nlaU32},
	ndtpaIntervalProbeTimeMs: {typ: nlaU64},
}

// frameTruesize is SKB_TRUESIZE(ETH_FRAME_LEN).
const frameTruesize = 2304

// fillParms is net/core/neighbour.c neightbl_fill_parms; dev is nil for the table's
// own.
func (k *Kernel) neightblFillParms(skb *skBuff, t *neighTable, p *neighParms, dev *netDevice) {
	nest := skb.nlaNestNoflag(ndtaParms)
	refs := uint32(1)
	if dev != nil {
		skb.nlaPutU32(ndtpaIfindex, uint32(dev.index))
		for _, n := range t.entries {
			if n.dev == dev {
				refs++
			}
		}
	}
	skb.nlaPutU32(ndtpaRefcnt, refs)
	skb.nlaPutU32(ndtpaQueueLenbytes, p.queueLenBytes)
	skb.nlaPutU32(ndtpaQueueLen, p.queueLenBytes/frameTruesize)
	skb.nlaPutU32(ndtpaProxyQlen, p.proxyQlen)
	skb.nlaPutU32(ndtpaAppProbes, p.appProbes)
	skb.nlaPutU32(ndtpaUcastProbes, p.ucastProbes)
	skb.nlaPutU32(ndtpaMcastProbes, p.mcastProbes)
	skb.nlaPutU32(ndtpaMcastReprobes, p.mcastReprobes)
	skb.nlaPutU64(ndtpaReachableTime, p.reachableTime)
	skb.nlaPutU64(ndtpaBaseReachableTime, p.baseReachableTime)
	skb.nlaPutU64(ndtpaGcStaletime, p.gcStaletime)
	skb.nlaPutU64(ndtpaDelayProbeTime, p.delayProbeTime)
	skb.nlaPutU64(ndtpaRetransTime, p.retransTime)
	skb.nlaPutU64(ndtpaAnycastDelay, p.anycastDelay)
	skb.nlaPutU64(ndtpaProxyDelay, p.proxyDelay)
	skb.nlaPutU64(ndtpaLocktime, p.locktime)
	if k.has(intervalProbe) {
		skb.nlaPutU64(ndtpaIntervalProbeTimeMs, p.intervalProbeTime)
	}
	nest.end()
}

// neightblFillInfo is net/core/neighbour.c neightbl_fill_info.
func (k *Kernel) neightblFillInfo(skb *skBuff, cb *netlinkCallback, t *neighTable) errno {
	p := cb.put(skb, rtmNewneightbl, nlmMulti, []byte{t.family, 0, 0, 0})
	skb.nlaPutString(ndtaName, t.id)
	skb.nlaPutU64(ndtaGcInterval, t.gcInterval)
	for i, n := range t.thresh {
		skb.nlaPutU32(uint16(ndtaThresh1+i), n)
	}
	c := make([]byte, 32) // struct ndt_config
	native.PutUint16(c, uint16(t.keyLen))
	native.PutUint16(c[2:], 352+uint16(t.keyLen))
	native.PutUint32(c[4:], uint32(len(t.entries)))
	native.PutUint32(c[20:], 7)
	skb.nlaPut(ndtaConfig, c)
	s := make([]byte, 88) // struct ndt_stats
	native.PutUint64(s, t.allocs)
	native.PutUint64(s[8:], t.destroys)
	skb.nlaPut(ndtaStats, s)
	k.neightblFillParms(skb, t, &t.def, nil)
	return p.end()
}

// neightblFillParamInfo is net/core/neighbour.c neightbl_fill_param_info.
func (k *Kernel) neightblFillParamInfo(skb *skBuff, cb *netlinkCallback, t *neighTable, d *netDevice) errno {
	p := cb.put(skb, rtmNewneightbl, nlmMulti, []byte{t.family, 0, 0, 0})
	skb.nlaPutString(ndtaName, t.id)
	k.neightblFillParms(skb, t, t.parms(d), d)
	return p.end()
}

// neightblDumpInfo is net/core/neighbour.c neightbl_dump_info. A table that does not
// end in one datagram is begun anew in the next, as the kernel does.
func (k *Kernel) neightblDumpInfo(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("neightbl_dump_info")()
	if cb.strict {
		if err := neightblValidDumpInfo(cb.nlh, cb.extack); err != 0 {
			return err
		}
	}
	family := cb.nlh.payload()[0]
	skip := cb.args[1]
	for t := cb.args[0]; t < len(cb.net.state.neigh.tables); t++ {
		cb.args[0] = t
		tbl := cb.net.state.neigh.tables[t]
		if family != 0 && tbl.family != family {
			continue
		}
		cb.args[1] = 0
		if k.neightblFillInfo(skb, cb, tbl) != 0 {
			return dumpLen(skb)
		}
		devs, i := cb.net.state.devs, 0
		for j := len(devs) - 1; j >= 0; j-- { // the newest is first
			if !tbl.has(devs[j]) {
				continue
			}
			if i >= skip && k.neightblFillParamInfo(skb, cb, tbl, devs[j]) != 0 {
				cb.args[1] = i
				return dumpLen(skb)
			}
			i++
		}
		skip = 0
	}
	cb.args[0], cb.args[1] = len(cb.net.state.neigh.tables), 0
	return dumpLen(skb)
}

// neightblValidDumpInfo is net/core/neighbour.c neightbl_valid_dump_info.
func neightblValidDumpInfo(h *nlmsghdr, x *extAck) errno {
	b := h.payload()
	switch {
	case len(b) < ndtmsgLen:
		x.set("Invalid header for neighbor table dump request")
	case b[1] != 0 || b[2] != 0 || b[3] != 0:
		x.set("Invalid values in header for neighbor table dump request")
	case len(b) > ndtmsgLen:
		x.set("Invalid data after header in neighbor table dump request")
	default:
		return 0
	}
	return nlmsg.EINVAL
}

// neightblSet is net/core/neighbour.c neightbl_set. The defaults and what is set of
// the whole table are the first namespace's.
func (k *Kernel) neightblSet(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("neightbl_set")()
	n := skb.sk.net
	tb, err := nlmsgParse(h, ndtmsgLen, nlNeightblPolicy, liberal, x)
	if err != 0 {
		return err
	}
	if tb[ndtaName] == nil {
		return nlmsg.EINVAL
	}
	family, name := h.payload()[0], tb[ndtaName].str()
	var t *neighTable
	for _, c := range n.state.neigh.tables {
		if (family == 0 || c.family == family) && c.id == name {
			t = c
			break
		}
	}
	if t == nil {
		return nlmsg.ENOENT
	}
	if a := tb[ndtaParms]; a != nil {
		tbp, err := nlaParseNested(a, k.nlNtblParmPolicy(), liberal, x)
		if err != 0 {
			return err
		}
		if err := k.neightblSetParms(n, t, tbp); err != 0 {
			return err
		}
	}
	if tb[ndtaThresh1] == nil && tb[ndtaThresh2] == nil && tb[ndtaThresh3] == nil && tb[ndtaGcInterval] == nil {
		return 0
	}
	if n != k.initNet {
		return nlmsg.ENOENT
	}
	for i := range t.thresh {
		if a := tb[ndtaThresh1+i]; a != nil {
			t.thresh[i] = a.u32()
		}
	}
	if a := tb[ndtaGcInterval]; a != nil {
		t.gcInterval = a.u64()
	}
	return 0
}

// neightblSetParms sets the parameters of a link.
func (k *Kernel) neightblSetParms(n *netns, t *neighTable, tb attrTable) errno {
	ifindex := 0
	if a := tb[ndtpaIfindex]; a != nil {
		ifindex = int(int32(a.u32()))
	}
	var p *neighParms
	if d := n.devGetByIndex(ifindex); d != nil && t.has(d) {
		p = t.parms(d)
	} else if ifindex == 0 && n == k.initNet {
		p = &t.def
	}
	if p == nil {
		return nlmsg.ENOENT
	}
	if a := tb[ndtpaQueueLen]; a != nil {
		p.queueLenBytes = a.u32() * frameTruesize
	}
	if a := tb[ndtpaBaseReachableTime]; a != nil {
		p.baseReachableTime = a.u64()
		p.reachableTime = p.baseReachableTime
	}
	for _, f := range []struct {
		typ int
		v   *uint32
	}{{ndtpaProxyQlen, &p.proxyQlen}, {ndtpaAppProbes, &p.appProbes}, {ndtpaUcastProbes, &p.ucastProbes},
		{ndtpaMcastProbes, &p.mcastProbes}, {ndtpaMcastReprobes, &p.mcastReprobes}, {ndtpaQueueLenbytes, &p.queueLenBytes}} {
		if a := tb[f.typ]; a != nil {
			*f.v = a.u32()
		}
	}
	for _, f := range []struct {
		typ int
		v   *uint64
	}{{ndtpaGcStaletime, &p.gcStaletime}, {ndtpaDelayProbeTime, &p.delayProbeTime}, {ndtpaRetransTime, &p.retransTime},
		{ndtpaAnycastDelay, &p.anycastDelay}, {ndtpaProxyDelay, &p.proxyDelay}, {ndtpaLocktime, &p.locktime},
		{ndtpaIntervalProbeTimeMs, &p.intervalProbeTime}} {
		if a := tb.get(f.typ); a != nil {
			*f.v = a.u64()
		}
	}
	return 0
}
