package emulated

import (
	"fmt"
	"strconv"
	"strings"
)

// builtinFamily is a family that kernels as distributions configure them have
// without a module.
type builtinFamily struct {
	// from and until are the first and the last series that it is so in; empty for
	// those of the ends.
	from, until string
	name        string
	id          uint16 // of those with a fixed one
	initNetOnly bool   // not netnsok: other namespaces do not see it
	maxattr     uint32
	resvStart   uint8
	groups      []genlGroup
	// ops are CMD:FLAGS, FLAGS being what CTRL_ATTR_OP_FLAGS tells, with a - where the
	// dump has nothing to tell of. @RELEASE,... is what an operation, or its flags, begin
	// with (see since).
	ops string
}

// builtinFamilies are in the order of their registration, which their IDs and groups
// come from. What is not told of those that only the first namespace has is left
// out.
var builtinFamilies = []builtinFamily{
	{name: "VFS_DQUOT", id: 17, initNetOnly: true},
	{name: "dev-energymodel", from: "6.19", groups: []genlGroup{{name: "event"}}, ops: "1:e- 2:a"},
	{name: "thermal", from: "6.1", initNetOnly: true, groups: []genlGroup{{name: "sampling"}, {name: "event"}}, ops: hiddenOps},
	{name: "netdev", from: "6.3", groups: []genlGroup{{name: "mgmt"}, {name: "page-pool"}},
		ops: "1:e 5:e 9:e@6.13 10:e 11:e 12:c 13:b 13:1a@7.2 14:b@6.13 15:a@6.16 16:b@7.1"},
	{name: "devlink", until: "5.10", maxattr: 163, groups: []genlGroup{{name: "config"}},
		ops: "1:e- 5:e- 6:b 9:b 10:b 11:e- 15:e- 16:b 19:e- 20:b 23:e- 24:b 27:b 28:b 29:b 30:b 31:a 32:a 33:a 34:b 35:b 36:a 37:b 38:e- " +
			"39:b 47:e 48:b 42:f- 44:b 45:b 46:d 51:e- 52:e- 53:b 54:b 55:b 56:d 57:b 73:b 58:b 61:e- 62:b 65:e- 66:b 69:e- 70:b"},
	{name: "ethtool", resvStart: 35, groups: []genlGroup{{name: "monitor"}},
		ops: "1:e 2:e 3:1a 4:e 5:1a 6:e 7:e 8:1a 9:1e 10:1a 11:e 12:1a 13:e 14:1a 15:e 16:1a 17:e 18:1a 19:e 20:1a 21:e 22:1a 23:e " +
			"24:1a 25:e 26:1a 27:1a 28:e 29:e@5.13 30:1a@5.13 31:1e@5.13 32:e@5.13 33:e@5.14 34:e@5.16 35:1a@5.16 36:e@6.1 37:1a@6.1 " +
			"38:e@6.2 39:e@6.3 40:1a@6.3 41:e@6.3 42:e@6.3 43:1a@6.3 44:1a@6.11 45:e@6.12 46:e@6.14 47:1a@6.14 48:1a@6.17 49:1a@6.17 " +
			"50:1a@6.17 51:e@6.19"},
	{name: "devlink", from: "5.11", until: "6.6", maxattr: 176, resvStart: 84, groups: []genlGroup{{name: "config"}},
		ops: "1:e- 5:e- 6:b 74:e- 75:b 76:b 77:b 9:b 10:b 7:b 8:b 78:e- 79:b 11:e- 15:e- 16:b 19:e- 20:b 23:e- 24:b 27:b 28:b 29:b 30:b 31:a " +
			"32:a 33:a 34:b 35:b 36:a 37:b 38:e- 39:b 47:e 48:b 42:f- 44:b 45:b 46:d 51:e- 52:e- 53:b 54:b 55:b 56:d 57:b 73:b 58:b 61:e- " +
			"62:b 65:e- 66:b 69:e- 70:b 82:e- 83:b"},
	{name: "devlink", from: "6.7", resvStart: 84, groups: []genlGroup{{name: "config"}},
		ops: "1:e- 5:e- 6:b 7:b 8:b 9:b 10:b 11:e- 15:e- 16:b 19:e- 20:b 23:e- 24:b 27:b 28:b 29:b 30:b 31:a 32:a 33:a 34:b 35:b 36:a " +
			"36:e-@7.1 37:b 38:e- 39:b 42:e- 44:b 45:b 46:d 47:e 48:b 51:e- 52:e- 53:b 54:b 55:b 56:d 57:b 58:b 61:e- 62:b 65:e- 66:b 69:e- " +
			"70:b 73:b 74:e- 75:b 76:b 77:b 78:e- 79:b 82:e- 83:b 84:a"},
	{name: "NLBL_MGMT", initNetOnly: true, ops: hiddenOps},
	{name: "NLBL_CIPSOv4", initNetOnly: true, ops: hiddenOps},
	{name: "NLBL_CALIPSO", initNetOnly: true, ops: hiddenOps},
	{name: "NLBL_UNLBL", initNetOnly: true, ops: hiddenOps},
	{name: "net-shaper", from: "6.17", ops: "1:e 2:b 3:b 4:b 5:e"},
	{name: "acpi_event", initNetOnly: true, groups: []genlGroup{{name: "acpi_mc_group"}}},
	{name: "tcp_metrics", maxattr: 13, resvStart: 3, ops: "1:e- 2:b"},
	{name: "mptcp_pm", from: "5.11", until: "6.6", maxattr: 6, resvStart: 12, groups: mptcpGroups,
		ops: "1:1a 2:1a 4:1a 3:e- 5:1a 6:a 7:1a 8:1a 9:1a 10:1a 11:1a"},
	{name: "mptcp_pm", from: "6.7", resvStart: 12, groups: mptcpGroups, ops: "1:1a 2:1a 3:e- 4:1a 5:1a 6:a 7:1a 8:1a 9:1a 10:1a 11:1a"},
	{name: "SEG6", maxattr: 7, resvStart: 5, ops: "1:b 2:d- 2:5-@6.2 3:b 4:b"},
	{name: "IOAM6", from: "5.15", until: "6.9", resvStart: 8, ops: ioam6Ops},
	{name: "IOAM6", from: "6.10", resvStart: 8, groups: []genlGroup{{name: "ioam6_events", flags: genlUnsAdminPerm}}, ops: ioam6Ops},
	{name: "handshake", from: "6.4", groups: []genlGroup{{name: "none"}, {name: "tlshd"}}, ops: "2:b 3:a 3:b@6.12.100,7.1.7"},
	{name: "TASKSTATS", until: "5.10", initNetOnly: true, ops: hiddenOps},
	{name: "TASKSTATS", from: "5.11", resvStart: 5, ops: "1:b 4:a"},
}

const (
	ioam6Ops = "1:b 2:b 3:5- 4:b 5:b 6:5- 7:b"
	// hiddenOps has a policy, which GETPOLICY would tell in any namespace.
	hiddenOps = "1:a"
)

var mptcpGroups = []genlGroup{{name: "mptcp_pm_cmds"}, {name: "mptcp_pm_events", flags: genlUnsAdminPerm}}

// genlBuiltin registers the families that the release has.
func (k *Kernel) genlBuiltin() {
	for _, b := range builtinFamilies {
		if b.from != "" && k.version.before(mustVersion(b.from)) {
			continue
		}
		if b.until != "" {
			if v := mustVersion(b.until); k.version[0] > v[0] || k.version[0] == v[0] && k.version[1] > v[1] {
				continue
			}
		}
		k.genlRegisterFamily(&genlFamily{id: b.id, name: b.name, version: 1, maxattr: b.maxattr, netnsok: !b.initNetOnly,
			resvStart: b.resvStart, groups: append([]genlGroup(nil), b.groups...), ops: b.operations(k.version)})
	}
}

// operations are those of a release. The last that is said of one holds, where it
// stands first.
func (b *builtinFamily) operations(v version) []genlOp {
	var ops []genlOp
	for _, text := range strings.Fields(b.ops) {
		text, from, later := strings.Cut(text, "@")
		if later && !(since{from: strings.Split(from, ",")}).holds(v) {
			continue
		}
		cmd, flags, _ := strings.Cut(text, ":")
		flags, nothing := strings.CutSuffix(flags, "-")
		n, err1 := strconv.ParseUint(cmd, 10, 8)
		f, err2 := strconv.ParseUint(flags, 16, 32)
		if err1 != nil || err2 != nil {
			panic(fmt.Sprintf("emulated: operation %q of family %s", text, b.name))
		}
		o := genlOp{cmd: uint8(n), flags: uint32(f), nothing: nothing}
		if i := opIndex(ops, o.cmd); i >= 0 {
			ops[i] = o
		} else {
			ops = append(ops, o)
		}
	}
	return ops
}
