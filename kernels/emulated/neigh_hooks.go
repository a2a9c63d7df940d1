package emulated

// inetAddrTypeDevTable is what kind of an address a link has it for, RTN_*
// (net/ipv4/fib_frontend.c inet_addr_type_dev_table).
func (n *netns) inetAddrTypeDevTable(_ *netDevice, addr []byte) uint8 {
	return n.k.inetAddrType(n, in4Addr(be32(addr)), rtTableLocal)
}
