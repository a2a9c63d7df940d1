//go:build linux

package bisect

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nlrig/nlrig/host"
)

// Answer is what a case came to on a kernel.
type Answer struct {
	Verdict   string
	Reason    string   `json:",omitempty"`
	Exchange  []string `json:",omitempty"` // nil when the case did not come to its end
	LastWords []string `json:",omitempty"`
}

// AnswerOf is an outcome's.
func AnswerOf(o host.Outcome) Answer {
	a := Answer{Verdict: string(o.Verdict), Reason: o.Reason, LastWords: o.LastWords}
	if o.Transcript != nil {
		a.Exchange = o.Transcript.Lines(o.Case)
	}
	return a
}

// Tells says that the answer is the kernel's, about the case: it booted, and had
// what the case needs.
func (a Answer) Tells() bool {
	return !slices.Contains([]host.Verdict{host.BootFail, host.Skip, host.ConfigMissing, host.VMCrash, host.Infra, host.AccelUnusable}, host.Verdict(a.Verdict))
}

// Alike says that two kernels did the same.
func (a Answer) Alike(b Answer) bool {
	return a.Verdict == b.Verdict && slices.Equal(a.Exchange, b.Exchange)
}

// Log is a file of answers, a line of JSON each, that are not asked for again:
// those of images that are the same byte for byte are the same. It grows, and is
// a history for a person, too.
type Log struct {
	path string
	has  map[string]Answer
}

// entry is a line of a Log.
type entry struct {
	Key    string
	Commit string
	Case   string // its name
	Answer
}

// OpenLog reads a log, which need not be there. Lines that are no entries, of a
// run that was killed, are passed over.
func OpenLog(path string) (*Log, error) {
	l := &Log{path: path, has: map[string]Answer{}}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Key != "" {
			l.has[e.Key] = e.Answer
		}
	}
	return l, lines.Err()
}

// Key is over all that an answer depends on.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\n%s\n", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Get is the answer under a key, if it is known.
func (l *Log) Get(key string) (Answer, bool) {
	a, ok := l.has[key]
	return a, ok
}

// Add keeps an answer.
func (l *Log) Add(key, commit, name string, a Answer) error {
	l.has[key] = a
	line, err := json.Marshal(entry{key, commit, name, a})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n')) // one write: others append, too
	return errors.Join(err, f.Close())
}
