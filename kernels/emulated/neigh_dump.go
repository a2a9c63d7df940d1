package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fill is net/core/neighbour.c neigh_fill_info without the message around it.
func (n *neighbour) fill(skb *skBuff) {
	skb.nlaPut(ndaDst, n.key)
	if n.state&nudValid != 0 {
		skb.nlaPut(ndaLladdr, n.ha)
	}
	skb.nlaPutU32(ndaProbes, n.probes)
	skb.nlaPut(ndaCacheinfo, make([]byte, 16))
	if n.protocol != 0 {
		skb.nlaPutU8(ndaProtocol, n.protocol)
	}
	if ext := n.flags >> ntfExtShift; ext != 0 {
		skb.nlaPutU32(ndaFlagsExt, ext)
	}
}

func (n *neighbour) head() []byte {
	return ndmsg{family: n.tbl.family, ifindex: n.dev.index, state: uint16(n.state), flags: uint8(n.flags), typ: n.typ}.bytes()
}

// fill is net/core/neighbour.c pneigh_fill_info.
func (p *pneighEntry) fill(skb *skBuff) {
	skb.nlaPut(ndaDst, p.key)
	if p.protocol != 0 {
		skb.nlaPutU8(ndaProtocol, p.protocol)
	}
	if ext := p.flags >> ntfExtShift; ext != 0 {
		skb.nlaPutU32(ndaFlagsExt, ext)
	}
}

func (p *pneighEntry) head(t *neighTable) []byte {
	m := ndmsg{family: t.family, flags: uint8(p.flags) | ntfProxy, typ: neighUnicast}
	if p.dev != nil {
		m.ifindex = p.dev.index
	}
	return m.bytes()
}

// neighNlmsgSize is about what a neighbour takes (net/core/neighbour.c
// neigh_nlmsg_size).
const neighNlmsgSize = ndmsgLen + 36 + 36 + 20 + 8 + 8 + 8

// neighNotify is net/core/neighbour.c __neigh_notify.
func (k *Kernel) neighNotify(n *neighbour, msgtype uint16, portid uint32) {
	defer k.enter("__neigh_notify")()
	skb := nlmsgNew(neighNlmsgSize)
	p := skb.nlmsgPut(portid, 0, msgtype, 0, n.head())
	n.fill(skb)
	p.end()
	k.rtnlNotify(skb, n.dev.net, 0, rtnlgrpNeigh, nil)
}

// neighGet is net/core/neighbour.c neigh_get.
func (k *Kernel) neighGet(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("neigh_get")()
	n := in.sk.net
	m, t, dst, err := k.neighValidGetReq(n, h, x)
	if err != 0 {
		return err
	}
	var dev *netDevice
	if m.ifindex != 0 {
		if dev = n.devGetByIndex(m.ifindex); dev == nil {
			x.set("Unknown device ifindex")
			return nlmsg.ENODEV
		}
	}
	if dst == nil {
		x.set("Network address not specified")
		return nlmsg.EINVAL
	}
	skb := nlmsgNew(neighNlmsgSize)
	if m.flags&ntfProxy != 0 {
		pn := t.pneighLookup(dst, dev)
		if pn == nil {
			x.set("Proxy neighbour entry not found")
			return nlmsg.ENOENT
		}
		p := skb.nlmsgPut(in.portid, h.Seq, rtmNewneigh, 0, pn.head(t))
		pn.fill(skb)
		p.end()
		return k.rtnlUnicast(skb, n, in.portid)
	}
	if dev == nil {
		x.set("No device specified")
		return nlmsg.EINVAL
	}
	e := t.lookup(dst, dev)
	if e == nil {
		x.set("Neighbour entry not found")
		return nlmsg.ENOENT
	}
	p := skb.nlmsgPut(in.portid, h.Seq, rtmNewneigh, 0, e.head())
	e.fill(skb)
	p.end()
	return k.rtnlUnicast(skb, n, in.portid)
}

// neighValidGetReq is net/core/neighbour.c neigh_valid_get_req. dst is nil where
// none is given and that is still to be told.
func (k *Kernel) neighValidGetReq(n *netns, h *nlmsghdr, x *extAck) (m ndmsg, t *neighTable, dst []byte, err errno) {
	m, ok := readNdmsg(h)
	switch {
	case !ok:
		x.set("Invalid header for neighbor get request")
	case m.pad || m.state != 0 || m.typ != 0:
		x.set("Invalid values in header for neighbor get request")
	case m.flags&^ntfProxy != 0:
		x.set("Invalid flags in header for neighbor get request")
	case k.has(neighGetRcu) && m.flags&ntfProxy == 0 && m.ifindex == 0:
		x.set("No device specified")
	default:
		ok = false
	}
	if ok || len(h.payload()) < ndmsgLen {
		return m, nil, nil, nlmsg.EINVAL
	}
	tb, err := nlmsgParse(h, ndmsgLen, k.ndaPolicy(), deprecatedStrict, x)
	if err != 0 {
		return m, nil, nil, err
	}
	find := func() errno {
		if t = n.neighFindTable(m.family); t == nil {
			x.set("Unsupported family in header for neighbor get request")
			return nlmsg.EAFNOSUPPORT
		}
		return 0
	}
	rcu := k.has(neighGetRcu)
	if !rcu {
		if err := find(); err != 0 {
			return m, nil, nil, err
		}
	}
	for i, a := range tb {
		switch {
		case rcu && i == ndaDst && a == nil:
			x.miss(nil, ndaDst)
			return m, nil, nil, nlmsg.EINVAL
		case a == nil:
		case i == ndaDst:
			if dst = a.data; !rcu && len(dst) != t.keyLen {
				x.set("Invalid network address in neighbor get request")
				return m, nil, nil, nlmsg.EINVAL
			}
		default:
			x.set("Unsupported attribute in neighbor get request")
			return m, nil, nil, nlmsg.EINVAL
		}
	}
	if rcu {
		if err := find(); err != 0 {
			return m, nil, nil, err
		}
		if len(dst) != t.keyLen {
			x.set("Invalid network address in neighbor get request")
			return m, nil, nil, nlmsg.EINVAL
		}
	}
	return m, t, dst, 0
}

// neighDumpFilter is what a dump of neighbours is limited to (net/core/neighbour.c
// struct neigh_dump_filter).
type neighDumpFilter struct{ master, dev int }

func (f neighDumpFilter) filtered(d *netDevice) bool {
	if f.dev != 0 && (d == nil || d.index != f.dev) {
		return true
	}
	return f.master != 0 && (d == nil || d.master == nil || d.master.index != f.master)
}

// neighValidDumpReq is net/core/neighbour.c neigh_valid_dump_req. What a request
// that is not strict does wrong is passed over.
func (k *Kernel) neighValidDumpReq(h *nlmsghdr, strict bool, x *extAck) (f neighDumpFilter, err errno) {
	s := liberal
	if strict {
		s = deprecatedStrict
		m, ok := readNdmsg(h)
		switch {
		case !ok:
			x.set("Invalid header for neighbor dump request")
		case m.pad || m.ifindex != 0 || m.state != 0 || m.typ != 0:
			x.set("Invalid values in header for neighbor dump request")
		case m.flags&^ntfProxy != 0:
			x.set("Invalid flags in header for neighbor dump request")
		}
		if x.msg != "" {
			return f, nlmsg.EINVAL
		}
	}
	tb, err := nlmsgParse(h, ndmsgLen, k.ndaPolicy(), s, x)
	if err != 0 {
		return f, err
	}
	for i, a := range tb {
		switch {
		case a == nil:
		case i == ndaIfindex:
			f.dev = int(a.u32())
		case i == ndaMaster:
			f.master = int(a.u32())
		case strict:
			x.set("Unsupported attribute in neighbor dump request")
			return f, nlmsg.EINVAL
		}
	}
	return f, 0
}

// neighDumpInfo is net/core/neighbour.c neigh_dump_info.
func (k *Kernel) neighDumpInfo(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("neigh_dump_info")()
	family := cb.nlh.payload()[0]
	m, ok := readNdmsg(cb.nlh)
	proxy := ok && m.flags == ntfProxy
	f, err := k.neighValidDumpReq(cb.nlh, cb.strict, cb.extack)
	if err != 0 && cb.strict {
		return err
	}
	flags := uint16(nlmMulti)
	if f != (neighDumpFilter{}) {
		flags |= nlmFiltered
	}
	err = 0
	for t := cb.args[0]; t < len(cb.net.state.neigh.tables) && err == 0; t++ {
		cb.args[0] = t
		tbl := cb.net.state.neigh.tables[t]
		if family == 0 || tbl.family == family {
			if proxy {
				err = pneighDumpTable(tbl, skb, cb, f, flags)
			} else {
				err = neighDumpTable(tbl, skb, cb, f, flags)
			}
		}
		if err == 0 {
			cb.args = [6]int{t + 1}
		}
	}
	if k.has(neighDumpReturn) {
		return err
	}
	return dumpLen(skb)
}

// neighDumpTable is net/core/neighbour.c neigh_dump_table.
func neighDumpTable(t *neighTable, skb *skBuff, cb *netlinkCallback, f neighDumpFilter, flags uint16) errno {
	for i := cb.args[1]; i < len(t.entries); i++ {
		cb.args[1] = i
		n := t.entries[i]
		if f.filtered(n.dev) {
			continue
		}
		p := cb.put(skb, rtmNewneigh, flags, n.head())
		n.fill(skb)
		if err := p.end(); err != 0 {
			return err
		}
	}
	return 0
}

// pneighDumpTable is net/core/neighbour.c pneigh_dump_table.
func pneighDumpTable(t *neighTable, skb *skBuff, cb *netlinkCallback, f neighDumpFilter, flags uint16) errno {
	i := 0
	for _, b := range t.phash {
		for _, pn := range b {
			if i++; i <= cb.args[1] || f.filtered(pn.dev) {
				continue
			}
			p := cb.put(skb, rtmNewneigh, flags, pn.head(t))
			pn.fill(skb)
			if err := p.end(); err != 0 {
				cb.args[1] = i - 1
				return err
			}
		}
	}
	return 0
}
