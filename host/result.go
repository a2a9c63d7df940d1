package host

import (
	"time"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// NewReport makes a report of what Run returned for cases.
func NewReport(columns []Column, cases []*nlcase.Case) *report.Report {
	r := &report.Report{
		Version: report.Version,
		Kernels: make([]report.Kernel, len(columns)),
		Cases:   make([]report.Case, len(cases)),
	}
	for k, c := range columns {
		r.Kernels[k] = report.Kernel{
			Name: c.Target, Release: c.Release, Build: c.Version,
			Notes: c.Notes, Boots: c.Boots, Seconds: seconds(c.BootTime),
		}
	}
	for i, c := range cases {
		row := &r.Cases[i]
		*row = report.Case{Name: c.Name, Doc: c.Doc, Text: string(c.Text), Cells: make([]report.Cell, len(columns))}
		for _, ref := range c.Refs {
			row.Refs = append(row.Refs, ref.String())
		}
		for k := range columns {
			o := &columns[k].Outcomes[i]
			cell := report.Cell{
				Verdict: string(o.Verdict), Reason: o.Reason,
				LastWords: o.LastWords, Seconds: seconds(o.Took),
			}
			if !o.Verdict.Held() {
				cell.Log = o.Log
			}
			for _, m := range o.Mismatches {
				cell.Mismatches = append(cell.Mismatches, report.Mismatch{Line: m.Line, Want: m.Want, Got: m.Got})
			}
			row.Cells[k] = cell
			if o.Transcript != nil {
				row.SetExchange(k, o.Transcript.Lines(c))
			}
		}
	}
	return r
}

// seconds is d to the millisecond.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// ExitCode is what a run's columns amount to.
func ExitCode(columns []Column) int {
	var vs []string
	for _, c := range columns {
		for _, o := range c.Outcomes {
			vs = append(vs, string(o.Verdict))
		}
	}
	return report.ExitCode(vs)
}

// Exit codes that git bisect run understands.
const (
	BisectGood  = 0
	BisectBad   = 1
	BisectSkip  = 125 // it cannot be told of this commit
	BisectAbort = 128 // nor of any other
)

// BisectCode is what a run's columns tell git bisect run: bad if anything did
// not hold that tells of the kernel, good if all did that tells of it.
func BisectCode(columns []Column) int {
	good, bad := false, false
	for _, c := range columns {
		for _, o := range c.Outcomes {
			switch o.Verdict {
			case Infra, AccelUnusable:
				return BisectAbort
			case Skip, ConfigMissing, BootFail, VMCrash:
			case Pass:
				good = true
			default:
				bad = true
			}
		}
	}
	switch {
	case bad:
		return BisectBad
	case good:
		return BisectGood
	}
	return BisectSkip
}

// Exit codes of nlrig.
const (
	ExitHeld    = report.ExitHeld
	ExitNotHeld = report.ExitNotHeld
	ExitUsage   = report.ExitUsage
	ExitInfra   = report.ExitInfra
)
