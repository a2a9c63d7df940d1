package emulated

import (
	"math"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Attributes of a policy (include/uapi/linux/netlink.h enum
// netlink_policy_type_attr).
const (
	nlPolicyTypeAttrType = 1 + iota
	nlPolicyTypeAttrMinValueS
	nlPolicyTypeAttrMaxValueS
	nlPolicyTypeAttrMinValueU
	nlPolicyTypeAttrMaxValueU
	nlPolicyTypeAttrMinLength
	nlPolicyTypeAttrMaxLength
	nlPolicyTypeAttrPolicyIdx
	nlPolicyTypeAttrPolicyMaxtype
	nlPolicyTypeAttrBitfield32Mask
	_ // NL_POLICY_TYPE_ATTR_PAD
	nlPolicyTypeAttrMask
)

// nlAttrTypes are the types as a policy tells them (enum netlink_attribute_type);
// those that it does not tell are 0.
var nlAttrTypes = [...]uint32{nlaFlag: 1, nlaU8: 2, nlaU16: 3, nlaU32: 4, nlaU64: 5, nlaMsecs: 5, nlaS8: 6, nlaS16: 7, nlaS32: 8,
	nlaS64: 9, nlaBinary: 10, nlaString: 11, nlaNulString: 12, nlaNested: 13, nlaNestedArray: 14, nlaBitfield32: 15,
	nlaSint: 16, nlaUint: 17}

// policyDump is a dump of policies that goes on (net/netlink/policy.c struct
// netlink_policy_dump_state).
type policyDump struct {
	policies  []policy
	policyIdx int
	attrIdx   int
}

// addPolicy enters a policy, and those of its nests, each once
// (net/netlink/policy.c netlink_policy_dump_add_policy).
func (d *policyDump) addPolicy(p policy) {
	from := len(d.policies)
	d.add(p)
	for ; from < len(d.policies); from++ {
		for i := range d.policies[from] {
			if pt := &d.policies[from][i]; pt.typ == nlaNested || pt.typ == nlaNestedArray {
				d.add(pt.nested)
			}
		}
	}
}

func (d *policyDump) add(p policy) {
	if len(p) > 1 && d.idx(p) < 0 {
		d.policies = append(d.policies, p)
	}
}

// idx is a policy's number, -1 for none (net/netlink/policy.c
// netlink_policy_dump_get_policy_idx).
func (d *policyDump) idx(p policy) int {
	for i, q := range d.policies {
		if &p[0] == &q[0] && len(p) == len(q) {
			return i
		}
	}
	return -1
}

// loop says that there is more to write (net/netlink/policy.c
// netlink_policy_dump_loop).
func (d *policyDump) loop() bool { return d.policyIdx < len(d.policies) }

// write puts the next attribute that there is something to say about
// (net/netlink/policy.c netlink_policy_dump_write). ENODATA is that there is none;
// what does not fit stays the next.
func (d *policyDump) write(skb *skBuff) errno {
	for d.loop() {
		p := d.policies[d.policyIdx]
		n := skb.nlaNest(uint16(d.policyIdx))
		err := p[d.attrIdx].write(skb, uint16(d.attrIdx), d)
		if skb.full {
			return nlmsg.EMSGSIZE
		}
		if d.attrIdx++; d.attrIdx == len(p) {
			d.policyIdx, d.attrIdx = d.policyIdx+1, 0
		}
		if err == 0 {
			n.end()
			return 0
		}
		n.cancel()
	}
	return nlmsg.ENODATA
}

// write tells what an attribute has to be, in a nest; ENODATA where that is not
// told. d is the dump that it is in, nil for none (net/netlink/policy.c
// __netlink_policy_dump_write_attr).
func (pt *nlaPolicy) write(skb *skBuff, attr uint16, d *policyDump) errno {
	typ := uint32(0)
	if int(pt.typ) < len(nlAttrTypes) {
		typ = nlAttrTypes[pt.typ]
	}
	if typ == 0 {
		return nlmsg.ENODATA
	}
	n := skb.nlaNest(attr)
	switch pt.typ {
	case nlaNested, nlaNestedArray:
		if d != nil && len(pt.nested) > 1 {
			skb.nlaPutU32(nlPolicyTypeAttrPolicyIdx, uint32(d.idx(pt.nested)))
			skb.nlaPutU32(nlPolicyTypeAttrPolicyMaxtype, uint32(len(pt.nested)-1))
		}
	case nlaU8, nlaU16, nlaU32, nlaU64, nlaUint, nlaMsecs:
		if pt.check == validateMask {
			skb.nlaPutU64(nlPolicyTypeAttrMask, pt.mask)
			break
		}
		low, high := pt.rangeUnsigned()
		skb.nlaPutU64(nlPolicyTypeAttrMinValueU, low)
		skb.nlaPutU64(nlPolicyTypeAttrMaxValueU, high)
	case nlaS8, nlaS16, nlaS32, nlaS64, nlaSint:
		low, high := pt.rangeSigned()
		skb.nlaPutU64(nlPolicyTypeAttrMinValueS, uint64(low))
		skb.nlaPutU64(nlPolicyTypeAttrMaxValueS, uint64(high))
	case nlaBitfield32:
		skb.nlaPutU32(nlPolicyTypeAttrBitfield32Mask, uint32(pt.mask))
	case nlaString, nlaNulString, nlaBinary:
		low, high := uint64(0), uint64(math.MaxUint16)
		if pt.check == validateRange {
			low, high = pt.rangeUnsigned()
		} else if pt.len > 0 {
			high = uint64(pt.len)
		}
		if low > 0 {
			skb.nlaPutU32(nlPolicyTypeAttrMinLength, uint32(low))
		}
		if high < math.MaxUint16 {
			skb.nlaPutU32(nlPolicyTypeAttrMaxLength, uint32(high))
		}
	}
	skb.nlaPutU32(nlPolicyTypeAttrType, typ)
	n.end()
	return 0
}

// sizeEstimate is how much room write may take (net/netlink/policy.c
// netlink_policy_dump_attr_size_estimate).
func (pt *nlaPolicy) sizeEstimate() int {
	const u32, u64 = 8, 12 // of an attribute
	n := 2 * u32           // the nest, and the type
	switch pt.typ {
	case nlaUnspec, nlaReject:
		return 0
	case nlaNested, nlaNestedArray, nlaString, nlaNulString, nlaBinary:
		n += 2 * u32
	case nlaBitfield32:
		n += u32
	case nlaFlag:
	default:
		n += 2 * (4 + u64) // with padding
	}
	return n
}
