package fuzz

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// changeBytes makes one of the sends bytes, and changes some of them.
func changeBytes(r *rand.Rand, s sequence) {
	at := sendsOf(s)
	if len(at) == 0 {
		return
	}
	st := &s[pick(r, at)]
	b := encode(st)
	if len(b) == 0 {
		return
	}
	for range 1 + r.IntN(4) {
		i := r.IntN(len(b))
		if r.IntN(4) > 0 && len(b) > nlmsg.HeaderLen {
			i = nlmsg.HeaderLen + r.IntN(len(b)-nlmsg.HeaderLen) // the header has its own changes
		}
		switch r.IntN(7) {
		case 0, 1:
			b[i] ^= 1 << r.IntN(8)
		case 2:
			b[i] = byte(pick(r, numbers))
		case 3:
			if i &^= 3; i+4 <= len(b) {
				binary.NativeEndian.PutUint32(b[i:], uint32(pick(r, numbers)))
			}
		case 4:
			if i &^= 1; i+2 <= len(b) {
				binary.NativeEndian.PutUint16(b[i:], uint16(pick(r, []uint64{0, 3, 4, 5, 8, 9, 12, 16, 255, 65535})))
			}
		case 5:
			if len(b) > 4 {
				b = b[:max(4, i)]
			}
		case 6:
			b = append(b, make([]byte, 1+r.IntN(8))...)
		}
	}
	if r.IntN(2) == 0 && len(b) >= 4 {
		binary.NativeEndian.PutUint32(b, uint32(len(b)))
	}
	if len(b) >= nlmsg.HeaderLen && calm(b) {
		st.msgs = []nlcase.Msg{{Raw: b}}
	}
}

// calm says that a message does not bring up a link, or have the portid of a
// socket, as far as can be seen.
func calm(b []byte) bool {
	if pid := binary.NativeEndian.Uint32(b[12:]); pid == 1 || pid == 100 {
		return false
	}
	switch t := binary.NativeEndian.Uint16(b[4:]); t {
	case 16, 19: // RTM_NEWLINK, RTM_SETLINK
		return len(b) < 32 || b[24]&1 == 0
	}
	return true
}

// encode is the datagram of a send.
func encode(st *step) []byte {
	open := step{text: "open " + st.sock + " " + nlmsg.ProtocolName(st.proto), sock: st.sock, proto: st.proto}
	alone := sequence{open, {sock: st.sock, proto: st.proto, msgs: cloneMsgs(st.msgs)}}
	for i := range alone[1].msgs {
		m := &alone[1].msgs[i]
		literal(m.Fields, m.Attrs)
	}
	c, err := nlcase.Parse("encode", []byte(text("", "", alone)))
	if err != nil {
		return nil // it names a socket
	}
	t := nlcase.Play(nothing{}, c)
	return t.Steps[1].Value
}

// nothing is a kernel that has no sockets.
type nothing struct{}

type nothingNet struct{ nlcase.Net }

func (nothing) Release() string { return "" }

func (nothing) Net(_ nlcase.Setup, f func(nlcase.Net)) error {
	f(nothingNet{})
	return nil
}

func (nothingNet) Socket(int, int) (nlcase.Socket, nlcase.Errno) { return nil, nlmsg.EPERM }
