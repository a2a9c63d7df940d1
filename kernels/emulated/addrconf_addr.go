package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// ifa6Config is what an IPv6 address is to be (include/net/addrconf.h struct
// ifa6_config).
type ifa6Config struct {
	pfx                    in6Addr
	peerPfx                *in6Addr // nil for none
	plen                   uint8
	proto                  uint8
	flags                  uint32
	scope                  uint16
	rtPriority             uint32
	validLft, preferredLft uint32
}

// rtfExpires is RTF_EXPIRES.
const rtfExpires = 0x00400000

// lifetime makes of the lifetimes what address and route are to have: 0 seconds and
// no flag for ever.
func (c *ifa6Config) lifetime() (expires, rtFlags uint32) {
	if c.validLft != infinityLifeTime {
		expires, rtFlags = c.validLft, rtfExpires
	} else {
		c.flags |= ifaFPermanent
	}
	if c.preferredLft == 0 {
		c.flags |= ifaFDeprecated
	}
	return expires, rtFlags
}

// lifetimeBad says that an address would be gone at once, or preferred for longer
// than it is.
func (c *ifa6Config) lifetimeBad() bool { return c.validLft == 0 || c.preferredLft > c.validLft }

// ipv6GetIfaddr finds an address: of a link, or of any with nil
// (net/ipv6/addrconf.c ipv6_get_ifaddr).
func (n *netns) ipv6GetIfaddr(addr in6Addr, d *netDevice) *inet6Ifaddr {
	for _, o := range n.state.devs {
		if d != nil && o != d || o.in6Dev == nil {
			continue
		}
		for _, ifp := range o.in6Dev.addrList {
			if ifp.addr == addr {
				return ifp
			}
		}
	}
	return nil
}

// ipv6AddAddr enters an address, those of wider scope before others
// (net/ipv6/addrconf.c ipv6_add_addr).
func (k *Kernel) ipv6AddAddr(i *inet6Dev, cfg *ifa6Config, x *extAck) (*inet6Ifaddr, errno) {
	defer k.enter("ipv6_add_addr")()
	fails := k.addrFails(x, "ipv6: ")
	switch t := cfg.pfx.typ(); {
	case t == ipv6AddrAny:
		return nil, fails(nlmsg.EADDRNOTAVAIL, "Invalid address")
	case t&ipv6AddrMulticast != 0 && cfg.flags&ifaFMcautojoin == 0:
		return nil, fails(nlmsg.EADDRNOTAVAIL, `Cannot assign multicast address without "IFA_F_MCAUTOJOIN" flag`)
	case i.dev.flags&iffLoopback == 0 && t&ipv6AddrLoopback != 0:
		return nil, fails(nlmsg.EADDRNOTAVAIL, "Cannot assign loopback address on this device")
	}
	if i.cnf[ipv6DisableIpv6] != 0 {
		return nil, fails(nlmsg.EACCES, "IPv6 is disabled on this device")
	}
	n := i.dev.net
	if n.ipv6GetIfaddr(cfg.pfx, i.dev) != nil {
		return nil, nlmsg.EEXIST
	}
	ifp := &inet6Ifaddr{idev: i, addr: cfg.pfx, scope: cfg.scope, prefixLen: cfg.plen, rtPriority: cfg.rtPriority,
		flags: cfg.flags, proto: cfg.proto, validLft: cfg.validLft, preferedLft: cfg.preferredLft}
	if cfg.peerPfx != nil {
		ifp.peerAddr = *cfg.peerPfx
	}
	if cfg.flags&ifaFNodad == 0 {
		ifp.flags |= ifaFTentative
	}
	scope := ifp.addr.srcScope()
	at := slices.IndexFunc(i.addrList, func(o *inet6Ifaddr) bool { return scope >= o.addr.srcScope() })
	if at < 0 {
		at = len(i.addrList)
	}
	i.addrList = slices.Insert(i.addrList, at, ifp)
	return ifp, 0
}

// ipv6DelAddr is net/ipv6/addrconf.c ipv6_del_addr.
func (k *Kernel) ipv6DelAddr(ifp *inet6Ifaddr) {
	defer k.enter("ipv6_del_addr")()
	if ifp.state == ifaddrDead {
		return
	}
	ifp.state = ifaddrDead
	action := cleanupPrefixRtNop
	if ifp.flags&ifaFPermanent != 0 && ifp.flags&ifaFNoprefixroute == 0 {
		action = ifp.checkCleanupPrefixRoute()
	}
	i := ifp.idev
	i.addrList = slices.DeleteFunc(i.addrList, func(o *inet6Ifaddr) bool { return o == ifp })
	k.ipv6IfaNotify(rtmDeladdr, ifp)
	if action != cleanupPrefixRtNop {
		k.cleanupPrefixRoute(ifp, ifp.addr, action)
	}
	k.rt6RemovePrefsrc(ifp)
}

// cleanupPrefixRt is what becomes of the route of a prefix when an address of it
// goes (net/ipv6/addrconf.c enum cleanup_prefix_rt_t).
type cleanupPrefixRt uint8

const (
	cleanupPrefixRtNop cleanupPrefixRt = iota
	cleanupPrefixRtDel
	cleanupPrefixRtExpire
)

// checkCleanupPrefixRoute says whether other addresses of the link need the route
// (net/ipv6/addrconf.c check_cleanup_prefix_route).
func (ifp *inet6Ifaddr) checkCleanupPrefixRoute() cleanupPrefixRt {
	action := cleanupPrefixRtDel
	bits := int(ifp.prefixLen)
	for _, o := range ifp.idev.addrList {
		if o == ifp || o.prefixLen != ifp.prefixLen || o.addr.prefix(bits) != ifp.addr.prefix(bits) {
			continue
		}
		if o.flags&(ifaFPermanent|ifaFNoprefixroute) != 0 {
			return cleanupPrefixRtNop
		}
		action = cleanupPrefixRtExpire
	}
	return action
}

// inet6AddrAdd is net/ipv6/addrconf.c inet6_addr_add.
func (k *Kernel) inet6AddrAdd(d *netDevice, cfg *ifa6Config, x *extAck) errno {
	defer k.enter("inet6_addr_add")()
	fails := k.addrFails(x, "ipv6: ")
	switch {
	case cfg.plen > 128:
		return fails(nlmsg.EINVAL, "Invalid prefix length")
	case cfg.lifetimeBad():
		return fails(nlmsg.EINVAL, "address lifetime invalid")
	case cfg.flags&ifaFManagetempaddr != 0 && cfg.plen != 64:
		return fails(nlmsg.EINVAL, `address with "mngtmpaddr" flag must have a prefix length of 64`)
	}
	i, err := k.addrconfAddDev(d)
	if err != 0 {
		return fails(err, "IPv6 is disabled on this device")
	}
	if cfg.flags&ifaFMcautojoin != 0 {
		if err := k.ipv6McAutojoin(i, cfg.pfx); err != 0 {
			return fails(err, "Multicast auto join failed")
		}
	}
	cfg.scope = cfg.pfx.scope()
	expires, rtFlags := cfg.lifetime()
	ifp, err := k.ipv6AddAddr(i, cfg, x)
	if err != 0 {
		if cfg.flags&ifaFMcautojoin != 0 {
			k.ipv6McAutoleave(i, cfg.pfx)
		}
		return err
	}
	if cfg.flags&ifaFNoprefixroute == 0 {
		k.addrconfPrefixRoute(ifp.addr, ifp.prefixLen, ifp.rtPriority, d, expires, rtFlags)
	}
	if ifp.flags&(ifaFOptimistic|ifaFNodad) == 0 {
		k.ipv6IfaNotify(0, ifp)
	}
	k.addrconfDadStart(ifp)
	return 0
}

// inet6AddrDel is net/ipv6/addrconf.c inet6_addr_del.
func (k *Kernel) inet6AddrDel(n *netns, index int, pfx in6Addr, plen uint8, x *extAck) errno {
	defer k.enter("inet6_addr_del")()
	fails := k.addrFails(x, "ipv6: ")
	if plen > 128 {
		return fails(nlmsg.EINVAL, "Invalid prefix length")
	}
	d := n.devGetByIndex(index)
	if d == nil {
		return fails(nlmsg.ENODEV, "Unable to find the interface")
	}
	i := d.in6Dev
	if i == nil {
		return fails(nlmsg.ENXIO, "IPv6 is disabled on this device")
	}
	for _, ifp := range i.addrList {
		if ifp.prefixLen == plen && ifp.addr == pfx {
			k.ipv6DelAddr(ifp)
			k.ipv6McAutoleave(i, pfx)
			return 0
		}
	}
	return fails(nlmsg.EADDRNOTAVAIL, "address not found")
}

// inet6AddrModify is net/ipv6/addrconf.c inet6_addr_modify.
func (k *Kernel) inet6AddrModify(ifp *inet6Ifaddr, cfg *ifa6Config) errno {
	defer k.enter("inet6_addr_modify")()
	if cfg.lifetimeBad() || cfg.flags&ifaFManagetempaddr != 0 && ifp.prefixLen != 64 {
		return nlmsg.EINVAL
	}
	expires, rtFlags := cfg.lifetime()
	if cfg.peerPfx != nil && ifp.peerAddr != *cfg.peerPfx && ifp.peerAddr != (in6Addr{}) {
		k.cleanupPrefixRoute(ifp, ifp.peerAddr, cleanupPrefixRtDel)
	}
	hadPrefixroute := ifp.flags&ifaFPermanent != 0 && ifp.flags&ifaFNoprefixroute == 0
	ifp.flags &^= ifaFDeprecated | ifaFPermanent | ifaFNodad | ifaFHomeaddress | ifaFManagetempaddr | ifaFNoprefixroute
	ifp.flags |= cfg.flags
	ifp.validLft, ifp.preferedLft, ifp.proto = cfg.validLft, cfg.preferredLft, cfg.proto
	if cfg.rtPriority != 0 {
		ifp.rtPriority = cfg.rtPriority
	}
	if cfg.peerPfx != nil {
		ifp.peerAddr = *cfg.peerPfx
	}
	if ifp.flags&ifaFTentative == 0 {
		k.ipv6IfaNotify(0, ifp)
	}
	switch {
	case cfg.flags&ifaFNoprefixroute == 0:
		rc := nlmsg.ENOENT
		if hadPrefixroute {
			rc = k.modifyPrefixRoute(ifp, ifp.addr, expires, rtFlags)
		}
		if rc == nlmsg.ENOENT {
			k.addrconfPrefixRoute(ifp.addr, ifp.prefixLen, ifp.rtPriority, ifp.idev.dev, expires, rtFlags)
		}
		if ifp.peerAddr == (in6Addr{}) {
			break
		}
		if hadPrefixroute {
			rc = k.modifyPrefixRoute(ifp, ifp.peerAddr, expires, rtFlags)
		}
		if rc == nlmsg.ENOENT {
			k.addrconfPrefixRoute(ifp.peerAddr, ifp.prefixLen, ifp.rtPriority, ifp.idev.dev, expires, rtFlags)
		}
	case hadPrefixroute:
		if action := ifp.checkCleanupPrefixRoute(); action != cleanupPrefixRtNop {
			k.cleanupPrefixRoute(ifp, ifp.addr, action)
		}
	}
	return 0
}

// ipv6IfaNotify tells of an address, and gives or takes its routes
// (net/ipv6/addrconf.c ipv6_ifa_notify). An event of 0 only tells.
func (k *Kernel) ipv6IfaNotify(event uint16, ifp *inet6Ifaddr) {
	if !ifp.idev.dead {
		k.ipv6IfaNotifyAny(event, ifp)
	}
}

// ipv6IfaNotifyAny does so even where IPv6 is about to go (net/ipv6/addrconf.c
// __ipv6_ifa_notify).
func (k *Kernel) ipv6IfaNotifyAny(event uint16, ifp *inet6Ifaddr) {
	defer k.enter("__ipv6_ifa_notify")()
	if event == 0 {
		k.inet6IfaNotify(rtmNewaddr, ifp)
	} else {
		k.inet6IfaNotify(event, ifp)
	}
	i := ifp.idev
	switch event {
	case rtmNewaddr:
		k.ip6InsHostRoute(ifp)
		if ifp.peerAddr != (in6Addr{}) {
			k.addrconfPrefixRoute(ifp.peerAddr, 128, ifp.rtPriority, i.dev, 0, 0)
		}
	case rtmDeladdr:
		k.addrconfLeaveSolict(i, ifp.addr)
		k.ip6DelHostRoute(ifp)
	}
	i.dev.net.state.inet6.addrGenid++
}
