package kernels

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// Offsets in the setup header of a bzImage,
// Documentation/arch/x86/boot.rst in the kernel's source.
const (
	offSetupSects    = 0x1f1
	offHeaderMagic   = 0x202 // "HdrS"
	offBootProtocol  = 0x206
	offKernelVersion = 0x20e
	offPayload       = 0x248
	offPayloadLength = 0x24c
	headerEnd        = 0x250
)

// maxVMLinux bounds what a damaged payload can make us write.
const maxVMLinux = 1 << 30

func isBzImage(b []byte) bool {
	return len(b) >= headerEnd && string(b[offHeaderMagic:offHeaderMagic+4]) == "HdrS"
}

func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte(elf.ELFMAG)) }

// bzImageBanner is what the kernel in a bzImage says of itself:
// "6.1.0-56-cloud-amd64 (debian-kernel@...) #1 SMP ... Debian 6.1.192-2 (...)".
func bzImageBanner(b []byte) string {
	at := int(binary.LittleEndian.Uint16(b[offKernelVersion:])) + 0x200
	if at == 0x200 || at >= len(b) {
		return ""
	}
	s := b[at:min(len(b), at+512)]
	s, _, _ = bytes.Cut(s, []byte{0})
	return string(s)
}

var linuxVersion = regexp.MustCompile(`Linux version ([0-9][^\x00\n]{0,500})`)

// vmlinuxBanner is the same for a vmlinux.
func vmlinuxBanner(b []byte) string {
	if m := linuxVersion.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

var compressions = []struct {
	name  string
	magic string
	open  func(io.Reader) (io.Reader, error)
}{
	{"gzip", "\x1f\x8b\x08", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"xz", "\xfd7zXZ\x00", openXZ},
	{"zstd", "\x28\xb5\x2f\xfd", openZstd},
	{"LZ4", "\x02\x21\x4c\x18", func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil }},
	{"bzip2", "BZh", nil},
	{"LZMA", "\x5d\x00\x00", nil},
	{"LZO", "\x89LZO", nil},
}

func openXZ(r io.Reader) (io.Reader, error) { return xz.NewReader(r, xz.DefaultDictMax) }

func openZstd(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(512<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// extractVMLinux decompresses the vmlinux in a bzImage, which the setup
// header locates and whose magic says how it is compressed.
func extractVMLinux(b []byte) ([]byte, error) {
	if !isBzImage(b) {
		return nil, errors.New("not a bzImage")
	}
	if v := binary.LittleEndian.Uint16(b[offBootProtocol:]); v < 0x208 {
		return nil, fmt.Errorf("boot protocol %d.%02d does not say where the payload is; requires 2.08 (Linux 2.6.26)", v>>8, v&0xff)
	}
	sects := int64(b[offSetupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + int64(binary.LittleEndian.Uint32(b[offPayload:]))
	length := int64(binary.LittleEndian.Uint32(b[offPayloadLength:]))
	if length < 8 || start+length > int64(len(b)) {
		return nil, fmt.Errorf("the header says %d bytes of payload at %d, the file has %d", length, start, len(b))
	}
	payload := b[start : start+length]
	// The kernel's build appends the decompressed size; a gzip stream ends
	// in it anyway.
	size := int64(binary.LittleEndian.Uint32(payload[length-4:]))
	for _, c := range compressions {
		if !bytes.HasPrefix(payload, []byte(c.magic)) {
			continue
		}
		if c.open == nil {
			return nil, fmt.Errorf("the payload is compressed with %s, which nlrig does not read (gzip, xz, zstd and LZ4 it does)", c.name)
		}
		if c.name != "gzip" {
			payload = payload[:length-4]
		}
		if size > maxVMLinux {
			return nil, fmt.Errorf("the payload claims to hold %d bytes, more than the %d that nlrig accepts", size, maxVMLinux)
		}
		r, err := c.open(bytes.NewReader(payload))
		if err != nil {
			return nil, fmt.Errorf("%s payload: %w", c.name, err)
		}
		vmlinux := make([]byte, size)
		if n, err := io.ReadFull(r, vmlinux); err != nil {
			return nil, fmt.Errorf("%s payload: %d of %d bytes: %w", c.name, n, size, err)
		}
		if !isELF(vmlinux) {
			return nil, fmt.Errorf("the %s payload is no ELF file, it begins with % x", c.name, vmlinux[:min(4, len(vmlinux))])
		}
		return vmlinux, nil
	}
	return nil, fmt.Errorf("the payload is compressed in a way nlrig does not know, it begins with % x", payload[:min(8, len(payload))])
}

// The note that says where to enter a kernel through PVH,
// include/xen/interface/elfnote.h.
const xenElfnotePhys32Entry = 18

// hasPVH says whether an ELF file has that note, so that QEMU can boot it
// directly.
func hasPVH(vmlinux []byte) bool {
	f, err := elf.NewFile(bytes.NewReader(vmlinux))
	if err != nil {
		return false
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<20 {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err == nil && hasNote(notes, f.ByteOrder, "Xen\x00", xenElfnotePhys32Entry) {
			return true
		}
	}
	return false
}

func hasNote(notes []byte, order binary.ByteOrder, name string, kind uint32) bool {
	align := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= 12 {
		nameLen, descLen := align(order.Uint32(notes)), align(order.Uint32(notes[4:]))
		k := order.Uint32(notes[8:])
		notes = notes[12:]
		if nameLen+descLen > uint64(len(notes)) {
			return false
		}
		if k == kind && string(notes[:min(int(nameLen), len(name))]) == name {
			return true
		}
		notes = notes[nameLen+descLen:]
	}
	return false
}
