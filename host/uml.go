//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/host/uml"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/child"
)

// umlFirst are loaded before all else: what kernels for VMs have built in.
var umlFirst = []string{"ipv6"}

// umlShelf are in the initramfs, because they are asked for often, and the port
// of User Mode Linux takes a byte at a time.
var umlShelf = []string{"bridge", "veth", "dummy", "8021q", "macvlan", "vxlan", "vrf", "netlink_diag"}

// Target is v in a VM: QEMU's, or its own where it is User Mode Linux.
func (r *Rig) Target(v kernels.Version) Target {
	if v.UML {
		return r.umlTarget(v, func(*uml.Config) {})
	}
	return r.QEMUTarget(v)
}

// umlTarget has attach complete the configuration of each VM, and extra in the
// initramfs. There are no warm images: the kernel's memory is not all of it.
func (r *Rig) umlTarget(v kernels.Version, attach func(*uml.Config), extra ...cpio.Record) Target {
	var kernel *kernels.Kernel
	var sum string
	there := map[string]bool{} // on the shelf
	conf := uml.Config{Memory: r.QEMU.Memory, Append: r.QEMU.Append}
	t := Target{Name: v.String(), vm: true, entropy: r.Entropy}
	t.agent = func() string { return sum }
	t.release = func() string { return kernel.Version.Release }
	t.prepare = func(ctx context.Context, say Says) error {
		if err := checkLibc(ctx, v); err != nil {
			return err
		}
		k, err := r.Catalogue.Get(ctx, v, func(p kernels.Progress) { say.Status(Fetching(p)) })
		if err != nil {
			return err
		}
		shelf, err := modulesOf(k, umlShelf)
		if err != nil {
			return err
		}
		files := append(slices.Clone(extra), cpio.Directory(layout.Shelf[1:], 0o755))
		for _, m := range shelf {
			there[m.Name] = true
			files = append(files, cpio.StaticRecord(m.Data, cpio.Info{Name: layout.Shelved(m.Name)[1:], Mode: cpio.S_IFREG | 0o644}))
		}
		img, agent, err := r.image(ctx, k, files...)
		kernel, sum, conf.Kernel, conf.Libs, conf.Initrd = k, agent, k.UML, k.Libs, img.Path
		return err
	}
	t.start = func(ctx context.Context, _ time.Duration, _ func(string)) (machine, bool, error) {
		conf := conf
		attach(&conf)
		vm, err := uml.Start(ctx, conf)
		if errors.Is(err, uml.ErrNamespace) {
			return nil, false, &SkipError{err.Error()}
		}
		if err != nil {
			return nil, false, err
		}
		return vm, false, nil
	}
	t.modules = func(name string) ([]initramfs.Module, error) {
		mods, err := load(kernel, name)
		for i := range mods {
			if there[mods[i].Name] {
				mods[i].Data = nil
			}
		}
		return mods, err
	}
	t.config = func(option string) (string, bool) { return kernel.ConfigValue(option) }
	return t
}

// checkLibc skips a User Mode Linux that wants a later glibc than this machine
// has.
func checkLibc(ctx context.Context, v kernels.Version) error {
	if v.Libc == "" {
		return nil
	}
	have := glibc(ctx)
	if have == "" {
		return &SkipError{fmt.Sprintf("%v wants glibc %s or later, and this machine has none", v, v.Libc)}
	}
	if kernels.CompareVersions(have, v.Libc) < 0 {
		return &SkipError{fmt.Sprintf("%v wants glibc %s or later, this machine has %s: try an older one, or build one with CONFIG_STATIC_LINK=y", v, v.Libc, have)}
	}
	return nil
}

// TryUML says why User Mode Linux cannot be played on here, nil if it can, and
// which glibc it then has, "" for none.
func (r *Rig) TryUML(ctx context.Context) (libc string, err error) {
	return glibc(ctx), uml.Check(ctx, r.QEMU.Memory)
}

// glibc is the version of this machine's, "" if it has none.
func glibc(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var out strings.Builder
	cmd := child.Command(ctx, "getconf", "GNU_LIBC_VERSION")
	cmd.Stdout = &out
	if child.Run(cmd) != nil {
		return ""
	}
	_, version, _ := strings.Cut(strings.TrimSpace(out.String()), " ")
	return version
}
