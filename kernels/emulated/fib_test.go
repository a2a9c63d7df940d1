package emulated

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// fibUser is a socket in a namespace of its own whose lo is up.
type fibUser struct {
	*testing.T
	net  *Netns
	sock nlcase.Socket
	seq  uint32
}

func newFibUser(t *testing.T, release string) *fibUser {
	k, err := New(release)
	require.NoError(t, err)
	u := &fibUser{T: t, net: k.NewNetns()}
	t.Cleanup(u.net.Close)
	s, e := u.net.Socket(3, nlmsg.Route)
	require.Zero(t, e)
	u.sock = s
	up := make([]byte, 16)
	native.PutUint32(up[4:], loopbackIfindex)
	native.PutUint32(up[8:], iffUp)
	native.PutUint32(up[12:], iffUp)
	require.Zero(t, u.ask(rtmSetlink, nlmAck, up))
	return u
}

// ask sends a request, and gives the error that it is answered with.
func (u *fibUser) ask(typ, flags uint16, head []byte, attrs ...func(*skBuff)) errno {
	u.seq++
	skb := nlmsgNew(0)
	p := skb.nlmsgPut(0, u.seq, typ, nlmRequest|flags, head)
	for _, f := range attrs {
		f(skb)
	}
	p.end()
	_, e := u.sock.Send(skb.data, nlcase.SendOptions{})
	require.Zero(u, e)
	if flags&nlmDump == nlmDump {
		return 0
	}
	d, e := u.sock.Recv(nlcase.RecvOptions{Size: pageSize})
	require.Zero(u, e)
	require.EqualValues(u, nlmsg.Error, native.Uint16(d.Data[4:]))
	return errno(-int32(native.Uint32(d.Data[nlmsg.HeaderLen:])))
}

// dump gives the payloads of a dump, and how many datagrams they came in.
func (u *fibUser) dump(typ uint16, head []byte) (all [][]byte, datagrams int) {
	u.ask(typ, nlmDump, head)
	for {
		d, e := u.sock.Recv(nlcase.RecvOptions{Size: pageSize})
		require.Zero(u, e, "the dump ends with NLMSG_DONE")
		datagrams++
		for b := d.Data; len(b) > 0; {
			n := native.Uint32(b)
			if native.Uint16(b[4:]) == nlmsg.Done {
				return all, datagrams
			}
			all = append(all, b[nlmsg.HeaderLen:n])
			b = b[min(nlmsg.Align(int(n)), len(b)):]
		}
	}
}

func attrU32(t uint16, n uint32) func(*skBuff)   { return func(s *skBuff) { s.nlaPutU32(t, n) } }
func attrBytes(t uint16, b []byte) func(*skBuff) { return func(s *skBuff) { s.nlaPut(t, b) } }

// A dump that takes many datagrams leaves nothing out and says nothing twice.
func TestFibDumpsGoOn(t *testing.T) {
	for _, release := range []string{"5.10", "6.12", "7.3"} {
		t.Run(release, func(t *testing.T) {
			u := newFibUser(t, release)
			const n = 1000
			for i := range n {
				dst := in4Addr(0x0a000000 + i/4<<8)
				prio := attrU32(rtaPriority, uint32(i%4))
				require.Zero(t, u.ask(rtmNewroute, nlmAck|nlmCreate|nlmExcl,
					rtmsg{family: pfInet, dstLen: 24, table: rtTableMain, scope: rtScopeLink, typ: rtnUnicast}.bytes(),
					attrBytes(rtaDst, dst.bytes()), attrU32(rtaOif, loopbackIfindex), prio))
				dst6 := in6Addr{0xfc, 1, byte(i / 4 >> 8), byte(i / 4)}
				require.Zero(t, u.ask(rtmNewroute, nlmAck|nlmCreate|nlmExcl,
					rtmsg{family: pfInet6, dstLen: 48, table: rtTableMain, typ: rtnUnicast}.bytes(),
					attrBytes(rtaDst, dst6[:]), attrU32(rtaOif, loopbackIfindex), attrU32(rtaPriority, uint32(i%4+1))))
				require.Zero(t, u.ask(rtmNewnexthop, nlmAck|nlmCreate|nlmExcl, nhmsg{family: pfInet}.bytes(),
					attrU32(nhaID, uint32(i+1)), attrBytes(nhaBlackhole, nil)))
				require.Zero(t, u.ask(rtmNewrule, nlmAck|nlmCreate|nlmExcl, fibRuleHdr{family: pfInet, table: 9, action: frActToTbl}.bytes(),
					attrU32(fraPriority, uint32(i+1))))
			}
			for _, d := range []struct {
				typ  uint16
				head []byte
				more int // that are there without it
			}{
				{rtmGetroute, rtmsg{family: pfInet}.bytes(), -1},
				{rtmGetroute, rtmsg{family: pfInet6}.bytes(), 1},
				{rtmGetnexthop, nhmsg{}.bytes(), 0},
				{rtmGetrule, fibRuleHdr{family: pfInet}.bytes(), 3},
			} {
				all, datagrams := u.dump(d.typ, d.head)
				assert.Greater(t, datagrams, 5)
				seen := map[string]bool{}
				for _, m := range all {
					seen[string(m)] = true
				}
				assert.Len(t, seen, len(all), "nothing is said twice")
				if d.more >= 0 {
					assert.Len(t, all, n+d.more)
				} else {
					assert.GreaterOrEqual(t, len(all), n+3)
				}
			}
		})
	}
}

// The walk of IPv6 routes visits what is below a prefix before it.
func TestFib6KeyOrder(t *testing.T) {
	keys := []fib6Key{
		{dst: in6Addr{0xfc}, dstLen: 8},
		{dst: in6Addr{}, dstLen: 0},
		{dst: in6Addr{0xfc, 1}, dstLen: 16},
		{dst: in6Addr{0x20}, dstLen: 8},
		{dst: in6Addr{0xfc, 1, 9}, dstLen: 128},
		{dst: in6Addr{0xfc, 0, 7}, dstLen: 24},
	}
	slices.SortFunc(keys, fib6Key.compare)
	var got []string
	for _, k := range keys {
		got = append(got, k.dst.String())
	}
	assert.Equal(t, []string{"2000::", "fc00:700::", "fc01:900::", "fc01::", "fc00::", "::"}, got)
}

// The buckets of a member that goes are spread, others stay.
func TestNexthopSpread(t *testing.T) {
	a, b, c := &nexthop{id: 1}, &nexthop{id: 2}, &nexthop{id: 3}
	g := &nexthop{isGroup: true, entries: []nhGrpEntry{{a, 1}, {b, 2}, {c, 1}}, resilient: &nhResTable{buckets: make([]*nexthop, 8)}}
	g.spread()
	count := func(nh *nexthop) (n int) {
		for _, o := range g.resilient.buckets {
			if o == nh {
				n++
			}
		}
		return n
	}
	assert.Equal(t, []int{2, 4, 2}, []int{count(a), count(b), count(c)})
	before := slices.Clone(g.resilient.buckets)
	g.entries = []nhGrpEntry{{a, 1}, {c, 1}}
	g.spread()
	assert.Equal(t, []int{4, 0, 4}, []int{count(a), count(b), count(c)})
	for i, nh := range before {
		if nh != b {
			assert.Same(t, nh, g.resilient.buckets[i])
		}
	}
}
