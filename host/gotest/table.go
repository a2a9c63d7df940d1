package gotest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Table is what tests came to on several kernels.
type Table struct {
	Kernels  []string
	Packages []Package
	Color    bool
	Width    int // columns of the terminal; 0 for no limit
}

// Package is a package's test binary, on each of a table's kernels.
type Package struct {
	Name    string
	Results []Result
}

// Result is how a test binary did on one kernel.
type Result struct {
	Tests   []Test
	Failed  bool // as a whole
	Elapsed time.Duration
}

const (
	red   = "\x1b[31m\x1b[1m"
	green = "\x1b[32m"
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

// Write writes for each package the tests that did not come to the same on
// all kernels, or failed, and then how long each package took, as go test
// does. A test that is not in a kernel's list has a "-"; one whose subtest
// came to the same on each kernel is left to that.
func (t Table) Write(w io.Writer) error {
	var b strings.Builder
	packages := [][]string{append([]string{"package"}, t.Kernels...)}
	for _, p := range t.Packages {
		if rows := p.differing(); len(rows) > 0 {
			t.grid(&b, append([][]string{append([]string{p.Name}, t.Kernels...)}, rows...))
		}
		row := []string{p.Name}
		for _, r := range p.Results {
			word := "ok"
			if r.Failed {
				word = "FAIL"
			}
			row = append(row, fmt.Sprintf("%s %.2fs", word, r.Elapsed.Seconds()))
		}
		packages = append(packages, row)
	}
	t.grid(&b, packages)
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

// differing are a name and an outcome on each kernel, of the tests to list.
func (p Package) differing() (rows [][]string) {
	names := make([][]string, len(p.Results))
	outcomes := make([]map[string]Outcome, len(p.Results))
	for i, r := range p.Results {
		outcomes[i] = map[string]Outcome{}
		for _, test := range r.Tests {
			names[i] = append(names[i], test.Name)
			outcomes[i][test.Name] = test.Outcome
		}
	}
	for _, name := range weave(names) {
		row, list := []string{name}, false
		for i := range p.Results {
			o, ok := outcomes[i][name]
			if !ok {
				o = "-"
			}
			row = append(row, string(o))
			list = list || o == Fail || o == Unfinished || string(o) != row[1]
		}
		if list {
			rows = append(rows, row)
		}
	}
	all := rows
	return slices.DeleteFunc(slices.Clone(rows), func(row []string) bool {
		return slices.ContainsFunc(all, func(sub []string) bool {
			return strings.HasPrefix(sub[0], row[0]+"/") && slices.Equal(sub[1:], row[1:])
		})
	})
}

// grid writes rows, the first of which is a heading, and what does not fit
// below.
func (t Table) grid(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	for from := 1; from < len(widths); {
		to, line := from, widths[0]
		for to < len(widths) && (to == from || t.Width == 0 || line+2+widths[to] <= t.Width) {
			line += 2 + widths[to]
			to++
		}
		for i, row := range rows {
			line := t.cell(row[0], widths[0], i == 0, false)
			for k := from; k < to; k++ {
				width := widths[k]
				if k == to-1 { // no blanks at a line's end
					width = 0
				}
				line += "  " + t.cell(row[k], width, i == 0, i > 0)
			}
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
		from = to
	}
}

func (t Table) cell(text string, width int, heading, outcome bool) string {
	text = printable(text)
	padded := text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	word, _, _ := strings.Cut(text, " ")
	switch {
	case !t.Color:
		return padded
	case heading:
		return bold + padded + reset
	case outcome && slices.Contains([]string{"FAIL", string(Fail), string(Unfinished)}, word):
		return red + padded + reset
	case outcome && (word == "ok" || word == string(Pass)):
		return green + padded + reset
	}
	return padded
}

// printable keeps a test's name from steering a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsGraphic(c) {
			return c
		}
		return '?'
	}, s)
}
