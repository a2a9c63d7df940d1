// Package report is what a run found out, as data, and the forms that it is
// told in: a terminal's matrix, JSON, Markdown, JUnit, KTAP, GitHub's
// annotations and a page of HTML. Each form is made from a Report and from
// nothing else, so that reports which were read back, or merged from several
// machines, are told just as fresh ones are.
package report

// Version is the JSON form's. It grows when a field changes its meaning or
// goes; new fields do not count.
const Version = 2

// Report is the outcome of a run: every case on every kernel. Apart from the
// fields called seconds it holds no time, so that two runs which saw the same
// are the same bytes.
type Report struct {
	Version int      `json:"version"`
	Kernels []Kernel `json:"kernels"` // as they were asked for; Sort orders them by release
	Cases   []Case   `json:"cases"`
}

// Kernel is a column.
type Kernel struct {
	Name    string   `json:"name"`              // as -k takes it: 6.1.192, local
	Release string   `json:"release,omitempty"` // uname -r; empty when it did not boot
	Build   string   `json:"build,omitempty"`   // uname -v
	Of      string   `json:"of,omitempty"`      // of an emulated one: the real kernel that it was held against
	Notes   []string `json:"notes,omitempty"`   // for a person: a second boot
	Boots   int      `json:"boots,omitempty"`   // VMs started
	Seconds float64  `json:"seconds,omitempty"` // from the first VM's start to its agent
}

// Case is a row.
type Case struct {
	Name    string   `json:"name"`
	Doc     string   `json:"doc,omitempty"`
	Refs    []string `json:"refs,omitempty"`    // kernel functions: "net/netlink/af_netlink.c netlink_ack"
	Text    string   `json:"text,omitempty"`    // the case itself
	Classes []Class  `json:"classes,omitempty"` // the behaviours that were seen
	Cells   []Cell   `json:"cells"`             // one for each kernel, in their order
}

// Class is a behaviour: what all kernels with its letter did alike.
type Class struct {
	Letter   string   `json:"letter"`   // A for the first kernel's, B for the next that differs, ... Z, AA
	Exchange []string `json:"exchange"` // normalised lines (see nlcase.Transcript.Render)
}

// Cell is a case on a kernel.
type Cell struct {
	Verdict    string     `json:"verdict"`
	Class      string     `json:"class,omitempty"`     // a letter of the row's classes; empty when the case did not come to its end
	Reason     string     `json:"reason,omitempty"`    // one line, for whatever is not simply pass or fail
	Explained  bool       `json:"explained,omitempty"` // it diverges, and the reason says why: that is no failure
	Mismatches []Mismatch `json:"mismatches,omitempty"`
	LastWords  []string   `json:"last_words,omitempty"` // of the console, or the trace, when the VM was lost or its kernel complained
	Log        []string   `json:"log,omitempty"`        // what the kernel logged while a case ran that did not hold; at other times it is noise
	Seconds    float64    `json:"seconds,omitempty"`
}

// Mismatch is one expectation that did not hold.
type Mismatch struct {
	Line int    `json:"line"` // in the case's text
	Want string `json:"want"`
	Got  string `json:"got"`
}
