package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// netDeviceOps is what a link's driver does (include/linux/netdevice.h struct
// net_device_ops). What is nil it does not do.
type netDeviceOps struct {
	init          func(d *netDevice) errno
	uninit        func(d *netDevice)
	open          func(d *netDevice) errno
	stop          func(d *netDevice)
	validateAddr  bool // ndo_validate_addr is eth_validate_addr
	changeMtu     func(d *netDevice, mtu uint32) errno
	setMacAddress func(d *netDevice, addr []byte) errno
	changeCarrier func(d *netDevice, carrier bool) errno
	changeRxFlags func(d *netDevice, flag uint32)
	addSlave      func(upper, d *netDevice, x *extAck) errno
	delSlave      func(upper, d *netDevice) errno
	// iflink is the link below and its namespace, index 0 for none.
	iflink func(d *netDevice) (index int, net *netns)
}

var noOps = &netDeviceOps{}

// driver is the link's ops, never nil.
func (d *netDevice) driver() *netDeviceOps {
	if d.ndo == nil {
		return noOps
	}
	return d.ndo
}

// getIflink is the index of the link below and its namespace, the link's own where
// there is none (net/core/dev.c dev_get_iflink).
func (d *netDevice) getIflink() (int, *netns) {
	if f := d.driver().iflink; f != nil {
		return f(d)
	}
	return d.index, d.net
}

// devIndexReserve is net/core/dev.c dev_index_reserve.
func (n *netns) devIndexReserve(index int) (int, errno) {
	if index == 0 {
		return n.devNewIndex(), 0
	}
	if n.devGetByIndex(index) != nil {
		return 0, nlmsg.EBUSY
	}
	return index, 0
}

// registerNetdevice makes a link one that is seen (net/core/dev.c
// register_netdevice).
func (k *Kernel) registerNetdevice(d *netDevice) errno {
	n := d.net
	name, err := n.devGetValidName(d.name)
	if err != 0 {
		return err
	}
	d.name = name
	ndo := d.driver()
	if ndo.init != nil {
		if err := ndo.init(d); err != 0 {
			return err
		}
	}
	index, err := n.devIndexReserve(d.index)
	if err == 0 {
		d.index = index
		err = k.callNetdevice(netdevPostInit, d, nil)
	}
	if err != 0 {
		if ndo.uninit != nil {
			ndo.uninit(d)
		}
		return err
	}
	d.regState = netregRegistered
	k.linkwatchInitDev(d)
	d.qdisc = noopQdisc
	k.listNetdevice(d)
	if err := k.callNetdevice(netdevRegister, d, nil); err != 0 {
		k.unregisterNetdeviceMany([]*netDevice{d}, 0, nil)
		return err
	}
	if d.ops == nil || d.rtnlInit {
		k.rtmsgIfinfo(rtmNewlink, d, ^uint32(0), 0, nil)
	}
	return 0
}

// listNetdevice is net/core/dev.c list_netdevice.
func (k *Kernel) listNetdevice(d *netDevice) {
	d.net.state.devs = append(d.net.state.devs, d)
	d.net.state.devSeq++
}

// unlistNetdevice is net/core/dev.c unlist_netdevice.
func (k *Kernel) unlistNetdevice(d *netDevice) {
	n := &d.net.state
	if i := slices.Index(n.devs, d); i >= 0 {
		n.devs = slices.Delete(n.devs, i, i+1)
	}
	n.devSeq++
}

// unregisterNetdevice is include/linux/netdevice.h unregister_netdevice.
func (k *Kernel) unregisterNetdevice(d *netDevice) {
	k.unregisterNetdeviceMany([]*netDevice{d}, 0, nil)
}

// unregisterNetdeviceMany takes links away: all are closed, then all are gone from
// the list, and then each is told of (net/core/dev.c
// unregister_netdevice_many_notify). portid and h are whose request it is.
func (k *Kernel) unregisterNetdeviceMany(list []*netDevice, portid uint32, h *nlmsghdr) {
	var devs []*netDevice
	for _, d := range list {
		if d.regState == netregRegistered && !slices.Contains(devs, d) {
			devs = append(devs, d)
		}
	}
	k.devCloseMany(devs)
	for _, d := range devs {
		k.unlistNetdevice(d)
		d.regState = netregUnregistering
	}
	for _, d := range devs {
		k.devShutdown(d)
		k.callNetdevice(netdevUnregister, d, nil)
		var skb *skBuff
		if d.ops == nil || d.rtnlInit {
			skb = k.rtmsgIfinfoBuildSkb(&fillIfinfo{typ: rtmDellink, change: ^uint32(0)}, d, portid, h)
		}
		if uninit := d.driver().uninit; uninit != nil {
			uninit(d)
		}
		if skb != nil {
			k.rtmsgIfinfoSend(skb, d, portid, h)
		}
		d.regState = netregUnregistered
	}
}

// devShutdown takes the queueing discipline away (net/sched/sch_generic.c
// dev_shutdown).
func (k *Kernel) devShutdown(d *netDevice) {
	d.qdisc, d.ingress, d.ingressQueue = noopQdisc, nil, false
}

// devActivate gives a link its queueing discipline: those here have none
// (net/sched/sch_generic.c dev_activate).
func (k *Kernel) devActivate(d *netDevice) {
	if d.qdisc == noopQdisc {
		d.qdisc = defaultQdisc()
	}
}

// netdevStateChange tells that a link that is up has changed (net/core/dev.c
// netdev_state_change).
func (k *Kernel) netdevStateChange(d *netDevice) {
	if d.flags&iffUp != 0 {
		k.callNetdevice(netdevChange, d, nil)
		k.rtmsgIfinfo(rtmNewlink, d, 0, 0, nil)
	}
}

// devUcAdd has a link listen to the address of another that is on it, and devUcDel no
// longer (net/core/dev_addr_lists.c dev_uc_add, dev_uc_del).
func (k *Kernel) devUcAdd(lower, d *netDevice) {
	if d.ucOn == nil && !bytes.Equal(lower.addr, d.addr) && lower.uc.addExcl(d.addr) {
		d.ucOn, d.ucAddr = lower, slices.Clone(d.addr)
		k.devSetRxMode(lower)
	}
}

func (k *Kernel) devUcDel(d *netDevice) {
	if lower := d.ucOn; lower != nil {
		d.ucOn = nil
		lower.uc.del(d.ucAddr)
		k.devSetRxMode(lower)
	}
}

// devSetRxMode makes a link promiscuous that has addresses to listen to and no
// filter for them, as those here have none (net/core/dev.c __dev_set_rx_mode).
func (k *Kernel) devSetRxMode(d *netDevice) {
	set := func() {
		if want := len(d.uc) > 0; d.flags&iffUp != 0 && want != d.ucPromisc {
			d.ucPromisc = want
			d.changeRx(iffPromisc, &d.promiscuity, want)
		}
	}
	if k.has(rxModeLater) {
		k.scheduleWork(set)
	} else {
		set()
	}
}

// devOpenOne is net/core/dev.c __dev_open.
func (k *Kernel) devOpenOne(d *netDevice, x *extAck) errno {
	if err := k.callNetdevice(netdevPreUp, d, x); err != 0 {
		return err
	}
	ndo := d.driver()
	if ndo.validateAddr && !validEtherAddr(d.addr) {
		return nlmsg.EADDRNOTAVAIL
	}
	if ndo.open != nil {
		if err := ndo.open(d); err != 0 {
			return err
		}
	}
	d.flags |= iffUp
	k.devSetRxMode(d)
	k.devActivate(d)
	return 0
}

// devCloseAll is net/core/dev.c __dev_close_many.
func (k *Kernel) devCloseAll(devs []*netDevice) {
	for _, d := range devs {
		k.callNetdevice(netdevGoingDown, d, nil)
	}
	for _, d := range devs {
		if stop := d.driver().stop; stop != nil {
			stop(d)
		}
		d.flags &^= iffUp
	}
}

// devCloseMany takes those links down that are up (net/core/dev.c
// dev_close_many).
func (k *Kernel) devCloseMany(devs []*netDevice) {
	var up []*netDevice
	for _, d := range devs {
		if d.flags&iffUp != 0 {
			up = append(up, d)
		}
	}
	k.devCloseAll(up)
	for _, d := range up {
		k.rtmsgIfinfo(rtmNewlink, d, iffUp|iffRunning, 0, nil)
		k.callNetdevice(netdevDown, d, nil)
	}
}

// devClose is net/core/dev.c dev_close.
func (k *Kernel) devClose(d *netDevice) { k.devCloseMany([]*netDevice{d}) }

// devChangeFlagsQuiet sets flags without telling (net/core/dev.c
// __dev_change_flags).
func (k *Kernel) devChangeFlagsQuiet(d *netDevice, flags uint32, x *extAck) errno {
	const users = iffDebug | iffNotrailers | iffNoarp | iffDynamic | iffMulticast | iffPortsel | iffAutomedia
	old := d.flags
	d.flags = flags&users | old&(iffUp|iffVolatile|iffPromisc|iffAllmulti)
	var err errno
	if (old^flags)&iffUp != 0 {
		if old&iffUp != 0 {
			k.devCloseAll([]*netDevice{d})
		} else {
			err = k.devOpenOne(d, x)
		}
	}
	if (flags^d.gflags)&iffPromisc != 0 {
		d.gflags ^= iffPromisc
		d.changeRx(iffPromisc, &d.promiscuity, flags&iffPromisc != 0)
	}
	if (flags^d.gflags)&iffAllmulti != 0 {
		d.gflags ^= iffAllmulti
		d.changeRx(iffAllmulti, &d.allmulti, flags&iffAllmulti != 0)
	}
	return err
}

// changeRx has a flag set as long as somebody wants it (net/core/dev.c
// __dev_set_promiscuity, __dev_set_allmulti).
func (d *netDevice) changeRx(flag uint32, users *uint32, more bool) {
	old := d.flags
	if more {
		*users++
	} else {
		*users--
	}
	d.flags &^= flag
	if *users > 0 {
		d.flags |= flag
	}
	if change := d.driver().changeRxFlags; change != nil && d.flags != old {
		change(d, flag)
	}
}

// devChangeFlags is net/core/dev.c dev_change_flags.
func (k *Kernel) devChangeFlags(d *netDevice, flags uint32, x *extAck) errno {
	old, oldG := d.flags, d.gflags
	if err := k.devChangeFlagsQuiet(d, flags, x); err != 0 {
		return err
	}
	k.devNotifyFlags(d, old, (old^d.flags)|(oldG^d.gflags), 0, nil)
	return 0
}

// devNotifyFlags is net/core/dev.c __dev_notify_flags.
func (k *Kernel) devNotifyFlags(d *netDevice, old, gchanges, portid uint32, h *nlmsghdr) {
	changes := d.flags ^ old
	if gchanges != 0 {
		k.rtmsgIfinfo(rtmNewlink, d, gchanges, portid, h)
	}
	if changes&iffUp != 0 {
		if d.flags&iffUp != 0 {
			k.callNetdevice(netdevUp, d, nil)
		} else {
			k.callNetdevice(netdevDown, d, nil)
		}
	}
	if d.flags&iffUp != 0 && changes&^(iffUp|iffPromisc|iffAllmulti|iffVolatile) != 0 {
		k.callNetdevice(netdevChange, d, nil)
	}
}
