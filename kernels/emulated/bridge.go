package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Options of a bridge (net/bridge/br_private.h enum net_bridge_opts), and those of
// them that are in IFLA_BR_MULTI_BOOLOPT, by their bit there.
const (
	brStpUser   = 2 // BR_USER_STP
	brStpKernel = 1
	brStpNone   = 0

	boolNoLLLearn         = 0
	boolMcastVlanSnooping = 1
	boolMstEnable         = 2
	boolFdbLocalVlan0     = 4
)

// bridgeID is a struct bridge_id: a priority and an address.
type bridgeID [8]byte

func (id *bridgeID) setAddr(a []byte) { copy(id[2:], a) }
func (id *bridgeID) prio() uint16     { return uint16(id[0])<<8 | uint16(id[1]) }

// netBridge is a bridge (net/bridge/br_private.h struct net_bridge). Times are in
// jiffies.
type netBridge struct {
	k      *Kernel
	dev    *netDevice
	ports  []*bridgePort // the newest first
	fdb    []*fdbEntry   // the newest first
	vlans  vlanGroup
	autoed int // auto_cnt

	bridgeID, root                                       bridgeID
	forwardDelay, helloTime, maxAge, ageingTime          uint64
	stp, stpMode                                         uint32
	groupFwdMask                                         uint16
	groupAddr                                            [6]byte
	groupAddrSet, addrSet, mtuSet                        bool
	vlanFiltering, vlanStats, vlanStatsPerPort           bool
	vlanProto, defaultPvid                               uint16
	boolopts                                             uint32
	fdbMaxLearned                                        uint32
	mcastRouter                                          uint8
	mcastSnooping, mcastIfaddr, mcastQuerier, mcastStats bool
	hashMax, lastMemberCnt, startupQueryCnt              uint32
	igmpVersion, mldVersion                              uint8
	mcastIntervals                                       [6]uint64 // from IFLA_BR_MCAST_LAST_MEMBER_INTVL on
	nfCall                                               [3]bool   // ip, ip6 and arp tables
}

// bridge is the bridge that a link is, nil if it is none (netif_is_bridge_master).
func (d *netDevice) bridge() *netBridge {
	b, _ := d.priv.(*netBridge)
	return b
}

// Jiffies: HZ is 250, and a clock_t is 10 ms.
const hz = 250

func clockTToJiffies(t uint64) uint64 {
	if t >= ^uint64(0)/hz*100 {
		return ^uint64(0)
	}
	return t/100*hz + t%100*hz/100
}

func jiffiesToClockT(j uint64) uint64 { return j/5*2 + j%5*2/5 }

// brInit is net/bridge/br.c br_init.
func (k *Kernel) brInit() {
	k.registerNetdeviceNotifier(k.brDeviceEvent)
	k.brVlanRtnlInit()
	k.rtnlLinkRegister(k.brLinkOps())
}

// brLinkOps is net/bridge/br_netlink.c br_link_ops.
func (k *Kernel) brLinkOps() *rtnlLinkOps {
	ndo := &netDeviceOps{
		open:          k.brDevOpen,
		stop:          k.brDevStop,
		changeMtu:     brChangeMtu,
		setMacAddress: brSetMacAddress,
		addSlave:      func(upper, d *netDevice, x *extAck) errno { return k.brAddIf(upper.bridge(), d, x) },
		delSlave:      func(upper, d *netDevice) errno { return k.brDelIf(upper.bridge(), d) },
	}
	return &rtnlLinkOps{
		kind:       "bridge",
		setup:      func(d *netDevice) { k.brDevSetup(d, ndo) },
		policy:     k.brPolicy(),
		validate:   brValidate,
		newlink:    k.brDevNewlink,
		changelink: k.brChangelink,
		dellink:    k.brDevDelete,
		getSize:    func(*netDevice) int { return brInfoSize },
		fillInfo:   k.brFillInfo,

		getLinkxstatsSize: brGetLinkxstatsSize,
		fillLinkxstats:    brFillLinkxstats,

		slavePolicy: k.brPortPolicy(),
		slaveChangelink: func(master, d *netDevice, tb, data attrTable, x *extAck) errno {
			if data == nil {
				return 0
			}
			return k.brSetport(d.port, data, x)
		},
		getSlaveSize: func(master, d *netDevice) int { return brPortInfoSize },
		fillSlaveInfo: func(skb *skBuff, master, d *netDevice) errno {
			if d.port == nil {
				return nlmsg.EINVAL
			}
			k.brPortFillAttrs(skb, d.port)
			return 0
		},
	}
}

// brDevSetup is net/bridge/br_device.c br_dev_setup.
func (k *Kernel) brDevSetup(d *netDevice, ndo *netDeviceOps) {
	etherSetup(d)
	k.ethHwAddrRandom(d)
	d.maxMtu = ethMaxMtu
	d.ndo = ndo
	d.netnsImmutable = true
	b := &netBridge{k: k, dev: d, bridgeID: bridgeID{0x80}, forwardDelay: 15 * hz, helloTime: 2 * hz, maxAge: 20 * hz,
		ageingTime: 300 * hz, groupAddr: [6]byte{0x01, 0x80, 0xc2}, vlanProto: 0x8100, defaultPvid: 1,
		mcastRouter: 1, mcastSnooping: true, hashMax: 4096, lastMemberCnt: 2, startupQueryCnt: 2, igmpVersion: 2, mldVersion: 1,
		mcastIntervals: [6]uint64{hz, 260 * hz, 255 * hz, 125 * hz, 10 * hz, 125 * hz / 4}}
	b.root = b.bridgeID
	d.priv = b
}

// brDevNewlink is net/bridge/br_netlink.c br_dev_newlink. Its links are told of by
// who calls it.
func (k *Kernel) brDevNewlink(d *netDevice, p *newlinkParams, tb, data attrTable, x *extAck) errno {
	if err := k.registerNetdevice(d); err != 0 {
		return err
	}
	b := d.bridge()
	if a := tb.get(iflaAddress); a != nil {
		b.addrSet = true
		k.brStpChangeBridgeID(b, a.data[:6])
	}
	err := k.brChangelink(d, tb, data, x)
	if err != 0 {
		k.unregisterNetdeviceMany(k.brDevDelete(d), 0, nil)
	}
	return err
}

// brDevDelete is net/bridge/br_if.c br_dev_delete.
func (k *Kernel) brDevDelete(d *netDevice) []*netDevice {
	b := d.bridge()
	if b == nil {
		return nil
	}
	for _, p := range slices.Clone(b.ports) {
		k.delNbp(p)
	}
	k.brFdbDeleteByPort(b, nil, 0, true)
	return []*netDevice{d}
}

// brDevOpen is net/bridge/br_device.c br_dev_open.
func (k *Kernel) brDevOpen(d *netDevice) errno {
	b := d.bridge()
	for _, p := range slices.Clone(b.ports) { // br_stp_enable_bridge
		if p.dev.flags&iffUp != 0 && p.dev.operUp() {
			k.brStpEnablePort(p)
		}
	}
	if b.mcastSnooping {
		k.brMulticastSnoopers(b, true)
	}
	return 0
}

// brMulticastSnoopers has a bridge listen to what all snoopers do
// (net/bridge/br_multicast.c br_multicast_join_snoopers,
// br_multicast_leave_snoopers).
func (k *Kernel) brMulticastSnoopers(b *netBridge, join bool) {
	all4, all6 := in4Addr(0xe000006a), in6Addr{0xff, 2, 15: 0x6a}
	if in := b.dev.inDev; in != nil && join {
		k.ipMcIncGroup(in, all4)
	} else if in != nil {
		k.ipMcDecGroup(in, all4)
	}
	if in := b.dev.in6Dev; in != nil && join {
		k.ipv6DevMcInc(in, all6)
	} else if in != nil {
		k.ipv6DevMcDec(in, all6)
	}
}

// brDevStop is net/bridge/br_device.c br_dev_stop.
func (k *Kernel) brDevStop(d *netDevice) {
	b := d.bridge()
	for _, p := range slices.Clone(b.ports) { // br_stp_disable_bridge
		if p.state != brStateDisabled {
			k.brStpDisablePort(p)
		}
	}
	if b.mcastSnooping {
		k.brMulticastSnoopers(b, false)
	}
}

// operUp is include/linux/netdevice.h netif_oper_up.
func (d *netDevice) operUp() bool { return d.operstate == ifOperUp || d.operstate == ifOperUnknown }

// brChangeMtu is net/bridge/br_device.c br_change_mtu.
func brChangeMtu(d *netDevice, mtu uint32) errno {
	d.mtu = mtu
	d.bridge().mtuSet = true
	return 0
}

// brSetMacAddress is net/bridge/br_device.c br_set_mac_address.
func brSetMacAddress(d *netDevice, addr []byte) errno {
	if !validEtherAddr(addr) {
		return nlmsg.EADDRNOTAVAIL
	}
	b := d.bridge()
	b.addrSet = true
	if !bytes.Equal(d.addr, addr[:6]) {
		b.k.brStpChangeBridgeID(b, addr[:6])
	}
	return 0
}

// brMtuAutoAdjust is net/bridge/br_if.c br_mtu_auto_adjust.
func (k *Kernel) brMtuAutoAdjust(b *netBridge) {
	if b.mtuSet {
		return
	}
	mtu := uint32(0)
	for _, p := range b.ports {
		if mtu == 0 || mtu > p.dev.mtu {
			mtu = p.dev.mtu
		}
	}
	if mtu == 0 {
		mtu = 1500
	}
	k.devSetMtu(b.dev, mtu, nil)
	b.mtuSet = false
}

// brSetGsoLimits is net/bridge/br_if.c br_set_gso_limits.
func (k *Kernel) brSetGsoLimits(b *netBridge) {
	if !k.has(linkTsoMax) {
		b.dev.gsoMaxSize, b.dev.gsoMaxSegs = gsoLegacyMaxSize, gsoMaxSegs
		for _, p := range b.ports {
			b.dev.gsoMaxSize, b.dev.gsoMaxSegs = min(b.dev.gsoMaxSize, p.dev.gsoMaxSize), min(b.dev.gsoMaxSegs, p.dev.gsoMaxSegs)
		}
		return
	}
	size, segs := uint32(gsoMaxSize), uint32(gsoMaxSegs)
	for _, p := range b.ports {
		size, segs = min(size, p.dev.tsoMaxSize), min(segs, p.dev.tsoMaxSegs)
	}
	b.dev.tsoMaxSize, b.dev.gsoMaxSize = size, min(b.dev.gsoMaxSize, size)
	b.dev.tsoMaxSegs, b.dev.gsoMaxSegs = segs, min(b.dev.gsoMaxSegs, segs)
}

// brDeviceEvent has a bridge hear of its ports, and of itself
// (net/bridge/br.c br_device_event).
func (k *Kernel) brDeviceEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	if b := d.bridge(); b != nil && e == netdevRegister { // br_vlan_bridge_event
		if k.has(fdbLocalAtInit) {
			k.brFdbAddLocal(b, nil, d.addr, 0)
		}
		k.brVlanAdd(b, b.defaultPvid, vlanInfoPvid|vlanInfoUntagged|vlanInfoBrentry, x)
		k.brVlanNotify(b, nil, b.defaultPvid, b.defaultPvid, rtmNewvlan)
	}
	p := d.port
	if p == nil {
		return 0
	}
	b, notified := p.br, false
	switch e {
	case netdevChangemtu:
		k.brMtuAutoAdjust(b)
	case netdevPreChangeaddr:
		if !b.addrSet {
			return k.callNetdevice(netdevPreChangeaddr, b.dev, x)
		}
	case netdevChangeaddr:
		k.brFdbChangeaddr(p, d.addr)
		if k.brStpRecalculateBridgeID(b) {
			k.callNetdevice(netdevChangeaddr, b.dev, nil)
		}
	case netdevChange:
		notified = k.brPortCarrierCheck(p)
	case netdevDown:
		if b.dev.flags&iffUp != 0 {
			k.brStpDisablePort(p)
			notified = true
		}
	case netdevUp:
		if b.dev.flags&iffUp != 0 && d.operUp() {
			k.brStpEnablePort(p)
			notified = true
		}
	case netdevUnregister:
		k.brDelIf(b, d)
		return 0
	case netdevPreTypeChange:
		return nlmsg.EBUSY
	}
	switch e {
	case netdevChangeaddr, netdevUp, netdevChange, netdevDown:
		if !notified {
			k.brIfinfoNotify(rtmNewlink, nil, p)
		}
	}
	return 0
}
