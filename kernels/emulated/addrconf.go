package emulated

import (
	"crypto/sha1"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	ipv6MinMtu = 1280
	ifReady    = 0x80000000 // include/net/if_inet6.h IF_READY

	rtnlgrpIpv6Ifinfo = 12
)

// How a link-local address is made (include/uapi/linux/if_link.h enum
// in6_addr_gen_mode).
const (
	in6AddrGenModeEui64 = iota
	in6AddrGenModeNone
	in6AddrGenModeStablePrivacy
	in6AddrGenModeRandom
)

// Who made an address (include/uapi/linux/if_addr.h IFAPROT_*).
const (
	ifaprotKernelLo = 1
	ifaprotKernelLl = 3
)

// addrconfInit is net/ipv6/addrconf.c addrconf_init.
func (k *Kernel) addrconfInit() {
	defer k.enter("addrconf_init")()
	k.ifaPolicy6, k.netconf6 = k.ifaIpv6Policy(), k.inet6Netconf()
	k.registerPernetSubsys(pernetOperations{name: "addrconf", init: k.addrconfInitNet})
	k.registerNetdeviceNotifier(k.addrconfNotify)
	k.rtnlRegister(pfInet6, rtmGetlink, nil, k.inet6DumpIfinfo, 0)
	k.rtnlRegister(pfInet6, rtmNewaddr, k.inet6RtmNewaddr, nil, 0)
	k.rtnlRegister(pfInet6, rtmDeladdr, k.inet6RtmDeladdr, nil, 0)
	k.rtnlRegister(pfInet6, rtmGetaddr, k.inet6RtmGetaddr, k.inet6DumpIfaddr, 0)
	k.rtnlRegister(pfInet6, rtmGetmulticast, nil, k.inet6DumpIfmcaddr, 0)
	k.rtnlRegister(pfInet6, rtmGetanycast, nil, k.inet6DumpIfacaddr, 0)
	k.rtnlRegister(pfInet6, rtmGetnetconf, k.inet6NetconfGetDevconf, k.inet6NetconfDumpDevconf, 0)
}

// addrconfInitNet is net/ipv6/addrconf.c addrconf_init_net.
func (k *Kernel) addrconfInitNet(n *netns) errno {
	s := &n.state.inet6
	s.devconfDflt = k.ipv6DevconfDflt()
	s.devconfDflt[ipv6Mtu6] = ipv6MinMtu
	s.devconfAll = slices.Clone(s.devconfDflt)
	s.devconfAll[ipv6AcceptDad] = 0
	return 0
}

// addrconfLinkReady is net/ipv6/addrconf.c addrconf_link_ready: it is up, and what
// is sent is not thrown away for want of a carrier.
func addrconfLinkReady(d *netDevice) bool {
	return d.flags&iffUp != 0 && d.carrier && (d.operstate == ifOperUp || d.operstate == ifOperUnknown)
}

// ipv6AddDev gives a link its IPv6 (net/ipv6/addrconf.c ipv6_add_dev).
func (k *Kernel) ipv6AddDev(d *netDevice) (*inet6Dev, errno) {
	defer k.enter("ipv6_add_dev")()
	if d.mtu < ipv6MinMtu {
		return nil, nlmsg.EINVAL
	}
	i := &inet6Dev{dev: d, cnf: slices.Clone(d.net.state.inet6.devconfDflt)}
	i.cnf[ipv6Mtu6] = int32(d.mtu)
	if d.flags&(iffNoarp|iffLoopback) != 0 {
		i.cnf[ipv6AcceptDad] = -1
	}
	if d.flags&iffLoopback != 0 || d.typ == arphrdNone {
		i.cnf[ipv6UseTempaddr] = -1
	}
	if addrconfLinkReady(d) {
		i.ifFlags |= ifReady
	}
	if err := k.addrconfSysctlRegister(i); err != 0 {
		return nil, err
	}
	d.in6Dev = i
	k.ipv6DevMcInc(i, in6AddrInterfacelocalAllnodes)
	k.ipv6DevMcInc(i, in6AddrLinklocalAllnodes)
	return i, 0
}

// ipv6FindIdev is net/ipv6/addrconf.c ipv6_find_idev.
func (k *Kernel) ipv6FindIdev(d *netDevice) (*inet6Dev, errno) {
	if d.in6Dev != nil {
		return d.in6Dev, 0
	}
	return k.ipv6AddDev(d)
}

// addrconfAddDev is net/ipv6/addrconf.c addrconf_add_dev.
func (k *Kernel) addrconfAddDev(d *netDevice) (*inet6Dev, errno) {
	i, err := k.ipv6FindIdev(d)
	if err != 0 {
		return nil, err
	}
	if i.cnf[ipv6DisableIpv6] != 0 {
		return nil, nlmsg.EACCES
	}
	if d.flags&iffLoopback == 0 {
		k.addrconfAddMroute(d)
	}
	return i, 0
}

// addrconfNotify is net/ipv6/addrconf.c addrconf_notify.
func (k *Kernel) addrconfNotify(e netdevEvent, d *netDevice, x *extAck) errno {
	defer k.enter("addrconf_notify")()
	i := d.in6Dev
	switch e {
	case netdevRegister:
		if i == nil && d.mtu >= ipv6MinMtu {
			if _, err := k.ipv6AddDev(d); err != 0 {
				return err
			}
		}
	case netdevChangemtu:
		switch {
		case d.mtu < ipv6MinMtu:
			k.addrconfIfdown(d, d.flags&iffLoopback == 0)
		case i != nil:
			i.cnf[ipv6Mtu6] = int32(d.mtu)
		default:
			if i, _ = k.ipv6AddDev(d); i != nil && i.ifFlags&ifReady != 0 {
				k.addrconfUp(e, d)
			}
		}
	case netdevUp, netdevChange:
		k.addrconfUp(e, d)
	case netdevDown, netdevUnregister:
		k.addrconfIfdown(d, e == netdevUnregister)
	case netdevChangename:
		if i != nil {
			k.addrconfSysctlUnregister(i)
			return k.addrconfSysctlRegister(i)
		}
	}
	return 0
}

// addrconfUp is what addrconf_notify does for a link that comes up, or has changed
// while it is.
func (k *Kernel) addrconfUp(e netdevEvent, d *netDevice) {
	i := d.in6Dev
	if i != nil && i.cnf[ipv6DisableIpv6] != 0 || d.flags&iffSlave != 0 {
		return
	}
	switch e {
	case netdevUp:
		k.addrconfPermanentAddr(d)
		if !addrconfLinkReady(d) {
			return
		}
		if i == nil {
			i, _ = k.ipv6AddDev(d)
		}
		if i != nil {
			i.ifFlags |= ifReady
		}
	case netdevChange:
		if !addrconfLinkReady(d) {
			k.rt6SyncDownDev(d, e)
			return
		}
		if i != nil {
			if i.ifFlags&ifReady != 0 { // it has its addresses
				k.rt6SyncUp(d)
				return
			}
			i.ifFlags |= ifReady
		}
	}
	k.addrconfInitAutoAddrs(d)
	if i == nil {
		return
	}
	k.rt6SyncUp(d)
	if i.cnf[ipv6Mtu6] != int32(d.mtu) && d.mtu >= ipv6MinMtu {
		i.cnf[ipv6Mtu6] = int32(d.mtu)
	}
	k.inet6IfinfoNotify(rtmNewlink, i)
	if d.mtu < ipv6MinMtu {
		k.addrconfIfdown(d, d.flags&iffLoopback == 0)
	}
}

// addrconfPermanentAddr gives addresses that outlived a time down their routes again
// (net/ipv6/addrconf.c addrconf_permanent_addr).
func (k *Kernel) addrconfPermanentAddr(d *netDevice) {
	if d.in6Dev == nil {
		return
	}
	for _, ifp := range slices.Clone(d.in6Dev.addrList) {
		if ifp.flags&ifaFPermanent != 0 {
			k.fixupPermanentAddr(ifp)
		}
	}
}

// addrconfInitAutoAddrs gives a link the addresses that it has by itself
// (net/ipv6/addrconf.c addrconf_init_auto_addrs).
func (k *Kernel) addrconfInitAutoAddrs(d *netDevice) {
	defer k.enter("addrconf_init_auto_addrs")()
	switch d.typ {
	case arphrdLoopback: // init_loopback
		if i, err := k.ipv6FindIdev(d); err == 0 {
			k.addAddr(i, in6AddrLoopback, 128, ifaHost, ifaprotKernelLo)
		}
	case arphrdEther: // addrconf_dev_config
		if i, err := k.addrconfAddDev(d); err == 0 {
			k.addrconfAddrGen(i)
		}
	}
}

// addAddr adds an address that needs no detection of duplicates
// (net/ipv6/addrconf.c add_addr).
func (k *Kernel) addAddr(i *inet6Dev, addr in6Addr, plen uint8, scope uint16, proto uint8) {
	cfg := &ifa6Config{pfx: addr, plen: plen, flags: ifaFPermanent, scope: scope, proto: proto,
		validLft: infinityLifeTime, preferredLft: infinityLifeTime}
	if ifp, err := k.ipv6AddAddr(i, cfg, nil); err == 0 {
		ifp.flags &^= ifaFTentative
		k.ipv6IfaNotify(rtmNewaddr, ifp)
	}
}

// addrconfAddrGen is net/ipv6/addrconf.c addrconf_addr_gen. A stable address needs a
// secret, which nobody can have set.
func (k *Kernel) addrconfAddrGen(i *inet6Dev) {
	d := i.dev
	addr := in6Addr{0: 0xfe, 1: 0x80}
	flags := uint32(0)
	switch i.cnf[ipv6AddrGenMode] {
	case in6AddrGenModeEui64:
		if len(d.addr) != 6 {
			return
		}
		copy(addr[8:], d.addr[:3])
		addr[11], addr[12] = 0xff, 0xfe
		copy(addr[13:], d.addr[3:])
		addr[8] ^= 2
	case in6AddrGenModeRandom:
		h := sha1.Sum(append([]byte(d.name), d.addr...))
		copy(addr[8:], h[:8])
		flags = ifaFStablePrivacy
	default:
		return
	}
	k.addrconfAddLinklocal(i, addr, flags)
}

// addrconfAddLinklocal is net/ipv6/addrconf.c addrconf_add_linklocal.
func (k *Kernel) addrconfAddLinklocal(i *inet6Dev, addr in6Addr, flags uint32) {
	cfg := &ifa6Config{pfx: addr, plen: 64, flags: flags | ifaFPermanent, scope: ifaLink, proto: ifaprotKernelLl,
		validLft: infinityLifeTime, preferredLft: infinityLifeTime}
	if ifp, err := k.ipv6AddAddr(i, cfg, nil); err == 0 {
		k.addrconfPrefixRoute(ifp.addr, 64, 0, i.dev, 0, 0)
		k.addrconfDadStart(ifp)
	}
}

// addrconfIfdown takes a link's addresses, and IPv6 too if it goes for good
// (net/ipv6/addrconf.c addrconf_ifdown).
func (k *Kernel) addrconfIfdown(d *netDevice, unregister bool) {
	defer k.enter("addrconf_ifdown")()
	k.rt6DisableIp(d, unregister)
	i := d.in6Dev
	if i == nil {
		return
	}
	if unregister {
		i.dead = true
		d.in6Dev = nil
	} else {
		i.ifFlags &^= ifRsSent | ifReady
	}
	for len(i.addrList) > 0 {
		ifp := i.addrList[0]
		ifp.state = ifaddrDead
		k.ipv6IfaNotifyAny(rtmDeladdr, ifp)
		i.addrList = i.addrList[1:]
	}
	if unregister {
		k.ipv6McDestroyDev(i)
		k.addrconfSysctlUnregister(i)
	}
}

// addrconfSysctlRegister makes a link's directory of sysctls, and tells of what is
// in it (net/ipv6/addrconf.c addrconf_sysctl_register).
func (k *Kernel) addrconfSysctlRegister(i *inet6Dev) errno {
	if !sysctlDevNameIsAllowed(i.dev.name) {
		return nlmsg.EINVAL
	}
	i.sysctl = true
	k.inet6NetconfNotifyDevconf(i.dev.net, rtmNewnetconf, i.dev.index, i.cnf)
	return 0
}

// addrconfSysctlUnregister is net/ipv6/addrconf.c addrconf_sysctl_unregister.
func (k *Kernel) addrconfSysctlUnregister(i *inet6Dev) {
	if i.sysctl {
		i.sysctl = false
		k.inet6NetconfNotifyDevconf(i.dev.net, rtmDelnetconf, i.dev.index, nil)
	}
}

// addrconfDadStart has a worker begin with an address (net/ipv6/addrconf.c
// addrconf_dad_start).
func (k *Kernel) addrconfDadStart(ifp *inet6Ifaddr) {
	defer k.enter("addrconf_dad_start")()
	if ifp.state == ifaddrDead {
		return
	}
	ifp.state = ifaddrPredad
	k.scheduleWork(func() {
		if ifp.state == ifaddrPredad { // addrconf_dad_work
			ifp.state = ifaddrDad
			k.addrconfDadBegin(ifp)
		}
	})
}

// addrconfDadBegin is net/ipv6/addrconf.c addrconf_dad_begin. Where nobody can have
// the address it is the link's at once. Elsewhere it is tentative for a second or
// two in which the link listens, which here do not pass.
func (k *Kernel) addrconfDadBegin(ifp *inet6Ifaddr) {
	i := ifp.idev
	k.addrconfJoinSolict(i, ifp.addr)
	noDad := i.dev.flags&(iffNoarp|iffLoopback) != 0 ||
		i.dev.net.state.inet6.devconfAll[ipv6AcceptDad] < 1 && i.cnf[ipv6AcceptDad] < 1
	if noDad || ifp.flags&ifaFTentative == 0 || ifp.flags&ifaFNodad != 0 {
		ifp.flags &^= ifaFTentative | ifaFOptimistic | ifaFDadfailed
		k.addrconfDadCompleted(ifp)
	}
}

// addrconfDadCompleted has a link use an address. The first link-local one asks for
// routers, of which there are none, and the group that it asks becomes a neighbour
// (net/ipv6/addrconf.c addrconf_dad_completed, net/ipv6/ndisc.c ndisc_send_rs).
func (k *Kernel) addrconfDadCompleted(ifp *inet6Ifaddr) {
	defer k.enter("addrconf_dad_completed")()
	k.ipv6IfaNotify(rtmNewaddr, ifp)
	i := ifp.idev
	lonely := !slices.ContainsFunc(i.addrList, func(o *inet6Ifaddr) bool {
		return o != ifp && o.scope == ifaLink && o.flags&(ifaFPermanent|ifaFTentative|ifaFOptimistic|ifaFDadfailed) == ifaFPermanent
	})
	if ifp.scope != ifaLink || !lonely || i.dev.flags&iffLoopback != 0 {
		return
	}
	i.ifFlags |= ifRsSent
	t := i.dev.net.neighFindTable(pfInet6)
	if i.dev.flags&iffUp != 0 && t.lookup(in6AddrLinklocalAllrouters[:], i.dev) == nil {
		k.neighCreate(t, in6AddrLinklocalAllrouters[:], i.dev, 0, false)
	}
}

// inet6IfinfoNotify tells RTNLGRP_IPV6_IFINFO of a link (net/ipv6/addrconf.c
// inet6_ifinfo_notify).
func (k *Kernel) inet6IfinfoNotify(event uint16, i *inet6Dev) {
	defer k.enter("inet6_ifinfo_notify")()
	skb := nlmsgNew(k.inet6IfNlmsgSize(i))
	k.inet6FillIfinfo(skb, i, 0, 0, event, 0)
	k.rtnlNotify(skb, i.dev.net, 0, rtnlgrpIpv6Ifinfo, nil)
}
