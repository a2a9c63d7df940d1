package nlmsg

import "strconv"

type symbol struct {
	name  string
	value uint32
}

// symbols are the constants that may stand for a number in a case.
var symbols = [...]symbol{
	{"AF_UNSPEC", 0}, {"AF_UNIX", 1}, {"AF_INET", 2}, {"AF_BRIDGE", 7}, {"AF_INET6", 10}, {"AF_PACKET", 17},
	{"AF_MPLS", 28}, {"AF_CAN", 29}, {"AF_MCTP", 45}, {"RTNL_FAMILY_IPMR", 128}, {"RTNL_FAMILY_IP6MR", 129},

	{"CTRL_CMD_NEWFAMILY", 1}, {"CTRL_CMD_DELFAMILY", 2}, {"CTRL_CMD_GETFAMILY", 3}, {"CTRL_CMD_NEWOPS", 4},
	{"CTRL_CMD_DELOPS", 5}, {"CTRL_CMD_GETOPS", 6}, {"CTRL_CMD_NEWMCAST_GRP", 7}, {"CTRL_CMD_DELMCAST_GRP", 8},
	{"CTRL_CMD_GETMCAST_GRP", 9}, {"CTRL_CMD_GETPOLICY", 10},

	{"IFF_UP", 0x1}, {"IFF_BROADCAST", 0x2}, {"IFF_DEBUG", 0x4}, {"IFF_LOOPBACK", 0x8},
	{"IFF_POINTOPOINT", 0x10}, {"IFF_NOTRAILERS", 0x20}, {"IFF_RUNNING", 0x40}, {"IFF_NOARP", 0x80},
	{"IFF_PROMISC", 0x100}, {"IFF_ALLMULTI", 0x200}, {"IFF_MASTER", 0x400}, {"IFF_SLAVE", 0x800},
	{"IFF_MULTICAST", 0x1000}, {"IFF_LOWER_UP", 0x10000}, {"IFF_DORMANT", 0x20000}, {"IFF_ECHO", 0x40000},

	{"ARPHRD_ETHER", 1}, {"ARPHRD_LOOPBACK", 772},
	{"RT_SCOPE_UNIVERSE", 0}, {"RT_SCOPE_LINK", 253}, {"RT_SCOPE_HOST", 254}, {"RT_SCOPE_NOWHERE", 255},
	{"RT_TABLE_UNSPEC", 0}, {"RT_TABLE_DEFAULT", 253}, {"RT_TABLE_MAIN", 254}, {"RT_TABLE_LOCAL", 255},
	{"RTN_UNICAST", 1}, {"RTN_LOCAL", 2}, {"RTN_BROADCAST", 3}, {"RTN_MULTICAST", 5}, {"RTN_BLACKHOLE", 6}, {"RTN_PROHIBIT", 8}, {"RTN_THROW", 9},
	{"RTN_UNREACHABLE", 7}, {"RTPROT_KERNEL", 2}, {"RTPROT_BOOT", 3}, {"RTPROT_STATIC", 4},
	{"IFA_F_PERMANENT", 0x80}, {"IFA_F_NODAD", 0x02}, {"IFA_F_TENTATIVE", 0x40},
	{"NUD_REACHABLE", 0x02}, {"NUD_STALE", 0x04}, {"NUD_NOARP", 0x40}, {"NUD_PERMANENT", 0x80},
	{"NTF_USE", 0x01}, {"NTF_SELF", 0x02}, {"NTF_MASTER", 0x04}, {"NTF_EXT_LEARNED", 0x10},
	{"RTEXT_FILTER_VF", 1}, {"RTEXT_FILTER_BRVLAN", 2}, {"RTEXT_FILTER_SKIP_STATS", 8},
	{"FR_ACT_TO_TBL", 1}, {"BRIDGE_FLAGS_MASTER", 1}, {"BRIDGE_FLAGS_SELF", 2},
}

// Symbol is the value of a named constant: AF_BRIDGE, RTNLGRP_LINK.
func Symbol(name string) (uint32, bool) {
	for i := range symbols {
		if symbols[i].name == name {
			return symbols[i].value, true
		}
	}
	for i, n := range groupNames {
		if n == name && n != "" {
			return uint32(i), true
		}
	}
	return 0, false
}

// GroupName is RTNLGRP_LINK for group 1 of NETLINK_ROUTE, and the number of
// any other group.
func GroupName(proto int, group uint32) string {
	if proto == Route && group < uint32(len(groupNames)) && groupNames[group] != "" {
		return groupNames[group]
	}
	return strconv.FormatUint(uint64(group), 10)
}

func familyName(f uint8) string {
	for i := range symbols[:11] {
		if symbols[i].value == uint32(f) {
			return symbols[i].name
		}
	}
	return strconv.Itoa(int(f))
}
