package emulated

import (
	"fmt"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// devChangeNetNamespace moves a link to another namespace: with the name pattern,
// if there is one, where its own is taken there, and with a new index where that
// is asked for or needed (net/core/dev.c __dev_change_net_namespace).
func (k *Kernel) devChangeNetNamespace(d *netDevice, n *netns, pattern string, index int, x *extAck) errno {
	defer k.enter("__dev_change_net_namespace")()
	if !k.has(moveSays) {
		x = nil
	}
	switch {
	case d.netnsImmutable:
		x.set("The interface netns is immutable")
		return nlmsg.EINVAL
	case d.regState != netregRegistered:
		x.set("The interface isn't registered yet")
		return nlmsg.EINVAL
	case d.net == n:
		return 0
	}
	name := d.name
	if n.netdevNameInUse(name) {
		if pattern == "" {
			x.set("An interface with the same name exists in the target netns")
			return nlmsg.EEXIST
		}
		got, err := n.devPrepValidName(pattern, nlmsg.EEXIST)
		if err != 0 {
			x.set(fmt.Sprintf("Unable to use '%s' for the new interface name in the target netns", pattern))
			return err
		}
		name = got
		if !k.has(moveNamesLate) {
			d.name = name
		}
	}
	for _, alt := range d.altnames {
		if n.netdevNameInUse(alt) {
			x.set(fmt.Sprintf("An interface with the altname %s exists in the target netns", alt))
			return nlmsg.EEXIST
		}
	}
	if index != 0 {
		if _, err := n.devIndexReserve(index); err != 0 {
			x.set(fmt.Sprintf("The ifindex %d is not available in the target netns", index))
			return err
		}
	} else {
		var err errno
		if index, err = n.devIndexReserve(d.index); err != 0 {
			index = n.devNewIndex()
		}
	}
	k.devClose(d)
	k.unlistNetdevice(d)
	k.devShutdown(d)
	k.callNetdevice(netdevUnregister, d, nil)
	nsid := d.net.peernet2idAlloc(n)
	k.rtmsgIfinfoNewnet(rtmDellink, d, ^uint32(0), &nsid, index)
	d.net, d.index, d.name = n, index, name
	k.listNetdevice(d)
	k.callNetdevice(netdevRegister, d, nil)
	k.rtmsgIfinfo(rtmNewlink, d, ^uint32(0), 0, nil)
	return 0
}
