//go:build linux

package qemu

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory is what a VM holds of this machine's, in bytes.
type Memory struct {
	// Shared is of the guest's memory what the VM has read from its image,
	// which all VMs of the image have in common.
	Shared int64
	// Own is of the guest's memory what it has written to.
	Own int64
	// QEMU is the process's own: its heap and its translated code.
	QEMU int64
}

// Memory reads /proc/PID/smaps (Documentation/filesystems/proc.rst).
func (vm *VM) Memory() (m Memory, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", vm.Pid()))
	if err != nil {
		return m, err
	}
	defer f.Close()
	inode := ""
	if vm.image != nil {
		var st unix.Stat_t
		if err := unix.Fstat(int(vm.image.memory.Fd()), &st); err != nil {
			return m, err
		}
		inode = strconv.FormatUint(st.Ino, 10)
	}
	guest := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 2 {
			continue
		}
		if !strings.HasSuffix(w[0], ":") { // address perms offset dev inode path
			guest = len(w) > 4 && w[4] == inode
			continue
		}
		kb, _ := strconv.ParseInt(w[1], 10, 64)
		switch {
		case w[0] == "Anonymous:" && guest: // not dirty, as the file may be, too
			m.Own += kb << 10
		case w[0] == "Rss:" && guest:
			m.Shared += kb << 10
		case w[0] == "Private_Dirty:":
			m.QEMU += kb << 10
		}
	}
	m.Shared -= m.Own
	return m, lines.Err()
}
