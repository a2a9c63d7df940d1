package search

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"
	"unicode"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Version is that of the JSON form.
const Version = 1

// Report is a result with what was asked, and its forms.
type Report struct {
	Version  int    `json:"version"`
	Question string `json:"question"` // link/rename-up: the verdict
	GoodEnd  string `json:"good"`
	BadEnd   string `json:"bad"`
	*Result
}

// Letter gives keys that are not for a person letters: A for what the first of
// the row did, B for the next that did something else ...
func (r *Report) Letter() {
	letters := map[string]string{}
	of := func(key *string) {
		if *key != "" && letters[*key] == "" {
			letters[*key] = report.Letter(len(letters))
		}
		*key = letters[*key]
	}
	for i := range r.Kernels {
		of(&r.Kernels[i].Key)
	}
	for i := range r.Changes {
		of(&r.Changes[i].FromKey)
		of(&r.Changes[i].ToKey)
	}
}

// Formats are the names that Writer knows.
const Formats = "json, md, text"

// Writer is the one of a format, nil if there is none.
func Writer(format string) func(io.Writer, *Report, report.Style) error {
	switch format {
	case "json":
		return writeJSON
	case "md":
		return writeMarkdown
	case "text":
		return writeText
	}
	return nil
}

func writeJSON(w io.Writer, r *Report, _ report.Style) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// width is that of exchanges beside each other where no terminal sets one.
const width = 120

func writeText(w io.Writer, r *Report, s report.Style) error {
	if s.Width == 0 {
		s.Width = width
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", printable(r.Question))
	for _, line := range r.answer() {
		fmt.Fprintln(&b, printable(line))
	}
	var spans strings.Builder
	if r.spans(&spans); spans.Len() > 0 {
		b.WriteString("\n" + spans.String())
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		fmt.Fprintf(&b, "\n%s\n", c.title())
		c.beside(&b, s)
		c.changelog(&b)
		if c.Command != "" {
			fmt.Fprintf(&b, "\nto see it again: %s\n", printable(c.Command))
		}
	}
	b.WriteString("\n")
	r.table(func(cells ...string) {
		fmt.Fprintf(&b, "%-12s  %-7s  %-8s  %s\n", cells[0], cells[1], cells[2], cells[3])
	})
	fmt.Fprintf(&b, "\n%s\n", r.count())
	_, err := io.WriteString(w, trimEnds(b.String()))
	return err
}

func writeMarkdown(w io.Writer, r *Report, s report.Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", cell(r.Question))
	for _, line := range r.answer() {
		fmt.Fprintf(&b, "%s\n\n", cell(line))
	}
	var spans strings.Builder
	r.spans(&spans)
	for line := range strings.Lines(spans.String()) {
		fmt.Fprintf(&b, "- %s\n", cell(strings.TrimSpace(line)))
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		var body strings.Builder
		c.beside(&body, report.Style{Width: width})
		c.changelog(&body)
		fmt.Fprintf(&b, "\n### %s\n\n%s", cell(c.title()), fenced(trimEnds(body.String())))
		if c.Command != "" {
			fmt.Fprintf(&b, "\nTo see it again:\n\n%s", fenced(printable(c.Command)+"\n"))
		}
	}
	b.WriteString("\n| kernel | state | plays | |\n| --- | --- | --- | --- |\n")
	r.table(func(cells ...string) {
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	})
	fmt.Fprintf(&b, "\n%s\n", cell(r.count()))
	_, err := io.WriteString(w, b.String())
	return err
}

// answer is the result in a few lines.
func (r *Report) answer() (lines []string) {
	if r.Outcome != Found {
		return []string{r.Reason}
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		switch {
		case c.Mend():
			lines = append(lines, fmt.Sprintf("mended in %s, last bad is %s", c.First, c.Last))
		case c.From == Good:
			lines = append(lines, fmt.Sprintf("first bad is %s, last good is %s", c.First, c.Last))
		default:
			lines = append(lines, fmt.Sprintf("bad in another way from %s on, up to %s as before", c.First, c.Last))
		}
		if n := len(c.Skipped); n > 0 {
			lines = append(lines, fmt.Sprintf("    or it is one of the %d between them, which could not be tried: %s", n, strings.Join(c.Skipped, ", ")))
		}
	}
	switch r.Mode {
	case One:
		lines = append(lines, "if the change came and went, there are others: -series and -all look for them")
	case Series:
		lines = append(lines, "changes that a series had and lost again within itself are not looked for: -all does")
	}
	return lines
}

// title is a change in a line.
func (c *Change) title() string {
	return printable(fmt.Sprintf("%s (%s) and %s (%s)", c.Last, c.From, c.First, c.To))
}

// spans writes, for each series of which something is known, from where to
// where its kernels are in which state.
func (r *Report) spans(b *strings.Builder) {
	if r.Mode == One || r.Mode == Commits || r.Outcome != Found {
		return
	}
	for i := 0; i < len(r.Kernels); {
		series := r.Kernels[i].Series
		var spans []string
		for i < len(r.Kernels) && r.Kernels[i].Series == series {
			from := r.Kernels[i]
			to := from
			for i++; i < len(r.Kernels) && r.Kernels[i].Series == series; i++ {
				k := r.Kernels[i]
				if k.State != Skip && (k.State != from.State || k.State == Bad && k.Key != from.Key) {
					break
				}
				if k.State != Skip {
					to = k
				}
			}
			text := string(from.State)
			if from.State == Bad && from.Key != "" && from.Key != string(Bad) {
				text += " (" + from.Key + ")"
			}
			text += " " + from.Name
			if to.Name != from.Name {
				text += ".." + to.Name
			}
			spans = append(spans, text)
		}
		fmt.Fprintf(b, "%-6s %s\n", series, printable(strings.Join(spans, ", ")))
	}
}

// table calls row for each kernel that was tried.
func (r *Report) table(row func(cells ...string)) {
	for _, k := range r.Kernels {
		plays, more := "", k.Key
		switch {
		case k.State == Skip:
			more = k.Skip
		case k.Tally.wavers():
			plays = fmt.Sprintf("%d of %d", k.Bad, k.plays())
			more = "bad now and then"
			if k.State == Good {
				more = "as often as the good end"
			}
		case k.plays() > 0:
			plays = fmt.Sprintf("%d of %d", max(k.Good, k.Bad), k.plays())
		}
		if k.Subject != "" {
			more = strings.TrimSuffix(k.Subject+": "+firstLine(more), ": ")
		}
		row(k.Name, string(k.State), plays, firstLine(more))
		for _, n := range k.Notes {
			row("", "", "", "note: "+n)
		}
	}
}

// count says what it took.
func (r *Report) count() string {
	if r.Mode == Commits {
		skipped := 0
		for _, k := range r.Kernels {
			if k.State == Skip {
				skipped++
			}
		}
		return fmt.Sprintf("%d of %d commits tried: %d built, %d with an image that had answered before, %d told nothing; %d VMs, %.0f s",
			len(r.Kernels), r.Of, r.Built, r.Known, skipped, r.Starts, r.Seconds)
	}
	s := fmt.Sprintf("%d of %d kernels tried, %d plays", len(r.Kernels), r.Of, r.Plays)
	if r.Starts > 0 { // else of the emulated kernel, or a command's own
		s += fmt.Sprintf(" in %d VMs", r.Starts)
	}
	s += fmt.Sprintf(", %.1f s", r.Seconds)
	if r.Confidence > 0 {
		s += fmt.Sprintf("; confidence %.2f %%", 100*r.Confidence)
	}
	return s
}

// around is how many lines that did not change are shown about those that did.
const around = 3

// beside writes the two exchanges in columns.
func (c *Change) beside(b *strings.Builder, s report.Style) {
	if c.Before == nil && c.After == nil {
		return
	}
	lines, alike := nlcase.DiffLines(clean(c.Before), clean(c.After))
	if alike {
		b.WriteString("the exchange is the same: what it came to is not\n")
		return
	}
	s.SideBySide(b, shorten(lines))
}

// shorten leaves out long stretches that did not change.
func shorten(lines []nlcase.DiffLine) (short []nlcase.DiffLine) {
	near := make([]bool, len(lines))
	for i, l := range lines {
		for j := max(0, i-around); l.Op != ' ' && j <= min(len(lines)-1, i+around); j++ {
			near[j] = true
		}
	}
	for i, l := range lines {
		switch {
		case near[i]:
			short = append(short, l)
		case i == 0 || near[i-1]:
			short = append(short, nlcase.DiffLine{Op: ' ', Text: "..."})
		}
	}
	return short
}

func (c *Change) changelog(b *strings.Builder) {
	if len(c.Changelog) > 0 {
		fmt.Fprintf(b, "\nin the changelog of %s:\n", c.First)
	}
	for _, line := range c.Changelog {
		fmt.Fprintf(b, "  %s\n", printable(line))
	}
	for i, line := range c.Commit {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintln(b, printable(line))
	}
	if c.Note != "" {
		fmt.Fprintf(b, "\n%s\n", printable(c.Note))
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func clean(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, printable(l))
	}
	return out
}

// printable keeps control characters, of which a guest may send any, from the
// terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || unicode.IsGraphic(c) {
			return c
		}
		return '\uFFFD'
	}, s)
}

// cell is s as text within a line of Markdown.
func cell(s string) string {
	s = html.EscapeString(printable(s))
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune("\\`*_{}[]|~", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return strings.ReplaceAll(b.String(), "@", "&#64;") // nobody is to be notified
}

func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "\n" + text + fence + "\n"
}

// trimEnds removes blanks at the ends of lines.
func trimEnds(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
