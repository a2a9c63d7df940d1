package build

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nlrig/nlrig/kernels/child"
	"github.com/nlrig/nlrig/kernels/configs"
)

// FailedError says that a tree does not compile.
type FailedError struct {
	Commit string
	Lines  []string // the compiler's errors, the first of them
	Log    string   // path of all that make printed
	Note   string   // what may help; "" for nothing
}

func (e *FailedError) Error() string {
	return e.Summary() + "\n\t" + strings.Join(e.Lines, "\n\t")
}

// Summary is the error without the compiler's words, in a line.
func (e *FailedError) Summary() string {
	s := fmt.Sprintf("commit %.12s does not build (all that make printed is in %s)", e.Commit, e.Log)
	if e.Note != "" {
		s += "; " + e.Note
	}
	return s
}

const (
	// buildDeadline bounds one make. A kernel of this configuration takes
	// minutes, and an hour or more where others want the processors, too.
	buildDeadline = 4 * time.Hour
	// stopGrace is how long make may take to remove what is half written.
	stopGrace = 10 * time.Second
	// maxErrors is how many lines of errors are quoted.
	maxErrors = 6
)

// variables are what make is given so that nothing of this machine or moment
// gets into a kernel.
var variables = []string{
	"KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
	"KBUILD_BUILD_USER=nlrig",
	"KBUILD_BUILD_HOST=nlrig",
	"KBUILD_BUILD_VERSION=1",
	"LOCALVERSION=",
}

// maker runs make for one job, in one build directory.
type maker struct {
	job      Job
	src, out string
	cc       compiler
}

func (m maker) build(ctx context.Context, fragments []string) (Result, error) {
	r := Result{Config: filepath.Join(m.out, ".config")}
	logPath := filepath.Join(filepath.Dir(m.out), m.job.Arch.Name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return r, err
	}
	defer log.Close()
	all := filepath.Join(m.out, "nlrig.config")
	if err := os.WriteFile(all, []byte(strings.Join(fragments, "\n")), 0o644); err != nil {
		return r, err
	}
	if err := m.make(ctx, log, "KCONFIG_ALLCONFIG="+all, "allnoconfig"); err != nil {
		return r, err
	}
	text, err := os.ReadFile(r.Config)
	if err != nil {
		return r, err
	}
	r.Absent = absent(string(text), fragments)
	image, target := m.job.Arch.image, m.job.Arch.target
	if m.job.Arch.Name == X86.Name && slices.Contains(r.Absent, "CONFIG_PVH=y") {
		image, target = bzImage, "bzImage"
	}
	if err := m.make(ctx, log, target); err != nil {
		return r, err
	}
	r.Image = filepath.Join(m.out, image)
	for _, name := range []string{"modules.builtin", "modules.builtin.modinfo"} {
		if _, err := os.Stat(filepath.Join(m.out, name)); err == nil {
			r.Builtin = append(r.Builtin, filepath.Join(m.out, name))
		}
	}
	if image == bzImage {
		return r, nil
	}
	// Symbols and sections that nobody loads are two thirds of the file.
	bare := filepath.Join(m.out, "nlrig-image")
	if _, err := output(ctx, "strip", "-o", bare, r.Image); err != nil {
		return r, fmt.Errorf("strip %s: %w", r.Image, err)
	}
	r.Image = bare
	return r, nil
}

// absent are the options of fragments that a configuration does not have.
func absent(config string, fragments []string) []string {
	_, has := configs.Wanted(config)
	names, want := configs.Wanted(fragments...)
	var lacks []string
	for _, n := range names {
		got := has[n]
		if got == "" {
			got = "n"
		}
		if got != want[n] {
			lacks = append(lacks, n+"="+want[n])
		}
	}
	return lacks
}

// make runs make, whose words go to log.
func (m maker) make(ctx context.Context, log *os.File, target ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildDeadline)
	defer cancel()
	args := []string{"-C", m.src, "O=" + m.out, "ARCH=" + m.job.Arch.Name, "CC=" + m.cc.withCache(), "-j" + strconv.Itoa(runtime.NumCPU())}
	cmd := child.Command(ctx, "make", append(append(args, variables...), target...)...)
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains([]string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"}, name) || strings.HasPrefix(name, "CCACHE_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	// An interrupted make removes what it was writing.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = stopGrace
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	var errs failures
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(io.TeeReader(out, log))
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				errs.add(line)
				m.job.say(strings.Join(strings.Fields(line), " "))
			}
			if err != nil {
				return
			}
		}
	}()
	mark := filepath.Join(m.out, busy)
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		return err
	}
	p, err := child.Start(cmd)
	if err == nil {
		<-p.Done
		err = p.Err
		if !left(cmd.ProcessState) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its compilers
		}
	}
	in.Close()
	<-done
	if left(cmd.ProcessState) {
		if err := os.Remove(mark); err != nil {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("make: stopped: %w", context.Cause(ctx))
	case !left(cmd.ProcessState):
		return fmt.Errorf("make: %w (its log is %s)", err, log.Name())
	}
	if errs.disk {
		return fmt.Errorf("make: %s: %w", errs.lines[0], syscall.ENOSPC)
	}
	if lacks := errs.missing(); lacks != nil {
		return lacks
	}
	return &FailedError{Commit: m.job.Tree.Commit, Lines: errs.quoted(), Log: m.keep(log), Note: m.cc.note}
}

// left says that make ended in order: after an interrupt, too, which it sends
// itself once more.
func left(s *os.ProcessState) bool {
	if s == nil {
		return false
	}
	ws := s.Sys().(syscall.WaitStatus)
	return ws.Exited() || ws.Signal() == syscall.SIGINT
}

// keep gives the log of a failure a name that the next build leaves alone.
func (m maker) keep(log *os.File) string {
	name := filepath.Join(filepath.Dir(m.out), fmt.Sprintf("%s-%.12s.log", m.job.Arch.Name, m.job.Tree.Commit))
	text, err := os.ReadFile(log.Name())
	if err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		return log.Name()
	}
	return name
}

// failures are the lines of make's output that say why it failed.
type failures struct {
	lines []string
	last  []string // the last lines, of any kind
	disk  bool
}

func (f *failures) add(line string) {
	f.last = append(f.last, line)
	if len(f.last) > maxErrors {
		f.last = f.last[1:]
	}
	f.disk = f.disk || strings.Contains(line, "No space left on device")
	for _, word := range []string{"error:", "undefined reference", "multiple definition", "*** ", "not found", "ld: "} {
		if strings.Contains(line, word) {
			f.lines = append(f.lines, line)
			return
		}
	}
}

func (f *failures) quoted() []string {
	switch {
	case len(f.lines) == 0:
		return f.last
	case len(f.lines) > maxErrors:
		return f.lines[:maxErrors]
	}
	return f.lines
}

// wanted are files that programs of the build include, with their packages.
var wanted = []struct{ file, pkg string }{
	{"openssl/", "libssl-dev"}, {"gelf.h", "libelf-dev"}, {"libelf.h", "libelf-dev"}, {"gmp.h", "libgmp-dev"},
}

// missing is a failure of this machine and not of the tree, nil if it is none.
func (f *failures) missing() error {
	for _, line := range f.lines {
		if !strings.Contains(line, "No such file or directory") {
			continue
		}
		for _, w := range wanted {
			if strings.Contains(line, "fatal error: "+w.file) {
				_, file, _ := strings.Cut(line, "fatal error: ")
				file, _, _ = strings.Cut(file, ":")
				return &MissingError{What: []string{file}, Packages: []string{w.pkg}}
			}
		}
	}
	return nil
}
