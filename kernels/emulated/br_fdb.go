package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Flags of an entry (net/bridge/br_private.h BR_FDB_*).
const (
	fdbLocal = 1 << iota
	fdbStatic
	fdbSticky
	fdbAddedByUser
	fdbAddedByExtLearn
	fdbOffloaded
	fdbNotify
	fdbNotifyInactive
	fdbLocked
)

// fdbEntry is an entry of a bridge's forwarding database (struct
// net_bridge_fdb_entry).
type fdbEntry struct {
	addr  [6]byte
	vid   uint16
	dst   *bridgePort // nil for the bridge itself
	flags uint32
}

// brFdbFind is net/bridge/br_fdb.c br_fdb_find.
func (b *netBridge) brFdbFind(addr []byte, vid uint16) *fdbEntry {
	for _, f := range b.fdb {
		if f.vid == vid && bytes.Equal(f.addr[:], addr) {
			return f
		}
	}
	return nil
}

// fdbCreate is net/bridge/br_fdb.c fdb_create.
func (b *netBridge) fdbCreate(p *bridgePort, addr []byte, vid uint16, flags uint32) *fdbEntry {
	f := &fdbEntry{addr: [6]byte(addr), vid: vid, dst: p, flags: flags}
	b.fdb = append(b.fdb, nil)
	copy(b.fdb[1:], b.fdb)
	b.fdb[0] = f
	return f
}

// fdbDelete is net/bridge/br_fdb.c fdb_delete.
func (k *Kernel) fdbDelete(b *netBridge, f *fdbEntry) {
	if i := slices.Index(b.fdb, f); i >= 0 {
		b.fdb = slices.Delete(b.fdb, i, i+1)
		k.fdbNotify(b, f, rtmDelneigh)
	}
}

// fdbDeleteLocal deletes an address of a port or of the bridge, or leaves it to
// another that has the same (net/bridge/br_fdb.c fdb_delete_local).
func (k *Kernel) fdbDeleteLocal(b *netBridge, p *bridgePort, f *fdbEntry) {
	for _, o := range b.ports {
		if o != p && bytes.Equal(o.dev.addr, f.addr[:]) && (f.vid == 0 || o.vlans.find(f.vid) != nil) {
			f.dst = o
			f.flags &^= fdbAddedByUser
			return
		}
	}
	if p != nil && bytes.Equal(b.dev.addr, f.addr[:]) {
		if v := b.vlans.find(f.vid); f.vid == 0 || v != nil && v.use {
			f.dst = nil
			f.flags &^= fdbAddedByUser
			return
		}
	}
	k.fdbDelete(b, f)
}

// brFdbFindDeleteLocal is net/bridge/br_fdb.c br_fdb_find_delete_local.
func (k *Kernel) brFdbFindDeleteLocal(b *netBridge, p *bridgePort, addr []byte, vid uint16) {
	f := b.brFdbFind(addr, vid)
	if f != nil && f.flags&(fdbLocal|fdbAddedByUser) == fdbLocal && f.dst == p {
		k.fdbDeleteLocal(b, p, f)
	}
}

// brFdbInsert is net/bridge/br_fdb.c br_fdb_insert, or fdb_add_local.
func (k *Kernel) brFdbInsert(b *netBridge, p *bridgePort, addr []byte, vid uint16) errno {
	if !validEtherAddr(addr) {
		return nlmsg.EINVAL
	}
	if f := b.brFdbFind(addr, vid); f != nil {
		if f.flags&fdbLocal != 0 {
			return 0
		}
		k.fdbDelete(b, f)
	}
	k.fdbNotify(b, b.fdbCreate(p, addr, vid, fdbLocal|fdbStatic), rtmNewneigh)
	return 0
}

// brFdbAddLocal is brFdbInsert, where nobody asks how it went.
func (k *Kernel) brFdbAddLocal(b *netBridge, p *bridgePort, addr []byte, vid uint16) {
	k.brFdbInsert(b, p, addr, vid)
}

// brFdbChangeaddr is net/bridge/br_fdb.c br_fdb_changeaddr.
func (k *Kernel) brFdbChangeaddr(p *bridgePort, addr []byte) {
	b := p.br
	for _, f := range slices.Clone(b.fdb) {
		if f.dst == p && f.flags&(fdbLocal|fdbAddedByUser) == fdbLocal {
			k.fdbDeleteLocal(b, p, f)
			if len(p.vlans.list) == 0 {
				break
			}
		}
	}
	k.brFdbInsert(b, p, addr, 0)
	for _, v := range p.vlans.list {
		k.brFdbInsert(b, p, addr, v.vid)
	}
}

// brFdbChangeMacAddress is net/bridge/br_fdb.c br_fdb_change_mac_address.
func (k *Kernel) brFdbChangeMacAddress(b *netBridge, addr []byte) {
	replace := func(vid uint16) {
		if f := b.brFdbFind(b.dev.addr, vid); f != nil && f.dst == nil && f.flags&(fdbLocal|fdbAddedByUser) == fdbLocal {
			k.fdbDeleteLocal(b, nil, f)
		}
		k.brFdbInsert(b, nil, addr, vid)
	}
	replace(0)
	for _, v := range b.vlans.used() {
		replace(v.vid)
	}
}

// brFdbDeleteByPort is net/bridge/br_fdb.c br_fdb_delete_by_port.
func (k *Kernel) brFdbDeleteByPort(b *netBridge, p *bridgePort, vid uint16, all bool) {
	for _, f := range slices.Clone(b.fdb) {
		if f.dst != p || !all && (f.flags&fdbStatic != 0 || f.flags&fdbAddedByExtLearn != 0 && f.flags&fdbOffloaded == 0 ||
			vid != 0 && f.vid != vid) {
			continue
		}
		if f.flags&fdbLocal != 0 {
			k.fdbDeleteLocal(b, p, f)
		} else {
			k.fdbDelete(b, f)
		}
	}
}

// fdbFlushDesc is what is to be flushed (net/bridge/br_private.h struct
// net_bridge_fdb_flush_desc).
type fdbFlushDesc struct {
	flags, mask uint32
	ifindex     int
	vid         uint16
}

// brFdbFlush is net/bridge/br_fdb.c br_fdb_flush.
func (k *Kernel) brFdbFlush(b *netBridge, d fdbFlushDesc) {
	for _, f := range slices.Clone(b.fdb) {
		ifindex := b.dev.index
		if f.dst != nil {
			ifindex = f.dst.dev.index
		}
		if d.vid != 0 && f.vid != d.vid || d.ifindex != 0 && ifindex != d.ifindex || f.flags&d.mask != d.flags {
			continue
		}
		k.fdbDelete(b, f)
	}
}

// nud is the state that an entry is told with (net/bridge/br_fdb.c fdb_to_nud).
func (f *fdbEntry) nud() uint16 {
	switch {
	case f.flags&fdbLocal != 0:
		return nudPermanent
	case f.flags&fdbStatic != 0:
		return nudNoarp
	}
	return nudReachable
}

// Attributes of NDA_FDB_EXT_ATTRS (include/uapi/linux/neighbour.h NFEA_*).
const (
	nfeaActivityNotify = 1 + iota
	nfeaDontRefresh
)

// fdbHead is the fixed header of an entry's message.
func (b *netBridge) fdbHead(f *fdbEntry) []byte {
	m := ndmsg{family: pfBridge, ifindex: b.dev.index, state: f.nud()}
	if f.dst != nil {
		m.ifindex = f.dst.dev.index
	}
	if f.flags&fdbAddedByExtLearn != 0 {
		m.flags |= ntfExtLearned
	}
	if f.flags&fdbSticky != 0 {
		m.flags |= ntfSticky
	}
	return m.bytes()
}

// fdbFillInfo is net/bridge/br_fdb.c fdb_fill_info, without the message around it.
func (k *Kernel) fdbFillInfo(skb *skBuff, b *netBridge, f *fdbEntry) {
	skb.nlaPut(ndaLladdr, f.addr[:])
	skb.nlaPutU32(ndaMaster, uint32(b.dev.index))
	if k.has(fdbFlagsExt) {
		skb.nlaPutU32(ndaFlagsExt, 0)
	}
	skb.nlaPut(ndaCacheinfo, make([]byte, 16))
	if f.vid != 0 {
		skb.nlaPutU16(ndaVlan, f.vid)
	}
	if f.flags&fdbNotify != 0 {
		bits := uint8(1)
		if f.flags&fdbNotifyInactive != 0 {
			bits |= 2
		}
		n := skb.nlaNest(ndaFdbExtAttrs)
		skb.nlaPutU8(nfeaActivityNotify, bits)
		n.end()
	}
}

// fdbNlmsgSize is net/bridge/br_fdb.c fdb_nlmsg_size.
const fdbNlmsgSize = ndmsgLen + 12 + 8 + 8 + 20 + 8 + 12

// fdbNotify is net/bridge/br_fdb.c fdb_notify.
func (k *Kernel) fdbNotify(b *netBridge, f *fdbEntry, msgtype uint16) {
	defer k.enter("fdb_notify")()
	skb := nlmsgNew(fdbNlmsgSize)
	p := skb.nlmsgPut(0, 0, msgtype, 0, b.fdbHead(f))
	k.fdbFillInfo(skb, b, f)
	p.end()
	k.rtnlNotify(skb, b.dev.net, 0, rtnlgrpNeigh, nil)
}

// brFdbDump is net/bridge/br_fdb.c br_fdb_dump: what is on a port, or what is the
// bridge's own.
func (k *Kernel) brFdbDump(skb *skBuff, cb *netlinkCallback, b *netBridge, p *bridgePort, at *int) errno {
	defer k.enter("br_fdb_dump")()
	if p == nil {
		if err := ndoDfltFdbDump(skb, cb, b.dev, at); err != 0 {
			return err
		}
	}
	for _, f := range b.fdb {
		if f.dst != p {
			continue
		}
		err := fdbDumpOne(cb, at, func() errno {
			m := cb.put(skb, rtmNewneigh, nlmMulti, b.fdbHead(f))
			k.fdbFillInfo(skb, b, f)
			return m.end()
		})
		if err != 0 {
			return err
		}
	}
	return 0
}

// brFdbGet is net/bridge/br_fdb.c br_fdb_get.
func (k *Kernel) brFdbGet(b *netBridge, addr []byte, vid uint16, in *skBuff, h *nlmsghdr, x *extAck) errno {
	f := b.brFdbFind(addr, vid)
	if f == nil {
		x.set("Fdb entry not found")
		return nlmsg.ENOENT
	}
	skb := nlmsgNew(fdbNlmsgSize)
	p := skb.nlmsgPut(in.portid, h.Seq, rtmNewneigh, 0, b.fdbHead(f))
	k.fdbFillInfo(skb, b, f)
	p.end()
	return k.rtnlUnicast(skb, in.sk.net, in.portid)
}
