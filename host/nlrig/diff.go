//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

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
		inColumns(lines, s)
	} else {
		for _, l := range lines {
			fmt.Println(paint(s, l.Op, l.String()))
		}
	}
	fmt.Println()
	return host.ExitNotHeld
}

func paint(s report.Style, op byte, text string) string {
	color := map[byte]string{'-': "\x1b[31m", '+': "\x1b[32m"}[op]
	if !s.Color || color == "" {
		return text
	}
	return color + text + "\x1b[0m"
}

// inColumns sets what only the first has to the left of what only the other
// has. A line that differs is marked with |, one that is on one side with < or
// >.
func inColumns(lines []nlcase.DiffLine, s report.Style) {
	width := (s.Width - 3) / 2
	for len(lines) > 0 {
		var left, right []string
		for len(lines) > 0 && lines[0].Op != ' ' {
			if lines[0].Op == '-' {
				left = append(left, lines[0].Text)
			} else {
				right = append(right, lines[0].Text)
			}
			lines = lines[1:]
		}
		for j := range max(len(left), len(right)) {
			var l, r string
			mark := "|"
			if j < len(left) {
				l = left[j]
			} else {
				mark = ">"
			}
			if j < len(right) {
				r = right[j]
			} else {
				mark = "<"
			}
			printRow(l, mark, r, width, s)
		}
		if len(lines) > 0 {
			printRow(lines[0].Text, " ", lines[0].Text, width, s)
			lines = lines[1:]
		}
	}
}

// printRow breaks what is wider than its column.
func printRow(l, mark, r string, width int, s report.Style) {
	for first := true; first || l != "" || r != ""; first = false {
		var a, b string
		a, l = cut(l, width)
		b, r = cut(r, width)
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(a))
		if mark == " " {
			fmt.Println(strings.TrimRight(a+pad+"   "+b, " "))
			continue
		}
		fmt.Println(strings.TrimRight(paint(s, '-', a)+pad+" "+mark+" "+paint(s, '+', b), " "))
	}
}

func cut(s string, width int) (head, rest string) {
	r := []rune(s)
	if len(r) <= width {
		return s, ""
	}
	return string(r[:width]), "    " + string(r[width:])
}
