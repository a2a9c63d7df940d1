package emulated

import "net/netip"

// in4Addr is an IPv4 address as a number: 10.0.0.1 is 0x0a000001.
type in4Addr uint32

// in6Addr is an IPv6 address.
type in6Addr [16]byte

func (a in4Addr) bytes() []byte  { return []byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)} }
func (a in4Addr) String() string { return netip.AddrFrom4([4]byte(a.bytes())).String() }
func (a in6Addr) String() string { return netip.AddrFrom16(a).String() }

// in4 and in6 are the address in an attribute; what is missing of a shorter one is
// 0 (include/net/netlink.h nla_get_in_addr, nla_get_in6_addr).
func (a *nlattr) in4() in4Addr {
	var b [4]byte
	copy(b[:], a.data)
	return in4Addr(b[0])<<24 | in4Addr(b[1])<<16 | in4Addr(b[2])<<8 | in4Addr(b[3])
}

func (a *nlattr) in6() (b in6Addr) {
	copy(b[:], a.data)
	return b
}

// inetState is what a namespace has for IPv4 (include/net/netns/ipv4.h).
type inetState struct {
	devconfAll, devconfDflt []int32
	addrGenid               uint32 // dev_addr_genid: changes with every address
	mcAutojoin              []mcJoin
}

// inDevice is a link's IPv4 (include/linux/inetdevice.h struct in_device).
type inDevice struct {
	dev     *netDevice
	cnf     []int32     // by IPV4_DEVCONF_*, less one
	ifaList []*inIfaddr // primary ones first
	mcList  []*ipMcList // the last joined first
	dead    bool
}

// inIfaddr is an IPv4 address of a link (struct in_ifaddr).
type inIfaddr struct {
	dev                    *inDevice
	address                in4Addr // of the peer, or local
	local, mask, broadcast in4Addr
	prefixlen, scope       uint8
	proto                  uint8
	flags                  uint32 // IFA_F_*
	label                  string
	rtPriority             uint32
	validLft, preferredLft uint32
}

// match says that an address is in the subnet (inet_ifa_match).
func (ifa *inIfaddr) match(a in4Addr) bool { return (a^ifa.address)&ifa.mask == 0 }

// inetMakeMask is include/linux/inetdevice.h inet_make_mask.
func inetMakeMask(plen uint8) in4Addr {
	if plen == 0 {
		return 0
	}
	return ^in4Addr(0) << (32 - plen)
}

// ipMcList is an IPv4 multicast address that a link listens to (struct ip_mc_list).
type ipMcList struct {
	multiaddr in4Addr
	users     uint32
}

// inet6State is what a namespace has for IPv6 (include/net/netns/ipv6.h).
type inet6State struct {
	devconfAll, devconfDflt []int32
	addrGenid               uint32
	mcAutojoin              []mcJoin
	labels                  ip6addrlblTable
}

// inet6Dev is a link's IPv6 (include/net/if_inet6.h struct inet6_dev).
type inet6Dev struct {
	dev      *netDevice
	cnf      []int32 // by DEVCONF_*, as it is told
	ifFlags  uint32  // IF_READY
	token    in6Addr
	addrList []*inet6Ifaddr // by scope, global ones first
	mcList   []*ifmcaddr6   // the last joined first
	sysctl   bool           // it has its directory there
	dead     bool
}

// inet6Ifaddr is an IPv6 address of a link (struct inet6_ifaddr).
type inet6Ifaddr struct {
	idev                  *inet6Dev
	addr, peerAddr        in6Addr
	prefixLen             uint8
	scope                 uint16 // IFA_HOST, IFA_LINK, IFA_SITE
	proto                 uint8
	flags                 uint32 // IFA_F_*
	rtPriority            uint32
	validLft, preferedLft uint32
	state                 inet6IfaddrState
}

// inet6IfaddrState is how far duplicate address detection is (enum
// INET6_IFADDR_STATE_*).
type inet6IfaddrState uint8

const (
	ifaddrPredad inet6IfaddrState = iota
	ifaddrDad
	ifaddrDead
)

// ifmcaddr6 is an IPv6 multicast address that a link listens to (struct ifmcaddr6).
type ifmcaddr6 struct {
	addr  in6Addr
	users uint32
}
