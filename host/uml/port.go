//go:build linux

package uml

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nlrig/nlrig/guest/layout"
)

// port is the host's end of a terminal. Its driver is told of what arrives and
// does not look at what has, so nothing is written until the guest says that it
// is open. And it hears of nothing more once the terminal's buffer was full
// (arch/um/drivers/line.c line_throttle), so no more is written than fits: by
// each byte on a second terminal the guest says that it has read layout.Chunk.
type port struct {
	file, acks *os.File

	read atomic.Int64  // bytes that the guest has said it read
	more chan struct{} // holds one; sent to when read has changed
	gone chan struct{} // closed when the guest will say nothing more

	mu    sync.Mutex // guards the rest
	open  bool
	early []byte // what was to be written before
	sent  int64
}

// ahead is how much is written that the guest need not have read: less than the
// 4096 bytes of a terminal's buffer (drivers/tty/n_tty.c), at the last 128 of
// which it counts as full.
const ahead = 3 * layout.Chunk

func newPort(file, acks *os.File) *port {
	p := &port{file: file, acks: acks, more: make(chan struct{}, 1), gone: make(chan struct{})}
	go p.listen()
	return p
}

// listen ends with the VM, or when the port is closed.
func (p *port) listen() {
	defer close(p.gone)
	b := make([]byte, 256)
	for first := true; ; first = false {
		n, err := p.acks.Read(b)
		if err != nil {
			return
		}
		if first {
			n-- // which says that it is open
			p.mu.Lock()
			p.open = true
			_, err := p.write(p.early) // which fits
			p.early = nil
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
		p.read.Add(int64(n) * layout.Chunk)
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

func (p *port) Read(b []byte) (int, error) { return p.file.Read(b) }

// Write fails when the guest does not take b within writeTimeout.
func (p *port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		if len(p.early)+len(b) > ahead {
			return 0, errors.New("the port is not open yet")
		}
		p.early = append(p.early, b...)
		return len(b), nil
	}
	return p.write(b)
}

// writeTimeout bounds one frame, a kernel module of some megabytes at most.
const writeTimeout = 60 * time.Second

func (p *port) write(b []byte) (done int, err error) {
	timeout := time.NewTimer(writeTimeout)
	defer timeout.Stop()
	for len(b) > 0 {
		room := int(ahead - (p.sent - p.read.Load()))
		if room <= 0 {
			select {
			case <-p.more:
			case <-p.gone:
				return done, os.ErrClosed
			case <-timeout.C:
				return done, fmt.Errorf("the guest read nothing more for too long: %w", os.ErrDeadlineExceeded)
			}
			continue
		}
		n, err := p.file.Write(b[:min(room, len(b))])
		p.sent += int64(n)
		done += n
		if err != nil {
			return done, err
		}
		b = b[n:]
	}
	return done, nil
}

func (p *port) close() error {
	err := errors.Join(p.file.Close(), p.acks.Close())
	<-p.gone
	return err
}
