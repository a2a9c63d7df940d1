package emulated

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// nlattr is an attribute of a message (include/uapi/linux/netlink.h struct
// nlattr).
type nlattr struct {
	typ  uint16 // with NLA_F_NESTED and NLA_F_NET_BYTEORDER
	data []byte
	off  int // of its header from that of the message, for an ext ack
}

func (a *nlattr) kind() uint16 { return a.typ &^ (nlmsg.AttrNested | nlmsg.AttrNetByteorder) }

// The values of an attribute whose length a policy has checked. What is missing
// of a shorter one is 0, as the kernel reads the padding.
func (a *nlattr) u8() uint8   { return uint8(a.number(1)) }
func (a *nlattr) u16() uint16 { return uint16(a.number(2)) }
func (a *nlattr) u32() uint32 { return uint32(a.number(4)) }
func (a *nlattr) u64() uint64 { return a.number(8) }
func (a *nlattr) number(size int) uint64 {
	var b [8]byte
	copy(b[:size], a.data)
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(native.Uint16(b[:]))
	case 4:
		return uint64(native.Uint32(b[:]))
	}
	return native.Uint64(b[:])
}

// str is the value up to its NUL (nla_strscpy).
func (a *nlattr) str() string {
	b := a.data
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// extAck is what a handler says of its error or success beyond the number
// (include/linux/netlink.h struct netlink_ext_ack). Offsets are from the message's
// header; 0 is none.
type extAck struct {
	msg      string
	badAttr  int
	policy   *nlaPolicy
	missType uint16
	hasMiss  bool
	missNest int
}

// set is NL_SET_ERR_MSG. It and its like do without an ext ack.
func (x *extAck) set(msg string) {
	if x != nil {
		x.msg = msg
	}
}

// setAttr is NL_SET_ERR_MSG_ATTR.
func (x *extAck) setAttr(a *nlattr, msg string) {
	if x != nil {
		x.msg = msg
		x.bad(a)
	}
}

// bad is NL_SET_BAD_ATTR.
func (x *extAck) bad(a *nlattr) {
	if x != nil && a != nil {
		x.badAttr, x.policy = a.off, nil
	}
}

// setPolicy is NL_SET_ERR_MSG_ATTR_POL.
func (x *extAck) setPolicy(a *nlattr, p *nlaPolicy, msg string) {
	if x != nil {
		x.msg, x.badAttr, x.policy = msg, a.off, p
	}
}

// miss is NL_SET_ERR_ATTR_MISS; nest is what it is missing in, nil for the
// message.
func (x *extAck) miss(nest *nlattr, typ uint16) {
	if x != nil {
		x.missType, x.hasMiss = typ, true
		if nest != nil {
			x.missNest = nest.off
		}
	}
}

// nlaType is what an attribute has to be (include/net/netlink.h NLA_*).
type nlaType uint8

const (
	nlaUnspec nlaType = iota
	nlaU8
	nlaU16
	nlaU32
	nlaU64
	nlaString
	nlaFlag
	nlaMsecs
	nlaNested
	nlaNestedArray
	nlaNulString
	nlaBinary
	nlaS8
	nlaS16
	nlaS32
	nlaS64
	nlaBitfield32
	nlaReject
	nlaBE16
	nlaBE32
	nlaSint
	nlaUint
)

// nlaMinLen is the least length of a type, and the only one where exact.
var nlaMinLen = [...]int{nlaU8: 1, nlaU16: 2, nlaU32: 4, nlaU64: 8, nlaMsecs: 8, nlaNested: 4,
	nlaS8: 1, nlaS16: 2, nlaS32: 4, nlaS64: 8, nlaBE16: 2, nlaBE32: 4, nlaUint: 0}

func (t nlaType) exact() bool {
	switch t {
	case nlaU8, nlaU16, nlaU32, nlaU64, nlaS8, nlaS16, nlaS32, nlaS64, nlaBE16, nlaBE32:
		return true
	}
	return false
}

// validation is what of a value is looked at beyond its type.
type validation uint8

const (
	validateNone validation = iota
	validateRange
	validateMin
	validateMax
	validateMask
	validateFunction
)

// nlaPolicy says what an attribute has to be (include/net/netlink.h struct
// nla_policy).
type nlaPolicy struct {
	typ      nlaType
	len      int
	check    validation
	min, max int64
	mask     uint64
	nested   policy // of what is in a nest
	reject   string // of nlaReject
	function func(*nlattr, *extAck) errno
}

// policy is a table by attribute type; the length less one is maxtype. What is not
// said of a type below the length is nlaUnspec.
type policy []nlaPolicy

// strictness says how attributes are checked (include/net/netlink.h enum
// netlink_validation).
type strictness uint8

const (
	trailing    strictness = 1 << iota // nothing may be left over
	maxType                            // none may be beyond the policy
	unspec                             // none may be unspecified in it
	strictAttrs                        // no longer than their types
	nested                             // NLA_F_NESTED where it belongs and nowhere else

	liberal          strictness = 0
	deprecatedStrict            = trailing | maxType
	strict                      = trailing | maxType | unspec | strictAttrs | nested
)

// maxNesting is MAX_POLICY_RECURSION_DEPTH.
const maxNesting = 10

// attrTable is attributes by type, nil where one is not there. The last of a type
// counts.
type attrTable []*nlattr

// get is the attribute of a type, nil too where the table ends before it.
func (tb attrTable) get(t int) *nlattr {
	if t < len(tb) {
		return tb[t]
	}
	return nil
}

// each calls f for every attribute in b, which begins off bytes behind the
// message's header, until f returns an error. It returns what is left and is none
// (include/net/netlink.h nla_for_each_attr).
func eachAttr(b []byte, off int, f func(*nlattr) errno) (rest []byte, err errno) {
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		if err := f(&nlattr{native.Uint16(b[2:]), b[4:n:n], off}); err != 0 {
			return nil, err
		}
		n = min(nlmsg.Align(n), len(b))
		b, off = b[n:], off+n
	}
	return b, 0
}

// nlmsgParse parses the attributes of a message behind a fixed header of size bytes
// (include/net/netlink.h __nlmsg_parse). p's length bounds the types.
func nlmsgParse(h *nlmsghdr, size int, p policy, s strictness, x *extAck) (attrTable, errno) {
	if len(h.raw) < nlmsg.HeaderLen+size {
		x.set("Invalid header length")
		return nil, nlmsg.EINVAL
	}
	return nlaParse(h.attrs(size), nlmsg.HeaderLen+nlmsg.Align(size), p, s, x)
}

// nlaParse parses attributes (lib/nlattr.c __nla_parse).
func nlaParse(b []byte, off int, p policy, s strictness, x *extAck) (attrTable, errno) {
	tb := make(attrTable, len(p))
	return tb, validateParse(b, off, p, s, x, tb, 0)
}

// nlaParseNested parses what is in a nest (include/net/netlink.h
// nla_parse_nested).
func nlaParseNested(a *nlattr, p policy, s strictness, x *extAck) (attrTable, errno) {
	if s&nested != 0 && a.typ&nlmsg.AttrNested == 0 {
		x.setAttr(a, "NLA_F_NESTED is missing")
		return nil, nlmsg.EINVAL
	}
	return nlaParse(a.data, a.off+4, p, s, x)
}

// validateParse checks attributes and enters them into tb, if there is one
// (lib/nlattr.c __nla_validate_parse).
func validateParse(b []byte, off int, p policy, s strictness, x *extAck, tb attrTable, depth int) errno {
	if depth >= maxNesting {
		x.set("allowed policy recursion depth exceeded")
		return nlmsg.EINVAL
	}
	rest, err := eachAttr(b, off, func(a *nlattr) errno {
		t := int(a.kind())
		if t == 0 || t >= len(p) {
			if s&maxType != 0 {
				x.setAttr(a, "Unknown attribute type")
				return nlmsg.EINVAL
			}
			return 0
		}
		if err := p.validate(t, a, s, x, depth); err != 0 {
			return err
		}
		if tb != nil {
			tb[t] = a
		}
		return 0
	})
	if err == 0 && len(rest) > 0 {
		x.set("bytes leftover after parsing attributes")
		if s&trailing != 0 {
			return nlmsg.EINVAL
		}
	}
	return err
}

// validate checks one attribute (lib/nlattr.c validate_nla). strict_start_type is
// where policy[0] says so.
func (p policy) validate(t int, a *nlattr, s strictness, x *extAck, depth int) errno {
	if start := p[0].len; start > 0 && t >= start {
		s |= strict
	}
	pt := &p[t]
	n := len(a.data)
	if pt.typ.exact() && n != nlaMinLen[pt.typ] && s&strictAttrs != 0 {
		x.setPolicy(a, pt, "invalid attribute length")
		return nlmsg.EINVAL
	}
	if s&nested != 0 {
		isNest := a.typ&nlmsg.AttrNested != 0
		switch wants := pt.typ == nlaNested || pt.typ == nlaNestedArray; {
		case wants && !isNest:
			x.setPolicy(a, pt, "NLA_F_NESTED is missing")
			return nlmsg.EINVAL
		case !wants && pt.typ != nlaUnspec && isNest:
			x.setPolicy(a, pt, "NLA_F_NESTED not expected")
			return nlmsg.EINVAL
		}
	}
	failed := func(e errno) errno {
		x.setPolicy(a, pt, "Attribute failed policy validation")
		return e
	}
	switch pt.typ {
	case nlaReject:
		if pt.reject != "" {
			x.setAttr(a, pt.reject)
			return nlmsg.EINVAL
		}
		return failed(nlmsg.EINVAL)
	case nlaFlag:
		if n > 0 {
			return failed(nlmsg.ERANGE)
		}
	case nlaSint, nlaUint:
		if n != 4 && n != 8 {
			x.setPolicy(a, pt, "invalid attribute length")
			return nlmsg.EINVAL
		}
	case nlaBitfield32:
		if n != 8 {
			return failed(nlmsg.ERANGE)
		}
		value, selector := uint64(native.Uint32(a.data)), uint64(native.Uint32(a.data[4:]))
		if pt.mask == 0 || selector&^pt.mask != 0 || value&^pt.mask != 0 || value&^selector != 0 {
			return failed(nlmsg.EINVAL)
		}
	case nlaNulString:
		least := n
		if pt.len > 0 {
			least = min(n, pt.len+1)
		}
		if least == 0 || bytes.IndexByte(a.data[:least], 0) < 0 {
			return failed(nlmsg.EINVAL)
		}
		fallthrough
	case nlaString:
		if n < 1 {
			return failed(nlmsg.ERANGE)
		}
		if pt.len > 0 {
			if a.data[n-1] == 0 {
				n--
			}
			if n > pt.len {
				return failed(nlmsg.ERANGE)
			}
		}
	case nlaBinary:
		if pt.len > 0 && n > pt.len {
			return failed(nlmsg.ERANGE)
		}
	case nlaNested:
		if n == 0 {
			break
		}
		if n < 4 {
			return failed(nlmsg.ERANGE)
		}
		if pt.nested != nil {
			if err := validateParse(a.data, a.off+4, pt.nested, s, x, nil, depth+1); err != 0 {
				return err
			}
		}
	case nlaNestedArray:
		if n == 0 {
			break
		}
		if n < 4 {
			return failed(nlmsg.ERANGE)
		}
		if pt.nested != nil {
			if err := validateArray(a, pt, s, x, depth+1); err != 0 {
				return err
			}
		}
	case nlaUnspec:
		if s&unspec != 0 {
			x.setAttr(a, "Unsupported attribute")
			return nlmsg.EINVAL
		}
		if n < pt.len {
			return failed(nlmsg.ERANGE)
		}
	default:
		least := pt.len
		if least == 0 {
			least = nlaMinLen[pt.typ]
		}
		if n < least {
			return failed(nlmsg.ERANGE)
		}
	}
	return pt.validateFurther(a, x)
}

// validateArray checks the elements of an array (lib/nlattr.c
// nla_validate_array).
func validateArray(a *nlattr, pt *nlaPolicy, s strictness, x *extAck, depth int) errno {
	_, err := eachAttr(a.data, a.off+4, func(e *nlattr) errno {
		if len(e.data) == 0 {
			return 0
		}
		if len(e.data) < 4 {
			x.setPolicy(e, &pt.nested[0], "Array element too short")
			return nlmsg.ERANGE
		}
		return validateParse(e.data, e.off+4, pt.nested, s, x, nil, depth)
	})
	return err
}

// validateFurther looks at the value (lib/nlattr.c nla_validate_int_range,
// nla_validate_mask).
func (pt *nlaPolicy) validateFurther(a *nlattr, x *extAck) errno {
	switch pt.check {
	case validateNone:
		return 0
	case validateMask:
		if pt.unsigned(a)&^pt.mask != 0 {
			x.setAttr(a, "reserved bit set")
			return nlmsg.EINVAL
		}
		return 0
	case validateFunction:
		return pt.function(a, x)
	}
	inRange := false
	if pt.typ.signed() {
		low, high := pt.rangeSigned()
		v := pt.signed(a)
		inRange = low <= v && v <= high
	} else {
		low, high := pt.rangeUnsigned()
		v := pt.unsigned(a)
		inRange = low <= v && v <= high
	}
	switch {
	case inRange:
		return 0
	case pt.typ == nlaBinary:
		x.setPolicy(a, pt, "binary attribute size out of range")
	default:
		x.setPolicy(a, pt, "integer out of range")
	}
	return nlmsg.ERANGE
}

// signed is the value of an attribute of a signed type.
func (pt *nlaPolicy) signed(a *nlattr) int64 {
	switch {
	case pt.typ == nlaS8:
		return int64(int8(a.u8()))
	case pt.typ == nlaS16:
		return int64(int16(a.u16()))
	case pt.typ == nlaS32, pt.typ == nlaSint && len(a.data) == 4:
		return int64(int32(a.u32()))
	}
	return int64(a.u64())
}

// unsigned is what a range bounds: the value of an unsigned attribute, or the
// length of a binary one.
func (pt *nlaPolicy) unsigned(a *nlattr) uint64 {
	switch pt.typ {
	case nlaBinary:
		return uint64(len(a.data))
	case nlaBE16:
		return uint64(binary.BigEndian.Uint16(a.data))
	case nlaBE32:
		return uint64(binary.BigEndian.Uint32(a.data))
	case nlaUint:
		return a.number(len(a.data))
	}
	return a.number(nlaMinLen[pt.typ])
}

// rangeUnsigned is what values an attribute may have, or how long a binary one may
// be (lib/nlattr.c nla_get_range_unsigned).
func (pt *nlaPolicy) rangeUnsigned() (low, high uint64) {
	switch pt.typ {
	case nlaU8:
		high = math.MaxUint8
	case nlaU16, nlaBE16, nlaBinary, nlaString, nlaNulString:
		high = math.MaxUint16
	case nlaU32, nlaBE32:
		high = math.MaxUint32
	default:
		high = math.MaxUint64
	}
	switch pt.check {
	case validateRange:
		return uint64(pt.min), uint64(pt.max)
	case validateMin:
		low = uint64(pt.min)
	case validateMax:
		high = uint64(pt.max)
	}
	return low, high
}

// rangeSigned is lib/nlattr.c nla_get_range_signed.
func (pt *nlaPolicy) rangeSigned() (low, high int64) {
	switch pt.typ {
	case nlaS8:
		low, high = math.MinInt8, math.MaxInt8
	case nlaS16:
		low, high = math.MinInt16, math.MaxInt16
	case nlaS32:
		low, high = math.MinInt32, math.MaxInt32
	default:
		low, high = math.MinInt64, math.MaxInt64
	}
	switch pt.check {
	case validateRange:
		return pt.min, pt.max
	case validateMin:
		low = pt.min
	case validateMax:
		high = pt.max
	}
	return low, high
}

func (t nlaType) signed() bool {
	switch t {
	case nlaS8, nlaS16, nlaS32, nlaS64, nlaSint:
		return true
	}
	return false
}
