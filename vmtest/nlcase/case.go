package nlcase

import (
	"strconv"
	"strings"
)

// Case is one netlink exchange and what is expected of it.
type Case struct {
	Name     string
	Doc      string   // the header comment, without its references
	Refs     []Ref    // the kernel functions it exercises
	Needs    []Need   // what must be there to play it
	NoCaps   bool     // played without capabilities
	UserNS   bool     // played in a user namespace of its own
	Versions Versions // the releases it is for
	Steps    []Step
	Text     []byte // what was parsed

	lines []line // for Format
}

// Ref names a kernel function: net/netlink/af_netlink.c netlink_rcv_skb.
type Ref struct {
	File, Func string
	Branches   []string // ways through it, by the names of vmtest/cases/flow.txt
}

func (r Ref) String() string { return r.File + " " + r.Func }

// Need is a condition of a case.
type Need struct {
	Kind string // "module", or "vm": it breaks the kernel that it is played on
	Name string // the module
}

func (n Need) String() string {
	if n.Name == "" {
		return n.Kind
	}
	return n.Kind + " " + n.Name
}

// NeedsVM reports whether the case must not be played on the running kernel.
func (c *Case) NeedsVM() bool {
	for _, n := range c.Needs {
		if n.Kind == "vm" {
			return true
		}
	}
	return false
}

// Modules are the modules to load first.
func (c *Case) Modules() []string {
	var m []string
	for _, n := range c.Needs {
		if n.Kind == "module" {
			m = append(m, n.Name)
		}
	}
	return m
}

// Configs are the options that the kernel must be built with.
func (c *Case) Configs() []string {
	var o []string
	for _, n := range c.Needs {
		if n.Kind == "config" {
			o = append(o, n.Name)
		}
	}
	return o
}

// Inapplicable says why the case is not for a release, "" if it is.
func (c *Case) Inapplicable(release string) string {
	if c.Versions.Holds(release) {
		return ""
	}
	return "requires " + c.Versions.String() + ", this is " + release
}

// NeedError says that a case cannot be played on this kernel, and why. It is
// a reason to skip, not a failure.
type NeedError struct {
	Need Need
	Err  error
}

func (e *NeedError) Error() string { return "requires " + e.Need.String() + ": " + e.Err.Error() }
func (e *NeedError) Unwrap() error { return e.Err }

// Versions is a conjunction of bounds on the kernel's release. None is any.
type Versions []Bound

// Bound is one: ">=" "6.9".
type Bound struct {
	Op      string // one of >= > <= < =
	Release string
}

// Holds reports whether the release is within all bounds. A bound of two
// numbers is about the series: 6.8.12 is <=6.8.
func (v Versions) Holds(release string) bool {
	for _, b := range v {
		c := compareRelease(release, b.Release)
		var ok bool
		switch b.Op {
		case ">=":
			ok = c >= 0
		case ">":
			ok = c > 0
		case "<=":
			ok = c <= 0
		case "<":
			ok = c < 0
		case "=":
			ok = c == 0
		}
		if !ok {
			return false
		}
	}
	return true
}

func (v Versions) String() string {
	var b strings.Builder
	for i, x := range v {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(x.Op + x.Release)
	}
	return b.String()
}

// compareRelease compares as many numbers as the bound has.
func compareRelease(release, bound string) int {
	for bound != "" {
		var a, b int
		a, release = leadingNumber(release)
		b, bound = leadingNumber(bound)
		if a != b {
			if a < b {
				return -1
			}
			return 1
		}
	}
	return 0
}

// leadingNumber takes a number and the dot after it. What follows the
// numbers (-rc1, -cloud-amd64) ends them.
func leadingNumber(s string) (int, string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, _ := strconv.Atoi(s[:i])
	if i < len(s) && s[i] == '.' {
		return n, s[i+1:]
	}
	return n, ""
}
