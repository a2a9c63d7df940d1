//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/host/uml"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
)

// Rig is what targets share.
type Rig struct {
	Catalogue *kernels.Catalogue
	// Dir is where initramfs images are kept.
	Dir string
	// QEMU is what each VM is started with; kernel and initrd are filled in.
	QEMU qemu.Config
	// Images are the warm ones that VMs are started from; nil to boot each.
	Images *qemu.Images
	// Entropy gives each VM a random pool of its own.
	Entropy bool

	once  sync.Once // guards the rest
	agent []byte
	err   error

	check    sync.Once // guards the rest
	version  string    // of QEMU
	checkErr error

	kvmOnce sync.Once // guards kvm
	kvm     error     // why it is of no use
}

// Agent is the agent's binary, built once.
func (r *Rig) Agent(ctx context.Context) ([]byte, error) {
	r.once.Do(func() { r.agent, r.err = initramfs.Agent(ctx, filepath.Join(r.Dir, "agent")) })
	return r.agent, r.err
}

func (r *Rig) checkQEMU(ctx context.Context) error {
	r.check.Do(func() { r.version, r.checkErr = qemu.Checked(ctx, r.QEMU.Binary, r.Dir) })
	return r.checkErr
}

// Fetching shows how far a kernel is on its way here.
func Fetching(p kernels.Progress) string {
	if p.Total == 0 {
		return strings.TrimSpace(p.Phase + " " + p.Text)
	}
	return fmt.Sprintf("%s %d%% of %.1f MB", p.Phase, 100*p.Done/p.Total, float64(p.Total)/1e6)
}

// transport is what the port needs, in no order: a kernel that has it built in
// names nothing to load.
var transport = []string{"virtio_pci", "virtio_console"}

// NoLoopback are words for the kernel's command line that leave lo down.
const NoLoopback = " " + layout.NoLoopback + "=1"

// ProgramTarget is v in QEMU, for OpenVM. change completes the configuration of
// its VMs; nil for nothing.
func (r *Rig) ProgramTarget(v kernels.Version, change func(*qemu.Config)) Target {
	conf := r.QEMU
	conf.Share = true
	if change != nil {
		change(&conf)
	}
	if v.UML {
		return r.umlTarget(v, func(c *uml.Config) { c.Memory, c.Append = conf.Memory, conf.Append }, etcFiles...)
	}
	return r.qemuTarget(v, conf, nil)
}

// QEMUTarget is v in QEMU.
func (r *Rig) QEMUTarget(v kernels.Version) Target {
	return r.qemuTarget(v, r.QEMU, nil)
}

// qemuTarget has VMs of conf, each of which attach completes, and extra in the
// initramfs.
func (r *Rig) qemuTarget(v kernels.Version, conf qemu.Config, attach func(*qemu.Config), extra ...cpio.Record) Target {
	var kernel *kernels.Kernel
	var sum string
	w := &warm{images: r.Images}
	t := Target{Name: v.String(), vm: true, entropy: r.Entropy, discard: w.discard, close: w.close}
	if conf.Accel != "" && conf.Accel != qemu.TCG && conf.Accel != qemu.Auto {
		t.silent = fmt.Sprintf("-accel %s may not work on this machine; -accel tcg does everywhere", conf.Accel)
	}
	t.agent = func() string { return sum }
	t.release = func() string { return kernel.Version.Release }
	t.prepare = func(ctx context.Context, say Says) error {
		if err := r.checkQEMU(ctx); err != nil {
			return err
		}
		k, err := r.Catalogue.Get(ctx, v, func(p kernels.Progress) { say.Status(Fetching(p)) })
		if err != nil {
			return err
		}
		if k.UML != "" {
			return fmt.Errorf("%v is User Mode Linux: that works with a kernel for VMs alone, such as %s", v, v.Series())
		}
		kernel = k
		conf.Kernel = k.BzImage
		if k.PVH {
			conf.Kernel = k.VMLinux
		}
		if conf.Kernel == "" {
			return fmt.Errorf("%v: a vmlinux without a PVH entry note (CONFIG_PVH), and no bzImage to boot instead", v)
		}
		if conf.Share {
			extra = systemFiles(k)
		}
		img, agent, err := r.image(ctx, k, extra...)
		if err != nil {
			return err
		}
		sum, conf.Initrd = agent, img.Path
		if conf.Accel, err = r.accel(ctx, conf, say.Moment); err != nil {
			return err
		}
		if w.images != nil {
			id, err := conf.Identity(r.version)
			if err != nil {
				return err
			}
			id.Kernel, id.Initrd = k.Sum, img.Sum
			w.name, w.id = imageName(k.Entry, conf, len(extra) > 0), id
		}
		return nil
	}
	t.start = func(ctx context.Context, timeout time.Duration, say func(string)) (machine, bool, error) {
		conf := conf
		if attach != nil {
			attach(&conf)
		}
		return w.start(ctx, conf, timeout, say)
	}
	t.modules = func(name string) ([]initramfs.Module, error) { return load(kernel, name) }
	t.config = func(option string) (string, bool) { return kernel.ConfigValue(option) }
	return t
}

// etcFiles are what programs expect to find of any system.
var etcFiles = []cpio.Record{
	cpio.Directory("etc", 0o755),
	cpio.StaticFile("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", 0o644),
	cpio.StaticFile("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644),
	cpio.StaticFile("etc/hosts", "127.0.0.1\tlocalhost nlrig\n::1\tlocalhost\n", 0o644),
	cpio.StaticFile("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644),
}

// systemFiles are those and the kernel's configuration.
func systemFiles(k *kernels.Kernel) []cpio.Record {
	text, err := os.ReadFile(k.Config)
	if err != nil || k.Version.Release == "" {
		return etcFiles // none came with it
	}
	return append(slices.Clip(etcFiles), cpio.Directory("boot", 0o755), cpio.StaticFile("boot/config-"+k.Version.Release, string(text), 0o644))
}

// Image is the initramfs of a kernel that is here.
func (r *Rig) Image(ctx context.Context, v kernels.Version) (initramfs.Image, error) {
	k, err := r.Catalogue.Get(ctx, v, nil)
	if err != nil {
		return initramfs.Image{}, err
	}
	img, _, err := r.image(ctx, k)
	return img, err
}

func (r *Rig) image(ctx context.Context, k *kernels.Kernel, extra ...cpio.Record) (img initramfs.Image, agentSum string, err error) {
	agent, err := r.Agent(ctx)
	if err != nil {
		return img, "", err
	}
	first := transport
	if k.UML != "" {
		first = umlFirst
	}
	mods, err := modulesOf(k, first)
	if err != nil {
		return img, "", err
	}
	img, err = initramfs.Build(filepath.Join(r.Dir, "initramfs"), agent, mods, extra...)
	return img, initramfs.Sum(agent), err
}

// modulesOf returns the modules of such names, and those that they need, in load
// order. A module that k does not have is left out: it may be built in, and if
// it is not, who needs it says what is missing.
func modulesOf(k *kernels.Kernel, names []string) ([]initramfs.Module, error) {
	var all []initramfs.Module
	seen := map[string]bool{}
	for _, name := range names {
		mods, err := load(k, name)
		if err != nil && !errors.Is(err, kernels.ErrNoModule) {
			return nil, err
		}
		for _, m := range mods {
			if !seen[m.Name] {
				seen[m.Name] = true
				all = append(all, m)
			}
		}
	}
	return all, nil
}

func load(k *kernels.Kernel, name string) ([]initramfs.Module, error) {
	mods, err := k.Modules(name)
	if err != nil {
		return nil, err
	}
	out := make([]initramfs.Module, len(mods))
	for i, m := range mods {
		data, err := k.ReadModule(m)
		if err != nil {
			return nil, err
		}
		out[i] = initramfs.Module{Name: m.Name, Data: data}
	}
	return out, nil
}

// headroom is what a VM costs this machine beyond its memory, in MiB: QEMU
// itself and its translated code.
const headroom = 160

// slots is how many VMs fit: one for each core, and no more than two thirds
// of the memory that is available.
func (r *Runner) slots() int {
	if r.Slots > 0 {
		return r.Slots
	}
	n := runtime.NumCPU()
	if free := availableMiB(); free > 0 {
		n = min(n, free*2/3/(qemu.DefaultMemory+headroom))
	}
	return max(n, 1)
}

// availableMiB is MemAvailable (Documentation/filesystems/proc.rst), 0 if it
// cannot be read.
func availableMiB() int {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			kb, _ := strconv.Atoi(f[1])
			return kb / 1024
		}
	}
	return 0
}

// keepConsoles is how many logs a directory holds before the oldest go.
const keepConsoles = 200

// keepConsole writes a log under the name of its target and its content.
func keepConsole(dir, target, log string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%.12s.log", fileName(target), initramfs.Sum([]byte(log)))
	if err := os.WriteFile(filepath.Join(dir, name), []byte(log), 0o644); err != nil {
		return err
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if len(files) <= keepConsoles {
		return nil
	}
	mtime := func(f string) int64 {
		var st unix.Stat_t
		_ = unix.Stat(f, &st) // one that is gone is the oldest
		return st.Mtim.Nano()
	}
	sort.Slice(files, func(i, j int) bool { return mtime(files[i]) > mtime(files[j]) })
	for _, f := range files[keepConsoles:] {
		os.Remove(f)
	}
	return nil
}

// fileName makes a target's name fit for a file.
func fileName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !bytes.ContainsRune([]byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"), rune(c)) {
			b[i] = '_'
		}
	}
	return strings.TrimLeft(string(b[max(0, len(b)-80):]), ".")
}

var errNoNMI = errors.New("no NMI on the running kernel")
