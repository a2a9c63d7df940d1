package emulated

import (
	"sync/atomic"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Send is sendmsg(2) with MSG_DONTWAIT (net/netlink/af_netlink.c
// netlink_sendmsg).
func (sk *Socket) Send(b []byte, o nlcase.SendOptions) (int, errno) {
	return sk.netlinkSendmsg(b, o, true, nil)
}

// Start is sendmsg(2), which may wait for a congested receiver, in a goroutine. It
// returns when that has sent or waits.
func (sk *Socket) Start(b []byte, o nlcase.SendOptions) <-chan errno {
	done := make(chan errno, 1)
	waits := make(chan struct{}, 1)
	b = append([]byte{}, b...)
	go func() {
		_, e := sk.netlinkSendmsg(b, o, false, waits)
		done <- e
		select {
		case waits <- struct{}{}:
		default:
		}
	}()
	<-waits
	return done
}

// netlinkSendmsg is net/netlink/af_netlink.c netlink_sendmsg. waits hears when it begins
// to wait for its receiver.
func (sk *Socket) netlinkSendmsg(b []byte, o nlcase.SendOptions, nonblock bool, waits chan<- struct{}) (int, errno) {
	k := sk.k
	if e := sk.fdget(); e != 0 {
		return 0, e
	}
	defer sk.fdput()
	defer k.enter("netlink_sendmsg")()
	if o.OOB {
		return 0, nlmsg.EOPNOTSUPP
	}
	if len(b) == 0 {
		return 0, nlmsg.ENODATA
	}
	creds, err := sk.scmSend(o.Cred)
	if err != 0 {
		return 0, err
	}
	var dstPortid, dstGroup uint32
	if o.To != nil {
		if err := checkAddr(*o.To); err != 0 {
			return 0, err
		}
		dstPortid = o.To.Pid
		dstGroup = firstGroup(o.To.Groups)
		if (dstGroup != 0 || dstPortid != 0) && !sk.netlinkAllowed(cfgNonrootSend) {
			return 0, nlmsg.EPERM
		}
	} else {
		k.nlTable.RLock()
		dstPortid, dstGroup = sk.dstPortid, sk.dstGroup
		k.nlTable.RUnlock()
	}
	if err := sk.bindIfNot(); err != 0 {
		return 0, err
	}
	sk.mu.Lock()
	sndbuf := sk.sndbuf
	sk.mu.Unlock()
	if len(b) > sndbuf-32 {
		return 0, nlmsg.EMSGSIZE
	}
	skb := &skBuff{data: append(make([]byte, 0, len(b)), b...), size: len(b), pages: len(b) > goodSize && dstGroup == 0,
		portid: sk.portid, dstGroup: dstGroup, creds: creds, dst: o.To != nil, sk: sk}
	if dstGroup != 0 {
		k.netlinkBroadcast(sk, skb.clone(), dstPortid, dstGroup)
	}
	n, err := k.netlinkUnicast(sk, skb, dstPortid, nonblock, waits)
	return n, err
}

// scmSend checks the credentials that a sender claims (net/core/scm.c
// scm_check_creds).
func (sk *Socket) scmSend(c *nlcase.Cred) (ucred, errno) {
	own := nlcase.Cred{Pid: sk.task.pid, UID: sk.task.uid, GID: sk.task.gid}
	if c == nil {
		return ucred{own, sk.task}, 0
	}
	if (c.Pid != own.Pid || c.UID != own.UID || c.GID != own.GID) && !sk.task.has() {
		return ucred{}, nlmsg.EPERM
	}
	if c.Pid != own.Pid && !sk.k.pidExists(c.Pid) {
		return ucred{}, nlmsg.ESRCH
	}
	return ucred{*c, sk.task}, 0
}

// netlinkUnicast sends to whoever has the portid (net/netlink/af_netlink.c
// netlink_unicast).
func (k *Kernel) netlinkUnicast(ssk *Socket, skb *skBuff, portid uint32, nonblock bool, waits chan<- struct{}) (int, errno) {
	defer k.enter("netlink_unicast")()
	skb = k.netlinkTrim(skb)
	timeo := k.sockSndtimeo(ssk, nonblock)
	for {
		sk, err := k.netlinkGetsockbyportid(ssk, portid)
		if err != 0 {
			return 0, err
		}
		if netlinkIsKernel(sk) {
			return k.netlinkUnicastKernel(sk, skb, ssk)
		}
		if n, drop := sk.skFilter(skb); drop {
			return n, 0
		}
		again, err := k.netlinkAttachskb(sk, skb, &timeo, ssk, waits)
		if again {
			continue
		}
		if err != 0 {
			return 0, err
		}
		return k.netlinkSendskb(sk, skb), 0
	}
}

// netlinkTrim cuts the buffer to what it holds where half of what it counts for would
// be wasted (net/netlink/af_netlink.c netlink_trim).
func (k *Kernel) netlinkTrim(skb *skBuff) *skBuff {
	defer k.enter("netlink_trim")()
	if end := k.headSize(skb) - sharedInfo; !skb.pages && (end-len(skb.data))*2 >= k.truesize(skb) {
		skb.size = len(skb.data)
	}
	return skb
}

// forever is how long a sender waits that has not said otherwise.
const forever = time.Duration(1<<63 - 1)

// sockSndtimeo is include/net/sock.h sock_sndtimeo.
func (k *Kernel) sockSndtimeo(sk *Socket, nonblock bool) time.Duration {
	defer k.enter("sock_sndtimeo")()
	if nonblock {
		return 0
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	return sk.timeo[soSndtimeo-soRcvtimeo]
}

// netlinkGetsockbyportid is net/netlink/af_netlink.c netlink_getsockbyportid.
func (k *Kernel) netlinkGetsockbyportid(ssk *Socket, portid uint32) (*Socket, errno) {
	defer k.enter("netlink_getsockbyportid")()
	k.nlTable.RLock()
	defer k.nlTable.RUnlock()
	sk := k.sockets[sockKey{ssk.net, ssk.proto, portid}]
	if sk == nil {
		return nil, nlmsg.ECONNREFUSED
	}
	// A socket that is connected hears its peer alone.
	if sk.connected && sk.dstPortid != ssk.portid {
		return nil, nlmsg.ECONNREFUSED
	}
	return sk, 0
}

// netlinkUnicastKernel calls the protocol's handler, within the sender's sendmsg
// (net/netlink/af_netlink.c netlink_unicast_kernel). There are no taps that
// netlink_deliver_tap_kernel would show it to, and no references that sock_put would
// let go of.
func (k *Kernel) netlinkUnicastKernel(sk *Socket, skb *skBuff, ssk *Socket) (int, errno) {
	defer k.enter("netlink_unicast_kernel")()
	if sk.netlinkRcv == nil {
		return 0, nlmsg.ECONNREFUSED
	}
	n := len(skb.data)
	skb.sk = ssk
	sk.netlinkRcv(skb)
	return n, 0
}

// netlinkAttachskb charges an skb to its receiver. again says that it was congested,
// and the sender has waited and is to look it up once more
// (net/netlink/af_netlink.c netlink_attachskb).
func (k *Kernel) netlinkAttachskb(sk *Socket, skb *skBuff, timeo *time.Duration, ssk *Socket, waits chan<- struct{}) (again bool, err errno) {
	defer k.enter("netlink_attachskb")()
	sk.mu.Lock()
	if sk.fits(skb) {
		skb.setOwner(sk)
		sk.mu.Unlock()
		return false, 0
	}
	if *timeo == 0 {
		if ssk == nil || netlinkIsKernel(ssk) {
			sk.netlinkOverrun()
		}
		sk.mu.Unlock()
		return false, nlmsg.EAGAIN
	}
	if sk.closed.Load() {
		sk.mu.Unlock()
		return true, 0
	}
	room := sk.room.wait()
	sk.mu.Unlock()
	if waits != nil {
		select {
		case waits <- struct{}{}:
		default:
		}
	}
	if *timeo == forever {
		<-room
		return true, 0
	}
	start := time.Now()
	timer := time.NewTimer(*timeo)
	select {
	case <-room:
	case <-timer.C:
	}
	timer.Stop()
	*timeo = max(0, *timeo-time.Since(start))
	return true, 0
}

// fits says whether the receive buffer takes an skb; mu is held. One datagram fits
// whatever its size.
func (sk *Socket) fits(skb *skBuff) bool {
	if sk.congested {
		return false
	}
	rmem := int(atomic.LoadInt64(&sk.rmem))
	if sk.k.has(rmemCountsItself) {
		return rmem == 0 || rmem+sk.k.truesize(skb) <= sk.rcvbuf
	}
	return rmem <= sk.rcvbuf
}

// netlinkSendskb queues and wakes the receiver (net/netlink/af_netlink.c
// netlink_sendskb).
func (k *Kernel) netlinkSendskb(sk *Socket, skb *skBuff) int {
	defer k.enter("netlink_sendskb")()
	n := len(skb.data)
	sk.mu.Lock()
	defer sk.mu.Unlock()
	if sk.closed.Load() {
		skb.free()
		return n
	}
	sk.queue = append(sk.queue, skb)
	sk.ready.wake()
	return n
}

// netlinkOverrun tells a receiver that it has lost something; mu is held
// (net/netlink/af_netlink.c netlink_overrun).
func (sk *Socket) netlinkOverrun() {
	defer sk.k.enter("netlink_overrun")()
	sk.drops++
	if sk.flags&flagNoEnobufs == 0 && !sk.congested {
		sk.congested = true
		sk.err = nlmsg.ENOBUFS
		sk.ready.wake()
	}
}

// nlmsgUnicast is include/net/netlink.h nlmsg_unicast, from the kernel.
func (k *Kernel) nlmsgUnicast(ssk *Socket, skb *skBuff, portid uint32) errno {
	if ssk == nil {
		return nlmsg.ECONNREFUSED // the namespace is gone
	}
	skb.creds = ucred{task: k.init}
	_, err := k.netlinkUnicast(ssk, skb, portid, true, nil)
	return err
}

// netlinkBroadcast sends to all members of a group but the sender, and but who has
// portid (net/netlink/af_netlink.c netlink_broadcast).
func (k *Kernel) netlinkBroadcast(ssk *Socket, skb *skBuff, portid, group uint32) errno {
	defer k.enter("netlink_broadcast")()
	skb = k.netlinkTrim(skb)
	k.nlTable.RLock()
	defer k.nlTable.RUnlock()
	delivered, failed := false, false
	for sk := range k.protocols[ssk.proto].members {
		d, f := k.doOneBroadcast(ssk, sk, skb, portid, group)
		delivered, failed = delivered || d, failed || f
	}
	switch {
	case failed:
		return nlmsg.ENOBUFS
	case !delivered:
		return nlmsg.ESRCH
	}
	return 0
}

// doOneBroadcast is net/netlink/af_netlink.c do_one_broadcast; nl_table is locked.
func (k *Kernel) doOneBroadcast(ssk, sk *Socket, skb *skBuff, portid, group uint32) (delivered, failed bool) {
	g := group - 1
	if sk == ssk || sk.portid == portid || int(g/64) >= len(sk.groups) || sk.groups[g/64]>>(g%64)&1 == 0 {
		return false, false
	}
	sk.mu.Lock()
	defer sk.mu.Unlock()
	nsid, nsidSet := 0, false
	if sk.net != ssk.net {
		if sk.flags&flagListenAllNsid == 0 {
			return false, false
		}
		if nsid, nsidSet = sk.net.peer2id(ssk.net); !nsidSet || !sk.fileNsCapable(ssk.net.user) {
			return false, false
		}
	} else {
		nsid, nsidSet = sk.net.peer2id(ssk.net)
	}
	c := skb.clone()
	c.nsid, c.nsidSet = nsid, nsidSet
	if _, drop := sk.runFilter(c); drop {
		return false, false
	}
	if !sk.fits(c) || sk.closed.Load() {
		sk.netlinkOverrun()
		return false, sk.flags&flagBroadcastError != 0
	}
	c.setOwner(sk)
	sk.queue = append(sk.queue, c)
	sk.ready.wake()
	return true, false
}

// nlmsgMulticast is include/net/netlink.h nlmsg_multicast, from the kernel.
func (k *Kernel) nlmsgMulticast(ssk *Socket, skb *skBuff, portid, group uint32) errno {
	if ssk == nil {
		return nlmsg.ESRCH // the namespace is gone
	}
	skb.creds, skb.dstGroup = ucred{task: k.init}, group
	return k.netlinkBroadcast(ssk, skb, portid, group)
}

// nlmsgNotify tells a group, and who asked for it (net/netlink/af_netlink.c
// nlmsg_notify).
func (k *Kernel) nlmsgNotify(ssk *Socket, skb *skBuff, portid, group uint32, report bool) errno {
	defer k.enter("nlmsg_notify")()
	var err errno
	if group != 0 {
		exclude := uint32(0)
		if report {
			exclude = portid
		}
		skb.dstGroup = group // who asked is told it too
		if err = k.nlmsgMulticast(ssk, skb.clone(), exclude, group); err == nlmsg.ESRCH {
			err = 0
		}
	}
	if report {
		if e := k.nlmsgUnicast(ssk, skb, portid); err == 0 {
			err = e
		}
	}
	return err
}
