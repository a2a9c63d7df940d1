package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteGitHub writes the workflow commands that make GitHub show what did not
// hold as an annotation.
func WriteGitHub(w io.Writer, r *Report) error {
	var b strings.Builder
	for _, at := range r.failed() {
		i, k := at[0], at[1]
		var d strings.Builder
		Style{}.detail(&d, r, i, k)
		title := fmt.Sprintf("%s: %s on %s", r.Cases[i].Cells[k].Verdict, r.Cases[i].Name, r.Kernels[k].Name)
		fmt.Fprintf(&b, "::error title=%s::%s\n", githubProperty.Replace(title), githubData.Replace(strings.TrimRight(d.String(), "\n")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// What a value may not hold as it is: @actions/toolkit escapes the same.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
