//go:build linux

package guest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
)

// modprobeAddr is an abstract socket of the first network namespace, which is
// where the kernel starts its helpers (kernel/umh.c call_usermodehelper).
var modprobeAddr = &unix.SockaddrUnix{Name: "@nlrig-modprobe"}

// maxModuleName bounds a request: the kernel's own bound is MODULE_NAME_LEN
// and an alias of a prefix longer.
const maxModuleName = 256

// Modprobe is /sbin/modprobe: it hands the name that the kernel asked for
// ("-q -- NAME", kernel/module/kmod.c call_modprobe) to PID 1 and fails when
// PID 1 could not load it.
func Modprobe(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: modprobe [-q] [--] NAME")
	}
	name := args[len(args)-1]
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, modprobeAddr); err != nil {
		return fmt.Errorf("PID 1: %w", err)
	}
	if _, err := unix.Write(fd, []byte(name)); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return err
	}
	if n > 1 {
		return errors.New(string(answer[1:n]))
	}
	return nil
}

// modprobePath is what the kernel starts (kernel.modprobe).
const modprobePath = "/sbin/modprobe"

// answerModprobe makes the agent the kernel's modprobe, and serves the other
// end from a goroutine. It is not there from the beginning: a kernel that
// boots asks for modules several times, and each Go process that can only say
// no costs it 50 ms under TCG.
func (s *server) answerModprobe() error {
	if err := os.Symlink(layout.Init, modprobePath); err != nil {
		return err
	}
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(l, modprobeAddr); err != nil {
		return err
	}
	if err := unix.Listen(l, 16); err != nil {
		return err
	}
	go func() {
		for {
			fd, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
			if err != nil {
				continue
			}
			go s.answerOne(fd)
		}
	}()
	return nil
}

func (s *server) answerOne(fd int) {
	defer unix.Close(fd)
	name := make([]byte, maxModuleName)
	n, err := unix.Read(fd, name)
	if err != nil || n == 0 {
		return
	}
	answer := "-"
	if err := s.module(string(name[:n])); err != nil {
		answer += err.Error()
	}
	_, _ = unix.Write(fd, []byte(answer)) // a helper that was killed is the kernel's affair
}
