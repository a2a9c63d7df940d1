package report

import (
	"fmt"
	"slices"
)

// Source is a report and the name of the file that it is from.
type Source struct {
	Name   string
	Report *Report
}

// Merge is the union of kernels and cases, by release. What two reports both
// hold must be the same in both; what none holds has the verdict missing.
func Merge(sources ...Source) (*Report, error) {
	m := &merger{kernels: map[string]int{}, cases: map[string]int{}, origin: map[[2]int]string{}}
	m.out = &Report{Version: Version, Kernels: []Kernel{}, Cases: []Case{}}
	for _, s := range sources {
		if err := m.index(s); err != nil {
			return nil, err
		}
	}
	for i := range m.out.Cases {
		cells := make([]Cell, len(m.out.Kernels))
		for k := range cells {
			cells[k] = Cell{Verdict: Missing, Reason: "no report has this case on this kernel"}
		}
		m.out.Cases[i].Cells = cells
	}
	for _, s := range sources {
		if err := m.fill(s); err != nil {
			return nil, err
		}
	}
	m.out.Sort()
	return m.out, nil
}

type merger struct {
	out            *Report
	kernels, cases map[string]int
	kernelFrom     []string
	caseFrom       []string
	origin         map[[2]int]string // case and kernel: the file that has it
}

// index adds the kernels and the cases of s, without cells.
func (m *merger) index(s Source) error {
	for _, k := range s.Report.Kernels {
		at, known := m.kernels[k.Name]
		if !known {
			m.kernels[k.Name] = len(m.out.Kernels)
			k.Notes = slices.Clone(k.Notes)
			m.out.Kernels = append(m.out.Kernels, k)
			m.kernelFrom = append(m.kernelFrom, s.Name)
			continue
		}
		have := &m.out.Kernels[at]
		if have.Release == "" { // it did not boot there
			have.Release, have.Build, have.Seconds = k.Release, k.Build, k.Seconds
		}
		if k.Release != "" && (have.Release != k.Release || have.Build != k.Build) {
			return fmt.Errorf("kernel %s: want one and the same, found %s (%s) in %s and %s (%s) in %s",
				k.Name, have.Release, have.Build, m.kernelFrom[at], k.Release, k.Build, s.Name)
		}
		if have.Of == "" {
			have.Of = k.Of
		}
		have.Boots += k.Boots
		for _, n := range k.Notes {
			if !slices.Contains(have.Notes, n) {
				have.Notes = append(have.Notes, n)
			}
		}
	}
	for _, c := range s.Report.Cases {
		at, known := m.cases[c.Name]
		if !known {
			m.cases[c.Name] = len(m.out.Cases)
			m.out.Cases = append(m.out.Cases, Case{Name: c.Name, Doc: c.Doc, Refs: c.Refs, Text: c.Text})
			m.caseFrom = append(m.caseFrom, s.Name)
		} else if m.out.Cases[at].Text != c.Text {
			return fmt.Errorf("case %s: want one text, found two: %s and %s differ", c.Name, m.caseFrom[at], s.Name)
		}
	}
	return nil
}

// fill puts the cells of s in their places.
func (m *merger) fill(s Source) error {
	for i := range s.Report.Cases {
		from := &s.Report.Cases[i]
		row := m.cases[from.Name]
		to := &m.out.Cases[row]
		for k, cell := range from.Cells {
			if cell.Verdict == Missing {
				continue
			}
			column := m.kernels[s.Report.Kernels[k].Name]
			exchange, came := from.Exchange(k)
			at := [2]int{row, column}
			if other, known := m.origin[at]; known {
				have, haveCame := to.Exchange(column)
				v := to.Cells[column].Verdict
				if v != cell.Verdict {
					return fmt.Errorf("%s on %s: want one verdict, found %s in %s and %s in %s",
						from.Name, s.Report.Kernels[k].Name, v, other, cell.Verdict, s.Name)
				}
				if came != haveCame || !slices.Equal(have, exchange) {
					return fmt.Errorf("%s on %s: want one exchange, found that %s and %s differ",
						from.Name, s.Report.Kernels[k].Name, other, s.Name)
				}
				continue
			}
			m.origin[at] = s.Name
			cell.Class = ""
			to.Cells[column] = cell
			if came {
				to.SetExchange(column, exchange)
			}
		}
	}
	return nil
}
