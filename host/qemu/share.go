//go:build linux

package qemu

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
)

// share is memory that host and guest both have, above the kernel's own, which
// is told not to use it. What is many megabytes takes that way in the time of a
// copy; the port carries a page at a time. It is a node of memory, and not a
// device's, whose place QEMU would not find again in an image.
type share struct {
	file   *os.File
	memory []byte
}

func newShare() (*share, error) {
	fd, err := unix.MemfdCreate("nlrig-share", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory to share: %w", err)
	}
	s := &share{file: os.NewFile(uintptr(fd), "share")}
	if err = s.file.Truncate(layout.ShareSize); err == nil {
		s.memory, err = unix.Mmap(fd, 0, layout.ShareSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		s.file.Close()
		return nil, fmt.Errorf("memory to share: %w", err)
	}
	return s, nil
}

func (s *share) close() {
	_ = unix.Munmap(s.memory) // cannot fail: it is whole
	s.file.Close()
}

// shareArgs has QEMU take the memory from descriptor fd, beside the one called
// ram.
func (c *Config) shareArgs() []string {
	return []string{
		"-object", fmt.Sprintf("memory-backend-file,id=share,size=%d,mem-path=/proc/self/fd/%d,share=on", layout.ShareSize, c.shareFD()),
		"-numa", fmt.Sprintf("node,nodeid=0,cpus=0-%d,memdev=ram", c.cpus()-1), "-numa", "node,nodeid=1,memdev=share",
	}
}

// shareAt is where it begins, in MiB: behind what the kernel reserves to round
// its own up, which /dev/mem does not show (arch/x86/kernel/e820.c
// ram_alignment).
func (c *Config) shareAt() int {
	const align = 64
	return (c.memory() + align - 1) / align * align
}

// shareWords are the kernel's.
func (c *Config) shareWords() string {
	return fmt.Sprintf(" mem=%dM numa=off %s=%d", c.memory(), layout.Share, c.shareAt()<<20)
}

// shareFD is the descriptor of the memory that is shared, the last in Start's
// order.
func (c *Config) shareFD() int {
	switch {
	case c.Image != nil:
		return 8
	case c.MemoryFile != nil:
		return 7
	}
	return 6
}

// Shared is the memory that the guest has, too; nil for none.
func (vm *VM) Shared() []byte {
	if vm.share == nil {
		return nil
	}
	return vm.share.memory
}

func (vm *VM) unshare() {
	if vm.share != nil {
		vm.share.close()
		vm.share = nil
	}
}
