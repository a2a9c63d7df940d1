package nlcase

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const sample = `# A title.
#
# More.
# ref: net/netlink/af_netlink.c netlink_rcv_skb netlink_ack:ack-asked,ack-error
# ref: net/core/rtnetlink.c rtnl_getlink

needs module dummy
since 5.10
until 7
open   s route
# about the send
send   s RTM_NEWLINK REQUEST|ACK seq=5 ifinfomsg{family=AF_BRIDGE,index=3} IFLA_IFNAME="a b" ;
    NLMSG_NOOP REQUEST hex:00ff
recv   s within=10ms from=* NLMSG_ERROR CAPPED seq=5 error=-EPERM request{RTM_NEWLINK *} NLMSGERR_ATTR_MSG="x" ...
[>=6.9 <7.1] collect s RTM_NEWLINK MULTI IFLA_LINKINFO{IFLA_INFO_KIND=$kind ...} !IFLA_MASTER ... ; ...
quiet  s
set    s EXT_ACK 1
bind   s pid=9 groups=RTNLGRP_LINK|0x4 ! EADDRINUSE
filter s ldh:4 jeq:0x15:0:1 ret:0 op:0x06:7:0:0
netns  $n
open   t generic netns=$n
send   t to=4 cred.uid=5 oob bg hex:00
wait   t ! EAGAIN
drop
close  s
`

func TestParse(t *testing.T) {
	c, err := Parse("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if c.Doc != "A title.\n\nMore." {
		t.Errorf("doc is %q", c.Doc)
	}
	if want := []Ref{{File: "net/netlink/af_netlink.c", Func: "netlink_rcv_skb"},
		{File: "net/netlink/af_netlink.c", Func: "netlink_ack", Branches: []string{"ack-asked", "ack-error"}},
		{File: "net/core/rtnetlink.c", Func: "rtnl_getlink"}}; !reflect.DeepEqual(c.Refs, want) {
		t.Errorf("refs are %v", c.Refs)
	}
	if got := c.Versions.String(); got != ">=5.10 <=7" {
		t.Errorf("versions are %s", got)
	}
	if got := c.Modules(); !reflect.DeepEqual(got, []string{"dummy"}) || c.NeedsVM() {
		t.Errorf("modules are %v", got)
	}
	if len(c.Steps) != 14 || c.Steps[1].Line != 12 || len(c.Steps[1].Msgs) != 2 || c.Steps[3].Guard.String() != ">=6.9 <7.1" {
		t.Errorf("steps are %v", c.Steps)
	}
	if g := c.Steps[6]; g.Groups.N != 5 || g.Want.Error() != "EADDRINUSE" {
		t.Errorf("bind is %+v", g)
	}
	if got := string(c.Format()); got != sample {
		t.Errorf("formatted it is\n%s", got)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "f:1: no steps",
		"open s route\nfoo s\n":  `f:2: unknown step "foo"`,
		"open s nosuch":          `f:1: unknown protocol "nosuch"`,
		"open s route ! ENOSUCH": `f:1: unknown error "ENOSUCH"`,
		"send s NLMSG_NOOP":      `f:1: socket "s" is not open`,
		" open s route":          "f:1: a line that begins with white space continues a statement",
		"open s route\nopen s 0": "f:2: socket s is open",
		"open s route # x":       "f:1: a comment stands on a line of its own",
		"open s route netns=$n":  "f:1: netns=$n is not a network namespace",
		"netns $n\nopen s route netns=$n type=9\nx": "f:2: unexpected \"type=9\"",
		"netns n":                                                        "f:1: netns wants a $variable",
		"open s route\nwait s":                                           "f:2: nothing is being sent in the background on s",
		"open s route\nsend s bg bg 1":                                   "f:2: s sends in the background already",
		"open s route\nfilter s":                                         "f:2: filter wants instructions, or none",
		"open s route\nfilter s ldx:1":                                   `f:2: "ldx:1" is not an instruction`,
		"open s route\nfilter s jeq:1:2":                                 `f:2: "jeq:1:2" is not an instruction`,
		"open s route\nfilter s ret:1:2":                                 `f:2: "ret:1:2" is not an instruction`,
		"open s route\nget s EXT_ACK size=0 1":                           "f:2: size=0 leaves no room",
		"open s route\nbind s addrlen=0":                                 "f:2: addrlen=0 is no address",
		"caps some\nopen s route":                                        "f:1: caps none, or userns",
		"open s route\x00":                                               "f:1: control character",
		"open s route\nclose s\nquiet s":                                 "f:3: socket \"s\" is not open",
		"open s route\nrecv s":                                           "f:2: recv wants",
		"open s route\nsend s":                                           "f:2: send wants messages",
		"open s route\nsend s NLMSG_NOOP ;":                              "f:2: ; without a message",
		"open s route\nsend s NOSUCH":                                    `f:2: "NOSUCH" is not a message type of route`,
		"open s route\nsend s NLMSG_NOOP REQUEST|FOO":                    `f:2: unknown flag "FOO"`,
		"open s route\nsend s RTM_GETLINK 0 ifaddrmsg{x=1}":              `f:2: ifaddrmsg has no field "x"`,
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{index=$n}":         "f:2: $n is neither a socket nor bound",
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{index=*}":          `f:2: "*" is not a number`,
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{} ...":             "f:2: ... is for what is expected",
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{} !IFLA_MTU":       "f:2: !IFLA_MTU is for what is expected",
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{} NDA_DST=1.2.3.4": `f:2: "NDA_DST" is not an attribute of link`,
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{":                  "f:2: } is missing",
		"open s route\nsend s RTM_GETLINK 0 nosuch{}":                    `f:2: unknown header "nosuch"`,
		"open s route\nsend s RTM_GETLINK 0 ifinfomsg{}\n  IFLA_MTU=x":   `f:3: "x" is not a number of 32 bits`,
		"open s route\nrecv s NLMSG_ERROR error=EPERM":                   "f:2: errors are negative in a message: write -EPERM",
		"write /proc/sysrq-trigger \"c\"":                                "f:1: write is only for a case with: needs vm",
		"spin":                                                           "f:1: spin is only for a case with: needs vm",
		"open s route\nneeds vm":                                         "f:2: needs is said before the steps",
		"needs config BRIDGE\nopen s route":                              `f:1: "BRIDGE" is not an option such as CONFIG_BRIDGE`,
		"needs config CONFIG_a\nopen s route":                            `f:1: "CONFIG_a" is not an option such as CONFIG_BRIDGE`,
		"needs module ../x\nopen s route":                                `f:1: "../x" is not the name of a module`,
		"since x":                                                        `f:1: "x" is not a release`,
		"[6.9] open s route":                                             `f:1: "6.9" is not a bound`,
		"open s route\nbind s groups=RTNLGRP_NEXTHOP":                    "",
		"open s route\nbind s groups=RTNLGRP_BRVLAN":                     "f:2: \"RTNLGRP_BRVLAN\" is neither a mask nor a group up to 32",
		"# ref: x": "f:1: ref: wants a file",
		"open s route\nsend s NLMSG_NOOP 0 " + strings.Repeat("1{", 20):          "f:2: nested more than 16 deep",
		"open s route\nsend s NLMSG_NOOP 0 " + strings.Repeat("zero:65536 ", 17): "f:2: the case has more than 1048576 bytes of values",
		strings.Repeat("#", maxText+1):                                           "f:1: a case is at most",
	} {
		_, err := Parse("f", []byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%q\ngave %v\nnot  %s", text, err, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		release, op, bound string
		want               bool
	}{
		{"6.9.0-rc1", ">=", "6.9", true}, {"6.8.12", ">=", "6.9", false}, {"6.10.1", ">=", "6.9", true},
		{"6.8.12-cloud-amd64", "<=", "6.8", true}, {"6.12.43+deb13-amd64", "<", "6.12.44", true},
		{"6.12.44", "<", "6.12.44", false}, {"6.12.44", ">", "6.12.43", true}, {"6.12", ">=", "6.12.1", false},
		{"7.3.4", "=", "7", true}, {"", ">=", "5", false},
	} {
		if got := (Versions{{tt.op, tt.bound}}).Holds(tt.release); got != tt.want {
			t.Errorf("%q %s%s is %t", tt.release, tt.op, tt.bound, got)
		}
	}
}

// FuzzParse: what parses is bounded, its layout is a fixed point, and means
// the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("\n\n# doc\nopen a 0"))
	f.Add([]byte("needs vm\nopen s 31 type=5 ! EPROTONOSUPPORT\nwrite /x \"c\"\nsleep 1h\nspin\nexit\nifindex $d lo\n"))
	f.Add([]byte("caps none\nopen a usersock dgram\nsend a to=$a groups=4 20 REQUEST@x hex:00 zero:9\nrecv a buf=4 peek truncated size=9 20 0 pid=$a len=* 1@5:u8=3 2|NESTED{3:str=\"x\"}\n"))
	f.Add([]byte("open g generic\nrecv g GENL_ID_CTRL * genlmsghdr{cmd=1} CTRL_ATTR_FAMILY_ID=$f CTRL_ATTR_OPS{1{CTRL_ATTR_OP_ID=1}}\nsend g $f 5 genlmsghdr{cmd=1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("error %q has no place", err)
			}
			return
		}
		once := c.Format()
		again, err := Parse("f", once)
		if err != nil {
			t.Fatalf("formatted it does not parse: %v\n%s", err, once)
		}
		if twice := again.Format(); !bytes.Equal(once, twice) {
			t.Fatalf("formatted twice it differs\n%s\n%s", once, twice)
		}
		if len(c.Steps) != len(again.Steps) || c.Doc != again.Doc || !reflect.DeepEqual(c.Refs, again.Refs) ||
			!reflect.DeepEqual(c.Needs, again.Needs) || !reflect.DeepEqual(c.Versions, again.Versions) {
			t.Fatalf("formatted it means something else\n%s", once)
		}
		for i := range c.Steps {
			a, b := c.Steps[i], again.Steps[i]
			a.Line, b.Line = 0, 0
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("step %d formatted differs: %+v %+v", i, a, b)
			}
		}
		// Whatever parses can be played and judged, if only on a kernel
		// that answers nothing.
		tr := Play(&echo{}, c)
		if tr.Failed != "" {
			t.Fatal(tr.Failed)
		}
		for _, m := range Check(c, tr) {
			_ = m.String()
		}
		tr.Render(c)
	})
}
