package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nlrig/nlrig/kernels/child"
)

// MissingError says what a build needs and this machine does not have.
type MissingError struct {
	What     []string // "flex", "gelf.h"
	Packages []string // Debian's, that have it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("to build a kernel this machine lacks %s: apt-get install --no-install-recommends %s",
		strings.Join(e.What, ", "), strings.Join(e.Packages, " "))
}

// compiler is what a tree is compiled with.
type compiler struct {
	cc string // "gcc-11", or what CC says
	id string // what it says of itself, and the linker
	// note is what to know when the build fails; "" for nothing.
	note string
}

// inTheirDay are the newest major versions of GCC with which kernels before a
// release compile. Newer ones warn of what is an error in places, or speak
// another C.
var inTheirDay = []struct {
	before string
	gcc    int
}{
	{"3.18", 4}, // include/linux/compiler-gcc4.h is the newest there
	{"4.2", 5},
	{"4.9", 6},
	{"4.19", 8},
	{"5.8", 9},
	{"5.15", 11},
	{"6.14", 14}, // code that is not told its C standard, which is C23 in GCC 15
}

const newestGCC = 99

// limit is the newest GCC for a kernel of that version.
func limit(version string) int {
	for _, r := range inTheirDay {
		if older(version, r.before) {
			return r.gcc
		}
	}
	return newestGCC
}

// older says that the series of a is before that of b.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return slices.Compare(x[:], y[:]) < 0
}

func numbers(version string) (n [2]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		if i < len(n) {
			n[i], _ = strconv.Atoi(part) // a version of Tree's has two numbers
		}
	}
	return n
}

// chooseCompiler takes $CC, or the newest GCC of PATH that is not too new for
// the tree.
func chooseCompiler(ctx context.Context, version string) (compiler, error) {
	if cc := os.Getenv("CC"); cc != "" {
		return identify(ctx, cc, "")
	}
	max := limit(version)
	best, bestMajor := "", 0
	var all []int
	for _, name := range gccs() {
		major, err := majorOf(ctx, name)
		if err != nil {
			continue
		}
		all = append(all, major)
		switch {
		case best == "", major <= max && (bestMajor > max || major > bestMajor), major > max && bestMajor > max && major < bestMajor:
			best, bestMajor = name, major
		}
	}
	if best == "" {
		return compiler{}, &MissingError{What: []string{"gcc"}, Packages: []string{"gcc"}}
	}
	note := ""
	if bestMajor > max {
		note = fmt.Sprintf("%s is of a time when GCC %d was new, and %s is GCC %d: an older one (gcc-%d), or another with CC=, may compile it", version, max, best, bestMajor, max)
	}
	return identify(ctx, best, note)
}

// gccs are the names of compilers in PATH: gcc first, then gcc-12 and such.
func gccs() []string {
	var names []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		found, _ := filepath.Glob(filepath.Join(dir, "gcc-[0-9]*"))
		for _, f := range found {
			_, version, _ := strings.Cut(filepath.Base(f), "-")
			if strings.Trim(version, "0123456789.") == "" && !slices.Contains(names, filepath.Base(f)) {
				names = append(names, filepath.Base(f))
			}
		}
	}
	slices.Sort(names)
	return append([]string{"gcc"}, names...)
}

func majorOf(ctx context.Context, cc string) (int, error) {
	out, err := output(ctx, cc, "-dumpversion")
	if err != nil {
		return 0, err
	}
	major, _, _ := strings.Cut(strings.TrimSpace(out), ".")
	return strconv.Atoi(major)
}

// identify asks the compiler and the linker who they are.
func identify(ctx context.Context, cc, note string) (compiler, error) {
	c := compiler{cc: cc, note: note}
	words := strings.Fields(cc) // CC="ccache gcc"
	out, err := output(ctx, words[0], append(words[1:], "--version")...)
	if errors.Is(err, exec.ErrNotFound) {
		return c, &MissingError{What: []string{words[0]}, Packages: []string{"gcc"}}
	}
	if err != nil {
		return c, fmt.Errorf("%s --version: %w", cc, err)
	}
	c.id, _, _ = strings.Cut(out, "\n")
	if out, err = output(ctx, "ld", "--version"); err == nil {
		ld, _, _ := strings.Cut(out, "\n")
		c.id += "; " + ld
	}
	return c, nil
}

// withCache is the compiler as make is to call it.
func (c compiler) withCache() string {
	if _, err := exec.LookPath("ccache"); err != nil || strings.Contains(c.cc, "ccache") {
		return c.cc
	}
	return "ccache " + c.cc
}

func output(ctx context.Context, name string, arg ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := child.Command(ctx, name, arg...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	err := child.Run(cmd)
	return out.String(), err
}

// tools are programs that every build needs.
var tools = []struct{ program, pkg string }{
	{"make", "make"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"}, {"ld", "binutils"}, {"strip", "binutils"},
}

// missing says what of this machine a build lacks.
func missing(ctx context.Context, a Arch, cc string) error {
	var e MissingError
	add := func(what, pkg string) {
		e.What = append(e.What, what)
		if !slices.Contains(e.Packages, pkg) {
			e.Packages = append(e.Packages, pkg)
		}
	}
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			add(t.program, t.pkg)
		}
	}
	words := strings.Fields(cc)
	for _, l := range a.libraries {
		// A file that the compiler does not find it names as it was asked.
		out, err := output(ctx, words[0], append(words[1:], "-print-file-name="+l.file)...)
		if err == nil && !filepath.IsAbs(strings.TrimSpace(out)) {
			add(l.file, l.pkg)
		}
	}
	if len(e.What) > 0 {
		return &e
	}
	return nil
}
