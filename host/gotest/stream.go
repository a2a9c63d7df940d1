package gotest

import (
	"bufio"
	"bytes"
	"io"
	"slices"
)

// cursor reads a run's output here and there, and mostly onward.
type cursor struct {
	in  io.ReadSeeker
	buf *bufio.Reader
	off int64
}

func newCursor(in io.ReadSeeker) (*cursor, error) {
	c := &cursor{in: in, buf: bufio.NewReaderSize(in, maxPiece), off: -1}
	return c, c.seek(0)
}

func (c *cursor) seek(off int64) error {
	if ahead := off - c.off; c.off >= 0 && ahead >= 0 && ahead <= int64(c.buf.Buffered()) {
		c.off = off
		_, err := c.buf.Discard(int(ahead))
		return err
	}
	_, err := c.in.Seek(off, io.SeekStart)
	c.buf.Reset(c.in)
	c.off = off
	return err
}

func (c *cursor) Read(b []byte) (int, error) {
	n, err := c.buf.Read(b)
	c.off += int64(n)
	return n, err
}

// equal compares two texts. a and b may be the same one.
func equal(a *cursor, ofA []piece, b *cursor, ofB []piece) (bool, error) {
	if a == b || length(ofA) != length(ofB) {
		return a == b, nil
	}
	x, y := &texts{a, slices.Clone(ofA)}, &texts{b, slices.Clone(ofB)}
	bufX, bufY := make([]byte, maxFrame), make([]byte, maxFrame)
	for {
		n, errX := io.ReadFull(x, bufX)
		m, errY := io.ReadFull(y, bufY)
		if !bytes.Equal(bufX[:n], bufY[:m]) {
			return false, nil
		}
		for _, err := range []error{errX, errY} {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return true, nil
			}
			if err != nil {
				return false, err
			}
		}
	}
}

func length(of []piece) (n int64) {
	for _, p := range of {
		n += p.n
	}
	return n
}

// texts reads pieces one after the other.
type texts struct {
	in   *cursor
	rest []piece
}

func (t *texts) Read(b []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	p := &t.rest[0]
	if err := t.in.seek(p.off); err != nil {
		return 0, err
	}
	n, err := t.in.Read(b[:min(int64(len(b)), p.n)])
	if err != nil {
		return n, err
	}
	if p.n -= int64(n); p.n == 0 {
		t.rest = t.rest[1:]
	} else {
		p.off += int64(n)
	}
	return n, nil
}

// lineWriter knows whether it is at a line's start, and keeps the first error
// for flush.
type lineWriter struct {
	w   *bufio.Writer
	mid bool
}

func newLineWriter(w io.Writer) *lineWriter { return &lineWriter{w: bufio.NewWriterSize(w, maxPiece)} }

func (l *lineWriter) Write(b []byte) (int, error) {
	if len(b) > 0 {
		l.mid = b[len(b)-1] != '\n'
	}
	l.w.Write(b)
	return len(b), nil
}

// fresh begins a new line unless at the start of one.
func (l *lineWriter) fresh() {
	if l.mid {
		l.Write([]byte("\n"))
	}
}

func (l *lineWriter) flush() error { return l.w.Flush() }
