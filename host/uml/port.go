//go:build linux

package uml

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nlrig/nlrig/guest/layout"
)

// port is the host's end of a terminal. The terminal's driver is told of what
// arrives and does not look at what has, so nothing is written until the guest
// says that it is open.
type port struct {
	file *os.File

	mu    sync.Mutex // guards the rest
	open  bool
	early []byte // what was to be written before
}

// Read begins behind the byte that says so.
func (p *port) Read(b []byte) (int, error) {
	if !p.open { // nobody but the one reader sets it
		var first [1]byte
		if _, err := p.file.Read(first[:]); err != nil {
			return 0, err
		}
		if first[0] != layout.Opened {
			return 0, fmt.Errorf("the port begins with %#x, want %#x", first[0], layout.Opened)
		}
		if err := p.opened(); err != nil {
			return 0, err
		}
	}
	return p.file.Read(b)
}

func (p *port) opened() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
	_, err := p.write(p.early)
	p.early = nil
	return err
}

// Write fails when the guest does not take b within writeTimeout.
func (p *port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		p.early = append(p.early, b...)
		return len(b), nil
	}
	return p.write(b)
}

// writeTimeout bounds one frame, a kernel module of some megabytes at most.
const writeTimeout = 20 * time.Second

func (p *port) write(b []byte) (int, error) {
	if err := p.file.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.file.Write(b)
}
