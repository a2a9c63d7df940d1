package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Attributes of AF_INET and AF_INET6 in IFLA_AF_SPEC, of which the latter are also
// IFLA_PROTINFO's (include/uapi/linux/if_link.h).
const (
	iflaInetConf = 1

	iflaInet6Flags       = 1
	iflaInet6Conf        = 2
	iflaInet6Stats       = 3
	iflaInet6Cacheinfo   = 5
	iflaInet6Icmp6stats  = 6
	iflaInet6Token       = 7
	iflaInet6AddrGenMode = 8
	iflaInet6RaMtu       = 9
)

// Values of a link for IPv4, less one from their IPV4_DEVCONF_*
// (include/uapi/linux/ip.h).
const (
	ipv4Forwarding               = 0
	ipv4McForwarding             = 1
	ipv4AcceptRedirects          = 3
	ipv4SecureRedirects          = 4
	ipv4SendRedirects            = 5
	ipv4SharedMedia              = 6
	ipv4RpFilter                 = 7
	ipv4AcceptSourceRoute        = 8
	ipv4Noxfrm                   = 14
	ipv4Nopolicy                 = 15
	ipv4Igmpv2UnsolicitedReport  = 26
	ipv4Igmpv3UnsolicitedReport  = 27
	ipv4IgnoreRoutesWithLinkdown = 28
	ipv4BcForwarding             = 31
	ipv4ArpEvictNocarrier        = 32
)

// ipv4DevconfDflt are the values that a link begins with in a namespace
// (net/ipv4/devinet.c ipv4_devconf_dflt).
func (k *Kernel) ipv4DevconfDflt() []int32 {
	c := [...]int32{
		ipv4AcceptRedirects:         1,
		ipv4SecureRedirects:         1,
		ipv4SendRedirects:           1,
		ipv4SharedMedia:             1,
		ipv4AcceptSourceRoute:       1,
		ipv4Igmpv2UnsolicitedReport: 10000,
		ipv4Igmpv3UnsolicitedReport: 1000,
		ipv4ArpEvictNocarrier:       1,
	}
	if !k.has(arpEvictNocarrier) {
		return c[:ipv4ArpEvictNocarrier]
	}
	return c[:]
}

// ipv6DevconfDflt are the values that a link begins with, as they are told: times
// are in milliseconds (net/ipv6/addrconf.c ipv6_devconf_dflt,
// ipv6_store_devconf).
func (k *Kernel) ipv6DevconfDflt() []int32 {
	c := [...]int32{
		ipv6HopLimit:              64,
		ipv6AcceptRa:              1,
		ipv6AcceptRedirects:       1,
		ipv6Autoconf:              1,
		ipv6DadTransmits:          1,
		ipv6RtrSolicits:           -1,
		ipv6RtrSolicitInterval:    4000,
		ipv6RtrSolicitDelay:       1000,
		ipv6TempValidLft:          7 * 86400,
		ipv6TempPreferedLft:       86400,
		ipv6RegenMaxRetry:         3,
		ipv6MaxDesyncFactor:       600,
		ipv6MaxAddresses:          16,
		ipv6AcceptRaDefrtr:        1,
		ipv6AcceptRaPinfo:         1,
		ipv6AcceptRaRtrPref:       1,
		ipv6RtrProbeInterval:      60000,
		ipv6AcceptDad:             1,
		ipv6Mldv1Unsolicited:      10000,
		ipv6Mldv2Unsolicited:      1000,
		ipv6SuppressFragNdisc:     1,
		ipv6AcceptRaMtu:           1,
		ipv6AcceptRaMinHopLimit:   1,
		ipv6RtrSolicitMaxInterval: 3600000,
		ipv6EnhancedDad:           1,
		ipv6ForceForwarding:       0,
	}
	if k.has(tempValidLftTwoDays) {
		c[ipv6TempValidLft] = 2 * 86400
	}
	if k.has(raDefrtrMetric) {
		c[ipv6RaDefrtrMetric] = 1024
	}
	if k.has(ioam6) {
		c[ipv6Ioam6ID], c[ipv6Ioam6IDWide] = 0xffff, -1
	}
	if k.has(ndiscEvictNocarrier) {
		c[ipv6NdiscEvictNocarrier] = 1
	}
	if !k.has(forceForwarding) {
		return c[:ipv6ForceForwarding]
	}
	return c[:]
}

// Values of a link for IPv6 (include/uapi/linux/ipv6.h DEVCONF_*).
const (
	ipv6Forwarding               = 0
	ipv6HopLimit                 = 1
	ipv6Mtu6                     = 2
	ipv6AcceptRa                 = 3
	ipv6AcceptRedirects          = 4
	ipv6Autoconf                 = 5
	ipv6DadTransmits             = 6
	ipv6RtrSolicits              = 7
	ipv6RtrSolicitInterval       = 8
	ipv6RtrSolicitDelay          = 9
	ipv6UseTempaddr              = 10
	ipv6TempValidLft             = 11
	ipv6TempPreferedLft          = 12
	ipv6RegenMaxRetry            = 13
	ipv6MaxDesyncFactor          = 14
	ipv6MaxAddresses             = 15
	ipv6AcceptRaDefrtr           = 17
	ipv6AcceptRaPinfo            = 18
	ipv6AcceptRaRtrPref          = 19
	ipv6RtrProbeInterval         = 20
	ipv6ProxyNdp                 = 22
	ipv6McForwarding             = 25
	ipv6DisableIpv6              = 26
	ipv6AcceptDad                = 27
	ipv6Mldv1Unsolicited         = 30
	ipv6Mldv2Unsolicited         = 31
	ipv6SuppressFragNdisc        = 32
	ipv6AcceptRaMtu              = 35
	ipv6AcceptRaMinHopLimit      = 38
	ipv6IgnoreRoutesWithLinkdown = 39
	ipv6RtrSolicitMaxInterval    = 43
	ipv6EnhancedDad              = 46
	ipv6AddrGenMode              = 47
	ipv6RaDefrtrMetric           = 52
	ipv6Ioam6ID                  = 54
	ipv6Ioam6IDWide              = 55
	ipv6NdiscEvictNocarrier      = 56
	ipv6ForceForwarding          = 59
)

// rtnlAfInit is what IPv4 and IPv6 register for IFLA_AF_SPEC (net/ipv4/devinet.c
// devinet_init, net/ipv6/addrconf.c addrconf_init).
func (k *Kernel) rtnlAfInit() {
	k.rtnlAfRegister(&rtnlAfOps{family: pfInet, fillLink: k.inetFillLinkAf, size: k.inetGetLinkAfSize,
		validate: k.inetValidateLinkAf, set: k.inetSetLinkAf})
	k.rtnlAfRegister(&rtnlAfOps{family: pfInet6, fillLink: k.inet6FillLinkAf, size: k.inet6GetLinkAfSize,
		validate: k.inet6ValidateLinkAf, set: k.inet6SetLinkAf})
}

// inetFillLinkAf is net/ipv4/devinet.c inet_fill_link_af.
func (k *Kernel) inetFillLinkAf(skb *skBuff, d *netDevice, mask uint32) errno {
	if d.inDev == nil {
		return nlmsg.ENODATA
	}
	skb.nlaPut(iflaInetConf, devconf(d.inDev.cnf))
	return 0
}

// inetGetLinkAfSize is net/ipv4/devinet.c inet_get_link_af_size.
func (k *Kernel) inetGetLinkAfSize(d *netDevice, mask uint32) int {
	if d.inDev == nil {
		return 0
	}
	return nlaTotalSize(4 * len(d.inDev.cnf))
}

// inet6FillLinkAf is net/ipv6/addrconf.c inet6_fill_link_af.
func (k *Kernel) inet6FillLinkAf(skb *skBuff, d *netDevice, mask uint32) errno {
	if d.in6Dev == nil {
		return nlmsg.ENODATA
	}
	k.inet6FillIfla6Attrs(skb, d.in6Dev, mask)
	return 0
}

// inet6GetLinkAfSize is net/ipv6/addrconf.c inet6_get_link_af_size.
func (k *Kernel) inet6GetLinkAfSize(d *netDevice, mask uint32) int {
	if d.in6Dev == nil {
		return 0
	}
	return k.inet6Ifla6Size(d.in6Dev)
}

// inet6Ifla6Size is net/ipv6/addrconf.c inet6_ifla6_size.
func (k *Kernel) inet6Ifla6Size(i *inet6Dev) int {
	ip, icmp := k.inet6Counters()
	return nlaTotalSize(4) + nlaTotalSize(16) + nlaTotalSize(4*len(i.cnf)) + nlaTotalSize(8*ip) + nlaTotalSize(8*icmp) +
		nlaTotalSize(16) + nlaTotalSize(1)
}

// inet6FillIfla6Attrs is net/ipv6/addrconf.c inet6_fill_ifla6_attrs. Counters have
// counted nothing, and the times of a cacheinfo are those of the boot.
func (k *Kernel) inet6FillIfla6Attrs(skb *skBuff, i *inet6Dev, mask uint32) {
	skb.nlaPutU32(iflaInet6Flags, i.ifFlags)
	var ci []byte
	for _, v := range []uint32{0xffff, 0, 30000, 1000} { // max_reasm_len, tstamp, reachable_time, retrans_time
		ci = native.AppendUint32(ci, v)
	}
	skb.nlaPut(iflaInet6Cacheinfo, ci)
	skb.nlaPut(iflaInet6Conf, devconf(i.cnf))
	if mask&rtextFilterSkipStats == 0 {
		ip, icmp := k.inet6Counters()
		skb.nlaPut(iflaInet6Stats, counters(ip))
		skb.nlaPut(iflaInet6Icmp6stats, counters(icmp))
	}
	skb.nlaPut(iflaInet6Token, i.token[:])
	skb.nlaPutU8(iflaInet6AddrGenMode, uint8(i.cnf[ipv6AddrGenMode]))
}

// inet6Counters are IPSTATS_MIB_MAX and ICMP6_MIB_MAX.
func (k *Kernel) inet6Counters() (ip, icmp int) {
	ip, icmp = 37, 6
	if k.has(ipReasmOverlaps) {
		ip = 38
	}
	if k.has(icmpRatelimitHost) {
		icmp = 7
	}
	return ip, icmp
}

// counters is n counters, of which the first is n (net/ipv6/addrconf.c
// __snmp6_fill_stats64).
func counters(n int) []byte {
	b := make([]byte, 8*n)
	native.PutUint64(b, uint64(n))
	return b
}

func devconf(c []int32) []byte {
	b := make([]byte, 0, 4*len(c))
	for _, v := range c {
		b = native.AppendUint32(b, uint32(v))
	}
	return b
}
