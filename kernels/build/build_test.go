package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/lack"
)

// history is a repository with a commit of each set of files, which are left
// from one to the next.
func history(t *testing.T, commits ...map[string]string) (dir string, hashes []string) {
	t.Helper()
	lack.Tools(t, "git", "gcc")
	for _, x := range tools {
		lack.Tools(t, x.program)
	}
	dir = t.TempDir()
	git := func(arg ...string) string {
		out, err := Git(t.Context(), dir, append([]string{"-c", "user.name=x", "-c", "user.email=x@example.org"}, arg...)...)
		require.NoError(t, err)
		return out
	}
	git("init", "--quiet")
	for _, files := range commits {
		for name, text := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
		git("add", "--all")
		git("commit", "--quiet", "--message", "x")
		hashes = append(hashes, git("rev-parse", "HEAD"))
	}
	return dir, hashes
}

// first are the files of testdata/tree, which is made as Linux is, in no time.
var first = map[string]string{
	"Makefile": read("testdata/tree/Makefile"),
	"a.c":      read("testdata/tree/a.c.txt"),
	"b.c":      read("testdata/tree/b.c.txt"),
	"README":   "one",
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func job(t *testing.T, dir, rev, out string) Job {
	t.Helper()
	tree, err := Resolve(t.Context(), dir, rev)
	require.NoError(t, err)
	x86 := X86
	x86.libraries = nil // which no program of this tree needs
	return Job{Tree: tree, Arch: x86, Dir: out}
}

func build(t *testing.T, j Job) (image string, r Result) {
	t.Helper()
	require.NoError(t, Build(t.Context(), j, func(res Result) error {
		b, err := os.ReadFile(res.Image)
		image, r = string(b), res
		return err
	}))
	return image, r
}

func TestBuild(t *testing.T) {
	dir, commits := history(t, first, map[string]string{"b.c": "int b = 2;"}, map[string]string{"README": "two"})
	out := t.TempDir()
	var lines []string
	j := job(t, dir, commits[0], out)
	j.Progress = func(s string) { lines = append(lines, s) }
	image, r := build(t, j)
	assert.Contains(t, image, "Linux version 6.1.9-rc2 (nlrig@nlrig)")
	assert.Equal(t, []string{"CONFIG_TUN=y"}, r.Absent)
	assert.Contains(t, lines, "CC a.o")
	require.Len(t, r.Builtin, 1)

	second, _ := build(t, job(t, dir, commits[1], out))
	assert.NotEqual(t, image, second)
	third, _ := build(t, job(t, dir, commits[2], out))
	assert.Equal(t, second, third, "no file of the kernel differs")
	compiled, err := os.ReadFile(filepath.Join(filepath.Dir(r.Config), "compiled"))
	require.NoError(t, err)
	assert.Equal(t, "a\nb\nb\n", sorted(string(compiled)), "what has not changed is not compiled again")

	again, _ := build(t, job(t, dir, commits[0], t.TempDir()))
	assert.Equal(t, image, again, "the same in another directory")
	left, err := Git(t.Context(), dir, "status", "--porcelain", "--ignored")
	require.NoError(t, err)
	assert.Empty(t, left, "the repository is only read")
	freed, err := Remove(t.Context(), out)
	require.NoError(t, err)
	assert.Positive(t, freed)
}

// sorted sorts the first two lines, which two processors may have swapped.
func sorted(s string) string {
	if rest, ok := strings.CutPrefix(s, "b\na\n"); ok {
		return "a\nb\n" + rest
	}
	return s
}

func TestBuildFails(t *testing.T) {
	dir, commits := history(t, first, map[string]string{"b.c": "int b = undeclared;"}, map[string]string{"b.c": "int b;"})
	out := t.TempDir()
	err := Build(t.Context(), job(t, dir, commits[1], out), func(Result) error { return nil })
	failed := new(FailedError)
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, commits[1], failed.Commit)
	assert.Contains(t, failed.Lines[0], "undeclared")
	log, err := os.ReadFile(failed.Log)
	require.NoError(t, err)
	assert.Contains(t, string(log), "CC      b.o")
	build(t, job(t, dir, commits[2], out)) // it goes on from there
}

// What a killed make was writing looks finished.
func TestBuildAfterKill(t *testing.T) {
	dir, commits := history(t, first)
	out := t.TempDir()
	j := job(t, dir, commits[0], out)
	image, r := build(t, j)
	place := filepath.Dir(r.Config)
	require.NoError(t, os.WriteFile(filepath.Join(place, "b.o"), []byte("half"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(place, busy), nil, 0o644))
	again, _ := build(t, j)
	assert.Equal(t, image, again)
}

func TestBuildInterrupted(t *testing.T) {
	dir, commits := history(t, map[string]string{"Makefile": first["Makefile"] + "\nb.c:\n\tsleep 600\n", "a.c": first["a.c"]})
	ctx, cancel := context.WithCancel(t.Context())
	j := job(t, dir, commits[0], t.TempDir())
	j.Progress = func(line string) {
		if strings.HasPrefix(line, "sleep") {
			cancel()
		}
	}
	err := Build(ctx, j, func(Result) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, errors.As(err, new(*FailedError)), "it is not the tree's fault")
}

func TestKey(t *testing.T) {
	dir, commits := history(t, first, map[string]string{"b.c": "int b = 2;"}, first)
	key := func(change func(*Job), commit string) string {
		j := job(t, dir, commit, t.TempDir())
		change(&j)
		k, err := j.Key(t.Context())
		require.NoError(t, err)
		return k
	}
	none := func(*Job) {}
	config := filepath.Join(t.TempDir(), "more.config")
	require.NoError(t, os.WriteFile(config, []byte("CONFIG_DUMMY=n\n"), 0o644))
	a := key(none, commits[0])
	assert.NotEqual(t, a, key(none, commits[1]))
	assert.Equal(t, a, key(none, commits[2]), "a commit with the same files")
	assert.NotEqual(t, a, key(func(j *Job) { j.Arch = UML }, commits[0]))
	assert.NotEqual(t, a, key(func(j *Job) { j.Config = config }, commits[0]))
}

func TestResolve(t *testing.T) {
	dir, commits := history(t, first, map[string]string{"Makefile": "all:\n"})
	tree, err := Resolve(t.Context(), dir, "HEAD~1")
	require.NoError(t, err)
	assert.Equal(t, commits[0], tree.Commit)
	assert.Equal(t, "6.1.9-rc2", tree.Version)
	for rev, want := range map[string]string{"HEAD": "not a tree of Linux", "nosuch": "nosuch", "-h": "not a revision", "": "not a revision"} {
		_, err := Resolve(t.Context(), dir, rev)
		assert.ErrorContains(t, err, want, rev)
	}
	_, err = Resolve(t.Context(), t.TempDir(), "HEAD")
	assert.ErrorContains(t, err, "not a git repository")
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := missing(t.Context(), X86, "gcc")
	lacks := new(MissingError)
	require.ErrorAs(t, err, &lacks)
	assert.Contains(t, err.Error(), "apt-get install --no-install-recommends make flex bison bc binutils")
	_, err = chooseCompiler(t.Context(), "6.1")
	require.ErrorAs(t, err, &lacks)
	_, err = Git(t.Context(), t.TempDir(), "status")
	require.ErrorAs(t, err, &lacks)
}

func TestMissingHeader(t *testing.T) {
	var f failures
	f.add("scripts/sign-file.c:25:10: fatal error: openssl/opensslv.h: No such file or directory")
	assert.EqualError(t, f.missing(), "to build a kernel this machine lacks openssl/opensslv.h: apt-get install --no-install-recommends libssl-dev")
	f = failures{}
	f.add("net/core/dev.c:80:10: fatal error: linux/nosuch.h: No such file or directory")
	assert.NoError(t, f.missing(), "a header of the tree's own")
}

// The compiler is one of the tree's day, if there is one.
func TestChooseCompiler(t *testing.T) {
	for _, tt := range []struct {
		have    []string // major versions; "" is gcc itself, of 12
		version string
		want    string
		note    bool
	}{
		{[]string{""}, "6.1.9", "gcc", false},
		{[]string{"", "9", "11"}, "6.1.9", "gcc", false},
		{[]string{"", "9", "11"}, "5.10", "gcc-11", false},
		{[]string{"", "9", "11"}, "5.4.200", "gcc-9", false},
		{[]string{"", "11"}, "5.4.200", "gcc-11", true},
		{[]string{"", "11", "9"}, "4.19", "gcc-9", false},
	} {
		dir := t.TempDir()
		for _, v := range tt.have {
			name, number := "gcc", "12"
			if v != "" {
				name, number = "gcc-"+v, v
			}
			script := "#!/bin/sh\necho " + number + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
		}
		t.Setenv("PATH", dir)
		t.Setenv("CC", "")
		var max = limit(tt.version)
		c, err := chooseCompiler(t.Context(), tt.version)
		require.NoError(t, err)
		assert.Equal(t, tt.want, c.cc, "of %q for %s, at most %d", tt.have, tt.version, max)
		assert.Equal(t, tt.note, c.note != "", "%s: %s", tt.version, c.note)
	}
	t.Setenv("CC", "clang -m64")
	_, err := chooseCompiler(t.Context(), "6.1")
	assert.ErrorContains(t, err, "clang")
}
