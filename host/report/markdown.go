package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// WriteMarkdown writes GitHub's Markdown: the matrix, where behaviour
// changes, and what did not hold, folded.
func WriteMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	b.WriteString(markdownMatrix(r))
	for _, at := range r.failed() {
		markdownDetail(&b, r, at[0], at[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// maxSummary is what GitHub shows of a step's summary: nothing of a longer one.
const maxSummary = 1 << 20

// WriteSummary writes Markdown of a size that GitHub shows as a step's
// summary: as many of the details as fit.
func WriteSummary(w io.Writer, r *Report) error {
	text := markdownMatrix(r)
	const note = "%d more that did not hold are left out here.\n"
	room := maxSummary - len(note) - 20
	if len(text) > room {
		text = fmt.Sprintf("**%s on %s**: %s\n\n", plural(len(r.Cases), "case"), plural(len(r.Kernels), "kernel"), Count(r.cells()))
	}
	failed := r.failed()
	for i, at := range failed {
		var b strings.Builder
		markdownDetail(&b, r, at[0], at[1])
		if len(text)+b.Len() > room {
			text += fmt.Sprintf(note, len(failed)-i)
			break
		}
		text += b.String()
	}
	_, err := io.WriteString(w, text)
	return err
}

func markdownMatrix(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s on %s**: %s\n\n", plural(len(r.Cases), "case"), plural(len(r.Kernels), "kernel"), Count(r.cells()))
	row := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	head, rule := []string{"case"}, []string{"---"}
	for _, k := range r.Kernels {
		head, rule = append(head, cellText(k.Name)), append(rule, "---")
	}
	row(head...)
	row(rule...)
	for i := range r.Cases {
		c := &r.Cases[i]
		line := []string{cellText(c.Name)}
		for k := range c.Cells {
			text := c.label(k)
			if !c.Cells[k].held() {
				text = "**" + text + "**"
			}
			line = append(line, text)
		}
		row(line...)
	}
	if list := r.changed(); len(list) > 0 {
		b.WriteString("\n### Behaviour changes\n\n")
		row("case", "behaviour")
		row("---", "---")
		for _, c := range list {
			var runs []string
			for _, x := range c.Runs {
				runs = append(runs, "**"+x.Class+"** "+cellText(r.span(x)))
			}
			row(cellText(r.Cases[c.Case].Name), strings.Join(runs, "<br>"))
		}
	}
	if rows := r.agreementRows(); len(rows) > 1 {
		b.WriteString("\n### Agreement of the emulated kernels\n\n")
		row(rows[0]...)
		row("---", "---", "---", "---")
		for _, x := range rows[1:] {
			row(cellText(x[0]), x[1], x[2], x[3])
		}
		b.WriteString("\n")
		for _, a := range r.Agreements() {
			for _, i := range a.Differ {
				cell := &r.Cases[i].Cells[a.Kernel]
				fmt.Fprintf(&b, "- %s: %s on %s: %s\n", cell.Verdict, cellText(r.Cases[i].Name), cellText(r.Kernels[a.Kernel].Name), cellText(cell.Reason))
			}
		}
	}
	for k, kernel := range r.Kernels {
		for i, x := range r.skips(k) {
			if i == 0 {
				fmt.Fprintf(&b, "\nSkipped on %s:\n\n", cellText(kernel.Name))
			}
			fmt.Fprintf(&b, "- %s (%s)\n", cellText(x.reason), cellText(x.which(len(r.Cases))))
		}
	}
	b.WriteString("\n")
	return b.String()
}

func markdownDetail(b *strings.Builder, r *Report, i, k int) {
	c := &r.Cases[i]
	cell := &c.Cells[k]
	title := fmt.Sprintf("%s: %s on %s", cell.Verdict, c.Name, r.Kernels[k].Name)
	if cell.Reason != "" {
		title += ": " + cell.Reason
	}
	var text strings.Builder
	Style{}.detail(&text, r, i, k)
	_, body, _ := strings.Cut(text.String(), "\n")
	fence := "```"
	for strings.Contains(body, fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "<details><summary>%s</summary>\n\n%s\n%s\n%s\n\n</details>\n\n",
		html.EscapeString(printable(title)), fence, strings.TrimRight(body, "\n"), fence)
}

// cellText is s as text within a line of Markdown.
func cellText(s string) string {
	s = html.EscapeString(strings.ReplaceAll(printable(s), "\t", " "))
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune("\\`*_{}[]|~", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return strings.ReplaceAll(b.String(), "@", "&#64;") // nobody is to be notified
}
