//go:build linux

package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/u-root/u-root/pkg/ldd"
)

// A program that a test starts comes by its name, with its libraries.
func TestCargoByName(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	p := &Program{Path: self, Dir: t.TempDir(), Files: []string{"sh"}}
	c, err := p.load()
	require.NoError(t, err)
	path, err := exec.LookPath("sh")
	require.NoError(t, err)
	libs, err := ldd.List(path)
	require.NoError(t, err)
	assert.NotEmpty(t, libs)
	target, err := filepath.EvalSymlinks(path)
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(c.items, func(i item) bool { return i.path == path }), path)
	for _, want := range append(libs, target) {
		assert.True(t, slices.ContainsFunc(c.items, func(i item) bool { return i.path == want && i.mode.IsRegular() }), want)
	}
	p.Files = []string{"no-such-program"}
	_, err = p.load()
	assert.ErrorContains(t, err, "no-such-program is neither a file in "+p.Dir+" nor a program in PATH")
}
