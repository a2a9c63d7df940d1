package nlcase

import (
	"encoding/binary"
	"errors"
)

// transcriptMagic is the version of the binary form.
const transcriptMagic = 0xa1

// maxControl bounds the ancillary messages of a datagram.
const maxControl = 16

// AppendBinary puts the transcript's binary form to b.
func (t *Transcript) AppendBinary(b []byte) []byte {
	b = append(b, transcriptMagic)
	b = appendBytes(b, []byte(t.Release))
	b = appendBytes(b, []byte(t.Failed))
	b = binary.AppendUvarint(b, uint64(len(t.Steps)))
	for i := range t.Steps {
		r := &t.Steps[i]
		var skipped byte
		if r.Skipped {
			skipped = 1
		}
		b = append(b, skipped)
		b = binary.AppendUvarint(b, uint64(uint32(r.Errno)))
		b = binary.AppendUvarint(b, uint64(r.Portid))
		b = binary.AppendUvarint(b, uint64(r.Groups))
		b = appendBytes(b, r.Value)
		b = binary.AppendUvarint(b, uint64(len(r.Datagrams)))
		for j := range r.Datagrams {
			d := &r.Datagrams[j]
			b = appendBytes(b, d.Data)
			b = binary.AppendUvarint(b, uint64(d.Len))
			b = binary.AppendUvarint(b, uint64(d.From.Pid))
			b = binary.AppendUvarint(b, uint64(d.From.Groups))
			b = binary.AppendUvarint(b, uint64(d.Flags))
			b = binary.AppendUvarint(b, uint64(len(d.Control)))
			for _, c := range d.Control {
				b = binary.AppendUvarint(b, uint64(c.Level))
				b = binary.AppendUvarint(b, uint64(c.Type))
				b = appendBytes(b, c.Data)
			}
		}
	}
	return b
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

var errTranscript = errors.New("malformed transcript")

// UnmarshalBinary reads what AppendBinary wrote and refuses all else. It
// allocates no more than a small multiple of what it is given. The transcript
// keeps slices of b.
func (t *Transcript) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if len(b) == 0 || b[0] != transcriptMagic {
		return errTranscript
	}
	d.b = b[1:]
	*t = Transcript{Release: string(d.bytes()), Failed: string(d.bytes())}
	for range d.count(maxSteps, 6) {
		var r StepResult
		switch d.uint(1) {
		case 1:
			r.Skipped = true
		}
		r.Errno = Errno(int32(d.uint(1<<32 - 1)))
		r.Portid, r.Groups = d.u32(), d.u32()
		r.Value = d.bytes()
		for range d.count(maxDatagrams, 6) {
			var g Datagram
			g.Data = d.bytes()
			g.Len = int(d.uint(1<<31 - 1))
			g.From = Addr{Pid: d.u32(), Groups: d.u32()}
			g.Flags = d.u32()
			for range d.count(maxControl, 3) {
				g.Control = append(g.Control, Control{d.u32(), d.u32(), d.bytes()})
			}
			r.Datagrams = append(r.Datagrams, g)
		}
		t.Steps = append(t.Steps, r)
	}
	if d.bad || len(d.b) > 0 {
		*t = Transcript{}
		return errTranscript
	}
	return nil
}

// decoder reads values; its error is sticky.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

// uint reads a number up to limit, in its shortest form.
func (d *decoder) uint(limit uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > limit || size > 1 && n>>(7*(size-1)) == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) u32() uint32 { return uint32(d.uint(1<<32 - 1)) }

func (d *decoder) bytes() []byte {
	n := d.uint(uint64(len(d.b)))
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	if n == 0 {
		return nil
	}
	return v
}

// count reads how many elements follow, each of at least size bytes.
func (d *decoder) count(limit, size uint64) int {
	n := d.uint(limit)
	if n > uint64(len(d.b))/size {
		d.fail()
		return 0
	}
	return int(n)
}
