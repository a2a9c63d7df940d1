package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/nlrig/nlrig/kernels/child"
)

// Tree is a commit of a repository with Linux in it.
type Tree struct {
	Dir    string // absolute: the repository, or a work tree of it
	Rev    string // as it was given
	Commit string // in hex
	Hash   string // of the commit's tree, in hex: commits with the same files have the same
	// Version is what its Makefile calls it: "6.1.192", "6.13.0-rc2".
	Version string

	common string // absolute: the directory that all work trees share
}

// gitDeadline bounds one run of git, a checkout of the whole tree at most.
const gitDeadline = 10 * time.Minute

// Resolve finds what rev is in the repository at dir.
func Resolve(ctx context.Context, dir, rev string) (Tree, error) {
	t := Tree{Rev: rev}
	fail := func(err error) (Tree, error) { return t, fmt.Errorf("%s@%s: %w", dir, rev, err) }
	var err error
	if t.Dir, err = filepath.Abs(dir); err != nil {
		return fail(err)
	}
	if rev == "" || strings.HasPrefix(rev, "-") {
		return fail(errors.New("not a revision"))
	}
	out, err := Git(ctx, t.Dir, "rev-parse", "--git-common-dir", rev+"^{commit}", rev+"^{tree}")
	if err != nil {
		return fail(err)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 3 {
		return fail(fmt.Errorf("git rev-parse said %q, want a directory, a commit and a tree", out))
	}
	t.common, t.Commit, t.Hash = lines[0], lines[1], lines[2]
	if !filepath.IsAbs(t.common) {
		t.common = filepath.Join(t.Dir, t.common)
	}
	makefile, err := Git(ctx, t.Dir, "cat-file", "blob", t.Commit+":Makefile")
	if err != nil {
		return fail(fmt.Errorf("not a tree of Linux: %w", err))
	}
	if t.Version = versionOf(makefile); t.Version == "" {
		return fail(errors.New("not a tree of Linux: its Makefile has no VERSION and PATCHLEVEL"))
	}
	return t, nil
}

var makeVariable = regexp.MustCompile(`(?m)^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)`)

// versionOf is KERNELVERSION of the top Makefile.
func versionOf(makefile string) string {
	v := map[string]string{}
	for _, m := range makeVariable.FindAllStringSubmatch(makefile, -1) {
		if _, ok := v[m[1]]; !ok {
			v[m[1]] = m[2]
		}
	}
	if v["VERSION"] == "" || v["PATCHLEVEL"] == "" {
		return ""
	}
	s := v["VERSION"] + "." + v["PATCHLEVEL"]
	if v["SUBLEVEL"] != "" {
		s += "." + v["SUBLEVEL"]
	}
	return s + v["EXTRAVERSION"]
}

// place is the directory under dir that is t's repository's alone.
func (t Tree) place(dir string) string {
	sum := sha256.Sum256([]byte(t.common))
	return filepath.Join(dir, hex.EncodeToString(sum[:6]))
}

// checkout puts the files of t in place/src. Files that are the same as before
// are not touched, so that make compiles what has changed. t's repository is
// only read: the index is of a repository of our own, which borrows its
// objects.
func (t Tree) checkout(ctx context.Context, place string) (src string, err error) {
	src = filepath.Join(place, "src")
	gitDir := filepath.Join(place, "git")
	if err := os.MkdirAll(src, 0o755); err != nil {
		return "", err
	}
	ours := []string{"--git-dir=" + gitDir, "--work-tree=" + src}
	if _, err := os.Stat(filepath.Join(gitDir, "HEAD")); err != nil {
		format, err := Git(ctx, t.Dir, "rev-parse", "--show-object-format")
		if err != nil {
			return "", err
		}
		if _, err := Git(ctx, place, append(ours, "init", "--quiet", "--object-format="+format)...); err != nil {
			return "", err
		}
	}
	// The repository may have moved, and come back.
	alternates := filepath.Join(gitDir, "objects", "info", "alternates")
	if err := os.WriteFile(alternates, []byte(filepath.Join(t.common, "objects")+"\n"), 0o644); err != nil {
		return "", err
	}
	// Whoever held it was killed: the caller has the lock.
	if err := os.Remove(filepath.Join(gitDir, "index.lock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	_, err = Git(ctx, place, append(ours, "-c", "gc.auto=0", "checkout", "--quiet", "--force", "--detach", t.Commit)...)
	return src, err
}

// GitError is git's own.
type GitError struct {
	Status int    // its exit status
	Words  string // what it had to say
}

func (e *GitError) Error() string { return fmt.Sprintf("git: exit status %d: %s", e.Status, e.Words) }

// Git runs git in dir and returns what it printed, trimmed. An error is a
// *GitError when git ran to its end. Where a --git-dir is named, no
// configuration of the user's decides about what is done to files.
func Git(ctx context.Context, dir string, arg ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitDeadline)
	defer cancel()
	cmd := child.Command(ctx, "git", arg...)
	cmd.Dir = dir
	for _, e := range os.Environ() {
		// One that runs git bisect may have set GIT_DIR.
		if !strings.HasPrefix(e, "GIT_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	if strings.HasPrefix(arg[0], "--git-dir=") {
		cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = 5 * time.Second
	err := child.Run(cmd)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", &MissingError{Packages: []string{"git"}, What: []string{"git"}}
	case ctx.Err() != nil:
		return "", fmt.Errorf("git: stopped: %w", ctx.Err())
	case err != nil && cmd.ProcessState != nil && cmd.ProcessState.Exited():
		return "", &GitError{cmd.ProcessState.ExitCode(), strings.TrimSpace(complaint.String() + out.String())}
	case err != nil:
		return "", fmt.Errorf("git: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}
