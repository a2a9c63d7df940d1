//go:build linux

package host

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/u-root/u-root/pkg/ldd"
	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// Program is a program of this machine that runs in VMs as it would run here:
// under its own path, in the same directory, with the files that belong to it.
type Program struct {
	Path string   // of an ELF executable
	Args []string // after the name
	Dir  string   // working directory; empty for this process's
	Env  []string // KEY=VALUE, all of it
	// Files and directories are taken along under their own paths, executables
	// with their shared libraries. A name that is no file in Dir is a program's,
	// which PATH has here.
	Files []string
	// Stdin is the program's; nil for none.
	Stdin io.Reader
}

// MaxCargo bounds what a program takes along, in bytes: it is held in the VM's
// memory.
const MaxCargo = 512 << 20

// cargo is what a program takes along, and what is brought back.
type cargo struct {
	items []item
	size  int64 // bytes
	back  []back
	seen  map[string]bool
}

// item is a file, a directory or a symbolic link; it has the same path here and
// in the VM.
type item struct {
	path   string
	mode   fs.FileMode
	size   int64
	target string // of a link
}

// back is a file or a directory that a program writes for those who started it.
type back struct {
	path  string
	tree  bool // a directory
	cover bool // a text profile of coverage
}

// ErrProgram is what errors wrap about a program that no VM can run, or its files.
var ErrProgram = errors.New("cannot run this in a VM")

// load finds out what p takes along. Errors are ErrProgram.
func (p *Program) load() (*cargo, error) {
	c, err := p.pack()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	return c, nil
}

func (p *Program) pack() (*cargo, error) {
	if p.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		p.Dir = dir
	}
	abs, err := filepath.Abs(p.Path)
	if err != nil {
		return nil, err
	}
	p.Path = abs
	c := &cargo{seen: map[string]bool{}}
	if err := executable(p.Path); err != nil {
		return nil, err
	}
	libs, err := ldd.List(p.Path)
	if err != nil {
		return nil, fmt.Errorf("the libraries of %s: %w", p.Path, err)
	}
	for _, path := range append([]string{p.Path}, libs...) {
		if err := c.add(path, true); err != nil {
			return nil, err
		}
	}
	c.items = append(c.items, item{path: p.Dir, mode: fs.ModeDir})
	if err := c.addPackage(p.Dir); err != nil {
		return nil, err
	}
	for _, f := range p.Files {
		path := f
		if !filepath.IsAbs(f) {
			path = filepath.Join(p.Dir, f)
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && !strings.Contains(f, "/") {
			if path, err = exec.LookPath(f); err != nil {
				return nil, fmt.Errorf("%s is neither a file in %s nor a program in PATH", f, p.Dir)
			}
		}
		if err := c.addInstalled(filepath.Clean(path)); err != nil {
			return nil, err
		}
	}
	if err := c.outputs(p); err != nil {
		return nil, err
	}
	if c.size > MaxCargo {
		return nil, fmt.Errorf("%s takes along %d MB, at most %d: %s", filepath.Base(p.Path), c.size>>20, MaxCargo>>20, c.largest())
	}
	for _, i := range c.items {
		if err := kernelsOwn(i.path); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// kernelsOwn is an error for what is a kernel's own, and no file to take along.
func kernelsOwn(path string) error {
	for _, no := range []string{"/proc", "/sys", "/dev"} {
		if (path == no || below(path, no)) && !below(path, "/dev/shm") {
			return fmt.Errorf("%s: a VM has a %s of its own", path, no)
		}
	}
	return nil
}

// inputs are n that each have all of p's input, which is held in memory where n is
// more than one.
func (p *Program) inputs(n int) []io.Reader {
	all := make([]io.Reader, n)
	if p.Stdin == nil {
		return all
	}
	if n == 1 {
		return []io.Reader{p.Stdin}
	}
	t := &tee{in: p.Stdin}
	for i := range all {
		all[i] = &branch{tee: t}
	}
	return all
}

// tee reads an input once, for several.
type tee struct {
	in io.Reader

	mu   sync.Mutex // guards the rest, and in
	read []byte
	err  error
}

type branch struct {
	*tee
	at int
}

func (b *branch) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == len(b.read) && b.err == nil {
		if len(b.read) > MaxCargo {
			b.err = fmt.Errorf("an input for several kernels has at most %d MB", MaxCargo>>20)
			return 0, b.err
		}
		var n int
		buf := make([]byte, len(p))
		n, b.err = b.in.Read(buf)
		b.read = append(b.read, buf[:n]...)
	}
	n := copy(p, b.read[b.at:])
	b.at += n
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// executable is nil if path is what an x86-64 kernel runs by itself.
func executable(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	f, err := elf.Open(path)
	var format *elf.FormatError
	switch {
	case errors.As(err, &format) || errors.Is(err, io.EOF):
		return fmt.Errorf("%s is not an ELF file, and a VM has no shell and no interpreter", path)
	case err != nil:
		return err
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_386 {
		return fmt.Errorf("%s is for %v, and a VM is x86-64", path, f.Machine)
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return fmt.Errorf("%s is no program: its type is %v", path, f.Type)
	}
	return nil
}

// largest names what takes the most room.
func (c *cargo) largest() string {
	all := slices.Clone(c.items)
	slices.SortStableFunc(all, func(a, b item) int { return int(b.size>>10 - a.size>>10) })
	var s []string
	for _, i := range all[:min(3, len(all))] {
		s = append(s, fmt.Sprintf("%s %d MB", i.path, i.size>>20))
	}
	return strings.Join(s, ", ")
}

// add takes a file along, or a symbolic link unless follow is set.
func (c *cargo) add(path string, follow bool) error {
	if c.seen[path] {
		return nil
	}
	c.seen[path] = true
	stat := os.Lstat
	if follow {
		stat = os.Stat
	}
	st, err := stat(path)
	if err != nil {
		return err
	}
	i := item{path: path, mode: st.Mode(), size: st.Size()}
	switch {
	case st.Mode().IsRegular():
		c.size += i.size
	case st.Mode().Type() == fs.ModeSymlink:
		if i.target, err = os.Readlink(path); err != nil {
			return err
		}
	case !st.IsDir():
		return nil // a socket, a device: there is nothing to take along
	}
	c.items = append(c.items, i)
	return nil
}

// addTree takes along what is below root, and what symbolic links there lead to.
func (c *cargo) addTree(root string) error {
	if err := kernelsOwn(root); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if c.seen[path] && d.IsDir() && path != root {
			return fs.SkipDir
		}
		if err := c.add(path, false); err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		target, err := filepath.EvalSymlinks(path)
		if link := &c.items[len(c.items)-1]; err == nil && link.path == path && link.mode.Type() == fs.ModeSymlink && next(link) != target {
			link.target = target // and not by links that are not taken along
		}
		if err != nil || c.seen[target] || below(path, target) || kernelsOwn(target) != nil {
			return nil // it leads nowhere, to where it comes from, or to what is in a VM
		}
		return c.addTree(target)
	})
}

// next is where a link leads at once.
func next(link *item) string {
	if filepath.IsAbs(link.target) {
		return filepath.Clean(link.target)
	}
	return filepath.Join(filepath.Dir(link.path), link.target)
}

// below says whether path is in the directory dir, or in one of those in it.
func below(path, dir string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// addInstalled takes a file or a directory along, and the shared libraries of
// what is an executable.
func (c *cargo) addInstalled(path string) error {
	if err := c.addTree(path); err != nil {
		return err
	}
	libs, err := ldd.List(path)
	if err != nil {
		return nil // a directory, or what is for another machine
	}
	for _, l := range libs {
		if err := c.add(l, true); err != nil {
			return err
		}
	}
	return nil
}

// addPackage takes along what the tests of a Go package may open: its own files,
// and testdata. Of another directory that a program was started in, nothing.
func (c *cargo) addPackage(dir string) error {
	if sources, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(sources) == 0 {
		return nil
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch {
		case f.Name() == "testdata":
			err = c.addTree(path)
		case f.Type() == fs.ModeSymlink && !isDir(path):
			err = c.addTree(path)
		case f.Type().IsRegular(), f.Type() == fs.ModeSymlink:
			err = c.add(path, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outputs finds what p is to write, by the flags of a test binary.
func (c *cargo) outputs(p *Program) error {
	flags := testFlags(p.Args)
	dir := p.Dir
	abs := func(path string) string {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return filepath.Clean(path)
	}
	tree := func(path string) {
		c.items = append(c.items, item{path: abs(path), mode: fs.ModeDir})
		c.back = append(c.back, back{path: abs(path), tree: true})
	}
	if d := flags["outputdir"]; d != "" {
		dir = abs(d)
		c.items = append(c.items, item{path: dir, mode: fs.ModeDir})
		if v, ok := flags["artifacts"]; ok && v != "false" {
			tree("_artifacts")
		}
	}
	for _, name := range []string{"coverprofile", "cpuprofile", "memprofile", "blockprofile", "mutexprofile", "trace"} {
		if path := flags[name]; path != "" && !strings.HasPrefix(abs(path), "/dev/") {
			c.back = append(c.back, back{path: abs(path), cover: name == "coverprofile"})
			if parent := filepath.Dir(abs(path)); isDir(parent) {
				c.items = append(c.items, item{path: parent, mode: fs.ModeDir})
			}
		}
	}
	dir = p.Dir
	if d := flags["gocoverdir"]; d != "" {
		tree(d)
	}
	for _, e := range p.Env {
		if d, ok := strings.CutPrefix(e, "GOCOVERDIR="); ok && d != "" {
			tree(d)
		}
	}
	if flags["fuzz"] != "" {
		// What it finds goes beside the seeds, and what it learns to the cache.
		c.back = append(c.back, back{path: abs("testdata/fuzz"), tree: true})
		if d := flags["fuzzcachedir"]; d != "" {
			if isDir(d) {
				if err := c.addTree(abs(d)); err != nil {
					return err
				}
			}
			tree(d)
		}
	}
	return nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// testFlags are the -test. flags among args, without that prefix.
func testFlags(args []string) map[string]string {
	flags := map[string]string{}
	for i := 0; i < len(args); i++ {
		a := strings.TrimPrefix(args[i], "-")
		if a == "-" {
			break
		}
		// What begins otherwise may be the value of a flag of the test's own.
		name, ok := strings.CutPrefix(strings.TrimPrefix(a, "-"), "test.")
		if !ok || a == args[i] {
			continue
		}
		name, value, given := strings.Cut(name, "=")
		if !given && i+1 < len(args) && !boolean[name] {
			i++
			value = args[i]
		}
		flags[name] = value
	}
	return flags
}

// boolean are the flags of a test binary that take no argument of their own.
var boolean = map[string]bool{"short": true, "failfast": true, "v": true, "benchmem": true, "fuzzworker": true,
	"paniconexit0": true, "fullpath": true, "artifacts": true}

// memory is what a VM needs, in MiB, to hold c twice over, as the file and as
// what runs: a power of two times least, where that can be.
func (c *cargo) memory(least int) int {
	need := least/2 + int(2*c.size>>20)
	for least > 0 && least < min(need, qemu.MaxMemory) {
		least = min(2*least, qemu.MaxMemory)
	}
	return least
}

// putAll writes all of c in the VM.
func (vm *VM) putAll(ctx context.Context, c *cargo) error {
	for _, i := range c.items {
		var err error
		switch i.mode.Type() {
		case fs.ModeDir:
			err = vm.Put(ctx, i.path, fs.ModeDir|0o755, bytes.NewReader(nil))
		case fs.ModeSymlink:
			err = vm.Put(ctx, i.path, fs.ModeSymlink|0o777, strings.NewReader(i.target))
		default:
			err = vm.putFile(ctx, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (vm *VM) putFile(ctx context.Context, i item) error {
	f, err := os.Open(i.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return vm.Put(ctx, i.path, i.mode, f)
}

// bringBack writes what a program has written in the VM to the same place here,
// or where dest says. What it has not written is not there, as it would not be
// here.
func (vm *VM) bringBack(ctx context.Context, c *cargo, dest func(back) string) error {
	var errs []error
	for _, b := range c.back {
		w := &receiver{path: dest(b), tree: b.tree, left: MaxCargo}
		err := vm.Fetch(ctx, b.path, w.take)
		if cerr := w.close(); err == nil {
			err = cerr
		}
		if absent := new(agentError); errors.As(err, &absent) && errors.Is(absent, fs.ErrNotExist) && vm.Err() == nil {
			err = nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bring back %s: %w", b.path, err))
		}
	}
	return errors.Join(errs...)
}

// Install copies files and directories of this machine into the VM, to the same
// paths; what is an executable gets its shared libraries, too.
func (vm *VM) Install(ctx context.Context, paths ...string) error {
	c := &cargo{seen: map[string]bool{}}
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if err := c.addInstalled(path); err != nil {
			return err
		}
	}
	if c.size > MaxCargo {
		return fmt.Errorf("%d MB, at most %d: %s", c.size>>20, MaxCargo>>20, c.largest())
	}
	return vm.putAll(ctx, c)
}

// ReadFile reads a regular file of the VM.
func (vm *VM) ReadFile(ctx context.Context, path string) (b []byte, err error) {
	err = vm.Fetch(ctx, path, func(c *wire.Content) error {
		if c.Mode&unix.S_IFMT != unix.S_IFREG || c.Name != "" {
			return fmt.Errorf("%s is not a regular file", path)
		}
		if len(b)+len(c.Data) > MaxCargo {
			return fmt.Errorf("%s has more than %d MB", path, MaxCargo>>20)
		}
		b = append(b, c.Data...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// receiver writes what a guest sends to a file, or below a directory and nowhere
// else.
type receiver struct {
	path string
	tree bool
	left int64    // bytes that it still takes
	root *os.Root // the directory
	file *os.File
}

func (r *receiver) take(c *wire.Content) error {
	if c.Name != "" && (!r.tree || !filepath.IsLocal(c.Name)) {
		return fmt.Errorf("the agent sent a file called %q", console.Printable(c.Name))
	}
	if r.left -= int64(len(c.Data)); r.left < 0 {
		return fmt.Errorf("more than %d MB", MaxCargo>>20)
	}
	if c.Mode&unix.S_IFMT == unix.S_IFDIR {
		return r.mkdir(c.Name)
	}
	err := r.open(c.Name)
	if err == nil {
		_, err = r.file.Write(c.Data)
	}
	if !c.More && r.file != nil {
		if cerr := r.file.Close(); err == nil {
			err = cerr
		}
		r.file = nil
	}
	return err
}

func (r *receiver) open(name string) (err error) {
	const flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	switch {
	case r.file != nil: // more of it
	case !r.tree:
		r.file, err = os.OpenFile(r.path, flags, 0o666)
	case r.root == nil:
		err = fmt.Errorf("the agent sent a file before its directory")
	default:
		r.file, err = r.root.OpenFile(name, flags, 0o666)
	}
	return err
}

func (r *receiver) mkdir(name string) (err error) {
	switch {
	case !r.tree:
		return fmt.Errorf("%s is a directory in the VM", r.path)
	case r.root == nil:
		if err := os.MkdirAll(r.path, 0o777); err != nil {
			return err
		}
		r.root, err = os.OpenRoot(r.path)
		return err
	}
	if err = r.root.Mkdir(name, 0o777); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (r *receiver) close() (err error) {
	if r.file != nil {
		err = r.file.Close()
	}
	if r.root != nil {
		err = errors.Join(err, r.root.Close())
	}
	return err
}
