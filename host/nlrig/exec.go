//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/kernels"
)

// programOptions are the flags of commands that run programs in kernels.
type programOptions struct {
	options
	kernels, append, modules, lo, consoles string
	gdb                                    string
	shell                                  bool
	cpus                                   int
	env, files                             words
}

// words collects a flag that may be given several times.
type words []string

func (w *words) String() string     { return strings.Join(*w, ",") }
func (w *words) Set(s string) error { *w = append(*w, s); return nil }

func (o *programOptions) flags(name, synopsis string) *flag.FlagSet {
	f := newFlags(name, synopsis, &o.options)
	o.vmFlags(f)
	f.Func("k", "`KERNELS` to run on (default NLRIG_KERNELS of the environment, else the newest that is here)", func(s string) error {
		if o.kernels = s; len(kernels.Split(s)) == 0 {
			return errors.New("it names no kernel")
		}
		return nil
	})
	o.cpus = 1
	f.Var(&bounded{&o.cpus, 1, qemu.MaxCPUs}, "smp", "`processors` of a VM")
	f.StringVar(&o.append, "append", "", "`words` for the kernel's command line")
	f.StringVar(&o.modules, "modules", "", "kernel modules to load at first, a `list` with commas; others are loaded when the kernel asks for them")
	f.StringVar(&o.lo, "lo", "up", "loopback interface, `up|down`")
	f.StringVar(&o.gdb, "gdb", "", "have the VM wait for gdb at `ADDRESS`, such as tcp::1234, before its first instruction; nothing then takes too long")
	f.BoolVar(&o.shell, "shell", false, "when a program did not end well, have a shell in its VM on this terminal")
	f.Var(&o.env, "env", "pass on a variable of the environment, by `NAME`, or set one, NAME=VALUE; may be given several times")
	f.Var(&o.files, "file", "take a `file or directory` along, under its own path, or a program of PATH by its name (ip), with its libraries; may be given several times")
	f.StringVar(&o.consoles, "console", "", "`directory` for the consoles' logs (default console in the cache)")
	return f
}

// fleet is what runs programs, with its kernels.
func (o *programOptions) fleet(ctx context.Context) (*host.Fleet, []choice, error) {
	if o.lo != "up" && o.lo != "down" {
		return nil, nil, misuse("-lo %s: want up or down", o.lo)
	}
	says := newSays()
	rig, err := o.rig(func(format string, args ...any) { says.Note(fmt.Sprintf(format, args...)) })
	if err != nil {
		return nil, nil, err
	}
	if o.consoles == "" {
		o.consoles = filepath.Join(o.cache, "console")
	}
	if o.kernels == "" {
		o.kernels = os.Getenv("NLRIG_KERNELS")
	}
	var all []choice
	if o.kernels == "" {
		v, err := oneKernel(ctx, rig.Catalogue, "")
		if err != nil {
			return nil, nil, err
		}
		all = []choice{{version: v}}
	} else if all, err = choose(ctx, rig.Catalogue, o.kernels); err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, misuse("no such kernel: %q names none", o.kernels)
	}
	f := &host.Fleet{
		Rig: rig,
		Options: host.VMOptions{
			Modules: strings.FieldsFunc(o.modules, func(r rune) bool { return r == ',' }),
			Console: o.consoles,
			Says:    says,
		},
		Change: func(c *qemu.Config) { c.CPUs, c.Append, c.GDB = o.cpus, o.append, o.gdb },
	}
	if o.lo == "down" {
		o.append += host.NoLoopback
	}
	if o.gdb != "" {
		if len(all) != 1 {
			return nil, nil, misuse("-gdb is for one kernel, and -k is %d", len(all))
		}
		rig.Images = nil
		f.Options.Quiet, f.Options.BootTimeout = aDay, aDay
	}
	if o.shell {
		f.OnFailure = func(ctx context.Context, vm *host.VM) { shellAfter(ctx, rig, vm, says) }
	}
	return f, all, nil
}

// aDay is what a person with a debugger may take.
const aDay = 24 * time.Hour

// shellAfter has a shell on this process's terminal, whatever its standard
// streams are.
func shellAfter(ctx context.Context, rig *host.Rig, vm *host.VM, says host.Says) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		says.Note(fmt.Sprintf("no shell, for there is no terminal: %v", err))
		return
	}
	defer tty.Close()
	says.Note(fmt.Sprintf("a shell in the VM of %s, which takes a line at a time; Ctrl-D ends it", vm.Kernel()))
	if err := rig.ShellIn(ctx, vm, tty, tty, says.Note); err != nil {
		says.Note(fmt.Sprintf("shell: %v", err))
	}
}

// execCommand is for go test -exec: it runs a program of this machine in a
// kernel, or in several, and ends as the program did.
func execCommand(args []string) error {
	var o programOptions
	f := o.flags("exec", "[-k KERNELS] BINARY [ARGS]")
	via := f.String("via", "", "`socket` of the nlrig test that has the VMs")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return misuse("exec wants a program: nlrig exec -k KERNEL BINARY [ARGS], or go test -exec 'nlrig exec -k KERNEL'")
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	if *via != "" {
		return execVia(*via, f.Args(), signals)
	}
	ctx := whileGoRuns(context.Background())
	fleet, all, err := o.fleet(ctx)
	if err != nil {
		return err
	}
	vs, err := versionsOf(all, "run a program in")
	if err != nil {
		return err
	}
	env, err := o.environment(os.Environ())
	if err != nil {
		return err
	}
	stdout, stderr := io.Writer(os.Stdout), io.Writer(os.Stderr)
	if sameFile(os.Stdout, os.Stderr) {
		stderr = stdout
	}
	fleet.Once = true
	path := f.Arg(0)
	if _, err := os.Stat(path); err != nil && !strings.Contains(path, "/") {
		if found, err := exec.LookPath(path); err == nil {
			path = found // else the error is of the file
		}
	}
	p := &host.Program{Path: path, Args: f.Args()[1:], Env: env, Files: o.files, Stdin: input(os.Stdin)}
	exit, results, err := fleet.RunAll(ctx, vs, p, host.Streams{Stdout: stdout, Stderr: stderr, Signals: signals})
	tell(os.Stderr, results)
	if cerr := fleet.Close(); err == nil && cerr != nil {
		fmt.Fprintln(os.Stderr, "nlrig:", cerr)
	}
	if err != nil {
		return err
	}
	return endAs(exit)
}

// environment is a program's, where nlrig was started with ours.
func (o *programOptions) environment(ours []string) ([]string, error) {
	for _, m := range o.env {
		if name, _, _ := strings.Cut(m, "="); name == "" {
			return nil, misuse("-env %s: want NAME or NAME=VALUE", m)
		}
	}
	return host.Environment(ours, o.env), nil
}

// tell says what is to be known beside a program's own output.
func tell(w io.Writer, results []host.Result) {
	for _, r := range results {
		r.Tell(w)
	}
}

// sameFile says that what is written to a and b goes to one place.
func sameFile(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}

// input is f, or nil where nothing can come from it.
func input(f *os.File) io.Reader {
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	null, err := os.Stat(os.DevNull)
	if err == nil && os.SameFile(st, null) {
		return nil
	}
	return f
}

// whileGoRuns ends ctx when the go command is gone that has started this: nobody
// waits for what comes of it, and a VM is more to leave behind than a process.
func whileGoRuns(ctx context.Context) context.Context {
	parent := os.Getppid()
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if string(name) != "go\n" {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for os.Getppid() == parent {
			time.Sleep(time.Second / 4)
		}
		cancel(errors.New("the go command that started this is gone"))
	}()
	return ctx
}

// endAs ends this process as a program ended.
func endAs(e host.Exit) error {
	switch {
	case e.Signal != 0:
		// A core would be this process's, and of no use.
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
		defaultAction(e.Signal)
		_ = syscall.Kill(os.Getpid(), e.Signal)
		time.Sleep(time.Second) // it comes to any thread
		return exit(128 + int(e.Signal))
	case e.Status != 0:
		return exit(e.Status)
	}
	return nil
}

// defaultAction has sig end this process. With signal.Reset the runtime would
// take SIGSEGV and others for a fault of nlrig's own, and tell of that.
func defaultAction(sig syscall.Signal) {
	var action [4]uintptr // struct kernel_sigaction with SIG_DFL
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}
