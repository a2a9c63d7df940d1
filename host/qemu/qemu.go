//go:build linux

// Package qemu boots one kernel in QEMU and hands back a VM whose port is
// connected.
//
// Port, console and QMP are socket pairs that QEMU inherits: there is no
// socket file to leave behind, nobody else can connect, and nothing is lost
// before the host has connected. QEMU dies with this process, however that
// ends.
package qemu

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/kernels/cachedir"
	"github.com/nlrig/nlrig/kernels/child"
)

// Program is QEMU's name, looked up in PATH.
const Program = "qemu-system-x86_64"

// minVersion is the oldest QEMU that is supported: Debian 11's, which boots
// PVH kernels and takes inherited sockets.
var minVersion = [2]int{5, 2}

// Install says how to get QEMU.
const Install = "apt-get install --no-install-recommends qemu-system-x86"

// Config describes a VM. Kernel and Initrd are needed; the zero value of the
// rest works.
type Config struct {
	Kernel string // path of a vmlinux with a PVH note, or of a bzImage
	Initrd string // path
	Binary string // path of QEMU; empty for Program in PATH
	Accel  string // as -accel takes it; empty for tcg
	Memory int    // MiB; 0 for DefaultMemory
	CPUs   int    // 0 for 1
	Append string // added to the kernel's command line
	// MemoryFile, if not nil, is what the guest's memory is kept in, for Save.
	MemoryFile *os.File
	// Image, if not nil, is what the VM is started from: Kernel, Initrd and
	// Append have had their effect.
	Image *Image
	// Input is what is typed on the console; nil for nothing.
	Input io.Reader
	// Output gets what the console prints, as it is, besides the log.
	Output io.Writer
	// GDB is an address, as -gdb takes it (tcp::1234): the VM waits there for a
	// debugger before its first instruction. Empty for none.
	GDB string
	// Share has host and guest share memory, besides the port.
	Share bool
	// Timing has Up tell, which costs a cold start a command.
	Timing bool
}

// DefaultMemory is a VM's memory in MiB.
const DefaultMemory = 256

// VM is a running QEMU.
type VM struct {
	port    *os.File
	qmp     *qmp
	log     console.Log
	process *child.Process
	stderr  bytes.Buffer
	input   *os.File      // the console
	console chan struct{} // closed when it has ended
	image   *Image        // that it was started from, nil for none
	share   *share        // nil for none

	started time.Time
	up      atomic.Int64 // after started, 0 for not yet
}

// commandLine is what every kernel is given. Panics end the VM at once
// (panic=-1 and -no-reboot), an NMI panics, which shows where a kernel spins.
// The rest saves a fifth to a third of the boot under TCG and has no bearing
// on netlink: self-tests of the crypto API, speculation mitigations, address
// randomisation, the interpreted ACPI methods that route PCI interrupts.
// Expedited grace periods take a sixth from the cases of older kernels, which
// wait for one wherever a device goes. The TSC is as good as the machine's clock
// is, and on a busy one a watchdog takes it to be broken.
const commandLine = "console=ttyS0 loglevel=6 panic=-1 unknown_nmi_panic" +
	" cryptomgr.notests mitigations=off nokaslr no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 psi=0 tsc=reliable GODEBUG=asyncpreemptoff=1"

const uniprocessor = "pci=noacpi"

// MinMemory is the least that kernels of today boot and play in, MaxMemory what
// is below the hole for PCI devices, beside the memory that is shared; both in
// MiB. MaxCPUs is more than is of use without KVM.
const (
	MinMemory = 128
	MaxMemory = 3072
	MaxCPUs   = 64
)

// validate says what is wrong with c.
func (c *Config) validate() error {
	if m := c.memory(); m < MinMemory || m > MaxMemory {
		return fmt.Errorf("a VM of %d MiB of memory: want %d to %d", m, MinMemory, MaxMemory)
	}
	if c.CPUs < 0 || c.CPUs > MaxCPUs {
		return fmt.Errorf("a VM of %d processors: want 1 to %d", c.CPUs, MaxCPUs)
	}
	return nil
}

func (c *Config) args() []string {
	accel := c.Accel
	if accel == "" {
		accel = "tcg"
	}
	// Without cmpxchg16b: QEMU 7.2 leaves garbage in the flags when one faults
	// (EFLAGS of the double fault holds bits of RAX), which the allocator of
	// kernels from 6.12 on runs into about once in two thousand cases. Without
	// the fast string operations the kernel clears and copies pages by words:
	// TCG interprets each turn of a rep, so that a program's start takes half.
	cpu := "max,-cx16,-erms,-fsrm"
	if strings.HasPrefix(accel, "kvm") {
		cpu = "host"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc,hpet=off,smm=off,vmport=off,usb=off,graphics=off",
		"-accel", accel,
		"-cpu", cpu,
		"-smp", strconv.Itoa(c.cpus()),
	}
	words := c.Append
	if c.cpus() == 1 {
		words = uniprocessor + " " + words
	}
	if c.Share {
		args = append(args, "-m", strconv.Itoa(c.ram()+layout.ShareSize>>20))
		args = append(args, c.shareArgs()...)
		words += c.shareWords()
	} else {
		args = append(args, "-m", strconv.Itoa(c.memory()), "-machine", "memory-backend=ram")
	}
	// The numbers of descriptors are those of exec.Cmd.ExtraFiles, in Start's
	// order.
	switch {
	case c.Image != nil:
		// The kernel is in the memory. Without it QEMU starts sooner.
		args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/6,share=off", c.ram()),
			"-incoming", "defer")
	default:
		if c.MemoryFile != nil {
			args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/6,share=on", c.ram()))
		} else {
			args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=ram,size=%dM", c.ram()))
		}
		args = append(args, "-kernel", c.Kernel, "-append", strings.TrimSpace(commandLine+" "+words))
		if c.Initrd != "" {
			args = append(args, "-initrd", c.Initrd)
		}
	}
	if c.GDB != "" {
		args = append(args, "-gdb", c.GDB, "-S")
	}
	// The port has an ID, without which QEMU does not tell of its opening. No
	// MSI-X vectors: without ACPI's routing 5.10 warns of them.
	return append(args,
		"-chardev", "socket,id=port,fd=3", "-device", "virtio-serial-pci,max_ports=2,vectors=0", "-device", "virtserialport,chardev=port,nr=1,name=nlrig,id=agent",
		"-chardev", "socket,id=console,fd=4", "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control")
}

func (c *Config) memory() int {
	if c.Memory == 0 {
		return DefaultMemory
	}
	return c.Memory
}

// ram is what QEMU has beside the memory that is shared: the guest's own, up to
// where that begins.
func (c *Config) ram() int {
	if c.Share {
		return c.shareAt()
	}
	return c.memory()
}

func (c *Config) cpus() int { return max(c.CPUs, 1) }

func (c *Config) binary() string {
	if c.Binary == "" {
		return Program
	}
	return c.Binary
}

// Start runs QEMU. Its kernel has not booted yet when Start returns. Ending
// ctx kills it. Close must be called.
func Start(ctx context.Context, c Config) (*VM, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	var pairs [3][2]*os.File
	closeTheirs := func() {
		for _, p := range pairs {
			if p[1] != nil {
				p[1].Close()
			}
		}
	}
	defer closeTheirs()
	for i, name := range []string{"port", "console", "qmp"} {
		p, err := child.SocketPair(name)
		if err != nil {
			return nil, fmt.Errorf("qemu: %w", err)
		}
		pairs[i] = p
	}
	closeOurs := func() {
		for _, p := range pairs {
			p[0].Close()
		}
	}
	vm := &VM{port: pairs[0][0], console: make(chan struct{})}
	cmd := child.Command(ctx, c.binary(), c.args()...)
	cmd.ExtraFiles = []*os.File{pairs[0][1], pairs[1][1], pairs[2][1]}
	switch {
	case c.Image != nil:
		state, err := c.Image.open()
		if err != nil {
			closeOurs()
			return nil, err
		}
		defer state.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.Image.memory, state)
		_, _ = vm.log.Write([]byte(c.Image.Console))
	case c.MemoryFile != nil:
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.MemoryFile)
	}
	if c.Share {
		s, err := newShare()
		if err != nil {
			closeOurs()
			return nil, err
		}
		vm.share = s
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
	}
	// Of its memory QEMU has transparent huge pages, where malloc has it ask for
	// them: its start takes an eighth less.
	cmd.Env = append(os.Environ(), "GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
	cmd.Stdout = &vm.stderr
	cmd.Stderr = &vm.stderr
	cmd.WaitDelay = time.Second
	vm.image, vm.started = c.Image, time.Now()
	p, err := child.Start(cmd)
	closeTheirs() // QEMU has its own; with ours open the console would have no end
	if err != nil {
		closeOurs()
		vm.unshare()
		return nil, startError(c.binary(), err)
	}
	vm.process = p
	vm.qmp = newQMP(pairs[2][0])
	go vm.readConsole(pairs[1][0], c.Output)
	if c.Image != nil {
		if err := vm.restore(); err != nil {
			return nil, errors.Join(err, vm.Close())
		}
		vm.isUp()
	} else if c.Timing {
		go func() {
			if vm.qmp.negotiate(time.Now().Add(qmpTimeout)) == nil {
				vm.isUp()
			}
		}()
	}
	vm.input = pairs[1][0]
	vm.typed(c.Input)
	return vm, nil
}

// typed types on the console what comes from r, if not nil.
func (vm *VM) typed(r io.Reader) {
	if r != nil {
		go io.Copy(vm.input, r)
	}
}

func startError(binary string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("qemu: %s is not on this machine (%s)", binary, Install)
	}
	return fmt.Errorf("qemu: start %s: %w", binary, err)
}

func (vm *VM) readConsole(f *os.File, also io.Writer) {
	defer close(vm.console)
	defer f.Close()
	var w io.Writer = &vm.log
	if also != nil {
		w = io.MultiWriter(w, also)
	}
	_, _ = io.Copy(w, f) // ends with QEMU
}

// Port is the stream to the agent. A Write that the guest does not take
// within writeTimeout fails.
func (vm *VM) Port() io.ReadWriter { return port{vm.port} }

// writeTimeout bounds one frame, a kernel module of some megabytes at most.
const writeTimeout = 20 * time.Second

type port struct{ *os.File }

func (p port) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.File.Write(b)
}

// Console is what the kernel printed so far.
func (vm *VM) Console() *console.Log { return &vm.log }

// Started is when QEMU was started.
func (vm *VM) Started() time.Time { return vm.started }

// Up is when QEMU answered for the first time, or had the state of its image;
// Started where that is not known.
func (vm *VM) Up() time.Time { return vm.started.Add(time.Duration(vm.up.Load())) }

func (vm *VM) isUp() { vm.up.Store(int64(time.Since(vm.started))) }

// Pid is QEMU's process ID.
func (vm *VM) Pid() int { return vm.process.Cmd.Process.Pid }

// Done is closed when QEMU has ended.
func (vm *VM) Done() <-chan struct{} { return vm.process.Done }

// NMI sends the kernel a non-maskable interrupt, which it panics on: the
// trace shows what it was doing, with interrupts off, too.
func (vm *VM) NMI() error { return vm.qmp.execute("inject-nmi") }

// Wait waits for QEMU to end by itself, at most d, and says whether it did.
func (vm *VM) Wait(d time.Duration) bool {
	if !vm.process.Within(d) {
		return false
	}
	<-vm.console
	return true
}

// Close ends QEMU if it runs, and waits for it.
func (vm *VM) Close() error {
	vm.process.End()
	<-vm.console
	vm.qmp.close()
	vm.unshare()
	return vm.port.Close()
}

// Failure says how QEMU itself went wrong: what killed it, or its own words
// with a status other than 0. It is empty when QEMU ended as it should, runs,
// or was ended by Close.
func (vm *VM) Failure() string {
	f := vm.process.Failure()
	if f == "" {
		return ""
	}
	return strings.TrimSpace("QEMU " + f + "\n" + console.Printable(strings.TrimSpace(vm.stderr.String())))
}

// Identity is what an image of such a VM depends on, but for the kernel and
// the initramfs. version is the one that Check told.
func (c *Config) Identity(version string) (id Identity, err error) {
	path, err := exec.LookPath(c.binary())
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return id, startError(c.binary(), err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return id, err
	}
	id.QEMU = fmt.Sprintf("%s %s %d %d", path, version, st.Size(), st.ModTime().UnixNano())
	vm := *c
	vm.Kernel, vm.Initrd, vm.MemoryFile, vm.Image = "", "", nil, nil
	id.VM = strings.Join(vm.args(), " ")
	if strings.HasPrefix(c.Accel, "kvm") {
		cpu, _ := os.ReadFile("/proc/cpuinfo")
		for line := range strings.Lines(string(cpu)) {
			if name, _, _ := strings.Cut(line, "\t"); name == "model name" || name == "flags" || name == "microcode" {
				id.Host += line
			}
			if line == "\n" {
				break // the other processors are the same
			}
		}
	}
	return id, nil
}

var versionLine = regexp.MustCompile(`version (\d+)\.(\d+)[^\s]*`)

// Checked is Check, and what it found is kept in dir for as long as QEMU's
// binary is the same: to ask it takes a third of the time to start it.
func Checked(ctx context.Context, binary, dir string) (version string, err error) {
	path, err := exec.LookPath(cmp.Or(binary, Program))
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", startError(cmp.Or(binary, Program), err)
	}
	return cachedir.Memo(filepath.Join(dir, "qemu"), path, []string{path}, func() (string, error) { return Check(ctx, binary) })
}

// Check runs QEMU for its version and says what is wrong with it, if
// anything.
func Check(ctx context.Context, binary string) (version string, err error) {
	if binary == "" {
		binary = Program
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := child.Command(ctx, binary, "--version")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := child.Run(cmd); err != nil {
		if out.Len() == 0 {
			return "", startError(binary, err)
		}
		return "", fmt.Errorf("qemu: %s --version: %w: %s", binary, err, strings.TrimSpace(out.String()))
	}
	m := versionLine.FindStringSubmatch(out.String())
	if m == nil {
		return "", fmt.Errorf("qemu: %s --version does not look like QEMU's: %q", binary, strings.TrimSpace(out.String()))
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	version = strings.TrimPrefix(m[0], "version ")
	if major < minVersion[0] || major == minVersion[0] && minor < minVersion[1] {
		return version, fmt.Errorf("qemu: %s is version %s, at least %d.%d is needed (%s, or -qemu PATH)", binary, version, minVersion[0], minVersion[1], Install)
	}
	return version, nil
}
