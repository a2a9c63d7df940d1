package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// rtnlDellink is net/core/rtnetlink.c rtnl_dellink.
func (k *Kernel) rtnlDellink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_dellink")()
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, liberal, x)
	if err == 0 {
		err = rtnlEnsureUniqueNetns(tb, x, true)
	}
	if err != 0 {
		return err
	}
	n := skb.sk.net
	if a := tb.get(iflaTargetNetnsid); a != nil {
		if n, err = k.rtnlGetNetNsCapable(skb, int(int32(a.u32()))); err != 0 {
			return err
		}
	}
	index := parseIfinfomsg(h.payload()).index
	var d *netDevice
	switch {
	case index > 0:
		d = n.devGetByIndex(int(index))
	case tb.get(iflaIfname) != nil || tb.get(iflaAltIfname) != nil:
		if !k.has(dellinkTarget) {
			n = skb.sk.net
		}
		d = n.rtnlDevGet(tb)
	case tb.get(iflaGroup) != nil:
		return k.rtnlGroupDellink(n, tb[iflaGroup].u32())
	default:
		return nlmsg.EINVAL
	}
	if d == nil {
		if tb.get(iflaIfname) != nil || index > 0 || k.has(dellinkAltname) {
			return nlmsg.ENODEV
		}
		return nlmsg.EINVAL
	}
	var portid uint32
	if !k.has(dellinkEcho) {
		h = nil
	} else {
		portid = skb.portid
	}
	return k.rtnlDeleteLink(d, portid, h)
}

// rtnlDeleteLink is net/core/rtnetlink.c rtnl_delete_link.
func (k *Kernel) rtnlDeleteLink(d *netDevice, portid uint32, h *nlmsghdr) errno {
	if d.ops == nil || d.ops.dellink == nil {
		return nlmsg.EOPNOTSUPP
	}
	k.unregisterNetdeviceMany(d.ops.dellink(d), portid, h)
	return 0
}

// rtnlGroupDellink deletes all links of a group, if all can be
// (net/core/rtnetlink.c rtnl_group_dellink).
func (k *Kernel) rtnlGroupDellink(n *netns, group uint32) errno {
	if group == 0 {
		return nlmsg.EPERM
	}
	var found []*netDevice
	for _, d := range n.state.devs {
		if d.group != group {
			continue
		}
		if d.ops == nil || d.ops.dellink == nil {
			return nlmsg.EOPNOTSUPP
		}
		found = append(found, d)
	}
	if len(found) == 0 {
		return nlmsg.ENODEV
	}
	var list []*netDevice
	for _, d := range found {
		list = append(list, d.ops.dellink(d)...)
	}
	k.unregisterNetdeviceMany(list, 0, nil)
	return 0
}

// rtnlNewlinkprop is net/core/rtnetlink.c rtnl_newlinkprop.
func (k *Kernel) rtnlNewlinkprop(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_newlinkprop")()
	return k.rtnlLinkprop(skb, h, x, (*netDevice).netdevNameNodeAltCreate)
}

// rtnlDellinkprop is net/core/rtnetlink.c rtnl_dellinkprop.
func (k *Kernel) rtnlDellinkprop(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_dellinkprop")()
	return k.rtnlLinkprop(skb, h, x, (*netDevice).netdevNameNodeAltDestroy)
}

// rtnlLinkprop adds or takes away names of a link (net/core/rtnetlink.c
// rtnl_linkprop).
func (k *Kernel) rtnlLinkprop(skb *skBuff, h *nlmsghdr, x *extAck, alt func(*netDevice, string) errno) errno {
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, strict, x)
	if err == 0 {
		err = rtnlEnsureUniqueNetns(tb, x, true)
	}
	if err != 0 {
		return err
	}
	n := skb.sk.net
	var d *netDevice
	switch index := parseIfinfomsg(h.payload()).index; {
	case index > 0:
		d = n.devGetByIndex(int(index))
	case tb.get(iflaIfname) != nil || tb.get(iflaAltIfname) != nil:
		d = n.rtnlDevGet(tb)
	default:
		return nlmsg.EINVAL
	}
	if d == nil {
		return nlmsg.ENODEV
	}
	list := tb.get(iflaPropList)
	if list == nil {
		return 0
	}
	changed := false
	_, err = eachAttr(list.data, list.off+4, func(a *nlattr) errno {
		if a.kind() != iflaAltIfname {
			return 0
		}
		if err := k.iflaPolicy.validate(iflaAltIfname, a, strict, x, 0); err != 0 {
			return err
		}
		if h.Type == rtmNewlinkprop && d.propListSize()+nlaTotalSize(altifnamsiz) >= 1<<16-1 {
			x.set("effective property list too long")
			return nlmsg.EINVAL
		}
		err := alt(d, a.str())
		changed = changed || err == 0
		return err
	})
	if err == 0 && changed {
		k.netdevStateChange(d)
	}
	return err
}

// propListSize is net/core/rtnetlink.c rtnl_prop_list_size.
func (d *netDevice) propListSize() int {
	if len(d.altnames) == 0 {
		return 0
	}
	return nlaTotalSize(0) + (len(d.altnames)+1)*nlaTotalSize(altifnamsiz)
}
