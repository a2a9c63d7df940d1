//go:build linux

package guest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
)

// tty is a port that is a terminal. By what it writes to acks the host knows how
// much it may write.
type tty struct {
	port
	acks port
	read int // bytes of which the host does not know yet
}

func (t *tty) Read(b []byte) (int, error) {
	n, err := t.port.Read(b)
	for t.read += n; err == nil && t.read >= layout.Chunk; t.read -= layout.Chunk {
		_, err = t.acks.Write([]byte{0})
	}
	return n, err
}

func openTTYs(name, acks string) (*tty, error) {
	p, err := openTTY(name)
	if err != nil {
		return nil, err
	}
	a, err := openTTY(acks)
	if err != nil {
		return nil, err
	}
	_, err = a.Write([]byte{0})
	return &tty{port: p, acks: a}, err
}

// openTTY opens a terminal for bytes of any value: they are neither changed nor
// echoed, and none is a signal or the other end's leave to write.
func openTTY(path string) (port, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("no port: open %s: %w", path, err)
	}
	raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B38400}
	raw.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return -1, fmt.Errorf("no port: %s in raw mode: %w", path, err)
	}
	return port(fd), nil
}
