package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	rtmNewmulticast = 56
	rtmDelmulticast = 57
	rtmGetmulticast = 58
	rtmGetanycast   = 62

	rtnlgrpIpv4Mcaddr = 37
	rtnlgrpIpv6Mcaddr = 38
)

// Addresses that links listen to.
const (
	igmpAllHosts in4Addr = 0xe0000001 // 224.0.0.1

	sysctlIgmpMaxMemberships = 20
)

var (
	in6AddrInterfacelocalAllnodes = in6Addr{0: 0xff, 1: 0x01, 15: 1}
	in6AddrLinklocalAllnodes      = in6Addr{0: 0xff, 1: 0x02, 15: 1}
	in6AddrLinklocalAllrouters    = in6Addr{0: 0xff, 1: 0x02, 15: 2}
)

// inMulticast says that an address is a multicast one (ipv4_is_multicast,
// ipv6_addr_is_multicast).
func (a in4Addr) multicast() bool { return a>>28 == 0xe }
func (a in6Addr) multicast() bool { return a[0] == 0xff }

// ipMcUp has a link that comes up listen to what every host does (net/ipv4/igmp.c
// ip_mc_up).
func (k *Kernel) ipMcUp(in *inDevice) { k.ipMcIncGroup(in, igmpAllHosts) }

// ipMcDown is net/ipv4/igmp.c ip_mc_down.
func (k *Kernel) ipMcDown(in *inDevice) { k.ipMcDecGroup(in, igmpAllHosts) }

// ipMcDestroyDev is net/ipv4/igmp.c ip_mc_destroy_dev: but for what every host
// listens to, nobody is told.
func (k *Kernel) ipMcDestroyDev(in *inDevice) {
	k.ipMcDown(in)
	in.mcList = nil
}

// ipMcIncGroup is net/ipv4/igmp.c ip_mc_inc_group.
func (k *Kernel) ipMcIncGroup(in *inDevice, addr in4Addr) {
	for _, m := range in.mcList {
		if m.multiaddr == addr {
			m.users++
			return
		}
	}
	m := &ipMcList{multiaddr: addr, users: 1}
	in.mcList = slices.Insert(in.mcList, 0, m)
	k.inetIfmcaddrNotify(in, m, rtmNewmulticast)
}

// ipMcDecGroup is net/ipv4/igmp.c __ip_mc_dec_group.
func (k *Kernel) ipMcDecGroup(in *inDevice, addr in4Addr) {
	for i, m := range in.mcList {
		if m.multiaddr != addr {
			continue
		}
		if m.users--; m.users == 0 {
			in.mcList = slices.Delete(in.mcList, i, i+1)
			k.inetIfmcaddrNotify(in, m, rtmDelmulticast)
		}
		return
	}
}

// mcJoin is a membership of the socket that joins for IFA_F_MCAUTOJOIN.
type mcJoin struct {
	index int
	in4   in4Addr
	in6   in6Addr
}

// ipMcAutojoin is net/ipv4/devinet.c ip_mc_autojoin_config with join, net/ipv4/igmp.c
// ip_mc_join_group.
func (k *Kernel) ipMcAutojoin(ifa *inIfaddr) errno {
	s := &ifa.dev.dev.net.state.inet
	j := mcJoin{index: ifa.dev.dev.index, in4: ifa.address}
	switch {
	case !ifa.address.multicast():
		return nlmsg.EINVAL
	case slices.Contains(s.mcAutojoin, j):
		return nlmsg.EADDRINUSE
	case len(s.mcAutojoin) >= sysctlIgmpMaxMemberships:
		return nlmsg.ENOBUFS
	}
	s.mcAutojoin = append(s.mcAutojoin, j)
	k.ipMcIncGroup(ifa.dev, ifa.address)
	return 0
}

// ipMcAutoleave takes an address's membership back, if it has one.
func (k *Kernel) ipMcAutoleave(ifa *inIfaddr) {
	s := &ifa.dev.dev.net.state.inet
	if i := slices.Index(s.mcAutojoin, mcJoin{index: ifa.dev.dev.index, in4: ifa.address}); i >= 0 {
		s.mcAutojoin = slices.Delete(s.mcAutojoin, i, i+1)
		k.ipMcDecGroup(ifa.dev, ifa.address)
	}
}

// ipv6DevMcInc is net/ipv6/mcast.c __ipv6_dev_mc_inc.
func (k *Kernel) ipv6DevMcInc(i *inet6Dev, addr in6Addr) {
	for _, m := range i.mcList {
		if m.addr == addr {
			m.users++
			return
		}
	}
	m := &ifmcaddr6{addr: addr, users: 1}
	i.mcList = slices.Insert(i.mcList, 0, m)
	k.inet6IfmcaddrNotify(i, m, rtmNewmulticast)
}

// ipv6DevMcDec is net/ipv6/mcast.c __ipv6_dev_mc_dec.
func (k *Kernel) ipv6DevMcDec(i *inet6Dev, addr in6Addr) {
	for at, m := range i.mcList {
		if m.addr != addr {
			continue
		}
		if m.users--; m.users == 0 {
			i.mcList = slices.Delete(i.mcList, at, at+1)
			k.inet6IfmcaddrNotify(i, m, rtmDelmulticast)
		}
		return
	}
}

// ipv6McDestroyDev is net/ipv6/mcast.c ipv6_mc_destroy_dev.
func (k *Kernel) ipv6McDestroyDev(i *inet6Dev) {
	k.ipv6DevMcDec(i, in6AddrLinklocalAllnodes)
	i.mcList = nil
}

// ipv6McAutojoin is net/ipv6/addrconf.c ipv6_mc_config with join, net/ipv6/mcast.c
// ipv6_sock_mc_join.
func (k *Kernel) ipv6McAutojoin(i *inet6Dev, addr in6Addr) errno {
	s := &i.dev.net.state.inet6
	j := mcJoin{index: i.dev.index, in6: addr}
	switch {
	case !addr.multicast():
		return nlmsg.EINVAL
	case slices.Contains(s.mcAutojoin, j):
		return nlmsg.EADDRINUSE
	}
	s.mcAutojoin = append(s.mcAutojoin, j)
	k.ipv6DevMcInc(i, addr)
	return 0
}

// ipv6McAutoleave is ipv6_mc_config without.
func (k *Kernel) ipv6McAutoleave(i *inet6Dev, addr in6Addr) {
	s := &i.dev.net.state.inet6
	if at := slices.Index(s.mcAutojoin, mcJoin{index: i.dev.index, in6: addr}); at >= 0 {
		s.mcAutojoin = slices.Delete(s.mcAutojoin, at, at+1)
		k.ipv6DevMcDec(i, addr)
	}
}

// solictMult is the multicast address that whoever looks for an address asks
// (include/net/addrconf.h addrconf_addr_solict_mult).
func (a in6Addr) solictMult() in6Addr {
	return in6Addr{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
}

// addrconfJoinSolict is net/ipv6/addrconf.c addrconf_join_solict.
func (k *Kernel) addrconfJoinSolict(i *inet6Dev, addr in6Addr) {
	if i.dev.flags&(iffLoopback|iffNoarp) == 0 {
		k.ipv6DevMcInc(i, addr.solictMult())
	}
}

// addrconfLeaveSolict is net/ipv6/addrconf.c addrconf_leave_solict.
func (k *Kernel) addrconfLeaveSolict(i *inet6Dev, addr in6Addr) {
	if i.dev.flags&(iffLoopback|iffNoarp) == 0 {
		k.ipv6DevMcDec(i, addr.solictMult())
	}
}

// inetFillIfmcaddr is net/ipv4/igmp.c inet_fill_ifmcaddr.
func (k *Kernel) inetFillIfmcaddr(skb *skBuff, d *netDevice, m *ipMcList, f *fillAddr) errno {
	return k.fillMcaddr(skb, ifaddrmsg{pfInet, 32, ifaFPermanent, rtScopeUniverse, uint32(d.index)}, m.multiaddr.bytes(), m.users, f)
}

// inet6FillIfmcaddr is net/ipv6/addrconf.c inet6_fill_ifmcaddr.
func (k *Kernel) inet6FillIfmcaddr(skb *skBuff, d *netDevice, m *ifmcaddr6, f *fillAddr) errno {
	msg := ifaddrmsg{pfInet6, 128, ifaFPermanent, rtScopeUniverse, uint32(d.index)}
	if m.addr.scope()&ifaSite != 0 {
		msg.scope = rtScopeSite
	}
	return k.fillMcaddr(skb, msg, m.addr[:], m.users, f)
}

func (k *Kernel) fillMcaddr(skb *skBuff, m ifaddrmsg, addr []byte, users uint32, f *fillAddr) errno {
	p := f.put(skb, m)
	skb.nlaPut(ifaMulticast, addr)
	if k.has(mcUsers) {
		skb.nlaPutU32(ifaMcUsers, users)
	}
	skb.putCacheinfo(infinityLifeTime, infinityLifeTime)
	return p.end()
}

// inetIfmcaddrNotify is net/ipv4/igmp.c inet_ifmcaddr_notify.
func (k *Kernel) inetIfmcaddrNotify(in *inDevice, m *ipMcList, event uint16) {
	if !k.has(mcNotify) {
		return
	}
	skb := nlmsgNew(sizeofIfaddrmsg + 8 + 8 + 20)
	k.inetFillIfmcaddr(skb, in.dev, m, &fillAddr{event: event})
	k.rtnlNotify(skb, in.dev.net, 0, rtnlgrpIpv4Mcaddr, nil)
}

// inet6IfmcaddrNotify is net/ipv6/mcast.c inet6_ifmcaddr_notify.
func (k *Kernel) inet6IfmcaddrNotify(i *inet6Dev, m *ifmcaddr6, event uint16) {
	if !k.has(mcNotify) {
		return
	}
	skb := nlmsgNew(sizeofIfaddrmsg + 20 + 8 + 20)
	k.inet6FillIfmcaddr(skb, i.dev, m, &fillAddr{event: event})
	k.rtnlNotify(skb, i.dev.net, 0, rtnlgrpIpv6Mcaddr, nil)
}

// inetDumpIfmcaddr is net/ipv4/devinet.c inet_dump_ifmcaddr.
func (k *Kernel) inetDumpIfmcaddr(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet_dump_ifmcaddr")()
	return k.dumpAddr(skb, cb, &addrDump{policy: k.ifaPolicy4, prefix: "ipv4: ", event: rtmGetmulticast, ends: addrDumpReturn,
		addrs: func(d *netDevice) (int, fillAddrFunc) {
			if d.inDev == nil {
				return 0, nil
			}
			l := d.inDev.mcList
			return len(l), func(i int, skb *skBuff, f *fillAddr) errno { return k.inetFillIfmcaddr(skb, d, l[i], f) }
		}})
}

// inet6DumpIfmcaddr is net/ipv6/addrconf.c inet6_dump_ifmcaddr.
func (k *Kernel) inet6DumpIfmcaddr(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_dump_ifmcaddr")()
	return k.dumpAddr(skb, cb, &addrDump{policy: k.ifaPolicy6, prefix: "ipv6: ", event: rtmGetmulticast, ends: addrDumpReturn,
		addrs: func(d *netDevice) (int, fillAddrFunc) {
			if d.in6Dev == nil {
				return 0, nil
			}
			l := d.in6Dev.mcList
			return len(l), func(i int, skb *skBuff, f *fillAddr) errno { return k.inet6FillIfmcaddr(skb, d, l[i], f) }
		}})
}

// inet6DumpIfacaddr is net/ipv6/addrconf.c inet6_dump_ifacaddr. Only routers and
// sockets have anycast addresses.
func (k *Kernel) inet6DumpIfacaddr(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_dump_ifacaddr")()
	return k.dumpAddr(skb, cb, &addrDump{policy: k.ifaPolicy6, prefix: "ipv6: ", event: rtmGetanycast, ends: addrDumpReturn,
		addrs: func(*netDevice) (int, fillAddrFunc) { return 0, nil }})
}
