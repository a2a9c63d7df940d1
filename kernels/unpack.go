package kernels

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/kernels/child"
)

// maxFile bounds one file of a package; the largest that is kept, a kernel
// with debug information, is smaller.
const maxFile = 2 << 30

// builder makes one cache entry in a directory of its own.
type builder struct {
	root  *os.Root // nothing is written outside, whatever a package says
	dir   string
	index moduleIndex
	files map[string]fileSum
	known bool // the list of built-in modules was among the files

	release string // of the modules, as their directory is called

	jobs    chan job
	workers sync.WaitGroup
	mu      sync.Mutex // guards index.Modules and err while workers run
	err     error
}

// job is a module whose .modinfo is to be read, on whichever core is free.
type job struct {
	name, file string
	data       []byte
	sum        fileSum
}

func newBuilder(dir string) (*builder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	jobs := make(chan job)
	b := &builder{
		root: root, dir: dir,
		index: moduleIndex{Modules: map[string]moduleInfo{}, Builtin: map[string]bool{}},
		files: map[string]fileSum{},
		jobs:  jobs,
	}
	for range runtime.NumCPU() {
		b.workers.Go(func() { b.readModules(jobs) })
	}
	return b, nil
}

func (b *builder) readModules(jobs <-chan job) {
	for j := range jobs {
		info, err := readModinfo(j.data)
		info.File, info.Sum = j.file, j.sum
		b.mu.Lock()
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("module %s: %w", j.file, err)
		}
		b.index.Modules[j.name] = info
		b.mu.Unlock()
	}
}

// close ends the workers; b stays readable.
func (b *builder) close() error {
	if b.jobs != nil {
		close(b.jobs)
		b.jobs = nil
		b.workers.Wait()
		b.root.Close()
	}
	return b.err
}

var changelog = regexp.MustCompile(`^usr/share/doc/linux-(image|binary|base)-[^/]+/changelog(\.Debian)?\.gz$`)

// place says where a file of a package belongs in the entry; most do not.
// Two layouts: boot/vmlinuz-RELEASE with lib/modules/RELEASE, and all of it
// under usr/lib/modules/RELEASE. A changelog tells no release.
func place(name string) (dest, release string, ok bool) {
	name = path.Clean(name)
	if !filepath.IsLocal(name) {
		return "", "", false
	}
	if file, ok := strings.CutPrefix(name, "boot/"); ok {
		for _, kind := range []string{nameBzImage, nameConfig} {
			if release, ok := strings.CutPrefix(file, kind+"-"); ok && release != "" && !strings.Contains(release, "/") {
				return kind, release, true
			}
		}
		return "", "", false
	}
	if changelog.MatchString(name) {
		return nameChangelog, "", true
	}
	name = strings.TrimPrefix(name, "usr/")
	switch name {
	case debUML:
		return nameUML, "", true
	case debConfigUML:
		return nameConfigGz, "", true
	}
	if file, ok := strings.CutPrefix(name, debLibs); ok && slices.Contains(libs, file) {
		return dirLibs + "/" + file, "", true
	}
	rest, ok := strings.CutPrefix(name, debModulesUML)
	if !ok {
		rest, ok = strings.CutPrefix(name, "lib/modules/")
	}
	if !ok {
		return "", "", false
	}
	release, file, _ := strings.Cut(rest, "/")
	switch file {
	case nameBzImage, nameConfig:
		return file, release, true
	}
	dest, ok = placeModule(file)
	return dest, release, ok
}

// placeModule is place for a file of a modules directory.
func placeModule(file string) (dest string, ok bool) {
	switch file {
	case "modules.builtin", "modules.builtin.modinfo":
		return file, true
	}
	_, ok = moduleFile(file)
	return path.Join(dirModules, file), ok
}

// add writes one file of the entry and takes note of its hash.
func (b *builder) add(dest string, r io.Reader) error {
	if dir := path.Dir(dest); dir != "." {
		if err := b.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := os.FileMode(0o644)
	if dest == nameUML || path.Dir(dest) == dirLibs {
		mode = 0o755
	}
	f, err := b.root.OpenFile(dest, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	var memory bytes.Buffer
	w := io.MultiWriter(f, hash)
	module, isModule := strings.CutPrefix(dest, dirModules+"/")
	if isModule || strings.HasPrefix(dest, "modules.") {
		w = io.MultiWriter(f, hash, &memory)
		r = io.LimitReader(r, maxModule+1)
	}
	n, err := io.Copy(w, io.LimitReader(r, maxFile+1))
	if err == nil && (n > maxFile || memory.Len() > maxModule) {
		err = errors.New("too large")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", dest, err)
	}
	sum := fileSum{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}
	switch {
	case isModule:
		name, _ := moduleFile(module)
		b.jobs <- job{name, module, memory.Bytes(), sum}
	case dest == "modules.builtin":
		b.known = true
		b.index.addBuiltin(memory.Bytes())
	case dest == "modules.builtin.modinfo":
		b.index.addBuiltinModinfo(memory.Bytes())
	default:
		b.files[dest] = sum
	}
	return nil
}

// addDeb unpacks what is needed of a Debian package, streaming: the package
// is never laid out in full.
func (b *builder) addDeb(ctx context.Context, deb string, progress func(int64)) error {
	ctx, cancel := context.WithTimeout(ctx, unpackDeadline)
	defer cancel()
	cmd := child.Command(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.WaitDelay = 5 * time.Second
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	// A pipe of our own: exec's would be closed as soon as the program
	// ends, read or not.
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout = in
	p, err := child.Start(cmd)
	in.Close()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("unpack %s: dpkg-deb is not on this machine: install the package dpkg", filepath.Base(deb))
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	unpackErr := b.addTar(ctx, out, progress)
	if unpackErr != nil {
		cancel()
	}
	<-p.Done
	if p.Err != nil && complaint.Len() > 0 {
		// It fails first and the archive is short in consequence.
		return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), p.Err, firstLine(complaint.Bytes()))
	}
	if unpackErr != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), unpackErr)
	}
	if p.Err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), p.Err)
	}
	return nil
}

func (b *builder) addTar(ctx context.Context, r io.Reader, progress func(int64)) error {
	archive := tar.NewReader(r)
	var done int64
	for {
		h, err := archive.Next()
		if err == io.EOF {
			// tar pads its end; a reader that leaves early would make
			// dpkg-deb complain.
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if dest, release, ok := place(h.Name); ok {
			b.release = cmp.Or(release, b.release)
			if err := b.add(dest, archive); err != nil {
				return err
			}
		}
		done += h.Size
		progress(done)
	}
}

// addModules takes over a modules directory of this machine: lib/modules/REL
// itself, or a root that has exactly one such directory in it.
func (b *builder) addModules(dir string) error {
	dir, err := modulesDir(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		dest, ok := placeModule(rel)
		if !ok {
			return nil
		}
		return b.addFile(dest, file)
	})
}

func (b *builder) addFile(dest, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.add(dest, f)
}

func modulesDir(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, "kernel")); err == nil {
		return dir, nil
	}
	for _, under := range []string{"lib/modules/*/kernel", "usr/lib/modules/*/kernel", "*/kernel"} {
		found, _ := filepath.Glob(filepath.Join(dir, under))
		switch len(found) {
		case 0:
		case 1:
			return filepath.Dir(found[0]), nil
		default:
			return "", fmt.Errorf("%s holds modules of %d kernels; name the directory of one, such as %s", dir, len(found), filepath.Dir(found[0]))
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return dir, nil // an unusual layout, or an installed tree without modules
}

// finish makes the kernel fit to boot, writes the module index and, last, the
// manifest: an entry with a manifest is complete.
func (b *builder) finish(v Version) (manifest, error) {
	m := manifest{Version: v, Files: b.files, KnowsBuiltin: b.known}
	if err := b.close(); err != nil {
		return m, err
	}
	var err error
	if _, ok := b.files[nameUML]; ok {
		err = b.finishUML(&m)
	} else {
		err = b.finishVM(&m)
	}
	if err != nil {
		return m, err
	}
	text, err := json.Marshal(b.index)
	if err != nil {
		return m, err
	}
	if err := b.write(nameModules, text); err != nil {
		return m, err
	}
	m.Version.HasModules = len(b.index.Modules) > 0
	m.Version.Here = true
	return m, writeManifest(b.dir, m)
}

// finishVM extracts the vmlinux, unless it was given.
func (b *builder) finishVM(m *manifest) error {
	if _, ok := b.files[nameBzImage]; !ok {
		if _, ok := b.files[nameVMLinux]; !ok {
			return errors.New("there is no kernel in it")
		}
	}
	if _, ok := b.files[nameVMLinux]; !ok {
		image, err := os.ReadFile(filepath.Join(b.dir, nameBzImage))
		if err != nil {
			return err
		}
		vmlinux, err := extractVMLinux(image)
		if err != nil {
			m.PayloadErr = err.Error()
		} else if err := b.write(nameVMLinux, vmlinux); err != nil {
			return err
		}
	}
	if m.PayloadErr == "" {
		vmlinux, err := os.ReadFile(filepath.Join(b.dir, nameVMLinux))
		if err != nil {
			return err
		}
		m.PVH = hasPVH(vmlinux)
		if _, ok := b.files[nameConfig]; !ok {
			if config := ikconfig(vmlinux); config != nil {
				return b.write(nameConfig, config)
			}
		}
	}
	return nil
}

func (b *builder) write(name string, data []byte) error {
	sum := sha256.Sum256(data)
	b.files[name] = fileSum{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	return os.WriteFile(filepath.Join(b.dir, name), data, 0o644)
}
