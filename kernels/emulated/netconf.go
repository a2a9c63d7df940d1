package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

const (
	rtmNewnetconf = 80
	rtmDelnetconf = 81
	rtmGetnetconf = 82

	rtnlgrpIpv4Netconf = 24
	rtnlgrpIpv6Netconf = 25
)

// Attributes (include/uapi/linux/netconf.h NETCONFA_*), and what stands for links.
const (
	netconfaIfindex                  = 1
	netconfaForwarding               = 2
	netconfaRpFilter                 = 3
	netconfaMcForwarding             = 4
	netconfaProxyNeigh               = 5
	netconfaIgnoreRoutesWithLinkdown = 6
	netconfaBcForwarding             = 8
	netconfaForceForwarding          = 9

	netconfaIfindexAll     = -1
	netconfaIfindexDefault = -2

	sizeofNetconfmsg = 1
)

// ipv4ProxyArp is IPV4_DEVCONF_PROXY_ARP, less one.
const ipv4ProxyArp = 2

// netconf is what a family tells of the configuration of links.
type netconf struct {
	family  uint8
	group   uint32
	prefix  string // of the texts of errors
	policy  policy
	missing errno // for a link that is not there
	values  []netconfValue
	dev     func(*netDevice) []int32 // nil: the link has none
	all     func(*netns) []int32
	dflt    func(*netns) []int32
}

type netconfValue struct {
	attr  int
	index int // among the values of a link
}

// inetNetconf is IPv4's (net/ipv4/devinet.c).
func (k *Kernel) inetNetconf() *netconf {
	c := &netconf{
		family: pfInet, group: rtnlgrpIpv4Netconf, prefix: "ipv4: ", missing: nlmsg.EINVAL,
		policy: k.devconfPolicy(netconfaIfindex, netconfaForwarding, netconfaRpFilter, netconfaProxyNeigh, netconfaIgnoreRoutesWithLinkdown),
		values: []netconfValue{{netconfaForwarding, ipv4Forwarding}, {netconfaRpFilter, ipv4RpFilter},
			{netconfaMcForwarding, ipv4McForwarding}, {netconfaBcForwarding, ipv4BcForwarding},
			{netconfaProxyNeigh, ipv4ProxyArp}, {netconfaIgnoreRoutesWithLinkdown, ipv4IgnoreRoutesWithLinkdown}},
		dev: func(d *netDevice) []int32 {
			if d.inDev == nil {
				return nil
			}
			return d.inDev.cnf
		},
		all:  func(n *netns) []int32 { return n.state.inet.devconfAll },
		dflt: func(n *netns) []int32 { return n.state.inet.devconfDflt },
	}
	if k.has(netconfEnodev) {
		c.missing = nlmsg.ENODEV
	}
	return c
}

// inet6Netconf is IPv6's (net/ipv6/addrconf.c).
func (k *Kernel) inet6Netconf() *netconf {
	return &netconf{
		family: pfInet6, group: rtnlgrpIpv6Netconf, prefix: "ipv6: ", missing: nlmsg.EINVAL,
		policy: k.devconfPolicy(netconfaIfindex, netconfaForwarding, netconfaProxyNeigh, netconfaIgnoreRoutesWithLinkdown),
		values: []netconfValue{{netconfaForwarding, ipv6Forwarding}, {netconfaMcForwarding, ipv6McForwarding},
			{netconfaProxyNeigh, ipv6ProxyNdp}, {netconfaIgnoreRoutesWithLinkdown, ipv6IgnoreRoutesWithLinkdown}},
		dev: func(d *netDevice) []int32 {
			if d.in6Dev == nil {
				return nil
			}
			return d.in6Dev.cnf
		},
		all:  func(n *netns) []int32 { return n.state.inet6.devconfAll },
		dflt: func(n *netns) []int32 { return n.state.inet6.devconfDflt },
	}
}

// devconfPolicy is devconf_ipv4_policy and devconf_ipv6_policy.
func (k *Kernel) devconfPolicy(known ...int) policy {
	p := make(policy, netconfaBcForwarding+1)
	if k.has(forceForwarding) {
		p = make(policy, netconfaForceForwarding+1)
	}
	for _, t := range known {
		p[t].len = 4
	}
	return p
}

// fill puts a message: the index, and of the values that of an attribute, or all with
// 0 (inet_netconf_fill_devconf, inet6_netconf_fill_devconf).
func (c *netconf) fill(skb *skBuff, index, attr int, cnf []int32, portid, seq uint32, event, flags uint16) errno {
	p := skb.nlmsgPut(portid, seq, event, flags, []byte{c.family})
	skb.nlaPutU32(netconfaIfindex, uint32(index))
	if cnf != nil {
		for _, v := range c.values {
			if attr != 0 && v.attr != attr {
				continue
			}
			skb.nlaPutU32(uint16(v.attr), uint32(cnf[v.index]))
		}
	}
	return p.end()
}

// notifyNetconf tells the group of a link's values, or of that of an attribute, or
// that it is gone.
func (k *Kernel) notifyNetconf(c *netconf, n *netns, event uint16, index, attr int, cnf []int32) {
	skb := nlmsgNew(4 + 8 + 8*len(c.values))
	c.fill(skb, index, attr, cnf, 0, 0, event, 0)
	k.rtnlNotify(skb, n, 0, c.group, nil)
}

// inetNetconfNotifyDevconf is net/ipv4/devinet.c inet_netconf_notify_devconf.
func (k *Kernel) inetNetconfNotifyDevconf(n *netns, event uint16, index, attr int, cnf []int32) {
	defer k.enter("inet_netconf_notify_devconf")()
	k.notifyNetconf(k.netconf4, n, event, index, attr, cnf)
}

// inet6NetconfNotifyDevconf is net/ipv6/addrconf.c inet6_netconf_notify_devconf. Only
// all values are ever told, or none.
func (k *Kernel) inet6NetconfNotifyDevconf(n *netns, event uint16, index int, cnf []int32) {
	defer k.enter("inet6_netconf_notify_devconf")()
	k.notifyNetconf(k.netconf6, n, event, index, 0, cnf)
}

// inetNetconfGetDevconf is net/ipv4/devinet.c inet_netconf_get_devconf.
func (k *Kernel) inetNetconfGetDevconf(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet_netconf_get_devconf")()
	return k.getNetconf(k.netconf4, skb, h, x)
}

// inet6NetconfGetDevconf is net/ipv6/addrconf.c inet6_netconf_get_devconf.
func (k *Kernel) inet6NetconfGetDevconf(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("inet6_netconf_get_devconf")()
	return k.getNetconf(k.netconf6, skb, h, x)
}

func (k *Kernel) getNetconf(c *netconf, in *skBuff, h *nlmsghdr, x *extAck) errno {
	tb, err := c.validGetReq(h, k.netlinkStrictGetCheck(in), x)
	if err != 0 {
		return err
	}
	if tb[netconfaIfindex] == nil {
		return nlmsg.EINVAL
	}
	n := in.sk.net
	index := int(int32(tb[netconfaIfindex].u32()))
	var cnf []int32
	switch index {
	case netconfaIfindexAll:
		cnf = c.all(n)
	case netconfaIfindexDefault:
		cnf = c.dflt(n)
	default:
		if d := n.devGetByIndex(index); d != nil {
			cnf = c.dev(d)
		}
	}
	if cnf == nil {
		return c.missing
	}
	skb := nlmsgNew(4 + 8 + 8*len(c.values))
	c.fill(skb, index, 0, cnf, in.portid, h.Seq, rtmNewnetconf, 0)
	return k.rtnlUnicast(skb, n, in.portid)
}

// validGetReq is inet_netconf_valid_get_req and inet6_netconf_valid_get_req.
func (c *netconf) validGetReq(h *nlmsghdr, strict bool, x *extAck) (attrTable, errno) {
	if !strict {
		return nlmsgParse(h, sizeofNetconfmsg, c.policy, liberal, x)
	}
	tb, err := nlmsgParse(h, sizeofNetconfmsg, c.policy, deprecatedStrict, x)
	if err != 0 {
		return nil, err
	}
	for t, a := range tb {
		if a != nil && t != netconfaIfindex {
			x.set(c.prefix + "Unsupported attribute in netconf get request")
			return nil, nlmsg.EINVAL
		}
	}
	return tb, 0
}

// inetNetconfDumpDevconf is net/ipv4/devinet.c inet_netconf_dump_devconf.
func (k *Kernel) inetNetconfDumpDevconf(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet_netconf_dump_devconf")()
	return k.dumpNetconf(k.netconf4, skb, cb)
}

// inet6NetconfDumpDevconf is net/ipv6/addrconf.c inet6_netconf_dump_devconf.
func (k *Kernel) inet6NetconfDumpDevconf(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_netconf_dump_devconf")()
	return k.dumpNetconf(k.netconf6, skb, cb)
}

// dumpNetconf dumps the values of the links, then those of all and of new ones.
func (k *Kernel) dumpNetconf(c *netconf, skb *skBuff, cb *netlinkCallback) errno {
	if cb.strict && len(cb.nlh.payload()) != nlmsg.Align(sizeofNetconfmsg) {
		cb.extack.set(c.prefix + "Invalid data after header in netconf dump request")
		return nlmsg.EINVAL
	}
	err := c.dump(k, skb, cb)
	if !k.has(addrDumpReturn) {
		return dumpLen(skb)
	}
	return err
}

func (c *netconf) dump(k *Kernel, skb *skBuff, cb *netlinkCallback) errno {
	n := cb.net
	put := func(index int, cnf []int32) errno {
		return c.fill(skb, index, 0, cnf, cb.skb.portid, cb.nlh.Seq, rtmNewnetconf, nlmMulti)
	}
	for _, d := range k.dumpOrder(n, cb.args[0]) {
		if cnf := c.dev(d); cnf != nil {
			if err := put(d.index, cnf); err != 0 {
				return err
			}
		}
		cb.args[0] = k.dumpKey(d) + 1
	}
	for _, v := range []struct {
		index int
		cnf   []int32
	}{{netconfaIfindexAll, c.all(n)}, {netconfaIfindexDefault, c.dflt(n)}}[cb.args[1]:] {
		if err := put(v.index, v.cnf); err != 0 {
			return err
		}
		cb.args[1]++
	}
	return 0
}
