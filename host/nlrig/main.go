//go:build linux

// Command nlrig tells what Linux kernels do with netlink messages: it boots
// real kernels in throw-away VMs, plays netlink exchanges in them and compares
// what comes back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/kernels"
)

const usage = `nlrig tells what Linux kernels do with netlink messages.

	nlrig run     [-k KERNELS] [-o FORMAT=FILE]... [CASE...]   play cases on kernels; the matrix is its output
	nlrig run     -agree [-k KERNELS] [CASE...]                how far nlrig's own model of each kernel agrees with it
	nlrig diff    -k A,B CASE...                               what two kernels did differently
	nlrig bisect  -good A -bad B [-diff] CASE                  the kernel between two from which on it goes otherwise
	nlrig bisect  -git DIR -good REV -bad REV CASE             the commit from which on a case has another outcome
	nlrig fuzz    -k A,B [-n SEQUENCES] [-seed N] [-o DIR]     find exchanges on which two kernels differ
	nlrig test    [-k KERNELS] [PACKAGES] [go test flags]      run Go tests in kernels
	nlrig exec    [-k KERNELS] BINARY [ARGS]                   run a program in a kernel; for go test -exec
	nlrig flow    [-k emulated[@RELEASE]] CASE...              the kernel's functions that a case goes through
	nlrig report  show|merge [-o FORMAT=FILE]... FILE.json...  tell reports again, several as one
	nlrig report  schema                                       the JSON Schema of reports
	nlrig cases   [-flow] [CASE...]                            list the cases, or what of the kernel they exercise
	nlrig shell   [-k KERNEL]                                  a shell in a VM of that kernel
	nlrig kernels list [KERNELS] | pull KERNELS | rm KERNELS
	nlrig kernels build git:DIR@REV...                         build kernels of commits, small and made for netlink
	nlrig kernels check KERNELS                                which options they lack that cases need
	nlrig kernels config [x86_64|um]                           the options that kernels are built with
	nlrig doctor                                               what works on this machine, and how to mend the rest

KERNELS is a list with commas:
	6.12              a series: its newest version to be had
	6.12.43           a version; 6.12.43/amd64 is another flavour than cloud-amd64
	6.12.43..6.12.95  all versions between
	newest, all, default (5.10, 6.1, 6.12 and the newest)
	uml:6.1           User Mode Linux, a kernel that is a program; uml:all and so on
	local             the running kernel, in a network namespace
	emulated          no kernel, but nlrig's own model of the newest: no VM
	emulated@6.12     the model of a series' newest, or of 6.12.94
	file:PATH[,modules=DIR][,config=FILE]   a bzImage, a vmlinux, or a User Mode Linux
	deb:PATH          a Debian package of a kernel
	git:DIR[@REV][,config=FILE]   a commit of a kernel's repository, which is built
	uml:git:DIR@REV   the same, as User Mode Linux
	built             all of those that have been

FORMAT is html (a page), json (for programs), md, junit, ktap, or github
(annotations); FILE - is standard output, in place of the matrix.

CASE is a case's name, a pattern (ack/*), a folder (ack), or the path of a
case's file (./my.case).

nlrig bisect asks for the verdict of a case, with -diff for its exchange, with
-match REGEX for lines of that, with -test PKG -run NAME for a Go test, and with
-- COMMAND for an exit status: 0 is good, 125 a skip, any other below 128 bad. It
exits with 0 if it found a change, and with 1 if there is none.

Exit codes: 0 all held; 1 some did not; 2 wrong use; 3 this machine could not
find out (no QEMU, no disk, no download).
Each command shows its flags with -h.
`

// errUsage is wrong use whose message has been printed.
var errUsage = errors.New("usage")

// exit is an error that is only a status.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	err := command(os.Args[1:])
	os.Exit(exitCode(err, os.Args[1:]))
}

// bisectFlag is that of run for git bisect run.
const bisectFlag = "bisect"

// exitCode is an error's, which is printed here.
func exitCode(err error, args []string) int {
	var code exit
	switch {
	case err == nil:
		return host.ExitHeld
	case errors.As(err, &code):
		return int(code)
	}
	status := host.ExitUsage
	if !errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, "nlrig:", err)
		var u *usageError
		if !errors.As(err, &u) && !errors.Is(err, kernels.ErrSpec) && !errors.Is(err, host.ErrProgram) {
			status = host.ExitInfra
		}
	}
	// To git these would say that the commit is bad.
	if slices.Contains(args, "-"+bisectFlag) || slices.Contains(args, "--"+bisectFlag) {
		status = host.BisectAbort
	}
	return status
}

// command runs a command. Those that run programs pass signals on to them.
func command(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "exec":
			return execCommand(args[1:])
		case "test":
			return testCommand(args[1:])
		}
	}
	ctx, stop := interruptible()
	defer stop()
	return dispatch(ctx, args)
}

// interruptible ends ctx at the first SIGINT, SIGTERM or SIGHUP, so that VMs
// are ended in order. The second one is the signal's own.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-c
		signal.Stop(c)
		cancel(fmt.Errorf("%v", s))
	}()
	return ctx, func() { signal.Stop(c); cancel(nil) }
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	switch args[0] {
	case "run":
		return run(ctx, args[1:])
	case "report":
		return reportCommand(args[1:])
	case "diff":
		return diff(ctx, args[1:])
	case "bisect":
		return bisectCommand(ctx, args[1:])
	case "fuzz":
		return fuzzCommand(ctx, args[1:])
	case "flow":
		return flow(ctx, args[1:])
	case "cases":
		return listCases(args[1:])
	case "kernels":
		return kernelsCommand(ctx, args[1:])
	case "shell":
		return shell(ctx, args[1:])
	case "doctor":
		return doctor(ctx, args[1:])
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return nil
	}
	return misuse("%q is not a command of nlrig; nlrig help lists them", args[0])
}

type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// options are the flags that commands share.
type options struct {
	cache, mirror, accel, binary string
	memory                       int
	refresh, cold, entropy       bool
}

func newFlags(name, synopsis string, o *options) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&o.cache, "cache", "", "`directory` of kernels and images (default nlrig in the user's cache directory)")
	f.StringVar(&o.mirror, "mirror", "", "Debian mirror's `URL` (default: those of this machine's apt sources)")
	f.BoolVar(&o.refresh, "refresh", false, "ask the mirror anew which kernels it has")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: nlrig %s %s\n", name, synopsis)
		f.PrintDefaults()
	}
	return f
}

func (o *options) vmFlags(f *flag.FlagSet) {
	f.StringVar(&o.accel, "accel", qemu.Auto, "QEMU's `accelerator`: tcg, kvm, ..., or auto: kvm where a guest runs under it, else tcg")
	f.StringVar(&o.binary, "qemu", qemu.Program, "QEMU's `program`")
	f.BoolVar(&o.cold, "cold", false, "boot every VM, and neither use nor make warm images")
	f.BoolVar(&o.entropy, "entropy", false, "give each VM a random pool of its own, where those of a warm image begin alike")
	o.memory = qemu.DefaultMemory
	f.Var(&bounded{&o.memory, qemu.MinMemory, qemu.MaxMemory}, "m", "a VM's memory in `MiB`")
}

// bounded is a flag that is a number between two.
type bounded struct {
	n        *int
	min, max int
}

func (b *bounded) String() string {
	if b.n == nil { // as package flag makes one, to know the zero value
		return ""
	}
	return strconv.Itoa(*b.n)
}

func (b *bounded) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < b.min || n > b.max {
		return fmt.Errorf("want %d to %d", b.min, b.max)
	}
	*b.n = n
	return nil
}

// shared are those of options that were given, for another nlrig.
func shared(f *flag.FlagSet) (args []string) {
	f.Visit(func(fl *flag.Flag) {
		switch fl.Name {
		case "cache", "mirror", "accel", "qemu", "cold", "entropy", "m":
			args = append(args, fmt.Sprintf("-%s=%s", fl.Name, fl.Value))
		}
	})
	return args
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exit(0)
		}
		return errUsage // flag has said why
	}
	return nil
}

// rig opens the cache and the catalogue.
func (o *options) rig(say func(format string, args ...any)) (*host.Rig, error) {
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: name one with -cache", err)
		}
		o.cache = filepath.Join(dir, "nlrig")
	}
	c, err := kernels.Open(kernels.Options{Dir: filepath.Join(o.cache, "kernels"), Mirror: o.mirror, Refresh: o.refresh, Log: say})
	if err != nil {
		return nil, err
	}
	images := &qemu.Images{Dir: filepath.Join(o.cache, "warm")}
	images.Sweep()
	if o.cold {
		images = nil
	}
	return &host.Rig{
		Images:    images,
		Entropy:   o.entropy,
		Catalogue: c,
		Dir:       o.cache,
		QEMU:      qemu.Config{Binary: o.binary, Accel: o.accel, Memory: o.memory},
	}, nil
}

// choice is one kernel of a -k: one that is to be had, or, by its name, one
// that is of this machine or of nlrig itself.
type choice struct {
	version kernels.Version
	name    string // local, emulated, emulated@6.12; else empty
}

// choose turns a -k into kernels, each once.
func choose(ctx context.Context, c *kernels.Catalogue, spec string) ([]choice, error) {
	specs := kernels.Split(spec)
	if len(specs) == 0 {
		return nil, misuse("-k names no kernel")
	}
	var all []choice
	seen := map[string]bool{}
	add := func(name string, x choice) {
		if !seen[name] {
			seen[name] = true
			all = append(all, x)
		}
	}
	for _, e := range specs {
		if e == "local" || strings.HasPrefix(e, "emulated") {
			add(e, choice{name: e})
			continue
		}
		some, err := c.Select(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, v := range some {
			add(v.String(), choice{version: v})
		}
	}
	return all, nil
}

// versions turns a -k into kernels that boot in a VM; what is what they are
// wanted for.
func versions(ctx context.Context, c *kernels.Catalogue, spec, what string) ([]kernels.Version, error) {
	all, err := choose(ctx, c, spec)
	if err != nil {
		return nil, err
	}
	return versionsOf(all, what)
}

func versionsOf(all []choice, what string) ([]kernels.Version, error) {
	var vs []kernels.Version
	for _, x := range all {
		switch x.name {
		case "":
			vs = append(vs, x.version)
		case "local":
			return nil, misuse("local is the running kernel: there is nothing to %s", what)
		default:
			return nil, misuse("%s is a part of nlrig: there is nothing to %s", x.name, what)
		}
	}
	return vs, nil
}

// targets are the kernels of a -k, ready to be played on.
func (o *options) targets(ctx context.Context, rig *host.Rig, spec string) ([]host.Target, error) {
	all, err := choose(ctx, rig.Catalogue, spec)
	if err != nil {
		return nil, err
	}
	return targetsOf(rig, all)
}

func targetsOf(rig *host.Rig, all []choice) ([]host.Target, error) {
	var targets []host.Target
	for _, x := range all {
		switch {
		case x.name == "local":
			targets = append(targets, rig.LocalTarget())
		case x.name != "":
			t, err := host.EmulatedTarget(x.name)
			if err != nil {
				return nil, err
			}
			targets = append(targets, t)
		default:
			targets = append(targets, rig.Target(x.version))
		}
	}
	return targets, nil
}

// style fits w: colour and a width only on a terminal, and no colour where
// NO_COLOR is set.
func style(w io.Writer) (s report.Style, terminal bool) {
	f, ok := w.(*os.File)
	if !ok {
		return s, false
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return s, false
	}
	s.Width = int(ws.Col)
	s.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s, os.Getenv("TERM") != "dumb"
}
