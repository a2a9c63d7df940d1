//go:build linux

// Package vmtest runs tests in real Linux kernels, each in a throw-away VM that
// needs neither root nor KVM. A kernel is named as nlrig's -k has it: a series
// (6.12), a version (6.12.43), a range, newest, default, file:PATH.
//
// A package whose tests are to run in kernels as they are needs a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(vmtest.Main(m)) }
//
// and then
//
//	NLRIG_KERNELS=5.10,6.1,newest go test ./...
//
// runs its own test binary in each. Tests that drive a kernel from outside use
// Start and Command, and RunCases plays a package's own exchanges.
//
// What a machine lacks (QEMU, a kernel that cannot be downloaded) is a skip that
// says so, and a failure where NLRIG_REQUIRE=1 is set. Main, which is asked for
// kernels by name, fails then: it could tell of no skip.
package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/lack"
)

// RequireEnv is the variable that makes failures of skips where it is 1, and
// KernelsEnv names the kernels that Main and Kernels use.
const (
	RequireEnv = lack.RequireEnv
	KernelsEnv = "NLRIG_KERNELS"
)

// rig is the one of this process: cache, catalogue and warm images are the
// command's.
var rig = sync.OnceValues(func() (*host.Rig, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "nlrig")
	c, err := kernels.Open(kernels.Options{Dir: filepath.Join(dir, "kernels")})
	if err != nil {
		return nil, err
	}
	images := &qemu.Images{Dir: filepath.Join(dir, "warm")}
	images.Sweep()
	return &host.Rig{Catalogue: c, Dir: dir, Images: images}, nil
})

// resolve turns a list with commas into kernels.
func resolve(ctx context.Context, spec string) (*host.Rig, []kernels.Version, error) {
	r, err := rig()
	if err != nil {
		return nil, nil, err
	}
	var all []kernels.Version
	for _, one := range kernels.Split(spec) {
		vs, err := r.Catalogue.Select(ctx, one)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, vs...)
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("%w: %q names none", kernels.ErrSpec, spec)
	}
	return r, all, nil
}

// mustResolve fails where spec names nothing, and skips where that cannot be
// known.
func mustResolve(t testing.TB, spec string) (*host.Rig, []kernels.Version) {
	t.Helper()
	r, vs, err := resolve(t.Context(), spec)
	switch {
	case errors.Is(err, kernels.ErrSpec):
		t.Fatal(err)
	case err != nil:
		lack.Skip(t, "%v", err)
	}
	return r, vs
}

// Kernels runs f as a subtest for each kernel of spec, in parallel:
// TestX/kernel=6.1.192. Where spec is empty the kernels are NLRIG_KERNELS's, or
// else the default ones.
func Kernels(t *testing.T, spec string, f func(t *testing.T, kernel string)) {
	t.Helper()
	if spec == "" {
		spec = os.Getenv(KernelsEnv)
	}
	if spec == "" {
		spec = "default"
	}
	_, vs := mustResolve(t, spec)
	for _, v := range vs {
		t.Run("kernel="+v.String(), func(t *testing.T) {
			t.Parallel()
			f(t, v.String())
		})
	}
}

// Option changes a VM from what it is by default.
type Option func(*options)

type options struct {
	memory, cpus int
	append       string
	vm           host.VMOptions
}

// Memory gives a VM so many MiB.
func Memory(mib int) Option { return func(o *options) { o.memory = mib } }

// CPUs gives a VM so many processors.
func CPUs(n int) Option { return func(o *options) { o.cpus = n } }

// Append adds words to the kernel's command line.
func Append(words string) Option { return func(o *options) { o.append += " " + words } }

// Modules loads kernel modules at first. Others are loaded when the kernel asks
// for them.
func Modules(names ...string) Option {
	return func(o *options) { o.vm.Modules = append(o.vm.Modules, names...) }
}

// NoLoopback leaves lo down.
func NoLoopback() Option { return Append(host.NoLoopback) }

// VM is a running kernel. It ends with its test.
type VM struct {
	t  testing.TB
	vm *host.VM
}

// Start starts a VM of kernel, for the time of the test. A kernel that does not
// boot fails the test. Where the test is in a VM already it is skipped.
func Start(t testing.TB, kernel string, opts ...Option) *VM {
	t.Helper()
	if Inside() {
		t.Skipf("this is a VM already, of %s, and starts no other", os.Getenv(insideEnv))
	}
	r, vs := mustResolve(t, kernel)
	if len(vs) != 1 {
		t.Fatalf("%s is %d kernels; a VM has one", kernel, len(vs))
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	say := func(s string) { t.Log(s) }
	o.vm.Says = host.Says{Note: say, Moment: say, Status: func(string) {}}
	o.vm.Console = filepath.Join(r.Dir, "console")
	target := r.ProgramTarget(vs[0], func(c *qemu.Config) { c.Memory, c.CPUs, c.Append = o.memory, o.cpus, o.append })
	vm, err := r.OpenVM(t.Context(), &target, o.vm)
	if err != nil {
		var lost *host.LostError
		if errors.As(err, &lost) && lost.Outcome.Verdict != host.Infra && lost.Outcome.Verdict != host.Skip {
			t.Fatal(err)
		}
		lack.Skip(t, "%v", err)
	}
	t.Cleanup(func() {
		if o, ill := vm.Trouble(); ill && vm.Err() == nil {
			t.Error((&host.TroubleError{Target: vm.Kernel(), Outcome: o}).Error())
		}
		if err := errors.Join(vm.Close(), target.Close()); err != nil {
			t.Error(err)
		}
	})
	return &VM{t, vm}
}

// Kernel is the kernel's name: 6.1.192.
func (vm *VM) Kernel() string { return vm.vm.Kernel() }

// Release is uname -r's.
func (vm *VM) Release() string { return vm.vm.Release() }

// Modprobe loads a kernel module and those it needs.
func (vm *VM) Modprobe(name string) error { return vm.vm.Modprobe(vm.t.Context(), name) }

// WriteFile writes a file in the VM, with its directories.
func (vm *VM) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return vm.vm.Put(vm.t.Context(), path, mode, bytes.NewReader(data))
}

// ReadFile reads a file of the VM, a regular one of 512 MB at most.
func (vm *VM) ReadFile(path string) ([]byte, error) { return vm.vm.ReadFile(vm.t.Context(), path) }

// Install copies files and directories of this machine into the VM, to the same
// paths; what is an executable gets its shared libraries, too.
func (vm *VM) Install(paths ...string) error { return vm.vm.Install(vm.t.Context(), paths...) }

// Self is a command that runs the test's own binary in the VM, with args: a test
// can thus run a part of itself there, as it would in a child process. Inside is
// true there.
func (vm *VM) Self(args ...string) *Cmd {
	path, err := os.Executable()
	if err == nil {
		err = vm.Install(path)
	}
	c := vm.Command(path, args...)
	c.Env = append(c.environ(), insideEnv+"="+vm.Kernel())
	c.err = err
	return c
}

// Cmd is a program to run in a VM, shaped like exec.Cmd of the standard library.
// It is used once.
type Cmd struct {
	Path   string   // a name alone is looked up in the VM's PATH
	Args   []string // with the name
	Env    []string // nil for a PATH, HOME and USER of root
	Dir    string   // / where it is empty
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	vm   *VM
	p    *host.Process
	err  error
	done bool
}

// Command returns a command that runs a program of the VM.
func (vm *VM) Command(name string, args ...string) *Cmd {
	return &Cmd{Path: name, Args: append([]string{name}, args...), vm: vm}
}

// ExitError is how a program ended that did not end well.
type ExitError struct {
	host.Exit
	// Stderr is the end of its standard error, where Output took it.
	Stderr []byte
}

func (e *ExitError) Error() string { return e.Exit.String() }

// Start starts the program.
func (c *Cmd) Start() error {
	if c.err != nil {
		return c.err
	}
	if c.p != nil {
		return errors.New("vmtest: already started")
	}
	var args []string
	if len(c.Args) > 0 {
		args = c.Args[1:]
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	c.p, c.err = c.vm.vm.Start(host.Spec{Path: c.Path, Args: args, Env: c.environ(), Dir: dir, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr})
	return c.err
}

func (c *Cmd) environ() []string {
	if c.Env != nil {
		return c.Env
	}
	return []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "USER=root"}
}

// Wait waits for the program to end, and its output with it. The error is an
// *ExitError where it did not end well, and a *host.LostError where its kernel
// was lost.
func (c *Cmd) Wait() error {
	if c.p == nil || c.done {
		return errors.New("vmtest: not started, or waited for already")
	}
	c.done = true
	exit, err := c.p.Wait()
	if err != nil {
		return err
	}
	if exit != (host.Exit{}) {
		return &ExitError{Exit: exit}
	}
	return nil
}

// Run starts the program and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("vmtest: Stdout already set")
	}
	var out, errs bytes.Buffer
	c.Stdout = &out
	take := c.Stderr == nil
	if take {
		c.Stderr = &errs
	}
	err := c.Run()
	var exit *ExitError
	if take && errors.As(err, &exit) {
		exit.Stderr = errs.Bytes()
	}
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns all that it wrote, in order.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("vmtest: Stdout or Stderr already set")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// Signal sends the program a signal, such as syscall.SIGTERM.
func (c *Cmd) Signal(s os.Signal) error {
	if c.p == nil {
		return errors.New("vmtest: not started")
	}
	sig, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("vmtest: %v is no signal of Linux", s)
	}
	return c.p.Signal(sig)
}

func (c *Cmd) String() string { return strings.Join(c.Args, " ") }
