package host

import (
	"strings"
	"time"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Verdict says what became of a case on a kernel.
type Verdict string

const (
	Pass Verdict = report.Pass // everything that the case expects was seen
	Fail Verdict = report.Fail // something that it expects was not
	Skip Verdict = report.Skip // it does not apply, or the kernel lacks what it needs; the reason says which

	Diverge Verdict = report.Diverge // the emulated kernel did something else than the real one

	ConfigMissing Verdict = report.ConfigMissing // the kernel is built without an option that it needs

	Panic     Verdict = report.Panic     // the kernel panicked while it ran
	Oops      Verdict = report.Oops      // the kernel found its own memory or code broken, and goes on
	Warn      Verdict = report.Warn      // the kernel warned of a bug of its own, or something was left behind
	Lockup    Verdict = report.Lockup    // a processor or a task was stuck for longer than the kernel allows
	OOM       Verdict = report.OOM       // the kernel had no memory left
	Hang      Verdict = report.Hang      // no result within the case's time
	AgentLost Verdict = report.AgentLost // PID 1 died, or talked nonsense
	VMCrash   Verdict = report.VMCrash   // the VM ended with no panic: QEMU died or was killed
	BootFail  Verdict = report.BootFail  // the kernel did not get as far as the agent, twice
	Infra     Verdict = report.Infra     // this machine, not the kernel: no QEMU, no disk, no download

	AccelUnusable Verdict = report.AccelUnusable // guests do not run under the accelerator that was asked for
)

// Held says whether v is what a case hopes for.
func (v Verdict) Held() bool { return report.Held(string(v)) }

// Outcome is one case on one kernel.
type Outcome struct {
	Case    *nlcase.Case
	Verdict Verdict
	// Reason is one line for a person; empty for pass and fail.
	Reason string
	// Transcript is what happened, when the case came to its end.
	Transcript *nlcase.Transcript
	// Mismatches are why it failed.
	Mismatches []nlcase.Mismatch
	// LastWords are the console's last lines, or the trace, when the VM was
	// lost; what the kernel reported of its own trouble; and what the agent's
	// threads were doing in a hang.
	LastWords []string
	// Leaks are what it left behind when its thread had ended.
	Leaks []string
	// Log is what the kernel logged while the case ran.
	Log []string
	// Took is from Play to Result.
	Took time.Duration
}

// maxLog bounds the lines of the kernel's log that are kept of a case, beside
// those of reports.
const maxLog = 200

// lastLines is how many lines of the console an outcome quotes.
const lastLines = 20

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// judge looks at a transcript.
func judge(c *nlcase.Case, t *nlcase.Transcript) Outcome {
	o := Outcome{Case: c, Verdict: Pass, Transcript: t, Mismatches: nlcase.Check(c, t)}
	if len(o.Mismatches) > 0 {
		o.Verdict = Fail
	}
	return o
}

// String is the verdict, why, and what went before.
func (o *Outcome) String() string {
	var b strings.Builder
	b.WriteString(string(o.Verdict))
	if o.Reason != "" {
		b.WriteString(": " + o.Reason)
	}
	for _, m := range o.Mismatches {
		b.WriteString("\n" + m.String())
	}
	for _, l := range o.LastWords {
		b.WriteString("\n  | " + l)
	}
	return b.String()
}
