package emulated

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func TestDevValidName(t *testing.T) {
	for _, name := range []string{"a", "a%d", "fifteen-bytes-x", "é"} {
		require.True(t, devValidName(name), name)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\xa0b", "sixteen-bytes-xx"} {
		require.False(t, devValidName(name), name)
	}
}

func TestDevAllocName(t *testing.T) {
	n := &netns{}
	for _, name := range []string{"x0", "x2", "abcdefghijklm1"} {
		n.state.devs = append(n.state.devs, &netDevice{name: name, altnames: []string{"x1"}})
	}
	name, err := n.devAllocName("x%d")
	require.Zero(t, err)
	require.Equal(t, "x3", name)
	for _, bad := range []string{"x", "x%", "x%s", "x%d%d", "%%d"} {
		_, err := n.devAllocName(bad)
		require.NotZero(t, err, bad)
	}
	for i := range 10 {
		n.state.devs = append(n.state.devs, &netDevice{name: "abcdefghijklmn" + string(rune('0'+i))})
	}
	_, err = n.devAllocName("abcdefghijklmn%d")
	require.NotZero(t, err, "there is no room for a second digit")
}

// play plays a case, and fails where it does not hold.
func play(t *testing.T, release string, steps ...string) {
	t.Helper()
	k, err := New(release)
	require.NoError(t, err)
	c, err := nlcase.Parse("test.case", []byte("# A test.\nopen s route\n"+strings.Join(steps, "\n")+"\n"))
	require.NoError(t, err)
	require.Empty(t, nlcase.Check(c, nlcase.Play(k, c)))
}

const ack = "recv s NLMSG_ERROR CAPPED error=0 request"

func TestLinksGoWithTheirPeers(t *testing.T) {
	play(t, "6.12",
		`netns $o`,
		`send s RTM_NEWLINK REQUEST|ACK|CREATE|EXCL ifinfomsg{} IFLA_IFNAME="a" IFLA_LINKINFO{IFLA_INFO_KIND="veth" IFLA_INFO_DATA{VETH_INFO_PEER{ifinfomsg{} IFLA_IFNAME="b" IFLA_NET_NS_FD=$o}}}`, ack,
		`ifindex $b b netns=$o`,
		`ifindex $a a`,
		`send s RTM_NEWLINK REQUEST|ACK|CREATE|EXCL ifinfomsg{} IFLA_IFNAME="v" IFLA_LINK=$a IFLA_LINKINFO{IFLA_INFO_KIND="vlan" IFLA_INFO_DATA{IFLA_VLAN_ID=5}}`, ack,
		`send s RTM_SETLINK REQUEST|ACK ifinfomsg{} IFLA_IFNAME="v" IFLA_NET_NS_FD=$o`, ack,
		`ifindex $v v netns=$o`,
		`open t route netns=$o`,
		`send t RTM_DELLINK REQUEST|ACK ifinfomsg{index=$b}`,
		`recv t NLMSG_ERROR CAPPED error=0 request`,
		`ifindex $x a ! ENODEV`,
		`ifindex $y v netns=$o ! ENODEV`)
}
