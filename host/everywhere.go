//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nlrig/nlrig/host/gotest"
	"github.com/nlrig/nlrig/kernels"
)

// Streams are whose a program's output is.
type Streams struct {
	// Stdout and Stderr may be the same: then what goes there keeps its order.
	Stdout, Stderr io.Writer
	// Signals are passed on to the program. The first that would end one ends
	// the way there, too.
	Signals <-chan os.Signal
}

// RunAll runs a program on all of vs at once. On one kernel its output is passed
// on as it comes. On several it is taken to be that of a test binary, in which
// each test then has a subtest for each kernel; the profiles of coverage that it
// writes are added up, and other files get the kernel's name behind theirs.
//
// The exit is that of the first kernel where the program did not end well. An
// error says that it could be run on none.
func (f *Fleet) RunAll(ctx context.Context, vs []kernels.Version, p *Program, s Streams) (Exit, []Result, error) {
	c, err := p.load()
	if err != nil {
		return Exit{}, nil, err
	}
	alone := len(vs) == 1
	vs = slices.DeleteFunc(slices.Clone(vs), func(v kernels.Version) bool { return !gotest.Asks(p.Args, v.String()) })
	if len(vs) == 0 {
		return Exit{}, nil, fmt.Errorf("%w: -run or -bench is for other kernels only: %q", ErrProgram, p.Args)
	}
	inputs := p.inputs(len(vs))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running atomic.Int32
	jobs := make([]*job, len(vs))
	signals := make([]chan os.Signal, len(vs))
	for i := range vs {
		signals[i] = make(chan os.Signal, 8)
		own := *p
		own.Stdin = inputs[i]
		jobs[i] = &job{Program: &own, cargo: c, stdout: s.Stdout, stderr: s.Stderr, signals: signals[i], running: &running,
			dest: func(b back) string { return b.path }}
	}
	go relay(ctx, cancel, s.Signals, signals, &running)
	if alone {
		r := f.do(ctx, vs[0], jobs[0])
		return r.exit(), []Result{r}, nil
	}
	dir, err := os.MkdirTemp("", "nlrig")
	if err != nil {
		return Exit{}, nil, err
	}
	defer os.RemoveAll(dir)
	results := make([]Result, len(vs))
	outputs := make([][2]*os.File, len(vs)) // the second is nil where both are one
	for i, v := range vs {
		j := jobs[i]
		for n := range outputs[i] {
			if n == 1 && s.Stdout == s.Stderr {
				break
			}
			out, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.%d", i, n)))
			if err != nil {
				return Exit{}, nil, err
			}
			defer out.Close()
			os.Remove(out.Name()) // nothing of it stays, whatever ends this process
			outputs[i][n] = out
		}
		j.stdout, j.stderr = outputs[i][0], outputs[i][0]
		if outputs[i][1] != nil {
			j.stderr = outputs[i][1]
		}
		j.dest = func(b back) string {
			switch {
			case b.cover:
				return filepath.Join(dir, fmt.Sprintf("%d.cover", i))
			case b.tree:
				return b.path // the names of its files tell
			}
			return b.path + "." + strings.ReplaceAll(v.String(), "/", "_")
		}
	}
	var wg sync.WaitGroup
	for i, v := range vs {
		wg.Go(func() {
			results[i] = f.do(ctx, v, jobs[i])
			if err := results[i].Err; err != nil {
				// With the test's own output, where it is looked for.
				_, failed := fmt.Fprintf(jobs[i].stderr, "\nnlrig: %v\n", err)
				results[i].told = failed == nil
			}
		})
	}
	wg.Wait()
	var runs []gotest.Run
	var exit Exit
	for i, r := range results {
		if e := r.exit(); e != (Exit{}) && exit == (Exit{}) {
			exit = e
		}
		status := r.exit().Status
		if r.Exit.Signal != 0 {
			status = 128 + int(r.Exit.Signal)
		}
		for _, out := range outputs[i] {
			if out != nil {
				if _, err := out.Seek(0, io.SeekStart); err != nil {
					return exit, results, err
				}
			}
		}
		if results[i].Tests, err = gotest.Tests(outputs[i][0]); err != nil {
			return exit, results, err
		}
		runs = append(runs, gotest.Run{Kernel: r.Kernel, Output: outputs[i][0], Status: status})
		if outputs[i][1] != nil {
			if _, err := io.Copy(s.Stderr, outputs[i][1]); err != nil {
				return exit, results, err
			}
		}
	}
	failed, err := gotest.Merge(s.Stdout, runs)
	if failed && exit == (Exit{}) {
		exit.Status = ExitNotHeld // a test that did not finish, and whose program said nothing of it
	}
	return exit, results, errors.Join(err, addProfiles(c, dir))
}

// passed are the variables that a program gets from the environment here. Others
// may be of this machine alone.
var passed = []string{"GODEBUG", "GOTRACEBACK", "GORACE", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GOCOVERDIR",
	"TZ", "LANG", "LC_ALL", "NO_COLOR", "CI", "PWD", "NLRIG_REQUIRE"}

// Environment is a program's in a VM, where this process has ours. more are
// names of what is to be passed on besides, or NAME=VALUE.
func Environment(ours, more []string) []string {
	env := []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "USER=root", "LOGNAME=root", "TERM=dumb"}
	for _, name := range append(slices.Clip(passed), more...) {
		if strings.Contains(name, "=") {
			env = setenv(env, name)
			continue
		}
		for _, e := range ours {
			if strings.HasPrefix(e, name+"=") {
				env = setenv(env, e)
			}
		}
	}
	return env
}

// setenv sets a variable, NAME=VALUE, and replaces what is there: of two of a
// name programs take the first or the last.
func setenv(env []string, e string) []string {
	name, _, _ := strings.Cut(e, "=")
	env = slices.DeleteFunc(slices.Clone(env), func(had string) bool { return strings.HasPrefix(had, name+"=") })
	return append(env, e)
}

// Tell says what is to be known of r beside the program's own output.
func (r *Result) Tell(w io.Writer) {
	for _, n := range r.Notes {
		fmt.Fprintf(w, "nlrig: %s: %s\n", r.Kernel, n)
	}
	if r.Err != nil && !r.told {
		fmt.Fprintf(w, "nlrig: %v\n", r.Err)
	}
}

// exit is how the program ended, or must be taken to have.
func (r *Result) exit() Exit {
	if r.Err != nil && r.Exit == (Exit{}) {
		return Exit{Status: r.status()}
	}
	return r.Exit
}

// status is an exit code of the command's for an error.
func (r *Result) status() int {
	var lost *LostError
	if errors.As(r.Err, &lost) {
		switch lost.Outcome.Verdict {
		case Infra, Skip, BootFail, VMCrash, AccelUnusable:
			return ExitInfra
		}
		return ExitNotHeld
	}
	var ill *TroubleError
	if errors.As(r.Err, &ill) || errors.Is(r.Err, ErrIncomplete) {
		return ExitNotHeld
	}
	return ExitInfra
}

// addProfiles adds up the profiles of coverage that the kernels' runs wrote.
func addProfiles(c *cargo, dir string) error {
	for _, b := range c.back {
		if !b.cover {
			continue
		}
		names, _ := filepath.Glob(filepath.Join(dir, "*.cover"))
		if len(names) == 0 {
			return nil
		}
		var all []io.Reader
		for _, n := range names {
			in, err := os.Open(n)
			if err != nil {
				return err
			}
			defer in.Close()
			all = append(all, in)
		}
		out, err := os.Create(b.path)
		if err != nil {
			return err
		}
		err = gotest.MergeProfiles(out, all...)
		return errors.Join(err, out.Close())
	}
	return nil
}

// relay passes signals on to all jobs. While no program runs there is nobody to
// heed one that would end it.
func relay(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal, jobs []chan os.Signal, running *atomic.Int32) {
	for {
		select {
		case s := <-signals:
			if running.Load() == 0 {
				switch s {
				case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
					cancel(fmt.Errorf("%v", s))
				}
			}
			for _, j := range jobs {
				select {
				case j <- s:
				default: // as with a process, what is pending is enough
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
