package emulated

// fibNetdevEvent has the routes follow the links (net/ipv4/fib_frontend.c
// fib_netdev_event).
func (k *Kernel) fibNetdevEvent(e netdevEvent, d *netDevice, _ *extAck) errno {
	if e == netdevUnregister {
		k.fibDisableIP(d, e, true)
		return 0
	}
	if d.inDev == nil {
		return 0
	}
	switch e {
	case netdevUp:
		for _, ifa := range d.inDev.ifaList {
			k.fibAddIfaddr(ifa)
		}
		k.fibSyncUp(d, rtnhDead)
	case netdevDown:
		k.fibDisableIP(d, e, false)
	case netdevChange:
		if d.devGetFlags()&(iffRunning|iffLowerUp) != 0 {
			k.fibSyncUp(d, rtnhLinkdown)
		} else {
			k.fibSyncDownDev(d, e, false)
		}
	}
	return 0
}

// fibDisableIP is net/ipv4/fib_frontend.c fib_disable_ip.
func (k *Kernel) fibDisableIP(d *netDevice, e netdevEvent, force bool) {
	if k.fibSyncDownDev(d, e, force) {
		k.fibFlush(d.net)
	}
}

// eachInfo calls f for each fib_info with nexthops of its own over a link.
func (n *netns) eachInfo(d *netDevice, f func(*fibInfo)) {
	for _, l := range n.state.fib.infos {
		for _, fi := range l {
			for _, nh := range fi.nhs {
				if nh.dev == d {
					f(fi)
					break
				}
			}
		}
	}
}

// fibSyncDownDev marks the nexthops over a link that is down, and says whether routes
// are dead now (net/ipv4/fib_semantics.c fib_sync_down_dev).
func (k *Kernel) fibSyncDownDev(d *netDevice, e netdevEvent, force bool) (any bool) {
	mark := uint32(rtnhLinkdown)
	if e == netdevDown || e == netdevUnregister {
		mark |= rtnhDead
	}
	d.net.eachInfo(d, func(fi *fibInfo) {
		dead := 0
		for _, nh := range fi.nhs {
			switch {
			case nh.flags&rtnhDead != 0:
				dead++
			case nh.dev == d && (force || nh.scope != rtScopeNowhere):
				nh.flags |= mark
				dead++
			}
			if e == netdevUnregister && nh.dev == d {
				dead = len(fi.nhs)
				break
			}
		}
		if dead == len(fi.nhs) {
			fi.flags |= mark
			any = true
		}
	})
	return any
}

// fibSyncUp takes flags from the nexthops over a link that is up again
// (net/ipv4/fib_semantics.c fib_sync_up).
func (k *Kernel) fibSyncUp(d *netDevice, flags uint32) {
	if d.flags&iffUp == 0 {
		return
	}
	if flags&rtnhDead != 0 && d.devGetFlags()&(iffRunning|iffLowerUp) != 0 {
		flags |= rtnhLinkdown
	}
	d.net.eachInfo(d, func(fi *fibInfo) {
		alive := false
		for _, nh := range fi.nhs {
			if nh.flags&flags == 0 {
				alive = true
				continue
			}
			if nh.dev != d || d.inDev == nil {
				continue
			}
			alive = true
			nh.flags &^= flags
		}
		if alive {
			fi.flags &^= flags
		}
	})
}

// fibSyncDownAddr marks the routes whose preferred source is an address that is gone,
// and says whether there are any (net/ipv4/fib_semantics.c fib_sync_down_addr).
func (k *Kernel) fibSyncDownAddr(d *netDevice, local in4Addr) (any bool) {
	if local == 0 {
		return false
	}
	for _, l := range d.net.state.fib.infos {
		for _, fi := range l {
			if fi.prefsrc == local && fi.table == rtTableMain {
				fi.flags |= rtnhDead
				fi.pfsrcRemoved = true
				any = true
			}
		}
	}
	return any
}

// ipIgnoreLinkdown says that routes over the link are not used while it has no carrier
// (include/net/ip_fib.h ip_ignore_linkdown).
func ipIgnoreLinkdown(d *netDevice) bool {
	return d != nil && d.inDev != nil && (d.inDev.cnf[ipv4IgnoreRoutesWithLinkdown] != 0 ||
		len(d.net.state.inet.devconfAll) > ipv4IgnoreRoutesWithLinkdown && d.net.state.inet.devconfAll[ipv4IgnoreRoutesWithLinkdown] != 0)
}

// ip6IgnoreLinkdown is include/net/addrconf.h ip6_ignore_linkdown.
func ip6IgnoreLinkdown(d *netDevice) bool {
	return d != nil && d.in6Dev != nil && d.in6Dev.cnf[ipv6IgnoreRoutesWithLinkdown] != 0
}
