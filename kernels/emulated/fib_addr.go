package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// What addresses have the tables of routes do.

// fibAddIfaddr is net/ipv4/fib_frontend.c fib_add_ifaddr.
func (k *Kernel) fibAddIfaddr(ifa *inIfaddr) {}

// fibDelIfaddr is net/ipv4/fib_frontend.c fib_del_ifaddr; iprim is the primary
// address that goes, nil for ifa itself.
func (k *Kernel) fibDelIfaddr(ifa, iprim *inIfaddr) {}

// fibModifyPrefixMetric is net/ipv4/fib_frontend.c fib_modify_prefix_metric. The
// address still has its old metric.
func (k *Kernel) fibModifyPrefixMetric(ifa *inIfaddr, metric uint32) {}

// ip6InsHostRoute enters the route of an address to itself, if it is not in the
// table (net/ipv6/addrconf.c __ipv6_ifa_notify, ip6_ins_rt).
func (k *Kernel) ip6InsHostRoute(ifp *inet6Ifaddr) {}

// ip6DelHostRoute takes that route from the table, and that to the peer's address
// (net/ipv6/addrconf.c __ipv6_ifa_notify, ip6_del_rt).
func (k *Kernel) ip6DelHostRoute(ifp *inet6Ifaddr) {}

// fixupPermanentAddr gives an address its routes again that they were lost to when
// its link was down (net/ipv6/addrconf.c fixup_permanent_addr).
func (k *Kernel) fixupPermanentAddr(ifp *inet6Ifaddr) {}

// addrconfPrefixRoute enters the route to a prefix. expires is in seconds, and goes
// with RTF_EXPIRES in flags (net/ipv6/addrconf.c addrconf_prefix_route).
func (k *Kernel) addrconfPrefixRoute(pfx in6Addr, plen uint8, metric uint32, d *netDevice, expires, flags uint32) {
}

// modifyPrefixRoute gives the route to a prefix of an address another metric or
// lifetime: ENOENT where it is not in the table (net/ipv6/addrconf.c
// modify_prefix_route).
func (k *Kernel) modifyPrefixRoute(ifp *inet6Ifaddr, addr in6Addr, expires, flags uint32) errno {
	return nlmsg.ENOENT
}

// cleanupPrefixRoute deletes the route to a prefix of an address, or gives it an end
// (net/ipv6/addrconf.c cleanup_prefix_route).
func (k *Kernel) cleanupPrefixRoute(ifp *inet6Ifaddr, addr in6Addr, action cleanupPrefixRt) {}

// addrconfAddMroute enters the route to multicast addresses (net/ipv6/addrconf.c
// addrconf_add_mroute).
func (k *Kernel) addrconfAddMroute(d *netDevice) {}

// rt6DisableIp takes the routes of a link that goes down, or for good
// (net/ipv6/route.c rt6_disable_ip).
func (k *Kernel) rt6DisableIp(d *netDevice, unregister bool) {}

// rt6SyncUp and rt6SyncDownDev are told of a link that is ready, or no longer is
// (net/ipv6/route.c).
func (k *Kernel) rt6SyncUp(d *netDevice)                     {}
func (k *Kernel) rt6SyncDownDev(d *netDevice, e netdevEvent) {}

// rt6RemovePrefsrc takes an address that goes from routes that prefer it as their
// source (net/ipv6/route.c rt6_remove_prefsrc).
func (k *Kernel) rt6RemovePrefsrc(ifp *inet6Ifaddr) {}
