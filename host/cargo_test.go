//go:build linux

package host

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/vmtest/wire"
)

func TestTestFlags(t *testing.T) {
	assert.Equal(t, map[string]string{"run": "X", "v": "", "coverprofile": "c.out", "count": "2", "timeout": "1s", "trace": "t"},
		testFlags([]string{"-test.run=X", "-test.v", "-other", "-test.coverprofile", "c.out", "--test.count=2", "-test.timeout", "1s", "-mine", "its-value", "test.cpu", "-test.trace=t"}))
	assert.Empty(t, testFlags([]string{"--", "-test.run=X"}))
	assert.Empty(t, testFlags(nil))
}

// loaded is what a program that is this test's own binary takes along.
func loaded(t *testing.T, dir string, args ...string) *cargo {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &Program{Path: exe, Args: args, Dir: dir, Env: []string{"GOCOVERDIR=/c"}}
	c, err := p.load()
	require.NoError(t, err)
	return c
}

func (c *cargo) paths(under string) (all []string) {
	for _, i := range c.items {
		if rest, ok := strings.CutPrefix(i.path, under+"/"); ok {
			all = append(all, rest)
		}
	}
	return all
}

func TestCargo(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
	}
	write("notes.txt")
	assert.Empty(t, loaded(t, dir).paths(dir), "a directory without Go files is nobody's package")

	write("a_test.go")
	write("sub/b.go")
	write("testdata/deep/c")
	require.NoError(t, os.Symlink("deep/c", filepath.Join(dir, "testdata/link")))
	c := loaded(t, dir, "-test.outputdir=out", "-test.cpuprofile=cpu", "-test.coverprofile=/tmp/cover", "-test.artifacts", "-test.fuzz=F")
	assert.ElementsMatch(t, []string{"notes.txt", "a_test.go", "testdata", "testdata/deep", "testdata/deep/c", "testdata/link", "out", "out/_artifacts"}, c.paths(dir))
	assert.ElementsMatch(t, []back{
		{path: filepath.Join(dir, "out/cpu")}, {path: "/tmp/cover", cover: true}, {path: filepath.Join(dir, "out/_artifacts"), tree: true},
		{path: "/c", tree: true}, {path: filepath.Join(dir, "testdata/fuzz"), tree: true},
	}, c.back)
}

// What links in testdata lead to is there, too, wherever it is.
func TestCargoLinks(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "pkg")
	for _, name := range []string{"pkg/a_test.go", "shared/data/x", "other/y", "file"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(top, name), []byte("x"), 0o644))
	}
	link := func(target, name string) { require.NoError(t, os.Symlink(target, filepath.Join(top, name))) }
	link("shared", "alias")
	link("../alias/data", "pkg/testdata")
	link("../../other", "shared/data/other")
	link("../../shared", "shared/data/up") // where it comes from
	link("nowhere", "shared/data/nowhere")
	link("../file", "pkg/file")
	link("..", "pkg/all") // a directory beside testdata is nobody's
	c := loaded(t, dir)
	assert.ElementsMatch(t, []string{"pkg/a_test.go", "pkg/testdata", "shared/data", "shared/data/x", "shared/data/other", "other", "other/y",
		"shared/data/up", "shared/data/nowhere", "pkg/file", "file", "pkg/all"}, append(c.paths(top), []string{}...)[1:])
	for _, i := range c.items {
		if i.path == filepath.Join(dir, "testdata") {
			assert.Equal(t, filepath.Join(top, "shared/data"), i.target, "alias is not taken along")
		}
	}
}

// TestInputs gives each of several readers all there is.
func TestInputs(t *testing.T) {
	assert.Equal(t, []io.Reader{nil, nil}, (&Program{}).inputs(2))
	text := strings.Repeat("some input\n", 10_000)
	all := (&Program{Stdin: iotest.OneByteReader(strings.NewReader(text))}).inputs(3)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			b, err := io.ReadAll(all[i])
			assert.NoError(t, err)
			assert.Equal(t, text, string(b))
		})
	}
	wg.Wait()
}

func TestCargoRefused(t *testing.T) {
	_, err := (&Program{Path: t.TempDir()}).load()
	assert.ErrorContains(t, err, "is not an executable file")
	_, err = (&Program{Path: "/nothing"}).load()
	assert.ErrorIs(t, err, os.ErrNotExist)
	exe, err := os.Executable()
	require.NoError(t, err)
	_, err = (&Program{Path: exe, Files: []string{"/proc/self/status"}}).load()
	assert.ErrorContains(t, err, "a VM has a /proc of its own")
	object := filepath.Join(t.TempDir(), "x.o")
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	b[16] = 1 // ET_REL
	require.NoError(t, os.WriteFile(object, b, 0o755))
	_, err = (&Program{Path: object}).load()
	assert.ErrorContains(t, err, "its type is ET_REL")
	big := filepath.Join(t.TempDir(), "big")
	require.NoError(t, os.WriteFile(big, nil, 0o644))
	require.NoError(t, os.Truncate(big, MaxCargo+1))
	_, err = (&Program{Path: exe, Files: []string{big}}).load()
	assert.ErrorContains(t, err, "at most 512: "+big)
}

func TestCargoMemory(t *testing.T) {
	for size, want := range map[int64]int{0: 256, 64 << 20: 256, 65 << 20: 512, 200 << 20: 1024} {
		assert.Equal(t, want, (&cargo{size: size}).memory(256), "%d MB", size>>20)
	}
	assert.Equal(t, qemu.MaxMemory, (&cargo{size: MaxCargo}).memory(2000))
	assert.Equal(t, -1, (&cargo{size: MaxCargo}).memory(-1), "which Start refuses")
}

// What a guest sends is written below the directory that was asked for, and
// nowhere else.
func TestReceiver(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.WriteFile(outside, []byte("mine"), 0o644))
	const isDir, isFile = unix.S_IFDIR, unix.S_IFREG
	r := &receiver{path: root, tree: true, left: 100}
	require.NoError(t, r.take(&wire.Content{Mode: isDir}))
	require.NoError(t, os.Symlink("../outside", filepath.Join(root, "link")))
	require.NoError(t, os.Symlink("..", filepath.Join(root, "up")))
	for _, name := range []string{"../outside", "/etc/passwd", "a/../../outside", "link", "up/outside"} {
		assert.Error(t, r.take(&wire.Content{Mode: isFile, Name: name, Data: []byte("x")}), name)
	}
	require.NoError(t, r.take(&wire.Content{Mode: isDir, Name: "a"}))
	require.NoError(t, r.take(&wire.Content{Mode: isFile, Name: "a/b", Data: []byte("12"), More: true}))
	require.NoError(t, r.take(&wire.Content{Mode: isFile, Name: "a/b", Data: []byte("34")}))
	assert.ErrorContains(t, r.take(&wire.Content{Mode: isFile, Name: "c", Data: make([]byte, 200)}), "more than")
	require.NoError(t, r.close())
	b, err := os.ReadFile(filepath.Join(root, "a/b"))
	require.NoError(t, err)
	assert.Equal(t, "1234", string(b))
	b, err = os.ReadFile(outside)
	require.NoError(t, err)
	assert.Equal(t, "mine", string(b))

	file := &receiver{path: filepath.Join(dir, "f"), left: 100}
	assert.Error(t, file.take(&wire.Content{Mode: isDir}))
	assert.Error(t, file.take(&wire.Content{Mode: isFile, Name: "x"}))
	require.NoError(t, file.take(&wire.Content{Mode: isFile, Data: []byte("x")}))
	require.NoError(t, file.close())
}

func TestEnvironment(t *testing.T) {
	ours := []string{"HOME=/home/me", "GODEBUG=x=1", "SECRET=s", "A=1", "AB=2"}
	env := Environment(ours, []string{"A", "B=3", "C"})
	assert.Contains(t, env, "GODEBUG=x=1")
	assert.Contains(t, env, "HOME=/root")
	assert.Equal(t, []string{"A=1", "B=3"}, env[len(env)-2:])
	assert.NotContains(t, strings.Join(env, " "), "SECRET")
	env = Environment(ours, []string{"HOME=/h", "GODEBUG=y=2"})
	assert.Equal(t, []string{"HOME=/h", "GODEBUG=y=2"}, env[len(env)-2:])
	assert.NotContains(t, env, "HOME=/root")
	assert.NotContains(t, env, "GODEBUG=x=1")
}
