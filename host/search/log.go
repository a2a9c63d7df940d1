package search

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

// Log keeps what an Oracle saw, a line of JSON for each Try, on the disk before
// the search goes on. Whatever kills a search costs it the try that it was at.
// The zero value keeps it in memory.
type Log struct {
	// Resumed is how many tries were there when it was opened.
	Resumed int

	file *os.File
	lock *cachedir.Lock
	seen map[string][]Seen
}

// logLine is the first line of a log, or one of the others.
type logLine struct {
	Bisect string `json:"bisect,omitempty"` // of the first: the question
	Name   string `json:"name,omitempty"`
	*Seen
	Done bool `json:"done,omitempty"` // of the last: it is answered
}

// ErrOtherLog says that a log is of another question.
var ErrOtherLog = errors.New("the log is of another question")

// OpenLog opens the log of a question, or begins one; fresh begins anew what is
// there, and so does a log whose question is answered. A last line that is not
// whole, because it was being written, is cut off.
func OpenLog(path, question string, fresh bool) (*Log, error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, cachedir.DiskError(dir, err)
	}
	lock, err := cachedir.TryLock(dir, name)
	if errors.Is(err, cachedir.ErrLocked) {
		return nil, fmt.Errorf("%s: another nlrig is at this bisection; wait for it, or name another file with -log", path)
	}
	if err != nil {
		return nil, cachedir.DiskError(dir, err)
	}
	l := &Log{lock: lock, seen: map[string][]Seen{}}
	if err := l.open(path, question, fresh); err != nil {
		l.Close()
		return nil, cachedir.DiskError(dir, err)
	}
	return l, nil
}

func (l *Log) open(path, question string, fresh bool) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if fresh {
		text = nil
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	done, err := l.read(path, text[:whole], question)
	if err != nil {
		return err
	}
	if done {
		l.seen, l.Resumed, whole = map[string][]Seen{}, 0, 0
	}
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		err = l.file.Truncate(int64(whole))
	}
	if err == nil {
		_, err = l.file.Seek(int64(whole), 0)
	}
	if err == nil && whole == 0 {
		err = l.write(logLine{Bisect: question})
	}
	return err
}

func (l *Log) read(path string, text []byte, question string) (done bool, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		var x logLine
		if err := json.Unmarshal(line, &x); err != nil {
			return false, fmt.Errorf("%s:%d: %w: remove the file, or begin anew with -restart", path, n, err)
		}
		if n == 1 && x.Bisect != question {
			return false, fmt.Errorf("%s: %w: %s; begin anew with -restart, or name another file with -log", path, ErrOtherLog, x.Bisect)
		}
		if x.Seen != nil {
			l.seen[x.Name] = append(l.seen[x.Name], *x.Seen)
			l.Resumed++
		}
		done = x.Done
	}
	return done, nil
}

func (l *Log) past(name string) []Seen { return l.seen[name] }

func (l *Log) add(name string, seen Seen) error {
	if l.file != nil {
		if err := l.write(logLine{Name: name, Seen: &seen}); err != nil {
			return fmt.Errorf("keep the log: %w", cachedir.DiskError(filepath.Dir(l.file.Name()), err))
		}
	}
	if l.seen == nil {
		l.seen = map[string][]Seen{}
	}
	l.seen[name] = append(l.seen[name], seen)
	return nil
}

func (l *Log) write(x logLine) error {
	line, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

// Close leaves the log for a search that goes on.
func (l *Log) Close() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	if l.lock != nil {
		l.lock.Release()
	}
	return err
}

// Finish marks the question as answered: who asks again begins anew.
func (l *Log) Finish() error {
	if l.file == nil {
		return nil
	}
	return l.write(logLine{Done: true})
}
