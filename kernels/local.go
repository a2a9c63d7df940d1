package kernels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Split cuts a comma-separated list of kernels into elements for Select. The
// ",modules=" and ",config=" of a file: or git: element stay with it.
func Split(list string) []string {
	var specs []string
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		last := len(specs) - 1
		if last >= 0 && (strings.HasPrefix(specs[last], "file:") || strings.HasPrefix(strings.TrimPrefix(specs[last], umlPrefix), "git:")) &&
			(strings.HasPrefix(s, "modules=") || strings.HasPrefix(s, "config=")) {
			specs[last] += "," + s
		} else if s != "" {
			specs = append(specs, s)
		}
	}
	return specs
}

// selectFile reads "PATH[,modules=DIR][,config=FILE]".
func selectFile(spec string) (Version, error) {
	v := Version{Source: SourceFile}
	parts := strings.Split(spec, ",")
	var err error
	if v.Path, err = existing(parts[0]); err != nil {
		return v, fmt.Errorf("%w: file:%s: %w", ErrSpec, spec, err)
	}
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "modules":
			v.Modules, err = existing(value)
		case "config":
			v.Config, err = existing(value)
		default:
			err = fmt.Errorf("%q is neither modules=DIR nor config=FILE", p)
		}
		if err != nil {
			return v, fmt.Errorf("%w: file:%s: %w", ErrSpec, spec, err)
		}
	}
	banner, err := readBanner(v.Path)
	if err != nil {
		return v, fmt.Errorf("%w: file:%s: %w", ErrSpec, spec, err)
	}
	v.Release, _, _ = strings.Cut(banner, " ")
	v.Version = releaseVersion(banner, v.Release)
	if v.UML, v.Libc, err = umlOf(v.Path); err != nil {
		return v, fmt.Errorf("%w: file:%s: %w", ErrSpec, spec, err)
	}
	v.HasModules = v.Modules != ""
	if v.Modules == "" {
		v.Note = "no modules directory given"
	}
	if v.Hash, err = contentHash(v.Path, v.Config, v.Modules); err != nil {
		return v, fmt.Errorf("file:%s: %w", spec, err)
	}
	return v, nil
}

func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%s is neither a file nor a directory", path) // to read a pipe might never end
	}
	return path, err
}

// readBanner is what a kernel file says of itself: release first. It fails
// for what is no kernel.
func readBanner(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	banner := ""
	switch {
	case isBzImage(b):
		banner = bzImageBanner(b)
	case isELF(b):
		banner = vmlinuxBanner(b)
	default:
		return "", fmt.Errorf("neither a bzImage (\"HdrS\" at byte 514) nor an ELF vmlinux: %d bytes that begin with % x", len(b), b[:min(8, len(b))])
	}
	if banner == "" {
		return "", fmt.Errorf("no kernel version in it: not a Linux kernel")
	}
	return banner, nil
}

// contentHash is over everything that goes into an entry, names included.
func contentHash(paths ...string) (string, error) {
	h := sha256.New()
	for _, p := range paths {
		fmt.Fprintf(h, "-- %t\n", p != "")
		if p == "" {
			continue
		}
		if st, err := os.Stat(p); err != nil {
			return "", err
		} else if st.IsDir() {
			if p, err = modulesDir(p); err != nil {
				return "", err
			}
		}
		err := filepath.WalkDir(p, func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() && file != p {
				return err
			}
			if d.IsDir() {
				return nil
			}
			rel, err := filepath.Rel(p, file)
			if err != nil {
				return err
			}
			if _, ok := placeModule(rel); rel != "." && !ok {
				return nil
			}
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			fmt.Fprintf(h, "%s\n", rel)
			n, err := io.Copy(h, f)
			fmt.Fprintf(h, "\n%d\n", n)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// selectDeb reads a package file: its control fields say what it holds. The
// linux-base and linux-modules of a linux-binary are looked for beside it.
func selectDeb(ctx context.Context, path string) (Version, error) {
	v := Version{Source: SourceDeb, HasModules: true}
	fail := func(err error) (Version, error) { return v, fmt.Errorf("%w: deb:%s: %w", ErrSpec, path, err) }
	var err error
	if v.Path, err = existing(path); err != nil {
		return fail(err)
	}
	name, err := debField(ctx, v.Path, "Package")
	if err != nil {
		return fail(err)
	}
	if v.Debian, err = debField(ctx, v.Path, "Version"); err != nil {
		return fail(err)
	}
	kind, release, ok := splitName(name)
	if !ok {
		return fail(fmt.Errorf("package %s holds no kernel, want linux-image-RELEASE or linux-binary-RELEASE", name))
	}
	v.Release = release
	if m := kernelPackage.FindStringSubmatch(name); m != nil {
		v.Flavour = m[3]
	}
	v.Version = releaseVersion(" Debian "+v.Debian, release)
	files := debFiles(v)
	if kind == "binary" && !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(filepath.Base(f), "linux-modules-") }) {
		v.HasModules, v.Note = false, "no linux-modules package beside it"
	}
	if v.Hash, err = contentHash(files...); err != nil {
		return fail(err)
	}
	return v, nil
}

func splitName(name string) (kind, release string, ok bool) {
	for _, kind := range []string{"image", "binary"} {
		if release, ok := strings.CutPrefix(name, "linux-"+kind+"-"); ok {
			release = strings.TrimSuffix(release, "-unsigned")
			return kind, release, numbers.MatchString(release)
		}
	}
	return "", "", false
}

// debFiles are the package and those beside it that complete it.
func debFiles(v Version) []string {
	files := []string{v.Path}
	_, version, _ := strings.Cut(v.Debian, ":") // file names leave the epoch out
	if version == "" {
		version = v.Debian
	}
	for _, part := range []string{"binary", "base", "modules"} {
		file := filepath.Join(filepath.Dir(v.Path), "linux-"+part+"-"+v.Release+"_"+version+"_amd64.deb")
		if _, err := os.Stat(file); err == nil && file != v.Path {
			files = append(files, file)
		}
	}
	return files
}

func debField(ctx context.Context, deb, field string) (string, error) {
	out, stderr, err := run(ctx, unpackDeadline, []string{"LC_ALL=C"}, "dpkg-deb", "--field", deb, field)
	if err != nil {
		return "", fmt.Errorf("not a Debian package: %w: %s", err, firstLine(stderr))
	}
	return strings.TrimSpace(string(out)), nil
}

// addLocal fills an entry from files of this machine.
func (b *builder) addLocal(ctx context.Context, v Version, progress func(int64)) error {
	if v.Source == SourceDeb {
		for _, file := range debFiles(v) {
			if err := b.addDeb(ctx, file, progress); err != nil {
				return err
			}
		}
		return nil
	}
	head := make([]byte, headerEnd)
	f, err := os.Open(v.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, _ := io.ReadFull(f, head)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	name := nameVMLinux
	if isBzImage(head[:n]) {
		name = nameBzImage
	} else if v.UML {
		name = nameUML
	}
	if err := b.add(name, f); err != nil {
		return err
	}
	if v.Config != "" {
		if err := b.addFile(nameConfig, v.Config); err != nil {
			return err
		}
	}
	if v.Modules != "" {
		return b.addModules(v.Modules)
	}
	return nil
}
