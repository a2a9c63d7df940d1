package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Values of a link for IPv4 that nothing else here looks at, less one from their
// IPV4_DEVCONF_*.
const (
	ipv4Tag              = 11
	ipv4MediumID         = 13
	ipv4ForceIgmpVersion = 16
	ipv4ArpAnnounce      = 17
	ipv4ArpIgnore        = 18
	ipv4ArpAccept        = 20
)

// ifRsSent is IF_RS_SENT (include/net/if_inet6.h).
const ifRsSent = 0x10

// inetAfPolicy is net/ipv4/devinet.c inet_af_policy.
var inetAfPolicy = policy{iflaInetConf: {typ: nlaNested}}

// inetValidateLinkAf is net/ipv4/devinet.c inet_validate_link_af. d is nil for a
// link that is yet to be made.
func (k *Kernel) inetValidateLinkAf(d *netDevice, a *nlattr, x *extAck) errno {
	if d != nil && d.inDev == nil {
		return nlmsg.EAFNOSUPPORT
	}
	tb, err := nlaParseNested(a, inetAfPolicy, liberal, k.linkAfExtAck(x))
	if err != 0 {
		return err
	}
	conf := tb[iflaInetConf]
	if conf == nil {
		return 0
	}
	if k.has(inetDevconfPolicy) {
		if k.has(inetConfNotNested) {
			_, err = nlaParse(conf.data, conf.off+4, inetConfPolicy, strict, x)
		} else {
			_, err = nlaParseNested(conf, inetConfPolicy, strict, x)
		}
		return err
	}
	last := uint16(len(k.ipv4DevconfDflt()))
	_, err = eachAttr(conf.data, conf.off+4, func(v *nlattr) errno {
		if t := v.kind(); len(v.data) < 4 || t == 0 || t > last {
			return nlmsg.EINVAL
		}
		return 0
	})
	return err
}

// inetConfPolicy is net/ipv4/devinet.c inet_devconf_policy: most values are off or on.
var inetConfPolicy = func() policy {
	p := make(policy, ipv4ArpEvictNocarrier+2)
	for t := 1; t < len(p); t++ {
		p[t] = nlaPolicy{typ: nlaU32, check: validateRange, max: 1}
	}
	for i, most := range map[int]int64{ipv4RpFilter: 2, ipv4ForceIgmpVersion: 3, ipv4ArpAnnounce: 2, ipv4ArpIgnore: 8, ipv4ArpAccept: 2} {
		p[i+1].max = most
	}
	for _, i := range []int{ipv4Tag, ipv4Igmpv2UnsolicitedReport, ipv4Igmpv3UnsolicitedReport} {
		p[i+1].check = validateNone
	}
	p[ipv4MediumID+1] = nlaPolicy{typ: nlaS32, check: validateMin, min: -1}
	p[ipv4McForwarding+1] = nlaPolicy{typ: nlaReject}
	return p
}()

// linkAfExtAck is the ext ack of a validation, of which older kernels hear nothing.
func (k *Kernel) linkAfExtAck(x *extAck) *extAck {
	if k.has(validateLinkAfExtAck) {
		return x
	}
	return nil
}

// inetSetLinkAf sets values of a link. Older kernels tell nobody, newer ones of a
// change of what netconf knows (net/ipv4/devinet.c inet_set_link_af).
func (k *Kernel) inetSetLinkAf(d *netDevice, a *nlattr, x *extAck) errno {
	if d.inDev == nil {
		return nlmsg.EAFNOSUPPORT
	}
	tb, err := nlaParseNested(a, inetAfPolicy, liberal, nil)
	if err != 0 {
		return nlmsg.EINVAL
	}
	conf := tb[iflaInetConf]
	if conf == nil {
		return 0
	}
	_, err = eachAttr(conf.data, conf.off+4, func(v *nlattr) errno {
		i := int(v.kind()) - 1
		old := d.inDev.cnf[i]
		d.inDev.cnf[i] = int32(v.u32())
		if d.inDev.cnf[i] == old || !k.has(inetConfNotNested) {
			return 0
		}
		for _, c := range k.netconf4.values {
			if c.index == i && i != ipv4BcForwarding {
				k.inetNetconfNotifyDevconf(d.net, rtmNewnetconf, d.index, c.attr, d.inDev.cnf)
			}
		}
		return 0
	})
	return err
}

// inet6AfPolicy is net/ipv6/addrconf.c inet6_af_policy.
func (k *Kernel) inet6AfPolicy() policy {
	p := policy{iflaInet6Token: {len: 16}, iflaInet6AddrGenMode: {typ: nlaU8},
		iflaInet6RaMtu: {typ: nlaReject, reject: "IFLA_INET6_RA_MTU can not be set"}}
	if !k.has(inet6RaMtu) {
		return p[:iflaInet6RaMtu]
	}
	return p
}

// inet6ValidateLinkAf is net/ipv6/addrconf.c inet6_validate_link_af. A stable
// address needs a secret, which nobody can have set.
func (k *Kernel) inet6ValidateLinkAf(d *netDevice, a *nlattr, x *extAck) errno {
	if d != nil && d.in6Dev == nil {
		return nlmsg.EAFNOSUPPORT
	}
	tb, err := nlaParseNested(a, k.inet6AfPolicy(), liberal, k.linkAfExtAck(x))
	if err != 0 {
		return err
	}
	mode := tb[iflaInet6AddrGenMode]
	if mode == nil {
		if tb[iflaInet6Token] == nil {
			return nlmsg.EINVAL
		}
		return 0
	}
	if m := mode.u8(); m > in6AddrGenModeRandom || m == in6AddrGenModeStablePrivacy && d != nil {
		return nlmsg.EINVAL
	}
	return 0
}

// inet6SetLinkAf is net/ipv6/addrconf.c inet6_set_link_af.
func (k *Kernel) inet6SetLinkAf(d *netDevice, a *nlattr, x *extAck) errno {
	i := d.in6Dev
	if i == nil {
		return nlmsg.EAFNOSUPPORT
	}
	tb, err := nlaParseNested(a, k.inet6AfPolicy(), liberal, nil)
	if err != 0 {
		return nlmsg.EINVAL
	}
	if t := tb[iflaInet6Token]; t != nil {
		if err := k.inet6SetIftoken(i, t.in6(), x); err != 0 {
			return err
		}
	}
	if m := tb[iflaInet6AddrGenMode]; m != nil {
		i.cnf[ipv6AddrGenMode] = int32(m.u8())
	}
	return 0
}

// inet6SetIftoken is net/ipv6/addrconf.c inet6_set_iftoken.
func (k *Kernel) inet6SetIftoken(i *inet6Dev, token in6Addr, x *extAck) errno {
	if !k.has(iftokenExtAck) {
		x = nil
	}
	switch {
	case i.dev.flags&iffLoopback != 0:
		x.set("ipv6: Device is loopback")
		return nlmsg.EINVAL
	case i.dev.flags&iffNoarp != 0:
		x.set("ipv6: Device does not do neighbour discovery")
		return nlmsg.EINVAL
	}
	copy(i.token[8:], token[8:])
	if token != (in6Addr{}) && i.ifFlags&ifReady != 0 && i.lladdr() != nil {
		i.ifFlags |= ifRsSent
	}
	k.inet6IfinfoNotify(rtmNewlink, i)
	return 0
}

// lladdr is a link-local address that the link can send from (net/ipv6/addrconf.c
// ipv6_get_lladdr).
func (i *inet6Dev) lladdr() *inet6Ifaddr {
	for _, ifp := range i.addrList {
		if ifp.scope == ifaLink && ifp.flags&ifaFTentative == 0 {
			return ifp
		}
	}
	return nil
}
