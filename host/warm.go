//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
)

// warmTimeout bounds the start from an image, which takes a tenth of a second
// on a machine that does nothing else.
const warmTimeout = 20 * time.Second

// warm starts the VMs of one target from an image, which it makes when it is
// first needed.
type warm struct {
	images *qemu.Images // nil for none
	name   string
	id     qemu.Identity

	mu    sync.Mutex // guards the rest
	image *qemu.Image
	off   bool // what was tried did not work
	said  string
}

// start starts a VM. All that keeps it from doing so from an image is said, once,
// and costs a boot.
func (w *warm) start(ctx context.Context, conf qemu.Config, timeout time.Duration, say func(string)) (machine, bool, error) {
	image, booted, err := w.open(ctx, conf, timeout, say)
	if err != nil {
		return nil, false, err
	}
	if booted != nil {
		return booted, false, nil
	}
	conf.Image = image
	vm, err := qemu.Start(ctx, conf)
	if err != nil {
		return nil, image != nil, err
	}
	return vm, image != nil, nil
}

// open returns the image, or the VM that was booted to make it and could not.
func (w *warm) open(ctx context.Context, conf qemu.Config, timeout time.Duration, say func(string)) (*qemu.Image, *qemu.VM, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.images == nil || w.off {
		return nil, nil, nil
	}
	if w.image != nil {
		return w.image, nil, nil
	}
	i, err := w.images.Open(w.name, w.id)
	if err == nil {
		w.image = i
		return i, nil, nil
	}
	if !errors.Is(err, qemu.ErrNoImage) {
		w.say(say, fmt.Sprintf("booting cold, for the warm image is of no use: %v", err))
	}
	i, vm, err := w.images.Make(ctx, w.name, w.id, conf, timeout)
	if err != nil && vm == nil {
		return nil, nil, err
	}
	if err != nil {
		if ctx.Err() == nil { // else nobody wants to know
			w.say(say, fmt.Sprintf("booted cold, without a warm image: %v", err))
		}
		return nil, vm, nil
	}
	w.image = i
	return i, nil, nil
}

func (w *warm) say(say func(string), s string) {
	if s != w.said {
		w.said = s
		say(s)
	}
}

// discard has every VM boot from now on.
func (w *warm) discard() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	return errors.Join(w.forget(), w.images.Discard(w.name))
}

func (w *warm) forget() error {
	if w.image == nil {
		return nil
	}
	err := w.image.Close()
	w.image = nil
	return err
}

// close waits for an image that was made to be kept.
func (w *warm) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forget()
}

// RemoveImages removes the warm images of v and returns the bytes that they
// took.
func (r *Rig) RemoveImages(v kernels.Version) (freed int64, err error) {
	if r.Images == nil {
		return 0, nil
	}
	for _, i := range r.Images.List() {
		if entry, _, ok := cutLast(i.Name, "."); ok && entry == v.Entry() {
			freed += i.Size
			err = errors.Join(err, r.Images.Discard(i.Name))
		}
	}
	return freed, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// imageName is that of a kernel's image in such a VM. What may change under it,
// the identity tells.
func imageName(entry string, conf qemu.Config, shell bool) string {
	s := fmt.Sprintf("%s\x00%s\x00%d\x00%d\x00%s\x00%v\x00%v", conf.Binary, conf.Accel, conf.Memory, conf.CPUs, conf.Append, shell, conf.Share)
	return entry + "." + initramfs.Sum([]byte(s))[:8]
}
