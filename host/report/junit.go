package report

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property,omitempty"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Skipped *junitSkip   `xml:"skipped"`
	Error   *junitResult `xml:"error"`
	Failure *junitResult `xml:"failure"`
	Out     string       `xml:"system-out,omitempty"`
}

type junitSkip struct {
	Message string `xml:"message,attr"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes JUnit's XML as Ant and Jenkins have it: a suite for each
// kernel. What the kernel answered otherwise is a failure; what did not come
// to its end is an error. A divergence that is explained counts as skipped.
func WriteJUnit(w io.Writer, r *Report) error {
	all := junitSuites{Name: "nlrig"}
	for k, kernel := range r.Kernels {
		s := junitSuite{Name: printable(kernel.Name), Tests: len(r.Cases)}
		for _, p := range []junitProperty{{"release", kernel.Release}, {"build", kernel.Build}} {
			if p.Value != "" {
				s.Properties = append(s.Properties, junitProperty{p.Name, printable(p.Value)})
			}
		}
		total := 0.0
		for i := range r.Cases {
			c := junitCaseOf(r, i, k)
			total += r.Cases[i].Cells[k].Seconds
			switch {
			case c.Skipped != nil:
				s.Skipped++
			case c.Error != nil:
				s.Errors++
			case c.Failure != nil:
				s.Failures++
			}
			s.Cases = append(s.Cases, c)
		}
		s.Time = seconds(total)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitCaseOf(r *Report, i, k int) junitCase {
	from := &r.Cases[i]
	cell := &from.Cells[k]
	c := junitCase{Class: printable(r.Kernels[k].Name), Name: printable(from.Name), Time: seconds(cell.Seconds)}
	if exchange, ok := from.Exchange(k); ok {
		for _, line := range exchange {
			c.Out += printable(line) + "\n"
		}
	}
	var b strings.Builder
	switch {
	case cell.Verdict == Pass:
	case cell.held():
		c.Skipped = &junitSkip{printable(cell.Reason)}
	case cell.Verdict == Fail || cell.Verdict == Diverge:
		Style{}.detail(&b, r, i, k)
		c.Failure = &junitResult{summary(from, k), cell.Verdict, b.String()}
	default:
		Style{}.detail(&b, r, i, k)
		c.Error = &junitResult{summary(from, k), cell.Verdict, b.String()}
	}
	return c
}

// summary is one line about a cell that did not hold.
func summary(c *Case, k int) string {
	cell := &c.Cells[k]
	s := cell.Reason
	if len(cell.Mismatches) > 0 {
		m := cell.Mismatches[0]
		s = "line " + strconv.Itoa(m.Line) + ": want " + m.Want + ", got " + m.Got
	}
	s, _, _ = strings.Cut(s, "\n")
	return printable(s)
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
