package report

import (
	"fmt"
	"slices"
	"strings"
)

// Verdicts of a cell.
const (
	Pass = "pass" // everything that the case expects was seen
	Fail = "fail" // something that it expects was not
	Skip = "skip" // it does not apply, or the kernel lacks what it needs; the reason says which

	Diverge = "diverge" // the emulated kernel did something else than the real one

	ConfigMissing = "config-missing" // the kernel is built without an option that it needs

	Panic     = "panic"      // the kernel panicked while it ran
	Oops      = "oops"       // the kernel found its own memory or code broken, and goes on
	Warn      = "warn"       // the kernel warned of a bug of its own, or something was left behind
	Lockup    = "lockup"     // a processor or a task was stuck for longer than the kernel allows
	OOM       = "oom"        // the kernel had no memory left
	Hang      = "hang"       // no result within the case's time
	AgentLost = "agent-lost" // PID 1 died, or talked nonsense
	VMCrash   = "vm-crash"   // the VM ended with no panic: QEMU died or was killed
	BootFail  = "boot-fail"  // the kernel did not get as far as the agent, twice
	Infra     = "infra"      // this machine, not the kernel: no QEMU, no disk, no download
	Missing   = "missing"    // none of the reports that were merged has it

	AccelUnusable = "accel-unusable" // guests do not run under the accelerator that was asked for
)

// verdicts are all of them, in the order of a count.
var verdicts = []string{Pass, Fail, Diverge, Panic, Oops, Warn, Lockup, Hang, OOM, AgentLost, VMCrash, BootFail, AccelUnusable, Infra, Missing, ConfigMissing, Skip}

// Held says whether verdict is what a case hopes for.
func Held(verdict string) bool { return verdict == Pass || skips(verdict) }

// held is Held of a cell: a divergence that is explained is what one knows.
func (c *Cell) held() bool { return Held(c.Verdict) || c.Verdict == Diverge && c.Explained }

// skips says whether verdict is a skip, of which the reason says why.
func skips(verdict string) bool { return verdict == Skip || verdict == ConfigMissing }

// broke says that the kernel, or the VM around it, did not survive the case:
// a behaviour too, although there is no exchange of it.
func broke(verdict string) bool {
	return verdict == Panic || verdict == Hang || verdict == AgentLost || verdict == VMCrash
}

// Exit codes of nlrig.
const (
	ExitHeld    = 0 // every verdict is pass or an explained skip, and one at least is pass
	ExitNotHeld = 1 // some did not hold
	ExitUsage   = 2 // wrong use
	ExitInfra   = 3 // this machine could not find out
)

// ExitCode is what verdicts amount to. Without one pass nothing has been
// found out.
func ExitCode(verdicts []string) int {
	code, passed := ExitHeld, false
	for _, v := range verdicts {
		switch {
		case v == Infra || v == AccelUnusable || v == Missing || v == "":
			return ExitInfra
		case v == Pass:
			passed = true
		case !Held(v):
			code = ExitNotHeld
		}
	}
	if code == ExitHeld && !passed {
		return ExitInfra
	}
	return code
}

// ExitCode is what the report amounts to.
func (r *Report) ExitCode() int {
	var vs []string
	for _, c := range r.Cases {
		for _, cell := range c.Cells {
			if cell.held() && !Held(cell.Verdict) {
				continue
			}
			vs = append(vs, cell.Verdict)
		}
	}
	return ExitCode(vs)
}

// Count sums the verdicts of cells up: "178 pass, 2 skip".
func Count(cells []Cell) string {
	n := map[string]int{}
	for _, c := range cells {
		n[c.Verdict]++
	}
	var parts []string
	for _, v := range verdicts {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(parts, ", ")
}

func (r *Report) cells() (all []Cell) {
	for _, c := range r.Cases {
		all = append(all, c.Cells...)
	}
	return all
}

// column is what one kernel did, in the order of the cases.
func (r *Report) column(k int) []Cell {
	cells := make([]Cell, len(r.Cases))
	for i, c := range r.Cases {
		cells[i] = c.Cells[k]
	}
	return cells
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// failed lists the cells that did not hold, kernel by kernel.
func (r *Report) failed() (at [][2]int) {
	for k := range r.Kernels {
		for i, c := range r.Cases {
			if !c.Cells[k].held() {
				at = append(at, [2]int{i, k})
			}
		}
	}
	return at
}

// skips gives, for a kernel, each reason for a skip once, with its cases.
func (r *Report) skips(k int) (list []skipped) {
	for _, c := range r.Cases {
		cell := c.Cells[k]
		if !skips(cell.Verdict) {
			continue
		}
		i := slices.IndexFunc(list, func(s skipped) bool { return s.reason == cell.Reason })
		if i < 0 {
			i, list = len(list), append(list, skipped{reason: cell.Reason})
		}
		list[i].cases = append(list[i].cases, c.Name)
	}
	return list
}

type skipped struct {
	reason string
	cases  []string
}

func (s skipped) which(all int) string {
	if len(s.cases) == all {
		return "every case"
	}
	return strings.Join(s.cases, " ")
}
