package emulated

import (
	"sync/atomic"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// netlinkCallback is a dump that goes on (include/linux/netlink.h struct
// netlink_callback).
type netlinkCallback struct {
	k       *Kernel
	skb     *skBuff // of the request
	nlh     *nlmsghdr
	dump    dumpit
	done    func(*netlinkCallback)
	data    any // the dumpit's own
	args    [6]int
	extack  *extAck
	net     *netns // of the socket
	strict  bool   // NETLINK_GET_STRICT_CHK
	flags   uint16 // answer_flags: NLM_F_DUMP_FILTERED
	min     int    // min_dump_alloc
	seq     uint32 // of what is dumped: it changes with it
	prevSeq uint32
}

// dumpit puts what fits into skb and goes on from there with the next call. It
// returns dumpMore as long as there is more to say or has said something and may
// be called again, 0 at its end, or an error, which the NLMSG_DONE tells.
type dumpit func(skb *skBuff, cb *netlinkCallback) errno

// dumpMore is a dumpit's skb->len: call it again.
const dumpMore errno = 1 << 30

// dumpLen is what those dumpits return that are through only once they add
// nothing: "return skb->len".
func dumpLen(skb *skBuff) errno {
	if len(skb.data) > 0 {
		return dumpMore
	}
	return 0
}

// netlinkDumpControl starts a dump (include/linux/netlink.h struct
// netlink_dump_control).
type netlinkDumpControl struct {
	start func(*netlinkCallback) errno
	dump  dumpit
	done  func(*netlinkCallback)
	data  any
	min   int
}

// netlinkDumpStart starts a dump on the socket that asks, and puts its first
// datagram there. EINTR is success: there is to be no ack
// (net/netlink/af_netlink.c __netlink_dump_start).
func (k *Kernel) netlinkDumpStart(ssk *Socket, skb *skBuff, h *nlmsghdr, c *netlinkDumpControl, x *extAck) errno {
	defer k.enter("__netlink_dump_start")()
	sk := k.netlinkLookup(ssk.net, ssk.proto, skb.portid)
	if sk == nil {
		return nlmsg.ECONNREFUSED
	}
	sk.cbMutex.Lock()
	if sk.closed.Load() {
		sk.cbMutex.Unlock()
		return nlmsg.ECONNREFUSED
	}
	if sk.cbRunning.Load() {
		sk.cbMutex.Unlock()
		return nlmsg.EBUSY
	}
	sk.mu.Lock()
	strict := sk.flags&flagStrictChk != 0
	sk.mu.Unlock()
	cb := &netlinkCallback{k: k, skb: skb, nlh: h, dump: c.dump, done: c.done, data: c.data, net: sk.net, strict: strict, min: c.min}
	if c.start != nil {
		if sk.has(dumpStartExtack) {
			cb.extack = x
		}
		err := c.start(cb)
		cb.extack = nil
		if err != 0 {
			sk.cbMutex.Unlock()
			return err
		}
	}
	sk.cb, sk.dumpDone, sk.dumpErr = cb, false, 0
	sk.cbRunning.Store(true)
	sk.cbMutex.Unlock()
	if err := sk.netlinkDump(); err != 0 {
		return err
	}
	return nlmsg.EINTR
}

// netlinkDump puts the next datagram of a dump into the socket's queue
// (net/netlink/af_netlink.c netlink_dump).
func (sk *Socket) netlinkDump() errno {
	k := sk.k
	defer k.enter("netlink_dump")()
	sk.cbMutex.Lock()
	defer sk.cbMutex.Unlock()
	if !sk.cbRunning.Load() {
		return nlmsg.EINVAL
	}
	sk.mu.Lock()
	rcvbuf := sk.rcvbuf
	sk.mu.Unlock()
	if int(atomic.LoadInt64(&sk.rmem)) >= rcvbuf {
		return nlmsg.ENOBUFS
	}
	cb := sk.cb
	size := max(cb.min, goodSize)
	if n := int(sk.maxRecvmsgLen.Load()); size < n {
		size = n
	}
	skb := newSkb(size)
	skb.creds = ucred{task: k.init}
	skb.setOwner(sk)
	var x extAck
	if !sk.dumpDone {
		cb.extack = &x
		err := cb.dump(skb, cb)
		cb.extack = nil
		if err == nlmsg.EMSGSIZE && len(skb.data) > 0 && sk.has(dumpEmsgsize) {
			err = dumpMore
		}
		if err != dumpMore {
			sk.dumpDone, sk.dumpErr = true, err
		}
	}
	if !sk.dumpDone || skb.tailroom() < nlmsg.HeaderLen+4 {
		sk.deliverDump(skb)
		return 0
	}
	if !sk.netlinkDumpDone(skb, cb, &x) {
		skb.free()
		return nlmsg.ENOBUFS
	}
	sk.deliverDump(skb)
	sk.netlinkDumpEnd()
	return 0
}

// netlinkDumpEnd lets go of a dump that is through, or whose socket is; cbMutex is
// held.
func (sk *Socket) netlinkDumpEnd() {
	if sk.cb.done != nil {
		sk.cb.done(sk.cb)
	}
	sk.cb = nil
	sk.cbRunning.Store(false)
}

func (sk *Socket) deliverDump(skb *skBuff) {
	if _, drop := sk.skFilter(skb); drop {
		skb.free()
		return
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	if sk.closed.Load() {
		skb.free()
		return
	}
	sk.queue = append(sk.queue, skb)
	sk.ready.wake()
}

// netlinkDumpDone puts the NLMSG_DONE (net/netlink/af_netlink.c
// netlink_dump_done).
func (sk *Socket) netlinkDumpDone(skb *skBuff, cb *netlinkCallback, x *extAck) bool {
	p := cb.put(skb, nlmsg.Done, nlmsg.FlagMulti|cb.flags, native.AppendUint32(nil, uint32(-int32(sk.dumpErr))))
	sk.mu.Lock()
	ext := sk.flags&flagExtAck != 0
	sk.mu.Unlock()
	if ext {
		at := len(skb.data)
		switch {
		case sk.has(dumpExtAck):
			x.fill(skb, cb.nlh, sk.dumpErr)
		case x.msg != "":
			skb.nlaPutString(nlmsgerrMsg, x.msg)
		}
		if len(skb.data) > at {
			p.flag(nlmsg.FlagAckTLVs)
		}
	}
	cb.checkConsistent(p)
	return p.end() == 0
}

// put begins a message of a dump (include/net/netlink.h nlmsg_put_answer).
func (cb *netlinkCallback) put(skb *skBuff, typ, flags uint16, head []byte) put {
	return skb.nlmsgPut(cb.skb.portid, cb.nlh.Seq, typ, flags, head)
}

// checkConsistent marks a message of a dump whose data has changed since it began
// (include/net/netlink.h nl_dump_check_consistent).
func (cb *netlinkCallback) checkConsistent(p put) {
	if cb.prevSeq != 0 && cb.seq != cb.prevSeq {
		p.flag(nlmsg.FlagDumpIntr)
	}
	cb.prevSeq = cb.seq
}
