// Package kernels turns a name such as "6.12" into a kernel that can be
// booted, with its modules and its configuration. Kernels come from a Debian
// mirror, from files of this machine or from a repository, and are kept in a cache under the
// user's cache directory; nothing needs root.
//
// It needs apt-get, apt-helper and dpkg-deb for Debian's kernels, and nothing
// for a bzImage, a vmlinux or a User Mode Linux of one's own; kernels/build says
// what a build takes. To try it:
//
//	nlrig kernels list
//	nlrig kernels pull 6.12
package kernels

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

// Options say where kernels are kept and where they come from. The zero value
// works.
type Options struct {
	// Dir is the cache; "" means nlrig/kernels in the user's cache
	// directory.
	Dir string
	// Mirror is the address of a Debian mirror, such as
	// http://mirror.example/debian; its security suites are looked for at
	// the same address with -security appended. "" means what the
	// machine's own apt sources name.
	Mirror string
	// Refresh asks the mirror for its lists even if those of today are
	// here.
	Refresh bool
	// Log gets notes for a person, a line each without a newline. Calls
	// may come from any goroutine. nil discards them.
	Log func(format string, args ...any)
}

// Catalogue is what kernels there are. Its methods may be called from several
// goroutines, and several processes may use one cache.
type Catalogue struct {
	options Options
	dir     string
	etc     string // where the machine's apt sources are
	log     func(string, ...any)
	// patience is how long a mirror may say nothing.
	patience time.Duration

	mu        sync.Mutex // guards what follows; held while the mirror is asked
	loaded    bool
	versions  []Version
	mirrorErr error
	offline   bool
}

// Progress says how far Get is.
type Progress struct {
	Phase string // "wait", "download", "unpack", "build"
	Text  string // of a build: what is done at the moment
	Done  int64  // bytes
	Total int64  // bytes; 0 when not known
}

// Kernel is a bootable kernel in the cache. Paths are absolute.
type Kernel struct {
	Version Version
	VMLinux string // decompressed ELF; "" if it could not be extracted
	// PayloadErr says why VMLinux is "".
	PayloadErr string
	PVH        bool   // VMLinux has the note by which QEMU boots it directly
	BzImage    string // "" when only a vmlinux was given
	UML        string // executable of User Mode Linux; "" for a kernel of a VM
	Libs       string // directory of UML's own C library, in which it is to be started; "" for this machine's
	Config     string // "" when none came with it
	Changelog  string // the package's, gzipped; "" when none came with it, or an older nlrig unpacked it
	// KnowsBuiltin: what is built in is known. Without it Modules cannot
	// tell a built-in module from one that does not exist.
	KnowsBuiltin bool
	// Entry names it in the cache, and Sum its content: the SHA-256 of what
	// boots, in hex.
	Entry, Sum string

	dir       string
	catalogue *Catalogue
	load      func() (*moduleIndex, error)
	config    func() map[string]string
}

// Open prepares the catalogue. It asks nobody and creates nothing; what
// killed runs left in the cache is removed.
func Open(o Options) (*Catalogue, error) {
	if o.Dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("kernels: no cache directory: %w; set XDG_CACHE_HOME", err)
		}
		o.Dir = filepath.Join(user, "nlrig", "kernels")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("kernels: cache directory: %w", err)
	}
	c := &Catalogue{options: o, dir: dir, etc: "/etc/apt", log: o.Log, patience: 20 * time.Second}
	if c.log == nil {
		c.log = func(string, ...any) {}
	}
	cachedir.Sweep(dir)
	return c, nil
}

// Dir is the cache directory.
func (c *Catalogue) Dir() string { return c.dir }

func (c *Catalogue) path(v Version) string { return filepath.Join(c.dir, v.Entry()) }

func (c *Catalogue) isOffline() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offline
}

// here are the kernels in the cache.
func (c *Catalogue) here() []Version {
	names, err := os.ReadDir(c.dir)
	if err != nil {
		return nil
	}
	var vs []Version
	for _, n := range names {
		if !n.IsDir() || n.Name() == nameApt || strings.HasPrefix(n.Name(), cachedir.TmpPrefix) {
			continue
		}
		m, err := readManifest(filepath.Join(c.dir, n.Name()))
		if err == nil && m.Version.Entry() == n.Name() {
			m.Version.Here = true
			vs = append(vs, m.Version)
		}
	}
	slices.SortFunc(vs, compare)
	return vs
}

// List is every kernel that can be had, oldest first: those of the mirror
// and those in the cache. When the mirror cannot be asked its list of an
// earlier time serves, and failing that the cache alone; Options.Log is told.
func (c *Catalogue) List(ctx context.Context) ([]Version, error) {
	mirrored, err := c.mirrored(ctx)
	here := c.here()
	if err != nil {
		if ctx.Err() != nil || len(here) == 0 || errors.Is(err, ErrSpec) {
			return nil, fmt.Errorf("kernels: %w", err)
		}
		c.log("only kernels that are here: %v", err)
	}
	all := slices.Clone(here)
	for _, v := range mirrored {
		if !slices.ContainsFunc(here, func(h Version) bool { return h.Entry() == v.Entry() }) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, compare)
	return all, nil
}

// Get makes a kernel ready: what is here is checked, what is not is fetched,
// and what is damaged is named and fetched again. Two calls at once, in one
// process or two, fetch it once. progress, which may be nil, is called a few
// times a second.
func (c *Catalogue) Get(ctx context.Context, v Version, progress func(Progress)) (*Kernel, error) {
	k, err := c.open(v)
	if err == nil {
		return k, nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("kernels: %s: %w", v, cachedir.DiskError(c.dir, err))
	}
	report := throttle(progress)
	l, lockErr := cachedir.WaitLock(ctx, c.dir, v.Entry(), func() {
		c.log("%s: waiting for another nlrig that fetches it", v)
		report(Progress{Phase: "wait"})
	})
	if lockErr != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			lockErr = errors.Join(err, lockErr)
		}
		return nil, fmt.Errorf("kernels: %s: %w", v, cachedir.DiskError(c.dir, lockErr))
	}
	defer l.Release()
	if k, err = c.open(v); err == nil {
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.log("%s: %v; fetching again", v, err)
	}
	if err := c.fetch(ctx, v, report); err != nil {
		return nil, fmt.Errorf("kernels: %s: %w", v, err)
	}
	if k, err = c.open(v); err != nil {
		return nil, fmt.Errorf("kernels: %s: just fetched and not usable: %w", v, err)
	}
	return k, nil
}

// open checks an entry and hands it out. The error wraps fs.ErrNotExist when
// there is none.
func (c *Catalogue) open(v Version) (*Kernel, error) {
	dir := c.path(v)
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if err := m.check(dir); err != nil {
		return nil, err
	}
	if v.local() {
		// The same content may have been given under another name.
		m.Version.Path, m.Version.Modules, m.Version.Config = v.Path, v.Modules, v.Config
		m.Version.Rev, m.Version.Commit = v.Rev, v.Commit
	}
	m.Version.Here = true
	k := &Kernel{Version: m.Version, PVH: m.PVH, PayloadErr: m.PayloadErr, KnowsBuiltin: m.KnowsBuiltin,
		Entry: m.Version.Entry(), dir: dir, catalogue: c}
	for name, field := range map[string]*string{nameVMLinux: &k.VMLinux, nameBzImage: &k.BzImage, nameConfig: &k.Config, nameChangelog: &k.Changelog, nameUML: &k.UML} {
		if _, ok := m.Files[name]; ok {
			*field = filepath.Join(dir, name)
		}
	}
	if k.Sum = m.Files[nameVMLinux].SHA256; k.Sum == "" || !k.PVH {
		k.Sum = m.Files[nameBzImage].SHA256
	}
	if _, ok := m.Files[dirLibs+"/"+loader]; ok && m.Version.Libc == "" {
		k.Libs = filepath.Join(dir, dirLibs)
	}
	if k.UML != "" {
		k.Sum = m.Files[nameUML].SHA256
	}
	k.load = sync.OnceValues(k.readIndex)
	k.config = sync.OnceValue(k.readConfig)
	return k, nil
}

// repair fetches v again because of what is wrong with it, unless try finds
// that another nlrig has done so already.
func (c *Catalogue) repair(v Version, wrong error, try func() error) error {
	// The deadlines of what it runs bound it.
	ctx := context.Background()
	l, err := cachedir.WaitLock(ctx, c.dir, v.Entry(), func() { c.log("%s: waiting for another nlrig that fetches it", v) })
	if err != nil {
		return errors.Join(wrong, cachedir.DiskError(c.dir, err))
	}
	defer l.Release()
	if try() == nil {
		return nil
	}
	c.log("%s: %v; fetching again", v, wrong)
	if err := c.fetch(ctx, v, func(Progress) {}); err != nil {
		return errors.Join(wrong, err)
	}
	return try()
}

// fetch makes the entry of v, whose lock the caller holds.
func (c *Catalogue) fetch(ctx context.Context, v Version, report func(Progress)) (err error) {
	tmp := filepath.Join(c.dir, cachedir.TmpPrefix+v.Entry())
	if err := os.RemoveAll(tmp); err != nil {
		return cachedir.DiskError(c.dir, err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return cachedir.DiskError(c.dir, err)
	}
	defer os.RemoveAll(tmp)
	b, err := newBuilder(tmp)
	if err != nil {
		return err
	}
	defer b.close()
	unpacking := func(n int64) { report(Progress{Phase: "unpack", Done: n}) }
	if v.Source == SourceGit {
		v, err = c.buildGit(ctx, v, b, report)
	} else if v.local() {
		err = b.addLocal(ctx, v, unpacking)
	} else {
		v, err = c.fetchDebian(ctx, v, b, report)
	}
	if err != nil {
		return cachedir.DiskError(c.dir, err)
	}
	if _, err := b.finish(v); err != nil {
		return cachedir.DiskError(c.dir, err)
	}
	// A damaged entry makes way; the rename itself is all or nothing.
	if err := os.RemoveAll(c.path(v)); err != nil {
		return cachedir.DiskError(c.dir, err)
	}
	return cachedir.DiskError(c.dir, os.Rename(tmp, c.path(v)))
}

// fetchDebian downloads and unpacks what v consists of. If the mirror no
// longer has it, what replaced it there is taken and returned.
func (c *Catalogue) fetchDebian(ctx context.Context, v Version, b *builder, report func(Progress)) (Version, error) {
	a, err := c.archives()
	if err != nil {
		return v, err
	}
	apt := c.apt(a)
	if _, err := os.Stat(apt.conf()); err != nil {
		if err := apt.setUp(ctx); err != nil {
			return v, err
		}
	}
	debs, err := c.download(ctx, apt, v, b.dir, report)
	if errors.Is(err, ErrGone) {
		c.log("%s: %v; asking the mirror what it has now", v, err)
		started := time.Now()
		x, refreshErr := c.refreshIndex(ctx, a, func(x index) bool { return x.Fetched.After(started) })
		if refreshErr != nil {
			return v, errors.Join(err, refreshErr)
		}
		i := slices.IndexFunc(x.Versions, func(n Version) bool { return n.Entry() == v.Entry() })
		if i < 0 || x.Versions[i].Debian == v.Debian {
			return v, err
		}
		v = x.Versions[i]
		debs, err = c.download(ctx, apt, v, b.dir, report)
	}
	if err != nil {
		return v, err
	}
	for _, deb := range debs {
		if err := b.addDeb(ctx, deb, func(n int64) { report(Progress{Phase: "unpack", Done: n}) }); err != nil {
			return v, err
		}
		if err := os.Remove(deb); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (c *Catalogue) download(ctx context.Context, apt *apt, v Version, dir string, report func(Progress)) ([]string, error) {
	var debs []string
	var before int64
	for i, p := range v.Packages {
		deb := filepath.Join(dir, fmt.Sprintf("%d.deb", i))
		report(Progress{Phase: "download", Done: before, Total: v.Size})
		err := apt.download(ctx, p, deb, func(n int64) {
			report(Progress{Phase: "download", Done: before + n, Total: v.Size})
		})
		if err != nil {
			return nil, err
		}
		before += p.Size
		debs = append(debs, deb)
	}
	return debs, nil
}

// throttle keeps calls to a few a second; a new phase is always told.
func throttle(progress func(Progress)) func(Progress) {
	if progress == nil {
		return func(Progress) {}
	}
	var mu sync.Mutex
	var last time.Time
	var phase string
	return func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Phase != phase || time.Since(last) >= 200*time.Millisecond {
			last, phase = time.Now(), p.Phase
			progress(p)
		}
	}
}

// Remove frees what a kernel takes in the cache and returns how many bytes
// that was: 0 when it is not there. Whoever fetches it at the moment is
// waited for.
func (c *Catalogue) Remove(ctx context.Context, v Version) (freed int64, err error) {
	dir := c.path(v)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	l, err := cachedir.WaitLock(ctx, c.dir, v.Entry(), func() { c.log("%s: waiting for another nlrig that fetches it", v) })
	if err != nil {
		return 0, fmt.Errorf("kernels: remove %s: %w", v, cachedir.DiskError(c.dir, err))
	}
	defer l.Release()
	// Away in one step, so that no half of it is ever found.
	tmp := filepath.Join(c.dir, cachedir.TmpPrefix+v.Entry())
	err = os.RemoveAll(tmp)
	if err == nil {
		freed = cachedir.TreeSize(dir)
		err = os.Rename(dir, tmp)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		err = os.RemoveAll(tmp)
	}
	if err != nil {
		return 0, fmt.Errorf("kernels: remove %s: %w", v, cachedir.DiskError(c.dir, err))
	}
	return freed, nil
}
