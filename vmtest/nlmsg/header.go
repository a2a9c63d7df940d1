package nlmsg

// Field is a member of a fixed header.
type Field struct {
	Name      string
	Off, Size uint8
	Kind      Kind
}

// Struct is a fixed header: what follows the nlmsghdr.
type Struct struct {
	Name   string
	Size   int
	Fields []Field
}

// Field finds a member by name.
func (s *Struct) Field(name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i]
		}
	}
	return nil
}

// StructByName finds a fixed header by its name in C.
func StructByName(name string) *Struct {
	for i := range structs {
		if structs[i].Name == name {
			return &structs[i]
		}
	}
	return nil
}

// The order is used by the constants below.
var structs = [...]Struct{
	sIfinfo: {"ifinfomsg", 16, []Field{{"family", 0, 1, Family}, {"type", 2, 2, U16},
		{"index", 4, 4, Index}, {"flags", 8, 4, U32}, {"change", 12, 4, U32}}},
	sIfaddr: {"ifaddrmsg", 8, []Field{{"family", 0, 1, Family}, {"prefixlen", 1, 1, U8},
		{"flags", 2, 1, U8}, {"scope", 3, 1, U8}, {"index", 4, 4, Index}}},
	sRt: {"rtmsg", 12, []Field{{"family", 0, 1, Family}, {"dst_len", 1, 1, U8}, {"src_len", 2, 1, U8},
		{"tos", 3, 1, U8}, {"table", 4, 1, U8}, {"protocol", 5, 1, U8}, {"scope", 6, 1, U8},
		{"type", 7, 1, U8}, {"flags", 8, 4, U32}}},
	sNd: {"ndmsg", 12, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index},
		{"state", 8, 2, U16}, {"flags", 10, 1, U8}, {"type", 11, 1, U8}}},
	sNdt:   {"ndtmsg", 4, []Field{{"family", 0, 1, Family}}},
	sRtgen: {"rtgenmsg", 1, []Field{{"family", 0, 1, Family}}},
	sRule: {"fib_rule_hdr", 12, []Field{{"family", 0, 1, Family}, {"dst_len", 1, 1, U8},
		{"src_len", 2, 1, U8}, {"tos", 3, 1, U8}, {"table", 4, 1, U8}, {"action", 7, 1, U8},
		{"flags", 8, 4, U32}}},
	sTc: {"tcmsg", 20, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index},
		{"handle", 8, 4, U32}, {"parent", 12, 4, U32}, {"info", 16, 4, U32}}},
	sTca:     {"tcamsg", 4, []Field{{"family", 0, 1, Family}}},
	sNetconf: {"netconfmsg", 1, []Field{{"family", 0, 1, Family}}},
	sBrport:  {"br_port_msg", 8, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index}}},
	sIfstats: {"if_stats_msg", 12, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index},
		{"filter_mask", 8, 4, U32}}},
	sNh: {"nhmsg", 8, []Field{{"nh_family", 0, 1, Family}, {"nh_scope", 1, 1, U8},
		{"nh_protocol", 2, 1, U8}, {"nh_flags", 4, 4, U32}}},
	sIfaddrlbl: {"ifaddrlblmsg", 12, []Field{{"family", 0, 1, Family}, {"prefixlen", 2, 1, U8},
		{"flags", 3, 1, U8}, {"index", 4, 4, Index}, {"seq", 8, 4, U32}}},
	sPrefix: {"prefixmsg", 12, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index},
		{"type", 8, 1, U8}, {"len", 9, 1, U8}, {"flags", 10, 1, U8}}},
	sDcb:  {"dcbmsg", 4, []Field{{"family", 0, 1, Family}, {"cmd", 1, 1, U8}}},
	sBrvl: {"br_vlan_msg", 8, []Field{{"family", 0, 1, Family}, {"ifindex", 4, 4, Index}}},
	sTun:  {"tunnel_msg", 8, []Field{{"family", 0, 1, Family}, {"flags", 1, 1, U8}, {"ifindex", 4, 4, Index}}},
	sGenl: {"genlmsghdr", 4, []Field{{"cmd", 0, 1, U8}, {"version", 1, 1, U8}, {"reserved", 2, 2, U16}}},
	sNfgen: {"nfgenmsg", 4, []Field{{"nfgen_family", 0, 1, Family}, {"version", 1, 1, U8},
		{"res_id", 2, 2, BE16}}},
	sErr: {"nlmsgerr", 4, []Field{{"error", 0, 4, Err}}},
}

const (
	sIfinfo = iota
	sIfaddr
	sRt
	sNd
	sNdt
	sRtgen
	sRule
	sTc
	sTca
	sNetconf
	sBrport
	sIfstats
	sNh
	sIfaddrlbl
	sPrefix
	sDcb
	sBrvl
	sTun
	sGenl
	sNfgen
	sErr
)
