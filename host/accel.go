//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nlrig/nlrig/host/qemu"
)

// AccelError says that guests do not run under the accelerator that was asked
// for.
type AccelError struct {
	Accel string
	Err   error
}

func (e *AccelError) Error() string {
	return fmt.Sprintf("-accel %s is of no use on this machine: %v; -accel tcg works everywhere", e.Accel, e.Err)
}

func (e *AccelError) Unwrap() error { return e.Err }

// Probes is where it is kept what accelerators are good for.
func (r *Rig) Probes() qemu.Probes { return qemu.Probes{Dir: filepath.Join(r.Dir, "accel")} }

// accel turns the one that was asked for into the one to use. What that takes
// is done once, with the kernel of conf.
func (r *Rig) accel(ctx context.Context, conf qemu.Config, say func(string)) (string, error) {
	if conf.Accel != qemu.Auto && conf.Accel != qemu.KVM {
		return conf.Accel, nil
	}
	r.kvmOnce.Do(func() {
		var fresh bool
		fresh, r.kvm = r.Probes().KVM(ctx, conf, r.version)
		if fresh && r.kvm != nil && conf.Accel == qemu.Auto && ctx.Err() == nil {
			say(fmt.Sprintf("KVM is there and of no use (%v): VMs run under TCG from now on; nlrig doctor tries again", r.kvm))
		}
	})
	switch {
	case r.kvm == nil:
		return qemu.KVM, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case conf.Accel == qemu.KVM:
		return "", &AccelError{qemu.KVM, r.kvm}
	}
	return qemu.TCG, nil
}

// TryKVM says why guests do not run under KVM, nil if they do. It tries where
// a kernel is here, and else tells what is remembered.
func (r *Rig) TryKVM(ctx context.Context) error {
	if err := r.checkQEMU(ctx); err != nil {
		return err
	}
	vs, err := r.Catalogue.List(ctx)
	if err != nil {
		return err
	}
	for _, v := range vs {
		if !v.Here {
			continue
		}
		k, err := r.Catalogue.Get(ctx, v, nil)
		if err != nil || k.BzImage == "" {
			continue
		}
		if err := r.Probes().Forget(); err != nil {
			return err
		}
		conf := r.QEMU
		conf.Kernel = k.BzImage
		_, err = r.Probes().KVM(ctx, conf, r.version)
		return err
	}
	return errors.New("no kernel is here to try it with: nlrig kernels pull 6.1")
}
