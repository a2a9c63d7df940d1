//go:build linux

package qemu

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Accelerators as Config.Accel has them. Auto is not for Start: it is KVM where
// a guest was seen to run under it, and TCG elsewhere.
const (
	Auto = "auto"
	KVM  = "kvm"
	TCG  = "tcg"
)

// bannerTimeout is how long a kernel may take to its first line under KVM,
// where it needs some tens of milliseconds.
const bannerTimeout = 3 * time.Second

// Probes remembers, in a directory, under which accelerators guests ran. That a
// device is there, or that QEMU starts, says nothing: there are machines where
// it does and the guest stands still.
type Probes struct {
	Dir string
	// Device is what KVM is used through; empty for /dev/kvm.
	Device string
}

// ErrNoKVM is KVM's where there is nothing to be tried.
var ErrNoKVM = errors.New("KVM cannot be used here")

// KVM says why guests do not run under KVM, nil if they do. It boots c's kernel
// where that is not known yet for this machine and c's QEMU, of the given
// version, and says so.
func (p Probes) KVM(ctx context.Context, c Config, version string) (fresh bool, err error) {
	f, err := os.OpenFile(cmp.Or(p.Device, "/dev/kvm"), os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrNoKVM, err)
	}
	f.Close()
	c.Accel = KVM
	id, err := c.Identity(version)
	if err != nil {
		return false, err
	}
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail: the buffer is ours
	machine, _ := os.ReadFile("/etc/machine-id")
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s", id.QEMU, id.Host, machine, u.Release, u.Version))
	file := filepath.Join(p.Dir, fmt.Sprintf("kvm-%x", sum[:6]))
	if known, err := os.ReadFile(file); err == nil {
		if why := strings.TrimSpace(string(known)); why != works {
			return false, errors.New(why)
		}
		return false, nil
	}
	err = c.banner(ctx)
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	why := works
	if err != nil {
		why = err.Error()
	}
	return true, errors.Join(err, remember(file, why))
}

// Forget has the next call of KVM try again.
func (p Probes) Forget() error {
	files, _ := filepath.Glob(filepath.Join(p.Dir, "kvm-*"))
	var errs []error
	for _, f := range files {
		errs = append(errs, os.Remove(f))
	}
	return errors.Join(errs...)
}

// works is what a file holds where guests run.
const works = "works"

func remember(file, why string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".probe")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(why + "\n")
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// banner boots c and waits for the kernel's first line.
func (c Config) banner(ctx context.Context) error {
	c.MemoryFile, c.Image, c.Input, c.Output = nil, nil, nil, nil
	vm, err := Start(ctx, c)
	if err != nil {
		return err
	}
	defer vm.Close()
	deadline := time.After(bannerTimeout)
	for {
		if strings.Contains(vm.log.String(), "Linux version") {
			return nil
		}
		select {
		case <-vm.Done():
			vm.Wait(0)
			if strings.Contains(vm.log.String(), "Linux version") {
				return nil
			}
			return fmt.Errorf("QEMU ends before the kernel says a word: %s", strings.Join(strings.Fields(vm.Failure()), " "))
		case <-deadline:
			return fmt.Errorf("a guest under it says nothing for %v", bannerTimeout)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
