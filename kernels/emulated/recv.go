package emulated

import (
	"sync/atomic"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// maxDump is the most that a dump puts into one datagram: SKB_WITH_OVERHEAD(32768).
const maxDump = 32768 - sharedInfo

// maxDatagram is how much a read without a size takes.
const maxDatagram = 256 << 10

// Ancillary messages.
const (
	solSocket      = 1
	scmCredentials = 2
	solNetlink     = 270
	cmsgPktinfo    = 3
	cmsgNsid       = 8
)

// Recv is recvmsg(2) with MSG_DONTWAIT and MSG_TRUNC (net/netlink/af_netlink.c
// netlink_recvmsg).
func (sk *Socket) Recv(o nlcase.RecvOptions) (nlcase.Datagram, errno) {
	if e := sk.fdget(); e != 0 {
		return nlcase.Datagram{}, e
	}
	defer sk.fdput()
	defer sk.k.enter("netlink_recvmsg")()
	if o.OOB {
		return nlcase.Datagram{}, nlmsg.EOPNOTSUPP
	}
	size := o.Size
	if size <= 0 || size > maxDatagram {
		size = maxDatagram
	}
	skb, err := sk.skbRecvDatagram(o.Peek)
	if err != 0 {
		sk.netlinkRcvWake()
		return nlcase.Datagram{}, err
	}
	sk.maxRecvmsgLen.Store(min(max(sk.maxRecvmsgLen.Load(), int64(size)), maxDump))
	d := nlcase.Datagram{Data: skb.data, Len: len(skb.data), From: nlcase.Addr{Pid: skb.portid}}
	if size < len(skb.data) {
		d.Data, d.Flags = skb.data[:size:size], nlcase.MsgTrunc
	}
	if g := skb.dstGroup; g >= 1 && g <= 32 { // netlink_group_mask
		d.From.Groups = 1 << (g - 1)
	}
	sk.mu.Lock()
	flags, half := sk.flags, sk.rcvbuf/2
	sk.mu.Unlock()
	if flags&flagPktinfo != 0 {
		d.Control = append(d.Control, nlcase.Control{Level: solNetlink, Type: cmsgPktinfo, Data: native.AppendUint32(nil, skb.dstGroup)})
	}
	if flags&flagListenAllNsid != 0 && skb.nsidSet {
		d.Control = append(d.Control, nlcase.Control{Level: solNetlink, Type: cmsgNsid, Data: native.AppendUint32(nil, uint32(skb.nsid))})
	}
	if flags&flagPasscred != 0 {
		c := native.AppendUint32(nil, skb.creds.Pid)
		c = native.AppendUint32(c, skb.creds.UID)
		c = native.AppendUint32(c, skb.creds.GID)
		d.Control = append(d.Control, nlcase.Control{Level: solSocket, Type: scmCredentials, Data: c})
	}
	if o.Peek || skb.cloned {
		d.Data = append([]byte{}, d.Data...)
	}
	if !o.Peek {
		skb.free()
	}
	if sk.cbRunning.Load() && int(atomic.LoadInt64(&sk.rmem)) <= half {
		if err := sk.netlinkDump(); err != 0 {
			sk.mu.Lock()
			sk.err = err
			sk.mu.Unlock()
		}
	}
	sk.netlinkRcvWake()
	return d, 0
}

// skbRecvDatagram is net/core/datagram.c skb_recv_datagram.
func (sk *Socket) skbRecvDatagram(peek bool) (*skBuff, errno) {
	sk.mu.Lock()
	defer sk.mu.Unlock()
	switch {
	case sk.closed.Load():
		return nil, nlmsg.EBADF
	case sk.err != 0:
		err := sk.err
		sk.err = 0
		return nil, err
	case len(sk.queue) == 0:
		return nil, nlmsg.EAGAIN
	}
	skb := sk.queue[0]
	if peek {
		return skb, 0
	}
	sk.queue[0] = nil
	if sk.queue = sk.queue[1:]; len(sk.queue) == 0 {
		sk.queue = nil
	}
	return skb, 0
}

// netlinkRcvWake lets senders that wait go on, once everything has been read
// (net/netlink/af_netlink.c netlink_rcv_wake).
func (sk *Socket) netlinkRcvWake() {
	sk.mu.Lock()
	defer sk.mu.Unlock()
	if len(sk.queue) == 0 {
		sk.congested = false
	}
	if !sk.congested {
		sk.room.wake()
	}
}

// netlinkRcvSkb takes a datagram apart and hands each request to cb
// (net/netlink/af_netlink.c netlink_rcv_skb).
func (k *Kernel) netlinkRcvSkb(skb *skBuff, cb func(*skBuff, *nlmsghdr, *extAck) errno) {
	defer k.enter("netlink_rcv_skb")()
	for b := skb.data; len(b) >= nlmsg.HeaderLen; {
		h := nlmsghdr{Header: nlmsg.Header{Len: native.Uint32(b), Type: native.Uint16(b[4:]), Flags: native.Uint16(b[6:]),
			Seq: native.Uint32(b[8:]), Pid: native.Uint32(b[12:])}}
		if h.Len < nlmsg.HeaderLen || uint64(len(b)) < uint64(h.Len) {
			return
		}
		h.raw = b[:h.Len:h.Len]
		var x extAck
		var err errno
		// Only requests are the kernel's to handle, and no control messages.
		if h.Flags&nlmsg.FlagRequest != 0 && h.Type >= nlmsg.MinType {
			err = cb(skb, &h, &x)
		}
		if err != nlmsg.EINTR && (h.Flags&nlmsg.FlagAck != 0 || err != 0) {
			k.netlinkAck(skb, &h, err, &x)
		}
		b = b[min(nlmsg.Align(int(h.Len)), len(b)):]
	}
}

// netlinkAck answers with NLMSG_ERROR (net/netlink/af_netlink.c netlink_ack).
func (k *Kernel) netlinkAck(in *skBuff, h *nlmsghdr, err errno, x *extAck) {
	defer k.enter("netlink_ack")()
	sk := in.sk
	sk.mu.Lock()
	opts := sk.flags
	sk.mu.Unlock()
	quoted := h.raw[:nlmsg.HeaderLen]
	flags := uint16(0)
	if err != 0 && opts&flagCapAck == 0 {
		quoted = h.raw
	} else {
		flags |= nlmsg.FlagCapped
	}
	payload := 4 + len(quoted)
	if opts&flagExtAck != 0 {
		payload += x.size(err)
	}
	skb := nlmsgNew(payload)
	p := skb.nlmsgPut(in.portid, h.Seq, nlmsg.Error, flags, nil)
	skb.data = native.AppendUint32(skb.data, uint32(-int32(err)))
	skb.data = append(skb.data, quoted...)
	skb.align(p.at)
	if opts&flagExtAck != 0 {
		at := len(skb.data)
		x.fill(skb, h, err)
		if len(skb.data) > at {
			p.flag(nlmsg.FlagAckTLVs)
		}
	}
	p.end()
	// A receiver without room hears of it by netlink_attachskb's overrun.
	k.nlmsgUnicast(in.sk.net.kernelSock(sk.proto), skb, in.portid)
}

// Attributes of an ack (include/uapi/linux/netlink.h NLMSGERR_ATTR_*).
const (
	nlmsgerrMsg = 1 + iota
	nlmsgerrOffs
	_ // NLMSGERR_ATTR_COOKIE
	nlmsgerrPolicy
	nlmsgerrMissType
	nlmsgerrMissNest
)

// size is how much room there is made for fill's attributes
// (net/netlink/af_netlink.c netlink_ack_tlv_len).
func (x *extAck) size(err errno) (n int) {
	if x.msg != "" {
		n += nlaTotalSize(len(x.msg) + 1)
	}
	if err == 0 {
		return n
	}
	if x.badAttr != 0 {
		n += nlaTotalSize(4)
	}
	if x.policy != nil {
		n += x.policy.sizeEstimate()
	}
	if x.hasMiss {
		n += nlaTotalSize(4)
	}
	if x.missNest != 0 {
		n += nlaTotalSize(4)
	}
	return n
}

// fill puts the attributes of an ack (net/netlink/af_netlink.c
// netlink_ack_tlv_fill).
func (x *extAck) fill(skb *skBuff, h *nlmsghdr, err errno) {
	if x.msg != "" {
		skb.nlaPutString(nlmsgerrMsg, x.msg)
	}
	if err == 0 {
		return
	}
	if x.badAttr != 0 && x.badAttr < len(h.raw) {
		skb.nlaPutU32(nlmsgerrOffs, uint32(x.badAttr))
	}
	if x.policy != nil {
		x.policy.write(skb, nlmsgerrPolicy, nil)
	}
	if x.hasMiss {
		skb.nlaPutU32(nlmsgerrMissType, uint32(x.missType))
	}
	if x.missNest != 0 {
		skb.nlaPutU32(nlmsgerrMissNest, uint32(x.missNest))
	}
}
