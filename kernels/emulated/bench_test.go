package emulated

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// benchSocket is a rtnetlink socket in a namespace with lo and so many more links.
func benchSocket(b *testing.B, links int) *Socket {
	k, err := New("6.12")
	require.NoError(b, err)
	n := k.NewNetns()
	b.Cleanup(n.Close)
	sk, no := n.open(sockRaw, nlmsg.Route)
	require.Zero(b, no)
	for i := range links {
		exchange(b, sk, dummyLink(16, nlmCreate, fmt.Sprintf("dummy%d", i)))
	}
	return sk
}

// exchange sends a request and reads what there is to read.
func exchange(b *testing.B, sk *Socket, request []byte) (datagrams int) {
	if _, err := sk.Send(request, nlcase.SendOptions{}); err != 0 {
		b.Fatal(err)
	}
	for ; ; datagrams++ {
		if _, err := sk.Recv(nlcase.RecvOptions{}); err != 0 {
			break
		}
	}
	if datagrams == 0 {
		b.Fatal("there is no answer")
	}
	return datagrams
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
}

// BenchmarkAck is the least that there is: an NLMSG_NOOP and its ack.
func BenchmarkAck(b *testing.B) {
	sk := benchSocket(b, 0)
	request := message(nlmsg.Noop, nlmAck, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sk.Send(request, nlcase.SendOptions{}); err != 0 {
			b.Fatal(err)
		}
		if _, err := sk.Recv(nlcase.RecvOptions{}); err != 0 {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

// BenchmarkGetlink asks for lo.
func BenchmarkGetlink(b *testing.B) {
	sk := benchSocket(b, 0)
	payload := make([]byte, 16)
	native.PutUint32(payload[4:], 1)
	request := message(18, nlmRequest, 1, payload...)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, sk, request)
	}
	perSecond(b)
}

// BenchmarkDump asks for a thousand links and lo.
func BenchmarkDump(b *testing.B) {
	sk := benchSocket(b, 1000)
	request := message(18, nlmRequest|nlmDump, 1, make([]byte, 16)...)
	b.ReportAllocs()
	datagrams := 0
	for b.Loop() {
		datagrams += exchange(b, sk, request)
	}
	b.ReportMetric(float64(datagrams)/float64(b.N), "datagrams/op")
	perSecond(b)
}

// BenchmarkNewNetns makes a namespace and takes it down.
func BenchmarkNewNetns(b *testing.B) {
	k, err := New("6.12")
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		k.NewNetns().Close()
	}
}
