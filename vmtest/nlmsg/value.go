package nlmsg

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxZeros bounds zero:N in a value.
const maxZeros = 1 << 16

var errKind = errors.New("not a value of its kind")

// ParseValue reads the text of a value:
//
//	5  -1  0xff  AF_BRIDGE  IFF_UP|IFF_NOARP     numbers
//	-EPERM                                       an error
//	"dummy0"                                     a string
//	127.0.0.1  ::1                               an address
//	02:00:00:00:00:01                            a MAC address
//	hex:0a0b  zero:100                           bytes, for any kind
func ParseValue(kind Kind, text string) ([]byte, error) {
	if h, ok := strings.CutPrefix(text, "hex:"); ok {
		b, err := hex.DecodeString(h)
		if err != nil {
			return nil, fmt.Errorf("%q is not hex", h)
		}
		return b, nil
	}
	if z, ok := strings.CutPrefix(text, "zero:"); ok {
		n, err := strconv.ParseUint(z, 10, 32)
		if err != nil || n > maxZeros {
			return nil, fmt.Errorf("%q is not a number up to %d", z, maxZeros)
		}
		return make([]byte, n), nil
	}
	if size := kind.Size(); size > 0 {
		n, err := ParseNumber(kind, text)
		if err != nil {
			return nil, err
		}
		return AppendNumber(nil, kind, size, n), nil
	}
	switch kind {
	case IP:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%q is not an IP address", text)
		}
		return a.AsSlice(), nil
	case Ether:
		b := make([]byte, 0, 6)
		for _, x := range strings.Split(text, ":") {
			n, err := strconv.ParseUint(x, 16, 8)
			if err != nil || len(x) != 2 {
				return nil, fmt.Errorf("%q is not a MAC address", text)
			}
			b = append(b, byte(n))
		}
		if len(b) != 6 {
			return nil, fmt.Errorf("%q is not a MAC address", text)
		}
		return b, nil
	case String, Str, Bytes:
		s, err := strconv.Unquote(text)
		if err != nil || text[0] != '"' {
			return nil, fmt.Errorf("%s is neither a quoted string nor hex:", text)
		}
		if kind == String {
			s += "\x00"
		}
		return []byte(s), nil
	}
	return nil, fmt.Errorf("%s has no value", kind)
}

// ParseNumber reads a number of a kind: its bits, as wide as the kind.
func ParseNumber(kind Kind, text string) (uint64, error) {
	bits := kind.Size() * 8
	if e, ok := strings.CutPrefix(text, "-E"); ok && kind == Err {
		errno, ok := ErrnoByName("E" + e)
		if !ok {
			return 0, fmt.Errorf("unknown error %q", text[1:])
		}
		return uint64(uint32(-errno)), nil
	}
	if strings.HasPrefix(text, "-") {
		n, err := strconv.ParseInt(text, 0, bits)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of %d bits", text, bits)
		}
		return uint64(n) & (1<<bits - 1), nil
	}
	if _, ok := ErrnoByName(text); ok && kind == Err {
		return 0, fmt.Errorf("errors are negative in a message: write -%s", text)
	}
	var n uint64
	for _, part := range strings.Split(text, "|") {
		x, err := strconv.ParseUint(part, 0, bits)
		if err != nil {
			s, ok := Symbol(part)
			if !ok || bits < 32 && s>>bits != 0 {
				return 0, fmt.Errorf("%q is not a number of %d bits", part, bits)
			}
			x = uint64(s)
		}
		n |= x
	}
	return n, nil
}

// AppendNumber puts a number of size bytes in the byte order of its kind.
func AppendNumber(b []byte, kind Kind, size int, n uint64) []byte {
	switch {
	case size == 1:
		return append(b, byte(n))
	case kind == BE16:
		return append(b, byte(n>>8), byte(n))
	case kind == BE32:
		return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	case size == 2:
		return native.AppendUint16(b, uint16(n))
	case size == 4:
		return native.AppendUint32(b, uint32(n))
	}
	return native.AppendUint64(b, n)
}

// Number reads a number of a kind. ok is false where the kind is none or the
// length is not its own.
func Number(kind Kind, b []byte) (n uint64, ok bool) {
	if len(b) != kind.Size() || len(b) == 0 {
		return 0, false
	}
	switch {
	case kind == BE16:
		return uint64(b[0])<<8 | uint64(b[1]), true
	case kind == BE32:
		return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3]), true
	case len(b) == 1:
		return uint64(b[0]), true
	case len(b) == 2:
		return uint64(native.Uint16(b)), true
	case len(b) == 4:
		return uint64(native.Uint32(b)), true
	}
	return native.Uint64(b), true
}

// FormatValue is ParseValue's inverse. Bytes that are not of the kind are hex.
func FormatValue(kind Kind, b []byte) string {
	s, err := formatKind(kind, b)
	if err != nil {
		return "hex:" + hex.EncodeToString(b)
	}
	return s
}

func formatKind(kind Kind, b []byte) (string, error) {
	if n, ok := Number(kind, b); ok {
		switch kind {
		case Err:
			if e := Errno(-int64(int32(n))); e > 0 {
				if _, named := ErrnoByName(e.Error()); named {
					return "-" + e.Error(), nil
				}
			}
			return strconv.Itoa(int(int32(n))), nil
		case S32:
			return strconv.Itoa(int(int32(n))), nil
		case S64:
			return strconv.FormatInt(int64(n), 10), nil
		case Family:
			return familyName(uint8(n)), nil
		}
		return strconv.FormatUint(n, 10), nil
	}
	switch kind {
	case IP:
		if a, ok := netip.AddrFromSlice(b); ok {
			return a.String(), nil
		}
	case Ether:
		if len(b) == 6 {
			return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]), nil
		}
	case String:
		if n := len(b) - 1; n >= 0 && len(cString(b)) == n {
			return strconv.Quote(string(b[:n])), nil
		}
	case Str:
		return strconv.Quote(string(b)), nil
	}
	return "", errKind
}
