package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// nhFillResBucket puts a bucket of a resilient group (net/ipv4/nexthop.c
// nh_fill_res_bucket).
func nhFillResBucket(skb *skBuff, g *nexthop, index int, portid, seq uint32, flags uint16) errno {
	p := skb.nlmsgPut(portid, seq, rtmNewnexthopbucket, flags, nhmsg{protocol: g.protocol}.bytes())
	skb.nlaPutU32(nhaID, g.id)
	n := skb.nlaNest(nhaResBucket)
	skb.nlaPutU16(nhaResBucketIndex, uint16(index))
	skb.nlaPutU32(nhaResBucketNhID, g.resilient.buckets[index].id)
	skb.nlaPutU64(nhaResBucketIdleTime, 0)
	n.end()
	return p.end()
}

// nexthopFindGroupResilient is net/ipv4/nexthop.c nexthop_find_group_resilient.
func (n *netns) nexthopFindGroupResilient(id uint32, x *extAck) (*nexthop, errno) {
	nh := n.nexthopFindByID(id)
	switch {
	case nh == nil:
		return nil, nlmsg.ENOENT
	case !nh.isGroup:
		x.set("Not a nexthop group")
		return nil, nlmsg.EINVAL
	case nh.resilient == nil:
		x.set("Nexthop group not of type resilient")
		return nil, nlmsg.EINVAL
	}
	return nh, 0
}

// rtmGetNexthopBucket is net/ipv4/nexthop.c rtm_get_nexthop_bucket.
func (k *Kernel) rtmGetNexthopBucket(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtm_get_nexthop_bucket")()
	tb, err := nlmsgParse(h, nhmsgLen, policy{nhaID: {typ: nlaU32}, nhaResBucket: {typ: nlaNested}}, strict, x)
	if err != 0 {
		return err
	}
	id, err := nhValidGetDelReq(h, tb, x)
	if err != 0 {
		return err
	}
	if tb[nhaResBucket] == nil {
		x.set("Bucket information is missing")
		return nlmsg.EINVAL
	}
	res, err := nlaParseNested(tb[nhaResBucket], policy{nhaResBucketIndex: {typ: nlaU16}}, strict, x)
	if err != 0 {
		return err
	}
	if res[nhaResBucketIndex] == nil {
		x.set("Bucket index is missing")
		return nlmsg.EINVAL
	}
	n := in.sk.net
	g, err := n.nexthopFindGroupResilient(id, x)
	if err != 0 {
		return err
	}
	index := int(res[nhaResBucketIndex].u16())
	if index >= len(g.resilient.buckets) {
		x.set("Bucket index out of bounds")
		return nlmsg.ENOENT
	}
	skb := newSkb(goodSize)
	if err := nhFillResBucket(skb, g, index, in.portid, h.Seq, 0); err != 0 {
		return err
	}
	return k.rtnlUnicast(skb, n, in.portid)
}

// rtmDumpNexthopBucket is net/ipv4/nexthop.c rtm_dump_nexthop_bucket.
func (k *Kernel) rtmDumpNexthopBucket(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtm_dump_nexthop_bucket")()
	f, err := nhValidDumpBucketReq(cb)
	if err != 0 {
		return err
	}
	groups := cb.net.state.nhs.objects
	if f.id != 0 {
		g, err := cb.net.nexthopFindGroupResilient(f.id, cb.extack)
		if err != 0 {
			return err
		}
		groups = []*nexthop{g}
	}
	for _, g := range groups {
		if g.resilient == nil || g.id < uint32(cb.args[0]) {
			continue
		}
		if g.id != uint32(cb.args[0]) {
			cb.args[0], cb.args[1] = int(g.id), 0
		}
		for ; cb.args[1] < len(g.resilient.buckets); cb.args[1]++ {
			nh := g.resilient.buckets[cb.args[1]]
			if !f.wants(nh) || f.bucketNhID != 0 && f.bucketNhID != nh.id {
				continue
			}
			if err := nhFillResBucket(skb, g, cb.args[1], cb.skb.portid, cb.nlh.Seq, nlmMulti); err != 0 {
				return k.nhDumpEnd(skb, cb, err)
			}
		}
	}
	return k.nhDumpEnd(skb, cb, 0)
}

// nhValidDumpBucketReq is net/ipv4/nexthop.c nh_valid_dump_bucket_req.
func nhValidDumpBucketReq(cb *netlinkCallback) (*nhDumpFilter, errno) {
	tb, err := nlmsgParse(cb.nlh, nhmsgLen, policy{
		nhaID: {typ: nlaU32}, nhaOif: {typ: nlaU32}, nhaMaster: {typ: nlaU32}, nhaResBucket: {typ: nlaNested},
	}, strict, nil)
	if err != 0 {
		return nil, err
	}
	id := func(a *nlattr) (uint32, errno) {
		if a == nil {
			return 0, 0
		}
		if a.u32() == 0 {
			cb.extack.set("Invalid nexthop id")
			return 0, nlmsg.EINVAL
		}
		return a.u32(), 0
	}
	group, err := id(tb[nhaID])
	if err != 0 {
		return nil, err
	}
	var member uint32
	if a := tb[nhaResBucket]; a != nil {
		res, err := nlaParseNested(a, policy{nhaResBucketNhID: {typ: nlaU32}}, strict, cb.extack)
		if err != 0 {
			return nil, err
		}
		if member, err = id(res[nhaResBucketNhID]); err != 0 {
			return nil, err
		}
	}
	f, err := nhValidDumpReq(cb.nlh, tb, cb.extack)
	if err != 0 {
		return nil, err
	}
	f.id, f.bucketNhID = group, member
	return f, 0
}
