//go:build linux

package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/kernels/child"
)

const (
	agentPackage = "github.com/nlrig/nlrig/guest/agent"
	buildTimeout = 5 * time.Minute
)

// Agent returns the agent's binary: the one that this program carries, or
// else the one that go build makes of the package's source, as it stands in
// the module that the working directory belongs to. dir is where it is built.
func Agent(ctx context.Context, dir string) ([]byte, error) {
	if len(carried) > 0 {
		return carried, nil
	}
	b, err := buildAgent(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("build the agent: %w", err)
	}
	return b, nil
}

// BuildFlags are those of `go build` for the agent; no path and no time gets
// into the binary.
func BuildFlags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}
}

func buildAgent(ctx context.Context, dir string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	tmp, release, err := scratch(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer release()
	out := filepath.Join(tmp, "agent")
	args := append([]string{"build"}, BuildFlags()...)
	cmd := child.Command(ctx, "go", append(args, "-o", out, agentPackage)...)
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOEXPERIMENT=", "GOTMPDIR="+tmp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := child.Run(cmd); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("this nlrig carries no agent and there is no go command to build one: build nlrig with make, or install Go")
		}
		return nil, fmt.Errorf("this nlrig carries no agent, and go build did not make one here "+
			"(build nlrig with make, or run it inside its source or a module that requires it): %w: %s",
			err, strings.TrimSpace(stderr.String()))
	}
	return os.ReadFile(out)
}

// scratch makes dir with an empty directory in it to build in. There is one
// builder at a time, so that what a killed one left can go.
func scratch(ctx context.Context, dir string) (tmp string, release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return "", nil, err
	}
	tmp = filepath.Join(dir, "tmp")
	if err = flock(ctx, lock); err == nil {
		if err = os.RemoveAll(tmp); err == nil {
			err = os.Mkdir(tmp, 0o755)
		}
	}
	if err != nil {
		lock.Close()
		return "", nil, err
	}
	return tmp, func() { os.RemoveAll(tmp); lock.Close() }, nil
}

func flock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is locked by another nlrig: %w", f.Name(), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
