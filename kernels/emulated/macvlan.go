package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Attributes and modes of a macvlan (include/uapi/linux/if_link.h
// IFLA_MACVLAN_*, MACVLAN_MODE_*).
const (
	iflaMacvlanMode           = 1
	iflaMacvlanFlags          = 2
	iflaMacvlanMacaddrMode    = 3
	iflaMacvlanMacaddr        = 4
	iflaMacvlanMacaddrData    = 5
	iflaMacvlanMacaddrCount   = 6
	iflaMacvlanBcQueueLen     = 7
	iflaMacvlanBcQueueLenUsed = 8
	iflaMacvlanBcCutoff       = 9

	macvlanPrivate  = 1
	macvlanVepa     = 2
	macvlanBridge   = 4
	macvlanPassthru = 8
	macvlanSource   = 16

	macvlanMacaddrAdd   = 0
	macvlanMacaddrDel   = 1
	macvlanMacaddrFlush = 2
	macvlanMacaddrSet   = 3

	macvlanFlags         = 3 // MACVLAN_FLAG_NOPROMISC, MACVLAN_FLAG_NODST
	macvlanBcQueueLen    = 1000
	macvlanMaxSources    = 4096
	macvlanDefaultCutoff = 1
)

// macvlan is what a link has of the one that it shares (include/linux/if_macvlan.h
// struct macvlan_dev).
type macvlan struct {
	k          *Kernel
	lower      *netDevice
	mode       uint32
	flags      uint16
	bcQueueLen uint32
	bcCutoff   int32
	sources    [][]byte
}

// macvlanLinkOps is drivers/net/macvlan.c macvlan_link_ops.
func (k *Kernel) macvlanLinkOps() *rtnlLinkOps {
	ndo := &netDeviceOps{
		init:          macvlanInit,
		open:          macvlanOpen,
		stop:          k.devUcDel,
		validateAddr:  true,
		changeMtu:     macvlanChangeMtu,
		setMacAddress: macvlanSetMacAddress,
		iflink: func(d *netDevice) (int, *netns) {
			lower := d.priv.(*macvlan).lower
			return lower.index, lower.net
		},
	}
	p := policy{
		iflaMacvlanMode:         {typ: nlaU32},
		iflaMacvlanFlags:        {typ: nlaU16},
		iflaMacvlanMacaddrMode:  {typ: nlaU32},
		iflaMacvlanMacaddr:      {typ: nlaBinary, len: 6},
		iflaMacvlanMacaddrData:  {typ: nlaNested},
		iflaMacvlanMacaddrCount: {typ: nlaU32},
	}
	if k.has(macvlanBcQueue) {
		p = append(p, nlaPolicy{typ: nlaU32}, nlaPolicy{typ: nlaReject})
	}
	if k.has(macvlanCutoff) {
		p = append(p, nlaPolicy{typ: nlaS32})
	}
	return &rtnlLinkOps{
		kind:   "macvlan",
		policy: p,
		setup: func(d *netDevice) {
			etherSetup(d)
			d.minMtu, d.maxMtu = 0, ethMaxMtu
			d.ndo = ndo
		},
		validate:   macvlanValidate,
		newlink:    k.macvlanNewlink,
		changelink: macvlanChangelink,
		dellink:    k.macvlanDellink,
		getSize: func(d *netDevice) int {
			return 7*nlaTotalSize(4) + len(d.priv.(*macvlan).sources)*nlaTotalSize(6)
		},
		fillInfo: k.macvlanFillInfo,
	}
}

// macvlanValidate is drivers/net/macvlan.c macvlan_validate.
func macvlanValidate(tb, data attrTable, x *extAck) errno {
	if err := etherValidate(tb); err != 0 || data == nil {
		return err
	}
	if a := data.get(iflaMacvlanFlags); a != nil && a.u16()&^macvlanFlags != 0 {
		return nlmsg.EINVAL
	}
	if a := data.get(iflaMacvlanMode); a != nil {
		switch a.u32() {
		case macvlanPrivate, macvlanVepa, macvlanBridge, macvlanPassthru, macvlanSource:
		default:
			return nlmsg.EINVAL
		}
	}
	if a := data.get(iflaMacvlanMacaddrMode); a != nil && a.u32() > macvlanMacaddrSet {
		return nlmsg.EINVAL
	}
	if a := data.get(iflaMacvlanMacaddr); a != nil {
		if len(a.data) != 6 {
			return nlmsg.EINVAL
		}
		if !validEtherAddr(a.data) {
			return nlmsg.EADDRNOTAVAIL
		}
	}
	if data.get(iflaMacvlanMacaddrCount) != nil {
		return nlmsg.EINVAL
	}
	return 0
}

// macvlanNewlink is drivers/net/macvlan.c macvlan_common_newlink.
func (k *Kernel) macvlanNewlink(d *netDevice, p *newlinkParams, tb, data attrTable, x *extAck) errno {
	if tb.get(iflaLink) == nil {
		return nlmsg.EINVAL
	}
	lower := p.linkNet().devGetByIndex(int(int32(tb[iflaLink].u32())))
	if lower == nil {
		return nlmsg.ENODEV
	}
	if m, ok := lower.priv.(*macvlan); ok {
		lower = m.lower
	}
	if tb.get(iflaMtu) == nil {
		d.mtu = lower.mtu
	} else if d.mtu > lower.mtu {
		return nlmsg.EINVAL
	}
	d.minMtu, d.maxMtu = ethMinMtu, lower.maxMtu
	if tb.get(iflaAddress) == nil {
		k.ethHwAddrRandom(d)
	}
	others := k.macvlans[lower]
	if len(others) == 0 && (lower.typ != arphrdEther || lower.flags&iffLoopback != 0) {
		return nlmsg.EINVAL
	}
	if len(others) == 0 && lower.port != nil {
		return nlmsg.EBUSY
	}
	m := &macvlan{k: k, lower: lower, mode: macvlanVepa, bcQueueLen: macvlanBcQueueLen, bcCutoff: macvlanDefaultCutoff}
	d.priv = m
	if len(others) > 0 && others[0].priv.(*macvlan).mode == macvlanPassthru {
		return nlmsg.EINVAL
	}
	if a := data.get(iflaMacvlanFlags); a != nil {
		m.flags = a.u16()
	}
	if a := data.get(iflaMacvlanMode); a != nil {
		m.mode = a.u32()
	}
	if data.get(iflaMacvlanMacaddrMode) != nil {
		if err := m.changeSources(data); err != 0 {
			return err
		}
	}
	if m.mode == macvlanPassthru {
		if len(others) > 0 {
			return nlmsg.EINVAL
		}
		d.addr = slices.Clone(lower.addr)
	}
	m.setQueue(data)
	if err := k.registerNetdevice(d); err != 0 {
		return err
	}
	err := emlink
	if lower.lowerLevel() < maxNestDev {
		err = k.netdevUpperDevLink(lower)
	}
	if err != 0 {
		k.unregisterNetdevice(d)
		return err
	}
	k.macvlans[lower] = append(k.macvlans[lower], d)
	k.netifStackedTransferOperstate(lower, d)
	k.linkwatchFireEvent(d)
	return 0
}

func (m *macvlan) setQueue(data attrTable) {
	if a := data.get(iflaMacvlanBcQueueLen); a != nil {
		m.bcQueueLen = a.u32()
	}
	if a := data.get(iflaMacvlanBcCutoff); a != nil {
		m.bcCutoff = int32(a.u32())
	}
}

// changeSources is drivers/net/macvlan.c macvlan_changelink_sources.
func (m *macvlan) changeSources(data attrTable) errno {
	if m.mode != macvlanSource {
		return nlmsg.EINVAL
	}
	find := func(addr []byte) int {
		return slices.IndexFunc(m.sources, func(s []byte) bool { return bytes.Equal(s, addr) })
	}
	add := func(addr []byte) {
		if find(addr) < 0 && len(m.sources) < macvlanMaxSources {
			m.sources = append(m.sources, slices.Clone(addr))
		}
	}
	one := data.get(iflaMacvlanMacaddr)
	switch data[iflaMacvlanMacaddrMode].u32() {
	case macvlanMacaddrAdd:
		if one == nil {
			return nlmsg.EINVAL
		}
		add(one.data)
	case macvlanMacaddrDel:
		if one == nil {
			return nlmsg.EINVAL
		}
		if i := find(one.data); i >= 0 {
			m.sources = slices.Delete(m.sources, i, i+1)
		}
	case macvlanMacaddrFlush:
		m.sources = nil
	case macvlanMacaddrSet:
		m.sources = nil
		if list := data.get(iflaMacvlanMacaddrData); list != nil {
			eachAttr(list.data, list.off+4, func(a *nlattr) errno {
				if a.kind() == iflaMacvlanMacaddr && len(a.data) == 6 && validEtherAddr(a.data) {
					add(a.data)
				}
				return 0
			})
		}
	}
	return 0
}

// macvlanChangelink is drivers/net/macvlan.c macvlan_changelink.
func macvlanChangelink(d *netDevice, tb, data attrTable, x *extAck) errno {
	m := d.priv.(*macvlan)
	mode := m.mode
	if a := data.get(iflaMacvlanMode); a != nil {
		if mode = a.u32(); (mode == macvlanPassthru) != (m.mode == macvlanPassthru) {
			return nlmsg.EINVAL
		}
		if m.mode == macvlanSource && mode != m.mode {
			m.sources = nil
		}
	}
	if a := data.get(iflaMacvlanFlags); a != nil {
		m.flags = a.u16()
	}
	m.setQueue(data)
	m.mode = mode
	if data.get(iflaMacvlanMacaddrMode) != nil {
		return m.changeSources(data)
	}
	return 0
}

// macvlanDellink is drivers/net/macvlan.c macvlan_dellink.
func (k *Kernel) macvlanDellink(d *netDevice) []*netDevice {
	m := d.priv.(*macvlan)
	m.sources = nil
	l := k.macvlans[m.lower]
	if i := slices.Index(l, d); i >= 0 {
		if l = slices.Delete(l, i, i+1); len(l) == 0 {
			delete(k.macvlans, m.lower)
		} else {
			k.macvlans[m.lower] = l
		}
		k.netdevUpperDevLink(m.lower)
	}
	return []*netDevice{d}
}

// macvlanInit is drivers/net/macvlan.c macvlan_init.
func macvlanInit(d *netDevice) errno {
	lower := d.priv.(*macvlan).lower
	d.carrier = lower.carrier
	d.tsoMaxSize, d.tsoMaxSegs = lower.tsoMaxSize, lower.tsoMaxSegs
	d.gsoMaxSize, d.gsoMaxSegs, d.gsoIpv4MaxSize = lower.gsoMaxSize, lower.gsoMaxSegs, lower.gsoIpv4MaxSize
	return 0
}

// addrBusy says that the link below or another on it that is up has an address
// (drivers/net/macvlan.c macvlan_addr_busy).
func (m *macvlan) addrBusy(addr []byte) bool {
	if m.mode == macvlanPassthru {
		return false
	}
	return bytes.Equal(m.lower.addr, addr) || slices.ContainsFunc(m.k.macvlans[m.lower], func(d *netDevice) bool {
		return d.flags&iffUp != 0 && bytes.Equal(d.addr, addr)
	})
}

// macvlanOpen is drivers/net/macvlan.c macvlan_open.
func macvlanOpen(d *netDevice) errno {
	if d.priv.(*macvlan).addrBusy(d.addr) {
		return nlmsg.EADDRINUSE
	}
	m := d.priv.(*macvlan)
	m.k.devUcAdd(m.lower, d)
	return 0
}

// macvlanChangeMtu is drivers/net/macvlan.c macvlan_change_mtu.
func macvlanChangeMtu(d *netDevice, mtu uint32) errno {
	if d.priv.(*macvlan).lower.mtu < mtu {
		return nlmsg.EINVAL
	}
	d.mtu = mtu
	return 0
}

// macvlanSetMacAddress is drivers/net/macvlan.c macvlan_set_mac_address.
func macvlanSetMacAddress(d *netDevice, addr []byte) errno {
	if !validEtherAddr(addr) {
		return nlmsg.EADDRNOTAVAIL
	}
	if bytes.Equal(d.addr, addr[:6]) {
		return 0
	}
	m := d.priv.(*macvlan)
	if m.mode == macvlanPassthru {
		return m.k.devSetMacAddress(m.lower, addr, nil)
	}
	if m.addrBusy(addr[:6]) {
		return nlmsg.EADDRINUSE
	}
	return ethMacAddr(d, addr)
}

// macvlanFillInfo is drivers/net/macvlan.c macvlan_fill_info.
func (k *Kernel) macvlanFillInfo(skb *skBuff, d *netDevice) errno {
	m := d.priv.(*macvlan)
	skb.nlaPutU32(iflaMacvlanMode, m.mode)
	skb.nlaPutU16(iflaMacvlanFlags, m.flags)
	skb.nlaPutU32(iflaMacvlanMacaddrCount, uint32(len(m.sources)))
	if len(m.sources) > 0 {
		n := skb.nlaNestNoflag(iflaMacvlanMacaddrData)
		for _, s := range m.sources {
			skb.nlaPut(iflaMacvlanMacaddr, s)
		}
		n.end()
	}
	if !k.has(macvlanBcQueue) {
		return 0
	}
	used := uint32(0)
	for _, other := range k.macvlans[m.lower] {
		used = max(used, other.priv.(*macvlan).bcQueueLen)
	}
	skb.nlaPutU32(iflaMacvlanBcQueueLen, m.bcQueueLen)
	skb.nlaPutU32(iflaMacvlanBcQueueLenUsed, used)
	if m.bcCutoff != macvlanDefaultCutoff && k.has(macvlanCutoff) {
		skb.nlaPutU32(iflaMacvlanBcCutoff, uint32(m.bcCutoff))
	}
	return 0
}

// macvlanDeviceEvent has macvlans follow the link that they share
// (drivers/net/macvlan.c macvlan_device_event).
func (k *Kernel) macvlanDeviceEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	l := slices.Clone(k.macvlans[d])
	if len(l) == 0 {
		return 0
	}
	switch e {
	case netdevUp, netdevDown, netdevChange:
		for _, m := range l {
			k.netifStackedTransferOperstate(d, m)
		}
	case netdevChangemtu:
		for _, m := range l {
			if m.mtu > d.mtu {
				k.devSetMtu(m, d.mtu, nil)
			}
		}
	case netdevChangeaddr:
		if m := l[0]; m.priv.(*macvlan).mode == macvlanPassthru {
			m.addr = slices.Clone(d.addr)
			k.callNetdevice(netdevChangeaddr, m, nil)
		}
	case netdevUnregister:
		if d.regState == netregRegistered { // it only moves
			break
		}
		var list []*netDevice
		for _, m := range l {
			list = append(list, k.macvlanDellink(m)...)
		}
		k.unregisterNetdeviceMany(list, 0, nil)
	case netdevNotifyPeers:
		for _, m := range l {
			k.callNetdevice(e, m, nil)
		}
	}
	return 0
}
