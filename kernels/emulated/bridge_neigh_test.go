package emulated

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// rtnl is a socket, and a request on it.
type rtnl struct {
	t  *testing.T
	sk nlcase.Socket
}

func newRtnl(t *testing.T, release string) (*rtnl, *Netns) {
	k, err := New(release)
	require.NoError(t, err)
	n := k.NewNetns()
	t.Cleanup(n.Close)
	sk, e := n.Socket(3, nlmsg.Route)
	require.Zero(t, e)
	return &rtnl{t, sk}, n
}

// request sends a message, and gives the error that it is acknowledged with.
func (r *rtnl) request(typ, flags uint16, head []byte, attrs func(*skBuff)) errno {
	skb := nlmsgNew(0)
	p := skb.nlmsgPut(0, 1, typ, nlmRequest|nlmAck|flags, head)
	if attrs != nil {
		attrs(skb)
	}
	p.end()
	_, err := r.sk.Send(skb.data, nlcase.SendOptions{To: &nlcase.Addr{}})
	require.Zero(r.t, err)
	for {
		d, err := r.sk.Recv(nlcase.RecvOptions{})
		require.Zero(r.t, err)
		if native.Uint16(d.Data[4:]) == nlmsg.Error {
			return errno(-int32(native.Uint32(d.Data[nlmsg.HeaderLen:])))
		}
	}
}

func (r *rtnl) newlink(name, kind string, attrs func(*skBuff)) errno {
	return r.request(rtmNewlink, nlmCreate|nlmExcl, ifinfomsg{}.bytes(), func(skb *skBuff) {
		skb.nlaPutString(iflaIfname, name)
		n := skb.nlaNest(iflaLinkinfo)
		skb.nlaPutString(iflaInfoKind, kind)
		n.end()
		if attrs != nil {
			attrs(skb)
		}
	})
}

func (r *rtnl) index(n *Netns, name string) int {
	i, err := n.IfIndex(name)
	require.Zero(r.t, err)
	return i
}

func TestBridgeOfPortThatIsOnIt(t *testing.T) {
	r, n := newRtnl(t, "6.12")
	require.Zero(t, r.newlink("br0", "bridge", nil))
	br := uint32(r.index(n, "br0"))
	require.Zero(t, r.request(rtmNewlink, nlmCreate|nlmExcl, ifinfomsg{}.bytes(), func(skb *skBuff) {
		skb.nlaPutString(iflaIfname, "v0")
		skb.nlaPutU32(iflaLink, br)
		n := skb.nlaNest(iflaLinkinfo)
		skb.nlaPutString(iflaInfoKind, "vlan")
		d := skb.nlaNest(iflaInfoData)
		skb.nlaPutU16(iflaVlanID, 5)
		d.end()
		n.end()
	}))
	err := r.request(rtmSetlink, 0, ifinfomsg{index: int32(r.index(n, "v0"))}.bytes(), func(skb *skBuff) { skb.nlaPutU32(iflaMaster, br) })
	require.Equal(t, nlmsg.EBUSY, err)
}

// What is sent to PF_BRIDGE and to neighbours breaks nothing, however it is broken.
func TestBridgeRandom(t *testing.T) {
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	for _, release := range []string{"5.10", "6.12", "7.3"} {
		r, n := newRtnl(t, release)
		require.Zero(t, r.newlink("br0", "bridge", nil))
		require.Zero(t, r.newlink("d0", "veth", func(skb *skBuff) { skb.nlaPutU32(iflaMaster, uint32(r.index(n, "br0"))) }))
		types := []uint16{rtmNewneigh, rtmDelneigh, rtmGetneigh, rtmSetlink, rtmDellink, rtmGetlink, rtmSetneightbl, rtmGetneightbl}
		for range 3000 {
			b := make([]byte, rnd.Intn(80))
			for i := range b {
				if rnd.Intn(2) == 0 {
					b[i] = byte(rnd.Intn(16))
				}
			}
			if len(b) > 0 {
				b[0] = []byte{0, pfInet, pfInet6, pfBridge, pfBridge}[rnd.Intn(5)]
			}
			skb := nlmsgNew(0)
			p := skb.nlmsgPut(0, 1, types[rnd.Intn(len(types))], nlmRequest|uint16(rnd.Intn(16))<<8, b)
			for range rnd.Intn(4) {
				a := make([]byte, rnd.Intn(12))
				rnd.Read(a)
				skb.nlaPut(uint16(rnd.Intn(40)), a)
			}
			p.end()
			if native.Uint16(skb.data[4:]) == rtmDellink && len(b) > 0 && b[0] != pfBridge {
				continue // the link is still wanted
			}
			r.sk.Send(skb.data, nlcase.SendOptions{To: &nlcase.Addr{}})
			for {
				if _, err := r.sk.Recv(nlcase.RecvOptions{}); err != 0 {
					break
				}
			}
		}
	}
}
