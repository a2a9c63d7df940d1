package emulated

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// TestValidate has what a policy lets through, and what an ext ack says of the rest.
func TestValidate(t *testing.T) {
	inner := policy{1: {typ: nlaU8}}
	p := policy{
		1:  {typ: nlaU16},
		2:  {typ: nlaU64, check: validateMin, min: 1},
		3:  {typ: nlaNulString, len: 3},
		4:  {typ: nlaNested, nested: inner},
		5:  {typ: nlaNestedArray, nested: inner},
		6:  {typ: nlaBinary, check: validateRange, min: 4, max: 4},
		7:  {typ: nlaS8, check: validateRange, min: -2, max: 2},
		8:  {typ: nlaU32, check: validateMask, mask: 6},
		9:  {typ: nlaBitfield32, mask: 3},
		10: {typ: nlaFlag},
		11: {typ: nlaReject, reject: "no"},
		12: {typ: nlaBE16, check: validateMax, max: 0x0102},
		13: {typ: nlaUnspec, len: 2},
	}
	const isNest = nlmsg.AttrNested
	for _, c := range []struct {
		name string
		typ  uint16
		data []byte
		s    strictness
		err  errno
		msg  string
	}{
		{"exact", 1, []byte{1, 0}, strict, 0, ""},
		{"too long, liberal", 1, []byte{1, 0, 0}, liberal, 0, ""},
		{"too long, strict", 1, []byte{1, 0, 0}, strict, nlmsg.EINVAL, "invalid attribute length"},
		{"too short", 1, []byte{1}, liberal, nlmsg.ERANGE, "Attribute failed policy validation"},
		{"unsigned beyond int64", 2, []byte{255, 255, 255, 255, 255, 255, 255, 255}, strict, 0, ""},
		{"below the least", 2, make([]byte, 8), strict, nlmsg.ERANGE, "integer out of range"},
		{"no NUL", 3, []byte("abc"), liberal, nlmsg.EINVAL, "Attribute failed policy validation"},
		{"NUL too late", 3, []byte("abcd\x00"), liberal, nlmsg.EINVAL, "Attribute failed policy validation"},
		{"empty nest", 4, nil, liberal, 0, ""},
		{"nest without the flag", 4, []byte{5, 0, 1, 0, 9}, strict, nlmsg.EINVAL, "NLA_F_NESTED is missing"},
		{"nest", 4 | isNest, []byte{5, 0, 1, 0, 9, 0, 0, 0}, strict, 0, ""},
		{"leftover in a nest", 4 | isNest, []byte{5, 0, 1, 0, 9, 0, 0, 0, 1}, liberal, 0, "bytes leftover after parsing attributes"},
		{"the flag on no nest", 1 | isNest, []byte{1, 0}, strict, nlmsg.EINVAL, "NLA_F_NESTED not expected"},
		{"array element too short", 5, []byte{5, 0, 1, 0, 9}, liberal, nlmsg.ERANGE, "Array element too short"},
		{"binary too long", 6, make([]byte, 5), liberal, nlmsg.ERANGE, "binary attribute size out of range"},
		{"signed", 7, []byte{0xfe}, strict, 0, ""},
		{"signed below", 7, []byte{0xfd}, strict, nlmsg.ERANGE, "integer out of range"},
		{"mask", 8, native.AppendUint32(nil, 6), strict, 0, ""},
		{"mask, other bit", 8, native.AppendUint32(nil, 1), strict, nlmsg.EINVAL, "reserved bit set"},
		{"bitfield", 9, native.AppendUint32(native.AppendUint32(nil, 1), 3), strict, 0, ""},
		{"bitfield, not selected", 9, native.AppendUint32(native.AppendUint32(nil, 1), 2), strict, nlmsg.EINVAL, "Attribute failed policy validation"},
		{"flag with a value", 10, []byte{1}, liberal, nlmsg.ERANGE, "Attribute failed policy validation"},
		{"rejected", 11, nil, liberal, nlmsg.EINVAL, "no"},
		{"big endian", 12, []byte{1, 2}, strict, 0, ""},
		{"big endian, above", 12, []byte{1, 3}, strict, nlmsg.ERANGE, "integer out of range"},
		{"unspecified, strict", 13, []byte{1, 2}, strict, nlmsg.EINVAL, "Unsupported attribute"},
		{"beyond the policy, liberal", 99, nil, liberal, 0, ""},
		{"beyond the policy", 99, nil, deprecatedStrict, nlmsg.EINVAL, "Unknown attribute type"},
	} {
		skb := &skBuff{}
		skb.nlaPut(c.typ, c.data)
		var x extAck
		_, err := nlaParse(skb.data, 0, p, c.s, &x)
		assert.Equal(t, c.err, err, c.name)
		assert.Equal(t, c.msg, x.msg, c.name)
	}
}

// TestPolicyRecursion has a policy that holds itself, and a message that is deeper
// than the kernel looks.
func TestPolicyRecursion(t *testing.T) {
	p := policy{1: {typ: nlaNested}}
	p[1].nested = p
	b := []byte{}
	for range maxNesting + 1 {
		skb := &skBuff{}
		skb.nlaPut(1|nlmsg.AttrNested, b)
		b = skb.data
	}
	var x extAck
	_, err := nlaParse(b, 0, p, strict, &x)
	assert.Equal(t, nlmsg.EINVAL, err)
	assert.Equal(t, "allowed policy recursion depth exceeded", x.msg)
	var d policyDump
	d.addPolicy(p)
	assert.Len(t, d.policies, 1)
}
