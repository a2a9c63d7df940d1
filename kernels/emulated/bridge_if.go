package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// States of a port (include/uapi/linux/if_bridge.h BR_STATE_*).
const (
	brStateDisabled = iota
	brStateListening
	brStateLearning
	brStateForwarding
	brStateBlocking
)

// Flags of a port (include/linux/if_bridge.h).
const (
	brHairpinMode = 1 << iota
	brBpduGuard
	brRootBlock
	brMulticastFastLeave
	brAdminCost
	brLearning
	brFlood
	brPromisc
	brProxyarp
	brProxyarpWifi
	brMcastFlood
	brMulticastToUnicast
	brVlanTunnel
	brBcastFlood
	brNeighSuppress
	brIsolated
	brPortLocked
	brPortMab
	brNeighVlanSuppress
	brNeighForwardGrat
	brAutoMask = brFlood | brLearning
)

// bridgePort is a link that is a port of a bridge (net/bridge/br_private.h struct
// net_bridge_port).
type bridgePort struct {
	br    *netBridge
	dev   *netDevice
	state uint8
	flags uint32
	vlans vlanGroup

	priority       uint16 // of 6 bits
	no             uint16
	cost           uint32
	root, bridge   bridgeID // designated_*
	designatedPort uint16
	groupFwdMask   uint16
	mcastRouter    uint8
	ehtHostsLimit  uint32
	maxGroups      uint32
	backup         *bridgePort
	backupNhid     uint32
}

// id is net/bridge/br_stp.c br_make_port_id.
func (p *bridgePort) id() uint16 { return p.priority<<10 | p.no&0x3ff }

// brAddIf is net/bridge/br_if.c br_add_if.
func (k *Kernel) brAddIf(b *netBridge, d *netDevice, x *extAck) errno {
	switch {
	case d.flags&iffLoopback != 0 || d.typ != arphrdEther || d.addrLen != 6 || !validEtherAddr(d.addr):
		return nlmsg.EINVAL
	case d.bridge() != nil:
		x.set("Can not enslave a bridge to a bridge")
		return nlmsg.ELOOP
	case d.master != nil, k.stackedOn(d, b.dev):
		return nlmsg.EBUSY
	}
	no := b.findPortno()
	if no == 0 {
		return 54 // EXFULL
	}
	p := &bridgePort{br: b, dev: d, no: no, priority: 32, cost: portCost(d), flags: brLearning | brFlood | brMcastFlood | brBcastFlood,
		mcastRouter: 1, ehtHostsLimit: 512}
	p.becomeDesignated()
	k.callNetdevice(netdevJoin, d, nil)
	k.devSetAllmulti(d, true)
	d.port = p
	if err := k.callNetdevice(netdevPrechangeupper, d, x); err != 0 {
		d.port = nil
		k.devSetAllmulti(d, false)
		return err
	}
	d.master = b.dev
	k.callNetdevice(netdevChangeupper, d, x)
	b.ports = slices.Insert(b.ports, 0, p)
	k.nbpUpdatePortCount(b)
	k.brUpdateHeadroom(b)
	late := k.has(brFeaturesLate)
	if !late {
		k.brUpdateFeatures(b, 1)
	}
	k.brFdbInsert(b, p, d.addr, 0)
	if !b.addrSet {
		if err := k.callNetdevice(netdevPreChangeaddr, b.dev, x); err != 0 {
			k.delNbp(p)
			return err
		}
	}
	if b.defaultPvid != 0 { // nbp_vlan_init
		k.nbpVlanAdd(p, b.defaultPvid, vlanInfoPvid|vlanInfoUntagged, x)
		k.brVlanNotify(b, p, b.defaultPvid, b.defaultPvid, rtmNewvlan)
	}
	changed := k.brStpRecalculateBridgeID(b)
	if d.flags&iffUp != 0 && d.operUp() && b.dev.flags&iffUp != 0 {
		k.brStpEnablePort(p)
	}
	k.brIfinfoNotify(rtmNewlink, nil, p)
	if changed {
		k.callNetdevice(netdevChangeaddr, b.dev, nil)
	}
	k.brMtuAutoAdjust(b)
	k.brSetGsoLimits(b)
	if late {
		k.brUpdateFeatures(b, 1)
	}
	return 0
}

// brUpdateFeatures tells that a bridge has got or lost features, which are those of
// its ports: when it has got its first port, or lost its last, and has n; newer
// kernels tell each time (net/core/dev.c netdev_update_features,
// netdev_change_features).
func (k *Kernel) brUpdateFeatures(b *netBridge, n int) {
	switch {
	case len(b.ports) == n:
		k.callNetdevice(netdevFeatChange, b.dev, nil)
	case k.has(brFeaturesLate): // nothing that is on it changes
		k.rtnetlinkEvent(netdevFeatChange, b.dev, nil)
	}
}

// brUpdateHeadroom is net/bridge/br_if.c update_headroom. That of a veth is only
// what others want of it.
func (k *Kernel) brUpdateHeadroom(b *netBridge) {
	b.dev.neededHeadroom = 0
	for _, p := range b.ports {
		if _, phony := p.dev.priv.(*veth); !phony {
			b.dev.neededHeadroom = max(b.dev.neededHeadroom, p.dev.neededHeadroom)
		}
	}
}

// stackedOn says that a link is above another (net/core/dev.c
// __netdev_has_upper_dev).
func (k *Kernel) stackedOn(d, lower *netDevice) bool {
	for range 8 {
		v, ok := d.priv.(*vlan)
		if !ok {
			return false
		}
		if d = v.real; d == lower {
			return true
		}
	}
	return false
}

// findPortno is net/bridge/br_if.c find_portno: 0 for none.
func (b *netBridge) findPortno() uint16 {
	var used [1 << 10]bool
	for _, p := range b.ports {
		used[p.no] = true
	}
	for no := 1; no < len(used); no++ {
		if !used[no] {
			return uint16(no)
		}
	}
	return 0
}

// portCost is net/bridge/br_if.c port_cost, by the speed that the kind of a link
// tells.
func portCost(d *netDevice) uint32 {
	for range 8 {
		switch p := d.priv.(type) {
		case *veth: // 10 Gb/s
			return 2
		case *vlan:
			d = p.real
		default:
			return 100
		}
	}
	return 100
}

// brDelIf is net/bridge/br_if.c br_del_if.
func (k *Kernel) brDelIf(b *netBridge, d *netDevice) errno {
	p := d.port
	if p == nil || p.br != b {
		return nlmsg.EINVAL
	}
	k.delNbp(p)
	k.brMtuAutoAdjust(b)
	k.brSetGsoLimits(b)
	if k.brStpRecalculateBridgeID(b) {
		k.callNetdevice(netdevChangeaddr, b.dev, nil)
	}
	k.brUpdateFeatures(b, 0)
	return 0
}

// delNbp is net/bridge/br_if.c del_nbp.
func (k *Kernel) delNbp(p *bridgePort) {
	b, d := p.br, p.dev
	k.devSetAllmulti(d, false) // nbp_delete_promisc
	if p.flags&brPromisc != 0 {
		k.devSetPromiscuity(d, false)
	}
	k.brStpDisablePort(p)
	k.brIfinfoNotify(rtmDellink, nil, p)
	if i := slices.Index(b.ports, p); i >= 0 {
		b.ports = slices.Delete(b.ports, i, i+1)
	}
	k.brUpdateHeadroom(b)
	k.nbpVlanFlush(p)
	k.brFdbDeleteByPort(b, p, 0, true)
	for _, o := range b.ports { // nbp_backup_clear
		if o.backup == p {
			o.backup = nil
		}
	}
	k.nbpUpdatePortCount(b)
	k.callNetdevice(netdevPrechangeupper, d, nil)
	d.master, d.port = nil, nil
	k.callNetdevice(netdevChangeupper, d, nil)
}

// nbpUpdatePortCount is net/bridge/br_if.c nbp_update_port_count.
func (k *Kernel) nbpUpdatePortCount(b *netBridge) {
	n := 0
	for _, p := range b.ports {
		if p.flags&brAutoMask != 0 {
			n++
		}
	}
	if n != b.autoed {
		b.autoed = n
		k.brManagePromisc(b)
	}
}

// brManagePromisc is net/bridge/br_if.c br_manage_promisc. Only VLANs can filter
// their unicast addresses.
func (k *Kernel) brManagePromisc(b *netBridge) {
	all := b.dev.flags&iffPromisc != 0 || !b.vlanFiltering
	for _, p := range slices.Clone(b.ports) {
		_, filters := p.dev.priv.(*vlan)
		want := all || !filters || !(b.autoed == 0 || b.autoed == 1 && p.flags&brAutoMask != 0)
		if want == (p.flags&brPromisc != 0) {
			continue
		}
		k.devSetPromiscuity(p.dev, want)
		p.flags ^= brPromisc
	}
}

// devSetPromiscuity is net/core/dev.c dev_set_promiscuity.
func (k *Kernel) devSetPromiscuity(d *netDevice, more bool) {
	old := d.flags
	d.changeRx(iffPromisc, &d.promiscuity, more)
	k.devNotifyFlags(d, old, iffPromisc, 0, nil)
}

// devSetAllmulti is net/core/dev.c dev_set_allmulti.
func (k *Kernel) devSetAllmulti(d *netDevice, more bool) {
	old := d.flags
	d.changeRx(iffAllmulti, &d.allmulti, more)
	if d.flags != old {
		k.devNotifyFlags(d, old, 0, 0, nil)
	}
}

// nbpBackupChange is net/bridge/br_if.c nbp_backup_change.
func (p *bridgePort) nbpBackupChange(d *netDevice) errno {
	var backup *bridgePort
	if d != nil {
		if backup = d.port; backup == nil {
			return nlmsg.ENOENT
		}
		if backup.br != p.br {
			return nlmsg.EINVAL
		}
	}
	if backup == p {
		return nlmsg.EINVAL
	}
	p.backup = backup
	return 0
}
