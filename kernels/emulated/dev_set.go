package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// devValidateMtu is net/core/dev.c dev_validate_mtu. Beyond 2^31 an MTU is a
// negative number.
func devValidateMtu(d *netDevice, mtu uint32, x *extAck) errno {
	if int32(mtu) < 0 || mtu < d.minMtu {
		x.set("mtu less than device minimum")
		return nlmsg.EINVAL
	}
	if d.maxMtu > 0 && mtu > d.maxMtu {
		x.set("mtu greater than device maximum")
		return nlmsg.EINVAL
	}
	return 0
}

// devSetMtu is net/core/dev.c dev_set_mtu_ext.
func (k *Kernel) devSetMtu(d *netDevice, mtu uint32, x *extAck) errno {
	if mtu == d.mtu {
		return 0
	}
	if err := devValidateMtu(d, mtu, x); err != 0 {
		return err
	}
	if err := k.callNetdevice(netdevPrechangemtu, d, nil); err != 0 {
		return err
	}
	old := d.mtu
	if err := d.changeMtu(mtu); err != 0 {
		return err
	}
	err := k.callNetdevice(netdevChangemtu, d, nil)
	if err != 0 {
		d.changeMtu(old)
		k.callNetdevice(netdevChangemtu, d, nil)
	}
	return err
}

// changeMtu is net/core/dev.c __dev_set_mtu.
func (d *netDevice) changeMtu(mtu uint32) errno {
	if f := d.driver().changeMtu; f != nil {
		return f(d, mtu)
	}
	d.mtu = mtu
	return 0
}

// validEtherAddr is include/linux/etherdevice.h is_valid_ether_addr.
func validEtherAddr(a []byte) bool {
	return len(a) >= 6 && a[0]&1 == 0 && !bytes.Equal(a[:6], make([]byte, 6))
}

// devSetMacAddress is net/core/dev.c dev_set_mac_address.
func (k *Kernel) devSetMacAddress(d *netDevice, addr []byte, x *extAck) errno {
	set := d.driver().setMacAddress
	if set == nil {
		return nlmsg.EOPNOTSUPP
	}
	if err := k.callNetdevice(netdevPreChangeaddr, d, x); err != 0 {
		return err
	}
	if err := set(d, addr); err != 0 {
		return err
	}
	k.callNetdevice(netdevChangeaddr, d, nil)
	return 0
}

// ethMacAddr sets the address of an Ethernet link (net/ethernet/eth.c
// eth_mac_addr).
func ethMacAddr(d *netDevice, addr []byte) errno {
	if !validEtherAddr(addr) {
		return nlmsg.EADDRNOTAVAIL
	}
	d.addr = slices.Clone(addr[:d.addrLen])
	return 0
}

// devSetAlias is net/core/dev.c dev_set_alias.
func devSetAlias(d *netDevice, a *nlattr) errno {
	if len(a.data) >= ifaliasz {
		return nlmsg.EINVAL
	}
	d.alias = a.str()
	return 0
}

// devChangeCarrier is net/core/dev.c dev_change_carrier.
func devChangeCarrier(d *netDevice, on bool) errno {
	if f := d.driver().changeCarrier; f != nil {
		return f(d, on)
	}
	return nlmsg.EOPNOTSUPP
}

// maxTxqlen is how long a queue of packets to be sent may be set to be.
const maxTxqlen = 0x7fff

// devChangeTxQueueLen is net/core/dev.c dev_change_tx_queue_len.
func (k *Kernel) devChangeTxQueueLen(d *netDevice, n uint32) errno {
	if n > maxTxqlen && k.has(txqlenRange) {
		return nlmsg.ERANGE
	}
	old := d.txqlen
	if n == old {
		return 0
	}
	d.txqlen = n
	err := k.callNetdevice(netdevChangeTxQueueLen, d, nil)
	if err != 0 {
		d.txqlen = old
	}
	return err
}

// setOperstate is net/core/rtnetlink.c set_operstate.
func (k *Kernel) setOperstate(d *netDevice, to uint8) {
	s := d.operstate
	up := s == ifOperUp || s == ifOperUnknown
	switch {
	case to == ifOperUp && (s == ifOperDormant || s == ifOperTesting || s == ifOperUnknown),
		(to == ifOperTesting || to == ifOperDormant) && up:
		s = to
	}
	if d.operstate != s {
		d.operstate = s
		k.netdevStateChange(d)
	}
}
