//go:build linux

package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// apartName is what a program is called that was started to play one case.
const apartName = "nlrig-apart"

// apartTimeout bounds such a program.
const apartTimeout = 30 * time.Second

// maxTranscript bounds what it writes.
const maxTranscript = 8 << 20

// Apart is for the beginning of a program's main. Where the program was
// started by Play, for a case that has a user namespace of its own, it plays
// that case and does not return: a process of several threads cannot enter a
// user namespace (kernel/user_namespace.c userns_install), but be born there.
func Apart() {
	if os.Args[0] != apartName {
		return
	}
	if err := playStdin(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func playStdin() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	c, err := nlcase.Parse(os.Args[1], text)
	if err != nil {
		return err
	}
	c.UserNS = false // it is in it
	var k Kernel
	t := nlcase.Play(&release{&k, os.Args[2]}, c)
	_, err = os.Stdout.Write(t.AppendBinary(nil))
	return err
}

// release is a kernel that is taken for another release.
type release struct {
	nlcase.Kernel
	as string
}

func (r *release) Release() string { return r.as }

// playApart plays a case in a process that is root of a user namespace of its
// own.
func (k *Kernel) playApart(c *nlcase.Case, as string) (*nlcase.Transcript, error) {
	var in, out, errs [2]int
	for _, p := range []*[2]int{&in, &out, &errs} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, err
		}
		defer unix.Close(p[0])
		defer func() {
			if p[1] >= 0 {
				unix.Close(p[1])
			}
		}()
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{apartName, c.Name, as}, &syscall.ProcAttr{
		Files: []uintptr{uintptr(in[0]), uintptr(out[1]), uintptr(errs[1])},
		Env:   os.Environ(),
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, &nlcase.NeedError{Need: nlcase.Need{Kind: "user namespaces"}, Err: err}
	}
	timer := time.AfterFunc(apartTimeout, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	defer timer.Stop()
	for _, p := range []*[2]int{&out, &errs} {
		unix.Close(p[1]) // so that its end is seen
		p[1] = -1
	}
	// A case fits a pipe, and what is said in error is not waited for.
	if _, err := unix.Write(in[1], c.Text); err != nil {
		return nil, err
	}
	unix.Close(in[1])
	in[1] = -1
	b, err := readAll(out[0])
	var ws unix.WaitStatus
	for {
		_, waitErr := unix.Wait4(pid, &ws, 0, nil)
		if waitErr != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	t := new(nlcase.Transcript)
	if err := t.UnmarshalBinary(b); err != nil || ws != 0 {
		said, _ := readAll(errs[0])
		return nil, fmt.Errorf("the process in a user namespace ended with status %#x: %s", uint32(ws), said)
	}
	if t.Failed != "" {
		return nil, errors.New(t.Failed)
	}
	return t, nil
}

// readAll reads a pipe to its end, past the Go poller.
func readAll(fd int) ([]byte, error) {
	var b []byte
	buf := make([]byte, 64<<10)
	for len(b) < maxTranscript {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return b, nil
		default:
			b = append(b, buf[:n]...)
		}
	}
	return nil, fmt.Errorf("more than %d bytes", maxTranscript)
}
