package emulated

// loopbackNetInit makes lo (drivers/net/loopback.c loopback_net_init).
func (k *Kernel) loopbackNetInit(n *netns) errno {
	k.rtnlLock()
	defer k.rtnlUnlock()
	d := k.allocNetdevMqs("lo", k.loopbackSetup, 1, 1)
	d.net = n
	d.index = 1 // LOOPBACK_IFINDEX
	return k.registerNetdevice(d)
}

// loopbackOps is drivers/net/loopback.c loopback_ops.
var loopbackOps = &netDeviceOps{setMacAddress: ethMacAddr}

// loopbackSetup is drivers/net/loopback.c gen_lo_setup.
func (k *Kernel) loopbackSetup(d *netDevice) {
	d.mtu = 64 << 10
	d.typ = arphrdLoopback
	d.flags = iffLoopback
	d.addrLen = 6
	d.addr, d.bcast = make([]byte, d.addrLen), make([]byte, d.addrLen)
	d.tsoMaxSize = gsoMaxSize
	d.netnsImmutable = true
	d.ndo = loopbackOps
}

// defaultDeviceExit takes the links of a namespace away that goes, lo last
// (net/core/dev.c default_device_exit_batch, drivers/net/loopback.c).
func (k *Kernel) defaultDeviceExit(n *netns) {
	k.rtnlLock()
	defer k.rtnlUnlock()
	var list []*netDevice
	for i := len(n.state.devs) - 1; i >= 0; i-- {
		if d := n.state.devs[i]; d.ops != nil && d.ops.dellink != nil {
			list = append(list, d.ops.dellink(d)...)
		}
	}
	k.unregisterNetdeviceMany(list, 0, nil)
	for len(n.state.devs) > 0 {
		k.unregisterNetdevice(n.state.devs[len(n.state.devs)-1])
	}
}
