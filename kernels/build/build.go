// Package build makes kernels from commits of a repository: out of tree, with
// the configuration of kernels/configs, incrementally, and the same byte for
// byte wherever the same compiler and directory are.
//
// It needs git, make, gcc, flex, bison, bc and libelf-dev, uses ccache where
// there is one, and takes the oldest of several compilers for old trees. To try
// it:
//
//	nlrig kernels build git:/usr/src/linux@v6.12
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nlrig/nlrig/kernels/cachedir"
	"github.com/nlrig/nlrig/kernels/configs"
)

// Arch is what a kernel is built for. X86 and UML are those there are.
type Arch struct {
	// Name is make's ARCH and the name of the fragment.
	Name string
	// libraries are files that the linker has to find.
	libraries []library
	// image is what boots, in the build directory, made by target.
	image, target string
}

type library struct{ file, pkg string }

// The architectures.
var (
	X86 = Arch{Name: "x86_64", libraries: []library{{"libelf.so", "libelf-dev"}}, image: "vmlinux", target: "vmlinux"}
	UML = Arch{Name: "um", libraries: []library{{"libc.a", "libc6-dev"}}, image: "linux", target: "linux"}
)

// bzImage boots where a vmlinux does not, for the tree has no CONFIG_PVH.
const bzImage = "arch/x86/boot/bzImage"

// Job is one kernel to be built.
type Job struct {
	Tree Tree
	Arch Arch
	// Config is the path of a fragment over those of kernels/configs; ""
	// for none.
	Config string
	// Dir is where work trees and build directories are kept.
	Dir string
	// Progress, if not nil, hears what is done at the moment: a line of
	// make's.
	Progress func(string)
	// Wait, if not nil, is called if another build has to be waited for.
	Wait func()
}

// Result is a kernel that was built. Paths are valid while Build's take runs.
type Result struct {
	Image   string // vmlinux, bzImage or linux
	Config  string
	Builtin []string // modules.builtin and modules.builtin.modinfo, where there are such
	// Absent are options that the fragments ask for and the tree did not
	// grant, "CONFIG_PVH=y".
	Absent []string
	Took   time.Duration
}

// fragments are the texts that the configuration is made of.
func (j Job) fragments() ([]string, error) {
	all := []string{configs.Fragment(configs.Common), configs.Fragment(j.Arch.Name)}
	if j.Config != "" {
		text, err := os.ReadFile(j.Config)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// Key is a hash, in hex, over all that decides about the kernel: the tree, the
// configuration, the compiler, the architecture.
func (j Job) Key(ctx context.Context) (string, error) {
	all, err := j.fragments()
	if err != nil {
		return "", err
	}
	cc, err := chooseCompiler(ctx, j.Tree.Version)
	if lacks := new(MissingError); err != nil && !errors.As(err, &lacks) {
		return "", err // without a compiler Build says what is missing
	}
	h := sha256.New()
	for _, s := range append([]string{j.Tree.Hash, j.Arch.Name, cc.id, strings.Join(variables, "\n")}, all...) {
		fmt.Fprintf(h, "%d\n%s\n", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// busy marks a build directory in which make was not left to end: a file that
// was half written looks finished.
const busy = ".nlrig-busy"

// Build builds j and has take see to the result, before the next build of the
// same repository may begin. An error is a *FailedError when the tree does not
// compile, and a *MissingError when this machine cannot.
func Build(ctx context.Context, j Job, take func(Result) error) error {
	start := time.Now()
	fragments, err := j.fragments()
	if err != nil {
		return err
	}
	cc, err := chooseCompiler(ctx, j.Tree.Version)
	if err != nil {
		return err
	}
	if err := missing(ctx, j.Arch, cc.cc); err != nil {
		return err
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return err
	}
	place := j.Tree.place(j.Dir)
	wait := j.Wait
	if wait == nil {
		wait = func() {}
	}
	l, err := cachedir.WaitLock(ctx, j.Dir, filepath.Base(place), wait)
	if err != nil {
		return err
	}
	defer l.Release()
	j.say("checkout of " + j.Tree.Commit[:12])
	src, err := j.Tree.checkout(ctx, place)
	if err != nil {
		return err
	}
	m := maker{job: j, src: src, out: filepath.Join(place, j.Arch.Name), cc: cc}
	if _, err := os.Stat(filepath.Join(m.out, busy)); err == nil {
		if err := os.RemoveAll(m.out); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.out, 0o755); err != nil {
		return err
	}
	r, err := m.build(ctx, fragments)
	if err != nil {
		return err
	}
	r.Took = time.Since(start)
	return take(r)
}

func (j Job) say(s string) {
	if j.Progress != nil {
		j.Progress(s)
	}
}

// Remove removes what builds have kept in dir to go on from, and returns the
// bytes that it took.
func Remove(ctx context.Context, dir string) (freed int64, err error) {
	places, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for _, p := range places {
		if !p.IsDir() {
			continue
		}
		l, lockErr := cachedir.WaitLock(ctx, dir, p.Name(), func() {})
		if lockErr != nil {
			return freed, errors.Join(err, lockErr)
		}
		place := filepath.Join(dir, p.Name())
		freed += cachedir.TreeSize(place)
		err = errors.Join(err, os.RemoveAll(place))
		l.Release()
	}
	return freed, err
}
