// Package cachedir keeps directories whose entries are made under a lock and
// appear by a rename: complete or not at all, whoever else is at work there and
// whatever kills it.
//
//	ENTRY/       what is kept
//	tmp.ENTRY/   the same while it is being made or removed
//	ENTRY.lock   flocked by whoever makes or removes ENTRY
//
// Whoever holds the lock owns tmp.ENTRY, so one that is found while the lock
// is free belongs to a run that was killed.
package cachedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lock is a file lock that another process respects and that ends with this
// process, whatever ends it.
type Lock struct{ f *os.File }

// ErrLocked is TryLock's where another has the lock.
var ErrLocked = errors.New("locked")

// TryLock takes the lock called name, or fails with ErrLocked.
func TryLock(dir, name string) (*Lock, error) {
	path := filepath.Join(dir, name+".lock")
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, ErrLocked
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The one who held it removed the file: then this is a lock on
		// a file that nobody else will find.
		mine, errMine := f.Stat()
		now, errNow := os.Stat(path)
		if errMine == nil && errNow == nil && os.SameFile(mine, now) {
			return &Lock{f}, nil
		}
		f.Close()
	}
}

// WaitLock takes the lock, waiting as long as ctx allows; waiting is called
// once if there is a wait.
func WaitLock(ctx context.Context, dir, name string, waiting func()) (*Lock, error) {
	for first := true; ; first = false {
		l, err := TryLock(dir, name)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another nlrig that has %s locked: %w", name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Release gives the lock up.
func (l *Lock) Release() {
	os.Remove(l.f.Name())
	l.f.Close()
}

// TmpPrefix is what the name of an entry begins with while it is being made.
const TmpPrefix = "tmp."

// Sweep removes what killed runs left: temporary directories and locks that
// nobody holds.
func Sweep(dir string) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, n := range names {
		entry, isTmp := strings.CutPrefix(n.Name(), TmpPrefix)
		if !isTmp {
			var isLock bool
			if entry, isLock = strings.CutSuffix(n.Name(), ".lock"); !isLock {
				continue
			}
		}
		l, err := TryLock(dir, entry)
		if err != nil {
			continue
		}
		if isTmp {
			os.RemoveAll(filepath.Join(dir, n.Name()))
		}
		l.Release()
	}
}

// FullError is that of a disk which is full.
type FullError struct {
	Dir string
	Err error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%v; the disk with %s is full: free some space, remove kernels with nlrig kernels rm, or use another disk (nlrig -cache DIR, or XDG_CACHE_HOME)", e.Err, e.Dir)
}

func (e *FullError) Unwrap() error { return e.Err }

// DiskError adds what to do to an error, which may be nil, when the disk is
// full, which is a FullError, or not writable.
func DiskError(dir string, err error) error {
	switch full := new(FullError); {
	case err == nil:
		return nil
	case errors.As(err, &full):
		return err
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "No space left on device") || isFull(dir):
		return &FullError{dir, err}
	case errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the cache %s is not writable: use a directory that is (nlrig -cache DIR, or XDG_CACHE_HOME)", err, dir)
	}
	return err
}

// isFull says whether there is next to no space left, which programs that fail
// for it do not always say.
func isFull(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Flags&syscall.MS_RDONLY == 0 && st.Bavail*uint64(st.Bsize) < 8<<10
}

// TreeSize is the number of bytes that the files under dir take.
func TreeSize(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
