package host

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
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

func (s Style) verdict(v Verdict, width int) string {
	text := fmt.Sprintf("%-*s", width, v)
	switch v {
	case Pass:
		return s.paint(green, text)
	case Skip, ConfigMissing:
		return s.paint(yellow, text)
	}
	return s.paint(red+bold, text)
}

// WriteMatrix writes cases down and kernels across, then what did not hold,
// then why cases were skipped, then a count.
func WriteMatrix(w io.Writer, columns []Column, cases []*nlcase.Case, s Style) error {
	b := new(strings.Builder)
	s.grid(b, columns, cases)
	for _, c := range columns {
		for i := range c.Outcomes {
			if !c.Outcomes[i].Verdict.Held() {
				s.detail(b, c, &c.Outcomes[i])
			}
		}
	}
	s.skips(b, columns)
	for _, c := range columns {
		for _, n := range c.Notes {
			fmt.Fprintf(b, "note: %s: %s\n", c.Target, n)
		}
	}
	fmt.Fprintf(b, "%d cases on %d kernels: %s\n", len(cases), len(columns), Count(columns))
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Style) grid(b *strings.Builder, columns []Column, cases []*nlcase.Case) {
	name := len("case")
	for _, c := range cases {
		name = max(name, len(c.Name))
	}
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = len(c.Target)
		for _, o := range c.Outcomes {
			widths[i] = max(widths[i], len(o.Verdict))
		}
	}
	for from := 0; from < len(columns); {
		to, line := from, name
		for to < len(columns) && (to == from || s.Width == 0 || line+2+widths[to] <= s.Width) {
			line += 2 + widths[to]
			to++
		}
		head := fmt.Sprintf("%-*s", name, "case")
		for i := from; i < to; i++ {
			head += fmt.Sprintf("  %-*s", widths[i], columns[i].Target)
		}
		b.WriteString(s.paint(bold, strings.TrimRight(head, " ")) + "\n")
		for j, c := range cases {
			fmt.Fprintf(b, "%-*s", name, c.Name)
			for i := from; i < to; i++ {
				w := widths[i]
				if i == to-1 && !s.Color {
					w = 0 // no blanks at a line's end
				}
				b.WriteString("  " + s.verdict(columns[i].Outcomes[j].Verdict, w))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
		from = to
	}
}

// detail shows one outcome that did not hold: what was expected and found, the
// whole exchange, and the kernel's words.
func (s Style) detail(b *strings.Builder, c Column, o *Outcome) {
	fmt.Fprintf(b, "%s %s on %s", s.verdict(o.Verdict, 0), o.Case.Name, c.Target)
	if o.Reason != "" {
		b.WriteString(": " + o.Reason)
	}
	b.WriteString("\n")
	for _, m := range o.Mismatches {
		fmt.Fprintf(b, "  line %d: %s\n", m.Line, sourceLine(o.Case, m.Line))
		indent(b, "    want  ", m.Want)
		indent(b, "    got   ", m.Got)
	}
	if o.Transcript != nil && len(o.Mismatches) > 0 {
		b.WriteString("  the exchange:\n")
		indent(b, "    ", o.Transcript.Render(o.Case))
	}
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(b, "  %s:\n", title)
			indent(b, "    | ", strings.Join(lines, "\n"))
		}
	}
	list("last words", o.LastWords)
	list("kernel log", o.Log)
	fmt.Fprintf(b, "  again: nlrig run -k %s %s\n\n", c.Target, o.Case.Name)
}

// sourceLine is line n of a case's text, counted from 1.
func sourceLine(c *nlcase.Case, n int) string {
	lines := strings.Split(string(c.Text), "\n")
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
		b.WriteString(strings.TrimRight(first+line, " ") + "\n")
	}
}

// skips says why, once for each reason.
func (s Style) skips(b *strings.Builder, columns []Column) {
	for _, c := range columns {
		var reasons []string
		byReason := map[string][]string{}
		for _, o := range c.Outcomes {
			if o.Verdict == Skip || o.Verdict == ConfigMissing {
				if byReason[o.Reason] == nil {
					reasons = append(reasons, o.Reason)
				}
				byReason[o.Reason] = append(byReason[o.Reason], o.Case.Name)
			}
		}
		for _, r := range reasons {
			which := strings.Join(byReason[r], " ")
			if len(byReason[r]) == len(c.Outcomes) {
				which = "every case"
			}
			fmt.Fprintf(b, "%s %s: %s (%s)\n", s.verdict(Skip, 0), c.Target, r, which)
		}
	}
}

// Count sums verdicts up: "178 pass, 2 skip".
func Count(columns []Column) string {
	n := map[Verdict]int{}
	var order []Verdict
	for _, c := range columns {
		for _, o := range c.Outcomes {
			n[o.Verdict]++
		}
	}
	for _, v := range []Verdict{Pass, Fail, Panic, Oops, Warn, Lockup, Hang, OOM, AgentLost, VMCrash, BootFail, Infra, ConfigMissing, Skip} {
		if n[v] > 0 {
			order = append(order, v)
		}
	}
	parts := make([]string, len(order))
	for i, v := range order {
		parts[i] = fmt.Sprintf("%d %s", n[v], v)
	}
	return strings.Join(parts, ", ")
}

// Exit codes of nlrig.
const (
	ExitHeld    = 0 // every verdict is pass or an explained skip, and one at least is pass
	ExitNotHeld = 1 // some did not hold
	ExitUsage   = 2 // wrong use
	ExitInfra   = 3 // this machine could not find out
)

// ExitCode is what a run's columns amount to. A run without one pass has
// found out nothing.
func ExitCode(columns []Column) int {
	code, passed := ExitHeld, false
	for _, c := range columns {
		for _, o := range c.Outcomes {
			switch {
			case o.Verdict == Infra || o.Verdict == "":
				return ExitInfra
			case o.Verdict == Pass:
				passed = true
			case !o.Verdict.Held():
				code = ExitNotHeld
			}
		}
	}
	if code == ExitHeld && !passed {
		return ExitInfra
	}
	return code
}

// reportVersion is the JSON report's. It grows when a field changes its
// meaning or goes; new fields do not count.
const reportVersion = 1

// jsonReport is what -o json=FILE holds. Nothing in it depends on time, so
// two runs that saw the same are the same bytes.
type jsonReport struct {
	Version int          `json:"version"`
	Kernels []jsonKernel `json:"kernels"`
}

type jsonKernel struct {
	Target  string     `json:"target"`
	Release string     `json:"release,omitempty"` // uname -r
	Build   string     `json:"build,omitempty"`   // uname -v
	Notes   []string   `json:"notes,omitempty"`
	Cases   []jsonCase `json:"cases"`
}

type jsonCase struct {
	Case       string         `json:"case"`
	Verdict    Verdict        `json:"verdict"`
	Reason     string         `json:"reason,omitempty"`
	Mismatches []jsonMismatch `json:"mismatches,omitempty"`
	Exchange   []string       `json:"exchange,omitempty"` // normalised lines
	LastWords  []string       `json:"last_words,omitempty"`
}

type jsonMismatch struct {
	Line int    `json:"line"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// WriteJSON writes the report of a run.
func WriteJSON(w io.Writer, columns []Column) error {
	r := jsonReport{Version: reportVersion, Kernels: make([]jsonKernel, len(columns))}
	for i, c := range columns {
		k := jsonKernel{Target: c.Target, Release: c.Release, Build: c.Version, Notes: slices.Clone(c.Notes)}
		for _, o := range c.Outcomes {
			j := jsonCase{Case: o.Case.Name, Verdict: o.Verdict, Reason: o.Reason, LastWords: o.LastWords}
			for _, m := range o.Mismatches {
				j.Mismatches = append(j.Mismatches, jsonMismatch{m.Line, m.Want, m.Got})
			}
			if o.Transcript != nil {
				j.Exchange = strings.Split(strings.TrimRight(o.Transcript.Render(o.Case), "\n"), "\n")
			}
			k.Cases = append(k.Cases, j)
		}
		r.Kernels[i] = k
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}
