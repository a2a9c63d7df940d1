package report

import (
	"fmt"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Agreement is how an emulated kernel did beside the real one that it stands
// for.
type Agreement struct {
	Kernel, Of int   // in Report.Kernels
	Compared   int   // cases that came to their end on the real one
	Differ     []int // those of them that did not end alike, in Report.Cases
}

// Same is how many cases ended alike.
func (a Agreement) Same() int { return a.Compared - len(a.Differ) }

// Share is Same in tenths of a percent, rounded down: 1000 is all of them.
func (a Agreement) Share() int {
	if a.Compared == 0 {
		return 0
	}
	return a.Same() * 1000 / a.Compared
}

// Agree holds emulated kernel k against the real one at of: a case that did
// not come to the same has the verdict diverge. The reason is what known says
// of the case, if anything.
func (r *Report) Agree(k, of int, known func(name string) (reason string, ok bool)) {
	r.Kernels[k].Of = r.Kernels[of].Name
	for _, i := range r.agreement(k, of).Differ {
		cell := &r.Cases[i].Cells[k]
		if cell.Class == "" {
			continue // it panicked, or hung: that says more
		}
		cell.Verdict = Diverge
		if cell.Reason, cell.Explained = known(r.Cases[i].Name); !cell.Explained {
			cell.Reason = "no reason is known"
		}
	}
}

// Agreements are those of all emulated kernels that were held against one.
func (r *Report) Agreements() (all []Agreement) {
	for k := range r.Kernels {
		if of := r.of(k); of >= 0 {
			all = append(all, r.agreement(k, of))
		}
	}
	return all
}

// of is the real kernel that k was held against, -1 for none that is here.
func (r *Report) of(k int) int {
	for i := range r.Kernels {
		if r.Kernels[i].Name == r.Kernels[k].Of {
			return i
		}
	}
	return -1
}

func (r *Report) agreement(k, of int) Agreement {
	a := Agreement{Kernel: k, Of: of}
	for i := range r.Cases {
		real, ours := &r.Cases[i].Cells[of], &r.Cases[i].Cells[k]
		if real.Class == "" || skips(ours.Verdict) || ours.Verdict == Missing {
			continue
		}
		a.Compared++
		if ours.Class != real.Class {
			a.Differ = append(a.Differ, i)
		}
	}
	return a
}

// agreementRows are the table of agreement: its head, and a row for each
// emulated kernel.
func (r *Report) agreementRows() [][]string {
	rows := [][]string{{"kernel", "cases compared", "same", "share"}}
	for _, a := range r.Agreements() {
		rows = append(rows, []string{printable(r.Kernels[a.Of].Name), fmt.Sprint(a.Compared), fmt.Sprint(a.Same()),
			fmt.Sprintf("%d.%d %%", a.Share()/10, a.Share()%10)})
	}
	return rows
}

// agreement shows how far the emulated kernels agree with the real ones, and
// each case in which they do not.
func (s Style) agreement(b *strings.Builder, r *Report) {
	rows := r.agreementRows()
	if len(rows) == 1 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], columns(text))
		}
	}
	b.WriteString(s.paint(bold, "agreement of the emulated kernels") + "\n")
	for _, row := range rows {
		line := "  " + pad(row[0], widths[0])
		for i, text := range row[1:] {
			line += "  " + strings.Repeat(" ", widths[i+1]-columns(text)) + text
		}
		b.WriteString(line + "\n")
	}
	for _, a := range r.Agreements() {
		for _, i := range a.Differ {
			c := &r.Cases[i]
			cell := &c.Cells[a.Kernel]
			fmt.Fprintf(b, "  %s %s on %s: %s\n", s.cell(cell, cell.Verdict), printable(c.Name), printable(r.Kernels[a.Kernel].Name), printable(cell.Reason))
		}
	}
	b.WriteString("\n")
}

// divergence shows what an emulated kernel did otherwise.
func divergence(b *strings.Builder, r *Report, i, k int) {
	of := r.of(k)
	if of < 0 {
		return
	}
	real, _ := r.Cases[i].Exchange(of)
	ours, _ := r.Cases[i].Exchange(k)
	lines, _ := nlcase.DiffLines(real, ours)
	fmt.Fprintf(b, "  %s (-) and %s (+):\n", printable(r.Kernels[of].Name), printable(r.Kernels[k].Name))
	for _, l := range lines {
		indent(b, "    ", l.String())
	}
}
