package emulated

import (
	"time"

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

// Options of SOL_SOCKET (include/uapi/asm-generic/socket.h).
const (
	soType         = 3
	soError        = 4
	soSndbuf       = 7
	soRcvbuf       = 8
	soPasscred     = 16
	soRcvtimeo     = 20
	soSndtimeo     = 21
	soAttachFilter = 26
	soDetachFilter = 27
	soSndbufforce  = 32
	soRcvbufforce  = 33
	soProtocol     = 38
	soDomain       = 39
	soLockFilter   = 44
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
		if !sk.task.nsCapable(sk.k.init.user) {
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
		var b []byte
		for i := 0; i*32 < int(sk.k.protocols[sk.proto].groups) && sk.groups != nil; i++ {
			b = native.AppendUint32(b, uint32(sk.groups[i/2]>>(32*(i%2))))
		}
		return b[:min(len(b), size)], 0
	}
	flag, ok := netlinkOptions[opt]
	if !ok {
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

// sockSetsockopt is net/core/sock.c sock_setsockopt, as far as netlink sockets are
// concerned.
func (sk *Socket) sockSetsockopt(opt int, value []byte) errno {
	if opt == soDetachFilter {
		return sk.detachFilter()
	}
	if opt == soRcvtimeo || opt == soSndtimeo {
		return sk.setTimeout(opt, value)
	}
	if len(value) < 4 {
		return nlmsg.EINVAL
	}
	n := int(int32(native.Uint32(value)))
	sk.mu.Lock()
	defer sk.mu.Unlock()
	switch opt {
	case soSndbufforce, soRcvbufforce:
		if !sk.task.nsCapable(sk.k.init.user) {
			return nlmsg.EPERM
		}
		n = max(n, 0)
	case soSndbuf, soRcvbuf:
		n = int(min(uint32(n), maxBuf))
	}
	switch opt {
	case soSndbuf, soSndbufforce:
		sk.sndbuf = max(min(n, 1<<30)*2, minSndbuf)
	case soRcvbuf, soRcvbufforce:
		sk.rcvbuf = max(min(n, 1<<30)*2, minRcvbuf)
	case soPasscred:
		sk.flags &^= flagPasscred
		if n != 0 {
			sk.flags |= flagPasscred
		}
	case soLockFilter:
		if sk.locked && n == 0 {
			return nlmsg.EPERM
		}
		sk.locked = n != 0
	case soType, soProtocol, soDomain, soError:
		return nlmsg.ENOPROTOOPT
	default:
		return nlmsg.ENOPROTOOPT
	}
	return 0
}

// jiffy is what timeouts are counted in: CONFIG_HZ is 250.
const jiffy = time.Second / 250

// setTimeout takes a struct timeval of two 64-bit numbers; 0 is for ever
// (net/core/sock.c sock_set_timeout).
func (sk *Socket) setTimeout(opt int, value []byte) errno {
	if len(value) < 16 {
		return nlmsg.EINVAL
	}
	sec, usec := int64(native.Uint64(value)), int64(native.Uint64(value[8:]))
	if usec < 0 || usec >= 1e6 {
		return nlmsg.EDOM
	}
	timeo := forever
	switch {
	case sec < 0:
		timeo = 0
	case (sec != 0 || usec != 0) && sec < int64(forever/time.Second)-1:
		timeo = time.Duration(sec)*time.Second + (time.Duration(usec)*time.Microsecond+jiffy-1)/jiffy*jiffy
	}
	sk.mu.Lock()
	sk.timeo[opt-soRcvtimeo] = timeo
	sk.mu.Unlock()
	return 0
}

// timeval is a timeout as it is told (net/core/sock.c sock_get_timeout).
func timeval(timeo time.Duration) []byte {
	if timeo == forever {
		timeo = 0
	}
	b := native.AppendUint64(nil, uint64(timeo/time.Second))
	return native.AppendUint64(b, uint64(timeo%time.Second/time.Microsecond))
}

// sockGetsockopt is net/core/sock.c sock_getsockopt.
func (sk *Socket) sockGetsockopt(opt, size int) ([]byte, errno) {
	sk.mu.Lock()
	defer sk.mu.Unlock()
	n := 0
	switch opt {
	case soType:
		n = sk.typ
	case soError:
		n, sk.err = int(sk.err), 0
	case soSndbuf:
		n = sk.sndbuf
	case soRcvbuf:
		n = sk.rcvbuf
	case soPasscred:
		if sk.flags&flagPasscred != 0 {
			n = 1
		}
	case soProtocol:
		n = sk.proto
	case soDomain:
		n = afNetlink
	case soLockFilter:
		if sk.locked {
			n = 1
		}
	case soRcvtimeo, soSndtimeo:
		b := timeval(sk.timeo[opt-soRcvtimeo])
		return b[:min(size, len(b))], 0
	default:
		return nil, nlmsg.ENOPROTOOPT
	}
	b := native.AppendUint32(nil, uint32(n))
	return b[:min(size, 4)], 0
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
