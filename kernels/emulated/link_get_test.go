package emulated

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// rtnl is a socket of NETLINK_ROUTE.
func (n *Netns) rtnl(t *testing.T) *Socket {
	t.Helper()
	sk, err := n.open(sockRaw, nlmsg.Route)
	require.Zero(t, err)
	return sk
}

// ask sends a request of a type with flags, and returns the messages of each datagram
// that comes back.
func ask(t *testing.T, sk *Socket, typ, flags uint16, payload []byte, size int) (l [][]nlmsghdr) {
	t.Helper()
	h := nlmsg.Header{Len: uint32(nlmsg.HeaderLen + len(payload)), Type: typ, Flags: flags | nlmRequest, Seq: 1}
	_, err := sk.Send(append(h.Append(nil), payload...), nlcase.SendOptions{})
	require.Zero(t, err)
	for {
		d, err := sk.Recv(nlcase.RecvOptions{Size: size})
		if err == nlmsg.EAGAIN {
			return l
		}
		require.Zero(t, err)
		var m []nlmsghdr
		for b := d.Data; len(b) >= nlmsg.HeaderLen; {
			n := int(native.Uint32(b))
			m = append(m, nlmsghdr{Header: nlmsg.Header{Len: uint32(n), Type: native.Uint16(b[4:]), Flags: native.Uint16(b[6:])}, raw: b[:n:n]})
			b = b[min(nlmsg.Align(n), len(b)):]
		}
		l = append(l, m)
	}
}

// addDummy makes a link that takes an index.
func (n *Netns) addDummy(t *testing.T, sk *Socket, name string, index int) {
	t.Helper()
	skb := nlmsgNew(0)
	p := skb.nlmsgPut(0, 1, rtmNewlink, nlmRequest|nlmCreate|nlmExcl|nlmAck, ifinfomsg{index: int32(index)}.bytes())
	skb.nlaPutString(iflaIfname, name)
	info := skb.nlaNestNoflag(iflaLinkinfo)
	skb.nlaPutString(iflaInfoKind, "dummy")
	info.end()
	require.Zero(t, p.end())
	_, err := sk.Send(skb.data, nlcase.SendOptions{})
	require.Zero(t, err)
	d, err := sk.Recv(nlcase.RecvOptions{})
	require.Zero(t, err)
	require.Zero(t, native.Uint32(d.Data[nlmsg.HeaderLen:]), "error of the ack")
}

// Older kernels dump links by the last eight bits of their index, and the youngest
// first of those that have the same.
func TestDumpOrder(t *testing.T) {
	for release, want := range map[string][]int32{
		"6.1":  {257, 1, 2, 300, 45},
		"6.12": {1, 2, 45, 257, 300},
	} {
		t.Run(release, func(t *testing.T) {
			k, err := New(release)
			require.NoError(t, err)
			n := k.NewNetns()
			defer n.Close()
			sk := n.rtnl(t)
			for _, index := range []int{300, 2, 257, 45} {
				n.addDummy(t, sk, fmt.Sprintf("d%d", index), index)
			}
			var got []int32
			for _, m := range ask(t, sk, rtmGetlink, nlmDump, make([]byte, sizeofIfinfo), 0) {
				for _, h := range m {
					if h.Type == rtmNewlink {
						got = append(got, parseIfinfomsg(h.payload()).index)
					}
				}
			}
			assert.Equal(t, want, got)
		})
	}
}

// A dump that a change interrupts says so once, in the datagram that is put next.
func TestDumpInterrupted(t *testing.T) {
	k, err := New("6.12")
	require.NoError(t, err)
	n := k.NewNetns()
	defer n.Close()
	sk, other := n.rtnl(t), n.rtnl(t)
	for i := range 8 {
		n.addDummy(t, other, fmt.Sprintf("d%d", i), 0)
	}
	const size = 4000 // two links, of which the next two are put before they are read
	h := nlmsg.Header{Len: nlmsg.HeaderLen + sizeofIfinfo, Type: rtmGetlink, Flags: nlmRequest | nlmDump, Seq: 1}
	_, errno := sk.Send(append(h.Append(nil), make([]byte, sizeofIfinfo)...), nlcase.SendOptions{})
	require.Zero(t, errno)
	var intr []bool
	for i := 0; ; i++ {
		d, err := sk.Recv(nlcase.RecvOptions{Size: size})
		if err == nlmsg.EAGAIN {
			break
		}
		require.Zero(t, err)
		intr = append(intr, native.Uint16(d.Data[6:])&nlmDumpIntr != 0)
		if i == 0 {
			n.addDummy(t, other, "late", 0)
		}
	}
	assert.Equal(t, []bool{false, false, true, false, false}, intr[:5])
}

// The room that is made for a message is enough, or it would not be sent.
func TestIfNlmsgSize(t *testing.T) {
	for _, release := range []string{"5.10", "6.1", "6.12", "6.17", "7.1", "7.3"} {
		k, err := New(release)
		require.NoError(t, err)
		n := k.NewNetns()
		sk := n.rtnl(t)
		n.addDummy(t, sk, "a-long-name-123", 0)
		k.rtnlMutex.Lock()
		for _, d := range n.net.state.devs {
			d.alias = string(make([]byte, ifaliasz-1))
			d.altnames = []string{string(make([]byte, altifnamsiz-1)), "b"}
			d.protoDownReason = 1
			skb := nlmsgNew(0)
			require.Zero(t, k.rtnlFillIfinfo(skb, d, &fillIfinfo{typ: rtmNewlink, event: 1, newIfindex: 1, newNsid: new(int), tgtSet: true, srcNet: n.net}))
			assert.LessOrEqual(t, len(skb.data), nlmsg.HeaderLen+k.ifNlmsgSize(d, 0), "%s %s", release, d.name)
		}
		k.rtnlMutex.Unlock()
		n.Close()
	}
}

// Requests that are cut anywhere have an answer.
func TestShortRequests(t *testing.T) {
	k, err := New("7.3")
	require.NoError(t, err)
	n := k.NewNetns()
	defer n.Close()
	sk := n.rtnl(t)
	whole := append(ifinfomsg{index: 1}.bytes(), 8, 0, iflaExtMask, 0, 8, 0, 0, 0)
	for _, typ := range []uint16{rtmGetlink, rtmGetstats, rtmSetstats} {
		for _, flags := range []uint16{0, nlmDump} {
			for size := 1; size <= len(whole); size++ {
				for _, m := range ask(t, sk, typ, flags, whole[:size], 0) {
					assert.NotEmpty(t, m)
				}
			}
		}
	}
}
