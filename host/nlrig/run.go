//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// outputs are the -o flags: FORMAT=FILE.
type outputs []string

func (o *outputs) String() string { return strings.Join(*o, " ") }

func (o *outputs) Set(s string) error {
	format, file, ok := strings.Cut(s, "=")
	if !ok || format != "json" || file == "" {
		return fmt.Errorf("want json=FILE")
	}
	*o = append(*o, file)
	return nil
}

func run(ctx context.Context, args []string) error {
	var o options
	var out outputs
	r := host.Runner{}
	f := newFlags("run", "[-k KERNELS] [-o json=FILE] [CASE...]", &o)
	o.vmFlags(f)
	spec := f.String("k", "default", "`KERNELS` to play on")
	f.Var(&out, "o", "also write a report: json=`FILE`, - for standard output in place of the matrix")
	panicOn := f.String("panic-on", "", "have the kernel panic on `VERDICTS` of warn, oops, lockup, oom (a list with commas)")
	f.IntVar(&r.Slots, "j", 0, "how many VMs at once (default: what cores and memory allow)")
	f.DurationVar(&r.CaseTimeout, "timeout", host.DefaultCaseTimeout, "time for one case")
	f.DurationVar(&r.BootTimeout, "boot-timeout", host.DefaultBootTimeout, "time for one boot")
	update := f.Bool("update", false, "rewrite the cases that fail to what the kernels answered")
	f.StringVar(&r.Console, "console", "", "`directory` for the consoles of VMs (default console in the cache)")
	if err := parse(f, args); err != nil {
		return err
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	rig, err := o.rig(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	if *panicOn != "" {
		if rig.QEMU.Append, err = host.PanicOn(*panicOn); err != nil {
			return misuse("-panic-on: %v", err)
		}
	}
	vs, local, err := versions(ctx, rig.Catalogue, *spec)
	if err != nil {
		return err
	}
	var targets []host.Target
	for _, v := range vs {
		targets = append(targets, rig.QEMUTarget(v))
	}
	if local {
		targets = append(targets, rig.LocalTarget())
	}
	if r.Console == "" {
		r.Console = filepath.Join(o.cache, "console")
	}

	errStyle, live := style(os.Stderr)
	progress := host.NewProgress(os.Stderr, live, errStyle, targets)
	r.Progress = progress.Event
	start := time.Now()
	columns := r.Run(ctx, targets, list)
	progress.Stop()

	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	if *update {
		if err := updateCases(columns, list, say); err != nil {
			return err
		}
	}
	stdoutTaken := false
	for _, file := range out {
		var b bytes.Buffer
		if err := host.WriteJSON(&b, columns); err != nil {
			return err
		}
		if file == "-" {
			stdoutTaken = true
			_, err = os.Stdout.Write(b.Bytes())
		} else {
			err = os.WriteFile(file, b.Bytes(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if !stdoutTaken {
		outStyle, _ := style(os.Stdout)
		if err := host.WriteMatrix(os.Stdout, columns, list, outStyle); err != nil {
			return fmt.Errorf("write the matrix: %w", err)
		}
	}
	fmt.Fprintf(os.Stderr, "took %.1f s", time.Since(start).Seconds())
	if len(vs) > 0 {
		fmt.Fprintf(os.Stderr, "; consoles are in %s", r.Console)
	}
	fmt.Fprintln(os.Stderr)
	if err := host.Broken(columns); err != nil {
		fmt.Fprintln(os.Stderr, "nlrig:", err)
	}
	if code := host.ExitCode(columns); code != host.ExitHeld {
		return exit(code)
	}
	return nil
}

// selectCases returns the cases that args name, in the corpus's order and
// then the files', all of the corpus where there are none.
func selectCases(args []string) ([]*nlcase.Case, error) {
	all, err := cases.All()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return all, nil
	}
	used := make([]bool, len(args))
	var list []*nlcase.Case
	for _, c := range all {
		take := false
		for i, a := range args {
			ok, err := path.Match(a, c.Name)
			if err != nil {
				return nil, misuse("%q: %v", a, err)
			}
			if ok || strings.HasPrefix(c.Name, strings.TrimSuffix(a, "/")+"/") {
				used[i], take = true, true
			}
		}
		if take {
			list = append(list, c)
		}
	}
	for i, a := range args {
		if used[i] {
			continue
		}
		text, err := os.ReadFile(a)
		if err != nil {
			return nil, misuse("no case is called %q, and it is not a file (%v); nlrig cases lists them", a, err)
		}
		c, err := nlcase.Parse(a, text)
		if err != nil {
			return nil, misuse("%v", err)
		}
		list = append(list, c)
	}
	return list, nil
}
