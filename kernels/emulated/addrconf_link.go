package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// inet6IfNlmsgSize is net/ipv6/addrconf.c inet6_if_nlmsg_size.
func (k *Kernel) inet6IfNlmsgSize(i *inet6Dev) int {
	return sizeofIfinfo + nlaTotalSize(ifnamsiz) + nlaTotalSize(maxAddrLen) + 3*nlaTotalSize(4) +
		nlaTotalSize(k.inet6Ifla6Size(i))
}

// inet6FillIfinfo puts a link as IPv6 has it (net/ipv6/addrconf.c
// inet6_fill_ifinfo).
func (k *Kernel) inet6FillIfinfo(skb *skBuff, i *inet6Dev, portid, seq uint32, event, flags uint16) errno {
	d := i.dev
	head := make([]byte, sizeofIfinfo)
	head[0] = pfInet6
	native.PutUint16(head[2:], d.typ)
	native.PutUint32(head[4:], uint32(d.index))
	native.PutUint32(head[8:], d.devGetFlags())
	p := skb.nlmsgPut(portid, seq, event, flags, head)
	skb.nlaPutString(iflaIfname, d.name)
	if d.addrLen > 0 {
		skb.nlaPut(iflaAddress, d.addr)
	}
	skb.nlaPutU32(iflaMtu, d.mtu)
	if iflink, _ := d.getIflink(); iflink != d.index {
		skb.nlaPutU32(iflaLink, uint32(iflink))
	}
	operstate := uint8(ifOperDown)
	if d.flags&iffUp != 0 {
		operstate = d.operstate
	}
	skb.nlaPutU8(iflaOperstate, operstate)
	info := skb.nlaNestNoflag(iflaProtinfo)
	k.inet6FillIfla6Attrs(skb, i, 0)
	info.end()
	return p.end()
}

// inet6DumpIfinfo dumps links as IPv6 has them (net/ipv6/addrconf.c
// inet6_dump_ifinfo).
func (k *Kernel) inet6DumpIfinfo(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("inet6_dump_ifinfo")()
	if cb.strict {
		if err := inet6ValidDumpIfinfo(cb.nlh, cb.extack); err != 0 {
			return err
		}
	}
	for _, d := range k.dumpOrder(cb.net, cb.args[0]) {
		if d.in6Dev != nil {
			if err := k.inet6FillIfinfo(skb, d.in6Dev, cb.skb.portid, cb.nlh.Seq, rtmNewlink, nlmMulti); err != 0 {
				return k.inet6DumpReturn(skb, err)
			}
		}
		cb.args[0] = k.dumpKey(d) + 1
	}
	return k.inet6DumpReturn(skb, 0)
}

// inet6DumpReturn is what the dump returns: an older kernel the length of what it
// has put.
func (k *Kernel) inet6DumpReturn(skb *skBuff, err errno) errno {
	if (err != 0 || !k.has(inet6LinkDumpReturn)) && len(skb.data) > 0 {
		return dumpMore
	}
	return err
}

// inet6ValidDumpIfinfo is net/ipv6/addrconf.c inet6_valid_dump_ifinfo.
func inet6ValidDumpIfinfo(h *nlmsghdr, x *extAck) errno {
	b := h.payload()
	fails := func(text string) errno {
		x.set("ipv6: " + text)
		return nlmsg.EINVAL
	}
	switch {
	case len(b) < sizeofIfinfo:
		return fails("Invalid header for link dump request")
	case len(b) > sizeofIfinfo:
		return fails("Invalid data after header")
	}
	for _, c := range b[1:] { // all but the family
		if c != 0 {
			return fails("Invalid values in header for dump request")
		}
	}
	return 0
}
