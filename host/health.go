package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/guest/klog"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// health is what the kernel said of itself while a case ran. The zero value is
// that of a case in which it said nothing. It is bounded, whatever a guest
// sends.
type health struct {
	lines   []string
	dropped uint64
	reports klog.Reports
	taint   uint32 // bits that were not set before
	leaks   []string
}

// heard takes a message of the guest, which may have nothing to do with it.
func (h *health) heard(msg wire.Message) {
	m, ok := msg.(*wire.Kmsg)
	if !ok {
		return
	}
	text := console.Printable(m.Text)
	// A line that a program wrote is no report, whatever it says.
	part := !m.User && h.reports.Add(text)
	if part || len(h.lines) < maxLog {
		h.lines = append(h.lines, text)
	} else {
		h.dropped++
	}
}

// ended takes the case's result; before is the kernel's taint of before it.
func (h *health) ended(r *wire.Result, before uint32) {
	h.taint = r.Tainted &^ before
	h.dropped += uint64(r.Dropped)
	for _, l := range r.Leaks {
		h.leaks = append(h.leaks, console.Printable(l))
	}
}

// console takes what the console printed meanwhile, where the log that the
// agent sent has less: it is slower, but needs no agent.
func (h *health) console(lines []string) {
	var r klog.Reports
	for _, l := range lines {
		r.Add(klog.Untimed(l))
	}
	if w := r.Worst(); w != nil && (h.reports.Worst() == nil || w.Kind > h.reports.Worst().Kind) {
		h.reports = r
	}
}

// log is the kernel's log of the case.
func (h *health) log() []string {
	if h.dropped > 0 {
		return append(slices.Clip(h.lines), fmt.Sprintf("[%d more lines not kept]", h.dropped))
	}
	return h.lines
}

// taints are the bits of the kernel's taint that say what went wrong, the
// worst first (Documentation/admin-guide/tainted-kernels.rst). The others are
// about where modules came from.
var taints = []struct {
	bit    int
	letter string
	kind   klog.Kind
}{
	{7, "D", klog.Oops},
	{5, "B", klog.Oops}, // a page that is not as it should be
	{4, "M", klog.Oops}, // a machine check
	{14, "L", klog.Lockup},
	{9, "W", klog.Warn},
}

// tainted is the worst of what the taint says, and its letters.
func (h *health) tainted() (kind klog.Kind, letters string) {
	for _, t := range taints {
		if h.taint&(1<<t.bit) != 0 {
			kind, letters = max(kind, t.kind), letters+t.letter
		}
	}
	return kind, letters
}

var verdicts = map[klog.Kind]Verdict{klog.Warn: Warn, klog.OOM: OOM, klog.Lockup: Lockup, klog.Oops: Oops}

// judge puts the kernel's health above what the case found, whose mismatches
// and transcript stay. A VM that was lost is what it is, unless the report
// says why.
func (h *health) judge(o Outcome) Outcome {
	kind, head, lines := klog.None, "", []string(nil)
	if w := h.reports.Worst(); w != nil {
		kind, head, lines = w.Kind, headline(w.Head), w.Lines
	}
	if k, letters := h.tainted(); k > kind {
		kind, head, lines = k, "the kernel is tainted: "+letters, nil
	}
	for _, l := range h.leaks {
		o = leaked(o, l)
	}
	var outranks bool
	switch o.Verdict {
	case Pass, Fail, Skip, Infra, Warn:
		outranks = kind > klog.None
	case Hang, Oops:
		outranks = kind > klog.Warn
	case AgentLost:
		outranks = kind == klog.Oops || kind == klog.OOM
	}
	if outranks {
		o.Verdict, o.Reason, o.LastWords = verdicts[kind], head, lines
	} else if o.Verdict == Panic && head != "" {
		o.Reason += ": " + head
	}
	return o
}

// leaked adds to an outcome what was left behind.
func leaked(o Outcome, what string) Outcome {
	o.Leaks = append(slices.Clip(o.Leaks), what)
	if o.Verdict == Pass || o.Verdict == Fail || o.Verdict == Warn && len(o.Leaks) > 1 {
		o.Verdict, o.Reason = Warn, "leaked: "+strings.Join(o.Leaks, ", ")
	}
	return o
}

// trusted says whether a VM is of use after a case with verdict v. A warning
// leaves the kernel whole, though a WARN_ONCE stays silent for the cases that
// come after it: their taint cannot tell either. What an oops or a lockup
// interrupted may hold locks, and what an out-of-memory killer left is not
// what a case expects.
func trusted(v Verdict) bool { return v != Oops && v != Lockup && v != OOM }

// headline makes a report's head short and alike on all kernels: the
// processor and the process are not of interest. Kernels write
//
//	WARNING: CPU: 0 PID: 61 at net/core/dev.c:123 foo+0x1/0x20
//	WARNING: net/core/dev.c:123 at foo+0x1/0x20, CPU#0: init/61
func headline(s string) string {
	rest, ok := strings.CutPrefix(s, "WARNING: ")
	if !ok {
		return s
	}
	if cpu, at, ok := strings.Cut(rest, " at "); ok && strings.HasPrefix(cpu, "CPU: ") {
		return "WARNING: " + at
	}
	if i := strings.LastIndex(rest, ", CPU#"); i >= 0 {
		return "WARNING: " + strings.Replace(rest[:i], " at ", " ", 1)
	}
	return s
}

// panicOn are the settings of the kernel's command line by which trouble of a
// kind is a panic.
var panicOn = map[Verdict]string{
	Warn:   "panic_on_warn=1",
	Oops:   "oops=panic",
	Lockup: "softlockup_panic=1 hung_task_panic=1 sysctl.kernel.panic_on_rcu_stall=1",
	OOM:    "sysctl.vm.panic_on_oom=1",
}

// PanicOn is what the kernel's command line must have for verdicts, a list
// with commas, to be panics.
func PanicOn(list string) (string, error) {
	var all []string
	for v := range strings.SplitSeq(list, ",") {
		arg, ok := panicOn[Verdict(v)]
		if !ok {
			return "", fmt.Errorf("a kernel panics on warn, oops, lockup or oom, not on %q", v)
		}
		all = append(all, arg)
	}
	return strings.Join(all, " "), nil
}
