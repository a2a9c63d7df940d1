package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// rtnlFdbGet is net/core/rtnetlink.c rtnl_fdb_get.
func (k *Kernel) rtnlFdbGet(in *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_fdb_get")()
	n := in.sk.net
	r, err := k.validFdbGetStrict(h, x)
	if err != 0 {
		return err
	}
	var d, br *netDevice
	if r.port != 0 {
		if d = n.devGetByIndex(r.port); d == nil {
			x.set("Unknown device ifindex")
			return nlmsg.ENODEV
		}
	}
	if r.bridge != 0 {
		if d != nil {
			x.set("Master and device are mutually exclusive")
			return nlmsg.EINVAL
		}
		if br = n.devGetByIndex(r.bridge); br == nil {
			x.set("Invalid master ifindex")
			return nlmsg.EINVAL
		}
	}
	if d != nil {
		switch {
		case r.flags == 0 || r.flags&ntfMaster != 0:
			if d.port == nil {
				x.set("Device is not a bridge port")
				return nlmsg.EINVAL
			}
			br = d.port.br.dev
		default:
			br = d
		}
	}
	if br == nil {
		x.set("No device specified")
		return nlmsg.ENODEV
	}
	b := br.bridge()
	if b == nil {
		x.set("Fdb get operation not supported by device")
		return nlmsg.EOPNOTSUPP
	}
	return k.brFdbGet(b, r.addr, r.vid, in, h, x)
}

// fdbGet is what is asked for.
type fdbGet struct {
	flags        uint8
	bridge, port int
	addr         []byte
	vid          uint16
}

// validFdbGetStrict is net/core/rtnetlink.c valid_fdb_get_strict.
func (k *Kernel) validFdbGetStrict(h *nlmsghdr, x *extAck) (r fdbGet, err errno) {
	invalid := func(msg string) (fdbGet, errno) {
		x.set(msg)
		return r, nlmsg.EINVAL
	}
	m, ok := readNdmsg(h)
	switch {
	case !ok:
		return invalid("Invalid header for fdb get request")
	case m.pad || m.state != 0 || m.typ != 0:
		return invalid("Invalid values in header for fdb get request")
	case m.flags&^(ntfMaster|ntfSelf) != 0:
		return invalid("Invalid flags in header for fdb get request")
	}
	tb, err := nlmsgParse(h, ndmsgLen, k.ndaPolicy(), deprecatedStrict, x)
	if err != 0 {
		return r, err
	}
	r.flags, r.port = m.flags, m.ifindex
	for t, a := range tb {
		if a == nil {
			continue
		}
		switch t {
		case ndaMaster:
			r.bridge = int(a.u32())
		case ndaLladdr:
			if len(a.data) != 6 {
				return invalid("Invalid address in fdb get request")
			}
			r.addr = a.data
		case ndaVlan:
			if r.vid, err = fdbVidParse(a, x); err != 0 {
				return r, err
			}
		case ndaVni:
		default:
			return invalid("Unsupported attribute in fdb get request")
		}
	}
	if r.addr == nil {
		return invalid("Missing lookup address for fdb get request")
	}
	return r, 0
}

// validFdbDump reads whose entries a dump is of: those of a bridge, or of a link
// (net/core/rtnetlink.c valid_fdb_dump_strict).
func (k *Kernel) validFdbDumpStrict(h *nlmsghdr, x *extAck) (bridge, port int, err errno) {
	invalid := func(msg string) (int, int, errno) {
		x.set(msg)
		return 0, 0, nlmsg.EINVAL
	}
	m, ok := readNdmsg(h)
	if !ok {
		return invalid("Invalid header for fdb dump request")
	}
	if m.pad || m.state != 0 || m.flags != 0 || m.typ != 0 {
		return invalid("Invalid values in header for fdb dump request")
	}
	tb, err := nlmsgParse(h, ndmsgLen, k.anyNda(), deprecatedStrict, x)
	if err != 0 {
		return 0, 0, err
	}
	port = m.ifindex
	for t, a := range tb {
		switch {
		case a == nil:
		case t == ndaIfindex:
			if len(a.data) != 4 {
				return invalid("Invalid IFINDEX attribute in fdb dump request")
			}
			port = int(a.u32())
		case t == ndaMaster:
			if len(a.data) != 4 {
				return invalid("Invalid MASTER attribute in fdb dump request")
			}
			bridge = int(a.u32())
		default:
			return invalid("Unsupported attribute in fdb dump request")
		}
	}
	return bridge, port, 0
}

// validFdbDumpLegacy is net/core/rtnetlink.c valid_fdb_dump_legacy: a request has an
// ifinfomsg, unless it is as long as one with an ndmsg.
func (k *Kernel) validFdbDumpLegacy(h *nlmsghdr, x *extAck) (bridge, port int, err errno) {
	if n := len(h.payload()); n == ndmsgLen || n == ndmsgLen+8 {
		return 0, 0, 0
	}
	tb, err := nlmsgParse(h, sizeofIfinfo, k.iflaPolicy, liberal, x)
	if err != 0 {
		return 0, 0, nlmsg.EINVAL
	}
	if a := tb.get(iflaMaster); a != nil {
		bridge = int(a.u32())
	}
	return bridge, int(parseIfinfomsg(h.payload()).index), 0
}

// rtnlFdbDump is net/core/rtnetlink.c rtnl_fdb_dump.
func (k *Kernel) rtnlFdbDump(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_fdb_dump")()
	n := cb.net
	valid := k.validFdbDumpLegacy
	if cb.strict {
		valid = k.validFdbDumpStrict
	}
	bridge, port, err := valid(cb.nlh, cb.extack)
	if err != 0 {
		return err
	}
	var br *netDevice
	if bridge != 0 {
		if br = n.devGetByIndex(bridge); br == nil {
			return nlmsg.ENODEV
		}
	}
	for _, d := range k.dumpOrder(n, cb.args[0]) {
		if port != 0 && d.index != port || br != nil && d != br && d.port == nil ||
			br != nil && d.master != br && d.bridge() == nil {
			continue
		}
		at := 0
		p := d.port
		if p != nil && (br == nil || br.bridge() != nil) {
			err = k.brFdbDump(skb, cb, p.br, p, &at)
		}
		if err != nlmsg.EMSGSIZE {
			if b := d.bridge(); b != nil {
				err = k.brFdbDump(skb, cb, b, nil, &at)
			} else {
				err = ndoDfltFdbDump(skb, cb, d, &at)
			}
		}
		if err == nlmsg.EMSGSIZE {
			cb.args[0], cb.args[2] = k.dumpKey(d), at
			break
		}
		cb.args[0], cb.args[2] = k.dumpKey(d)+1, 0
	}
	return dumpLen(skb)
}
