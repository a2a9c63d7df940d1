// Package emulated is a kernel's netlink core in Go: rtnetlink, generic netlink, and
// the sockets that they are spoken to through. It answers as Linux does, of the release
// that New is asked for. It lives in the process that uses it, on any operating system,
// without root; a network namespace takes less than a tenth of a millisecond.
//
// A program that speaks netlink through github.com/mdlayher/netlink has its unit tests
// run on it, on each series of kernels that its users have:
//
//	k, err := emulated.New("6.12")
//	...
//	n := k.NewNetns()
//	defer n.Close()
//	c, err := n.Dial(unix.NETLINK_ROUTE, nil) // as netlink.Dial
//
// Unlike replies that a test makes up, the answers, errors, notifications and dumps
// are those that a kernel has for what was sent. The examples are whole programs; to
// see them run:
//
//	go test -v -run Example ./kernels/emulated
//
// nlrig plays its cases on it, too, beside the kernels that it is held against:
// emulated@6.12. It is the kernel's own flow: functions have the names of the kernel's
// and cite them, and what differs between releases is one table, in release.go.
//
// There are no packets and there is no hardware: links carry nothing, and of time only
// the waiting of sockets is real.
package emulated
