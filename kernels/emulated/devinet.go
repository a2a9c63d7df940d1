package emulated

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Flags of an address (include/uapi/linux/if_addr.h IFA_F_*).
const (
	ifaFSecondary      = 0x01
	ifaFNodad          = 0x02
	ifaFOptimistic     = 0x04
	ifaFDadfailed      = 0x08
	ifaFHomeaddress    = 0x10
	ifaFDeprecated     = 0x20
	ifaFTentative      = 0x40
	ifaFPermanent      = 0x80
	ifaFManagetempaddr = 0x100
	ifaFNoprefixroute  = 0x200
	ifaFMcautojoin     = 0x400
	ifaFStablePrivacy  = 0x800

	ipv6OnlyFlags = ifaFNodad | ifaFOptimistic | ifaFDadfailed | ifaFHomeaddress | ifaFTentative |
		ifaFManagetempaddr | ifaFStablePrivacy
)

// infinityLifeTime is INFINITY_LIFE_TIME.
const infinityLifeTime = 0xffffffff

// Scopes (include/uapi/linux/rtnetlink.h enum rt_scope_t).
const (
	rtScopeUniverse = 0
	rtScopeSite     = 200
	rtScopeLink     = 253
	rtScopeHost     = 254
)

// ipv4PromoteSecondaries is IPV4_DEVCONF_PROMOTE_SECONDARIES, less one.
const ipv4PromoteSecondaries = 19

// inetAddrLoopback is 127.0.0.1.
const inetAddrLoopback in4Addr = 0x7f000001

// inetaddrNotifier hears of IPv4 addresses: NETDEV_UP when one has come, NETDEV_DOWN
// when it is about to be gone (net/ipv4/devinet.c inetaddr_chain).
type inetaddrNotifier func(e netdevEvent, ifa *inIfaddr)

// registerInetaddrNotifier is net/ipv4/devinet.c register_inetaddr_notifier.
func (k *Kernel) registerInetaddrNotifier(f inetaddrNotifier) {
	k.inetaddrChain = append(k.inetaddrChain, f)
}

// callInetaddr tells those who have registered for it.
func (k *Kernel) callInetaddr(e netdevEvent, ifa *inIfaddr) {
	ifa.dev.dev.net.state.inet.addrGenid++
	for _, f := range k.inetaddrChain {
		f(e, ifa)
	}
}

// devinetInit is net/ipv4/devinet.c devinet_init.
func (k *Kernel) devinetInit() {
	defer k.enter("devinet_init")()
	k.ifaPolicy4, k.netconf4 = k.ifaIpv4Policy(), k.inetNetconf()
	k.registerPernetSubsys(pernetOperations{name: "devinet", init: k.devinetInitNet})
	k.registerNetdeviceNotifier(k.inetdevEvent)
	k.rtnlRegister(pfInet, rtmNewaddr, k.inetRtmNewaddr, nil, 0)
	k.rtnlRegister(pfInet, rtmDeladdr, k.inetRtmDeladdr, nil, 0)
	k.rtnlRegister(pfInet, rtmGetaddr, nil, k.inetDumpIfaddr, rtnlDumpSplitDone)
	k.rtnlRegister(pfInet, rtmGetnetconf, k.inetNetconfGetDevconf, k.inetNetconfDumpDevconf, 0)
	if k.has(ifmcaddrDump) {
		k.rtnlRegister(pfInet, rtmGetmulticast, nil, k.inetDumpIfmcaddr, 0)
	}
}

// devinetInitNet is net/ipv4/devinet.c devinet_init_net.
func (k *Kernel) devinetInitNet(n *netns) errno {
	s := &n.state.inet
	s.devconfDflt = k.ipv4DevconfDflt()
	s.devconfAll = slices.Clone(s.devconfDflt)
	s.devconfAll[ipv4AcceptSourceRoute] = 0
	return 0
}

// inetdevInit gives a link its IPv4 (net/ipv4/devinet.c inetdev_init).
func (k *Kernel) inetdevInit(d *netDevice) errno {
	if !sysctlDevNameIsAllowed(d.name) {
		return nlmsg.EINVAL
	}
	in := &inDevice{dev: d, cnf: slices.Clone(d.net.state.inet.devconfDflt)}
	k.inetNetconfNotifyDevconf(d.net, rtmNewnetconf, d.index, 0, in.cnf)
	if d.flags&iffUp != 0 {
		k.ipMcUp(in)
	}
	d.inDev = in
	return 0
}

// sysctlDevNameIsAllowed is net/ipv4/devinet.c sysctl_dev_name_is_allowed: the other
// entries of the directory.
func sysctlDevNameIsAllowed(name string) bool { return name != "default" && name != "all" }

// inetdevDestroy takes IPv4 from a link, and its addresses with it
// (net/ipv4/devinet.c inetdev_destroy).
func (k *Kernel) inetdevDestroy(in *inDevice) {
	in.dead = true
	k.ipMcDestroyDev(in)
	for len(in.ifaList) > 0 {
		k.inetDelIfa(in, 0, nil, 0)
	}
	in.dev.inDev = nil
	k.inetNetconfNotifyDevconf(in.dev.net, rtmDelnetconf, in.dev.index, 0, nil)
}

// inetdevValidMtu is include/linux/inetdevice.h inetdev_valid_mtu.
func inetdevValidMtu(d *netDevice) bool { return d.mtu >= 68 }

// inetdevEvent is net/ipv4/devinet.c inetdev_event.
func (k *Kernel) inetdevEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	defer k.enter("inetdev_event")()
	in := d.inDev
	if in == nil {
		switch {
		case e == netdevRegister:
			if err := k.inetdevInit(d); err != 0 {
				return err
			}
			if d.flags&iffLoopback != 0 {
				d.inDev.cnf[ipv4Noxfrm], d.inDev.cnf[ipv4Nopolicy] = 1, 1
			}
		case e == netdevChangemtu && inetdevValidMtu(d): // IP is enabled again
			k.inetdevInit(d)
		}
		return 0
	}
	switch e {
	case netdevUp:
		if !inetdevValidMtu(d) {
			break
		}
		if d.flags&iffLoopback != 0 {
			ifa := &inIfaddr{dev: in, local: inetAddrLoopback, address: inetAddrLoopback, prefixlen: 8,
				mask: inetMakeMask(8), scope: rtScopeHost, label: d.name}
			setIfaLifetime(ifa, infinityLifeTime, infinityLifeTime)
			k.inetInsertIfa(ifa, nil, 0, nil)
		}
		k.ipMcUp(in)
	case netdevDown:
		k.ipMcDown(in)
	case netdevChangemtu:
		if !inetdevValidMtu(d) {
			k.inetdevDestroy(in)
		}
	case netdevUnregister:
		k.inetdevDestroy(in)
	case netdevChangename:
		k.inetdevChangename(d, in)
		k.inetNetconfNotifyDevconf(d.net, rtmDelnetconf, d.index, 0, nil)
		if sysctlDevNameIsAllowed(d.name) {
			k.inetNetconfNotifyDevconf(d.net, rtmNewnetconf, d.index, 0, in.cnf)
		}
	}
	return 0
}

// inetdevChangename renames the labels of a link's addresses: the first is the
// link's name, others keep what followed a colon (net/ipv4/devinet.c
// inetdev_changename).
func (k *Kernel) inetdevChangename(d *netDevice, in *inDevice) {
	for i, ifa := range in.ifaList {
		old := ifa.label
		ifa.label = d.name
		if i > 0 {
			dot := ":" + strconv.Itoa(i+1)
			if at := strings.IndexByte(old, ':'); at >= 0 {
				dot = old[at:]
			}
			if len(dot)+len(d.name) < ifnamsiz {
				ifa.label = d.name + dot
			} else {
				ifa.label = d.name[:min(len(d.name), ifnamsiz-1-len(dot))] + dot
			}
		}
		k.rtmsgIfa(rtmNewaddr, ifa, nil, 0)
	}
}

// setIfaLifetime is net/ipv4/devinet.c set_ifa_lifetime.
func setIfaLifetime(ifa *inIfaddr, valid, preferred uint32) {
	ifa.flags &^= ifaFPermanent | ifaFDeprecated
	if valid != infinityLifeTime {
		ifa.validLft = valid
	} else {
		ifa.flags |= ifaFPermanent
	}
	if preferred != infinityLifeTime {
		if preferred == 0 {
			ifa.flags |= ifaFDeprecated
		}
		ifa.preferredLft = preferred
	}
}

// inetInsertIfa enters an address: secondary behind all others where its subnet has
// one, else behind the primary ones of no lesser scope. It tells of it before the
// routes come (net/ipv4/devinet.c __inet_insert_ifa). h is the request of portid,
// nil for none.
func (k *Kernel) inetInsertIfa(ifa *inIfaddr, h *nlmsghdr, portid uint32, x *extAck) errno {
	defer k.enter("__inet_insert_ifa")()
	in := ifa.dev
	ifa.flags &^= ifaFSecondary | ipv6OnlyFlags
	lastPrimary := 0
	for i, o := range in.ifaList {
		if o.flags&ifaFSecondary == 0 && ifa.scope <= o.scope {
			lastPrimary = i + 1
		}
		if o.mask == ifa.mask && ifa.match(o.address) {
			if o.local == ifa.local {
				return nlmsg.EEXIST
			}
			if o.scope != ifa.scope {
				if k.has(addrExtAck) {
					x.set("ipv4: Invalid scope value")
				}
				return nlmsg.EINVAL
			}
			ifa.flags |= ifaFSecondary
		}
	}
	at := len(in.ifaList)
	if ifa.flags&ifaFSecondary == 0 {
		at = lastPrimary
	}
	in.ifaList = slices.Insert(in.ifaList, at, ifa)
	k.rtmsgIfa(rtmNewaddr, ifa, h, portid)
	k.callInetaddr(netdevUp, ifa)
	return 0
}

// sameSubnet says that an address is in the subnet of another, by its mask too.
func (ifa *inIfaddr) sameSubnet(o *inIfaddr) bool { return ifa.mask == o.mask && o.match(ifa.address) }

// inetDelIfa deletes the address at a place of the list. The secondaries of a
// primary one go too, or the first of them takes its place (net/ipv4/devinet.c
// __inet_del_ifa).
func (k *Kernel) inetDelIfa(in *inDevice, at int, h *nlmsghdr, portid uint32) {
	defer k.enter("__inet_del_ifa")()
	gone := in.ifaList[at]
	var promote *inIfaddr
	var lastPrim *inIfaddr // behind which the promoted one goes, nil for the place of the one that goes
	prevProm := false      // the promoted one is not the next
	if !in.dead && gone.flags&ifaFSecondary == 0 {
		promotes := in.cnf[ipv4PromoteSecondaries] != 0 || in.dev.net.state.inet.devconfAll[ipv4PromoteSecondaries] != 0
		for i := at + 1; i < len(in.ifaList); {
			ifa := in.ifaList[i]
			if ifa.flags&ifaFSecondary == 0 && gone.scope <= ifa.scope {
				lastPrim = ifa
			}
			if ifa.flags&ifaFSecondary == 0 || !ifa.sameSubnet(gone) {
				i++
				prevProm = true
				continue
			}
			if promotes {
				promote = ifa
				break
			}
			in.ifaList = slices.Delete(in.ifaList, i, i+1)
			k.rtmsgIfa(rtmDeladdr, ifa, h, portid)
			k.callInetaddr(netdevDown, ifa)
		}
		// The routes of those that stay have the address that goes as their source.
		if promote != nil {
			for _, ifa := range in.ifaList[slices.Index(in.ifaList, promote):] {
				if ifa.sameSubnet(gone) {
					k.fibDelIfaddr(ifa, gone)
				}
			}
		}
	}
	in.ifaList = slices.Delete(in.ifaList, at, at+1)
	k.rtmsgIfa(rtmDeladdr, gone, h, portid)
	k.callInetaddr(netdevDown, gone)
	if promote == nil {
		return
	}
	i := slices.Index(in.ifaList, promote)
	rest := slices.Clone(in.ifaList[i+1:])
	if prevProm {
		in.ifaList = slices.Delete(in.ifaList, i, i+1)
		to := at
		if lastPrim != nil {
			to = slices.Index(in.ifaList, lastPrim) + 1
		}
		in.ifaList = slices.Insert(in.ifaList, to, promote)
	}
	promote.flags &^= ifaFSecondary
	k.rtmsgIfa(rtmNewaddr, promote, h, portid)
	k.callInetaddr(netdevUp, promote)
	for _, ifa := range rest {
		if ifa.sameSubnet(gone) {
			k.fibAddIfaddr(ifa)
		}
	}
}

// findMatchingIfa is net/ipv4/devinet.c find_matching_ifa.
func (in *inDevice) findMatchingIfa(ifa *inIfaddr) *inIfaddr {
	for _, o := range in.ifaList {
		if o.mask == ifa.mask && ifa.match(o.address) && o.local == ifa.local {
			return o
		}
	}
	return nil
}
