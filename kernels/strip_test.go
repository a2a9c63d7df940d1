package kernels

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/lack"
)

// Everything but what a debugger reads stays, under the same number.
func TestWithoutDebug(t *testing.T) {
	lack.Tools(t, "gcc")
	dir := t.TempDir()
	source, object := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	require.NoError(t, os.WriteFile(source, []byte("int a = 3; static int z[100]; extern int f(int *);\nint g(void) { return f(z) + a; }\n"), 0o644))
	out, err := exec.Command("gcc", "-g", "-O2", "-c", "-o", object, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	before, err := os.ReadFile(object)
	require.NoError(t, err)

	after := withoutDebug(before)
	assert.Less(t, len(after), len(before)*3/4)
	x, err := elf.NewFile(bytes.NewReader(before))
	require.NoError(t, err)
	y, err := elf.NewFile(bytes.NewReader(after))
	require.NoError(t, err)
	require.Len(t, y.Sections, len(x.Sections))
	for i, s := range x.Sections {
		now := y.Sections[i]
		assert.Equal(t, s.Name, now.Name)
		if strings.Contains(s.Name, ".debug") {
			assert.Zero(t, now.Size, s.Name)
			continue
		}
		want, got := s.SectionHeader, now.SectionHeader
		want.Offset, got.Offset = 0, 0
		assert.Equal(t, want, got)
		if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
			continue
		}
		data, err := s.Data()
		require.NoError(t, err)
		kept, err := now.Data()
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data, kept), s.Name)
	}
	assert.Equal(t, after, withoutDebug(after), "a second time changes nothing")
	for _, b := range [][]byte{nil, []byte("\x7fELF"), before[:len(before)-10], module("name=x")} {
		assert.NotPanics(t, func() { withoutDebug(b) })
	}
}
