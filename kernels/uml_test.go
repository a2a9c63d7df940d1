package kernels

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// userModeLinux is a program with a banner and, in the way of CONFIG_IKCONFIG,
// its configuration.
func userModeLinux(release, config string) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte(config))
	w.Close()
	return elfFile(sectionUML, []byte("Linux version "+release+" (test) #1\n\x00IKCFG_ST"+packed.String()+"IKCFG_ED"), nil)
}

// A package of User Mode Linux becomes a kernel whose version is that of the
// source it was built of.
func TestUMLOfAMirror(t *testing.T) {
	m := newMirror(t)
	const modules = "usr/" + debModulesUML + "6.1.176/"
	m.add(t, packageUML, "6.1um4+b13", map[string][]byte{
		"usr/" + debUML:             userModeLinux("6.1.176", "CONFIG_UML=y\nCONFIG_BRIDGE=m\n"),
		modules + "modules.builtin": []byte("kernel/net/llc.ko\n"),
		modules + "kernel/stp.ko":   module("name=stp", "depends=llc"),
		"usr/share/doc/x/changelog": []byte("not wanted"),
	})
	m.add(t, packageUML+"-doc", "6.1um4", map[string][]byte{"usr/share/doc/x": []byte("x")})
	m.publish(t, strings.Replace(m.packages.String(), "Package: "+packageUML+"\n",
		"Package: "+packageUML+"\nDepends: libc6 (>= 2.34), libx\nBuilt-Using: gcc-12 (= 12.2.0), linux (= 6.1.176-1)\n", 1))
	c, _ := m.open(t, t.TempDir())
	vs, err := c.Select(t.Context(), "uml:6.1")
	require.NoError(t, err)
	require.Len(t, vs, 1)
	v := vs[0]
	assert.Equal(t, "uml:6.1.176", v.String())
	assert.Equal(t, "6.1.176-uml", v.Entry())
	assert.Equal(t, "2.34", v.Libc)
	assert.True(t, v.UML)

	k, err := c.Get(t.Context(), v, nil)
	require.NoError(t, err)
	assert.Equal(t, "6.1.176", k.Version.Release)
	assert.Empty(t, k.Version.Libc, "this program wants none")
	assert.Empty(t, k.VMLinux+k.BzImage)
	st, err := os.Stat(k.UML)
	require.NoError(t, err)
	assert.NotZero(t, st.Mode()&0o100, "it can be executed")
	value, known := k.ConfigValue("CONFIG_BRIDGE")
	assert.True(t, known)
	assert.Equal(t, "m", value)
	stp, err := k.Modules("stp")
	require.NoError(t, err)
	assert.Len(t, stp, 1)

	for spec, want := range map[string]string{
		"uml:6.1.176": "uml:6.1.176", "uml:6.1..6.12": "uml:6.1.176", "uml:all": "uml:6.1.176", "uml:newest": "uml:6.1.176",
		"all": "6.1.42", "6.1": "6.1.42",
	} {
		vs, err := c.Select(t.Context(), spec)
		require.NoError(t, err, spec)
		require.Len(t, vs, 1, spec)
		assert.Equal(t, want, vs[0].String(), spec)
	}
	for _, spec := range []string{"uml:6.2", "uml:", "uml:x", "uml:6.1/amd64"} {
		_, err := c.Select(t.Context(), spec)
		require.ErrorIs(t, err, ErrSpec, spec)
	}
	freed, err := c.Remove(t.Context(), v)
	require.NoError(t, err)
	assert.NotZero(t, freed)
}

// A file is told apart by what is in it.
func TestUMLOfAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "linux")
	require.NoError(t, os.WriteFile(file, userModeLinux("6.12.3", "CONFIG_UML=y\n"), 0o644))
	c, err := Open(Options{Dir: filepath.Join(dir, "cache"), Log: t.Logf})
	require.NoError(t, err)
	vs, err := c.Select(t.Context(), "file:"+file)
	require.NoError(t, err)
	assert.True(t, vs[0].UML)
	assert.Equal(t, "6.12.3", vs[0].Version)
	k, err := c.Get(t.Context(), vs[0], nil)
	require.NoError(t, err)
	assert.NotEmpty(t, k.UML)
	assert.Equal(t, "6.12.3", k.Version.Release)

	other := filepath.Join(dir, "vmlinux")
	require.NoError(t, os.WriteFile(other, vmlinux("6.12.3", true), 0o644))
	vs, err = c.Select(t.Context(), "file:"+other)
	require.NoError(t, err)
	assert.False(t, vs[0].UML)
}
