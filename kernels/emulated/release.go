package emulated

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a release: 6.12.94. A series stands for its newest release.
type version [3]int

const newestOfSeries = 1 << 20

// Releases that can be emulated.
var (
	oldest = version{5, 10, 0}
	newest = version{7, 3, newestOfSeries}
)

func parseVersion(s string) (v version, err error) {
	parts := strings.Split(s, ".")
	if len(parts) == 2 {
		parts = append(parts, strconv.Itoa(newestOfSeries))
	}
	ok := len(parts) == 3
	for i := 0; ok && i < 3; i++ {
		v[i], err = strconv.Atoi(parts[i])
		ok = err == nil && v[i] >= 0
	}
	if !ok {
		return v, fmt.Errorf("emulated: release %q: want a series (6.12) or a release (6.12.94)", s)
	}
	return v, nil
}

// known is an error for a release that nothing is known of.
func (v version) known(s string) error {
	if v.before(oldest) || newest.before(v) {
		return fmt.Errorf("emulated: release %s: those from 5.10 to 7.3 are known", s)
	}
	return nil
}

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// quirk is a difference between releases.
type quirk int

// since are the releases that a difference begins with: one of the mainline, and
// those of older series that it was brought back to.
type since struct {
	from []string
	// what: the kernel function, and what it does from then on.
	what string
}

// has says that the kernel is of a release that q is in.
func (k *Kernel) has(q quirk) bool { return k.version.has(q) }

func (v version) has(q quirk) bool { return quirks[q].holds(v) }

// holds: a release has it if it is not before the one that its own series begins
// with, or, where none is named of its series, not before the first of the
// mainline, which is the last in the list.
func (s since) holds(v version) bool {
	for i, text := range s.from {
		w := mustVersion(text)
		if last := i == len(s.from)-1; v[0] == w[0] && v[1] == w[1] || last {
			return !v.before(w)
		}
	}
	return false
}

// mustVersion reads a release of the table: 6.9 is 6.9.0.
func mustVersion(s string) (v version) {
	if strings.Count(s, ".") == 1 {
		s += ".0"
	}
	v, err := parseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// The differences, in the order of the table.
const (
	rmemCountsItself quirk = iota
	dumpEmsgsize
	bulkDel
	genlChecksHeader
	genlBindUnknown
	nQuirks
)

// quirks is all that differs between releases.
var quirks = [nQuirks]since{
	rmemCountsItself: {[]string{"5.10.251", "6.1.148", "6.12.42", "6.17"},
		"net/netlink/af_netlink.c netlink_attachskb, netlink_broadcast_deliver: what a datagram takes itself is counted before it is let in"},
	dumpEmsgsize: {[]string{"6.9"},
		"net/netlink/af_netlink.c netlink_dump: EMSGSIZE after something was put means that there is more"},
	bulkDel: {[]string{"5.19"},
		"net/core/rtnetlink.c rtnetlink_rcv_msg: NLM_F_BULK of a deletion is refused where it is not supported"},
	genlChecksHeader: {[]string{"6.0"},
		"net/netlink/genetlink.c genl_header_check: looks at the reserved field and at the flags"},
	genlBindUnknown: {[]string{"7.4"},
		"net/netlink/genetlink.c genl_bind: a group that no family has may be joined"},
}
