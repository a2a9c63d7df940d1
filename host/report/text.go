package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Style says how text is written.
type Style struct {
	Color bool
	Width int // columns of the terminal; 0 for no limit
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

func (s Style) paint(color, text string) string {
	if !s.Color {
		return text
	}
	return color + text + reset
}

func (s Style) verdict(v, text string) string {
	switch v {
	case Pass:
		return s.paint(green, text)
	case Skip, ConfigMissing:
		return s.paint(yellow, text)
	}
	return s.paint(red+bold, text)
}

// cell paints a cell's text.
func (s Style) cell(c *Cell, text string) string {
	if c.Explained {
		return s.verdict(Skip, text)
	}
	return s.verdict(c.Verdict, text)
}

// manyKernels is from where on a column each cannot be read any more.
const manyKernels = 9

// WriteText writes cases down and kernels across, or, for many kernels, a
// line for each case; then where behaviour changes, what did not hold, why
// cases were skipped, and a count.
func WriteText(w io.Writer, r *Report, s Style) error {
	b := new(strings.Builder)
	if len(r.Kernels) < manyKernels {
		s.grid(b, r)
	} else {
		s.spans(b, r)
	}
	s.changes(b, r)
	s.agreement(b, r)
	for _, at := range r.failed() {
		s.detail(b, r, at[0], at[1])
	}
	for k, kernel := range r.Kernels {
		for _, x := range r.skips(k) {
			fmt.Fprintf(b, "%s %s: %s (%s)\n", s.verdict(Skip, Skip), printable(kernel.Name), printable(x.reason), printable(x.which(len(r.Cases))))
		}
	}
	for _, k := range r.Kernels {
		for _, n := range k.Notes {
			fmt.Fprintf(b, "note: %s: %s\n", printable(k.Name), printable(n))
		}
	}
	fmt.Fprintf(b, "%s on %s: %s\n", plural(len(r.Cases), "case"), plural(len(r.Kernels), "kernel"), Count(r.cells()))
	_, err := io.WriteString(w, b.String())
	return err
}

// label is what a cell shows: the verdict, and the behaviour where there are
// several.
func (c *Case) label(k int) string {
	if len(c.Classes) > 1 && c.Cells[k].Class != "" {
		return c.Cells[k].Verdict + " " + c.Cells[k].Class
	}
	return c.Cells[k].Verdict
}

func (r *Report) nameWidth() int {
	width := len("case")
	for _, c := range r.Cases {
		width = max(width, columns(printable(c.Name)))
	}
	return width
}

func (s Style) grid(b *strings.Builder, r *Report) {
	name := r.nameWidth()
	widths := make([]int, len(r.Kernels))
	for k := range r.Kernels {
		widths[k] = columns(printable(r.Kernels[k].Name))
		for i := range r.Cases {
			widths[k] = max(widths[k], len(r.Cases[i].label(k)))
		}
	}
	for from := 0; from < len(widths); {
		to, line := from, name
		for to < len(widths) && (to == from || s.Width == 0 || line+2+widths[to] <= s.Width) {
			line += 2 + widths[to]
			to++
		}
		head := pad("case", name)
		for k := from; k < to; k++ {
			head += "  " + pad(printable(r.Kernels[k].Name), widths[k])
		}
		b.WriteString(s.paint(bold, strings.TrimRight(head, " ")) + "\n")
		for i := range r.Cases {
			c := &r.Cases[i]
			b.WriteString(pad(printable(c.Name), name))
			for k := from; k < to; k++ {
				text := c.label(k)
				if k < to-1 { // no blanks at a line's end
					text = pad(text, widths[k])
				}
				b.WriteString("  " + s.cell(&c.Cells[k], text))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
		from = to
	}
}

// spans writes a line for each case: its behaviours, from where to where, and
// how many kernels gave which verdict.
func (s Style) spans(b *strings.Builder, r *Report) {
	if len(r.Kernels) > 0 {
		fmt.Fprintf(b, "%s: %s\n\n", plural(len(r.Kernels), "kernel"), r.span(Run{From: 0, To: len(r.Kernels) - 1}))
	}
	name, count := r.nameWidth(), len("verdicts")
	for _, c := range r.Cases {
		count = max(count, len(Count(c.Cells)))
	}
	b.WriteString(s.paint(bold, pad("case", name)+"  "+pad("verdicts", count)+"  behaviour") + "\n")
	for i, change := range r.Changes() {
		c := r.Cases[i]
		worst := Pass
		for _, v := range verdicts {
			if slices.ContainsFunc(c.Cells, func(x Cell) bool { return x.Verdict == v }) && (!skips(v) || worst == Pass && c.Cells[0].Verdict == Skip) {
				worst = v
			}
		}
		b.WriteString(pad(printable(c.Name), name) + "  " + s.verdict(worst, pad(Count(c.Cells), count)))
		line := name + 2 + count
		for j, x := range change.Runs {
			text := x.Class + " " + printable(r.span(x))
			if j > 0 && s.Width > 0 && line+2+columns(text) > s.Width {
				line = name + 2 + count
				b.WriteString("\n" + strings.Repeat(" ", line))
			}
			b.WriteString("  " + text)
			line += 2 + columns(text)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// changes lists the cases whose behaviour is not the same on all kernels.
func (s Style) changes(b *strings.Builder, r *Report) {
	list := r.changed()
	if len(list) == 0 {
		return
	}
	b.WriteString(s.paint(bold, "behaviour changes") + "\n")
	for _, c := range list {
		fmt.Fprintf(b, "  %s\n", printable(r.Cases[c.Case].Name))
		for _, x := range c.Runs {
			fmt.Fprintf(b, "    %s  %s\n", x.Class, printable(r.span(x)))
		}
	}
	b.WriteString("\n")
}

// detail shows one cell that did not hold: what was expected and found, the
// whole exchange, and the kernel's words.
func (s Style) detail(b *strings.Builder, r *Report, i, k int) {
	c := &r.Cases[i]
	cell := &c.Cells[k]
	fmt.Fprintf(b, "%s %s on %s", s.verdict(cell.Verdict, cell.Verdict), printable(c.Name), printable(r.Kernels[k].Name))
	if cell.Reason != "" {
		b.WriteString(": " + printable(cell.Reason))
	}
	b.WriteString("\n")
	if cell.Verdict == Diverge {
		divergence(b, r, i, k)
		fmt.Fprintf(b, "  again: %s\n\n", printable(r.Reproduce(i, k)))
		return
	}
	for _, m := range cell.Mismatches {
		fmt.Fprintf(b, "  line %d: %s\n", m.Line, printable(c.line(m.Line)))
		indent(b, "    want  ", m.Want)
		indent(b, "    got   ", m.Got)
	}
	if exchange, ok := c.Exchange(k); ok && len(cell.Mismatches) > 0 {
		b.WriteString("  the exchange:\n")
		indent(b, "    ", strings.Join(exchange, "\n"))
	}
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(b, "  %s:\n", title)
			indent(b, "    | ", strings.Join(lines, "\n"))
		}
	}
	list("last words", cell.LastWords)
	list("kernel log", cell.Log)
	fmt.Fprintf(b, "  again: %s\n\n", printable(r.Reproduce(i, k)))
}

// line is line n of the case's text, counted from 1.
func (c *Case) line(n int) string {
	lines := strings.Split(c.Text, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

// indent writes text with first before its first line and as many blanks
// before the rest, unless first is a margin that every line gets.
func indent(b *strings.Builder, first, text string) {
	rest := first
	if strings.TrimSpace(first) != "|" {
		rest = strings.Repeat(" ", len(first))
	}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			first = rest
		}
		b.WriteString(strings.TrimRight(first+printable(line), " ") + "\n")
	}
}

// printable shows what would steer a terminal as \x1b, so that neither a
// guest nor a report from elsewhere can.
func printable(s string) string {
	odd := func(c rune) bool { return c != '\t' && !unicode.IsGraphic(c) }
	if utf8.ValidString(s) && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case !odd(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

func columns(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-columns(s))) }
