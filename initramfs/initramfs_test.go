//go:build linux

package initramfs

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/u-root/u-root/pkg/cpio"
)

// maxAgent is what the agent may weigh, in bytes.
const maxAgent = 4 << 20

func records(t *testing.T, archive []byte) map[string]cpio.Record {
	t.Helper()
	all, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	require.NoError(t, err)
	m := map[string]cpio.Record{}
	for _, r := range all {
		assert.Zero(t, r.MTime, r.Name)
		assert.NotContains(t, m, r.Name)
		m[r.Name] = r
	}
	return m
}

func content(t *testing.T, r cpio.Record) string {
	t.Helper()
	b := make([]byte, r.FileSize)
	_, err := r.ReadAt(b, 0)
	require.NoError(t, err)
	return string(b)
}

func TestPack(t *testing.T) {
	agent := []byte("an agent")
	archive, err := Pack(agent, []Module{{"virtio_ring", []byte("a")}, {"virtio", []byte("b")}})
	require.NoError(t, err)
	r := records(t, archive)
	assert.Equal(t, "an agent", content(t, r["init"]))
	assert.EqualValues(t, cpio.S_IFREG|0o755, r["init"].Mode)
	assert.NotContains(t, r, "sbin/modprobe", "the kernel would start it while it boots")
	assert.EqualValues(t, cpio.S_IFCHR, r["dev/console"].Mode&cpio.S_IFMT)
	assert.Equal(t, Sum(agent), content(t, r["agent.sha256"]))
	assert.Equal(t, "a", content(t, r["modules/00-virtio_ring.ko"]), "load order is the names' order")
	assert.Equal(t, "b", content(t, r["modules/01-virtio.ko"]))
}

// Two builds from two copies of the source in different directories are the
// same to the byte.
func TestReproducible(t *testing.T) {
	source, err := filepath.Abs("..")
	require.NoError(t, err)
	images := make([][]byte, 2)
	for i, name := range []string{"one", "a-longer-name/two"} {
		dir := filepath.Join(t.TempDir(), name)
		copySource(t, source, dir)
		t.Chdir(dir)
		agent, err := buildAgent(t.Context(), filepath.Join(dir, "cache"))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(agent), maxAgent)
		assert.NotContains(t, string(agent), dir, "a path of the machine that built it")
		img, err := Build(filepath.Join(dir, "images"), agent, []Module{{"virtio", []byte("x")}})
		require.NoError(t, err)
		images[i], err = os.ReadFile(img.Path)
		require.NoError(t, err)
		assert.Equal(t, img.Sum, Sum(images[i]))
		left, err := os.ReadDir(filepath.Join(dir, "cache"))
		require.NoError(t, err)
		assert.Len(t, left, 1, "only the lock is left")
	}
	assert.True(t, bytes.Equal(images[0], images[1]))
}

func copySource(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "bin" {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, path[len(from):]), 0o755)
		}
		if strings.HasSuffix(path, "_test.go") || filepath.Ext(path) == ".bin" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path[len(from):]), b, 0o644)
	}))
}

// A stored image that was damaged is written again.
func TestStoreMendsDamage(t *testing.T) {
	dir := t.TempDir()
	img, err := Store(dir, []byte("an archive"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(img.Path, []byte("an Archive"), 0o644))
	again, err := Store(dir, []byte("an archive"))
	require.NoError(t, err)
	assert.Equal(t, img, again)
	b, err := os.ReadFile(img.Path)
	require.NoError(t, err)
	assert.Equal(t, "an archive", string(b))
}

func TestFloorIsAnExecutable(t *testing.T) {
	archive, err := Floor()
	require.NoError(t, err)
	f, err := elf.NewFile(strings.NewReader(content(t, records(t, archive)["init"])))
	require.NoError(t, err)
	assert.Equal(t, elf.EM_X86_64, f.Machine)
	require.Len(t, f.Progs, 1)
	assert.Equal(t, f.Progs[0].Vaddr+120, f.Entry)
	assert.Equal(t, f.Progs[0].Filesz, f.Progs[0].Memsz)
}
