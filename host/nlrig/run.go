//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func run(ctx context.Context, args []string) error {
	var o options
	var out outputs
	r := host.Runner{}
	f := newFlags("run", "[-k KERNELS] [-o FORMAT=FILE]... [CASE...]", &o)
	o.vmFlags(f)
	spec := f.String("k", "default", "`KERNELS` to play on")
	out.flag(f)
	panicOn := f.String("panic-on", "", "have the kernel panic on `VERDICTS` of warn, oops, lockup, oom (a list with commas)")
	f.IntVar(&r.Slots, "j", 0, "how many VMs at once (default: what cores and memory allow)")
	f.DurationVar(&r.CaseTimeout, "timeout", host.DefaultCaseTimeout, "time for one case")
	f.DurationVar(&r.BootTimeout, "boot-timeout", host.DefaultBootTimeout, "time for one boot")
	update := f.Bool("update", false, "rewrite the cases that fail to what the kernels answered")
	slowest := f.Int("slowest", 0, "also say how long a case took on average, and which `N` took longest")
	f.BoolVar(&r.Timing, "timing", false, "also say where the time went, and the memory")
	agree := f.Bool("agree", false, "put the emulated kernel of each kernel's release beside it, and say where the two differ")
	forBisect := f.Bool(bisectFlag, false, "exit as git bisect run has it: 0 good, 1 bad, 125 when the kernel does not build or boot or lacks what the cases need, 128 when this machine cannot find out")
	isolation := f.String("isolation", string(host.IsolateNetns), "what a case has to itself: a `netns`, or a vm of its own")
	f.StringVar(&r.Console, "console", "", "`directory` for the consoles of VMs (default console in the cache)")
	if err := parse(f, args); err != nil {
		return err
	}
	r.Isolation = host.Isolation(*isolation)
	if r.Isolation != host.IsolateNetns && r.Isolation != host.IsolateVM {
		return misuse("-isolation %s: want netns or vm", *isolation)
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	rig, err := o.rig(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	rig.QEMU.Timing = r.Timing
	if *panicOn != "" {
		if rig.QEMU.Append, err = host.PanicOn(*panicOn); err != nil {
			return misuse("-panic-on: %v", err)
		}
	}
	choices, err := choose(ctx, rig.Catalogue, *spec)
	var held []pair
	if err == nil && *agree {
		choices, held, err = beside(choices)
	}
	if err != nil {
		return err
	}
	targets, err := targetsOf(rig, choices)
	if err != nil {
		return err
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

	if *update {
		say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
		if err := updateCases(columns, list, say); err != nil {
			return err
		}
	}
	rep := host.NewReport(columns, list)
	for _, p := range held {
		host.Agree(rep, p.emulated, p.real, p.release)
	}
	if err := out.write(rep); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "took %.1f s; consoles are in %s\n", time.Since(start).Seconds(), r.Console)
	if *slowest > 0 {
		printSlowest(columns, *slowest)
	}
	if r.Timing {
		if err := host.WriteTimings(os.Stderr, columns); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, host.TimingLegend)
	}
	if err := host.Broken(columns); err != nil {
		fmt.Fprintln(os.Stderr, "nlrig:", err)
	}
	if *forBisect {
		return status(host.BisectCode(columns))
	}
	return status(rep.ExitCode())
}

// printSlowest says where the time of the cases went.
func printSlowest(columns []host.Column, n int) {
	type play struct {
		name string
		took time.Duration
	}
	var plays []play
	var sum time.Duration
	for _, c := range columns {
		for _, o := range c.Outcomes {
			if o.Took > 0 {
				plays = append(plays, play{o.Case.Name + " on " + c.Target, o.Took})
				sum += o.Took
			}
		}
	}
	if len(plays) == 0 {
		return
	}
	slices.SortFunc(plays, func(a, b play) int { return cmp.Compare(b.took, a.took) })
	fmt.Fprintf(os.Stderr, "%.1f ms a case\n", sum.Seconds()*1000/float64(len(plays)))
	for _, p := range plays[:min(n, len(plays))] {
		fmt.Fprintf(os.Stderr, "%6.0f ms  %s\n", p.took.Seconds()*1000, p.name)
	}
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
