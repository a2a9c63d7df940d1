//go:build linux

package guest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const (
	// portPath is the first port of the first virtio-serial device.
	portPath    = "/dev/vport0p1"
	portTimeout = 20 * time.Second
)

// Init is PID 1. It returns only an error, and then the kernel panics, whose
// last words the host reads on the console.
func Init() error {
	started := monotonic()
	if err := mount(); err != nil {
		return err
	}
	if err := loadTransport(); err != nil {
		return err
	}
	loaded := monotonic()
	sum, err := os.ReadFile(layout.AgentSum)
	if err != nil {
		return err
	}
	vm, err := openVM()
	if err != nil {
		return err
	}
	s := &server{vm: vm}
	s.init()
	s.kernel.AllowFaults = true
	s.kernel.LoadModule = s.module
	if os.Getenv(layout.Share) != "" {
		if err := s.system.equip(vm); err != nil { // it is for programs, and so is its image
			return fmt.Errorf("lo: %w", err)
		}
	}
	// From here on the kernel has its modprobe.
	// Where there is such a helper, each link would have the kernel start it.
	_ = os.WriteFile("/sys/kernel/uevent_helper", []byte("\n"), 0)
	if err := s.answerModprobe(); err != nil {
		return fmt.Errorf("modprobe socket: %w", err)
	}
	s.kernel.Entered = vm.entered
	s.kernel.Until = s.untilTold
	hello := helloOf(string(sum))
	hello.Tainted = vm.tainted()
	image := os.Getenv(layout.WarmUp) != ""
	if image {
		s.warmUp()
	}
	vm.begin(firstCase)
	s.kernel.Fresh(func() {
		if image {
			settle()
			s.readLog(allRecords)
		}
		// The host sees the port open, and takes the VM to be ready for its image.
		rw, err := openPort()
		if err != nil {
			s.ended <- err
			return
		}
		s.conn = wire.NewConn(wire.Guest, rw)
		hello.Started, hello.Loaded, hello.Ready = started, loaded, monotonic()
		s.serve(hello)
	})
	return <-s.ended
}

// firstCase is the number that the host gives to the first case of a VM, whose
// namespace is made ahead.
const firstCase = 1

// warmText is a case that finds nothing out.
const warmText = `# Warms up.
# ref: net/netlink/af_netlink.c netlink_rcv_skb
open s route
set  s EXT_ACK 1
send s RTM_GETLINK REQUEST|DUMP|ACK ifinfomsg{}
collect s ...
send s RTM_NEWADDR REQUEST|ACK|CREATE|EXCL ifaddrmsg{family=AF_INET,prefixlen=24,index=1} IFA_LOCAL=10.0.0.1
collect s ...
`

// warmUp plays a case, and what that has the agent and the kernel set up once
// is in the image of the VM: pages, threads, caches. It takes as long as it
// saves, so that a VM without an image goes without.
func (s *server) warmUp() {
	spareThreads()
	s.play(&wire.Play{ID: 1, Name: "warm", Text: []byte(warmText)})
	s.vm.undead() // waits
	// Else each page that is new to the agent costs a fault.
	_ = unix.Mlockall(unix.MCL_CURRENT) // only makes it faster
}

// spareThreads leaves the runtime with threads that wait for work. Else it would
// make them in each VM anew, whenever one blocks in the kernel.
func spareThreads() {
	const n = 6
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			// Not time.Sleep, which keeps no thread.
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		})
	}
	all.Wait()
}

// settle waits until the kernel's workers have done what they put off at boot:
// the last is the calibration of the TSC, a second after its clock began, with
// which tsc takes over from tsc-early.
func settle() {
	for deadline := time.Now().Add(settleTimeout); time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		if name, err := os.ReadFile(clocksource); err != nil || string(name) == "tsc\n" {
			break
		}
	}
	time.Sleep(50 * time.Millisecond)
}

const (
	settleTimeout = 2000 * time.Millisecond
	clocksource   = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
)

// awake makes a VM that was started from its memory one of its own.
func awake(w *wire.Wake) error {
	if w.Time != 0 {
		t := unix.NsecToTimespec(w.Time)
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &t); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
	}
	if len(w.Entropy) == 0 {
		return nil
	}
	fd, err := unix.Open("/dev/random", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// struct rand_pool_info: bits, bytes, and then these.
	info := binary.LittleEndian.AppendUint32(nil, uint32(8*len(w.Entropy)))
	info = binary.LittleEndian.AppendUint32(info, uint32(len(w.Entropy)))
	info = append(info, w.Entropy...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0])))
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), rndReseedCRNG, 0)
	}
	if errno != 0 {
		return fmt.Errorf("seed /dev/random: %w", errno)
	}
	return nil
}

// rndReseedCRNG is RNDRESEEDCRNG of include/uapi/linux/random.h.
const rndReseedCRNG = 0x5207

// monotonic is CLOCK_MONOTONIC in microseconds.
func monotonic() uint32 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail: the buffer is ours
	return uint32(t.Nano() / 1000)
}

func mount() error {
	for _, m := range []struct{ fstype, dir string }{
		{"devtmpfs", "/dev"},
		{"proc", "/proc"},
		{"sysfs", "/sys"},
	} {
		if err := unix.Mount(m.fstype, m.dir, m.fstype, 0, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.dir, err)
		}
	}
	return nil
}

// loadTransport loads what the port needs and the kernel does not have built
// in.
func loadTransport() error {
	files, err := os.ReadDir(layout.ModulesDir) // sorted by name
	if err != nil {
		return err
	}
	for _, f := range files {
		fd, err := unix.Open(layout.ModulesDir+"/"+f.Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.FinitModule(fd, "", 0)
			unix.Close(fd)
		}
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("load %s: %w", f.Name(), err)
		}
	}
	return nil
}

// drivers are those of the port, with the kernel option that each is from.
var drivers = []struct{ dir, option string }{
	{"/sys/bus/pci/drivers/virtio-pci", "CONFIG_VIRTIO_PCI"},
	{"/sys/bus/virtio/drivers/virtio_console", "CONFIG_VIRTIO_CONSOLE"},
}

// openPort waits for the port: its node appears some time after the driver
// is loaded, and answers ENXIO until the host's side is known to be there.
func openPort() (io.ReadWriter, error) {
	if name := os.Getenv(layout.Port); name != "" {
		return openTTYs(name, os.Getenv(layout.Acks))
	}
	for deadline := time.Now().Add(portTimeout); ; time.Sleep(time.Millisecond) {
		fd, err := unix.Open(portPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			return port(fd), nil
		}
		for _, d := range drivers {
			if _, err := os.Stat(d.dir); err != nil {
				return nil, fmt.Errorf("no virtio-serial port: the kernel has no driver for it: it needs %s, built in or as a module that nlrig is given", d.option)
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no virtio-serial port within %v: open %s: %w", portTimeout, portPath, err)
		}
	}
}
