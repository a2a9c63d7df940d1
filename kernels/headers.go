package kernels

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

// headerPackage is what a module is built with, by its name: the headers of
// one flavour, those of all, and the build's programs.
var headerPackage = regexp.MustCompile(`^linux-(headers|kbuild)-[0-9]`)

// Headers unpacks what modules for a Debian kernel are built with, once, and
// returns the directory for make -C.
func (c *Catalogue) Headers(ctx context.Context, v Version) (string, error) {
	if v.local() {
		return "", fmt.Errorf("kernels: headers of %s: only Debian's kernels have a package of them", v)
	}
	name := "headers-" + v.Entry()
	dir := filepath.Join(c.dir, name)
	build := filepath.Join(dir, "usr", "src", "linux-headers-"+v.Release)
	// The entry may be there, and an older one: the package's version tells.
	stamp := filepath.Join(dir, "version")
	if had, err := os.ReadFile(stamp); err == nil && string(had) == v.Debian {
		return build, nil
	}
	l, err := cachedir.WaitLock(ctx, c.dir, name, func() { c.log("%s: waiting for another nlrig that fetches its headers", v) })
	if err != nil {
		return "", fmt.Errorf("kernels: headers of %s: %w", v, cachedir.DiskError(c.dir, err))
	}
	defer l.Release()
	if had, err := os.ReadFile(stamp); err == nil && string(had) == v.Debian {
		return build, nil
	}
	tmp := filepath.Join(c.dir, cachedir.TmpPrefix+name)
	defer os.RemoveAll(tmp)
	err = c.fetchHeaders(ctx, v, tmp, dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, "version"), []byte(v.Debian), 0o644)
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return "", fmt.Errorf("kernels: headers of %s: %w", v, cachedir.DiskError(c.dir, err))
	}
	return build, nil
}

// fetchHeaders fills tmp, which is to be renamed to dir.
func (c *Catalogue) fetchHeaders(ctx context.Context, v Version, tmp, dir string) error {
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o755)); err != nil {
		return err
	}
	packages, err := c.headerPackages(ctx, v)
	if err != nil {
		return err
	}
	a, err := c.archives()
	if err != nil {
		return err
	}
	deb := filepath.Join(tmp, "deb")
	for _, p := range packages {
		if err := c.apt(a).download(ctx, p, deb, func(int64) {}); err != nil {
			return err
		}
		if _, stderr, err := run(ctx, unpackDeadline, nil, "dpkg-deb", "-x", deb, tmp); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", p.Name, err, firstLine(stderr))
		}
		if err := os.Remove(deb); err != nil {
			return err
		}
	}
	if err := c.adoptBuild(v, tmp, packages[2].Name); err != nil {
		return err
	}
	// They name each other by where Debian installs them.
	files, _ := filepath.Glob(filepath.Join(tmp, "usr/src/linux-headers-*/Makefile"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		moved := strings.ReplaceAll(string(text), "/usr/src/linux-headers-", dir+"/usr/src/linux-headers-")
		if err := os.WriteFile(f, []byte(moved), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// adoptBuild puts the build's programs where the headers look for them.
func (c *Catalogue) adoptBuild(v Version, tmp, name string) error {
	link, err := os.Readlink(filepath.Join(tmp, "usr/src/linux-headers-"+v.Release, "scripts"))
	if err != nil {
		return err
	}
	want := filepath.Base(filepath.Dir(link))
	if want == name {
		return nil
	}
	lib := filepath.Join(tmp, "usr/lib")
	return os.Rename(filepath.Join(lib, name), filepath.Join(lib, want))
}

// headerPackages finds v's in the list of v's suite. The build's programs are
// those of this machine's Debian where it has the same kernel, because those
// of a later one want a later libc.
func (c *Catalogue) headerPackages(ctx context.Context, v Version) ([]Package, error) {
	a, err := c.archives()
	if err != nil {
		return nil, err
	}
	abi := strings.TrimSuffix(v.Release, "-"+v.Flavour)
	wants := []func(p Package) bool{
		func(p Package) bool { return p.Version == v.Debian && p.Name == "linux-headers-"+v.Release },
		func(p Package) bool { return p.Version == v.Debian && p.Name == "linux-headers-"+abi+"-common" },
		func(p Package) bool {
			version, ok := upstream(p.Version)
			return ok && version == v.Version && strings.HasPrefix(p.Name, "linux-kbuild-")
		},
	}
	found := make([]Package, len(wants))
	home := c.codename()
	for _, t := range a.targets() {
		suite, _, _ := strings.Cut(t.suite, "-")
		file := c.apt(a).listOf(t)
		if t.suite != v.Suite && suite != home || file == "" {
			continue
		}
		all, err := c.apt(a).read(ctx, t, file, headerPackage)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			for i, want := range wants {
				if want(p) && (found[i].Name == "" || suite == home) {
					found[i] = p
				}
			}
		}
	}
	for i, what := range []string{"linux-headers-" + v.Release, "linux-headers-" + abi + "-common", "linux-kbuild for " + v.Version} {
		if found[i].Name == "" {
			return nil, fmt.Errorf("the mirror's list has no %s of version %s in suite %s", what, v.Debian, v.Suite)
		}
	}
	return found, nil
}

// codename is that of this machine's Debian, "" if it is of none.
func (c *Catalogue) codename() string {
	text, _ := os.ReadFile(filepath.Join(filepath.Dir(c.etc), "os-release"))
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(name, "\"\n")
		}
	}
	return ""
}
