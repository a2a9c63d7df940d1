package emulated

import "bytes"

// hwAddr is an address that a link listens to (include/linux/netdevice.h struct
// netdev_hw_addr).
type hwAddr struct{ addr [6]byte }

// hwAddrs is a list of them (struct netdev_hw_addr_list).
type hwAddrs []hwAddr

// addExcl adds an address that is not there (net/core/dev_addr_lists.c
// dev_uc_add_excl, dev_mc_add_excl).
func (l *hwAddrs) addExcl(addr []byte) bool {
	for _, a := range *l {
		if bytes.Equal(a.addr[:], addr) {
			return false
		}
	}
	*l = append(*l, hwAddr{[6]byte(addr)})
	return true
}

// del is dev_uc_del, dev_mc_del.
func (l *hwAddrs) del(addr []byte) bool {
	for i, a := range *l {
		if bytes.Equal(a.addr[:], addr) {
			*l = append((*l)[:i:i], (*l)[i+1:]...)
			return true
		}
	}
	return false
}

// mcAddrs are the multicast addresses of a link: those that IPv6 and IPv4 listen to,
// the first joined first, and those that users have added.
func (d *netDevice) mcAddrs() (l hwAddrs) {
	if d.in6Dev != nil {
		for i := len(d.in6Dev.mcList) - 1; i >= 0; i-- {
			// Those of the link itself are not the hardware's.
			if a := d.in6Dev.mcList[i].addr; a[1]&0xf >= 2 {
				l.addExcl([]byte{0x33, 0x33, a[12], a[13], a[14], a[15]})
			}
		}
	}
	if len(d.net.k.vlansOn(d)) > 0 { // vlan_gvrp_init_applicant
		l.addExcl([]byte{0x01, 0x80, 0xc2, 0, 0, 0x21})
	}
	if d.inDev != nil && d.flags&iffUp != 0 {
		for i := len(d.inDev.mcList) - 1; i >= 0; i-- {
			a := d.inDev.mcList[i].multiaddr
			l.addExcl([]byte{0x01, 0x00, 0x5e, byte(a>>16) & 0x7f, byte(a >> 8), byte(a)})
		}
	}
	for _, a := range d.mc {
		l.addExcl(a.addr[:])
	}
	return l
}
