package kernels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

const (
	nameIndex = "index.json"
	nameApt   = "apt"

	// How long a list of the mirror's kernels is good for, and how long
	// one in which a suite failed for a reason that may pass.
	indexAge   = 24 * time.Hour
	partialAge = time.Hour

	// How long a mirror that could not be asked is left in peace.
	failedAge = 10 * time.Minute
)

// index is what the mirror had when it was asked.
type index struct {
	Format   int
	Sources  string // the sources.list it came from
	Fetched  time.Time
	Complete bool
	Failed   time.Time // when it could last not be asked
	Versions []Version
}

const indexFormat = 2

func (x index) fresh(sources string) bool {
	age := time.Since(x.Fetched)
	limit := indexAge
	if !x.Complete {
		limit = partialAge
	}
	return x.Sources == sources && age >= 0 && age < limit
}

func (c *Catalogue) readIndex() (x index) {
	text, err := os.ReadFile(filepath.Join(c.dir, nameIndex))
	if err != nil || json.Unmarshal(text, &x) != nil || x.Format != indexFormat {
		return index{}
	}
	return x
}

// writeIndex wants the lock "index" held.
func (c *Catalogue) writeIndex(x index) error {
	x.Format = indexFormat
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	tmp := filepath.Join(c.dir, cachedir.TmpPrefix+"index")
	if err = os.WriteFile(tmp, text, 0o644); err == nil {
		err = os.Rename(tmp, filepath.Join(c.dir, nameIndex))
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// archives are where this catalogue's Debian kernels come from.
func (c *Catalogue) archives() (archives, error) {
	if c.options.Mirror != "" {
		return mirrorArchives(c.options.Mirror)
	}
	return machineArchives(c.etc)
}

// mirrored are the kernels that the mirror has. Where it cannot be asked the
// list of an earlier time serves; err is only for when there is none.
func (c *Catalogue) mirrored(ctx context.Context) ([]Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded {
		return c.versions, c.mirrorErr
	}
	x, err := c.loadIndex(ctx, c.options.Refresh)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.versions, c.mirrorErr, c.loaded = x.Versions, err, true
	return c.versions, c.mirrorErr
}

func (c *Catalogue) loadIndex(ctx context.Context, refresh bool) (index, error) {
	a, err := c.archives()
	x := c.readIndex()
	if err != nil {
		return index{}, err
	}
	sources := a.list()
	if !refresh && x.fresh(sources) {
		return x, nil
	}
	if since := time.Since(x.Failed); !refresh && x.Sources == sources && since >= 0 && since < failedAge {
		c.offline = true
		c.log("the mirror could not be asked %s ago, using the list of %s", since.Round(time.Second), x.Fetched.Format("2 January 15:04"))
		return x, nil
	}
	started := time.Now()
	fresh, err := c.refreshIndex(ctx, a, func(x index) bool {
		// Another nlrig may have done it while this one waited.
		return x.Sources == sources && x.Fetched.After(started) || !refresh && x.fresh(sources)
	})
	if err == nil {
		return fresh, nil
	}
	if ctx.Err() != nil {
		return index{}, ctx.Err()
	}
	c.offline = true
	if errors.Is(err, ErrSpec) || x.Sources != sources || len(x.Versions) == 0 {
		return index{}, fmt.Errorf("list the mirror's kernels: %w", err)
	}
	x.Failed = time.Now()
	if l, err := cachedir.TryLock(c.dir, "index"); err == nil {
		c.writeIndex(x) // if that fails the mirror is asked again next time
		l.Release()
	}
	c.log("the mirror cannot be asked, using the list of %s: %v", x.Fetched.Format("2 January 15:04"), err)
	return x, nil
}

func (c *Catalogue) refreshIndex(ctx context.Context, a archives, done func(index) bool) (index, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return index{}, cachedir.DiskError(c.dir, err)
	}
	l, err := cachedir.WaitLock(ctx, c.dir, "index", func() { c.log("waiting for another nlrig that fetches the mirror's lists") })
	if err != nil {
		return index{}, cachedir.DiskError(c.dir, err)
	}
	defer l.Release()
	if x := c.readIndex(); done(x) {
		return x, nil
	}
	apt := c.apt(a)
	packages, complete, err := apt.update(ctx)
	if err != nil {
		return index{}, cachedir.DiskError(c.dir, err)
	}
	x := index{Sources: a.list(), Fetched: time.Now(), Complete: complete, Versions: assemble(packages)}
	return x, cachedir.DiskError(c.dir, c.writeIndex(x))
}

func (c *Catalogue) apt(a archives) *apt {
	return &apt{dir: filepath.Join(c.dir, nameApt), archives: a, patience: c.patience, log: c.log}
}
