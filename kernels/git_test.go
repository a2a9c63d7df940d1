package kernels

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/kernels/build"
	"github.com/nlrig/nlrig/vmtest/lack"
)

// linux is a repository whose files are made as Linux is, in no time.
func linux(t *testing.T) string {
	t.Helper()
	lack.Tools(t, "git", "make", "gcc", "flex", "bison", "bc")
	dir := filepath.Join(t.TempDir(), "linux@home")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for file, from := range map[string]string{"Makefile": "Makefile", "a.c": "a.c.txt", "b.c": "b.c.txt"} {
		text, err := os.ReadFile(filepath.Join("build/testdata/tree", from))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), text, 0o644))
	}
	commitAll(t, dir)
	return dir
}

func commitAll(t *testing.T, dir string) {
	t.Helper()
	for _, arg := range [][]string{{"init", "--quiet"}, {"add", "--all"},
		{"-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "x"}} {
		_, err := build.Git(t.Context(), dir, arg...)
		require.NoError(t, err)
	}
}

func TestBuiltKernel(t *testing.T) {
	dir := linux(t)
	c, err := Open(Options{Dir: t.TempDir(), Log: t.Logf})
	require.NoError(t, err)
	vs, err := c.Select(t.Context(), "git:"+dir+"@HEAD")
	require.NoError(t, err)
	require.Len(t, vs, 1)
	v := vs[0]
	assert.Equal(t, "git:"+dir+"@HEAD", v.String())
	assert.Equal(t, "6.1.9", v.Version)
	assert.False(t, v.Here)
	var phases []string
	k, err := c.Get(t.Context(), v, func(p Progress) { phases = append(phases, p.Phase) })
	if missing := new(build.MissingError); errors.As(err, &missing) {
		lack.Skip(t, "%v", err)
	}
	require.NoError(t, err)
	assert.Contains(t, phases, "build")
	assert.Equal(t, "6.1.9-rc2", k.Version.Release)
	assert.NotEmpty(t, k.VMLinux)
	value, known := k.ConfigValue("CONFIG_VETH")
	assert.True(t, known)
	assert.Equal(t, "y", value)
	mods, err := k.Modules("veth")
	require.NoError(t, err)
	assert.Empty(t, mods, "built in")

	// Another commit with the same files is the same kernel.
	_, err = build.Git(t.Context(), dir, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--allow-empty", "--message", "y")
	require.NoError(t, err)
	vs, err = c.Select(t.Context(), "git:"+dir)
	require.NoError(t, err)
	assert.True(t, vs[0].Here)
	assert.NotEqual(t, v.Commit, vs[0].Commit)

	// User Mode Linux is another kernel.
	us, err := c.Select(t.Context(), "uml:git:"+dir)
	require.NoError(t, err)
	assert.Equal(t, "uml:git:"+dir+"@HEAD", us[0].String())
	u, err := c.Get(t.Context(), us[0], nil)
	require.NoError(t, err)
	assert.NotEmpty(t, u.UML)
	assert.Empty(t, u.VMLinux)
	assert.True(t, u.Version.UML)
	_, err = c.Remove(t.Context(), us[0])
	require.NoError(t, err)

	vs, err = c.Select(t.Context(), "built")
	require.NoError(t, err)
	require.Len(t, vs, 1)
	assert.Equal(t, "git:"+dir+"@"+v.Commit[:12], vs[0].String())
	freed, err := c.Remove(t.Context(), vs[0])
	require.NoError(t, err)
	assert.Positive(t, freed)
	freed, err = c.RemoveBuilds(t.Context())
	require.NoError(t, err)
	assert.Positive(t, freed)
}

func TestSelectGitRefuses(t *testing.T) {
	dir := linux(t)
	c, err := Open(Options{Dir: t.TempDir()})
	require.NoError(t, err)
	for spec, want := range map[string]string{
		dir + "@nosuch":                         "nosuch",
		dir + "@HEAD,modules=/x":                "not config=FILE",
		dir + "@HEAD,config=" + dir + "/nosuch": "no such file",
		t.TempDir():                             "not a git repository",
	} {
		_, err := c.Select(t.Context(), "git:"+spec)
		require.ErrorIs(t, err, ErrSpec, spec)
		assert.ErrorContains(t, err, want)
	}
}
