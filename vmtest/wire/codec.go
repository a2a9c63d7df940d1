package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// encoder appends fields: integers as 4 bytes, strings and bytes with their
// length before them.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) str(s string) {
	e.uint(uint32(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(p []byte) {
	e.uint(uint32(len(p)))
	e.b = append(e.b, p...)
}

func (e *encoder) strs(all []string) {
	e.uint(uint32(len(all)))
	for _, s := range all {
		e.str(s)
	}
}

// decoder takes fields off a payload. The first error sticks; every field
// after it is zero.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("ends in the middle of a field")

func (d *decoder) uint() uint32 {
	p := d.take(4)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(p)
}

// atMost takes an integer that may not be above max.
func (d *decoder) atMost(max uint32) uint32 {
	v := d.uint()
	if v > max && d.err == nil {
		d.err = fmt.Errorf("%d, at most %d", v, max)
	}
	if d.err != nil {
		return 0
	}
	return v
}

func (d *decoder) str() string { return string(d.bytes()) }

// strs takes at most max strings.
func (d *decoder) strs(max uint32) (all []string) {
	for range d.atMost(max) {
		s := d.str()
		if d.err != nil {
			return nil // a count that the payload does not hold allocates nothing
		}
		all = append(all, s)
	}
	return all
}

// bytes returns a part of the payload, which the frame owns.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if d.err == nil && uint64(n) > uint64(len(d.b)) {
		d.err = fmt.Errorf("a field of %d bytes with %d left", n, len(d.b))
	}
	return d.take(int(n))
}

func (d *decoder) take(n int) []byte {
	if d.err == nil && n > len(d.b) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}
