package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Diff paints a line that only the first or only the other of two exchanges
// has.
func (s Style) Diff(op byte, text string) string {
	switch op {
	case '-':
		return s.paint(red, text)
	case '+':
		return s.paint(green, text)
	}
	return text
}

// SideBySide writes two exchanges in columns of s.Width in all: what only the
// first has to the left of what only the other has. A line that differs is
// marked with |, one that is on one side with < or >.
func (s Style) SideBySide(w io.Writer, lines []nlcase.DiffLine) {
	width := max((s.Width-3)/2, 20)
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
			s.row(w, l, mark, r, width)
		}
		if len(lines) > 0 {
			s.row(w, lines[0].Text, " ", lines[0].Text, width)
			lines = lines[1:]
		}
	}
}

// row breaks what is wider than its column.
func (s Style) row(w io.Writer, l, mark, r string, width int) {
	for first := true; first || l != "" || r != ""; first = false {
		var a, b string
		a, l = cut(l, width)
		b, r = cut(r, width)
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(a))
		if mark == " " {
			fmt.Fprintln(w, strings.TrimRight(a+pad+"   "+b, " "))
			continue
		}
		fmt.Fprintln(w, strings.TrimRight(s.Diff('-', a)+pad+" "+mark+" "+s.Diff('+', b), " "))
	}
}

func cut(s string, width int) (head, rest string) {
	r := []rune(s)
	if len(r) <= width {
		return s, ""
	}
	return string(r[:width]), "    " + string(r[width:])
}
