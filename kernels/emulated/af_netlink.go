package emulated

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// maxLinks is MAX_LINKS, the number of protocols there can be.
const maxLinks = 32

// Socket flags (net/netlink/af_netlink.h enum NETLINK_F_*).
const (
	flagPktinfo = 1 << iota
	flagBroadcastError
	flagNoEnobufs
	flagListenAllNsid
	flagCapAck
	flagExtAck
	flagStrictChk
	flagPasscred // SOCK_PASSCRED
)

// What a protocol lets everyone do (include/linux/netlink.h NL_CFG_F_*).
const (
	cfgNonrootRecv = 1 << iota
	cfgNonrootSend
)

// netlinkKernelCfg is what a protocol asks of its kernel socket
// (include/linux/netlink.h struct netlink_kernel_cfg).
type netlinkKernelCfg struct {
	groups uint32
	flags  uint32
	input  func(*skBuff)
	bind   func(t *task, n *netns, group uint32) errno
	unbind func(n *netns, group uint32)
}

// protocol is an entry of nl_table (net/netlink/af_netlink.h struct
// netlink_table).
type protocol struct {
	netlinkKernelCfg
	registered int                  // kernel sockets
	members    map[*Socket]struct{} // mc_list: those that have a group
}

// sockKey finds a socket by its portid (netlink_compare_arg).
type sockKey struct {
	net    *netns
	proto  int
	portid uint32
}

// Socket is an AF_NETLINK socket, a user's or the kernel's
// (net/netlink/af_netlink.h struct netlink_sock). It can be used by any number of
// goroutines.
type Socket struct {
	k     *Kernel
	net   *netns
	proto int
	typ   int
	task  *task
	caps  bool // the task had its capabilities when it opened it: file->f_cred
	own   bool // it is the kernel's

	netlinkRcv func(*skBuff) // the kernel's: what a datagram is handed to

	// nl_table's lock guards these.
	portid    uint32
	bound     bool
	groups    []uint64
	hashed    bool // it is found by its portid
	connected bool // it hears dstPortid alone
	dstPortid uint32
	dstGroup  uint32

	rmem   int64       // atomic: what is charged to the receive buffer
	closed atomic.Bool // SOCK_DEAD

	mu        sync.Mutex // guards the following; the innermost of all locks
	flags     uint32
	rcvbuf    int
	sndbuf    int
	err       errno // sk_err: the next call's
	congested bool  // NETLINK_S_CONGESTED
	drops     int   // sk_drops
	queue     []*skBuff
	filter    *bpf.VM
	locked    bool             // SOCK_FILTER_LOCKED
	timeo     [2]time.Duration // SO_RCVTIMEO and SO_SNDTIMEO
	numbers   map[int]uint32   // of sockNumbers, those that were set
	room      waitQueue        // there may be room: nlk->wait
	ready     waitQueue        // there may be something to read: sk_sleep

	// The dump that goes on: cbMutex guards it, and is taken before rtnl_mutex.
	cbMutex       sync.Mutex
	cb            *netlinkCallback
	dumpDone      bool // what is left to say is dumpErr
	dumpErr       errno
	cbRunning     atomic.Bool
	maxRecvmsgLen atomic.Int64
}

// waitQueue is where goroutines wait for a change of a socket, whose mu guards it
// (include/linux/wait.h wait_queue_head_t).
type waitQueue struct{ c chan struct{} }

// wait is closed by the next wake.
func (q *waitQueue) wait() <-chan struct{} {
	if q.c == nil {
		q.c = make(chan struct{})
	}
	return q.c
}

// wake has all that wait look again (wake_up_interruptible).
func (q *waitQueue) wake() {
	if q.c != nil {
		close(q.c)
		q.c = nil
	}
}

// netlinkCreate is socket(2) (net/netlink/af_netlink.c netlink_create).
func (k *Kernel) netlinkCreate(n *netns, t *task, typ, proto int) (*Socket, errno) {
	defer k.enter("netlink_create")()
	if typ != sockRaw && typ != sockDgram {
		return nil, nlmsg.ESOCKTNOSUPPORT
	}
	if proto < 0 || proto >= maxLinks {
		return nil, nlmsg.EPROTONOSUPPORT
	}
	k.nlTable.RLock()
	registered := k.protocols[proto].registered > 0
	k.nlTable.RUnlock()
	if !registered {
		return nil, nlmsg.EPROTONOSUPPORT
	}
	return k.newSocket(n, t, typ, proto), 0
}

const (
	sockDgram = 2
	sockRaw   = 3
)

// newSocket is __netlink_create.
func (k *Kernel) newSocket(n *netns, t *task, typ, proto int) *Socket {
	return &Socket{k: k, net: n, task: t, caps: t.has(), typ: typ, proto: proto, rcvbuf: defaultBuf, sndbuf: defaultBuf,
		timeo: [2]time.Duration{forever, forever}}
}

// netlinkKernelCreate makes the kernel's socket of a protocol in a namespace
// (include/linux/netlink.h netlink_kernel_create).
func (k *Kernel) netlinkKernelCreate(n *netns, unit int, cfg netlinkKernelCfg) *Socket {
	defer k.enter("netlink_kernel_create")()
	return k.netlinkKernelCreateModule(n, unit, cfg)
}

// netlinkKernelCreateModule is net/netlink/af_netlink.c __netlink_kernel_create.
// The protocol's entry is filled in by the first namespace; its groups only ever
// get more.
func (k *Kernel) netlinkKernelCreateModule(n *netns, unit int, cfg netlinkKernelCfg) *Socket {
	defer k.enter("__netlink_kernel_create")()
	if unit < 0 || unit >= maxLinks {
		return nil
	}
	sk := k.newSocket(n, k.init, sockDgram, unit)
	sk.own = true
	sk.bound = true
	sk.netlinkRcv = cfg.input
	k.nlTable.Lock()
	defer k.nlTable.Unlock()
	key := sockKey{n, unit, 0}
	if k.sockets[key] != nil {
		panic("emulated: a second kernel socket of protocol " + nlmsg.ProtocolName(unit) + " in a namespace")
	}
	k.sockets[key] = sk
	sk.hashed = true
	p := &k.protocols[unit]
	if p.registered == 0 {
		cfg.groups = max(cfg.groups, 32)
		p.netlinkKernelCfg, p.members = cfg, map[*Socket]struct{}{}
	}
	p.registered++
	n.kernelSocks = append(n.kernelSocks, sk)
	return sk
}

// netlinkKernelRelease is net/netlink/af_netlink.c netlink_kernel_release.
func (k *Kernel) netlinkKernelRelease(sk *Socket) {
	defer k.enter("netlink_kernel_release")()
	k.nlTable.Lock()
	defer k.nlTable.Unlock()
	delete(k.sockets, sockKey{sk.net, sk.proto, 0})
	k.protocols[sk.proto].registered--
}

// netlinkIsKernel is net/netlink/af_netlink.c netlink_is_kernel.
func netlinkIsKernel(sk *Socket) bool { return sk.own }

// netlinkLookup finds a socket (net/netlink/af_netlink.c netlink_lookup).
func (k *Kernel) netlinkLookup(n *netns, proto int, portid uint32) *Socket {
	k.nlTable.RLock()
	sk := k.sockets[sockKey{n, proto, portid}]
	k.nlTable.RUnlock()
	return sk
}

// netlinkInsert makes a socket one that is found by portid
// (net/netlink/af_netlink.c netlink_insert).
func (sk *Socket) netlinkInsert(portid uint32) errno {
	k := sk.k
	k.nlTable.Lock()
	defer k.nlTable.Unlock()
	if sk.bound {
		if sk.portid == portid {
			return 0
		}
		return nlmsg.EBUSY
	}
	if sk.closed.Load() {
		return nlmsg.EBADF
	}
	// The portid stays where the socket cannot have it: getsockname tells.
	sk.portid = portid
	key := sockKey{sk.net, sk.proto, portid}
	if k.sockets[key] != nil {
		return nlmsg.EADDRINUSE
	}
	k.sockets[key] = sk
	sk.hashed, sk.bound = true, true
	return 0
}

// netlinkAutobind gives a socket a portid: the process's own ID if it is free, or one
// of the negative ones (net/netlink/af_netlink.c netlink_autobind).
func (sk *Socket) netlinkAutobind() errno {
	k, n := sk.k, sk.net
	defer k.enter("netlink_autobind")()
	portid := sk.task.pid
	for {
		k.nlTable.Lock()
		for k.sockets[sockKey{n, sk.proto, portid}] != nil {
			n.rover = min(n.rover-1, firstRover)
			portid = uint32(n.rover)
		}
		k.nlTable.Unlock()
		err := sk.netlinkInsert(portid)
		switch err {
		case nlmsg.EADDRINUSE: // another goroutine was faster
			continue
		case nlmsg.EBUSY: // with this socket
			return 0
		}
		return err
	}
}

// firstRover is the first portid of those whose process's ID is taken.
const firstRover = -4097

// netlinkAllowed says whether everyone may do what flag says, or this task
// (net/netlink/af_netlink.c netlink_allowed).
func (sk *Socket) netlinkAllowed(flag uint32) bool {
	return sk.k.protocols[sk.proto].flags&flag != 0 || sk.task.nsCapable(sk.net.user)
}

// fileNsCapable says that the task that opened the socket was able to do to what
// belongs to user whatever takes a capability (kernel/capability.c
// file_ns_capable).
func (sk *Socket) fileNsCapable(user *userNS) bool { return sk.caps && sk.task.user.above(user) }

// Bind is bind(2) (net/netlink/af_netlink.c netlink_bind).
func (sk *Socket) Bind(a nlcase.Addr) errno {
	if e := sk.fdget(); e != 0 {
		return e
	}
	defer sk.fdput()
	defer sk.k.enter("netlink_bind")()
	if e := checkAddr(a); e != 0 {
		return e
	}
	k, p := sk.k, &sk.k.protocols[sk.proto]
	groups := uint64(a.Groups)
	if groups != 0 && !sk.netlinkAllowed(cfgNonrootRecv) {
		return nlmsg.EPERM
	}
	if p.groups < 64 {
		groups &= 1<<p.groups - 1
	}
	k.nlTable.RLock()
	bound, portid := sk.bound, sk.portid
	k.nlTable.RUnlock()
	if bound && a.Pid != portid {
		return nlmsg.EINVAL
	}
	if p.bind != nil {
		for g := range uint32(32) {
			if groups>>g&1 == 0 {
				continue
			}
			if err := p.bind(sk.task, sk.net, g+1); err != 0 {
				sk.netlinkUndoBind(g, groups)
				return err
			}
		}
	}
	if !bound {
		var err errno
		if a.Pid != 0 {
			err = sk.netlinkInsert(a.Pid)
		} else {
			err = sk.netlinkAutobind()
		}
		if err != 0 {
			sk.netlinkUndoBind(32, groups)
			return err
		}
	}
	k.nlTable.Lock()
	defer k.nlTable.Unlock()
	if groups == 0 && (len(sk.groups) == 0 || uint32(sk.groups[0]) == 0) {
		return 0
	}
	sk.netlinkReallocGroups()
	sk.groups[0] = sk.groups[0]&^0xffffffff | groups
	sk.netlinkUpdateListeners()
	return 0
}

// netlinkUndoBind is net/netlink/af_netlink.c netlink_undo_bind.
func (sk *Socket) netlinkUndoBind(below uint32, groups uint64) {
	unbind := sk.k.protocols[sk.proto].unbind
	if unbind == nil {
		return
	}
	for g := range below {
		if groups>>g&1 != 0 {
			unbind(sk.net, g+1)
		}
	}
}

// netlinkReallocGroups makes room for all groups of the protocol; nl_table is
// locked (net/netlink/af_netlink.c netlink_realloc_groups).
func (sk *Socket) netlinkReallocGroups() {
	words := int(sk.k.protocols[sk.proto].groups+63) / 64
	for len(sk.groups) < words {
		sk.groups = append(sk.groups, 0)
	}
}

// netlinkUpdateListeners keeps mc_list; nl_table is locked.
func (sk *Socket) netlinkUpdateListeners() {
	members := sk.k.protocols[sk.proto].members
	for _, w := range sk.groups {
		if w != 0 && !sk.closed.Load() {
			members[sk] = struct{}{}
			return
		}
	}
	delete(members, sk)
}

const (
	afNetlink      = 16
	sizeofSockaddr = 12
)

// checkAddr looks at the length and the family of an address.
func checkAddr(a nlcase.Addr) errno {
	if a.Size != 0 && a.Size < sizeofSockaddr || a.Family != 0 && a.Family != afNetlink {
		return nlmsg.EINVAL
	}
	return 0
}

// firstGroup is the number of the first of a mask's groups, 0 for none: those behind
// it are not sent to.
func firstGroup(mask uint32) uint32 {
	if mask == 0 {
		return 0
	}
	return uint32(bits.TrailingZeros32(mask) + 1)
}

// Connect is connect(2) (net/netlink/af_netlink.c netlink_connect).
func (sk *Socket) Connect(a nlcase.Addr) errno {
	if e := sk.fdget(); e != 0 {
		return e
	}
	defer sk.fdput()
	defer sk.k.enter("netlink_connect")()
	if a.Size != 0 && a.Size < 2 { // no room for a family
		return nlmsg.EINVAL
	}
	if a.Family == nlcase.AFUnspec {
		sk.connect(false, 0, 0)
		return 0
	}
	if e := checkAddr(a); e != 0 {
		return e
	}
	if (a.Groups != 0 || a.Pid != 0) && !sk.netlinkAllowed(cfgNonrootSend) {
		return nlmsg.EPERM
	}
	if e := sk.bindIfNot(); e != 0 {
		return e
	}
	sk.connect(true, a.Pid, firstGroup(a.Groups))
	return 0
}

func (sk *Socket) connect(connected bool, portid, group uint32) {
	sk.k.nlTable.Lock()
	sk.connected, sk.dstPortid, sk.dstGroup = connected, portid, group
	sk.k.nlTable.Unlock()
}

// bindIfNot gives the socket a portid where it has none.
func (sk *Socket) bindIfNot() errno {
	sk.k.nlTable.RLock()
	bound := sk.bound
	sk.k.nlTable.RUnlock()
	if bound {
		return 0
	}
	return sk.netlinkAutobind()
}

// Getsockname is getsockname(2) (net/netlink/af_netlink.c netlink_getname).
func (sk *Socket) Getsockname() (nlcase.Addr, errno) {
	if e := sk.fdget(); e != 0 {
		return nlcase.Addr{}, e
	}
	defer sk.fdput()
	sk.k.nlTable.RLock()
	defer sk.k.nlTable.RUnlock()
	a := nlcase.Addr{Pid: sk.portid}
	if len(sk.groups) > 0 {
		a.Groups = uint32(sk.groups[0])
	}
	return a, 0
}

// fdget begins a system call on the socket, during which its namespace stays
// (include/linux/file.h fdget). fdput ends it.
func (sk *Socket) fdget() errno {
	sk.net.calls.RLock()
	if sk.closed.Load() {
		sk.net.calls.RUnlock()
		return nlmsg.EBADF
	}
	return 0
}

func (sk *Socket) fdput() { sk.net.calls.RUnlock() }

// Close is close(2).
func (sk *Socket) Close() errno {
	if err := sk.fdget(); err != 0 {
		return err
	}
	defer sk.fdput()
	return sk.netlinkRelease()
}

// netlinkRelease is net/netlink/af_netlink.c netlink_release. Calls on the socket
// may still be under way: they find it closed where that matters.
func (sk *Socket) netlinkRelease() errno {
	k := sk.k
	defer k.enter("netlink_release")()
	if sk.closed.Swap(true) {
		return nlmsg.EBADF
	}
	sk.mu.Lock()
	for _, skb := range sk.queue {
		skb.free()
	}
	sk.queue = nil
	sk.room.wake()
	sk.ready.wake()
	sk.mu.Unlock()
	k.nlTable.Lock()
	if sk.hashed {
		delete(k.sockets, sockKey{sk.net, sk.proto, sk.portid})
	}
	groups := sk.groups
	sk.groups = nil
	p := &k.protocols[sk.proto]
	delete(p.members, sk)
	sk.net.forget(sk)
	k.nlTable.Unlock()
	if p.unbind != nil {
		for w, x := range groups {
			for ; x != 0; x &= x - 1 {
				p.unbind(sk.net, uint32(w*64+bits.TrailingZeros64(x)+1))
			}
		}
	}
	sk.cbMutex.Lock()
	defer sk.cbMutex.Unlock()
	if sk.cbRunning.Load() {
		sk.netlinkDumpEnd()
	}
	return 0
}

// readable is closed once there may be something to read, an error or the end of the
// socket included.
func (sk *Socket) readable() <-chan struct{} {
	sk.mu.Lock()
	defer sk.mu.Unlock()
	ready := sk.ready.wait()
	if len(sk.queue) > 0 || sk.err != 0 || sk.closed.Load() {
		sk.ready.wake()
	}
	return ready
}

func (sk *Socket) has(q quirk) bool { return sk.k.has(q) }
