package emulated

// What an IPv6 address is (include/net/ipv6.h IPV6_ADDR_*): bits, of which the
// second nibble is its scope as links know it, and from bit 16 on the scope of a
// source address.
const (
	ipv6AddrAny       = 0x0000
	ipv6AddrUnicast   = 0x0001
	ipv6AddrMulticast = 0x0002
	ipv6AddrLoopback  = 0x0010
	ipv6AddrLinklocal = 0x0020
	ipv6AddrSitelocal = 0x0040
	ipv6AddrCompatV4  = 0x0080
	ipv6AddrScopeMask = 0x00f0
	ipv6AddrMapped    = 0x1000

	ifaHost = ipv6AddrLoopback
	ifaLink = ipv6AddrLinklocal
	ifaSite = ipv6AddrSitelocal

	ipv6ScopeNode   = 0x01 << 16
	ipv6ScopeLink   = 0x02 << 16
	ipv6ScopeSite   = 0x05 << 16
	ipv6ScopeGlobal = 0x0e << 16
)

var in6AddrLoopback = in6Addr{15: 1}

// typ is net/ipv6/addrconf_core.c __ipv6_addr_type.
func (a in6Addr) typ() uint32 {
	switch {
	case a[0] == 0xff:
		t := ipv6AddrMulticast | uint32(a[1]&0xf)<<16
		switch a[1] & 0xf {
		case 1:
			t |= ipv6AddrLoopback
		case 2:
			t |= ipv6AddrLinklocal
		case 5:
			t |= ipv6AddrSitelocal
		}
		return t
	case a[0] == 0xfe && a[1]&0xc0 == 0x80:
		return ipv6AddrLinklocal | ipv6AddrUnicast | ipv6ScopeLink
	case a[0] == 0xfe && a[1]&0xc0 == 0xc0:
		return ipv6AddrSitelocal | ipv6AddrUnicast | ipv6ScopeSite
	case a == in6Addr{}:
		return ipv6AddrAny
	case a == in6AddrLoopback:
		return ipv6AddrLoopback | ipv6AddrUnicast | ipv6ScopeLink
	case [12]byte(a[:12]) == [12]byte{}:
		return ipv6AddrCompatV4 | ipv6AddrUnicast | ipv6ScopeGlobal
	case [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff}:
		return ipv6AddrMapped | ipv6ScopeGlobal
	}
	return ipv6AddrUnicast | ipv6ScopeGlobal
}

// scope is include/net/ipv6.h ipv6_addr_scope.
func (a in6Addr) scope() uint16 { return uint16(a.typ() & ipv6AddrScopeMask) }

// srcScope is include/net/ipv6.h ipv6_addr_src_scope: the wider the greater.
func (a in6Addr) srcScope() int {
	if t := a.typ(); t != ipv6AddrAny {
		return int(t >> 16)
	}
	return -1
}

// prefix is the address without what is behind its first bits (ipv6_addr_prefix).
func (a in6Addr) prefix(bits int) (p in6Addr) {
	n := bits / 8
	copy(p[:n], a[:n])
	if rest := bits % 8; rest > 0 {
		p[n] = a[n] & (0xff << (8 - rest))
	}
	return p
}

// rtScope is the scope that is told of an address (net/ipv6/addrconf.c rt_scope).
func rtScope(scope uint16) uint8 {
	switch {
	case scope&ifaHost != 0:
		return rtScopeHost
	case scope&ifaLink != 0:
		return rtScopeLink
	case scope&ifaSite != 0:
		return rtScopeSite
	}
	return rtScopeUniverse
}
