//go:build linux

package host

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExecutable(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, executable(self))
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	binary.LittleEndian.PutUint16(b[18:], 183) // e_machine
	path := filepath.Join(t.TempDir(), "p")
	require.NoError(t, os.WriteFile(path, b, 0o755))
	assert.ErrorContains(t, executable(path), "is for EM_AARCH64, and a VM is x86-64")
	require.NoError(t, os.Truncate(path, 0))
	assert.ErrorContains(t, executable(path), "is not an ELF file")
}

func TestTooMuchCargo(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	big := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(big)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(MaxCargo)) // sparse
	require.NoError(t, f.Close())
	_, err = (&Program{Path: self, Files: []string{big}}).load()
	require.ErrorIs(t, err, ErrProgram)
	assert.ErrorContains(t, err, "MB, at most 512: "+big+" 512 MB, ")
}
