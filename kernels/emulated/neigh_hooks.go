package emulated

import "bytes"

// inetAddrTypeDevTable is what kind of an address a link has it for, RTN_*
// (net/ipv4/fib_frontend.c inet_addr_type_dev_table). Without a local table, which
// comes with the first address, every one is a broadcast.
func (n *netns) inetAddrTypeDevTable(d *netDevice, addr []byte) uint8 {
	switch {
	case addr[0] == 0, bytes.Equal(addr, []byte{255, 255, 255, 255}):
		return neighBroadcast
	case addr[0]&0xf0 == 0xe0:
		return neighMulticast
	}
	return neighBroadcast
}
