package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Flags of a VLAN (include/uapi/linux/if_bridge.h BRIDGE_VLAN_INFO_*).
const (
	vlanInfoMaster = 1 << iota
	vlanInfoPvid
	vlanInfoUntagged
	vlanInfoRangeBegin
	vlanInfoRangeEnd
	vlanInfoBrentry
)

const vlanVidMask = 0xfff // VLAN_VID_MASK

// vlanGroup are the VLANs of a bridge or of a port (net/bridge/br_private.h struct
// net_bridge_vlan_group).
type vlanGroup struct {
	list []*bridgeVlan // by their IDs
	pvid uint16
}

// bridgeVlan is one of them (struct net_bridge_vlan). That of a bridge may only be
// there for those of its ports.
type bridgeVlan struct {
	vid   uint16
	flags uint16
	refs  int  // of a bridge's: how many need it
	use   bool // br_vlan_should_use
}

func (g *vlanGroup) find(vid uint16) *bridgeVlan {
	i, ok := slices.BinarySearchFunc(g.list, vid, func(v *bridgeVlan, vid uint16) int { return int(v.vid) - int(vid) })
	if !ok {
		return nil
	}
	return g.list[i]
}

func (g *vlanGroup) insert(v *bridgeVlan) {
	i, _ := slices.BinarySearchFunc(g.list, v.vid, func(v *bridgeVlan, vid uint16) int { return int(v.vid) - int(vid) })
	g.list = slices.Insert(g.list, i, v)
}

func (g *vlanGroup) remove(v *bridgeVlan) {
	g.list = slices.DeleteFunc(g.list, func(o *bridgeVlan) bool { return o == v })
}

// used are those that are more than something for ports to refer to.
func (g *vlanGroup) used() (l []*bridgeVlan) {
	for _, v := range g.list {
		if v.use {
			l = append(l, v)
		}
	}
	return l
}

// commit gives a VLAN its flags, and says whether that is a change
// (net/bridge/br_vlan.c __vlan_flags_commit).
func (g *vlanGroup) commit(v *bridgeVlan, flags uint16) bool {
	oldPvid, old := g.pvid, v.flags
	switch {
	case flags&vlanInfoPvid != 0:
		g.pvid = v.vid
	case g.pvid == v.vid:
		g.pvid = 0
	}
	v.flags = v.flags&^vlanInfoUntagged | flags&vlanInfoUntagged
	return g.pvid != oldPvid || v.flags != old
}

// brVlanAdd is net/bridge/br_vlan.c br_vlan_add.
func (k *Kernel) brVlanAdd(b *netBridge, vid, flags uint16, x *extAck) (changed bool, err errno) {
	v := b.vlans.find(vid)
	if v == nil {
		v = &bridgeVlan{vid: vid, use: flags&vlanInfoBrentry != 0}
		if v.use {
			v.refs = 1
			k.brFdbAddLocal(b, nil, b.dev.addr, vid)
		}
		b.vlans.insert(v)
		b.vlans.commit(v, flags)
		return true, 0
	}
	// br_vlan_add_existing
	if !v.use {
		if flags&vlanInfoBrentry == 0 {
			return false, nlmsg.EINVAL
		}
		k.brFdbAddLocal(b, nil, b.dev.addr, vid)
		v.refs++
		v.use, changed = true, true
	}
	return b.vlans.commit(v, flags) || changed, 0
}

// brVlanDelete is net/bridge/br_vlan.c br_vlan_delete.
func (k *Kernel) brVlanDelete(b *netBridge, vid uint16) errno {
	v := b.vlans.find(vid)
	if v == nil || !v.use {
		return nlmsg.ENOENT
	}
	k.brFdbFindDeleteLocal(b, nil, b.dev.addr, vid)
	k.brFdbDeleteByPort(b, nil, vid, false)
	if b.vlans.pvid == vid {
		b.vlans.pvid = 0
	}
	v.use = false
	b.putMaster(v)
	return 0
}

// putMaster is net/bridge/br_vlan.c br_vlan_put_master.
func (b *netBridge) putMaster(v *bridgeVlan) {
	if v.refs--; v.refs == 0 {
		b.vlans.remove(v)
	}
}

// nbpVlanAdd is net/bridge/br_vlan.c nbp_vlan_add.
func (k *Kernel) nbpVlanAdd(p *bridgePort, vid, flags uint16, x *extAck) (changed bool, err errno) {
	if v := p.vlans.find(vid); v != nil {
		return p.vlans.commit(v, flags), 0
	}
	if flags&vlanInfoMaster != 0 {
		if _, err := k.brVlanAdd(p.br, vid, flags|vlanInfoBrentry, x); err != 0 {
			return false, err
		}
	}
	m := p.br.vlans.find(vid) // br_vlan_get_master
	if m == nil {
		k.brVlanAdd(p.br, vid, 0, x)
		m = p.br.vlans.find(vid)
	}
	m.refs++
	v := &bridgeVlan{vid: vid, use: true}
	if p.br.boolopts>>boolFdbLocalVlan0&1 == 0 {
		k.brFdbAddLocal(p.br, p, p.dev.addr, vid)
	}
	p.vlans.insert(v)
	p.vlans.commit(v, flags)
	return true, 0
}

// nbpVlanDelete is net/bridge/br_vlan.c nbp_vlan_delete.
func (k *Kernel) nbpVlanDelete(p *bridgePort, vid uint16) errno {
	v := p.vlans.find(vid)
	if v == nil {
		return nlmsg.ENOENT
	}
	k.brFdbFindDeleteLocal(p.br, p, p.dev.addr, vid)
	k.brFdbDeleteByPort(p.br, p, vid, false)
	k.vlanDel(p, v)
	return 0
}

// vlanDel is net/bridge/br_vlan.c __vlan_del of a port's.
func (k *Kernel) vlanDel(p *bridgePort, v *bridgeVlan) {
	if p.vlans.pvid == v.vid {
		p.vlans.pvid = 0
	}
	p.vlans.remove(v)
	if m := p.br.vlans.find(v.vid); m != nil {
		p.br.putMaster(m)
	}
}

// nbpVlanFlush is net/bridge/br_vlan.c nbp_vlan_flush.
func (k *Kernel) nbpVlanFlush(p *bridgePort) {
	for _, v := range slices.Clone(p.vlans.list) {
		k.vlanDel(p, v)
	}
}

// defaultPvid is net/bridge/br_vlan.c vlan_default_pvid.
func (g *vlanGroup) defaultPvid(vid uint16) bool {
	v := g.find(vid)
	return v != nil && vid == g.pvid && v.use && v.flags&vlanInfoUntagged != 0
}

// brVlanSetDefaultPvid is net/bridge/br_vlan.c __br_vlan_set_default_pvid.
func (k *Kernel) brVlanSetDefaultPvid(b *netBridge, pvid uint16, x *extAck) errno {
	old := b.defaultPvid
	if pvid == 0 { // br_vlan_disable_default_pvid
		if b.vlans.defaultPvid(old) {
			k.brVlanDelete(b, old)
			k.brVlanNotify(b, nil, old, old, rtmDelvlan)
		}
		for _, p := range b.ports {
			if p.vlans.defaultPvid(old) {
				k.nbpVlanDelete(p, old)
				k.brVlanNotify(b, p, old, old, rtmDelvlan)
			}
		}
		b.defaultPvid = 0
		return 0
	}
	const flags = vlanInfoPvid | vlanInfoUntagged
	if v := b.vlans.find(pvid); (old == 0 || b.vlans.defaultPvid(old)) && (v == nil || !v.use) {
		if _, err := k.brVlanAdd(b, pvid, flags|vlanInfoBrentry, x); err != 0 {
			return err
		}
		if k.brVlanDelete(b, old) == 0 {
			k.brVlanNotify(b, nil, old, old, rtmDelvlan)
		}
		k.brVlanNotify(b, nil, pvid, pvid, rtmNewvlan)
	}
	for _, p := range b.ports {
		if old != 0 && !p.vlans.defaultPvid(old) || p.vlans.find(pvid) != nil {
			continue
		}
		if _, err := k.nbpVlanAdd(p, pvid, flags, x); err != 0 {
			return err
		}
		if k.nbpVlanDelete(p, old) == 0 {
			k.brVlanNotify(b, p, old, old, rtmDelvlan)
		}
		k.brVlanNotify(b, p, pvid, pvid, rtmNewvlan)
	}
	b.defaultPvid = pvid
	return 0
}

// brVlanFilterToggle is net/bridge/br_vlan.c br_vlan_filter_toggle.
func (k *Kernel) brVlanFilterToggle(b *netBridge, on bool) {
	if b.vlanFiltering == on {
		return
	}
	b.vlanFiltering = on
	k.brManagePromisc(b)
	b.recalculateGroupAddr()
	if !on {
		b.boolopts &^= 1 << boolMcastVlanSnooping
	}
}

// recalculateGroupAddr is net/bridge/br_vlan.c recalculate_group_addr.
func (b *netBridge) recalculateGroupAddr() {
	if b.groupAddrSet {
		return
	}
	b.groupAddr[5] = 0
	if b.vlanFiltering && b.vlanProto != 0x8100 {
		b.groupAddr[5] = 8
	}
}

// bridgeVlanInfo is a struct bridge_vlan_info.
type bridgeVlanInfo struct{ flags, vid uint16 }

func (i bridgeVlanInfo) bytes() []byte {
	return native.AppendUint16(native.AppendUint16(nil, i.flags), i.vid)
}

// brProcessVlanInfo changes the VLANs of a bridge, or of a port of it; last is the
// begin of a range (net/bridge/br_netlink.c br_process_vlan_info).
func (k *Kernel) brProcessVlanInfo(b *netBridge, p *bridgePort, cmd int, cur bridgeVlanInfo, last **bridgeVlanInfo, changed *bool, x *extAck) errno {
	if cur.vid == 0 || cur.vid >= vlanVidMask {
		x.set("bridge: Vlan id is invalid")
		return nlmsg.EINVAL
	}
	if cur.flags&vlanInfoRangeBegin != 0 {
		if !brVlanValidRange(cur, *last, x) {
			return nlmsg.EINVAL
		}
		*last = &cur
		return 0
	}
	msgtype := uint16(rtmNewvlan)
	if cmd == rtmDellink {
		msgtype = rtmDelvlan
	}
	if *last == nil {
		err := k.brVlanInfo(b, p, cmd, cur, changed, x)
		if *changed {
			k.brVlanNotify(b, p, cur.vid, cur.vid, msgtype)
		}
		return err
	}
	if !brVlanValidRange(cur, *last, x) {
		return nlmsg.EINVAL
	}
	v := **last
	*last = nil
	var err errno
	start := uint16(0) // of those that have changed and have not been told
	for ; v.vid <= cur.vid; v.vid++ {
		one := false
		if err = k.brVlanInfo(b, p, cmd, v, &one, x); err != 0 {
			break
		}
		switch {
		case one:
			*changed = true
			if start == 0 {
				start = v.vid
			}
		case start != 0:
			k.brVlanNotify(b, p, start, v.vid-1, msgtype)
			start = 0
		}
	}
	if start != 0 {
		k.brVlanNotify(b, p, start, v.vid-1, msgtype)
	}
	return err
}

// brVlanValidRange is net/bridge/br_private.h br_vlan_valid_range.
func brVlanValidRange(cur bridgeVlanInfo, last *bridgeVlanInfo, x *extAck) bool {
	switch {
	case cur.flags&vlanInfoPvid != 0:
		x.set("bridge: Pvid isn't allowed in a range")
	case last != nil && cur.flags&vlanInfoRangeBegin != 0:
		x.set("bridge: Found a new vlan range start while processing one")
	case last != nil && cur.flags&vlanInfoRangeEnd == 0:
		x.set("bridge: Vlan range end flag is missing")
	case last != nil && cur.vid <= last.vid:
		x.set("bridge: End vlan id is less than or equal to start vlan id")
	case cur.flags&(vlanInfoRangeBegin|vlanInfoRangeEnd) == 0:
		x.set("bridge: Both vlan range flags are missing")
	default:
		return true
	}
	return false
}

// brVlanInfo is net/bridge/br_netlink.c br_vlan_info. That something is not there to
// be deleted is no error.
func (k *Kernel) brVlanInfo(b *netBridge, p *bridgePort, cmd int, v bridgeVlanInfo, changed *bool, x *extAck) errno {
	one, err := false, errno(0)
	switch {
	case cmd == rtmSetlink && p != nil:
		one, err = k.nbpVlanAdd(p, v.vid, v.flags, x)
	case cmd == rtmSetlink:
		one, err = k.brVlanAdd(b, v.vid, v.flags|vlanInfoBrentry, x)
	case p != nil:
		one = k.nbpVlanDelete(p, v.vid) == 0
		if v.flags&vlanInfoMaster != 0 {
			one = k.brVlanDelete(p.br, v.vid) == 0 || one
		}
	default:
		one = k.brVlanDelete(b, v.vid) == 0
	}
	*changed = *changed || one
	return err
}
