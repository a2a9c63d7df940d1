package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Each step has what it called, and no step what comes after the case.
func TestFlow(t *testing.T) {
	c, err := nlcase.Parse("x", []byte("# x\nopen s route\nsend s NLMSG_NOOP REQUEST\n[<6.1] quiet s\nquiet s\n"))
	require.NoError(t, err)
	flow, err := Flow("emulated@6.12", c)
	require.NoError(t, err)
	require.Len(t, flow, 3)
	assert.Equal(t, []Call{{"netlink_create", 0}}, flow[0].Calls)
	assert.Contains(t, flow[1].Calls, Call{"rtnetlink_rcv", 3}, "netlink_sendmsg, netlink_unicast, netlink_unicast_kernel")
	assert.Equal(t, []Call{{"netlink_recvmsg", 0}}, flow[2].Calls)

	c.Versions = nlcase.Versions{{Op: ">=", Release: "6.13"}}
	_, err = Flow("emulated@6.12", c)
	assert.EqualError(t, err, "x requires >=6.13, this is 6.12.999")
}
