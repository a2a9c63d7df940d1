// Package console keeps what a VM's console printed: its first and its last
// words, and never more than a bounded amount.
package console

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/guest/klog"
)

// maxLine bounds how long a line that Since returns can be.
const maxLine = 4 << 10

// keep is how much of the beginning, and how much of the end, is kept.
const keep = 512 << 10

// Log takes a console's bytes. The zero value is empty and ready.
type Log struct {
	mu      sync.Mutex // guards all below
	head    []byte
	tail    []byte // what came after head, at most 2*keep of it
	dropped int64  // bytes between head and tail
	first   time.Time
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	if l.first.IsZero() {
		l.first = time.Now()
	}
	if room := keep - len(l.head); room > 0 {
		take := min(room, len(p))
		l.head = append(l.head, p[:take]...)
		p = p[take:]
	}
	l.tail = append(l.tail, p...)
	if extra := len(l.tail) - keep; extra > keep {
		l.dropped += int64(extra)
		l.tail = append(l.tail[:0], l.tail[extra:]...)
	}
	return n, nil
}

// First is when the first byte was printed, zero before.
func (l *Log) First() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// String is all that was kept, as printable text: a guest decides what it
// prints, and it should not be able to drive the terminal that shows it.
func (l *Log) String() string {
	l.mu.Lock()
	b := bytes.Clone(l.head)
	if l.dropped > 0 {
		b = fmt.Appendf(b, "\n[%d bytes not kept]\n", l.dropped)
	}
	b = append(b, l.tail...)
	l.mu.Unlock()
	return Printable(string(b))
}

// Written is how many bytes were printed so far.
func (l *Log) Written() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.head)+len(l.tail)) + l.dropped
}

// Since returns the lines that were printed after the first n bytes, as far as
// they are kept.
func (l *Log) Since(n int64) []string {
	l.mu.Lock()
	head, tail := l.head, l.tail
	b := bytes.Clone(head[min(n, int64(len(head))):])
	n = max(0, n-int64(len(head))-l.dropped)
	b = append(b, tail[min(n, int64(len(tail))):]...)
	l.mu.Unlock()
	lines := strings.Split(Printable(string(b)), "\n")
	for i, s := range lines {
		lines[i] = s[:min(len(s), maxLine)]
	}
	return lines
}

// Printable makes s fit to be shown on a terminal: line ends become \n, and
// other control characters are removed.
func Printable(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0) {
			return r
		}
		return -1
	}, s)
}

// Last returns the last n lines that are not empty.
func (l *Log) Last(n int) []string {
	var lines []string
	for line := range strings.Lines(l.String()) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}

// Contains says whether the console printed s.
func (l *Log) Contains(s string) bool { return strings.Contains(l.String(), s) }

// Death is what the log says of how its kernel died.
type Death struct {
	Panic string   // the reason behind "Kernel panic - not syncing: ", empty if it did not
	Init  bool     // PID 1 was killed or ended
	Lines []string // from the first sign of trouble on, at most maxDeath
}

const (
	maxDeath  = 60  // lines of a Death
	maxReport = 200 // lines from a report to the panic that is of it
)

// Death looks for a panic. The lines begin at the report or the trigger that
// the panic is of, if there is one, since a trace precedes the panic.
func (l *Log) Death() (Death, bool) {
	const mark = "Kernel panic - not syncing: "
	lines := strings.Split(l.String(), "\n")
	first, end := -1, -1 // of the report that is open, and its end if it has one
	for i, line := range lines {
		// A report that ended long ago is not of this death.
		if trouble(line) && (first < 0 || end >= 0 || i-first > maxDeath) {
			first, end = i, -1
		}
		if strings.Contains(line, "---[ end trace ") && first >= 0 && end < 0 {
			end = i
		}
		if _, reason, ok := strings.Cut(line, mark); ok {
			if first < 0 || end >= 0 && i-end > 5 || i-first > maxReport {
				first = i
			}
			words := slices.Clone(lines[first:min(len(lines), first+maxDeath)])
			if i >= first+maxDeath { // the panic itself, after a long report
				words = append(words[:maxDeath/2], lines[i:min(len(lines), i+maxDeath/2)]...)
			}
			return Death{
				Panic: strings.TrimSpace(reason),
				Init:  strings.Contains(reason, "Attempted to kill init"),
				Lines: words,
			}, true
		}
	}
	return Death{}, false
}

func trouble(line string) bool {
	for _, s := range []string{"sysrq: Trigger a crash", "NMI received", "nlrig agent: "} {
		if strings.Contains(line, s) {
			return true
		}
	}
	return klog.Of(klog.Untimed(line)) != klog.None
}
