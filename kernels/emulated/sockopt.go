package emulated

import (
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Options of SOL_NETLINK (include/uapi/linux/netlink.h).
const (
	netlinkAddMembership   = 1
	netlinkDropMembership  = 2
	netlinkPktinfo         = 3
	netlinkBroadcastError  = 4
	netlinkNoEnobufs       = 5
	netlinkListenAllNsid   = 8
	netlinkListMemberships = 9
	netlinkCapAck          = 10
	netlinkExtAck          = 11
	netlinkGetStrictChk    = 12
)

// netlinkOptions are those that are a flag of the socket.
var netlinkOptions = map[int]uint32{
	netlinkPktinfo: flagPktinfo, netlinkBroadcastError: flagBroadcastError, netlinkNoEnobufs: flagNoEnobufs,
	netlinkListenAllNsid: flagListenAllNsid, netlinkCapAck: flagCapAck, netlinkExtAck: flagExtAck,
	netlinkGetStrictChk: flagStrictChk,
}

// Setsockopt is setsockopt(2).
func (sk *Socket) Setsockopt(level, opt int, value []byte) errno {
	if e := sk.fdget(); e != 0 {
		return e
	}
	defer sk.fdput()
	switch level {
	case solSocket:
		return sk.sockSetsockopt(opt, value)
	case solNetlink:
		return sk.netlinkSetsockopt(opt, value)
	}
	return nlmsg.ENOPROTOOPT
}

// netlinkSetsockopt is net/netlink/af_netlink.c netlink_setsockopt. What is shorter
// than an int is 0.
func (sk *Socket) netlinkSetsockopt(opt int, value []byte) errno {
	defer sk.k.enter("netlink_setsockopt")()
	var n uint32
	if len(value) >= 4 {
		n = native.Uint32(value)
	}
	switch opt {
	case netlinkAddMembership, netlinkDropMembership:
		return sk.membership(opt, n)
	case netlinkListenAllNsid:
		if !sk.task.nsCapable(sk.net.user) {
			return nlmsg.EPERM
		}
	}
	flag, ok := netlinkOptions[opt]
	if !ok {
		return nlmsg.ENOPROTOOPT
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	if n != 0 {
		sk.flags |= flag
	} else {
		sk.flags &^= flag
	}
	if opt == netlinkNoEnobufs && n != 0 {
		sk.congested = false
		sk.room.wake()
	}
	return 0
}

// membership joins or leaves a group (NETLINK_ADD_MEMBERSHIP).
func (sk *Socket) membership(opt int, group uint32) errno {
	k, p := sk.k, &sk.k.protocols[sk.proto]
	if !sk.netlinkAllowed(cfgNonrootRecv) {
		return nlmsg.EPERM
	}
	k.nlTable.Lock()
	sk.netlinkReallocGroups()
	groups := p.groups
	k.nlTable.Unlock()
	if group == 0 || group-1 >= groups {
		return nlmsg.EINVAL
	}
	join := opt == netlinkAddMembership
	if join && p.bind != nil {
		if err := p.bind(sk.task, sk.net, group); err != 0 {
			return err
		}
	}
	k.nlTable.Lock()
	sk.netlinkReallocGroups()
	w, bit := &sk.groups[(group-1)/64], uint64(1)<<((group-1)%64)
	if join {
		*w |= bit
	} else {
		*w &^= bit
	}
	sk.netlinkUpdateListeners()
	k.nlTable.Unlock()
	if !join && p.unbind != nil {
		p.unbind(sk.net, group)
	}
	return 0
}

// Getsockopt is getsockopt(2): value is at most size bytes.
func (sk *Socket) Getsockopt(level, opt, size int) ([]byte, errno) {
	if e := sk.fdget(); e != 0 {
		return nil, e
	}
	defer sk.fdput()
	switch level {
	case solSocket:
		return sk.sockGetsockopt(opt, size)
	case solNetlink:
		return sk.netlinkGetsockopt(opt, size)
	}
	return nil, nlmsg.ENOPROTOOPT
}

// netlinkGetsockopt is net/netlink/af_netlink.c netlink_getsockopt.
func (sk *Socket) netlinkGetsockopt(opt, size int) ([]byte, errno) {
	defer sk.k.enter("netlink_getsockopt")()
	if opt == netlinkListMemberships {
		sk.k.nlTable.RLock()
		defer sk.k.nlTable.RUnlock()
		if sk.groups == nil {
			return nil, 0
		}
		b := make([]byte, (sk.k.protocols[sk.proto].groups+31)/32*4)
		for i := 0; i+4 <= min(len(b), size); i += 4 {
			native.PutUint32(b[i:], uint32(sk.groups[i/8]>>(i%8*8)))
		}
		return b[:min(len(b), size)], 0
	}
	flag, ok := netlinkOptions[opt]
	if !ok || opt == netlinkListenAllNsid && !sk.has(listenAllNsidTold) {
		return nil, nlmsg.ENOPROTOOPT
	}
	if size < 4 {
		return nil, nlmsg.EINVAL
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	n := uint32(0)
	if sk.flags&flag != 0 {
		n = 1
	}
	return native.AppendUint32(nil, n), 0
}

// Filter is SO_ATTACH_FILTER, or SO_DETACH_FILTER without a program
// (net/core/filter.c sk_attach_filter).
func (sk *Socket) Filter(prog []nlcase.Instruction) errno {
	if e := sk.fdget(); e != 0 {
		return e
	}
	defer sk.fdput()
	if prog == nil {
		return sk.detachFilter()
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	if sk.locked {
		return nlmsg.EPERM
	}
	vm := compile(prog)
	if vm == nil {
		return nlmsg.EINVAL
	}
	sk.filter = vm
	return 0
}

func (sk *Socket) detachFilter() errno {
	sk.mu.Lock()
	defer sk.mu.Unlock()
	switch {
	case sk.locked:
		return nlmsg.EPERM
	case sk.filter == nil:
		return nlmsg.ENOENT
	}
	sk.filter = nil
	return 0
}
