package emulated

import "slices"

// netState is what a namespace answers rtnetlink from; rtnl_mutex guards it.
type netState struct {
	devs      []*netDevice // dev_base_head: in the order of their registration
	nextIndex int
	devSeq    uint32 // dev_base_seq: changes with every link

	inet  inetState
	inet6 inet6State
	fib   fibState
	fib6  fib6State
	neigh neighState
	rules rulesState
	nhs   nexthopState
	sched schedState
}

// netDevice is a link (include/linux/netdevice.h struct net_device).
type netDevice struct {
	net                    *netns
	index                  int
	name                   string
	altnames               []string
	typ                    uint16 // ARPHRD_*
	flags                  uint32 // IFF_*, without those that dev_get_flags adds
	addrLen                int
	addr                   []byte
	bcast                  []byte
	permAddr               []byte
	mtu                    uint32
	minMtu                 uint32
	maxMtu                 uint32 // 0 is none
	txqlen                 uint32
	group                  uint32
	alias                  string
	master                 *netDevice // IFLA_MASTER
	ops                    *rtnlLinkOps
	ndo                    *netDeviceOps
	txq, rxq               int
	carrier                bool
	operstate, linkmode    uint8
	carrierUp, carrierDown uint32
	promiscuity            uint32
	protoDown              bool
	qdisc, ingress         *qdisc      // its disciplines, nil for none of what arrives
	ingressQueue           bool        // it was asked for one of what arrives
	priv                   any         // of ops: a veth's peer, a bridge
	port                   *bridgePort // nil for one that is no port of a bridge
	inDev                  *inDevice   // IPv4, nil without
	in6Dev                 *inet6Dev   // IPv6, nil without
	rtnlInit               bool        // it was told of with RTM_NEWLINK

	gflags                 uint32 // IFF_PROMISC and IFF_ALLMULTI as users asked for them
	allmulti               uint32 // how many do, as promiscuity
	dormant                bool
	gsoMaxSegs, gsoMaxSize uint32
	groMaxSize             uint32
	gsoIpv4MaxSize         uint32
	groIpv4MaxSize         uint32
	tsoMaxSize, tsoMaxSegs uint32
	protoDownReason        uint32
	neededHeadroom         uint16
	neededTailroom         uint16
	netnsImmutable         bool // it stays in its namespace: NETIF_F_NETNS_LOCAL
	offloadL3              bool // hardware is to count: IFLA_STATS_SET_OFFLOAD_XSTATS_L3_STATS
	regState               regState
	uc, mc                 hwAddrs    // what it listens to beside its address, as users have said
	linkwatchPending       bool       // __LINK_STATE_LINKWATCH_PENDING
	ucPromisc              bool       // it is promiscuous for them
	ucOn                   *netDevice // that it listens on with an address of its own
	ucAddr                 []byte     // that address
}

// regState is how far the registration of a link is (include/linux/netdevice.h enum
// netdev_reg_state).
type regState uint8

const (
	netregUninitialized regState = iota
	netregRegistered
	netregUnregistering
	netregUnregistered
)

// Sizes of what a link sends at most (include/linux/netdevice.h).
const (
	gsoMaxSegs       = 65535
	gsoMaxSize       = 8 * 65535
	gsoLegacyMaxSize = 65536
)

// allocNetdevMqs is a link with what is the same for all kinds, before setup makes it
// one of a kind (net/core/dev.c alloc_netdev_mqs).
func (k *Kernel) allocNetdevMqs(name string, setup func(*netDevice), txq, rxq int) *netDevice {
	d := &netDevice{name: name, txq: txq, rxq: rxq, carrier: true, qdisc: noopQdisc,
		gsoMaxSegs: gsoMaxSegs, gsoMaxSize: gsoLegacyMaxSize, groMaxSize: gsoLegacyMaxSize,
		gsoIpv4MaxSize: gsoLegacyMaxSize, groIpv4MaxSize: gsoLegacyMaxSize,
		tsoMaxSize: gsoLegacyMaxSize, tsoMaxSegs: gsoMaxSegs}
	setup(d)
	if d.txqlen == 0 {
		d.txqlen = 1000 // DEFAULT_TX_QUEUE_LEN
	}
	return d
}

// Flags of a link (include/uapi/linux/if.h).
const (
	iffUp          = 1 << 0
	iffBroadcast   = 1 << 1
	iffDebug       = 1 << 2
	iffLoopback    = 1 << 3
	iffPointopoint = 1 << 4
	iffNotrailers  = 1 << 5
	iffRunning     = 1 << 6
	iffNoarp       = 1 << 7
	iffPromisc     = 1 << 8
	iffAllmulti    = 1 << 9
	iffMaster      = 1 << 10
	iffSlave       = 1 << 11
	iffMulticast   = 1 << 12
	iffPortsel     = 1 << 13
	iffAutomedia   = 1 << 14
	iffDynamic     = 1 << 15
	iffLowerUp     = 1 << 16
	iffDormant     = 1 << 17
	iffEcho        = 1 << 18
	iffVolatile    = iffLoopback | iffPointopoint | iffBroadcast | iffEcho | iffMaster | iffSlave | iffRunning | iffLowerUp | iffDormant
)

// Types of links (include/uapi/linux/if_arp.h).
const (
	arphrdEther    = 1
	arphrdLoopback = 772
	arphrdNetlink  = 824
	arphrdNone     = 0xfffe
)

// netdevEvent is what happened to a link (include/linux/netdevice.h enum
// netdev_cmd).
type netdevEvent int

const (
	netdevUp netdevEvent = 1 + iota
	netdevDown
	netdevReboot
	netdevChange
	netdevRegister
	netdevUnregister
	netdevChangemtu
	netdevChangeaddr
	netdevPreChangeaddr
	netdevGoingDown
	netdevChangename
	netdevFeatChange
	netdevPreUp
	netdevPreTypeChange
	netdevPostTypeChange
	netdevPostInit
	netdevRelease
	netdevNotifyPeers
	netdevJoin
	netdevChangeupper
	netdevPrechangeupper
	netdevChangelowerstate
	netdevChangeTxQueueLen
	netdevPrechangemtu
	netdevChangeinfodata
)

// netdevNotifier hears what happens to links. An error of one that is asked before
// something happens keeps it from happening.
type netdevNotifier func(e netdevEvent, d *netDevice, x *extAck) errno

// callNetdevice tells all that have registered for it, in their order
// (net/core/dev.c call_netdevice_notifiers).
func (k *Kernel) callNetdevice(e netdevEvent, d *netDevice, x *extAck) errno {
	for _, f := range k.notifiers {
		if err := f(e, d, x); err != 0 {
			return err
		}
	}
	return 0
}

// devGetByName finds a link by its name or one of its others (net/core/dev.c
// __dev_get_by_name).
func (n *netns) devGetByName(name string) *netDevice {
	for _, d := range n.state.devs {
		if d.name == name || slices.Contains(d.altnames, name) {
			return d
		}
	}
	return nil
}

// devGetByIndex is net/core/dev.c __dev_get_by_index.
func (n *netns) devGetByIndex(index int) *netDevice {
	for _, d := range n.state.devs {
		if d.index == index {
			return d
		}
	}
	return nil
}

// devNewIndex is net/core/dev.c dev_new_index.
func (n *netns) devNewIndex() int {
	for {
		n.state.nextIndex++
		if n.devGetByIndex(n.state.nextIndex) == nil {
			return n.state.nextIndex
		}
	}
}
