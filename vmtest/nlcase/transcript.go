package nlcase

// Transcript is all that happened when a case was played: raw, and without
// time, so that whoever holds it can judge for themselves.
type Transcript struct {
	Release string // the kernel's
	// Failed says why the steps ended early: the namespace could not be
	// made. It is the harness's failure and not the kernel's answer.
	Failed string
	Steps  []StepResult
}

// StepResult is what one step did.
type StepResult struct {
	Skipped   bool   // by its version guard
	Errno     Errno  // of the operation
	Portid    uint32 // of the socket, afterwards
	Groups    uint32 // that getsockname gave, for the steps that ask
	Value     []byte // that was sent, or that getsockopt or ifindex gave
	Datagrams []Datagram
}
