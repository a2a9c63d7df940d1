//go:build linux

package bisect

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/kernels/build"
	"github.com/nlrig/nlrig/vmtest/lack"
)

// line is a repository with n commits in a row.
func line(t *testing.T, n int) (r Repo, commits []string) {
	t.Helper()
	lack.Tools(t, "git")
	r = Repo{t.TempDir()}
	git := func(arg ...string) string {
		out, err := build.Git(t.Context(), r.Dir, append([]string{"-c", "user.name=x", "-c", "user.email=x@example.org"}, arg...)...)
		require.NoError(t, err)
		return out
	}
	git("init", "--quiet")
	for i := range n {
		require.NoError(t, os.WriteFile(filepath.Join(r.Dir, "file"), []byte(strconv.Itoa(i)), 0o644))
		git("add", "file")
		git("commit", "--quiet", "--message", "commit "+strconv.Itoa(i))
		commits = append(commits, git("rev-parse", "HEAD"))
	}
	return r, commits
}

// walk marks what git asks for until something is found.
func walk(t *testing.T, r Repo, as func(commit string) string) (f *Found, asked int) {
	t.Helper()
	for {
		commit, found, err := r.Next(t.Context())
		require.NoError(t, err)
		if found != nil {
			return found, asked
		}
		asked++
		require.Less(t, asked, 100)
		require.NoError(t, r.Mark(t.Context(), as(commit), commit))
	}
}

func TestWalk(t *testing.T) {
	r, commits := line(t, 32)
	at := map[string]int{}
	for i, c := range commits {
		at[c] = i
	}
	for first := 1; first < 32; first += 5 {
		require.NoError(t, r.Start(t.Context(), commits[0], commits[31]))
		left, err := r.Left(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 31, left)
		f, asked := walk(t, r, func(c string) string {
			switch {
			case at[c] == 17:
				return Skip
			case at[c] >= first:
				return Bad
			}
			return Good
		})
		assert.Equal(t, commits[first], f.First)
		assert.LessOrEqual(t, asked, 7)
	}
	text, err := os.ReadFile(filepath.Join(r.Dir, "file"))
	require.NoError(t, err)
	assert.Equal(t, "31", string(text), "the files are left as they are")
	parents, err := r.Parents(t.Context(), commits[31])
	require.NoError(t, err)
	assert.Equal(t, commits[30:31], parents)
	message, err := r.Message(t.Context(), commits[3])
	require.NoError(t, err)
	assert.Contains(t, message, "    commit 3")
	assert.Contains(t, message, "1 file changed")
}

func TestOnlySkipped(t *testing.T) {
	r, commits := line(t, 5)
	require.NoError(t, r.Start(t.Context(), commits[0], commits[4]))
	f, _ := walk(t, r, func(string) string { return Skip })
	assert.Empty(t, f.First)
	assert.ElementsMatch(t, commits[1:], f.Among)
}

// A bisection that a person began is not thrown away, and is gone on with.
func TestUnderWay(t *testing.T) {
	r, commits := line(t, 9)
	_, _, err := r.Next(t.Context())
	assert.ErrorContains(t, err, "no bisection")
	require.NoError(t, r.Start(t.Context(), commits[0], commits[8]))
	require.NoError(t, r.Start(t.Context(), commits[1], commits[8]), "its own makes way")
	for _, arg := range [][]string{{"reset"}, {"start", "HEAD", commits[0]}} {
		_, err = r.git(t.Context(), append([]string{"bisect"}, arg...)...)
		require.NoError(t, err)
	}
	assert.ErrorIs(t, r.Start(t.Context(), commits[0], commits[8]), ErrUnderWay)
	good, bad, err := r.Ends(t.Context())
	require.NoError(t, err)
	assert.Equal(t, commits[:1], good)
	assert.Equal(t, commits[8], bad)
	f, _ := walk(t, r, func(c string) string {
		if c == commits[1] || c == commits[2] {
			return Good
		}
		return Bad
	})
	assert.Equal(t, commits[3], f.First)
}

func TestStartRefuses(t *testing.T) {
	r, commits := line(t, 3)
	assert.ErrorContains(t, r.Start(t.Context(), commits[2], commits[0]), "git")
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bisect", "log.jsonl")
	l, err := OpenLog(path)
	require.NoError(t, err)
	a := Answer{Verdict: string(host.Fail), Exchange: []string{"recv s"}}
	require.NoError(t, l.Add(Key("image", "case"), "c0ffee", "link/mtu", a))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"Key":"half of a li`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	l, err = OpenLog(path)
	require.NoError(t, err)
	got, ok := l.Get(Key("image", "case"))
	assert.True(t, ok)
	assert.Equal(t, a, got)
	_, ok = l.Get(Key("imagecase"))
	assert.False(t, ok)
}

func TestAnswer(t *testing.T) {
	a := Answer{Verdict: string(host.Pass), Exchange: []string{"x"}}
	assert.True(t, a.Tells())
	assert.False(t, Answer{Verdict: string(host.BootFail)}.Tells())
	assert.False(t, Answer{Verdict: string(host.ConfigMissing)}.Tells())
	assert.True(t, a.Alike(Answer{Verdict: a.Verdict, Exchange: []string{"x"}, Reason: "other words"}))
	assert.False(t, a.Alike(Answer{Verdict: a.Verdict, Exchange: []string{"y"}}))
	assert.False(t, a.Alike(Answer{Verdict: string(host.Warn), Exchange: []string{"x"}}))
}
