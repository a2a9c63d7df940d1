package kernels

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nlrig/nlrig/kernels/build"
)

// dirBuild is where kernels are built, in the cache.
const dirBuild = "build"

// selectGit reads "DIR[@REV][,config=FILE]".
func (c *Catalogue) selectGit(ctx context.Context, spec string, uml bool) (Version, error) {
	v := Version{Source: SourceGit, UML: uml, Note: "no modules: all is built in"}
	fail := func(err error) (Version, error) { return v, fmt.Errorf("%w: git:%s: %w", ErrSpec, spec, err) }
	parts := strings.Split(spec, ",")
	var err error
	for _, p := range parts[1:] {
		file, ok := strings.CutPrefix(p, "config=")
		if !ok {
			return fail(fmt.Errorf("%q is not config=FILE", p))
		}
		if v.Config, err = existing(file); err != nil {
			return fail(err)
		}
	}
	dir, rev := cutRev(parts[0])
	tree, err := build.Resolve(ctx, dir, rev)
	if err != nil {
		return fail(err)
	}
	v.Path, v.Rev, v.Commit = tree.Dir, tree.Rev, tree.Commit
	v.Version = releaseVersion("", tree.Version)
	v.Release = tree.Version // the kernel itself has the last word
	if v.Hash, err = c.job(v, tree).Key(ctx); err != nil {
		return fail(err)
	}
	return v, nil
}

// cutRev cuts "DIR@REV" where DIR is a directory: both may have an @.
func cutRev(s string) (dir, rev string) {
	for i, r := range s {
		if r != '@' {
			continue
		}
		if st, err := os.Stat(s[:i]); err == nil && st.IsDir() {
			return s[:i], s[i+1:]
		}
	}
	return s, "HEAD"
}

func (c *Catalogue) job(v Version, tree build.Tree) build.Job {
	arch := build.X86
	if v.UML {
		arch = build.UML
	}
	return build.Job{Tree: tree, Arch: arch, Config: v.Config, Dir: filepath.Join(c.dir, dirBuild)}
}

// buildGit builds v into b, and returns it as the kernel calls itself.
func (c *Catalogue) buildGit(ctx context.Context, v Version, b *builder, report func(Progress)) (Version, error) {
	// By its commit: the revision may name another by now.
	tree, err := build.Resolve(ctx, v.Path, v.Commit)
	if err != nil {
		return v, err
	}
	job := c.job(v, tree)
	job.Progress = func(line string) { report(Progress{Phase: "build", Text: line}) }
	job.Wait = func() { c.log("%s: waiting for another nlrig that builds from %s", v, v.Path) }
	c.log("%s: building commit %.12s", v, v.Commit)
	return v, build.Build(ctx, job, func(r build.Result) error {
		banner, err := readBanner(r.Image)
		if err != nil {
			return fmt.Errorf("%s was built and is of no use: %w", r.Image, err)
		}
		v.Release, _, _ = strings.Cut(banner, " ")
		image := nameVMLinux
		switch {
		case v.UML:
			image = nameUML
		case filepath.Base(r.Image) == "bzImage":
			image = nameBzImage
		}
		for _, f := range append([]string{r.Image, r.Config}, r.Builtin...) {
			dest := filepath.Base(f)
			switch f {
			case r.Image:
				dest = image
			case r.Config:
				dest = nameConfig
			}
			if err := b.addFile(dest, f); err != nil {
				return err
			}
		}
		if len(r.Absent) > 0 {
			c.log("%s: its tree has not, or not so: %s", v, strings.Join(r.Absent, " "))
		}
		c.log("%s: built in %s", v, r.Took.Round(100*time.Millisecond))
		return nil
	})
}

// built are the kernels in the cache that were built, named by their commits:
// the revisions may name others by now.
func (c *Catalogue) built() []Version {
	var vs []Version
	for _, v := range c.here() {
		if v.Source == SourceGit {
			v.Rev = v.Commit[:12]
			vs = append(vs, v)
		}
	}
	return vs
}

// RemoveBuilds frees what builds have left to go on from, work trees and
// objects, and returns how many bytes that was. A build that is under way is
// waited for.
func (c *Catalogue) RemoveBuilds(ctx context.Context) (freed int64, err error) {
	return build.Remove(ctx, filepath.Join(c.dir, dirBuild))
}
