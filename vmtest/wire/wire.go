// Package wire is what host and guest say to each other over one byte stream:
// the virtio-serial port of a VM, or a socket pair to a process of this
// machine.
//
// A frame is a 20-byte header and a payload, all integers little-endian:
//
//	0  4  magic "nlrg"
//	4  1  protocol version
//	5  1  message type
//	6  2  zero
//	8  4  sequence: 0 for a direction's first frame, then one more each
//	12 4  payload length in bytes
//	16 4  CRC-32C of bytes 0 to 15 and the payload
//
// The host does not trust the guest. A length is checked against a bound
// before anything is allocated; a wrong magic, version, checksum or sequence,
// an unknown type, a message that goes the other way, and bytes left over in a
// payload are errors, after which the stream is not read again. No string that
// comes from the guest is used as a path.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// Version is the protocol's. Host and guest of different versions do not talk.
const Version = 4

const (
	headerLen = 20
	magic     = "nlrg"

	// MaxToHost and MaxToGuest bound a payload, in bytes. A guest sends
	// transcripts and log lines, a host whole kernel modules.
	MaxToHost  = 4 << 20
	MaxToGuest = 64 << 20
)

// What can be wrong with a frame. Errors of Recv wrap one of these, or an
// error of the stream itself.
var (
	ErrMagic     = errors.New("not a frame")
	ErrVersion   = errors.New("protocol version differs")
	ErrTooLong   = errors.New("payload too long")
	ErrChecksum  = errors.New("checksum differs")
	ErrSequence  = errors.New("frame out of sequence")
	ErrUnknown   = errors.New("unknown message type")
	ErrDirection = errors.New("message goes the other way")
	ErrPayload   = errors.New("malformed payload")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Side says which end of the stream a Conn is.
type Side uint8

const (
	Host Side = iota
	Guest
)

// Conn sends and receives messages. One goroutine may receive while any
// number send.
type Conn struct {
	side Side
	r    io.Reader
	recv uint32 // sequence of the next frame in

	mu   sync.Mutex // orders frames out; guards w, sent, buf
	w    io.Writer
	sent uint32
	buf  []byte
}

// NewConn speaks over rw, which must not be used otherwise from then on. There is
// room for most frames at once: a VM has it in its image.
func NewConn(side Side, rw io.ReadWriter) *Conn {
	return &Conn{side: side, r: rw, w: rw, buf: make([]byte, 0, 16<<10)}
}

// Send writes m as one frame in one Write.
func (c *Conn) Send(m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = appendFrame(c.buf[:0], c.sent, m)
	if max := c.side.peer().maxPayload(); len(c.buf)-headerLen > max {
		return fmt.Errorf("send %v: %w: %d bytes, at most %d", m.Type(), ErrTooLong, len(c.buf)-headerLen, max)
	}
	c.sent++
	if _, err := c.w.Write(c.buf); err != nil {
		return fmt.Errorf("send %v: %w", m.Type(), err)
	}
	if cap(c.buf) > 1<<20 {
		c.buf = nil // a module went by: do not keep its size
	}
	return nil
}

// Recv reads one frame. io.EOF means that the stream ended between frames.
func (c *Conn) Recv() (Message, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return nil, err
	}
	n, err := checkHeader(h[:], c.side, c.recv)
	if err != nil {
		return nil, err
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("receive %v: %w", Type(h[5]), err)
	}
	m, err := decode(h[:], payload)
	if err != nil {
		return nil, err
	}
	c.recv++
	return m, nil
}

func (s Side) peer() Side { return s ^ 1 }

// maxPayload bounds what this side takes.
func (s Side) maxPayload() int {
	if s == Host {
		return MaxToHost
	}
	return MaxToGuest
}

func appendFrame(b []byte, seq uint32, m Message) []byte {
	b = append(b, magic...)
	b = append(b, Version, byte(m.Type()), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	e := encoder{b}
	m.encode(&e)
	b = e.b
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-headerLen))
	binary.LittleEndian.PutUint32(b[16:], checksum(b[:16], b[headerLen:]))
	return b
}

func checksum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
}

// checkHeader returns the payload's length, which is within side's bound.
func checkHeader(h []byte, side Side, seq uint32) (int, error) {
	t := Type(h[5])
	n := binary.LittleEndian.Uint32(h[12:])
	got := binary.LittleEndian.Uint32(h[8:])
	switch {
	case string(h[:4]) != magic:
		return 0, fmt.Errorf("%w: begins % x", ErrMagic, h[:4])
	case h[4] != Version:
		return 0, fmt.Errorf("%w: want %d, got %d", ErrVersion, Version, h[4])
	case h[6] != 0 || h[7] != 0:
		return 0, fmt.Errorf("%w: reserved bytes % x", ErrMagic, h[6:8])
	case !t.known():
		return 0, fmt.Errorf("%w: %d", ErrUnknown, h[5])
	case t.to() != side:
		return 0, fmt.Errorf("%w: %v", ErrDirection, t)
	case uint64(n) > uint64(side.maxPayload()):
		return 0, fmt.Errorf("%v: %w: %d bytes, at most %d", t, ErrTooLong, n, side.maxPayload())
	case got != seq:
		return 0, fmt.Errorf("%v: %w: want %d, got %d", t, ErrSequence, seq, got)
	}
	return int(n), nil
}

func decode(h, payload []byte) (Message, error) {
	t := Type(h[5])
	if want, got := binary.LittleEndian.Uint32(h[16:]), checksum(h[:16], payload); want != got {
		return nil, fmt.Errorf("%v: %w: want %08x, got %08x", t, ErrChecksum, want, got)
	}
	m := t.message()
	d := decoder{b: payload}
	m.decode(&d)
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, fmt.Errorf("%v: %w: %w", t, ErrPayload, d.err)
	}
	return m, nil
}
