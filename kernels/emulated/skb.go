package emulated

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// native is the byte order of the emulated kernel, which is that of its users.
var native = binary.NativeEndian

// errno is 0 for success and else a positive error number.
type errno = nlmsg.Errno

// skBuff is a datagram on its way (include/linux/skbuff.h struct sk_buff), with
// what netlink keeps of it (include/linux/netlink.h struct netlink_skb_parms).
type skBuff struct {
	data     []byte
	room     int  // how long data may get; 0 for any length
	size     int  // that it was allocated for
	pages    bool // by the page (netlink_alloc_large_skb)
	truesize int  // what it counts for in owner's receive buffer

	portid   uint32  // of the sender
	dstGroup uint32  // that it was multicast to
	creds    ucred   // of the sender
	dst      bool    // NETLINK_SKB_DST: the sender named an address
	sk       *Socket // that sent it
	nsid     int     // of the sender's namespace, as the receiver numbers it
	nsidSet  bool

	owner  *Socket // whose receive buffer it is in
	cloned bool    // others share the bytes
	full   bool    // something did not fit: what is being put is to be cancelled
}

// ucred is a struct ucred, and what the task was capable of.
type ucred struct {
	nlcase.Cred
	task *task
}

// Sizes that decide how much a receive buffer holds, on x86-64 with the options
// that distributions set (include/linux/skbuff.h SKB_TRUESIZE).
const (
	sharedInfo = 320 // SKB_DATA_ALIGN(sizeof(struct skb_shared_info))
	skbSize    = 256 // SKB_DATA_ALIGN(sizeof(struct sk_buff))
	smallHead  = 640 // SKB_SMALL_HEAD_CACHE_SIZE
	pageSize   = 4096
	// goodSize is NLMSG_GOODSIZE: a page less skb_shared_info.
	goodSize = pageSize - sharedInfo
)

// newSkb is alloc_skb for a datagram of up to size bytes
// (net/core/skbuff.c __alloc_skb).
func newSkb(size int) *skBuff {
	return &skBuff{room: size, size: size}
}

// nlmsgNew is an skb for one message with a payload of size bytes, which may turn
// out to be longer or shorter (include/net/netlink.h nlmsg_new).
func nlmsgNew(payload int) *skBuff {
	return &skBuff{size: nlmsg.Align(nlmsg.HeaderLen + payload)}
}

// headSize is what kmalloc gives for an skb's bytes and its skb_shared_info
// (net/core/skbuff.c kmalloc_reserve).
func (k *Kernel) headSize(skb *skBuff) int {
	n := (skb.size+63)&^63 + sharedInfo
	switch {
	case skb.pages:
		return n
	case n <= smallHead && k.has(skbSmallHead):
		return smallHead
	}
	return 1 << bits.Len(uint(n-1))
}

// truesize is what an skb counts for (SKB_TRUESIZE).
func (k *Kernel) truesize(skb *skBuff) int { return k.headSize(skb) + skbSize }

// tailroom is how much can be added.
func (skb *skBuff) tailroom() int {
	if skb.room == 0 {
		return 1 << 30
	}
	return skb.room - len(skb.data)
}

// clone shares the bytes (net/core/skbuff.c skb_clone).
func (skb *skBuff) clone() *skBuff {
	skb.cloned = true
	c := *skb
	c.owner = nil
	return &c
}

// nlmsghdr is a message of a datagram: its header, and all of its bytes.
type nlmsghdr struct {
	nlmsg.Header
	raw []byte // from the header to nlmsg_len
}

// payload is what follows the header (nlmsg_data).
func (h *nlmsghdr) payload() []byte { return h.raw[nlmsg.HeaderLen:] }

// attrs is where the attributes behind a fixed header of size bytes begin
// (nlmsg_attrdata); empty where the message is too short.
func (h *nlmsghdr) attrs(size int) []byte {
	at := nlmsg.HeaderLen + nlmsg.Align(size)
	if at > len(h.raw) {
		return nil
	}
	return h.raw[at:]
}

// put is a message that is being written at the end of an skb. Nothing fails
// until end, which takes back what did not fit.
type put struct {
	skb *skBuff
	at  int
}

// nlmsgPut begins a message with a fixed header (include/net/netlink.h
// nlmsg_put).
func (skb *skBuff) nlmsgPut(portid, seq uint32, typ, flags uint16, head []byte) put {
	p := put{skb, len(skb.data)}
	skb.full = false
	if skb.data == nil {
		skb.data = make([]byte, 0, max(64, skb.size))
	}
	skb.append(nlmsg.Header{Type: typ, Flags: flags, Seq: seq, Pid: portid}.Append(make([]byte, 0, nlmsg.HeaderLen)))
	skb.append(head)
	skb.align(p.at)
	return p
}

// end completes the message: EMSGSIZE, and the skb as it was, where it does not
// fit (nlmsg_end, nlmsg_cancel).
func (p put) end() errno {
	if p.skb.full {
		p.cancel()
		return nlmsg.EMSGSIZE
	}
	native.PutUint32(p.skb.data[p.at:], uint32(len(p.skb.data)-p.at))
	p.skb.align(p.at)
	if p.skb.full {
		p.cancel()
		return nlmsg.EMSGSIZE
	}
	return 0
}

// cancel takes the message back (nlmsg_cancel).
func (p put) cancel() { p.skb.data, p.skb.full = p.skb.data[:p.at], false }

// flag adds to the flags of the message.
func (p put) flag(f uint16) {
	if len(p.skb.data) < p.at+nlmsg.HeaderLen {
		return // it did not fit
	}
	b := p.skb.data[p.at+6:]
	native.PutUint16(b, native.Uint16(b)|f)
}

func (skb *skBuff) append(b []byte) {
	if skb.full || len(b) > skb.tailroom() {
		skb.full = true
		return
	}
	skb.data = append(skb.data, b...)
}

var padding [4]byte

func (skb *skBuff) align(from int) {
	if n := (len(skb.data) - from) % 4; n != 0 {
		skb.append(padding[:4-n])
	}
}

// nlaPut adds an attribute (lib/nlattr.c nla_put).
func (skb *skBuff) nlaPut(typ uint16, data []byte) {
	if skb.full || nlmsg.Align(4+len(data)) > skb.tailroom() {
		skb.full = true
		return
	}
	skb.data = native.AppendUint16(skb.data, uint16(4+len(data)))
	skb.data = native.AppendUint16(skb.data, typ)
	skb.data = append(skb.data, data...)
	if n := len(data) % 4; n != 0 {
		skb.data = append(skb.data, padding[:4-n]...)
	}
}

func (skb *skBuff) nlaPutFlag(typ uint16)        { skb.nlaPut(typ, nil) }
func (skb *skBuff) nlaPutU8(typ uint16, n uint8) { skb.nlaPut(typ, []byte{n}) }
func (skb *skBuff) nlaPutString(t uint16, s string) {
	skb.nlaPut(t, append([]byte(s), 0))
}
func (skb *skBuff) nlaPutU16(typ uint16, n uint16) {
	var b [2]byte
	native.PutUint16(b[:], n)
	skb.nlaPut(typ, b[:])
}
func (skb *skBuff) nlaPutU32(typ uint16, n uint32) {
	var b [4]byte
	native.PutUint32(b[:], n)
	skb.nlaPut(typ, b[:])
}
func (skb *skBuff) nlaPutU64(typ uint16, n uint64) {
	var b [8]byte
	native.PutUint64(b[:], n)
	skb.nlaPut(typ, b[:])
}

// nest is an attribute that holds others.
type nest struct {
	skb *skBuff
	at  int
}

// nlaNest begins a nest with NLA_F_NESTED, nlaNestNoflag one without, as the older
// parts of the kernel do (include/net/netlink.h nla_nest_start).
func (skb *skBuff) nlaNest(typ uint16) nest { return skb.nlaNestNoflag(typ | nlmsg.AttrNested) }

func (skb *skBuff) nlaNestNoflag(typ uint16) nest {
	n := nest{skb, len(skb.data)}
	skb.nlaPut(typ, nil)
	return n
}

// end completes a nest (nla_nest_end).
func (n nest) end() {
	if !n.skb.full {
		native.PutUint16(n.skb.data[n.at:], uint16(len(n.skb.data)-n.at))
	}
}

// cancel takes a nest back (nla_nest_cancel).
func (n nest) cancel() {
	if n.at <= len(n.skb.data) {
		n.skb.data = n.skb.data[:n.at]
	}
}

// empty says that nothing is in it.
func (n nest) empty() bool { return len(n.skb.data) == n.at+4 }

// setOwner charges an skb to the receive buffer of a socket
// (net/netlink/af_netlink.c netlink_skb_set_owner_r).
func (skb *skBuff) setOwner(sk *Socket) {
	skb.owner, skb.truesize = sk, sk.k.truesize(skb)
	atomic.AddInt64(&sk.rmem, int64(skb.truesize))
}

// free gives back what it was charged for (net/core/skbuff.c kfree_skb, consume_skb,
// net/netlink/af_netlink.c netlink_skb_destructor).
func (skb *skBuff) free() {
	if skb.owner != nil {
		atomic.AddInt64(&skb.owner.rmem, -int64(skb.truesize))
		skb.owner = nil
	}
}
