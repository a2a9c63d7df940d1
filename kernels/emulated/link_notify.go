package emulated

// Multicast groups (include/uapi/linux/rtnetlink.h RTNLGRP_*).
const rtnlgrpLink = 1

// What IFLA_EVENT tells (include/uapi/linux/if_link.h IFLA_EVENT_*).
const (
	iflaEventNone = iota
	iflaEventReboot
	iflaEventFeatures
	iflaEventBondingFailover
	iflaEventNotifyPeers
	iflaEventIgmpResend
	iflaEventBondingOptions
)

// rtnlGetEvent is net/core/rtnetlink.c rtnl_get_event.
func rtnlGetEvent(e netdevEvent) uint32 {
	switch e {
	case netdevReboot:
		return iflaEventReboot
	case netdevFeatChange:
		return iflaEventFeatures
	case netdevNotifyPeers:
		return iflaEventNotifyPeers
	case netdevChangeinfodata:
		return iflaEventBondingOptions
	}
	return iflaEventNone
}

// rtnetlinkEvent tells what rtnetlink itself has not been asked to change
// (net/core/rtnetlink.c rtnetlink_event).
func (k *Kernel) rtnetlinkEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	defer k.enter("rtnetlink_event")()
	switch e {
	case netdevReboot, netdevChangemtu, netdevChangeaddr, netdevChangename, netdevFeatChange, netdevPostTypeChange,
		netdevNotifyPeers, netdevChangeupper, netdevChangeinfodata, netdevChangelowerstate, netdevChangeTxQueueLen:
		k.rtmsgIfinfoEvent(&fillIfinfo{typ: rtmNewlink, event: rtnlGetEvent(e)}, d, 0, nil)
	}
	return 0
}

// rtmsgIfinfo tells RTNLGRP_LINK of a link. h is the request of portid that changed
// it, nil for none (net/core/rtnetlink.c rtmsg_ifinfo).
func (k *Kernel) rtmsgIfinfo(typ uint16, d *netDevice, change, portid uint32, h *nlmsghdr) {
	defer k.enter("rtmsg_ifinfo")()
	k.rtmsgIfinfoEvent(&fillIfinfo{typ: typ, change: change}, d, portid, h)
}

// rtmsgIfinfoNewnet tells of a link that leaves for another namespace
// (net/core/rtnetlink.c rtmsg_ifinfo_newnet).
func (k *Kernel) rtmsgIfinfoNewnet(typ uint16, d *netDevice, change uint32, newNsid *int, newIfindex int) {
	defer k.enter("rtmsg_ifinfo_newnet")()
	k.rtmsgIfinfoEvent(&fillIfinfo{typ: typ, change: change, newNsid: newNsid, newIfindex: newIfindex}, d, 0, nil)
}

// rtmsgIfinfoEvent is net/core/rtnetlink.c rtmsg_ifinfo_event.
func (k *Kernel) rtmsgIfinfoEvent(f *fillIfinfo, d *netDevice, portid uint32, h *nlmsghdr) {
	defer k.enter("rtmsg_ifinfo_event")()
	if d.regState != netregRegistered {
		return
	}
	if skb := k.rtmsgIfinfoBuildSkb(f, d, portid, h); skb != nil {
		k.rtmsgIfinfoSend(skb, d, portid, h)
	}
}

// rtmsgIfinfoBuildSkb makes the message, which is of a link that may be gone when it
// is sent (net/core/rtnetlink.c rtmsg_ifinfo_build_skb).
func (k *Kernel) rtmsgIfinfoBuildSkb(f *fillIfinfo, d *netDevice, portid uint32, h *nlmsghdr) *skBuff {
	defer k.enter("rtmsg_ifinfo_build_skb")()
	f.srcNet = d.net
	if h != nil && (h.Flags&nlmEcho != 0 || !k.has(echoAsked)) {
		f.portid, f.seq = portid, h.Seq
	}
	skb := nlmsgNew(k.ifNlmsgSize(d, 0))
	if err := k.rtnlFillIfinfo(skb, d, f); err != 0 {
		k.rtnlSetSkErr(d.net, rtnlgrpLink, err)
		return nil
	}
	return skb
}

// rtmsgIfinfoSend is net/core/rtnetlink.c rtmsg_ifinfo_send.
func (k *Kernel) rtmsgIfinfoSend(skb *skBuff, d *netDevice, portid uint32, h *nlmsghdr) {
	defer k.enter("rtmsg_ifinfo_send")()
	k.rtnlNotify(skb, d.net, portid, rtnlgrpLink, h)
}
