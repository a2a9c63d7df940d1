package emulated

import (
	"syscall"

	"github.com/mdlayher/netlink"
)

// syscallErrno is the error number in the type that the standard library has for it.
func syscallErrno(err errno) error { return syscall.Errno(err) }

// checkMessage leaves the errors in messages to package netlink.
func checkMessage(netlink.Message) error { return nil }
