package gotest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMergeProfiles(t *testing.T) {
	dir := t.TempDir()
	profile := func(kernels string) string {
		name := filepath.Join(dir, kernels)
		_, status := command(kernels, shapes, "-test.run=TestPass", "-test.coverprofile="+name)
		require.Zero(t, status)
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(b)
	}
	a, b, both := profile("6.1"), profile("6.12"), profile("6.1,6.12")
	var got bytes.Buffer
	require.NoError(t, MergeProfiles(&got, strings.NewReader(a), strings.NewReader(""), strings.NewReader(b)))
	assert.Equal(t, both, got.String())
	assert.NotEqual(t, both, a)

	name := filepath.Join(dir, "merged")
	require.NoError(t, os.WriteFile(name, got.Bytes(), 0o600))
	out, err := goTool("tool", "cover", "-func="+name).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Regexp(t, `total:\s+\(statements\)\s+80.0%`, string(out))
}

func TestMergeProfilesSums(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, MergeProfiles(&got,
		strings.NewReader("mode: count\na/b/y.go:1.1,2.2 1 3\na/z.go:1.1,2.2 1 3\n"),
		strings.NewReader("mode: count\na/z.go:1.1,2.2 1 4\na/z.go:1.1,1.9 2 0\n")))
	assert.Equal(t, "mode: count\na/z.go:1.1,1.9 2 0\na/z.go:1.1,2.2 1 7\na/b/y.go:1.1,2.2 1 3\n", got.String())

	got.Reset()
	require.NoError(t, MergeProfiles(&got, strings.NewReader("")))
	assert.Empty(t, got.String())
	assert.ErrorContains(t, MergeProfiles(io.Discard, strings.NewReader("mode: set\n"), strings.NewReader("mode: count\n")), "-covermode")
	assert.ErrorContains(t, MergeProfiles(io.Discard, strings.NewReader("mode: set\nrubbish\n")), "coverage profile 0: ")
}
