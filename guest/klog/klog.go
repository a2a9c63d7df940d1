// Package klog finds reports of trouble in a kernel's log: warnings, oopses,
// lockups, and memory that has run out. The agent uses it to know which lines
// of a flood must reach the host, the host to judge.
package klog

import "strings"

// Kind says what a report is about. A greater one is worse.
type Kind uint8

const (
	None Kind = iota
	Warn
	OOM
	Lockup
	Oops
)

// begins are how a line begins, and contains what is in one, by kind. The
// first that fits decides. Lines of programs are not looked at by callers, and
// those about programs are left out here.
var (
	begins = []struct {
		text string
		kind Kind
	}{
		{"traps: ", None}, // a program's fault
		{"BUG: sleeping function called", Warn},
		{"BUG: scheduling while atomic", Warn},
		{"BUG: workqueue lockup", Lockup},
		{"BUG: soft lockup", Lockup},
		{"BUG: ", Oops},
		{"WARNING: ", Warn}, // WARN_ON, and lockdep
		{"refcount_t: ", Warn},
		{"ODEBUG: ", Warn},
		{"UBSAN: ", Warn},
		{"unregister_netdevice: waiting for ", Warn},
		{"Oops: ", Oops},
		{"general protection fault", Oops},
		{"Unable to handle kernel ", Oops},
		{"Internal error: ", Oops},
		{"divide error: ", Oops},
		{"invalid opcode: ", Oops},
		{"stack segment: ", Oops},
		{"double fault: ", Oops},
		{"oom-kill:", OOM},
		{"Out of memory", OOM},
		{"Memory cgroup out of memory", OOM},
	}
	contains = []struct {
		text string
		kind Kind
	}{
		{"soft lockup - CPU", Lockup},
		{"hard LOCKUP", Lockup},
		{"self-detected stall", Lockup},
		{"detected stalls on CPUs", Lockup},
		{"detected expedited stalls", Lockup},
		{" blocked for more than ", Lockup},
		{" blocked in I/O wait for more than ", Lockup},
		{"kernel BUG at ", Oops},
		{"KASAN: ", Oops},
		{"KFENCE: ", Oops},
		{"KCSAN: ", Oops},
		{"held lock freed", Warn},
		{"scheduling while atomic", Warn},
		{"possible circular locking", Warn},
		{"suspicious RCU usage", Warn},
		{"inconsistent lock state", Warn},
		{"trying to register non-static key", Warn},
		{" invoked oom-killer: ", OOM},
		{": page allocation failure: ", OOM},
	}
)

// Of is the kind of report that line is the head of, None if of none. The
// line is without its time.
func Of(line string) Kind {
	for _, p := range begins {
		if strings.HasPrefix(line, p.text) {
			return p.kind
		}
	}
	for _, p := range contains {
		if strings.Contains(line, p.text) {
			return p.kind
		}
	}
	return None
}

const (
	// MaxReports is how many reports of one case are kept, and MaxLines how
	// many lines of each. The first are what matters: what follows an oops
	// is often its consequence.
	MaxReports = 8
	MaxLines   = 120

	cutHere  = "------------[ cut here ]------------"
	endTrace = "---[ end trace "
	// pending is how many lines may stand between cutHere and what says
	// what is wrong.
	pending = 8
)

// Report is one: all that the kernel said of it.
type Report struct {
	Kind  Kind
	Head  string // the line that says what is wrong
	Lines []string
}

// Reports are those of a log, in its order. The zero value is empty.
type Reports struct {
	List []Report
	open bool
	cut  bool // the one that is open began with cutHere
}

// Add takes the log's next line and says whether it is part of a report.
func (r *Reports) Add(line string) bool {
	kind := Of(line)
	if line == cutHere {
		r.open, r.cut = false, true
	}
	if !r.open {
		if kind == None && line != cutHere {
			return false
		}
		r.drop()
		if len(r.List) == MaxReports {
			return false
		}
		r.List = append(r.List, Report{})
		r.open, r.cut = true, line == cutHere
	}
	rep := &r.List[len(r.List)-1]
	rep.Lines = append(rep.Lines, line)
	// Killed process says more than what went before it.
	if kind > rep.Kind || kind == OOM && rep.Kind == OOM && strings.Contains(line, "Killed process") {
		rep.Kind, rep.Head = kind, line
	}
	n := len(rep.Lines)
	r.open = n < MaxLines && !(rep.Kind == None && n > pending) && !r.ends(line, rep.Kind)
	if !r.open {
		r.drop()
	}
	return true
}

// drop forgets a report that came to nothing.
func (r *Reports) drop() {
	if n := len(r.List); n > 0 && r.List[n-1].Kind == None {
		r.List = r.List[:n-1]
	}
}

func (r *Reports) ends(line string, kind Kind) bool {
	switch {
	case strings.HasPrefix(line, endTrace):
		return true
	case strings.HasSuffix(line, "</TASK>"):
		// What cutHere begins, and every oops, has an end of its own.
		// The list of memory follows the trace of an oom killer.
		return !r.cut && (kind == Warn || kind == Lockup)
	case kind == OOM:
		return strings.Contains(line, "Killed process") || strings.HasPrefix(line, "Out of memory and no killable")
	}
	return false
}

// Worst is the first of the worst reports, nil if there is none.
func (r *Reports) Worst() *Report {
	var worst *Report
	for i := range r.List {
		if x := &r.List[i]; x.Kind != None && (worst == nil || x.Kind > worst.Kind) {
			worst = x
		}
	}
	return worst
}

// Untimed is a line of the console without its time: "[    1.234567] ".
func Untimed(line string) string {
	if strings.HasPrefix(line, "[") {
		if stamp, rest, ok := strings.Cut(line, "] "); ok && strings.Trim(stamp, "[ .0123456789") == "" {
			return rest
		}
	}
	return line
}
