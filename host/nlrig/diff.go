//go:build linux

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// sideBySide is the least width of a terminal for two columns.
const sideBySide = 100

// diff plays cases on two kernels or more and shows what the others did
// differently than the first.
func diff(ctx context.Context, args []string) error {
	var o options
	f := newFlags("diff", "-k A,B[,...] CASE...", &o)
	o.vmFlags(f)
	spec := f.String("k", "", "`KERNELS` to compare, two at least: the others with the first")
	r := host.Runner{}
	if err := parse(f, args); err != nil {
		return err
	}
	if *spec == "" || f.NArg() == 0 {
		return misuse("diff wants -k A,B and a case: nlrig diff -k 6.1,7.3 link/rename-up")
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	rig, err := o.rig(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	targets, err := o.targets(ctx, rig, *spec)
	if err != nil {
		return err
	}
	if len(targets) < 2 {
		return misuse("diff wants two kernels at least, -k %s is one", *spec)
	}
	errStyle, live := style(os.Stderr)
	progress := host.NewProgress(os.Stderr, live, errStyle, targets)
	r.Progress = progress.Event
	columns := r.Run(ctx, targets, list)
	progress.Stop()
	rep := host.NewReport(columns, list)
	s, terminal := style(os.Stdout)
	code := host.ExitHeld
	for i := range rep.Cases {
		for k := 1; k < len(rep.Kernels); k++ {
			if c := showDiff(rep, i, k, s, terminal && s.Width >= sideBySide); c > code {
				code = c
			}
		}
	}
	return status(code)
}

// showDiff compares kernel k with the first, and returns what that amounts to.
func showDiff(r *report.Report, i, k int, s report.Style, columns bool) int {
	c := &r.Cases[i]
	fmt.Printf("%s: %s and %s", c.Name, r.Kernels[0].Name, r.Kernels[k].Name)
	a, okA := c.Exchange(0)
	b, okB := c.Exchange(k)
	if !okA || !okB {
		fmt.Println(": nothing to compare")
		for _, at := range []int{0, k} {
			if cell := c.Cells[at]; cell.Class == "" {
				fmt.Printf("  %s: %s: %s\n", r.Kernels[at].Name, cell.Verdict, cell.Reason)
			}
		}
		return host.ExitInfra
	}
	lines, alike := nlcase.DiffLines(a, b)
	if alike {
		fmt.Println(" did the same")
		return host.ExitHeld
	}
	fmt.Println()
	if columns {
		s.SideBySide(os.Stdout, lines)
	} else {
		for _, l := range lines {
			fmt.Println(s.Diff(l.Op, l.String()))
		}
	}
	fmt.Println()
	return host.ExitNotHeld
}
