//go:build linux

package child

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SocketPair makes a stream between this process, whose end is the first, and a
// program that is to inherit the other. There is no socket file to leave behind,
// and nobody else can connect.
func SocketPair(name string) ([2]*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return [2]*os.File{}, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	// Ours is for Go's poller, so that Close ends a Read; the program sets its
	// own.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return [2]*os.File{}, err
	}
	return [2]*os.File{os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)}, nil
}
