//go:build linux

package bisect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nlrig/nlrig/kernels/build"
)

// Repo is a bisection by git bisect in a repository, whose files are left as
// they are (--no-checkout): git bisect log and git bisect visualize show it at
// any time, and what a person marks there counts.
type Repo struct{ Dir string }

// What a commit can be marked as.
const (
	Good = "good"
	Bad  = "bad"
	Skip = "skip"
)

// Found is how a bisection ended. One of the two is empty.
type Found struct {
	First string   // the first bad commit
	Among []string // the commits one of which it is: the others tell nothing
}

// ErrUnderWay is that of a repository with a bisection that is not nlrig's.
var ErrUnderWay = errors.New("a git bisect is under way")

// ours is a file beside git's own of a bisection. It says how Start began it, as
// git's log does.
const ours = "nlrig-bisect"

// Start begins to look between two commits, given in hex. One that Start began
// before makes way; another does not, and is ErrUnderWay.
func (r Repo) Start(ctx context.Context, good, bad string) error {
	mark, err := r.path(ctx, ours)
	if err != nil {
		return err
	}
	if log, err := r.git(ctx, "bisect", "log"); err == nil {
		if began, err := os.ReadFile(mark); err != nil || !strings.Contains(log, string(began)) {
			return fmt.Errorf("%w in %s, and not nlrig's: go on with it by leaving out -good and -bad, or end it with git -C %s bisect reset", ErrUnderWay, r.Dir, r.Dir)
		}
		if _, err := r.git(ctx, "bisect", "reset"); err != nil {
			return err
		}
	}
	if err := os.WriteFile(mark, fmt.Appendf(nil, "git bisect start '--no-checkout' '%s' '%s'", bad, good), 0o644); err != nil {
		return err
	}
	_, err = r.git(ctx, "bisect", "start", "--no-checkout", bad, good)
	return err
}

// Next is the commit to be judged, in hex, or what was found.
func (r Repo) Next(ctx context.Context) (commit string, found *Found, err error) {
	log, err := r.git(ctx, "bisect", "log")
	if err != nil {
		return "", nil, fmt.Errorf("no bisection in %s: begin one with -good REV -bad REV: %w", r.Dir, err)
	}
	if found := ended(log); found != nil {
		return "", found, nil
	}
	for _, ref := range []string{"BISECT_HEAD", "HEAD"} {
		if commit, err = r.git(ctx, "rev-parse", "--verify", "--quiet", ref+"^{commit}"); err == nil {
			break
		}
	}
	return commit, nil, err
}

// Mark says what commit is.
func (r Repo) Mark(ctx context.Context, as, commit string) error {
	_, err := r.git(ctx, "bisect", as, commit)
	var only *build.GitError
	if errors.As(err, &only) && only.Status == onlySkipped {
		return nil // Next tells
	}
	return err
}

// onlySkipped is git's exit status when there is nothing left but what was
// skipped.
const onlySkipped = 2

// Ends are the commits that are known to be good, and the bad one, as git has
// them.
func (r Repo) Ends(ctx context.Context) (good []string, bad string, err error) {
	refs, err := r.git(ctx, "for-each-ref", "--format=%(refname) %(objectname)", "refs/bisect")
	for line := range strings.Lines(refs) {
		name, commit, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name = strings.TrimPrefix(name, "refs/bisect/"); {
		case name == Bad:
			bad = commit
		case strings.HasPrefix(name, Good+"-"):
			good = append(good, commit)
		}
	}
	if err == nil && (len(good) == 0 || bad == "") {
		err = fmt.Errorf("no bisection with a good and a bad commit in %s: begin one with -good REV -bad REV", r.Dir)
	}
	return good, bad, err
}

// Left is how many commits there are to choose from.
func (r Repo) Left(ctx context.Context) (int, error) {
	good, bad, err := r.Ends(ctx)
	if err != nil {
		return 0, err
	}
	out, err := r.git(ctx, append([]string{"rev-list", "--count", bad, "--not"}, good...)...)
	if err != nil {
		return 0, err
	}
	n := 0
	_, err = fmt.Sscan(out, &n)
	return n, err
}

// Row is the commits from good to bad, both of them, parents first.
func (r Repo) Row(ctx context.Context, good, bad string) ([]string, error) {
	out, err := r.git(ctx, "rev-list", "--topo-order", "--reverse", "^"+good, bad)
	return append([]string{good}, strings.Fields(out)...), err
}

// Parents are those of a commit.
func (r Repo) Parents(ctx context.Context, commit string) ([]string, error) {
	out, err := r.git(ctx, "rev-parse", commit+"^@")
	return strings.Fields(out), err
}

// Message is a commit's, with who made it and which files it changed.
func (r Repo) Message(ctx context.Context, commit string) (string, error) {
	out, err := r.git(ctx, "show", "--stat=100", "--no-color", "--format=commit %H%nAuthor: %an <%ae>%nDate:   %ad%n%n%w(0,4,4)%B", commit)
	return strings.ReplaceAll(out, "\n\n\n", "\n\n"), err
}

// Subject is the first line of a commit's message.
func (r Repo) Subject(ctx context.Context, commit string) (string, error) {
	return r.git(ctx, "show", "--no-patch", "--no-color", "--format=%s", commit)
}

func (r Repo) path(ctx context.Context, name string) (string, error) {
	out, err := r.git(ctx, "rev-parse", "--git-path", name)
	if err == nil && !filepath.IsAbs(out) {
		out = filepath.Join(r.Dir, out)
	}
	return out, err
}

func (r Repo) git(ctx context.Context, arg ...string) (string, error) {
	return build.Git(ctx, r.Dir, arg...)
}

var (
	firstBad = regexp.MustCompile(`(?m)^# first bad commit: \[([0-9a-f]+)\]`)
	possible = regexp.MustCompile(`(?m)^# possible first bad commit: \[([0-9a-f]+)\]`)
)

// ended reads out of git's log of a bisection what it found, nil for not yet.
func ended(log string) *Found {
	if m := firstBad.FindStringSubmatch(log); m != nil {
		return &Found{First: m[1]}
	}
	var f Found
	for _, m := range possible.FindAllStringSubmatch(log, -1) {
		f.Among = append(f.Among, m[1])
	}
	if f.Among == nil {
		return nil
	}
	return &f
}
