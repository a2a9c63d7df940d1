package nlmsg

import "strconv"

// HeaderLen is NLMSG_HDRLEN, the size of a struct nlmsghdr.
const HeaderLen = 16

// Message types that every protocol has (include/uapi/linux/netlink.h).
const (
	Noop    = 1
	Error   = 2
	Done    = 3
	Overrun = 4
	MinType = 16
)

// Netlink protocols.
const (
	Route     = 0
	Usersock  = 2
	SockDiag  = 4
	FibLookup = 10
	Netfilter = 12
	Uevent    = 15
	Generic   = 16
)

// Address families with a meaning of their own here.
const (
	AFUnspec = 0
	AFBridge = 7
)

var protocols = [...]string{
	0: "route", 1: "unused", 2: "usersock", 3: "firewall", 4: "sock_diag", 5: "nflog", 6: "xfrm",
	7: "selinux", 8: "iscsi", 9: "audit", 10: "fib_lookup", 11: "connector", 12: "netfilter",
	13: "ip6_fw", 14: "dnrtmsg", 15: "uevent", 16: "generic", 18: "scsitransport", 19: "ecryptfs",
	20: "rdma", 21: "crypto", 22: "smc",
}

// ProtocolName is "route" for NETLINK_ROUTE, and the number if it has none.
func ProtocolName(p int) string {
	if p >= 0 && p < len(protocols) && protocols[p] != "" {
		return protocols[p]
	}
	return strconv.Itoa(p)
}

// ProtocolByName finds a protocol by its name.
func ProtocolByName(name string) (int, bool) {
	for i, n := range protocols {
		if n == name && n != "" {
			return i, true
		}
	}
	return 0, false
}

// class says which set of names the flags of a message type use.
type class uint8

const (
	classNone class = iota
	classNew
	classDel
	classGet
	classAck
)

// TypeDef describes a message type of a protocol.
type TypeDef struct {
	Type  uint16
	Name  string
	head  int8 // index in structs, -1 for none
	Space SpaceID
	class class
}

// Head is the fixed header of such messages, nil if they have none.
func (t *TypeDef) Head() *Struct {
	if t == nil || t.head < 0 {
		return nil
	}
	return &structs[t.head]
}

// TypeOf describes a message type; nil if it is not known.
func TypeOf(proto int, t uint16) *TypeDef {
	if t < MinType {
		return findType(controlTypes[:], t)
	}
	switch proto {
	case Route:
		return findType(routeTypes[:], t)
	case Generic:
		if t == 16 {
			return &genlTypes[0]
		}
		return &genlTypes[1]
	}
	return nil
}

func findType(defs []TypeDef, t uint16) *TypeDef {
	for i := range defs {
		if defs[i].Type == t {
			return &defs[i]
		}
	}
	return nil
}

// TypeByName finds a message type of a protocol.
func TypeByName(proto int, name string) *TypeDef {
	for i := range controlTypes {
		if controlTypes[i].Name == name {
			return &controlTypes[i]
		}
	}
	switch proto {
	case Route:
		for i := range routeTypes {
			if routeTypes[i].Name == name {
				return &routeTypes[i]
			}
		}
	case Generic:
		if name == genlTypes[0].Name {
			return &genlTypes[0]
		}
	}
	return nil
}

// TypeName is the name of a message type, or its number.
func TypeName(proto int, t uint16) string {
	if d := TypeOf(proto, t); d != nil && d.Name != "" {
		return d.Name
	}
	return strconv.Itoa(int(t))
}

// Any protocol has these.
var controlTypes = [...]TypeDef{
	{1, "NLMSG_NOOP", -1, 0, classNone},
	{2, "NLMSG_ERROR", sErr, SpaceError, classAck},
	{3, "NLMSG_DONE", sErr, SpaceError, classAck},
	{4, "NLMSG_OVERRUN", -1, 0, classNone},
}

// The generic netlink controller, and every other family.
var genlTypes = [...]TypeDef{
	{16, "GENL_ID_CTRL", sGenl, SpaceCtrl, classGet},
	{0, "", sGenl, 0, classGet},
}
