//go:build linux

package guest

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// kmsg reads the kernel's log from where it stood when it was opened, a
// record a read (Documentation/ABI/testing/dev-kmsg).
type kmsg struct {
	mu  sync.Mutex // orders readers, so that a record is passed on once
	fd  int
	buf [8192]byte
}

func openKmsg() (*kmsg, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_, err = unix.Seek(fd, 0, 2)
	return &kmsg{fd: fd}, err
}

// drain calls line for every record that has come since.
func (k *kmsg) drain(line func(priority uint8, text string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		n, err := unix.Read(k.fd, k.buf[:])
		if err == unix.EPIPE {
			line(4, "(the kernel dropped log records before they were read)")
			continue
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		line(parseKmsg(string(k.buf[:n])))
	}
}

// parseKmsg takes a record apart: "6,339,5140900,-;text\n KEY=value\n". The
// facility is above the priority's three bits.
func parseKmsg(record string) (priority uint8, text string) {
	prefix, rest, _ := strings.Cut(record, ";")
	text, _, _ = strings.Cut(rest, "\n")
	field, _, _ := strings.Cut(prefix, ",")
	n, err := strconv.Atoi(field)
	if err != nil {
		return 6, record
	}
	return uint8(n & 7), text
}
