package nlmsg

// Kind says how the bytes of an attribute or a field are read.
type Kind uint8

// Numbers are in the byte order of the kernel unless they say otherwise.
const (
	Bytes Kind = iota
	U8
	U16
	U32
	U64
	S32
	S64
	BE16
	BE32
	String // NUL-terminated
	Str    // not NUL-terminated
	Flag   // no payload
	IP     // IPv4 or IPv6, by its length
	Ether  // a MAC address
	Nest   // attributes
	Array  // attributes, each numbered and itself a nest
	Index  // a u32 that is a link's ifindex
	Family // a u8 that is an address family
	Err    // an s32 that is a negative errno
	FD     // a u32 that is a file descriptor of a network namespace
)

var kindNames = [...]string{"bytes", "u8", "u16", "u32", "u64", "s32", "s64", "be16", "be32",
	"string", "str", "flag", "ip", "ether", "nest", "array", "index", "family", "err", "fd"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind?"
}

// KindByName finds a kind by its name in the text of a case.
func KindByName(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), true
		}
	}
	return 0, false
}

// Size is the number of bytes of a number, 0 if the kind is not a number.
func (k Kind) Size() int {
	switch k {
	case U8, Family:
		return 1
	case U16, BE16:
		return 2
	case U32, S32, BE32, Index, Err, FD:
		return 4
	case U64, S64:
		return 8
	}
	return 0
}

// AttrDef describes one attribute of a space.
type AttrDef struct {
	Type     uint16
	Name     string
	Kind     Kind
	Nest     SpaceID // of a Nest; of each element of an Array
	Volatile bool    // differs between runs: a counter, an assigned ID
}

// Space is a set of attribute types: what IFLA_ is short for.
type Space struct {
	Name  string
	Attrs []AttrDef // by Type
}

// SpaceID names a Space. The zero value is the space nothing is known of.
type SpaceID uint8

// The attribute spaces.
const (
	SpaceNone SpaceID = iota
	SpaceLink
	SpaceLinkInfo
	SpaceXdp
	SpaceBrport
	SpaceBridge
	SpaceVlan
	SpaceLinkInet
	SpaceLinkInet6
	SpaceVeth
	SpaceAfSpec
	SpaceBridgeSpec
	SpaceAddr
	SpaceRoute
	SpaceMetrics
	SpaceNeigh
	SpaceNdt
	SpaceRule
	SpaceNetconf
	SpaceNsid
	SpaceNexthop
	SpaceCtrl
	SpaceCtrlOp
	SpaceCtrlGroup
	SpaceCtrlOpPolicy
	SpacePolicy
	SpacePolicies
	SpaceError
)

// arrayOf marks the space of an Array: numbers, each a nest of that space.
const arrayOf SpaceID = 0x80

// elements is the space of an array's elements, SpaceNone if it is none.
func (id SpaceID) elements() SpaceID {
	switch {
	case id&arrayOf == 0:
		return SpaceNone
	case id == SpacePolicies|arrayOf:
		return SpacePolicy | arrayOf // policies by number, each of numbered attributes
	}
	return id &^ arrayOf
}

func (id SpaceID) space() *Space {
	switch {
	case id&arrayOf != 0:
		return &linkSpaces[SpaceNone]
	case id <= SpaceVeth:
		return &linkSpaces[id]
	case id <= SpaceBridgeSpec:
		return &afSpecSpaces[id]
	case id <= SpaceNexthop:
		return &netSpaces[id]
	case id <= SpaceError:
		return &genlSpaces[id]
	}
	return &linkSpaces[SpaceNone]
}

func (id SpaceID) String() string { return id.space().Name }

// ByType finds an attribute, nil if it has no name.
func (id SpaceID) ByType(t uint16) *AttrDef {
	a := id.space().Attrs
	if int(t) < len(a) && a[t].Type == t { // most spaces have no gaps
		return &a[t]
	}
	for i := range a {
		if a[i].Type == t {
			return &a[i]
		}
	}
	return nil
}

// ByName finds an attribute by its kernel name.
func (id SpaceID) ByName(name string) *AttrDef {
	a := id.space().Attrs
	for i := range a {
		if a[i].Name == name {
			return &a[i]
		}
	}
	return nil
}

// Context is what decides the meaning of some attributes besides their space:
// the address family of the message, and the link kind in a IFLA_LINKINFO.
type Context struct {
	Family   uint8
	LinkKind string
}

// Child is the space within a nest, and the header before its attributes.
func (c Context) Child(in SpaceID, d *AttrDef) (SpaceID, *Struct) {
	switch {
	case d == nil:
		return in.elements(), nil
	case d.Kind == Array:
		return d.Nest | arrayOf, nil
	case in == SpaceLink && d.Type == iflaProtinfo && c.Family == afInet6:
		return SpaceLinkInet6, nil
	case in == SpaceLink && d.Type == iflaAfSpec && c.Family == AFBridge:
		return SpaceBridgeSpec, nil
	case in == SpaceLinkInfo && (d.Type == iflaInfoData || d.Type == iflaInfoSlaveData):
		switch {
		case c.LinkKind == "bridge" && d.Type == iflaInfoSlaveData:
			return SpaceBrport, nil
		case c.LinkKind == "bridge":
			return SpaceBridge, nil
		case c.LinkKind == "vlan":
			return SpaceVlan, nil
		case c.LinkKind == "veth":
			return SpaceVeth, nil
		}
		return SpaceNone, nil
	case in == SpaceVeth && d.Type == 1: // VETH_INFO_PEER
		return SpaceLink, StructByName("ifinfomsg")
	}
	return d.Nest, nil
}

const (
	afInet6           = 10
	iflaProtinfo      = 12
	iflaAfSpec        = 26
	iflaInfoKind      = 1
	iflaInfoData      = 2
	iflaInfoSlaveKind = 4
	iflaInfoSlaveData = 5
)

// The keys of IFLA_AF_SPEC are address families, but for a bridge port's.
var afSpecSpaces = [...]Space{
	SpaceAfSpec: {"af_spec", []AttrDef{
		{2, "AF_INET", Nest, SpaceLinkInet, false},
		{7, "AF_BRIDGE", Nest, SpaceBridgeSpec, false},
		{10, "AF_INET6", Nest, SpaceLinkInet6, false},
	}},
	SpaceBridgeSpec: {"bridge af_spec", []AttrDef{
		{0, "IFLA_BRIDGE_FLAGS", U16, 0, false},
		{1, "IFLA_BRIDGE_MODE", U16, 0, false},
		{2, "IFLA_BRIDGE_VLAN_INFO", Bytes, 0, false},
		{3, "IFLA_BRIDGE_VLAN_TUNNEL_INFO", Nest, 0, false},
		{4, "IFLA_BRIDGE_MRP", Nest, 0, false},
		{5, "IFLA_BRIDGE_CFM", Nest, 0, false},
		{6, "IFLA_BRIDGE_MST", Nest, 0, false},
	}},
}
