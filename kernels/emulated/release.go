package emulated

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// version is a release: 6.12.94. A series stands for its newest release.
type version [3]int

// newestOfSeries is the last number of a series' newest release, as emulated: it has
// all that was ever brought back to the series, and is beyond any bound of a case.
const newestOfSeries = 999

// known are the series that can be emulated, by their first number: from and to.
var known = map[int][2]int{5: {10, 19}, 6: {0, 19}, 7: {0, 3}}

// Series are those that New takes, from the oldest: "5.10".
func Series() (all []string) {
	for _, major := range slices.Sorted(maps.Keys(known)) {
		for minor := known[major][0]; minor <= known[major][1]; minor++ {
			all = append(all, fmt.Sprintf("%d.%d", major, minor))
		}
	}
	return all
}

func parseVersion(s string) (v version, err error) {
	parts := strings.Split(s, ".")
	if len(parts) == 2 {
		parts = append(parts, strconv.Itoa(newestOfSeries))
	}
	ok := len(parts) == 3
	for i := 0; ok && i < 3; i++ {
		var n uint64
		n, err = strconv.ParseUint(parts[i], 10, 16)
		v[i], ok = int(n), err == nil
	}
	if !ok {
		return v, fmt.Errorf("emulated: release %q: want a series (6.12) or a release (6.12.94)", s)
	}
	return v, nil
}

// known is an error for a release that nothing is known of.
func (v version) known() error {
	if r, ok := known[v[0]]; !ok || v[1] < r[0] || v[1] > r[1] {
		var ranges []string
		for _, major := range slices.Sorted(maps.Keys(known)) {
			ranges = append(ranges, fmt.Sprintf("%d.%d to %d.%d", major, known[major][0], major, known[major][1]))
		}
		return fmt.Errorf("emulated: release %s is none of those known: %s", v, strings.Join(ranges, ", "))
	}
	return nil
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// quirk is a difference between releases.
type quirk int

// since are the releases that a difference begins with: one of the mainline, and
// those of older series that it was brought back to.
type since struct {
	from []string
	// what: the kernel function, and what it does from then on.
	what string
}

// has says that the kernel is of a release that q is in.
func (k *Kernel) has(q quirk) bool { return k.quirks[q] }

// holds: a release has it if it is not before the one that its own series begins
// with, or, where none is named of its series, not before the first of the
// mainline, which is the last in the list.
func (s since) holds(v version) bool {
	for i, text := range s.from {
		w := mustVersion(text)
		if last := i == len(s.from)-1; v[0] == w[0] && v[1] == w[1] || last {
			return !v.before(w)
		}
	}
	return false
}

// mustVersion reads a release of the table: 6.9 is 6.9.0.
func mustVersion(s string) (v version) {
	if strings.Count(s, ".") == 1 {
		s += ".0"
	}
	v, err := parseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// The differences, in the order of the table.
const (
	rmemCountsItself quirk = iota
	dumpEmsgsize
	bulkDel
	genlChecksHeader
	linkParentDev
	linkNewIfindex
	linkGroMax
	linkTsoMax
	linkAllmulti
	linkDevlinkPort
	linkGsoIpv4
	linkDpllPin
	linkWithoutRtnl
	linkSkipStats
	linkPacingHorizon
	linkNetnsImmutable
	linkHeadroom
	linkNamesFirst
	linkEcho
	dumpByIndex
	dumpWithoutMaster
	rxOtherhostDropped
	arpEvictNocarrier
	raDefrtrMetric
	ioam6
	ndiscEvictNocarrier
	tempValidLftTwoDays
	forceForwarding
	ipReasmOverlaps
	icmpRatelimitHost
	ndaExtFlags
	ndaFdbFlush
	ndaExtValidated
	pneighKept
	neighGetRcu
	neighDumpReturn
	intervalProbe
	intervalProbeRange
	rtmNexthopBucket
	rtmTunnel
	statsFilterAttrs
	statsGetMessage
	gsoMaxSizeChecked
	txqlenChecked
	txqlenRange
	dumpExtAck
	dumpSplitDone
	nsidDumpEnds
	operstateOfPeer
	renameWhileUp
	dellinkEcho
	echoAsked
	newlinkKindFirst
	newlinkValidatesLink
	createValidates
	gsoValidated
	peerChecked
	dellinkAltname
	emptyNameRefused
	loNotReject
	mdbOfLinks
	mdbGet
	masterFirst
	moveSays
	rxModeLater
	wgTsoMax
	macvlanBcQueue
	macvlanCutoff
	moveNamesLate
	dellinkTarget
	vlanDownByFlags
	genlSplitOps
	genlDumpDone
	genlPolicyOpZero
	genlPolicyOpRight
	genlBindChecks
	dumpStartExtack
	skbSmallHead
	rtnetlinkSendNotifies
	qdiscDumpByLink
	qdiscMustMatch
	qdiscIngressFreed
	bufMax4M
	reuseportInet
	listenAllNsidTold
	addrProto
	addrExtAck
	inetValidateFirst
	inet6ValidateFirst
	inetReplaceProto
	addrDumpReturn
	inet6LinkDumpReturn
	addrlabelDumpReturn
	netconfEnodev
	ifmcaddrDump
	mcNotify
	mcUsers
	groupsOfStats
	ruleDumpErr
	ruleDscp
	ruleFlowlabel
	ruleMasks
	tosIsDscp
	routeNoNetBroadcast
	routeSrcGone
	nexthopHostScope
	nexthopPolicies
	routeDumpErr
	fibMatchTos
	tcpUsecTs
	nexthopResilient
	nexthopBlackholeStays
	nexthopStats
	nexthopDumpErr
	nexthopWeight16
	nexthopRespGrp
	nexthopHwStatsOnce
	routePrefixEarly
	fdbFlagsExt
	fdbExtLearnBridge
	fdbDelUnknownVlan
	fdbNotified
	fdbBulkByDriver
	brportEht
	brportLocked
	brportMab
	brportMcastGroups
	brportNeighVlan
	brportBackupNhid
	brportNeighForwardGrat
	brQuerierState
	brFdbLearned
	brStpMode
	boolMcastVlan
	bridgeMst
	boolMdbOffload
	boolFdbLocalVlan
	brAfSpecEmpty
	fdbLocalAtInit
	brFeaturesLate
	validateLinkAfExtAck
	inet6RaMtu
	iftokenExtAck
	inetDevconfPolicy
	inetConfNotNested
	boolUnknown
	stpInNetns
	queryIntvlMin
	bridgeCfm
	nQuirks
)

// quirks is all that differs between releases.
var quirks = [nQuirks]since{
	rmemCountsItself: {[]string{"5.10.251", "6.1.148", "6.12.42", "6.17"},
		"net/netlink/af_netlink.c netlink_attachskb, netlink_broadcast_deliver: what a datagram takes itself is counted before it is let in"},
	dumpEmsgsize: {[]string{"6.9"},
		"net/netlink/af_netlink.c netlink_dump: EMSGSIZE after something was put means that there is more"},
	bulkDel: {[]string{"5.10.251", "5.19"},
		"net/core/rtnetlink.c rtnetlink_rcv_msg: NLM_F_BULK of a deletion is refused where it is not supported"},
	genlChecksHeader: {[]string{"6.1"},
		"net/netlink/genetlink.c genl_header_check: looks at the reserved field and at the flags"},
	linkParentDev: {[]string{"5.14"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_PARENT_DEV_NAME and _BUS_NAME"},
	linkNewIfindex: {[]string{"5.13"},
		"net/core/rtnetlink.c ifla_policy: IFLA_NEW_IFINDEX may be set"},
	linkGroMax: {[]string{"5.17"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_GRO_MAX_SIZE"},
	linkTsoMax: {[]string{"5.19"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_TSO_MAX_SIZE and _SEGS"},
	linkAllmulti: {[]string{"6.0"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_ALLMULTI"},
	linkDevlinkPort: {[]string{"6.2"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_DEVLINK_PORT"},
	linkGsoIpv4: {[]string{"6.3"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_GSO_IPV4_MAX_SIZE and IFLA_GRO_IPV4_MAX_SIZE"},
	linkDpllPin: {[]string{"6.7"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_DPLL_PIN"},
	linkWithoutRtnl: {[]string{"6.10"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_QDISC and IFLA_MAP are put where rcu_read_lock is held"},
	linkSkipStats: {[]string{"6.19"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: RTEXT_FILTER_SKIP_STATS leaves out IFLA_STATS and IFLA_STATS64"},
	linkPacingHorizon: {[]string{"6.13"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_MAX_PACING_OFFLOAD_HORIZON"},
	linkNetnsImmutable: {[]string{"6.15"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_NETNS_IMMUTABLE"},
	linkHeadroom: {[]string{"6.18"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_HEADROOM and IFLA_TAILROOM"},
	linkNamesFirst: {[]string{"7.2"},
		"net/core/rtnetlink.c rtnl_fill_ifinfo: IFLA_IFNAME and IFLA_PROP_LIST are first, and alone with RTEXT_FILTER_NAME_ONLY"},
	linkEcho: {[]string{"6.2"},
		"net/core/rtnetlink.c rtmsg_ifinfo_build_skb: a notification has the portid and seq of the request, and NLM_F_ECHO is honoured"},
	dumpByIndex: {[]string{"6.10"},
		"net/core/rtnetlink.c rtnl_dump_ifinfo: for_each_netdev_dump in place of the hash table"},
	dumpWithoutMaster: {[]string{"5.18"},
		"net/core/rtnetlink.c link_master_filtered: IFLA_MASTER of -1 is for links without a master"},
	rxOtherhostDropped: {[]string{"5.19"},
		"include/uapi/linux/if_link.h struct rtnl_link_stats64: rx_otherhost_dropped"},
	arpEvictNocarrier: {[]string{"5.16"},
		"include/uapi/linux/ip.h IPV4_DEVCONF_ARP_EVICT_NOCARRIER"},
	raDefrtrMetric: {[]string{"5.12"},
		"include/uapi/linux/ipv6.h DEVCONF_RA_DEFRTR_METRIC"},
	ioam6: {[]string{"5.15"},
		"include/uapi/linux/ipv6.h DEVCONF_IOAM6_ENABLED, _ID and _ID_WIDE"},
	ndiscEvictNocarrier: {[]string{"5.16"},
		"include/uapi/linux/ipv6.h DEVCONF_NDISC_EVICT_NOCARRIER"},
	tempValidLftTwoDays: {[]string{"7.0"},
		"include/net/addrconf.h TEMP_VALID_LIFETIME: two days, which were seven"},
	forceForwarding: {[]string{"6.17"},
		"include/uapi/linux/ipv6.h DEVCONF_FORCE_FORWARDING"},
	ipReasmOverlaps: {[]string{"6.7"},
		"include/uapi/linux/snmp.h IPSTATS_MIB_MAX: one more counter"},
	icmpRatelimitHost: {[]string{"6.1", "6.3"},
		"include/uapi/linux/snmp.h ICMP6_MIB_MAX: one more counter"},
	ndaExtFlags: {[]string{"5.16"},
		"net/core/neighbour.c neigh_add, neigh_fill_info, net/bridge/br_fdb.c fdb_fill_info: NDA_FLAGS_EXT, and NTF_USE updates"},
	ndaFdbFlush: {[]string{"5.19"},
		"net/core/neighbour.c nda_policy, net/core/rtnetlink.c rtnl_fdb_del: NLM_F_BULK, NDA_NDM_STATE_MASK and NDA_NDM_FLAGS_MASK"},
	ndaExtValidated: {[]string{"6.17"},
		"net/core/neighbour.c neigh_add: NTF_EXT_VALIDATED"},
	pneighKept: {[]string{"6.1.149", "6.6.103", "6.12.44", "6.16.4", "6.17"},
		"net/core/neighbour.c pneigh_ifdown_and_unlock: a permanent proxy outlives its carrier"},
	neighGetRcu: {[]string{"6.17"},
		"net/core/neighbour.c neigh_valid_get_req: the link before the attributes, the table after them, and NDA_DST as a missing attribute"},
	neighDumpReturn: {[]string{"6.10"},
		"net/core/neighbour.c neigh_dump_info: returns 0 at its end"},
	intervalProbe: {[]string{"6.0"},
		"net/core/neighbour.c neightbl_fill_parms, neightbl_set: NDTPA_INTERVAL_PROBE_TIME_MS"},
	intervalProbeRange: {[]string{"7.2"},
		"net/core/neighbour.c nl_ntbl_parm_policy: NDTPA_INTERVAL_PROBE_TIME_MS has bounds"},
	rtmNexthopBucket: {[]string{"5.13"},
		"include/uapi/linux/rtnetlink.h RTM_MAX: RTM_NEWNEXTHOPBUCKET"},
	rtmTunnel: {[]string{"5.18"},
		"include/uapi/linux/rtnetlink.h RTM_MAX: RTM_NEWTUNNEL"},
	statsFilterAttrs: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_stats_get_parse: attributes filter, and RTM_SETSTATS has hardware count"},
	statsGetMessage: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_stats_get: an ext ack for a filter mask of 0"},
	nsidDumpEnds: {[]string{"6.9"},
		"net/core/net_namespace.c rtnl_net_dumpid: returns 0 at its end"},
	operstateOfPeer: {[]string{"5.14"},
		"net/core/link_watch.c default_operstate: a link is IF_OPER_LOWERLAYERDOWN only where the one below has no carrier"},
	renameWhileUp: {[]string{"6.2"},
		"net/core/dev.c dev_change_name: a link that is up may be renamed"},
	dellinkEcho: {[]string{"6.1.170", "6.2"},
		"net/core/rtnetlink.c rtnl_delete_link: passes on who asked"},
	newlinkKindFirst: {[]string{"6.13"},
		"net/core/rtnetlink.c rtnl_newlink, rtnl_setlink: the kind and the namespaces are looked up before the link"},
	createValidates: {[]string{"6.1.34", "6.4"},
		"net/core/rtnetlink.c rtnl_create_link: validate_linkmsg looks at a new link too"},
	gsoValidated: {[]string{"6.4"},
		"net/core/rtnetlink.c validate_linkmsg: looks at the sizes of what is sent at once"},
	peerChecked: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_nla_parse_ifinfomsg: a peer's ifindex is not negative"},
	dellinkAltname: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_dellink: ENODEV for an alternative name that nobody has"},
	emptyNameRefused: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_newlink_create: an IFLA_IFNAME without a name is no name to make up"},
	loNotReject: {[]string{"5.10.262", "6.1.192", "6.12.118", "7.0"},
		"net/ipv6/route.c fib6_nh_init: a nexthop over the loopback is looked at as any other"},
	mdbOfLinks: {[]string{"6.4"},
		"net/core/rtnetlink.c rtnl_mdb_add: multicast groups are for any link that has operations for them"},
	mdbGet: {[]string{"6.7"},
		"net/core/rtnetlink.c rtnl_mdb_get: one group"},
	masterFirst: {[]string{"6.2"},
		"net/core/rtnetlink.c do_setlink: IFLA_MASTER before the flags"},
	moveNamesLate: {[]string{"5.15.137", "6.1.60", "6.5.9", "6.6"},
		"net/core/dev.c __dev_change_net_namespace: RTM_DELLINK has the name that the link had"},
	dellinkTarget: {[]string{"5.18"},
		"net/core/rtnetlink.c rtnl_dellink: a name is one of the namespace of IFLA_TARGET_NETNSID"},
	macvlanBcQueue: {[]string{"5.11"},
		"drivers/net/macvlan.c macvlan_fill_info: IFLA_MACVLAN_BC_QUEUE_LEN"},
	macvlanCutoff: {[]string{"6.4"},
		"drivers/net/macvlan.c macvlan_fill_info: IFLA_MACVLAN_BC_CUTOFF"},
	rxModeLater: {[]string{"7.2"},
		"net/core/dev.c __dev_set_rx_mode: is done later, by a worker"},
	wgTsoMax: {[]string{"6.13"},
		"drivers/net/wireguard/device.c wg_setup: netif_set_tso_max_size"},
	moveSays: {[]string{"6.12"},
		"net/core/dev.c __dev_change_net_namespace: words for what is wrong"},
	vlanDownByFlags: {[]string{"7.2"},
		"net/8021q/vlan.c vlan_device_event: VLANs are taken down by their flags"},
	echoAsked: {[]string{"6.3"},
		"net/core/rtnetlink.c rtmsg_ifinfo_build_skb: a notification names who asked only with NLM_F_ECHO"},
	genlSplitOps: {[]string{"6.2"},
		"net/netlink/genetlink.c genl_get_cmd: an operation that cannot do what is asked is missing, whoever asks; genl_ctrl_ops: the dump of families is validated"},
	genlDumpDone: {[]string{"6.10"},
		"net/netlink/genetlink.c ctrl_dumpfamily: the NLMSG_DONE is in the datagram of the last families"},
	genlPolicyOpZero: {[]string{"6.2"},
		"net/netlink/genetlink.c ctrl_dumppolicy_put_op: an operation that only dumps is listed as operation 0"},
	genlPolicyOpRight: {[]string{"6.12.113", "7.2.9"},
		"net/netlink/genetlink.c ctrl_dumppolicy_put_op: it is listed as itself again"},
	genlBindChecks: {[]string{"5.12"},
		"net/netlink/genetlink.c genl_bind: some groups take CAP_NET_ADMIN"},
	dumpStartExtack: {[]string{"6.2"},
		"net/netlink/af_netlink.c __netlink_dump_start: what a start says of its error is told"},
	gsoMaxSizeChecked: {[]string{"6.1"},
		"net/core/rtnetlink.c ifla_policy: IFLA_GSO_MAX_SIZE is more than MAX_TCP_HEADER"},
	txqlenRange: {[]string{"6.1.190", "6.12.111", "7.2.9", "7.3"},
		"net/core/dev.c dev_change_tx_queue_len: no more than 32767"},
	txqlenChecked: {[]string{"6.12.111", "7.2.9", "7.3"},
		"net/core/rtnetlink.c ifla_policy: IFLA_TXQLEN is no more than 32767"},
	dumpExtAck: {[]string{"6.10"},
		"net/netlink/af_netlink.c netlink_dump_done: all of the ext ack, not its message alone"},
	dumpSplitDone: {[]string{"6.10"},
		"net/core/rtnetlink.c rtnl_dumpit: RTNL_FLAG_DUMP_SPLIT_NLM_DONE"},
	skbSmallHead: {[]string{"6.3"},
		"net/core/skbuff.c kmalloc_reserve: small skbs are from skb_small_head_cache"},
	rtnetlinkSendNotifies: {[]string{"5.15"},
		"net/core/rtnetlink.c rtnetlink_send: a notification is for who asked, too"},
	qdiscDumpByLink: {[]string{"7.2"},
		"net/sched/sch_api.c tc_dump_qdisc: tcm_ifindex is heard"},
	qdiscMustMatch: {[]string{"6.16"},
		"net/sched/sch_api.c tc_modify_qdisc, tc_get_qdisc: an ext ack says what is wrong with the kind"},
	qdiscIngressFreed: {[]string{"6.1"},
		"net/sched/sch_api.c qdisc_graft: a discipline of what arrives is told of without its last reference"},
	bufMax4M: {[]string{"6.18"},
		"net/core/sock.c sysctl_rmem_max, sysctl_wmem_max: 4 MiB"},
	reuseportInet: {[]string{"6.1"},
		"net/core/sock.c sk_setsockopt: SO_REUSEPORT is for sockets of the Internet"},
	listenAllNsidTold: {[]string{"6.6"},
		"net/netlink/af_netlink.c netlink_getsockopt: NETLINK_LISTEN_ALL_NSID"},
	addrProto: {[]string{"5.18"},
		"net/ipv4/devinet.c inet_fill_ifaddr, net/ipv6/addrconf.c inet6_fill_ifaddr: IFA_PROTO"},
	addrExtAck: {[]string{"6.6"},
		"net/ipv4/devinet.c inet_rtm_newaddr, net/ipv6/addrconf.c inet6_rtm_newaddr and what they call: errors have texts"},
	inetValidateFirst: {[]string{"6.13"},
		"net/ipv4/devinet.c inet_validate_rtm: lifetimes and an address of 0 before the link"},
	inet6ValidateFirst: {[]string{"6.14"},
		"net/ipv6/addrconf.c inet6_rtm_newaddr: lifetimes before the link"},
	inetReplaceProto: {[]string{"6.8"},
		"net/ipv4/devinet.c inet_rtm_newaddr: NLM_F_REPLACE sets IFA_PROTO"},
	addrDumpReturn: {[]string{"6.9"},
		"net/ipv4/devinet.c inet_dump_ifaddr, inet_netconf_dump_devconf, net/ipv6/addrconf.c inet6_dump_addr, inet6_netconf_dump_devconf: return 0 at their end"},
	inet6LinkDumpReturn: {[]string{"6.9"},
		"net/ipv6/addrconf.c inet6_dump_ifinfo: returns 0 at its end"},
	addrlabelDumpReturn: {[]string{"6.10"},
		"net/ipv6/addrlabel.c ip6addrlbl_dump: returns 0 at its end"},
	netconfEnodev: {[]string{"6.9"},
		"net/ipv4/devinet.c inet_netconf_get_devconf: ENODEV for a link that is not there"},
	ifmcaddrDump: {[]string{"6.15"},
		"net/ipv4/devinet.c inet_dump_ifmcaddr: RTM_GETMULTICAST of AF_INET"},
	mcNotify: {[]string{"6.14"},
		"net/ipv4/igmp.c inet_ifmcaddr_notify, net/ipv6/mcast.c inet6_ifmcaddr_notify: RTNLGRP_IPV4_MCADDR and RTNLGRP_IPV6_MCADDR"},
	mcUsers: {[]string{"7.3"},
		"net/ipv4/igmp.c inet_fill_ifmcaddr, net/ipv6/addrconf.c inet6_fill_ifmcaddr: how many users there are"},
	groupsOfStats: {[]string{"5.18"},
		"include/uapi/linux/rtnetlink.h RTNLGRP_STATS: three more groups"},
	ruleDumpErr: {[]string{"6.10"},
		"net/core/fib_rules.c fib_nl_dumprule: returns 0 at its end, and the NLMSG_DONE is in the last datagram"},
	ruleDscp: {[]string{"6.12"},
		"net/core/fib_rules.c fib_rule_policy: FRA_DSCP"},
	ruleFlowlabel: {[]string{"6.14"},
		"net/core/fib_rules.c fib_rule_policy, net/ipv6/route.c rtm_ipv6_policy: FRA_FLOWLABEL, RTA_FLOWLABEL"},
	ruleMasks: {[]string{"6.15"},
		"net/core/fib_rules.c fib_rule_policy: FRA_SPORT_MASK, FRA_DPORT_MASK, FRA_DSCP_MASK"},
	tosIsDscp: {[]string{"5.18"},
		"net/ipv4/fib_frontend.c rtm_to_fib_config, net/ipv4/fib_rules.c fib4_rule_configure: a TOS with the bits of ECN is refused"},
	routeNoNetBroadcast: {[]string{"5.14"},
		"net/ipv4/fib_frontend.c fib_add_ifaddr: the lowest address of a subnet is no broadcast"},
	routeSrcGone: {[]string{"5.10.199", "5.15.137", "6.1.60", "6.6"},
		"net/ipv4/fib_trie.c fib_table_flush: tells of routes whose source address is gone"},
	nexthopHostScope: {[]string{"6.0"},
		"net/ipv4/fib_semantics.c fib_check_nh_nongw: the scope of a nexthop without a gateway is that of the host"},
	nexthopPolicies: {[]string{"5.12"},
		"net/ipv4/nexthop.c rtm_nh_policy_new, rtm_nh_policy_get, rtm_nh_policy_dump: a policy for each request"},
	routeDumpErr: {[]string{"6.9"},
		"net/ipv4/fib_frontend.c inet_dump_fib: returns 0 at its end"},
	fibMatchTos: {[]string{"6.11"},
		"net/ipv4/route.c inet_rtm_getroute: RTM_F_FIB_MATCH gives the TOS of the route"},
	tcpUsecTs: {[]string{"6.7"},
		"include/uapi/linux/rtnetlink.h RTAX_FEATURE_MASK: RTAX_FEATURE_TCP_USEC_TS"},
	nexthopResilient: {[]string{"5.13"},
		"net/ipv4/nexthop.c: resilient groups and their buckets"},
	nexthopBlackholeStays: {[]string{"5.10.24", "5.12"},
		"net/ipv4/nexthop.c nexthop_flush_dev: a blackhole does not go with lo when that is down"},
	nexthopStats: {[]string{"6.9"},
		"net/ipv4/nexthop.c rtm_nh_policy_get: NHA_OP_FLAGS, and statistics of groups"},
	nexthopDumpErr: {[]string{"6.1.47", "6.5"},
		"net/ipv4/nexthop.c rtm_dump_nexthop: returns 0 at its end"},
	nexthopWeight16: {[]string{"6.1.192", "6.12"},
		"net/ipv4/nexthop.c nh_check_attr_group: a weight has 16 bits"},
	nexthopHwStatsOnce: {[]string{"6.12.90", "6.19.14", "7.0"},
		"net/ipv4/nexthop.c nla_put_nh_group: NHA_HW_STATS_ENABLE is not there twice"},
	routePrefixEarly: {[]string{"5.10.251", "6.1"},
		"net/ipv4/fib_frontend.c inet_rtm_delroute: looks at the prefix before the table"},
	nexthopRespGrp: {[]string{"6.12"},
		"net/ipv4/nexthop.c nla_put_nh_group: NHA_OP_FLAGS tells that a weight has 16 bits"},
	fdbFlagsExt: {[]string{"6.2"},
		"net/bridge/br_fdb.c fdb_fill_info, br_fdb_add: NDA_FLAGS_EXT, and no entry that is locked"},
	fdbExtLearnBridge: {[]string{"5.15"},
		"net/bridge/br_fdb.c __br_fdb_add: NTF_EXT_LEARNED of the bridge itself has to be permanent"},
	fdbDelUnknownVlan: {[]string{"6.13"},
		"net/bridge/br_fdb.c br_fdb_del: of a VLAN that is not there"},
	fdbNotified: {[]string{"6.13"},
		"net/core/rtnetlink.c rtnl_fdb_add, rtnl_fdb_del: do not tell what a bridge has told"},
	fdbBulkByDriver: {[]string{"6.7"},
		"net/core/rtnetlink.c rtnl_fdb_del: the driver looks at the attributes of a bulk deletion"},
	brportEht: {[]string{"5.12"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT and _CNT"},
	brportLocked: {[]string{"5.18"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_LOCKED"},
	brportMab: {[]string{"6.2"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_MAB"},
	brportMcastGroups: {[]string{"6.3"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_MCAST_N_GROUPS and _MAX_GROUPS"},
	brportNeighVlan: {[]string{"6.4"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_NEIGH_VLAN_SUPPRESS"},
	brportBackupNhid: {[]string{"6.6"},
		"net/bridge/br_netlink.c br_setport: IFLA_BRPORT_BACKUP_NHID"},
	brportNeighForwardGrat: {[]string{"7.2"},
		"net/bridge/br_netlink.c br_port_fill_attrs: IFLA_BRPORT_NEIGH_FORWARD_GRAT"},
	brQuerierState: {[]string{"5.15"},
		"net/bridge/br_netlink.c br_policy: IFLA_BR_MCAST_QUERIER_STATE"},
	brFdbLearned: {[]string{"6.8"},
		"net/bridge/br_netlink.c br_fill_info: IFLA_BR_FDB_N_LEARNED and _MAX_LEARNED"},
	brStpMode: {[]string{"7.1"},
		"net/bridge/br_netlink.c br_fill_info, br_changelink: IFLA_BR_STP_MODE"},
	boolMcastVlan: {[]string{"5.15"},
		"net/bridge/br.c br_boolopt_toggle: BR_BOOLOPT_MCAST_VLAN_SNOOPING"},
	bridgeMst: {[]string{"5.18"},
		"net/bridge/br.c br_boolopt_toggle, net/bridge/br_netlink.c br_afspec: multiple spanning trees"},
	boolMdbOffload: {[]string{"6.16"},
		"net/bridge/br.c br_boolopt_toggle: BR_BOOLOPT_MDB_OFFLOAD_FAIL_NOTIFICATION"},
	boolFdbLocalVlan: {[]string{"6.18"},
		"net/bridge/br.c br_boolopt_toggle: BR_BOOLOPT_FDB_LOCAL_VLAN_0"},
	brAfSpecEmpty: {[]string{"5.15"},
		"net/bridge/br_netlink.c br_fill_ifinfo: an IFLA_AF_SPEC without anything in it is left out"},
	fdbLocalAtInit: {[]string{"5.15"},
		"net/bridge/br.c br_device_event: a bridge's address is an entry without a VLAN too from the beginning"},
	brFeaturesLate: {[]string{"7.0"},
		"net/bridge/br_if.c br_add_if, br_del_if: the features are updated last, and told in any case"},
	validateLinkAfExtAck: {[]string{"5.15"},
		"net/ipv4/devinet.c inet_validate_link_af, net/ipv6/addrconf.c inet6_validate_link_af: errors of attributes have texts"},
	inet6RaMtu: {[]string{"5.15"},
		"net/ipv6/addrconf.c inet6_af_policy: IFLA_INET6_RA_MTU is refused"},
	iftokenExtAck: {[]string{"5.13"},
		"net/ipv6/addrconf.c inet6_set_iftoken: errors have texts"},
	inetDevconfPolicy: {[]string{"7.1"},
		"net/ipv4/devinet.c inet_validate_link_af, inet_set_link_af: the values have a policy, and changes are told"},
	inetConfNotNested: {[]string{"7.2.9", "7.3"},
		"net/ipv4/devinet.c inet_validate_link_af, inet_set_link_af: IFLA_INET_CONF does without NLA_F_NESTED again, and netconf tells what it sets"},
	boolUnknown: {[]string{"6.12"},
		"net/bridge/br.c br_boolopt_multi_toggle: an option that is not known is refused"},
	stpInNetns: {[]string{"5.15"},
		"net/bridge/br_stp_if.c br_stp_set_enabled: does not warn of namespaces"},
	queryIntvlMin: {[]string{"5.16"},
		"net/bridge/br_multicast.c br_multicast_set_query_intvl: a second at least"},
	bridgeCfm: {[]string{"5.11"},
		"net/bridge/br_netlink.c br_fill_ifinfo, br_getlink: RTEXT_FILTER_CFM_CONFIG and _STATUS"},
	newlinkValidatesLink: {[]string{"6.5"},
		"net/core/rtnetlink.c __rtnl_newlink: validate_linkmsg is for a link that is there, not for one yet to be made"},
}
