package report

import (
	_ "embed"
	"encoding/json"
	"io"
	"strings"
)

// page is the whole page, but for the report in it.
//
//go:embed page.html
var page string

// WriteHTML writes one page that needs no other file and no network: the
// matrix as a grid to look around in. The kernels stand in the order of their
// releases.
func WriteHTML(w io.Writer, r *Report) error {
	sorted := *r
	sorted.Cases = append([]Case{}, r.Cases...)
	sorted.Sort()
	// Marshal writes < as \u003c, so that no string of a guest's ends the
	// element that it stands in.
	data, err := json.Marshal(&sorted)
	if err != nil {
		return err
	}
	before, after, _ := strings.Cut(page, "/*DATA*/")
	for _, s := range []string{before, string(data), after} {
		if _, err := io.WriteString(w, s); err != nil {
			return err
		}
	}
	return nil
}
