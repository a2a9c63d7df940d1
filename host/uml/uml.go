//go:build linux

// Package uml boots one kernel of User Mode Linux, which is a program of this
// machine, and hands back a VM whose port is connected.
//
// Each process of the guest is one of this machine that the kernel traces. If
// its tracer were killed it would run on, and what it means for the guest's
// kernel it would do to this machine's. So all of them are in a PID namespace,
// which ends with its first process, and that one with this process.
package uml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/kernels/child"
)

// Config describes a VM. Kernel and Initrd are needed; the zero value of the
// rest works.
type Config struct {
	Kernel string // path of the program
	Initrd string // path
	Libs   string // directory with Kernel's own C library; empty for this machine's
	Memory int    // MiB; 0 for DefaultMemory
	Append string // added to the kernel's command line
	// Input is what is typed on the console; nil for nothing.
	Input io.Reader
	// Output gets what the console prints, as it is, besides the log.
	Output io.Writer
}

// DefaultMemory is a VM's memory in MiB.
const DefaultMemory = 256

// VM is a running kernel.
type VM struct {
	port    *port
	typed   *os.File // on the console
	log     console.Log
	process *child.Process
}

// commandLine is what every kernel is given: a console on its output, the port
// on descriptors 3 and 4, no other terminal, and nowhere to make its directory for
// uml_mconsole(1), which nobody would remove. Panics end it at once; the rest is
// as in QEMU.
const commandLine = "con=null con0=fd:0,fd:1 ssl1=fd:3,fd:3 ssl2=fd:4,fd:4 loglevel=6 panic=-1 uml_dir=/proc/self/fd/ umid=nlrig" +
	" pty.legacy_count=0 cryptomgr.notests random.trust_cpu=on rcupdate.rcu_expedited=1 psi=0 GODEBUG=asyncpreemptoff=1 " +
	layout.Port + "=/dev/ttyS1 " + layout.Acks + "=/dev/ttyS2"

// first is the first process of the namespace. It is not the kernel, which
// dies of a signal to itself, and the first process does not die of that. Cores
// of a guest's memory would be of no use to anybody.
const first = `ulimit -c 0; setarch -R "$@"; exit $?`

// ErrNamespace is for where a PID namespace cannot be made.
var ErrNamespace = errors.New("this machine allows no PID namespace here")

// Start runs the kernel, which has not booted yet when Start returns. Ending
// ctx kills it. Close must be called.
func Start(ctx context.Context, c Config) (*VM, error) {
	dir, err := memoryDir(c.memory())
	if err != nil {
		return nil, fmt.Errorf("uml: %w", err)
	}
	bytes, err := child.SocketPair("port")
	if err != nil {
		return nil, fmt.Errorf("uml: %w", err)
	}
	defer bytes[1].Close()
	acks, err := child.SocketPair("port's acknowledgements")
	if err != nil {
		bytes[0].Close()
		return nil, fmt.Errorf("uml: %w", err)
	}
	defer acks[1].Close()
	vm := &VM{port: newPort(bytes[0], acks[0])}
	cmd := child.Command(ctx, "/bin/sh", append([]string{"-c", first, "sh"}, c.args()...)...)
	cmd.Dir = c.Libs
	cmd.ExtraFiles = []*os.File{bytes[1], acks[1]}
	// What a C library registers for restartable sequences, the guest's processes
	// inherit and unmap (kernel/rseq.c __rseq_handle_notify_resume); that of a
	// static program is among what they unmap.
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir, "GLIBC_TUNABLES=glibc.pthread.rseq=0")
	// A pipe of our own: exec would wait for Input's end. And a pipe in any case:
	// the kernel waits for what can be waited for, which /dev/null cannot.
	keys, typed, err := os.Pipe()
	if err != nil {
		vm.port.close()
		return nil, fmt.Errorf("uml: %w", err)
	}
	defer keys.Close()
	cmd.Stdin, vm.typed = keys, typed
	if c.Input != nil {
		go io.Copy(typed, c.Input) // ends with the VM, or with its input
	}
	cmd.Stdout = &vm.log
	if c.Output != nil {
		cmd.Stdout = io.MultiWriter(&vm.log, c.Output)
	}
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = time.Second
	if vm.process, err = startApart(cmd); err != nil {
		vm.port.close()
		typed.Close()
		return nil, fmt.Errorf("uml: %w", err)
	}
	return vm, nil
}

// startApart starts a command as the first process of a PID namespace. Who is
// not root is so in a user namespace, which making one takes.
func startApart(cmd *exec.Cmd) (*child.Process, error) {
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	p, err := child.Start(cmd)
	for _, e := range []error{unix.EPERM, unix.ENOSPC, unix.EACCES, unix.EINVAL, unix.EUSERS} {
		if errors.Is(err, e) {
			return nil, fmt.Errorf("%w (%w), without which the guest's processes could outlive nlrig: be root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)", ErrNamespace, err)
		}
	}
	return p, err
}

// Check says why no kernel with so much memory, in MiB, can run on this machine,
// nil if it can; an error may wrap ErrNamespace.
func Check(ctx context.Context, memory int) error {
	c := Config{Memory: memory}
	if _, err := memoryDir(c.memory()); err != nil {
		return err
	}
	p, err := startApart(child.Command(ctx, "/bin/sh", "-c", ":"))
	if err != nil {
		return err
	}
	<-p.Done
	return p.Err
}

func (c *Config) args() []string {
	var args []string
	if c.Libs != "" { // for the kernel, and not for the shell
		args = append(args, "env", "LD_LIBRARY_PATH="+c.Libs)
	}
	args = append(args, c.Kernel, "mem="+strconv.Itoa(c.memory())+"M", "initrd="+c.Initrd)
	return append(append(args, strings.Fields(commandLine)...), strings.Fields(c.Append)...)
}

func (c *Config) memory() int {
	if c.Memory == 0 {
		return DefaultMemory
	}
	return c.Memory
}

// memoryDir is where a file can be that is the guest's memory, in MiB, and that
// its kernel can execute. The file has no name from the beginning on.
func memoryDir(memory int) (string, error) {
	var why []string
	for _, dir := range []string{"/dev/shm", os.TempDir(), "/var/tmp"} {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			err = unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		free := int(st.Bavail) * int(st.Bsize) >> 20
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s: %v", dir, err))
		case st.Flags&unix.MS_NOEXEC != 0:
			why = append(why, dir+" is mounted noexec")
		case free < memory:
			why = append(why, fmt.Sprintf("%s has %d MiB free", dir, free))
		default:
			return dir, nil
		}
	}
	return "", fmt.Errorf("no place for %d MiB of memory that may be executed: %s; name one with TMPDIR", memory, strings.Join(why, ", "))
}

// Port is the stream to the agent.
func (vm *VM) Port() io.ReadWriter { return vm.port }

// Console is what the kernel printed so far.
func (vm *VM) Console() *console.Log { return &vm.log }

// Pid is the ID of the process that all others of the VM end with.
func (vm *VM) Pid() int { return vm.process.Cmd.Process.Pid }

// NMI has the kernel panic where it is: it has no NMI, but takes a signal that
// no instruction of its own has caused for the end (arch/um/kernel/trap.c
// relay_signal), with its interrupts off, too.
func (vm *VM) NMI() error {
	pid, err := vm.kernel()
	if err != nil {
		return err
	}
	return unix.Kill(pid, unix.SIGFPE)
}

// kernel is the process that is the kernel, the shell's only child.
func (vm *VM) kernel() (int, error) {
	sh := strconv.Itoa(vm.Pid())
	b, err := os.ReadFile(filepath.Join("/proc", sh, "task", sh, "children"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("the kernel is not one process: %q", b)
	}
	return pid, nil
}

// Wait waits for the VM to end by itself, at most d, and says whether it did.
func (vm *VM) Wait(d time.Duration) bool { return vm.process.Within(d) }

// Close ends the VM if it runs, and waits for all of its processes.
func (vm *VM) Close() error {
	vm.process.End()
	return errors.Join(vm.typed.Close(), vm.port.close())
}

// Failure says how the program went wrong: what killed it, or that its status
// was not 0. It is empty when it ended well, runs, or was ended by Close.
func (vm *VM) Failure() string {
	f := vm.process.Failure()
	if f == "" {
		return ""
	}
	// A shell's status says of which signal the program died.
	if status := vm.process.Cmd.ProcessState.ExitCode(); status > 128 {
		f = "was killed by " + unix.SignalName(syscall.Signal(status-128))
	}
	return "User Mode Linux " + f
}
