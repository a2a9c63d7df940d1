package emulated

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

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
	groups  uint32
	flags   uint32
	input   func(*skBuff)
	bind    func(n *netns, group uint32) errno
	unbind  func(n *netns, group uint32)
	release func(sk *Socket)
}

// protocol is an entry of nl_table (net/netlink/af_netlink.h struct
// netlink_table).
type protocol struct {
	registered int // kernel sockets
	groups     uint32
	flags      uint32
	bind       func(n *netns, group uint32) errno
	unbind     func(n *netns, group uint32)
	release    func(sk *Socket)
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
	task  *task // that opened it: file->f_cred
	own   bool  // it is the kernel's

	netlinkRcv func(*skBuff) // the kernel's: what a datagram is handed to

	// nl_table's lock guards these.
	portid    uint32
	bound     bool
	groups    []uint64
	hashed    bool // it is found by its portid
	dstPortid uint32
	dstGroup  uint32

	rmem int64 // atomic: what is charged to the receive buffer

	mu        sync.Mutex // guards the following; the innermost of all locks
	flags     uint32
	rcvbuf    int
	sndbuf    int
	err       errno // sk_err: the next call's
	congested bool  // NETLINK_S_CONGESTED
	closed    bool  // SOCK_DEAD
	queue     []*skBuff
	filter    []nlcase.Instruction
	locked    bool          // SOCK_FILTER_LOCKED
	sndtimeo  time.Duration // negative for ever
	rcvtimeo  []byte        // SO_RCVTIMEO as it was set
	sndtimeoB []byte
	room      chan struct{} // closed when there may be room: nlk->wait
	ready     chan struct{} // closed when there may be something to read

	// The dump that goes on: cbMutex guards it, and is taken before rtnl_mutex.
	cbMutex       sync.Mutex
	cb            *netlinkCallback
	dumpDone      bool // what is left to say is dumpErr
	dumpErr       errno
	cbRunning     atomic.Bool
	maxRecvmsgLen atomic.Int64
}

// Defaults of a socket's buffers, which sysctl net.core has, and their bounds.
const (
	defaultBuf = 212992
	maxBuf     = 212992
	minRcvbuf  = 2048 + skbSize
	minSndbuf  = 2 * minRcvbuf
)

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
	return &Socket{k: k, net: n, task: t, typ: typ, proto: proto, rcvbuf: defaultBuf, sndbuf: defaultBuf, sndtimeo: -1}
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
	if cfg.input != nil {
		sk.netlinkRcv = cfg.input
	}
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
		p.groups = max(cfg.groups, 32)
		p.flags, p.bind, p.unbind, p.release = cfg.flags, cfg.bind, cfg.unbind, cfg.release
		p.members = map[*Socket]struct{}{}
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

// netlinkAutobind gives a socket a portid: the process's own ID if it is free
// (net/netlink/af_netlink.c netlink_autobind).
func (sk *Socket) netlinkAutobind() errno {
	defer sk.k.enter("netlink_autobind")()
	portid := sk.task.pid
	rover := int32(-4096)
	for {
		if sk.k.netlinkLookup(sk.net, sk.proto, portid) != nil {
			portid = uint32(rover)
			rover--
			continue
		}
		err := sk.netlinkInsert(portid)
		if err == nlmsg.EADDRINUSE {
			continue
		}
		if err == nlmsg.EBUSY { // another goroutine was faster
			err = 0
		}
		return err
	}
}

// netlinkAllowed says whether everyone may do what flag says, or the socket's
// owner in its namespace (net/netlink/af_netlink.c netlink_allowed).
func (sk *Socket) netlinkAllowed(flag uint32, t *task) bool {
	return sk.k.protocols[sk.proto].flags&flag != 0 || t.nsCapable(sk.net.user)
}

// Bind is bind(2) (net/netlink/af_netlink.c netlink_bind).
func (sk *Socket) Bind(a nlcase.Addr) errno {
	defer sk.k.enter("netlink_bind")()
	if e := checkAddr(a, true); e != 0 {
		return e
	}
	k, p := sk.k, &sk.k.protocols[sk.proto]
	groups := uint64(a.Groups)
	if groups != 0 {
		if !sk.netlinkAllowed(cfgNonrootRecv, sk.task) {
			return nlmsg.EPERM
		}
		if p.groups < 64 {
			groups &= 1<<p.groups - 1
		}
	}
	k.nlTable.RLock()
	bound, portid := sk.bound, sk.portid
	k.nlTable.RUnlock()
	if bound && a.Pid != portid {
		return nlmsg.EINVAL
	}
	if p.bind != nil {
		for g := range uint32(64) {
			if groups>>g&1 == 0 {
				continue
			}
			if err := p.bind(sk.net, g+1); err != 0 {
				sk.netlinkUndoBind(g, groups)
				return err
			}
		}
	}
	if !bound {
		err := errno(0)
		if a.Pid != 0 {
			err = sk.netlinkInsert(a.Pid)
		} else {
			err = sk.netlinkAutobind()
		}
		if err != 0 {
			sk.netlinkUndoBind(64, groups)
			if err == nlmsg.EBUSY {
				err = nlmsg.EINVAL
			}
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
		if w != 0 {
			members[sk] = struct{}{}
			return
		}
	}
	delete(members, sk)
}

const sizeofSockaddr = 12

// checkAddr looks at the length and the family of an address. bind names what is
// too short for a family otherwise than connect and sendmsg do not.
func checkAddr(a nlcase.Addr, _ bool) errno {
	size, family := a.Size, a.Family
	if size == 0 {
		size = sizeofSockaddr
	}
	if size < sizeofSockaddr || family != 0 && family != afNetlink {
		return nlmsg.EINVAL
	}
	return 0
}

const afNetlink = 16

// Connect is connect(2) (net/netlink/af_netlink.c netlink_connect).
func (sk *Socket) Connect(a nlcase.Addr) errno {
	defer sk.k.enter("netlink_connect")()
	if a.Size != 0 && a.Size < 2 {
		return nlmsg.EINVAL
	}
	if a.Family == nlcase.AFUnspec {
		sk.k.nlTable.Lock()
		sk.dstPortid, sk.dstGroup = 0, 0
		sk.k.nlTable.Unlock()
		return 0
	}
	if e := checkAddr(a, false); e != 0 {
		return e
	}
	if (a.Groups != 0 || a.Pid != 0) && !sk.netlinkAllowed(cfgNonrootSend, sk.task) {
		return nlmsg.EPERM
	}
	if e := sk.bindIfNot(); e != 0 {
		return e
	}
	sk.k.nlTable.Lock()
	sk.dstPortid, sk.dstGroup = a.Pid, uint32(bits.TrailingZeros32(a.Groups)+1)
	if a.Groups == 0 {
		sk.dstGroup = 0
	}
	sk.k.nlTable.Unlock()
	return 0
}

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
	sk.k.nlTable.RLock()
	defer sk.k.nlTable.RUnlock()
	a := nlcase.Addr{Pid: sk.portid}
	if len(sk.groups) > 0 {
		a.Groups = uint32(sk.groups[0])
	}
	return a, 0
}

// Close is close(2) (net/netlink/af_netlink.c netlink_release).
func (sk *Socket) Close() errno {
	k := sk.k
	defer k.enter("netlink_release")()
	sk.mu.Lock()
	if sk.closed {
		sk.mu.Unlock()
		return nlmsg.EBADF
	}
	sk.closed = true
	queue := sk.queue
	sk.queue = nil
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
	for _, skb := range queue {
		skb.free()
	}
	sk.wake()
	if p.unbind != nil {
		for w, x := range groups {
			for ; x != 0; x &= x - 1 {
				p.unbind(sk.net, uint32(w*64+bits.TrailingZeros64(x)+1))
			}
		}
	}
	sk.cbMutex.Lock()
	if sk.cbRunning.Load() {
		if sk.cb.done != nil {
			sk.cb.done(sk.cb)
		}
		sk.cb = nil
		sk.cbRunning.Store(false)
	}
	sk.cbMutex.Unlock()
	if p.release != nil {
		p.release(sk)
	}
	return 0
}

// wake has all that wait for the socket look again.
func (sk *Socket) wake() {
	sk.mu.Lock()
	if sk.room != nil {
		close(sk.room)
		sk.room = nil
	}
	if sk.ready != nil {
		close(sk.ready)
		sk.ready = nil
	}
	sk.mu.Unlock()
}

func (sk *Socket) has(q quirk) bool { return sk.k.has(q) }
