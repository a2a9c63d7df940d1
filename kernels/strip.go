package kernels

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// withoutDebug is a module without what a debugger reads in it, which can be
// three quarters, and which the kernel never looks at. The sections stay, empty,
// so that all others keep their numbers. What is no such file is returned as it
// is.
func withoutDebug(b []byte) []byte {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil || f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian || len(f.Progs) > 0 {
		return b
	}
	var h elf.Header64
	heads := make([]elf.Section64, len(f.Sections))
	if binary.Read(bytes.NewReader(b), binary.LittleEndian, &h) != nil || int(h.Shnum) != len(heads) || h.Shoff > uint64(len(b)) ||
		binary.Read(bytes.NewReader(b[h.Shoff:]), binary.LittleEndian, heads) != nil {
		return b
	}
	out := bytes.NewBuffer(make([]byte, h.Ehsize, len(b)))
	align := func(to uint64) {
		if over := uint64(out.Len()) % max(to, 1); over > 0 {
			out.Write(make([]byte, to-over))
		}
	}
	for i, s := range f.Sections {
		if s.Type == elf.SHT_NULL || s.Type == elf.SHT_NOBITS {
			continue
		}
		if s.Offset > uint64(len(b)) || s.FileSize > uint64(len(b))-s.Offset || s.Addralign > 1<<16 {
			return b
		}
		align(s.Addralign)
		heads[i].Off = uint64(out.Len())
		if name := strings.TrimPrefix(s.Name, ".rela"); strings.HasPrefix(name, ".debug") && s.Flags&elf.SHF_ALLOC == 0 {
			heads[i].Size = 0
			continue
		}
		out.Write(b[s.Offset : s.Offset+s.FileSize])
	}
	align(8)
	h.Shoff = uint64(out.Len())
	_ = binary.Write(out, binary.LittleEndian, heads) // a Buffer takes everything
	var head bytes.Buffer
	_ = binary.Write(&head, binary.LittleEndian, h)
	copy(out.Bytes(), head.Bytes())
	return out.Bytes()
}
