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
	seq uint64 // of the next record, 0 before the first
	buf [8192]byte
}

func openKmsg() (*kmsg, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if _, err := unix.Seek(fd, 0, 2); err != nil {
		return nil, err
	}
	// One record, read again, tells the numbers of those to come, by which
	// it is known how many were lost.
	k := &kmsg{fd: fd}
	_, err = unix.Write(fd, []byte("<6>nlrig reads from here on\n"))
	k.drain(allRecords, func(record) {})
	return k, err
}

// record is one of the log. user says that a program wrote it. lost is how many
// before it the kernel dropped, because nobody had read them in time.
type record struct {
	seq, lost uint64
	priority  uint8
	user      bool
	text      string
}

// drain calls line for the records that have come since, at most limit of
// them: a kernel that logs without end is not followed for ever.
func (k *kmsg) drain(limit int, line func(record)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range limit {
		n, err := unix.Read(k.fd, k.buf[:])
		if err == unix.EPIPE || err == unix.EINTR {
			continue // EPIPE: the next read is of the oldest there is
		}
		if err != nil || n == 0 {
			return
		}
		r := parseKmsg(string(k.buf[:n]))
		if k.seq > 0 && r.seq > k.seq {
			r.lost = r.seq - k.seq
		}
		k.seq = r.seq + 1
		line(r)
	}
}

// parseKmsg takes a record apart: "6,339,5140900,-;text\n KEY=value\n". The
// facility is above the priority's three bits, and only the kernel's is 0.
func parseKmsg(s string) record {
	prefix, rest, _ := strings.Cut(s, ";")
	text, _, _ := strings.Cut(rest, "\n")
	fields := strings.SplitN(prefix, ",", 3)
	n, err := strconv.Atoi(fields[0])
	if err != nil || len(fields) < 3 {
		return record{priority: 6, user: true, text: s}
	}
	seq, _ := strconv.ParseUint(fields[1], 10, 64)
	return record{seq: seq, priority: uint8(n & 7), user: n>>3 != 0, text: text}
}
