//go:build linux

package vmtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/lack"
)

// named are the kernels that Main runs the tests in.
var named = flag.String("kernels", "", "run this package's tests in these `kernels`, by vmtest.Main (default NLRIG_KERNELS of the environment)")

// insideEnv is set where a test binary has been started in a VM.
const insideEnv = "NLRIG_KERNEL"

// Inside says whether this process runs in a VM that Main, Self, nlrig test or
// nlrig exec has started.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Main is for TestMain. Where the flag -kernels or NLRIG_KERNELS names kernels,
// it runs this test binary in each of them, at once, and not here: TestX is
// then reported as TestX/kernel=6.1.192 and so on, its subtests below that.
// Otherwise it is m.Run. It returns an exit code.
func Main(m *testing.M) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	spec := *named
	if spec == "" {
		spec = os.Getenv(KernelsEnv)
	}
	if spec == "" || Inside() {
		return m.Run()
	}
	code, err := everywhere(spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
		return host.ExitInfra
	}
	return code
}

// everywhere runs this process's binary, with its arguments, in kernels.
func everywhere(spec string) (code int, err error) {
	ctx := context.Background()
	r, vs, err := resolve(ctx, spec)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	say := func(s string) { fmt.Fprintln(os.Stderr, s) }
	f := &host.Fleet{Rig: r, Once: true, Options: host.VMOptions{
		Console: filepath.Join(r.Dir, "console"),
		Says:    host.Says{Note: say, Moment: say, Status: func(string) {}},
	}}
	defer func() { err = errors.Join(err, f.Close()) }()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	p := &host.Program{Path: self, Args: withoutKernels(os.Args[1:]), Env: host.Environment(os.Environ(), nil)}
	exit, results, err := f.RunAll(ctx, vs, p, host.Streams{Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals})
	for _, r := range results {
		r.Tell(os.Stderr)
	}
	if err != nil {
		return 0, err
	}
	if exit.Signal != 0 {
		return 128 + int(exit.Signal), nil
	}
	return exit.Status, nil
}

// withoutKernels takes the flag out of a test binary's arguments.
func withoutKernels(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		name, _, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if strings.HasPrefix(args[i], "-") && name == "kernels" {
			if !given {
				i++
			}
			continue
		}
		rest = append(rest, args[i])
	}
	return rest
}

// RunCases plays the cases of fsys, files that end in .case, on kernel, each as a
// subtest. Package nlcase says what is in them.
func RunCases(t *testing.T, kernel string, fsys fs.FS) {
	t.Helper()
	all, err := cases.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no file ends in .case")
	}
	if Inside() {
		t.Skipf("this is a VM already, of %s, and starts no other", os.Getenv(insideEnv))
	}
	r, vs := mustResolve(t, kernel)
	if len(vs) != 1 {
		t.Fatalf("%s is %d kernels; want one", kernel, len(vs))
	}
	runner := &host.Runner{Console: filepath.Join(r.Dir, "console")}
	columns := runner.Run(t.Context(), []host.Target{r.Target(vs[0])}, all)
	for _, o := range columns[0].Outcomes {
		t.Run(o.Case.Name, func(t *testing.T) {
			switch {
			case o.Verdict == host.Infra || o.Verdict == host.AccelUnusable:
				lack.Skip(t, "%s", o.Reason)
			case o.Verdict == host.Skip || o.Verdict == host.ConfigMissing:
				t.Skip(o.Reason)
			case !o.Verdict.Held():
				t.Error(o.String())
			}
		})
	}
}
