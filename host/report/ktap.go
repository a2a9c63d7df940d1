package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteKTAP writes KTAP version 1, which the kernel's own test tools read: a
// test for each kernel, and in it one for each case.
func WriteKTAP(w io.Writer, r *Report) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "KTAP version 1\n1..%d\n", len(r.Kernels))
	for k, kernel := range r.Kernels {
		fmt.Fprintf(b, "  KTAP version 1\n  # Subtest: %s\n  1..%d\n", ktapName(kernel.Name), len(r.Cases))
		for i := range r.Cases {
			c := &r.Cases[i]
			if !c.Cells[k].held() {
				var d strings.Builder
				Style{}.detail(&d, r, i, k)
				for _, line := range strings.Split(strings.TrimRight(d.String(), "\n"), "\n") {
					b.WriteString("  # " + line + "\n")
				}
			}
			reason := c.Cells[k].Reason
			b.WriteString("  " + ktapResult(c.Cells[k].Verdict, c.Cells[k].Explained, i+1, c.Name, reason))
		}
		column := r.column(k)
		verdict := Pass
		switch {
		case slices.ContainsFunc(column, func(c Cell) bool { return !c.held() }):
			verdict = Fail
		case !slices.ContainsFunc(column, func(c Cell) bool { return c.Verdict == Pass }):
			verdict = Skip
		}
		b.WriteString(ktapResult(verdict, false, k+1, kernel.Name, "nothing was played"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ktapResult(verdict string, explained bool, n int, name, reason string) string {
	switch verdict {
	case Pass:
		return fmt.Sprintf("ok %d %s\n", n, ktapName(name))
	case Skip, ConfigMissing:
		return fmt.Sprintf("ok %d %s # SKIP %s\n", n, ktapName(name), printable(reason))
	}
	if explained {
		return fmt.Sprintf("ok %d %s # XFAIL %s\n", n, ktapName(name), printable(reason))
	}
	return fmt.Sprintf("not ok %d %s\n", n, ktapName(name))
}

// ktapName is a name without the "#" that would begin a directive.
func ktapName(s string) string { return strings.ReplaceAll(printable(s), "#", "_") }
