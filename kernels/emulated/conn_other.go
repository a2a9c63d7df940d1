//go:build !linux

package emulated

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/mdlayher/netlink"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// linuxErrno is an error number of Linux, which the standard library of another
// system has no type for. It is what fs.ErrExist and its like say, too.
type linuxErrno errno

func (e linuxErrno) Error() string { return errno(e).Error() }

// Is knows the errors that syscall.Errno does on Linux.
func (e linuxErrno) Is(target error) bool {
	switch errno(e) {
	case nlmsg.EACCES, nlmsg.EPERM:
		return target == fs.ErrPermission
	case nlmsg.EEXIST:
		return target == fs.ErrExist
	case nlmsg.ENOENT:
		return target == fs.ErrNotExist
	case nlmsg.ENOSYS, nlmsg.EOPNOTSUPP:
		return target == errors.ErrUnsupported
	}
	return target == error(errno(e))
}

func syscallErrno(err errno) error { return linuxErrno(err) }

// checkMessage is the error in a message, which package netlink can tell on Linux
// alone.
func checkMessage(m netlink.Message) error {
	done := m.Header.Type == netlink.Done && m.Header.Flags&netlink.Multi != 0
	if m.Header.Type != netlink.Error && !done || len(m.Data) < 4 {
		return nil
	}
	err := -int32(native.Uint32(m.Data))
	if err == 0 {
		return nil
	}
	at := 4
	if !done {
		if at += nlmsg.HeaderLen; m.Header.Flags&netlink.HeaderFlags(nlmsg.FlagCapped) == 0 && len(m.Data) >= at {
			at = 4 + nlmsg.Align(int(native.Uint32(m.Data[4:])))
		}
	}
	if m.Header.Flags&netlink.AcknowledgeTLVs != 0 && at <= len(m.Data) {
		if ad, e := netlink.NewAttributeDecoder(m.Data[at:]); e == nil {
			for ad.Next() {
				if ad.Type() == nlmsgerrMsg {
					return fmt.Errorf("%w: %s", linuxErrno(err), ad.String())
				}
			}
		}
	}
	return linuxErrno(err)
}
