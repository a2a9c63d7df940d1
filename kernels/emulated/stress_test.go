package emulated

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// watch ends the test, with where each goroutine is, if it is not called off in time.
func watch(limit time.Duration) (off func()) {
	t := time.AfterFunc(limit, func() {
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic("it has not ended within " + limit.String())
	})
	return func() { t.Stop() }
}

// message is a request with the rest of the header's fields 0.
func message(typ, flags uint16, seq uint32, payload ...byte) []byte {
	b := nlmsg.Header{Len: uint32(nlmsg.HeaderLen + len(payload)), Type: typ, Flags: flags, Seq: seq}.Append(nil)
	return append(b, payload...)
}

// attr is an attribute of a request.
func attr(typ uint16, payload ...byte) []byte {
	b := native.AppendUint16(nil, uint16(4+len(payload)))
	b = append(native.AppendUint16(b, typ), payload...)
	return append(b, padding[:nlmsg.Align(len(b))-len(b)]...)
}

// dummyLink is a request for a link of type dummy.
func dummyLink(typ, flags uint16, name string) []byte {
	kind := attr(1, append([]byte("dummy"), 0)...)
	p := append(make([]byte, 16), attr(iflaIfname, append([]byte(name), 0)...)...)
	return message(typ, flags|nlmRequest|nlmAck, 1, append(p, attr(iflaLinkinfo, kind...)...)...)
}

// worker makes calls on a socket, which it opens anew now and then, until its
// namespace is gone or it has made enough.
// requests are what it may ask, by protocol.
func worker(n *Netns, r *rand.Rand, calls int, requests map[int][][]byte) {
	protos := []int{nlmsg.Route, nlmsg.Route, nlmsg.Route, nlmsg.Generic, nlmsg.Usersock}
	proto := protos[r.IntN(len(protos))]
	var sk *Socket
	for range calls {
		if sk == nil {
			var err errno
			if sk, err = n.open(sockRaw, proto); err != 0 {
				return
			}
		}
		switch reqs := requests[proto]; r.IntN(12) {
		case 0:
			sk.Bind(nlcase.Addr{Groups: r.Uint32()})
		case 1:
			sk.Bind(nlcase.Addr{Pid: r.Uint32N(8)})
		case 2:
			sk.Setsockopt(solNetlink, 1+r.IntN(12), native.AppendUint32(nil, r.Uint32N(34)))
		case 3:
			sk.Setsockopt(solSocket, soRcvbuf, native.AppendUint32(nil, r.Uint32N(1<<16)))
		case 4:
			o := nlcase.SendOptions{To: &nlcase.Addr{Pid: r.Uint32N(8), Groups: 1 << r.IntN(32)}}
			sk.Send(reqs[r.IntN(len(reqs))], o)
		case 5:
			sk.Start(reqs[r.IntN(len(reqs))], nlcase.SendOptions{To: &nlcase.Addr{Pid: r.Uint32N(8)}})
		case 6:
			sk.Close()
			sk = nil
		case 7, 8:
			for {
				if _, err := sk.Recv(nlcase.RecvOptions{Size: r.IntN(9000)}); err != 0 {
					break
				}
			}
		default:
			sk.Send(reqs[r.IntN(len(reqs))], nlcase.SendOptions{To: &nlcase.Addr{}})
		}
	}
}

// TestStress has a thousand sockets in a hundred namespaces used at once, some of
// which are taken down meanwhile, and looks for what is left.
func TestStress(t *testing.T) {
	const namespaces, sockets = 100, 10
	defer watch(5 * time.Minute)()
	k, err := New("6.12")
	require.NoError(t, err)
	requests := map[int][][]byte{}
	for _, w := range writeCases(t) {
		for proto, ms := range w.sent {
			requests[proto] = append(requests[proto], ms...)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	round := func(seed uint64, calls int) {
		var all sync.WaitGroup
		for i := range uint64(namespaces) {
			all.Go(func() {
				n := k.NewNetns()
				r := rand.New(rand.NewPCG(seed, i))
				var workers sync.WaitGroup
				for j := range uint64(sockets) {
					workers.Go(func() { worker(n, rand.New(rand.NewPCG(seed+i+1, j)), calls, requests) })
				}
				if r.IntN(2) == 0 {
					n.Netns()
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					n.Close()
				}
				workers.Wait()
				n.Close()
			})
		}
		all.Wait()
	}
	calls := 40
	if testing.Short() {
		calls = 10
	}
	before := runtime.NumGoroutine()
	heap := func() (m runtime.MemStats) {
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m
	}
	round(seed, calls)
	first := heap()
	for i := range uint64(2) {
		round(seed+1+i, calls)
	}
	last := heap()
	for i := 0; runtime.NumGoroutine() > before && i < 1000; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	require.Less(t, last.HeapAlloc, first.HeapAlloc+1<<20, "more rounds of the same kind have left something")
	requireIdle(t, k)
}

// requireIdle wants nothing but what the kernel itself has.
func requireIdle(t *testing.T, k *Kernel) {
	t.Helper()
	require.Len(t, k.allNets, 1)
	for key, sk := range k.sockets {
		require.True(t, sk.own && key.net == k.initNet, "a socket of protocol %d, portid %d is left", key.proto, key.portid)
	}
	for p := range k.protocols {
		require.Empty(t, k.protocols[p].members)
	}
	require.Empty(t, k.works)
	require.Empty(t, k.initNet.peers)
}
