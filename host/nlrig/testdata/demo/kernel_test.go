package demo

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// vm skips a test that is not in a VM of nlrig's, whose kernel it may break.
func vm(t *testing.T) {
	host, _ := os.Hostname()
	init, _ := os.ReadFile("/proc/1/comm")
	if os.Getenv("NLRIG_KERNEL") == "" || host != "nlrig" || strings.TrimSpace(string(init)) != "init" {
		t.Skip("for a VM only")
	}
	t.Log("breaks", os.Getenv("NLRIG_KERNEL"))
}

func write(t *testing.T, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// survived fails a test whose kernel should not be there any more.
func survived(t *testing.T) {
	time.Sleep(time.Minute)
	t.Error("survived")
}

func TestKernelPanic(t *testing.T) {
	vm(t)
	write(t, "/proc/sysrq-trigger", "c")
	survived(t)
}

// TestKernelUnload takes the module of the port away that nlrig uses, or where
// it is built in, the driver's device.
func TestKernelUnload(t *testing.T) {
	vm(t)
	err := deleteModule("virtio_console", syscall.O_NONBLOCK)
	t.Log("delete_module:", err)
	if err == syscall.EAGAIN || err == syscall.EBUSY { // in use
		err = deleteModule("virtio_console", syscall.O_NONBLOCK|syscall.O_TRUNC) // by force
		t.Log("delete_module by force:", err)
	}
	if err == syscall.ENOENT {
		devices, _ := filepath.Glob("/sys/bus/virtio/drivers/virtio_console/virtio*")
		for _, d := range devices {
			write(t, "/sys/bus/virtio/drivers/virtio_console/unbind", filepath.Base(d))
		}
	}
	survived(t)
}

func deleteModule(name string, flags uintptr) error {
	b := append([]byte(name), 0)
	if _, _, errno := syscall.Syscall(syscall.SYS_DELETE_MODULE, uintptr(unsafe.Pointer(&b[0])), flags, 0); errno != 0 {
		return errno
	}
	return nil
}

// TestKernelOops reads a file of a driver that is no longer there.
func TestKernelOops(t *testing.T) {
	vm(t)
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := deleteModule("tun", syscall.O_NONBLOCK|syscall.O_TRUNC); err != nil {
		t.Fatal(err)
	}
	_, err = f.Read(make([]byte, 10))
	t.Error("survived:", err)
}

// TestKernelLate ends well, right after its kernel has not.
func TestKernelLate(t *testing.T) {
	vm(t)
	_ = exec.Command(os.Args[0], "-test.run=TestKernelOops$").Run() // dies of it
}

// TestKernelHang has all processors run nothing but this.
func TestKernelHang(t *testing.T) {
	vm(t)
	write(t, "/proc/sys/kernel/sched_rt_runtime_us", "-1")
	// From 6.12 on another server sees to it that others get their share.
	fair, _ := filepath.Glob("/sys/kernel/debug/sched/fair_server/cpu*/runtime")
	for _, f := range fair {
		write(t, f, "0")
	}
	cpus, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	if err != nil || len(cpus) == 0 {
		t.Fatal(cpus, err)
	}
	for i := range cpus {
		go func() {
			runtime.LockOSThread()
			mask := uint64(1) << i
			syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, 8, uintptr(unsafe.Pointer(&mask)))
			priority := int32(99)
			syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&priority))) // SCHED_FIFO
			for {
				syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
			}
		}()
	}
	survived(t)
}

// TestKernelSleep has the kernel sleep, with nothing to wake it.
func TestKernelSleep(t *testing.T) {
	vm(t)
	write(t, "/sys/power/state", "freeze")
	survived(t)
}

// TestKernelOff ends the machine in order.
func TestKernelOff(t *testing.T) {
	vm(t)
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		t.Fatal(err)
	}
	survived(t)
}

// TestKernelLeft leaves a mount behind, which is no failure, but another VM
// must take over.
func TestKernelLeft(t *testing.T) {
	vm(t)
	if err := syscall.Mount("left", "/mnt", "tmpfs", 0, ""); err != nil {
		if err := os.Mkdir("/mnt", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("left", "/mnt", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKernelLink leaves a link behind, of a module that is loaded for it.
func TestKernelLink(t *testing.T) {
	vm(t)
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	attr := func(kind uint16, data string) string {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
		b = binary.NativeEndian.AppendUint16(b, kind)
		return string(b) + data + strings.Repeat("\x00", -len(data)&3)
	}
	const kind = 1 // IFLA_INFO_KIND
	body := strings.Repeat("\x00", syscall.SizeofIfInfomsg) + attr(syscall.IFLA_IFNAME, "left") + attr(syscall.IFLA_LINKINFO, attr(kind, "dummy"))
	m := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, syscall.RTM_NEWLINK)
	m = binary.NativeEndian.AppendUint16(m, syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	m = append(append(m, make([]byte, 8)...), body...)
	if err := syscall.Sendto(fd, m, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := syscall.Read(fd, b)
	if err != nil || n < 20 || binary.NativeEndian.Uint32(b[16:]) != 0 {
		t.Fatalf("%v, % x", err, b[:max(n, 0)])
	}
}

// TestKernelMemory takes all there is.
func TestKernelMemory(t *testing.T) {
	vm(t)
	var all [][]byte
	for {
		all = append(all, bytes.Repeat([]byte("x"), 1<<20))
	}
}
