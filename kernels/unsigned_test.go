package kernels

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A module's signature is what stands before its marker and its description of
// 12 bytes (include/linux/module_signature.h), of which the last four are its
// length, in big endian.
func TestUnsigned(t *testing.T) {
	const marker = "~Module signature appended~\n"
	signed := "ELF" + "signature" + "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x09" + marker
	for _, x := range [][3]string{
		{"signed", signed, "ELF"},
		{"unsigned", "ELF", "ELF"},
		{"empty", "", ""},
		{"marker alone", marker, marker},
		{"a length beyond the file", "ELF\x00\x00\x02\x00\x00\x00\x00\x00\xff\xff\xff\xff" + marker, "ELF\x00\x00\x02\x00\x00\x00\x00\x00\xff\xff\xff\xff" + marker},
	} {
		assert.Equal(t, x[2], string(unsigned([]byte(x[1]))), x[0])
	}
}
