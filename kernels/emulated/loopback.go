package emulated

// loopbackNetInit makes lo (drivers/net/loopback.c loopback_net_init).
func (k *Kernel) loopbackNetInit(n *netns) errno {
	k.rtnlLock()
	defer k.rtnlUnlock()
	d := k.allocNetdevMqs("lo", k.loopbackSetup, 1, 1)
	d.net = n
	d.index = n.devNewIndex()
	d.regState = netregRegistered
	n.state.devs = append(n.state.devs, d)
	k.inetDevices(d)
	return 0
}

// loopbackSetup is drivers/net/loopback.c gen_lo_setup.
func (k *Kernel) loopbackSetup(d *netDevice) {
	d.mtu = 64 << 10
	d.typ = arphrdLoopback
	d.flags = iffLoopback
	d.addrLen = 6
	d.addr, d.bcast = make([]byte, d.addrLen), make([]byte, d.addrLen)
	d.tsoMaxSize = gsoMaxSize
	d.netnsImmutable = true
}

// inetDevices gives a link that is registered its IPv4 and IPv6 state
// (net/ipv4/devinet.c inetdev_init, net/ipv6/addrconf.c ipv6_add_dev).
func (k *Kernel) inetDevices(d *netDevice) {
	d.inDev = &inDevice{dev: d, cnf: k.ipv4DevconfDflt()}
	d.in6Dev = &inet6Dev{dev: d, cnf: k.ipv6DevconfDflt()}
	d.in6Dev.cnf[ipv6Mtu6] = int32(d.mtu)
	if d.flags&iffLoopback != 0 {
		d.inDev.cnf[ipv4Noxfrm], d.inDev.cnf[ipv4Nopolicy] = 1, 1
		d.in6Dev.cnf[ipv6AcceptDad], d.in6Dev.cnf[ipv6UseTempaddr] = -1, -1
	}
}
