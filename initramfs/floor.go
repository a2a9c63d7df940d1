package initramfs

import (
	"bytes"
	"encoding/binary"

	"github.com/u-root/u-root/pkg/cpio"
)

// Floor returns an initramfs whose init only powers off: the least that a VM
// of a kernel can take, which benchmarks compare with.
func Floor() ([]byte, error) {
	return archive([]cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticRecord(powerOff(), cpio.Info{Name: "init", Mode: cpio.S_IFREG | 0o755}),
	})
}

// powerOff is an executable that calls reboot(LINUX_REBOOT_CMD_POWER_OFF) and then
// loops.
func powerOff() []byte {
	code := []byte{0xb8, 169, 0, 0, 0} // mov eax, __NR_reboot
	arg := func(op byte, v uint32) {
		code = append(code, op)
		code = binary.LittleEndian.AppendUint32(code, v)
	}
	arg(0xbf, 0xfee1dead)                          // mov edi, LINUX_REBOOT_MAGIC1
	arg(0xbe, 672274793)                           // mov esi, LINUX_REBOOT_MAGIC2
	arg(0xba, 0x4321fedc)                          // mov edx, LINUX_REBOOT_CMD_POWER_OFF
	code = append(code, 0x0f, 0x05, 0xeb, -2&0xff) // syscall; jmp $
	return executable(code)
}

// Nothing is an executable that ends at once, and well.
func Nothing() []byte {
	return executable([]byte{0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05}) // mov eax, __NR_exit; xor edi, edi; syscall
}

// executable is an x86-64 ELF file of one segment, which is code.
func executable(code []byte) []byte {
	const base, head = 0x400000, 64 + 56
	var b bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			_ = binary.Write(&b, binary.LittleEndian, x) // a Buffer takes everything
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	put(uint16(2), uint16(62), uint32(1), uint64(base+head), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0))
	size := uint64(head + len(code))
	put(uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000))
	b.Write(code)
	return b.Bytes()
}
