package emulated

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Options of SOL_SOCKET (include/uapi/asm-generic/socket.h).
const (
	soDebug         = 1
	soReuseaddr     = 2
	soType          = 3
	soError         = 4
	soDontroute     = 5
	soBroadcast     = 6
	soSndbuf        = 7
	soRcvbuf        = 8
	soKeepalive     = 9
	soOobinline     = 10
	soPriority      = 12
	soReuseport     = 15
	soPasscred      = 16
	soRcvlowat      = 18
	soSndlowat      = 19
	soRcvtimeo      = 20
	soSndtimeo      = 21
	soAttachFilter  = 26
	soDetachFilter  = 27
	soTimestamp     = 29
	soAcceptconn    = 30
	soSndbufforce   = 32
	soRcvbufforce   = 33
	soMark          = 36
	soProtocol      = 38
	soDomain        = 39
	soRxqOvfl       = 40
	soPeekOff       = 42
	soNofcs         = 43
	soLockFilter    = 44
	soBusyPoll      = 46
	soBpfExtensions = 48
	soIncomingCPU   = 49
	soMeminfo       = 55
)

// sizeofSockFprog is the size of a struct sock_fprog.
const sizeofSockFprog = 16

// Defaults of a socket's buffers, which sysctl net.core has, and their bounds.
const (
	defaultBuf = 212992
	minRcvbuf  = 2048 + skbSize
	minSndbuf  = 2 * minRcvbuf
)

// maxBuf is the most that a buffer may have without a capability
// (net/core/sock.c sysctl_rmem_max, sysctl_wmem_max).
func (k *Kernel) maxBuf() uint32 {
	if k.has(bufMax4M) {
		return 4 << 20
	}
	return 212992
}

// sockNumbers are the options that keep a number, which nothing here heeds, with what
// it is at first.
var sockNumbers = map[int]uint32{soDebug: 0, soReuseaddr: 0, soDontroute: 0, soBroadcast: 0, soKeepalive: 0, soOobinline: 0,
	soPriority: 0, soReuseport: 0, soRcvlowat: 1, soTimestamp: 0, soMark: 0, soRxqOvfl: 0, soNofcs: 0, soBusyPoll: 0,
	soIncomingCPU: math.MaxUint32}

// sockConstants are the options that can only be read, and always are this.
var sockConstants = map[int]uint32{soSndlowat: 1, soAcceptconn: 0, soDomain: afNetlink, soBpfExtensions: 64}

// sockSetsockopt is net/core/sock.c sock_setsockopt.
func (sk *Socket) sockSetsockopt(opt int, value []byte) errno {
	if len(value) < 4 {
		return nlmsg.EINVAL
	}
	switch opt {
	case soDetachFilter:
		return sk.detachFilter()
	case soRcvtimeo, soSndtimeo:
		return sk.setTimeout(opt, value)
	}
	n := int32(native.Uint32(value))
	sk.mu.Lock()
	defer sk.mu.Unlock()
	switch opt {
	case soSndbuf, soRcvbuf:
		sk.setBuf(opt == soRcvbuf, int32(min(uint32(n), sk.k.maxBuf())))
	case soSndbufforce, soRcvbufforce:
		if !sk.task.nsCapable(sk.k.init.user) {
			return nlmsg.EPERM
		}
		sk.setBuf(opt == soRcvbufforce, max(n, 0))
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
	case soAttachFilter: // a pointer, which Filter is for
		if len(value) != sizeofSockFprog {
			return nlmsg.EINVAL
		}
		return nlmsg.EFAULT
	case soPeekOff:
		return nlmsg.EOPNOTSUPP
	default:
		return sk.setNumber(opt, n)
	}
	return 0
}

// setBuf sets the size of a buffer, which is twice what is asked for
// (net/core/sock.c __sock_set_rcvbuf).
func (sk *Socket) setBuf(receive bool, n int32) {
	n = min(n, math.MaxInt32/2) * 2
	if receive {
		sk.rcvbuf = max(int(n), minRcvbuf)
	} else {
		sk.sndbuf = max(int(n), minSndbuf)
	}
}

// setNumber sets one of sockNumbers; mu is held.
func (sk *Socket) setNumber(opt int, n int32) errno {
	if _, ok := sockNumbers[opt]; !ok {
		return nlmsg.ENOPROTOOPT
	}
	root, own := sk.task.nsCapable(sk.k.init.user), sk.task.nsCapable(sk.net.user)
	v := uint32(n)
	switch opt {
	case soPriority:
		if v > 6 && !own {
			return nlmsg.EPERM
		}
	case soMark:
		if !own {
			return nlmsg.EPERM
		}
	case soBusyPoll:
		if n > int32(sk.numbers[opt]) && !root {
			return nlmsg.EPERM
		}
		if n < 0 {
			return nlmsg.EINVAL
		}
	case soRcvlowat:
		if n < 0 {
			v = math.MaxInt32
		}
		v = max(v, 1)
	case soIncomingCPU:
	default: // a flag
		if v = min(v, 1); v != 0 && opt == soDebug && !root {
			return nlmsg.EACCES
		}
		if opt == soReuseport && sk.k.has(reuseportInet) && v != 0 {
			return nlmsg.EOPNOTSUPP
		}
	}
	if sk.numbers == nil {
		sk.numbers = map[int]uint32{}
	}
	sk.numbers[opt] = v
	return 0
}

// meminfo is what the socket's buffers hold and may hold, and how much was lost; mu is
// held (net/core/sock.c sk_get_meminfo). What is sent does not stay.
func (sk *Socket) meminfo() []byte {
	var b []byte
	for _, n := range []int{int(atomic.LoadInt64(&sk.rmem)), sk.rcvbuf, 0, sk.sndbuf, 0, 0, 0, 0, sk.drops} {
		b = native.AppendUint32(b, uint32(n))
	}
	return b
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
	n := uint32(0)
	switch opt {
	case soType:
		n = uint32(sk.typ)
	case soError:
		n, sk.err = uint32(sk.err), 0
	case soSndbuf:
		n = uint32(sk.sndbuf)
	case soRcvbuf:
		n = uint32(sk.rcvbuf)
	case soPasscred:
		if sk.flags&flagPasscred != 0 {
			n = 1
		}
	case soProtocol:
		n = uint32(sk.proto)
	case soLockFilter:
		if sk.locked {
			n = 1
		}
	case soRcvtimeo, soSndtimeo:
		b := timeval(sk.timeo[opt-soRcvtimeo])
		return b[:min(size, len(b))], 0
	case soMeminfo:
		b := sk.meminfo()
		return b[:min(size, len(b))], 0
	case soPeekOff:
		return nil, nlmsg.EOPNOTSUPP
	default:
		var ok bool
		if n, ok = sk.numbers[opt]; !ok {
			n, ok = sockNumbers[opt]
		}
		if !ok {
			n, ok = sockConstants[opt]
		}
		if !ok {
			return nil, nlmsg.ENOPROTOOPT
		}
	}
	b := native.AppendUint32(nil, n)
	return b[:min(size, 4)], 0
}
