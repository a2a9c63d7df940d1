package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// fillAddr is how a message of an address begins (net/ipv4/devinet.c struct
// inet_fill_args, net/ipv6/addrconf.c struct inet6_fill_args).
type fillAddr struct {
	portid, seq  uint32
	event, flags uint16
	netnsid      int
	netnsidSet   bool
}

// put begins the message.
func (f *fillAddr) put(skb *skBuff, m ifaddrmsg) put {
	p := skb.nlmsgPut(f.portid, f.seq, f.event, f.flags, m.bytes())
	if f.netnsidSet {
		skb.nlaPutU32(ifaTargetNetnsid, uint32(f.netnsid))
	}
	return p
}

// fillAddrFunc puts one of several addresses.
type fillAddrFunc func(i int, skb *skBuff, f *fillAddr) errno

// addrDump is a dump of addresses of a kind.
type addrDump struct {
	policy policy
	prefix string // of the texts of errors
	event  uint16
	ends   quirk                                // from then on it returns 0 at its end
	genid  func(*netns) uint32                  // changes with them; nil where the dump does not look
	addrs  func(*netDevice) (int, fillAddrFunc) // of a link
}

// dumpAddr dumps the addresses of a kind, link by link (net/ipv4/devinet.c
// inet_dump_addr, net/ipv6/addrconf.c inet6_dump_addr). Older kernels return the
// length of what they have put, and are called until that is 0.
func (k *Kernel) dumpAddr(skb *skBuff, cb *netlinkCallback, a *addrDump) errno {
	err := k.dumpAddrs(skb, cb, a)
	if !k.has(a.ends) && len(skb.data) > 0 {
		return dumpMore
	}
	return err
}

func (k *Kernel) dumpAddrs(skb *skBuff, cb *netlinkCallback, a *addrDump) errno {
	f := fillAddr{portid: cb.skb.portid, seq: cb.nlh.Seq, event: a.event, flags: nlmMulti}
	n := cb.net
	if cb.strict {
		index, err := k.validDumpIfaddrReq(cb, a, &f, &n)
		if err != 0 {
			return err
		}
		if index != 0 {
			d := n.devGetByIndex(index)
			if d == nil {
				return nlmsg.ENODEV
			}
			return k.dumpLinkAddrs(skb, cb, d, a, &f)
		}
	}
	if a.genid != nil {
		if cb.seq = a.genid(n) + n.state.devSeq; cb.seq == 0 {
			cb.seq = 1 << 31
		}
	}
	for _, d := range k.dumpOrder(n, cb.args[0]) {
		key := k.dumpKey(d)
		if key > cb.args[0] { // not the one that the last call stopped at
			cb.args[0], cb.args[1] = key, 0
		}
		if err := k.dumpLinkAddrs(skb, cb, d, a, &f); err != 0 {
			return err
		}
		cb.args[0], cb.args[1] = key+1, 0
	}
	return 0
}

// dumpLinkAddrs puts the addresses of one link, from that in args on
// (net/ipv4/devinet.c in_dev_dump_addr, net/ipv6/addrconf.c in6_dump_addrs).
func (k *Kernel) dumpLinkAddrs(skb *skBuff, cb *netlinkCallback, d *netDevice, a *addrDump, f *fillAddr) errno {
	n, fill := a.addrs(d)
	for ; cb.args[1] < n; cb.args[1]++ {
		at := len(skb.data)
		if err := fill(cb.args[1], skb, f); err != 0 {
			return err
		}
		if a.genid != nil {
			cb.checkConsistent(put{skb, at})
		}
	}
	return 0
}

// validDumpIfaddrReq is net/ipv4/devinet.c inet_valid_dump_ifaddr_req and
// net/ipv6/addrconf.c inet6_valid_dump_ifaddr_req.
func (k *Kernel) validDumpIfaddrReq(cb *netlinkCallback, a *addrDump, f *fillAddr, n **netns) (index int, err errno) {
	x := cb.extack
	if len(cb.nlh.payload()) < sizeofIfaddrmsg {
		x.set(a.prefix + "Invalid header for address dump request")
		return 0, nlmsg.EINVAL
	}
	m := readIfaddrmsg(cb.nlh)
	if m.prefixlen != 0 || m.flags != 0 || m.scope != 0 {
		x.set(a.prefix + "Invalid values in header for address dump request")
		return 0, nlmsg.EINVAL
	}
	if m.index != 0 {
		cb.flags |= nlmFiltered
		f.flags |= nlmFiltered
	}
	tb, err := nlmsgParse(cb.nlh, sizeofIfaddrmsg, a.policy, deprecatedStrict, x)
	if err != 0 {
		return 0, err
	}
	for t, attr := range tb {
		switch {
		case attr == nil:
		case t == ifaTargetNetnsid:
			f.netnsid, f.netnsidSet = int(int32(attr.u32())), true
			if *n, err = k.rtnlGetNetNsCapable(cb.skb, f.netnsid); err != 0 {
				x.set(a.prefix + "Invalid target network namespace id")
				return 0, err
			}
		default:
			x.set(a.prefix + "Unsupported attribute in dump request")
			return 0, nlmsg.EINVAL
		}
	}
	return int(int32(m.index)), 0
}
