package nlmsg

// The attributes of the generic netlink controller, of policies and of the
// extended ack (include/uapi/linux/genetlink.h, netlink.h).
var genlSpaces = [...]Space{
	SpaceCtrl: {"nlctrl", []AttrDef{
		{0, "CTRL_ATTR_UNSPEC", Bytes, 0, false},
		{1, "CTRL_ATTR_FAMILY_ID", U16, 0, true},
		{2, "CTRL_ATTR_FAMILY_NAME", String, 0, false},
		{3, "CTRL_ATTR_VERSION", U32, 0, false},
		{4, "CTRL_ATTR_HDRSIZE", U32, 0, false},
		{5, "CTRL_ATTR_MAXATTR", U32, 0, false},
		{6, "CTRL_ATTR_OPS", Array, SpaceCtrlOp, false},
		{7, "CTRL_ATTR_MCAST_GROUPS", Array, SpaceCtrlGroup, false},
		{8, "CTRL_ATTR_POLICY", Array, SpacePolicies, false},
		{9, "CTRL_ATTR_OP_POLICY", Array, SpaceCtrlOpPolicy, false},
		{10, "CTRL_ATTR_OP", U32, 0, false},
	}},
	SpaceCtrlOp: {"nlctrl op", []AttrDef{
		{0, "CTRL_ATTR_OP_UNSPEC", Bytes, 0, false},
		{1, "CTRL_ATTR_OP_ID", U32, 0, false},
		{2, "CTRL_ATTR_OP_FLAGS", U32, 0, false},
	}},
	SpaceCtrlGroup: {"nlctrl group", []AttrDef{
		{0, "CTRL_ATTR_MCAST_GRP_UNSPEC", Bytes, 0, false},
		{1, "CTRL_ATTR_MCAST_GRP_NAME", String, 0, false},
		{2, "CTRL_ATTR_MCAST_GRP_ID", U32, 0, true},
	}},
	SpaceCtrlOpPolicy: {"nlctrl op policy", []AttrDef{
		{0, "CTRL_ATTR_POLICY_UNSPEC", Bytes, 0, false},
		{1, "CTRL_ATTR_POLICY_DO", U32, 0, false},
		{2, "CTRL_ATTR_POLICY_DUMP", U32, 0, false},
	}},
	SpacePolicy: {"policy", []AttrDef{
		{0, "NL_POLICY_TYPE_ATTR_UNSPEC", Bytes, 0, false},
		{1, "NL_POLICY_TYPE_ATTR_TYPE", U32, 0, false},
		{2, "NL_POLICY_TYPE_ATTR_MIN_VALUE_S", S64, 0, false},
		{3, "NL_POLICY_TYPE_ATTR_MAX_VALUE_S", S64, 0, false},
		{4, "NL_POLICY_TYPE_ATTR_MIN_VALUE_U", U64, 0, false},
		{5, "NL_POLICY_TYPE_ATTR_MAX_VALUE_U", U64, 0, false},
		{6, "NL_POLICY_TYPE_ATTR_MIN_LENGTH", U32, 0, false},
		{7, "NL_POLICY_TYPE_ATTR_MAX_LENGTH", U32, 0, false},
		{8, "NL_POLICY_TYPE_ATTR_POLICY_IDX", U32, 0, false},
		{9, "NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE", U32, 0, false},
		{10, "NL_POLICY_TYPE_ATTR_BITFIELD32_MASK", U32, 0, false},
		{11, "NL_POLICY_TYPE_ATTR_PAD", Bytes, 0, false},
		{12, "NL_POLICY_TYPE_ATTR_MASK", U64, 0, false},
	}},
	SpacePolicies: {"policies", nil}, // numbered by policy; each holds numbered attributes
	SpaceError: {"error", []AttrDef{
		{0, "NLMSGERR_ATTR_UNUSED", Bytes, 0, false},
		{1, "NLMSGERR_ATTR_MSG", String, 0, false},
		{2, "NLMSGERR_ATTR_OFFS", U32, 0, false},
		{3, "NLMSGERR_ATTR_COOKIE", Bytes, 0, false},
		{4, "NLMSGERR_ATTR_POLICY", Nest, SpacePolicy, false},
		{5, "NLMSGERR_ATTR_MISS_TYPE", U32, 0, false},
		{6, "NLMSGERR_ATTR_MISS_NEST", U32, 0, false},
	}},
}
