package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Messages of addresses (include/uapi/linux/rtnetlink.h).
const (
	rtmNewaddr = 20 + iota
	rtmDeladdr
	rtmGetaddr
)

const (
	rtnlgrpIpv4Ifaddr = 5
	rtnlgrpIpv6Ifaddr = 9
)

// Attributes of an address (include/uapi/linux/if_addr.h IFA_*).
const (
	ifaAddress       = 1
	ifaLocal         = 2
	ifaLabel         = 3
	ifaBroadcast     = 4
	ifaAnycast       = 5
	ifaCacheinfo     = 6
	ifaMulticast     = 7
	ifaFlags         = 8
	ifaRtPriority    = 9
	ifaTargetNetnsid = 10
	ifaProto         = 11
	ifaMcUsers       = 12
)

// ifaddrmsg is include/uapi/linux/if_addr.h struct ifaddrmsg.
type ifaddrmsg struct {
	family, prefixlen, flags, scope uint8
	index                           uint32
}

const sizeofIfaddrmsg = 8

// readIfaddrmsg is the header of a message that is long enough for it.
func readIfaddrmsg(h *nlmsghdr) (m ifaddrmsg) {
	b := h.payload()
	return ifaddrmsg{b[0], b[1], b[2], b[3], native.Uint32(b[4:])}
}

func (m ifaddrmsg) bytes() []byte {
	return native.AppendUint32([]byte{m.family, m.prefixlen, m.flags, m.scope}, m.index)
}

// ifaMax is IFA_MAX, and one more: the length of a policy.
func (k *Kernel) ifaMax() int {
	switch {
	case k.has(mcUsers):
		return ifaMcUsers + 1
	case k.has(addrProto):
		return ifaProto + 1
	}
	return ifaTargetNetnsid + 1
}

// ifaIpv4Policy is net/ipv4/devinet.c ifa_ipv4_policy.
func (k *Kernel) ifaIpv4Policy() policy {
	p := make(policy, ifaMcUsers+1)
	p[ifaLocal].typ = nlaU32
	p[ifaAddress].typ = nlaU32
	p[ifaBroadcast].typ = nlaU32
	p[ifaLabel] = nlaPolicy{typ: nlaString, len: ifnamsiz - 1}
	p[ifaCacheinfo].len = sizeofIfaCacheinfo
	p[ifaFlags].typ = nlaU32
	p[ifaRtPriority].typ = nlaU32
	p[ifaTargetNetnsid].typ = nlaS32
	p[ifaProto].typ = nlaU8
	return p[:k.ifaMax()]
}

const sizeofIfaCacheinfo = 16

// lifetimes are those of a struct ifa_cacheinfo, infinite without one.
func lifetimes(a *nlattr) (valid, preferred uint32) {
	if a == nil {
		return infinityLifeTime, infinityLifeTime
	}
	return native.Uint32(a.data[4:]), native.Uint32(a.data)
}

// putCacheinfo is net/ipv4/devinet.c put_cacheinfo. No time passes.
func (skb *skBuff) putCacheinfo(preferred, valid uint32) {
	b := native.AppendUint32(make([]byte, 0, sizeofIfaCacheinfo), preferred)
	b = native.AppendUint32(b, valid)
	skb.nlaPut(ifaCacheinfo, append(b, make([]byte, 8)...)) // cstamp, tstamp
}

// inetRtmNewaddr is net/ipv4/devinet.c inet_rtm_newaddr, inet_validate_rtm and
// inet_rtm_to_ifa, which used to be rtm_to_ifaddr.
func (k *Kernel) inetRtmNewaddr(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_rtm_newaddr")()
	fails := k.addrFails(x, "ipv4: ")
	tb, err := nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy4, liberal, x)
	if err != 0 {
		return err
	}
	m := readIfaddrmsg(h)
	if m.prefixlen > 32 {
		return fails(nlmsg.EINVAL, "Invalid prefix length")
	}
	if tb[ifaLocal] == nil {
		return fails(nlmsg.EINVAL, "Local address is not supplied")
	}
	valid, preferred := lifetimes(tb[ifaCacheinfo])
	lifetimeBad := valid == 0 || preferred > valid
	local := tb[ifaLocal].in4()
	if k.has(inetValidateFirst) {
		if lifetimeBad {
			return fails(nlmsg.EINVAL, "address lifetime invalid")
		}
		if local == 0 {
			return 0
		}
	}
	d := skb.sk.net.devGetByIndex(int(m.index))
	if d == nil {
		return fails(nlmsg.ENODEV, "Device not found")
	}
	in := d.inDev
	if in == nil {
		return nlmsg.ENOBUFS
	}
	ifa := inetRtmToIfa(in, m, tb)
	if lifetimeBad {
		return fails(nlmsg.EINVAL, "address lifetime invalid")
	}
	old := in.findMatchingIfa(ifa)
	if old == nil {
		setIfaLifetime(ifa, valid, preferred)
		if ifa.flags&ifaFMcautojoin != 0 {
			if err := k.ipMcAutojoin(ifa); err != 0 {
				return fails(err, "Multicast auto join failed")
			}
		}
		if ifa.local == 0 {
			return 0
		}
		return k.inetInsertIfa(ifa, h, skb.portid, x)
	}
	if h.Flags&nlmExcl != 0 || h.Flags&nlmReplace == 0 {
		return fails(nlmsg.EEXIST, "Address already assigned")
	}
	if old.rtPriority != ifa.rtPriority {
		k.fibModifyPrefixMetric(old, ifa.rtPriority)
		old.rtPriority = ifa.rtPriority
	}
	if k.has(inetReplaceProto) {
		old.proto = ifa.proto
	}
	setIfaLifetime(old, valid, preferred)
	k.rtmsgIfa(rtmNewaddr, old, h, skb.portid)
	return 0
}

// addrFails is an error, with its text where the kernel has texts for addresses.
func (k *Kernel) addrFails(x *extAck, prefix string) func(errno, string) errno {
	return func(e errno, text string) errno {
		if k.has(addrExtAck) {
			x.set(prefix + text)
		}
		return e
	}
}

// inetRtmToIfa makes an address of a message (net/ipv4/devinet.c inet_rtm_to_ifa).
func inetRtmToIfa(in *inDevice, m ifaddrmsg, tb attrTable) *inIfaddr {
	ifa := &inIfaddr{dev: in, prefixlen: m.prefixlen, mask: inetMakeMask(m.prefixlen), flags: uint32(m.flags),
		scope: m.scope, local: tb[ifaLocal].in4(), label: in.dev.name}
	ifa.address = ifa.local
	if a := tb[ifaAddress]; a != nil {
		ifa.address = a.in4()
	}
	if a := tb[ifaFlags]; a != nil {
		ifa.flags = a.u32()
	}
	if a := tb[ifaBroadcast]; a != nil {
		ifa.broadcast = a.in4()
	}
	if a := tb[ifaLabel]; a != nil {
		ifa.label = a.str()
	}
	if a := tb[ifaRtPriority]; a != nil {
		ifa.rtPriority = a.u32()
	}
	if a := tb.get(ifaProto); a != nil {
		ifa.proto = a.u8()
	}
	return ifa
}

// strEqual says that the value is a string, with a NUL at its end or without
// (lib/nlattr.c nla_strcmp).
func (a *nlattr) strEqual(s string) bool {
	b := a.data
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b) == s
}

// inetRtmDeladdr deletes the first address that is as the message says
// (net/ipv4/devinet.c inet_rtm_deladdr).
func (k *Kernel) inetRtmDeladdr(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_rtm_deladdr")()
	fails := k.addrFails(x, "ipv4: ")
	tb, err := nlmsgParse(h, sizeofIfaddrmsg, k.ifaPolicy4, liberal, x)
	if err != 0 {
		return err
	}
	m := readIfaddrmsg(h)
	d := skb.sk.net.devGetByIndex(int(m.index))
	if d == nil || d.inDev == nil {
		return fails(nlmsg.ENODEV, "Device not found")
	}
	at := slices.IndexFunc(d.inDev.ifaList, func(ifa *inIfaddr) bool {
		if a := tb[ifaLocal]; a != nil && ifa.local != a.in4() {
			return false
		}
		if a := tb[ifaLabel]; a != nil && !a.strEqual(ifa.label) {
			return false
		}
		a := tb[ifaAddress]
		return a == nil || m.prefixlen == ifa.prefixlen && ifa.match(a.in4())
	})
	if at < 0 {
		return fails(nlmsg.EADDRNOTAVAIL, "Address not found")
	}
	k.ipMcAutoleave(d.inDev.ifaList[at])
	k.inetDelIfa(d.inDev, at, h, skb.portid)
	return 0
}

// inetFillIfaddr puts an address (net/ipv4/devinet.c inet_fill_ifaddr).
func (k *Kernel) inetFillIfaddr(skb *skBuff, ifa *inIfaddr, f *fillAddr) errno {
	m := ifaddrmsg{pfInet, ifa.prefixlen, uint8(ifa.flags), ifa.scope, uint32(ifa.dev.dev.index)}
	p := f.put(skb, m)
	preferred, valid := ifa.preferredLft, ifa.validLft
	if ifa.flags&ifaFPermanent != 0 {
		preferred, valid = infinityLifeTime, infinityLifeTime
	}
	if ifa.address != 0 {
		skb.nlaPut(ifaAddress, ifa.address.bytes())
	}
	if ifa.local != 0 {
		skb.nlaPut(ifaLocal, ifa.local.bytes())
	}
	if ifa.broadcast != 0 {
		skb.nlaPut(ifaBroadcast, ifa.broadcast.bytes())
	}
	if ifa.label != "" {
		skb.nlaPutString(ifaLabel, ifa.label)
	}
	if ifa.proto != 0 {
		skb.nlaPutU8(ifaProto, ifa.proto)
	}
	skb.nlaPutU32(ifaFlags, ifa.flags)
	if ifa.rtPriority != 0 {
		skb.nlaPutU32(ifaRtPriority, ifa.rtPriority)
	}
	skb.putCacheinfo(preferred, valid)
	return p.end()
}

// rtmsgIfa tells RTNLGRP_IPV4_IFADDR of an address (net/ipv4/devinet.c rtmsg_ifa).
func (k *Kernel) rtmsgIfa(event uint16, ifa *inIfaddr, h *nlmsghdr, portid uint32) {
	defer k.enter("rtmsg_ifa")()
	f := fillAddr{portid: portid, event: event}
	if h != nil {
		f.seq = h.Seq
	}
	skb := nlmsgNew(inetNlmsgSize)
	k.inetFillIfaddr(skb, ifa, &f)
	k.rtnlNotify(skb, ifa.dev.dev.net, portid, rtnlgrpIpv4Ifaddr, h)
}

// inetNlmsgSize is net/ipv4/devinet.c inet_nlmsg_size.
const inetNlmsgSize = sizeofIfaddrmsg + 3*8 + 20 + 3*8 + 20

// inetDumpIfaddr is net/ipv4/devinet.c inet_dump_ifaddr.
func (k *Kernel) inetDumpIfaddr(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet_dump_ifaddr")()
	return k.dumpAddr(skb, cb, &addrDump{policy: k.ifaPolicy4, prefix: "ipv4: ", event: rtmNewaddr, ends: dumpSplitDone,
		genid: func(n *netns) uint32 { return n.state.inet.addrGenid },
		addrs: func(d *netDevice) (int, fillAddrFunc) {
			if d.inDev == nil {
				return 0, nil
			}
			l := d.inDev.ifaList
			return len(l), func(i int, skb *skBuff, f *fillAddr) errno { return k.inetFillIfaddr(skb, l[i], f) }
		}})
}
