package kernels

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The cache directory holds
//
//	index.json      what the mirror has
//	apt/            apt's own state
//	ENTRY/          one kernel: manifest.json and the files it lists
//	tmp.ENTRY/      the same while it is being made (tmp.index for the index)
//	ENTRY.lock      flocked by whoever makes or removes ENTRY
//
// An entry appears by a rename, complete or not at all. Whoever holds the
// lock owns tmp.ENTRY, so one that is found while the lock is free belongs
// to a run that was killed.

// A manifest lists what an entry holds. It ends the making of an entry.
type manifest struct {
	Format  int
	Version Version
	PVH     bool
	// PayloadErr says why there is no vmlinux.
	PayloadErr string `json:",omitempty"`
	// KnowsBuiltin: the list of built-in modules came with the kernel.
	KnowsBuiltin bool
	Files        map[string]fileSum
}

type fileSum struct {
	Size   int64
	SHA256 string
}

// manifestFormat changes when an older nlrig could not read what a newer one
// wrote, or the reverse; an entry of another format is made anew.
const manifestFormat = 1

// Names within an entry.
const (
	nameManifest = "manifest.json"
	nameVMLinux  = "vmlinux"
	nameBzImage  = "vmlinuz"
	nameConfig   = "config"
	nameModules  = "modules.json"
	dirModules   = "modules"
)

// writeManifest puts the manifest under a line with its own hash: the hashes
// in it are only worth something when they are whole.
func writeManifest(dir string, m manifest) error {
	m.Format = manifestFormat
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	text = append([]byte(hex.EncodeToString(sum[:])+"\n"), text...)
	return os.WriteFile(filepath.Join(dir, nameManifest), text, 0o644)
}

// readManifest fails with fs.ErrNotExist where there is no entry.
func readManifest(dir string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(filepath.Join(dir, nameManifest))
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(dir); e == nil {
			return m, fmt.Errorf("%s missing from the cache", nameManifest)
		}
	}
	if err != nil {
		return m, err
	}
	want, body, _ := bytes.Cut(text, []byte("\n"))
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != string(want) {
		return m, damaged(nameManifest, hex.EncodeToString(got[:]), string(want))
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%s: %w", nameManifest, err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("%s has format %d, this nlrig reads %d", nameManifest, m.Format, manifestFormat)
	}
	return m, nil
}

func damaged(name, got, want string) error {
	return fmt.Errorf("%s damaged in the cache (sha256 %.12s, want %.12s)", name, got, want)
}

// verify hashes every file of the manifest.
func (m manifest) verify(dir string) error {
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(m.Files))
	for name, want := range m.Files {
		go func() {
			got, err := hashFile(filepath.Join(dir, name))
			if err == nil && got != want.SHA256 {
				err = damaged(name, got, want.SHA256)
			}
			results <- result{name, err}
		}()
	}
	var err error
	for range m.Files {
		if r := <-results; r.err != nil && err == nil {
			err = r.err
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s missing from the cache", r.name)
			}
		}
	}
	return err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lock is a file lock that another process respects and that ends with this
// process, whatever ends it.
type lock struct{ f *os.File }

var errLocked = errors.New("locked")

// tryLock takes the lock called name, or fails with errLocked.
func tryLock(dir, name string) (*lock, error) {
	path := filepath.Join(dir, name+".lock")
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errLocked
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The one who held it removed the file: then this is a lock on
		// a file that nobody else will find.
		mine, errMine := f.Stat()
		now, errNow := os.Stat(path)
		if errMine == nil && errNow == nil && os.SameFile(mine, now) {
			return &lock{f}, nil
		}
		f.Close()
	}
}

// waitLock takes the lock, waiting as long as ctx allows; waiting is called
// once if there is a wait.
func waitLock(ctx context.Context, dir, name string, waiting func()) (*lock, error) {
	for first := true; ; first = false {
		l, err := tryLock(dir, name)
		if !errors.Is(err, errLocked) {
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

func (l *lock) release() {
	os.Remove(l.f.Name())
	l.f.Close()
}

const tmpPrefix = "tmp."

// sweep removes what killed runs left: temporary directories and locks that
// nobody holds.
func sweep(dir string) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, n := range names {
		entry, isTmp := strings.CutPrefix(n.Name(), tmpPrefix)
		if !isTmp {
			var isLock bool
			if entry, isLock = strings.CutSuffix(n.Name(), ".lock"); !isLock {
				continue
			}
		}
		l, err := tryLock(dir, entry)
		if err != nil {
			continue
		}
		if isTmp {
			os.RemoveAll(filepath.Join(dir, n.Name()))
		}
		l.release()
	}
}

// diskError adds what to do to an error, which may be nil, when the disk is
// full or not writable.
func diskError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "is full: "):
		return err
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "No space left on device") || full(dir):
		return fmt.Errorf("%w; the disk with %s is full: free some space, remove kernels with nlrig kernels rm, or use another disk (nlrig -cache DIR, or XDG_CACHE_HOME)", err, dir)
	case errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the cache %s is not writable: use a directory that is (nlrig -cache DIR, or XDG_CACHE_HOME)", err, dir)
	}
	return err
}

// full says whether there is next to no space left, which programs that fail
// for it do not always say.
func full(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Flags&syscall.MS_RDONLY == 0 && st.Bavail*uint64(st.Bsize) < 8<<10
}

// treeSize is the number of bytes that the files under dir take.
func treeSize(dir string) (size int64) {
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
