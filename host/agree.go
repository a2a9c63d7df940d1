package host

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// divergencesText says why the emulated kernel does not do what the real one does.
//
//go:embed divergences.txt
var divergencesText string

// divergence is a line of divergences.txt.
type divergence struct {
	name     string            // of the case
	releases []nlcase.Versions // any of them
	reason   string
}

func (d *divergence) of(name, release string) bool {
	return d.name == name && slices.ContainsFunc(d.releases, func(v nlcase.Versions) bool { return v.Holds(release) })
}

// parseDivergences reads lines of a case, the releases that it is about, and
// the reason. Releases are a list with commas, of "6.1", which is the whole
// series, "6.1.192", "6.1..6.12" and "all".
func parseDivergences(text string) (list []divergence, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 3 {
			return nil, fmt.Errorf("divergences.txt:%d: want a case, releases and a reason, found %q", n, line)
		}
		d := divergence{name: f[0], reason: strings.Join(f[2:], " ")}
		for r := range strings.SplitSeq(f[1], ",") {
			from, to, isRange := strings.Cut(r, "..")
			switch {
			case r == "all":
				d.releases = append(d.releases, nil)
				continue
			case !isRange:
				to = from
			}
			d.releases = append(d.releases, nlcase.Versions{{Op: ">=", Release: from}, {Op: "<=", Release: to}})
		}
		list = append(list, d)
	}
	return list, nil
}

// Agree holds a report's emulated kernel against the real one, both by their
// names, with what is known of where it diverges from this release.
func Agree(r *report.Report, emulated, real, release string) {
	known, err := parseDivergences(divergencesText)
	if err != nil {
		panic(err) // a test reads it
	}
	agree(r, emulated, real, release, known)
}

func agree(r *report.Report, emulated, real, release string, known []divergence) {
	at := func(name string) int {
		return slices.IndexFunc(r.Kernels, func(k report.Kernel) bool { return k.Name == name })
	}
	k, of := at(emulated), at(real)
	r.Agree(k, of, func(name string) (string, bool) {
		for i := range known {
			if known[i].of(name, release) {
				return known[i].reason, true
			}
		}
		return "", false
	})
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Cells[of].Class == "" || c.Cells[k].Class != c.Cells[of].Class {
			continue
		}
		for j := range known {
			if known[j].of(c.Name, release) {
				r.Kernels[k].Notes = append(r.Kernels[k].Notes, "stale: host/divergences.txt says that "+c.Name+" diverges, and it does not")
			}
		}
	}
}
