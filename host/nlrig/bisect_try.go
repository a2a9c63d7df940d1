//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/search"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/cachedir"
	"github.com/nlrig/nlrig/kernels/child"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// oracle plays on the kernels of a row.
type oracle interface {
	search.Oracle
	close()
}

func (b *bisection) oracle(f *fetcher, show *steps) oracle {
	if b.c == nil {
		return &commandOracle{had: had{f, 0}, b: b}
	}
	o := &caseOracle{had: had{f, 0}, b: b, targets: make([]host.Target, len(b.row)), match: regexp.MustCompile(b.match)}
	o.runner = b.runner
	o.runner.Keep = true
	o.runner.Progress = func(e host.Event) {
		if e.Kind == host.Note {
			show.say("%s: %s", e.Target, e.Text)
		}
	}
	return o
}

// had sees to it that a kernel is here.
type had struct {
	*fetcher
	failed int // how many in a row could not be had
}

// maxFailed is how many kernels in a row may fail to come before it is not
// their fault.
const maxFailed = 3

// get returns why kernel i cannot be had, "" for nothing; the error is for what
// would keep any other one from coming, too.
func (h *had) get(ctx context.Context, i int) (skip string, err error) {
	err = h.wait(i)
	full := new(cachedir.FullError)
	switch {
	case err == nil:
		h.failed = 0
		return "", nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, kernels.ErrGone):
		return err.Error(), nil
	case errors.As(err, &full):
		return "", err
	}
	if h.failed++; h.failed == maxFailed {
		return "", fmt.Errorf("%d kernels in a row could not be had: %w", maxFailed, err)
	}
	return err.Error(), nil
}

// caseOracle plays a case in VMs.
type caseOracle struct {
	had
	b       *bisection
	runner  host.Runner
	targets []host.Target // of the row; those without a name are not made yet
	awake   []int         // have a VM that waits, the last one that was used last
	match   *regexp.Regexp
}

const (
	// maxAwake is how many VMs wait: those of the two ends may be asked again.
	maxAwake = 2
	// tryTime is when a try that has one play at least is over: the search asks
	// again if it wants more.
	tryTime = 3 * time.Second
)

func (o *caseOracle) Try(ctx context.Context, i, n int) (s search.Seen, err error) {
	start := time.Now()
	defer func() { s.Seconds = time.Since(start).Round(time.Millisecond).Seconds() }()
	if skip, err := o.get(ctx, i); err != nil || skip != "" {
		return search.Seen{Skip: skip}, err
	}
	if k := o.start(i).kernel; k != nil {
		// A kernel without the modules that are asked for need not boot.
		for _, m := range o.b.c.Modules() {
			if _, err := k.Modules(m); errors.Is(err, kernels.ErrNoModule) {
				return search.Seen{Skip: fmt.Sprintf("requires module %s: %v", m, err)}, nil
			}
		}
	}
	ts, err := o.wake(i)
	if err != nil {
		return s, err
	}
	s.Shown = map[string][]string{}
	var took time.Duration
	for len(s.Keys) < n && (len(s.Keys) == 0 || took < tryTime) {
		column := o.runner.Run(ctx, ts, []*nlcase.Case{o.b.c})[0]
		s.Starts += column.Boots
		s.Notes = append(s.Notes, column.Notes...)
		out := column.Outcomes[0]
		if err := context.Cause(ctx); err != nil {
			return s, err
		}
		switch out.Verdict {
		case host.Infra, host.AccelUnusable:
			if column.Boots == 0 || out.Verdict == host.AccelUnusable {
				return s, fmt.Errorf("%s: %s", column.Target, out.Reason)
			}
			fallthrough
		case host.Skip, host.ConfigMissing, host.BootFail, host.VMCrash:
			if len(s.Keys) == 0 {
				s.Skip = string(out.Verdict) + ": " + out.Reason
			}
			return s, nil
		}
		took += out.Took
		key, shown := o.key(out)
		s.Keys = append(s.Keys, key)
		s.Shown[key] = shown
	}
	return s, nil
}

// wake makes the target of kernel i, and has the VM go that was not used for
// longest.
func (o *caseOracle) wake(i int) ([]host.Target, error) {
	if o.targets[i].Name == "" {
		t, err := targetsOf(o.b.rig, []choice{choice(o.b.row[i])})
		if err != nil {
			return nil, err
		}
		o.targets[i] = t[0]
	}
	for k, j := range o.awake {
		if i == j {
			o.awake = append(o.awake[:k], o.awake[k+1:]...)
			break
		}
	}
	o.awake = append(o.awake, i)
	if len(o.awake) > maxAwake {
		o.end(o.awake[0])
		o.awake = o.awake[1:]
	}
	return o.targets[i : i+1], nil
}

func (o *caseOracle) end(i int) {
	if err := o.runner.End(o.targets[i : i+1]); err != nil {
		o.show.say("%s: %v", o.targets[i].Name, err)
	}
}

func (o *caseOracle) close() {
	for _, i := range o.awake {
		o.end(i)
	}
}

// key is what an outcome is told apart by, and what is shown of it.
func (o *caseOracle) key(out host.Outcome) (key string, shown []string) {
	key = string(out.Verdict)
	if out.Transcript != nil {
		shown = out.Transcript.Lines(out.Case)
	} else {
		shown = append([]string{key + ": " + out.Reason}, out.LastWords...)
	}
	switch {
	case o.b.match != "":
		var lines []string
		for _, l := range shown {
			if o.match.MatchString(l) {
				lines = append(lines, l)
			}
		}
		return sumOf(lines), lines
	case o.b.diff:
		return sumOf(shown[:1], shown), shown
	}
	return key, shown
}

func sumOf(parts ...[]string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%q", p)
	}
	return fmt.Sprintf("%.12x", h.Sum(nil))
}

// commandOracle runs a command for each play.
type commandOracle struct {
	had
	b *bisection
}

// What a command can say, as git bisect run has it.
const (
	exitGood = "good"
	exitBad  = "bad"

	statusSkip  = 125
	statusAbort = 128
)

// shownLines and shownBytes bound what is kept of a command's output: its end.
const shownLines, shownBytes = 40, 1 << 20

func (o *commandOracle) close() {}

func (o *commandOracle) Try(ctx context.Context, i, n int) (s search.Seen, err error) {
	start := time.Now()
	defer func() { s.Seconds = time.Since(start).Round(time.Millisecond).Seconds() }()
	if skip, err := o.get(ctx, i); err != nil || skip != "" {
		return search.Seen{Skip: skip}, err
	}
	s.Shown = map[string][]string{}
	for range n {
		key, skip, shown, err := o.once(ctx, o.row[i].String())
		if err != nil {
			return s, err
		}
		if skip != "" {
			if len(s.Keys) == 0 {
				s.Skip = skip
			}
			return s, nil
		}
		s.Keys = append(s.Keys, key)
		s.Shown[key] = shown
	}
	return s, nil
}

// once runs the command about one kernel.
func (o *commandOracle) once(ctx context.Context, kernel string) (key, skip string, shown []string, err error) {
	argv := filled(o.b.command, kernel)
	if o.b.pkg != "" {
		self, err := os.Executable()
		if err != nil {
			return "", "", nil, err
		}
		argv = o.b.testCommand(self, kernel)
	}
	bounded, cancel := context.WithTimeout(ctx, o.b.timeout)
	defer cancel()
	cmd := child.Command(bounded, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "NLRIG_KERNEL="+kernel)
	cmd.WaitDelay = 5 * time.Second
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	err = child.Run(cmd)
	shown = out.lines()
	status := new(exec.ExitError)
	switch {
	case ctx.Err() != nil:
		return "", "", nil, context.Cause(ctx)
	case bounded.Err() != nil:
		return exitBad, "", append(shown, fmt.Sprintf("no end within %v", o.b.timeout)), nil
	case err == nil && o.b.pkg != "" && !out.passed():
		return "", "no test passed, and none failed" + o.b.named(), shown, nil
	case err == nil:
		return exitGood, "", shown, nil
	case !errors.As(err, &status):
		return "", "", nil, fmt.Errorf("run %s: %w", argv[0], err)
	}
	code := status.ExitCode()
	last := ""
	if len(shown) > 0 {
		last = ": " + shown[len(shown)-1]
	}
	switch {
	case code < 0 || code >= statusAbort:
		return "", "", nil, fmt.Errorf("%s on %s: %v: that is neither good, 0, nor bad, 1 to 127, nor a skip, 125%s", argv[0], kernel, err, last)
	case code == statusSkip, o.b.pkg != "" && code == host.ExitInfra:
		return "", err.Error() + last, nil, nil
	case o.b.pkg != "" && code == host.ExitUsage:
		return "", "", nil, &usageError{strings.Join(shown, "\n")}
	}
	return exitBad, "", shown, nil
}

// testCommand is nlrig test on one kernel, with the options of this nlrig.
func (b *bisection) testCommand(self, kernel string) []string {
	argv := slices.Concat([]string{self, "test", "-count=1", "-v"}, b.given, []string{"-k", kernel})
	if b.test != "" {
		argv = append(argv, "-run", b.test)
	}
	return append(argv, b.pkg)
}

// named says which tests were meant.
func (b *bisection) named() string {
	if b.test == "" {
		return ""
	}
	return ": -run " + b.test
}

// filled is a command with the kernel's name in place of {}.
func filled(command []string, kernel string) []string {
	argv := make([]string, len(command))
	for i, a := range command {
		argv[i] = strings.ReplaceAll(a, "{}", kernel)
	}
	return argv
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - shownBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// passed says that go test -v tells of a test that passed: it is content, too,
// where there is none of that name, or where all are skipped.
// What a test prints may stand before it in the line.
func (t *tail) passed() bool { return bytes.Contains(t.b, []byte("--- PASS: ")) }

func (t *tail) lines() []string {
	text := bytes.TrimRight(t.b, "\n")
	if len(text) == 0 {
		return nil
	}
	lines := strings.Split(string(text), "\n")
	return lines[max(0, len(lines)-shownLines):]
}
