package emulated

// Attributes of a policy (include/uapi/linux/netlink.h enum
// netlink_policy_type_attr), and the types that it tells (enum
// netlink_attribute_type).
const (
	nlPolicyType = 1 + iota
	nlPolicyMinValueS
	nlPolicyMaxValueS
	nlPolicyMinValueU
	nlPolicyMaxValueU
	nlPolicyMinLength
	nlPolicyMaxLength
	nlPolicyPolicyIdx
	nlPolicyPolicyMaxtype
	nlPolicyBitfield32Mask
	nlPolicyPad
	nlPolicyMask
)

// write tells what an attribute has to be, in a nest (net/netlink/policy.c
// netlink_policy_dump_write_attr).
func (p *nlaPolicy) write(skb *skBuff, typ uint16) {}
