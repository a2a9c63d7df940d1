//go:build linux

package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// system is what programs find beside the kernel, and what they had found
// before any of them ran.
type system struct {
	equipped bool
	made     []string // top of what was put
	mounts   int
}

// mounts are what programs and people look at. What the kernel does not have is
// left out.
var mounts = []struct{ fstype, dir, data string }{
	{"tmpfs", "/dev/shm", "mode=1777"},
	{"devpts", "/dev/pts", "ptmxmode=0666"},
	{"tracefs", "/sys/kernel/tracing", ""},
	{"debugfs", "/sys/kernel/debug", ""},
	{"cgroup2", "/sys/fs/cgroup", ""},
	{"bpf", "/sys/fs/bpf", ""},
}

// maxFiles is the hard limit of open files, as systems have it.
const maxFiles = 1 << 20

// equip makes the guest a system that programs expect.
func (s *server) equip() error {
	if s.system.equipped {
		return nil
	}
	return s.system.equip(s.vm)
}

// equip takes the kernel a while, for some of it has it look for modules.
func (s *system) equip(v *vm) error {
	for _, dir := range []string{"/dev/pts", "/dev/shm", "/dev/net", "/run", "/var/run", "/root"} {
		_ = os.MkdirAll(dir, 0o755) // if it is missing, so is what goes there
	}
	_ = os.Chmod("/tmp", 0o1777)
	known, _ := os.ReadFile("/proc/filesystems")
	for _, f := range mounts {
		// Of the others the kernel would ask for a module, in vain.
		if strings.Contains(string(known), "\t"+f.fstype+"\n") {
			_ = unix.Mount(f.fstype, f.dir, f.fstype, 0, f.data)
		}
	}
	// Opening it has the kernel ask for the module (char-major-10-200).
	_ = unix.Mknod("/dev/net/tun", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200)))
	for _, l := range []struct{ name, target string }{{"fd", "/proc/self/fd"}, {"stdin", "fd/0"}, {"stdout", "fd/1"}, {"stderr", "fd/2"}} {
		_ = os.Symlink(l.target, "/dev/"+l.name)
	}
	_ = unix.Sethostname([]byte(hostname))
	_ = unix.Prlimit(1, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: maxFiles}, nil)
	s.mounts = countMounts()
	s.equipped = true
	if os.Getenv(layout.NoLoopback) != "" {
		return nil
	}
	return v.loopbackUp()
}

const hostname = "nlrig"

func countMounts() int {
	b, _ := os.ReadFile("/proc/self/mounts")
	return strings.Count(string(b), "\n")
}

// loopbackUp sets lo up, which has the index 1.
func (v *vm) loopbackUp() error {
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.LittleEndian.PutUint16(b[4:], unix.RTM_NEWLINK)
	binary.LittleEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 4)...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, unix.IFF_UP)
	b = binary.LittleEndian.AppendUint32(b, unix.IFF_UP)
	return v.send(b)
}

// tidyTimeout bounds the wait for processes to be gone.
const tidyTimeout = 5 * time.Second

// tidy ends what programs left behind, and tells of it. A link, a mount and a
// process are told, for they can change what another program finds; files are
// just removed.
func (s *server) tidy() (left []string) {
	left = s.vm.leaks()
	if n := countMounts() - s.system.mounts; n != 0 {
		left = append(left, fmt.Sprintf("%+d mounts", n))
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	for deadline := time.Now().Add(tidyTimeout); ; time.Sleep(time.Millisecond) {
		for pid := 1; pid > 0; {
			pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil)
		}
		if len(children()) == 0 {
			break
		}
		if time.Now().After(deadline) {
			left = append(left, fmt.Sprintf("processes that do not end within %v", tidyTimeout))
			break
		}
	}
	for _, p := range s.system.made {
		_ = os.RemoveAll(p)
	}
	s.system.made = nil
	for _, dir := range []string{"/tmp", "/root", "/dev/shm"} {
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			_ = os.RemoveAll(dir + "/" + f.Name())
		}
	}
	_ = unix.Sethostname([]byte(hostname))
	if os.Getenv(layout.NoLoopback) == "" {
		if err := s.vm.loopbackUp(); err != nil {
			left = append(left, "lo down")
		}
	}
	return left[:min(len(left), wire.MaxLeaks)]
}

// childOf is a process whose parent is PID 1.
type childOf struct{ pid, name, state string }

// children are PID 1's.
func children() (all []childOf) {
	proc, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(proc)
	for _, pid := range names(entries(proc)) {
		if pid[0] < '1' || pid[0] > '9' {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		_, rest, _ := strings.Cut(string(stat), " (")
		i := strings.LastIndex(rest, ") ")
		if i < 0 {
			continue
		}
		if f := strings.Fields(rest[i+2:]); len(f) > 1 && f[1] == "1" {
			all = append(all, childOf{pid, rest[:i], f[0]})
		}
	}
	return all
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // what /proc names is one
	return n
}
