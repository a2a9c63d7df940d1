package emulated

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Kernel is a kernel's netlink core: the protocols, their sockets and the state
// that they answer from, in any number of network namespaces. New boots one. It can
// be used by any number of goroutines.
//
// Locks are taken in this order, as in the kernel: a socket's cbMutex, cbLock,
// genlMutex, rtnlMutex, nlTable, a socket's mu.
type Kernel struct {
	version version
	quirks  [nQuirks]bool
	trace   *tracer // nil for none

	nlTable   sync.RWMutex // nl_table_lock: guards protocols, sockets and what Socket says
	protocols [maxLinks]protocol
	sockets   map[sockKey]*Socket

	rtnlMutex    sync.Mutex // guards what rtnetlink answers from, of every namespace
	rtnlHandlers map[handlerKey]rtnlLink
	linkOps      []*rtnlLinkOps
	afOps        []*rtnlAfOps
	vlans        map[*netDevice][]*netDevice // by the link that they are on
	macvlans     map[*netDevice][]*netDevice // by the link that they share
	lastAddr     uint32                      // of an Ethernet link
	iflaPolicy   policy
	notifiers    []netdevNotifier // netdev_chain
	works        []func()         // of schedule_work: to be done once the lock is free

	inetaddrChain          []inetaddrNotifier
	ifaPolicy4, ifaPolicy6 policy
	netconf4, netconf6     *netconf

	cbLock    sync.RWMutex // guards families
	genlMutex sync.Mutex   // one operation of a family that is not parallel at a time
	families  map[uint16]*genlFamily
	genlGroup uint32 // that the next family's groups begin with

	pernet  []pernetOperations
	nets    sync.Mutex // guards ino and allNets
	ino     int
	allNets map[*netns]struct{}

	init    *task // the kernel's own
	initNet *netns
}

// pernetOperations are run for each namespace (include/net/net_namespace.h struct
// pernet_operations).
type pernetOperations struct {
	name string
	init func(*netns) errno
	exit func(*netns)
}

// New boots a kernel that answers as release does: "6.12", which is the newest of
// its series, or "6.12.94". It is an error where nothing is known of the series; see
// Series.
func New(release string) (*Kernel, error) { return boot(release, nil) }

// boot is New with what Trace sets.
func boot(release string, trace *tracer) (*Kernel, error) {
	v, err := parseVersion(release)
	if err == nil {
		err = v.known()
	}
	if err != nil {
		return nil, err
	}
	k := &Kernel{
		version:      v,
		trace:        trace,
		sockets:      map[sockKey]*Socket{},
		rtnlHandlers: map[handlerKey]rtnlLink{},
		families:     map[uint16]*genlFamily{},
		vlans:        map[*netDevice][]*netDevice{},
		macvlans:     map[*netDevice][]*netDevice{},
		allNets:      map[*netns]struct{}{},
	}
	for q := range k.quirks {
		k.quirks[q] = quirks[q].holds(v)
	}
	k.init = &task{k: k, caps: true, user: &userNS{}}
	k.initcalls()
	k.initNet = k.newNetns(k.init.user)
	return k, nil
}

// initcalls are what the kernel's register, in their order (include/linux/init.h).
func (k *Kernel) initcalls() {
	k.netNsInit()
	k.netlinkProtoInit() // core_initcall
	k.genlInit()
	k.genlBuiltin()
	k.usersockInit()
	k.subsystems()
}

// netlinkProtoInit is net/netlink/af_netlink.c netlink_proto_init.
func (k *Kernel) netlinkProtoInit() {
	defer k.enter("netlink_proto_init")()
	k.rtnetlinkInit()
}

// registerPernetSubsys is net/core/net_namespace.c register_pernet_subsys.
func (k *Kernel) registerPernetSubsys(ops pernetOperations) {
	defer k.enter("register_pernet_subsys")()
	for _, o := range k.pernet {
		if o.name == ops.name {
			panic("emulated: " + ops.name + " is registered twice")
		}
	}
	k.pernet = append(k.pernet, ops)
}

// usersockInit makes the entries of protocols that users talk to each other with, or
// that only exist (net/netlink/af_netlink.c netlink_add_usersock_entry,
// lib/kobject_uevent.c uevent_net_init, net/ipv4/fib_frontend.c nl_fib_lookup_init).
func (k *Kernel) usersockInit() {
	k.protocols[nlmsg.Usersock] = protocol{netlinkKernelCfg{groups: 32, flags: cfgNonrootSend}, 1, map[*Socket]struct{}{}}
	k.registerPernetSubsys(pernetOperations{name: "uevent", init: func(n *netns) errno {
		k.netlinkKernelCreate(n, nlmsg.Uevent, netlinkKernelCfg{groups: 1, flags: cfgNonrootRecv, input: k.ueventNetRcv})
		return 0
	}})
	k.registerPernetSubsys(pernetOperations{name: "fib_lookup", init: func(n *netns) errno {
		k.netlinkKernelCreate(n, nlmsg.FibLookup, netlinkKernelCfg{input: k.nlFibInput})
		return 0
	}})
}

// ueventNetRcv takes events from those who may tell of some. Nobody hears of them here
// (lib/kobject_uevent.c uevent_net_rcv, uevent_net_rcv_skb).
func (k *Kernel) ueventNetRcv(skb *skBuff) {
	k.netlinkRcvSkb(skb, func(skb *skBuff, _ *nlmsghdr, x *extAck) errno {
		if !k.netlinkNetCapable(skb) {
			x.set("missing CAP_SYS_ADMIN capability")
			return nlmsg.EPERM
		}
		return 0
	})
}

// Release is what uname -r says, of a series' newest release "6.12.999".
func (k *Kernel) Release() string { return k.version.String() }

// userNS is a user namespace (include/linux/user_namespace.h).
type userNS struct{ parent *userNS }

// above says that a namespace is user, or around it.
func (u *userNS) above(user *userNS) bool {
	for ; user != nil; user = user.parent {
		if user == u {
			return true
		}
	}
	return false
}

// task is who makes system calls: a process, and what it may do.
type task struct {
	k        *Kernel
	pid      uint32
	uid, gid uint32
	user     *userNS
	net      *netns // it is in; nil for the kernel's own

	mu   sync.Mutex
	caps bool           // it has all capabilities in user
	fds  map[int]*netns // its descriptors of namespaces
}

// has says that the task has its capabilities.
func (t *task) has() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.caps
}

// nsCapable says that the task may do to what belongs to user whatever takes a
// capability (kernel/capability.c ns_capable).
func (t *task) nsCapable(user *userNS) bool {
	return t.user.above(user) && t.has()
}

// byFd is the namespace behind a descriptor (net/core/net_namespace.c
// get_net_ns_by_fd).
func (t *task) byFd(fd int) (*netns, errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.fds[fd]; n != nil && !n.closed.Load() {
		return n, 0
	}
	if fd >= 0 && fd <= stderr {
		return nil, nlmsg.EINVAL // a file that is no namespace
	}
	return nil, nlmsg.EBADF
}

// stderr is the last of the descriptors that every process has.
const stderr = 2

// firstPid is the process ID of whoever plays a case, and firstFd its first
// descriptor of a namespace.
const (
	firstPid = 100
	firstFd  = 7
)

// pidExists says whether a process has the ID.
func (k *Kernel) pidExists(pid uint32) bool { return pid == 0 || pid == 1 || pid == firstPid }

// netns is a network namespace (include/net/net_namespace.h struct net).
type netns struct {
	k    *Kernel
	ino  int
	user *userNS

	kernelSocks []*Socket // nl_table's lock guards these
	users       map[*Socket]struct{}
	rover       int32 // the last portid that netlink_autobind made up

	calls  sync.RWMutex // held for reading by system calls on sockets of the namespace
	closed atomic.Bool  // it is being taken down; set with rtnl_mutex held

	state netState // rtnl_mutex guards it

	ids   sync.Mutex // guards peers
	peers map[int]*netns
}

// newNetns is net/core/net_namespace.c copy_net_ns.
func (k *Kernel) newNetns(user *userNS) *netns {
	k.nets.Lock()
	k.ino++
	n := &netns{k: k, ino: k.ino, user: user, users: map[*Socket]struct{}{}, peers: map[int]*netns{}}
	k.allNets[n] = struct{}{}
	k.nets.Unlock()
	for _, o := range k.pernet {
		if o.init == nil {
			continue
		}
		if err := o.init(n); err != 0 {
			panic(fmt.Sprintf("emulated: %s: cannot initialise a namespace: %v", o.name, err))
		}
	}
	return n
}

// cleanup takes a namespace down, once (net/core/net_namespace.c cleanup_net). The
// kernel waits for the last socket to be closed, and here those that are left are
// closed first.
func (k *Kernel) cleanup(n *netns) {
	k.rtnlMutex.Lock()
	again := n.closed.Swap(true)
	k.rtnlMutex.Unlock()
	if again {
		return
	}
	k.nlTable.RLock()
	var left []*Socket
	for sk := range n.users {
		left = append(left, sk)
	}
	k.nlTable.RUnlock()
	for _, sk := range left {
		sk.netlinkRelease()
	}
	// What is under way ends, and what comes finds its socket closed.
	n.calls.Lock()
	defer n.calls.Unlock()
	k.unhashNsid(n)
	for i := len(k.pernet) - 1; i >= 0; i-- {
		if o := k.pernet[i]; o.exit != nil {
			o.exit(n)
		}
	}
	k.nlTable.RLock()
	socks := n.kernelSocks
	k.nlTable.RUnlock()
	for i := len(socks) - 1; i >= 0; i-- {
		k.netlinkKernelRelease(socks[i])
	}
}

// kernelSock is the kernel's socket of a protocol.
func (n *netns) kernelSock(proto int) *Socket { return n.k.netlinkLookup(n, proto, 0) }

// forget drops a socket that is being closed; nl_table is locked.
func (n *netns) forget(sk *Socket) { delete(n.users, sk) }

// peer2id is the number that n has for another namespace
// (net/core/net_namespace.c peernet2id).
func (n *netns) peer2id(peer *netns) (id int, ok bool) {
	n.ids.Lock()
	defer n.ids.Unlock()
	for id, p := range n.peers {
		if p == peer {
			return id, true
		}
	}
	return 0, false
}

// Net calls f with a namespace that is gone when f has returned.
func (k *Kernel) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	t := &task{k: k, pid: firstPid, caps: !s.NoCaps, user: k.init.user, fds: map[int]*netns{}}
	if s.UserNS {
		t.user = &userNS{parent: k.init.user}
	}
	t.net = k.newNetns(t.user)
	n := &Netns{task: t, net: t.net}
	defer n.Close()
	f(n)
	return nil
}

// Netns is a network namespace, and the process in it that makes the calls.
type Netns struct {
	task *task
	net  *netns
	more []*Netns // that Netns made; the task's lock guards it
}

// NewNetns makes a namespace for a process with all capabilities. Close takes it
// down.
func (k *Kernel) NewNetns() *Netns {
	t := &task{k: k, pid: firstPid, caps: true, user: k.init.user, fds: map[int]*netns{}}
	t.net = k.newNetns(t.user)
	return &Netns{task: t, net: t.net}
}

// Close closes the sockets that are open in the namespace, and takes down it and
// those that Netns made.
func (n *Netns) Close() {
	n.task.mu.Lock()
	more := n.more
	n.task.mu.Unlock()
	for i := len(more) - 1; i >= 0; i-- {
		more[i].Close()
	}
	n.net.k.cleanup(n.net)
}

// Socket is socket(AF_NETLINK, typ, proto). The socket's type is *Socket.
func (n *Netns) Socket(typ, proto int) (nlcase.Socket, errno) {
	sk, err := n.open(typ, proto)
	if err != 0 {
		return nil, err
	}
	return sk, 0
}

func (n *Netns) open(typ, proto int) (*Socket, errno) {
	k := n.net.k
	sk, err := k.netlinkCreate(n.net, n.task, typ, proto)
	if err != 0 {
		return nil, err
	}
	k.nlTable.Lock()
	defer k.nlTable.Unlock()
	if n.net.closed.Load() {
		return nil, nlmsg.EBADF
	}
	n.net.users[sk] = struct{}{}
	return sk, 0
}

// Netns makes another namespace. Its descriptor is the process's.
func (n *Netns) Netns() (nlcase.Net, int, errno) {
	t := n.task
	if !t.nsCapable(t.user) {
		return nil, 0, nlmsg.EPERM
	}
	other := &Netns{task: t, net: n.net.k.newNetns(t.user)}
	t.mu.Lock()
	defer t.mu.Unlock()
	// The kernel begins anywhere: two namespaces do not have the same portids.
	other.net.rover = firstRover - 4096*int32(len(n.more)+1)
	n.more = append(n.more, other)
	fd := firstFd + len(t.fds)
	t.fds[fd] = other.net
	return other, fd, 0
}

// Drop takes all capabilities from the process.
func (n *Netns) Drop() errno {
	n.task.mu.Lock()
	n.task.caps = false
	n.task.mu.Unlock()
	return 0
}

// IfIndex is SIOCGIFINDEX (net/core/dev_ioctl.c).
func (n *Netns) IfIndex(name string) (int, errno) {
	n.net.k.rtnlMutex.Lock()
	defer n.net.k.rtnlMutex.Unlock()
	if d := n.net.devGetByName(name); d != nil {
		return d.index, 0
	}
	return 0, nlmsg.ENODEV
}

// Sleep only lets senders go on that wait: nothing here takes time.
func (n *Netns) Sleep(d time.Duration) { time.Sleep(min(d, time.Millisecond)) }

// WriteFile, Spin and Exit are for the breaking of a kernel, and are not allowed.
func (n *Netns) WriteFile(string, []byte) errno { return nlmsg.EPERM }
func (n *Netns) Spin() errno                    { return nlmsg.EPERM }
func (n *Netns) Exit() errno                    { return nlmsg.EPERM }
