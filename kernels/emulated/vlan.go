package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Attributes and flags of a VLAN (include/uapi/linux/if_link.h IFLA_VLAN_*,
// include/uapi/linux/if_vlan.h VLAN_FLAG_*).
const (
	iflaVlanID         = 1
	iflaVlanFlags      = 2
	iflaVlanEgressQos  = 3
	iflaVlanIngressQos = 4
	iflaVlanProtocol   = 5

	iflaVlanQosMapping = 1

	vlanFlagReorderHdr    = 1 << 0
	vlanFlagGvrp          = 1 << 1
	vlanFlagLooseBinding  = 1 << 2
	vlanFlagMvrp          = 1 << 3
	vlanFlagBridgeBinding = 1 << 4
	vlanFlags             = vlanFlagReorderHdr | vlanFlagGvrp | vlanFlagLooseBinding | vlanFlagMvrp | vlanFlagBridgeBinding

	ethP8021q  = 0x8100
	ethP8021ad = 0x88a8
	vlanVidMax = 4095 // VLAN_VID_MASK
	vlanHlen   = 4
	maxNestDev = 8 // MAX_NEST_DEV

	emlink errno = 31 // EMLINK
)

// vlan is what a link has of its VLAN (include/linux/if_vlan.h struct
// vlan_dev_priv).
type vlan struct {
	real    *netDevice
	proto   uint16
	id      uint16
	flags   uint32
	ingress [8]uint32
	egress  []qosMapping // in the order that it is told
	stolen  bool         // NET_ADDR_STOLEN: the address is that of the link below
}

// qosMapping is struct ifla_vlan_qos_mapping.
type qosMapping struct{ from, to uint32 }

var vlanPolicy = policy{
	iflaVlanID:         {typ: nlaU16},
	iflaVlanFlags:      {len: 8},
	iflaVlanEgressQos:  {typ: nlaNested},
	iflaVlanIngressQos: {typ: nlaNested},
	iflaVlanProtocol:   {typ: nlaU16},
}

var vlanMapPolicy = policy{iflaVlanQosMapping: {len: 8}}

// vlanLinkOps is net/8021q/vlan_netlink.c vlan_link_ops.
func (k *Kernel) vlanLinkOps() *rtnlLinkOps {
	ndo := &netDeviceOps{
		init:          vlanDevInit,
		open:          k.vlanDevOpen,
		stop:          k.vlanDevStop,
		validateAddr:  true,
		changeMtu:     vlanDevChangeMtu,
		setMacAddress: vlanDevSetMacAddress,
		changeRxFlags: k.vlanDevChangeRxFlags,
		iflink: func(d *netDevice) (int, *netns) {
			real := d.priv.(*vlan).real
			return real.index, real.net
		},
	}
	return &rtnlLinkOps{
		kind:   "vlan",
		policy: vlanPolicy,
		setup: func(d *netDevice) {
			etherSetup(d)
			d.minMtu, d.maxMtu = 0, ethMaxMtu
			d.bcast = make([]byte, 6)
			d.ndo = ndo
		},
		validate:   vlanValidate,
		newlink:    k.vlanNewlink,
		changelink: vlanChangelink,
		dellink:    k.unregisterVlanDev,
		getSize: func(d *netDevice) int {
			v := d.priv.(*vlan)
			return 2*nlaTotalSize(2) + nlaTotalSize(8) + 2*nlaTotalSize(4) + (len(v.ingress)+len(v.egress))*nlaTotalSize(8)
		},
		fillInfo: vlanFillInfo,
	}
}

// vlanValidate is net/8021q/vlan_netlink.c vlan_validate.
func vlanValidate(tb, data attrTable, x *extAck) errno {
	if err := etherValidate(tb); err != 0 {
		x.set("8021q: Invalid link address")
		return err
	}
	if data == nil {
		x.set("8021q: VLAN properties not specified")
		return nlmsg.EINVAL
	}
	if a := data.get(iflaVlanProtocol); a != nil {
		if p := be16(a.data); p != ethP8021q && p != ethP8021ad {
			x.set("8021q: Invalid VLAN protocol")
			return nlmsg.EPROTONOSUPPORT
		}
	}
	if a := data.get(iflaVlanID); a != nil && a.u16() >= vlanVidMax {
		x.set("8021q: Invalid VLAN id")
		return nlmsg.ERANGE
	}
	if a := data.get(iflaVlanFlags); a != nil {
		if flags, mask := native.Uint32(a.data), native.Uint32(a.data[4:]); flags&mask&^vlanFlags != 0 {
			x.set("8021q: Invalid VLAN flags")
			return nlmsg.EINVAL
		}
	}
	for _, q := range []struct {
		attr int
		msg  string
	}{{iflaVlanIngressQos, "8021q: Invalid ingress QOS map"}, {iflaVlanEgressQos, "8021q: Invalid egress QOS map"}} {
		if a := data.get(q.attr); a != nil {
			if _, err := nlaParseNested(a, vlanMapPolicy, liberal, nil); err != 0 {
				x.set(q.msg)
				return err
			}
		}
	}
	return 0
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// vlansOn are the VLANs on a link, by protocol and ID.
func (k *Kernel) vlansOn(real *netDevice) []*netDevice { return k.vlans[real] }

// vlanNewlink is net/8021q/vlan_netlink.c vlan_newlink.
func (k *Kernel) vlanNewlink(d *netDevice, p *newlinkParams, tb, data attrTable, x *extAck) errno {
	if data.get(iflaVlanID) == nil {
		x.set("8021q: VLAN id not specified")
		return nlmsg.EINVAL
	}
	if tb.get(iflaLink) == nil {
		x.set("8021q: link not specified")
		return nlmsg.EINVAL
	}
	real := p.linkNet().devGetByIndex(int(int32(tb[iflaLink].u32())))
	if real == nil {
		x.set("8021q: link does not exist")
		return nlmsg.ENODEV
	}
	v := &vlan{real: real, proto: ethP8021q, id: data[iflaVlanID].u16(), flags: vlanFlagReorderHdr}
	if a := data.get(iflaVlanProtocol); a != nil {
		v.proto = be16(a.data)
	}
	d.priv = v
	if err := k.vlanCheckRealDev(v, x); err != 0 {
		return err
	}
	if tb.get(iflaMtu) == nil {
		d.mtu = real.mtu
	} else if d.mtu > real.mtu {
		return nlmsg.EINVAL
	}
	if err := vlanChangelink(d, tb, data, x); err != 0 {
		return err
	}
	return k.registerVlanDev(d, v)
}

// vlanCheckRealDev is net/8021q/vlan.c vlan_check_real_dev.
func (k *Kernel) vlanCheckRealDev(v *vlan, x *extAck) errno {
	if v.real.flags&iffLoopback != 0 { // NETIF_F_VLAN_CHALLENGED
		x.set("8021q: VLANs not supported on device")
		return nlmsg.EOPNOTSUPP
	}
	for _, d := range k.vlansOn(v.real) {
		if w := d.priv.(*vlan); w.proto == v.proto && w.id == v.id {
			x.set("8021q: VLAN device already exists")
			return nlmsg.EEXIST
		}
	}
	return 0
}

// registerVlanDev is net/8021q/vlan.c register_vlan_dev.
func (k *Kernel) registerVlanDev(d *netDevice, v *vlan) errno {
	if err := k.registerNetdevice(d); err != 0 {
		return err
	}
	err := emlink
	if v.real.lowerLevel() < maxNestDev {
		err = k.netdevUpperDevLink(v.real)
	}
	if err != 0 {
		k.unregisterNetdevice(d)
		return err
	}
	k.vlanStackedTransferOperstate(d, v)
	k.linkwatchFireEvent(d)
	k.vlans[v.real] = append(k.vlans[v.real], d)
	slices.SortFunc(k.vlans[v.real], func(a, b *netDevice) int {
		v, w := a.priv.(*vlan), b.priv.(*vlan)
		return int(v.proto)<<16 | int(v.id) - (int(w.proto)<<16 | int(w.id))
	})
	return 0
}

// lowerLevel is how many links are below one, and it (include/linux/netdevice.h
// struct net_device lower_level).
func (d *netDevice) lowerLevel() int {
	for n := 1; ; n++ {
		switch p := d.priv.(type) {
		case *vlan:
			d = p.real
		case *macvlan:
			d = p.lower
		default:
			return n
		}
	}
}

// netdevUpperDevLink tells that a link has come to be below another, or no longer
// is (net/core/dev.c __netdev_upper_dev_link, __netdev_upper_dev_unlink).
func (k *Kernel) netdevUpperDevLink(lower *netDevice) errno {
	if err := k.callNetdevice(netdevPrechangeupper, lower, nil); err != 0 {
		return err
	}
	return k.callNetdevice(netdevChangeupper, lower, nil)
}

// unregisterVlanDev is net/8021q/vlan.c unregister_vlan_dev.
func (k *Kernel) unregisterVlanDev(d *netDevice) []*netDevice {
	real := d.priv.(*vlan).real
	if i := slices.Index(k.vlans[real], d); i >= 0 {
		k.vlans[real] = slices.Delete(k.vlans[real], i, i+1)
		if len(k.vlans[real]) == 0 {
			delete(k.vlans, real)
		}
		k.netdevUpperDevLink(real)
	}
	return []*netDevice{d}
}

// vlanDevInit is net/8021q/vlan_dev.c vlan_dev_init.
func vlanDevInit(d *netDevice) errno {
	v := d.priv.(*vlan)
	real := v.real
	d.flags = real.flags &^ (iffUp | iffPromisc | iffAllmulti | iffMaster | iffSlave)
	d.carrier = real.carrier && v.flags&vlanFlagBridgeBinding == 0
	d.tsoMaxSize, d.tsoMaxSegs = real.tsoMaxSize, real.tsoMaxSegs
	d.gsoMaxSize, d.gsoMaxSegs, d.gsoIpv4MaxSize = real.gsoMaxSize, real.gsoMaxSegs, real.gsoIpv4MaxSize
	d.neededHeadroom, d.neededTailroom = real.neededHeadroom+vlanHlen, real.neededTailroom
	zero := make([]byte, 6)
	if bytes.Equal(d.addr, zero) {
		d.addr, v.stolen = slices.Clone(real.addr), true
	}
	if bytes.Equal(d.bcast, zero) {
		d.bcast = slices.Clone(real.bcast)
	}
	return 0
}

// vlanDevOpen is net/8021q/vlan_dev.c vlan_dev_open.
func (k *Kernel) vlanDevOpen(d *netDevice) errno {
	v := d.priv.(*vlan)
	if v.real.flags&iffUp == 0 && v.flags&vlanFlagLooseBinding == 0 {
		return nlmsg.ENETDOWN
	}
	k.devUcAdd(v.real, d)
	if v.real.carrier && v.flags&vlanFlagBridgeBinding == 0 {
		k.netifCarrierOn(d)
	}
	return 0
}

// vlanDevStop is net/8021q/vlan_dev.c vlan_dev_stop.
func (k *Kernel) vlanDevStop(d *netDevice) {
	k.devUcDel(d)
	if d.priv.(*vlan).flags&vlanFlagBridgeBinding == 0 {
		k.netifCarrierOff(d)
	}
}

// vlanDevChangeMtu is net/8021q/vlan_dev.c vlan_dev_change_mtu.
func vlanDevChangeMtu(d *netDevice, mtu uint32) errno {
	if mtu > d.priv.(*vlan).real.mtu {
		return nlmsg.ERANGE
	}
	d.mtu = mtu
	return 0
}

// vlanDevSetMacAddress is net/8021q/vlan_dev.c vlan_dev_set_mac_address.
func vlanDevSetMacAddress(d *netDevice, addr []byte) errno {
	if err := ethMacAddr(d, addr); err != 0 {
		return err
	}
	d.priv.(*vlan).stolen = false
	return 0
}

// vlanChangelink is net/8021q/vlan_netlink.c vlan_changelink.
func vlanChangelink(d *netDevice, tb, data attrTable, x *extAck) errno {
	v := d.priv.(*vlan)
	if a := data.get(iflaVlanFlags); a != nil {
		flags, mask := native.Uint32(a.data), native.Uint32(a.data[4:])
		if mask&^vlanFlags != 0 {
			return nlmsg.EINVAL
		}
		v.flags = v.flags&^mask | flags&mask
	}
	if a := data.get(iflaVlanIngressQos); a != nil {
		eachMapping(a, func(m qosMapping) { v.ingress[m.from&7] = m.to })
	}
	if a := data.get(iflaVlanEgressQos); a != nil {
		eachMapping(a, v.setEgressPriority)
	}
	return 0
}

func eachMapping(nest *nlattr, f func(qosMapping)) {
	eachAttr(nest.data, 0, func(a *nlattr) errno {
		if a.kind() == iflaVlanQosMapping && len(a.data) >= 8 {
			f(qosMapping{native.Uint32(a.data), native.Uint32(a.data[4:])})
		}
		return 0
	})
}

// maxEgress bounds what a link remembers.
const maxEgress = 4096

// setEgressPriority keeps the order of the kernel's hash chains: the youngest of a
// chain first (net/8021q/vlan_dev.c vlan_dev_set_egress_priority).
func (v *vlan) setEgressPriority(m qosMapping) {
	for i := range v.egress {
		if v.egress[i].from == m.from {
			v.egress[i].to = m.to & 7
			return
		}
	}
	if len(v.egress) < maxEgress {
		i, _ := slices.BinarySearchFunc(v.egress, m, func(a, b qosMapping) int { return int(a.from&15) - int(b.from&15) })
		v.egress = slices.Insert(v.egress, i, qosMapping{m.from, m.to & 7})
	}
}

// vlanFillInfo is net/8021q/vlan_netlink.c vlan_fill_info.
func vlanFillInfo(skb *skBuff, d *netDevice) errno {
	v := d.priv.(*vlan)
	skb.nlaPut(iflaVlanProtocol, []byte{byte(v.proto >> 8), byte(v.proto)})
	skb.nlaPutU16(iflaVlanID, v.id)
	if v.flags != 0 {
		skb.nlaPut(iflaVlanFlags, native.AppendUint32(native.AppendUint32(nil, v.flags), ^uint32(0)))
	}
	var ingress []qosMapping
	for from, to := range v.ingress {
		ingress = append(ingress, qosMapping{uint32(from), to})
	}
	for _, q := range []struct {
		attr uint16
		maps []qosMapping
	}{{iflaVlanIngressQos, ingress}, {iflaVlanEgressQos, v.egress}} {
		n := skb.nlaNestNoflag(q.attr)
		for _, m := range q.maps {
			if m.to != 0 {
				skb.nlaPut(iflaVlanQosMapping, native.AppendUint32(native.AppendUint32(nil, m.from), m.to))
			}
		}
		if n.end(); n.empty() {
			n.cancel()
		}
	}
	return 0
}

// vlanStackedTransferOperstate is net/8021q/vlan.c
// vlan_stacked_transfer_operstate.
func (k *Kernel) vlanStackedTransferOperstate(d *netDevice, v *vlan) {
	if v.flags&vlanFlagBridgeBinding == 0 {
		k.netifStackedTransferOperstate(v.real, d)
	}
}

// vlanDeviceEvent has VLANs follow the link that they are on (net/8021q/vlan.c
// vlan_device_event).
func (k *Kernel) vlanDeviceEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	vlans := slices.Clone(k.vlansOn(d))
	if len(vlans) == 0 {
		return 0
	}
	switch e {
	case netdevChange:
		for _, w := range vlans {
			k.vlanStackedTransferOperstate(w, w.priv.(*vlan))
		}
	case netdevChangeaddr:
		for _, w := range vlans {
			if v := w.priv.(*vlan); w.flags&iffUp != 0 && v.stolen && !bytes.Equal(w.addr, d.addr) {
				w.addr = slices.Clone(d.addr)
				k.callNetdevice(netdevChangeaddr, w, nil)
			}
		}
	case netdevChangemtu:
		for _, w := range vlans {
			if w.mtu > d.mtu {
				k.devSetMtu(w, d.mtu, nil)
			}
		}
	case netdevDown:
		k.vlansDown(vlans)
	case netdevUp:
		for _, w := range vlans {
			if w.flags&iffUp != 0 {
				continue
			}
			v := w.priv.(*vlan)
			if v.flags&vlanFlagLooseBinding == 0 {
				k.devChangeFlags(w, w.flags|iffUp, x)
			}
			k.vlanStackedTransferOperstate(w, v)
		}
	case netdevUnregister:
		if d.regState == netregRegistered { // it only moves
			break
		}
		var list []*netDevice
		for _, w := range vlans {
			list = append(list, k.unregisterVlanDev(w)...)
		}
		k.unregisterNetdeviceMany(list, 0, nil)
	case netdevFeatChange: // vlan_transfer_features
		for _, w := range vlans {
			w.tsoMaxSize, w.tsoMaxSegs = d.tsoMaxSize, d.tsoMaxSegs
			k.callNetdevice(e, w, nil)
		}
	case netdevNotifyPeers:
		for _, w := range vlans {
			k.callNetdevice(e, w, nil)
		}
	}
	return 0
}

// vlanDevChangeRxFlags is net/8021q/vlan_dev.c vlan_dev_change_rx_flags: the link
// below is to receive what the VLAN does.
func (k *Kernel) vlanDevChangeRxFlags(d *netDevice, flag uint32) {
	real := d.priv.(*vlan).real
	if flag == iffAllmulti {
		k.devSetAllmulti(real, d.flags&iffAllmulti != 0)
	} else {
		k.devSetPromiscuity(real, d.flags&iffPromisc != 0)
	}
}

// vlansDown takes VLANs down with their link.
func (k *Kernel) vlansDown(vlans []*netDevice) {
	var list []*netDevice
	for _, w := range vlans {
		if w.flags&iffUp != 0 && w.priv.(*vlan).flags&vlanFlagLooseBinding == 0 {
			list = append(list, w)
		}
	}
	if k.has(vlanDownByFlags) {
		for _, w := range list {
			k.devChangeFlags(w, w.flags&^iffUp, nil)
			k.vlanStackedTransferOperstate(w, w.priv.(*vlan))
		}
		return
	}
	k.devCloseMany(list)
	for _, w := range list {
		k.vlanStackedTransferOperstate(w, w.priv.(*vlan))
	}
}
