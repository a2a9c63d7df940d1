package emulated

import (
	"bytes"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// nfeaPolicy is net/bridge/br_fdb.c br_nda_fdb_pol.
var nfeaPolicy = policy{nfeaActivityNotify: {typ: nlaU8}, nfeaDontRefresh: {typ: nlaFlag}}

// ofFdb is the bridge that a link is or is a port of, and the VLANs that count; b is
// nil if it is neither.
func (d *netDevice) ofFdb() (b *netBridge, p *bridgePort, g *vlanGroup) {
	if b := d.bridge(); b != nil {
		return b, nil, &b.vlans
	}
	if p := d.port; p != nil {
		return p.br, p, &p.vlans
	}
	return nil, nil, nil
}

// brFdbAdd is net/bridge/br_fdb.c br_fdb_add.
func (k *Kernel) brFdbAdd(m ndmsg, tb attrTable, d *netDevice, addr []byte, vid, nlmflags uint16, x *extAck) errno {
	defer k.enter("br_fdb_add")()
	if m.state&(nudPermanent|nudNoarp|nudReachable) == 0 || bytes.Equal(addr, make([]byte, 6)) {
		return nlmsg.EINVAL
	}
	b, p, g := d.ofFdb()
	if b == nil {
		return nlmsg.EINVAL
	}
	if a := tb.get(ndaFlagsExt); a != nil && a.u32()&2 != 0 && k.has(fdbFlagsExt) {
		x.set("bridge: Cannot add FDB entry with \"locked\" flag set")
		return nlmsg.EINVAL
	}
	var nfea attrTable
	if a := tb.get(ndaFdbExtAttrs); a != nil {
		var err errno
		if nfea, err = nlaParseNested(a, nfeaPolicy, strict, x); err != 0 {
			return err
		}
	}
	if vid != 0 {
		if v := g.find(vid); v == nil || !v.use {
			return nlmsg.EINVAL
		}
		return k.fdbAddOne(m, b, p, addr, nlmflags, vid, nfea, x)
	}
	if err := k.fdbAddOne(m, b, p, addr, nlmflags, 0, nfea, x); err != 0 {
		return err
	}
	for _, v := range g.used() {
		if err := k.fdbAddOne(m, b, p, addr, nlmflags, v.vid, nfea, x); err != 0 {
			return err
		}
	}
	return 0
}

// fdbAddOne is net/bridge/br_fdb.c __br_fdb_add.
func (k *Kernel) fdbAddOne(m ndmsg, b *netBridge, p *bridgePort, addr []byte, nlmflags, vid uint16, nfea attrTable, x *extAck) errno {
	switch {
	case m.flags&ntfUse != 0:
		if p == nil {
			return nlmsg.EINVAL
		}
		if p.state == brStateLearning || p.state == brStateForwarding {
			k.brFdbUpdate(b, p, addr, vid)
		}
		return 0
	case m.flags&ntfExtLearned != 0:
		if p == nil && m.state&nudPermanent == 0 && k.has(fdbExtLearnBridge) {
			x.set("bridge: FDB entry towards bridge must be permanent")
			return nlmsg.EINVAL
		}
		k.brFdbExternalLearnAdd(b, p, addr, vid)
		return 0
	}
	return k.fdbAddEntry(m, b, p, addr, nlmflags, vid, nfea)
}

// brFdbUpdate has an address learned (net/bridge/br_fdb.c br_fdb_update).
func (k *Kernel) brFdbUpdate(b *netBridge, p *bridgePort, addr []byte, vid uint16) {
	if b.ageingTime == 0 {
		return
	}
	f := b.brFdbFind(addr, vid)
	switch {
	case f == nil:
		f = b.fdbCreate(p, addr, vid, fdbAddedByUser)
	case f.flags&fdbLocal != 0:
		return
	default:
		moved := f.dst != p && f.flags&fdbSticky == 0
		if moved {
			f.dst = p
			f.flags &^= fdbAddedByExtLearn
		}
		f.flags |= fdbAddedByUser
		if !moved {
			return
		}
	}
	k.fdbNotify(b, f, rtmNewneigh)
}

// brFdbExternalLearnAdd is net/bridge/br_fdb.c br_fdb_external_learn_add.
func (k *Kernel) brFdbExternalLearnAdd(b *netBridge, p *bridgePort, addr []byte, vid uint16) {
	flags := uint32(fdbAddedByExtLearn | fdbAddedByUser)
	if p == nil {
		flags |= fdbLocal
	}
	f := b.brFdbFind(addr, vid)
	if f == nil {
		k.fdbNotify(b, b.fdbCreate(p, addr, vid, flags), rtmNewneigh)
		return
	}
	modified := f.dst != p || f.flags&fdbAddedByExtLearn == 0
	f.dst = p
	f.flags |= flags
	if modified {
		k.fdbNotify(b, f, rtmNewneigh)
	}
}

// fdbAddEntry is net/bridge/br_fdb.c fdb_add_entry.
func (k *Kernel) fdbAddEntry(m ndmsg, b *netBridge, p *bridgePort, addr []byte, nlmflags, vid uint16, nfea attrTable) errno {
	sticky := m.flags&ntfSticky != 0
	switch {
	case p != nil && m.state&(nudPermanent|nudNoarp) == 0 && p.state != brStateLearning && p.state != brStateForwarding:
		return nlmsg.EPERM
	case p == nil && m.state&nudPermanent == 0, sticky && m.state&nudPermanent != 0:
		return nlmsg.EINVAL
	}
	notify := uint8(0)
	if a := nfea.get(nfeaActivityNotify); a != nil {
		if notify = a.u8(); notify&^3 != 0 || notify == 2 {
			return nlmsg.EINVAL
		}
	}
	f, modified := b.brFdbFind(addr, vid), false
	if f == nil {
		if nlmflags&nlmCreate == 0 {
			return nlmsg.ENOENT
		}
		f, modified = b.fdbCreate(p, addr, vid, fdbAddedByUser), true
	} else {
		if nlmflags&nlmExcl != 0 {
			return nlmsg.EEXIST
		}
		modified = f.dst != p
		f.dst = p
		f.flags |= fdbAddedByUser
	}
	if f.nud() != m.state {
		f.flags &^= fdbLocal | fdbStatic
		switch {
		case m.state&nudPermanent != 0:
			f.flags |= fdbLocal | fdbStatic
		case m.state&nudNoarp != 0:
			f.flags |= fdbStatic
		}
		modified = true
	}
	for _, o := range []struct {
		flag uint32
		on   bool
	}{{fdbSticky, sticky}, {fdbNotify, notify&1 != 0}, {fdbNotifyInactive, notify&2 != 0}} {
		if o.flag != fdbSticky && nfea.get(nfeaActivityNotify) == nil {
			continue
		}
		if o.on != (f.flags&o.flag != 0) {
			f.flags ^= o.flag
			modified = true
		}
	}
	if modified {
		k.fdbNotify(b, f, rtmNewneigh)
	}
	return 0
}

// brFdbDel is net/bridge/br_fdb.c br_fdb_del.
func (k *Kernel) brFdbDel(d *netDevice, addr []byte, vid uint16) errno {
	defer k.enter("br_fdb_del")()
	b, p, g := d.ofFdb()
	if b == nil {
		return nlmsg.EINVAL
	}
	del := func(vid uint16) bool { // fdb_delete_by_addr_and_port
		f := b.brFdbFind(addr, vid)
		if f == nil || f.dst != p {
			return false
		}
		k.fdbDelete(b, f)
		return true
	}
	if vid != 0 {
		if g.find(vid) == nil && !k.has(fdbDelUnknownVlan) {
			return nlmsg.EINVAL
		}
		if !del(vid) {
			return nlmsg.ENOENT
		}
		return 0
	}
	found := del(0)
	for _, v := range g.used() {
		found = del(v.vid) || found
	}
	if !found {
		return nlmsg.ENOENT
	}
	return 0
}

// fdbDelBulkPolicy is net/bridge/br_fdb.c br_fdb_del_bulk_policy, which was
// net/core/rtnetlink.c fdb_del_bulk_policy.
func (k *Kernel) fdbDelBulkPolicy() policy {
	p := make(policy, k.ndaMax()+1)
	p[ndaVlan].typ = nlaU16
	p[ndaIfindex] = nlaPolicy{typ: nlaS32, check: validateMin, min: 1}
	if k.has(ndaFdbFlush) {
		p[ndaNdmStateMask].typ, p[ndaNdmFlagsMask].typ = nlaU16, nlaU8
	}
	if k.has(fdbBulkByDriver) {
		p[ndaVlan] = nlaPolicy{typ: nlaU16, check: validateRange, min: 1, max: vlanVidMask - 1}
	}
	return p
}

// brFdbDelBulk is net/bridge/br_fdb.c br_fdb_del_bulk.
func (k *Kernel) brFdbDelBulk(m ndmsg, tb attrTable, d *netDevice, x *extAck) errno {
	defer k.enter("br_fdb_del_bulk")()
	b, p, _ := d.ofFdb()
	if b == nil {
		return nlmsg.EINVAL
	}
	var desc fdbFlushDesc
	if a := tb.get(ndaVlan); a != nil {
		desc.vid = a.u16()
	}
	state := func(s uint16) (f uint32) { // __ndm_state_to_fdb_flags
		if s&nudPermanent != 0 {
			f |= fdbLocal
		}
		if s&nudNoarp != 0 {
			f |= fdbStatic
		}
		return f
	}
	flags := func(s uint8) (f uint32) { // __ndm_flags_to_fdb_flags
		for _, o := range []struct {
			ntf uint8
			fdb uint32
		}{{ntfUse, fdbAddedByUser}, {ntfExtLearned, fdbAddedByExtLearn}, {1 << 5, fdbOffloaded}, {ntfSticky, fdbSticky}} {
			if s&o.ntf != 0 {
				f |= o.fdb
			}
		}
		return f
	}
	desc.flags = state(m.state) | flags(m.flags)
	if a := tb.get(ndaNdmStateMask); a != nil {
		desc.mask |= state(a.u16())
	}
	if a := tb.get(ndaNdmFlagsMask); a != nil {
		desc.mask |= flags(a.u8())
	}
	desc.flags &= desc.mask
	if a := tb.get(ndaIfindex); a != nil {
		desc.ifindex = int(int32(a.u32()))
		if err := b.flushValidateIfindex(desc.ifindex, x); err != 0 {
			return err
		}
	} else if p != nil {
		desc.ifindex = p.dev.index
	}
	k.brFdbFlush(b, desc)
	return 0
}

// flushValidateIfindex is net/bridge/br_fdb.c __fdb_flush_validate_ifindex.
func (b *netBridge) flushValidateIfindex(ifindex int, x *extAck) errno {
	d := b.dev.net.devGetByIndex(ifindex)
	if d == nil {
		x.set("bridge: Unknown flush device ifindex")
		return nlmsg.ENODEV
	}
	switch of, _, _ := d.ofFdb(); {
	case of == nil:
		x.set("bridge: Flush device is not a bridge or bridge port")
	case of == b:
		return 0
	case d.bridge() != nil:
		x.set("bridge: Flush bridge device does not match target bridge device")
	default:
		x.set("bridge: Port belongs to a different bridge device")
	}
	return nlmsg.EINVAL
}
