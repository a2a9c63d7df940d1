package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// fibResultNlLen is the size of include/net/ip_fib.h struct fib_result_nl.
const fibResultNlLen = 20

// nlFibInput answers NETLINK_FIB_LOOKUP: the request comes back with what was found
// in it (net/ipv4/fib_frontend.c nl_fib_input, nl_fib_lookup).
func (k *Kernel) nlFibInput(in *skBuff) {
	defer k.enter("nl_fib_input")()
	if len(in.data) < nlmsg.HeaderLen+fibResultNlLen {
		return
	}
	n := int(native.Uint32(in.data))
	if len(in.data) < n || n < nlmsg.HeaderLen+fibResultNlLen {
		return
	}
	net := in.sk.net
	skb := &skBuff{data: slices.Clone(in.data), truesize: in.truesize}
	frn := skb.data[nlmsg.HeaderLen:]
	fl := &flowi{mark: native.Uint32(frn[4:]), tos: frn[8], scope: frn[9]}
	copy(fl.daddr[:], frn[:4])
	err := nlmsg.ENOENT
	k.rtnlLock()
	if t := net.fibGetTable(uint32(frn[10])); t != nil {
		var res fibResult
		frn[11] = uint8(t.id)
		if res, err = k.fibTableLookup(net, t, fl, false); err == 0 {
			frn[12], frn[14], frn[15] = res.fa.plen, res.typ, res.scope
			frn[13] = uint8(max(0, slices.Index(res.fi.paths(), res.nhc)))
		}
	}
	k.rtnlUnlock()
	native.PutUint32(frn[16:], uint32(-int32(err)))
	k.nlmsgUnicast(net.kernelSock(nlmsg.FibLookup), skb, in.portid)
}
