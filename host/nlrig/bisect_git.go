//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/bisect"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/host/search"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/build"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// gitBisect looks for the commit from which on a case has another outcome.
type gitBisect struct {
	rig    *host.Rig
	runner host.Runner
	repo   bisect.Repo
	spec   string // of the kernels, with %s for the commit
	c      *nlcase.Case
	arg    string // as the case was asked for
	log    *bisect.Log
	again  bool // what the log knows does not count

	out   bisectOutputs
	given []string // options, for other commands

	start             time.Time
	good, bad         string                   // the ends, in hex
	answers           map[string]bisect.Answer // by commit
	vms, built, known int
}

// commits is nlrig bisect -git.
func (b *gitBisect) commits(ctx context.Context, good, bad string) error {
	b.answers = map[string]bisect.Answer{}
	if good != "" {
		for _, rev := range []*string{&good, &bad} {
			t, err := build.Resolve(ctx, b.repo.Dir, *rev)
			if err != nil {
				return misuse("%v", err)
			}
			*rev = t.Commit
		}
		if err := b.repo.Start(ctx, good, bad); err != nil {
			return err
		}
	}
	goods, bad, err := b.repo.Ends(ctx)
	if err != nil {
		return misuse("%v", err)
	}
	before, err := b.end(ctx, goods[0], "good")
	if err != nil {
		return err
	}
	after, err := b.end(ctx, bad, "bad")
	if err != nil {
		return err
	}
	b.good, b.bad = goods[0], bad
	if before.Alike(after) {
		if err := b.write(ctx, &search.Result{Outcome: search.Same, Reason: "both ends did the same: there is nothing to look for"}); err != nil {
			return err
		}
		return status(host.ExitNotHeld)
	}
	for {
		commit, found, err := b.repo.Next(ctx)
		if err != nil {
			return err
		}
		if found != nil {
			return b.report(ctx, found)
		}
		if left, err := b.repo.Left(ctx); err == nil {
			b.say("%d commits are left, about %d steps", left, bits.Len(uint(left-1)))
		}
		a, err := b.ask(ctx, commit)
		if err != nil {
			return err
		}
		as := bisect.Bad
		switch {
		case !a.Tells():
			as = bisect.Skip
		case a.Alike(before):
			as = bisect.Good
		}
		b.say("%.12s: %s (%s%s)", commit, as, a.Verdict, reason(a))
		if err := b.repo.Mark(ctx, as, commit); err != nil {
			return err
		}
	}
}

func (b *gitBisect) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func reason(a bisect.Answer) string {
	if a.Reason == "" {
		return ""
	}
	first, _, _ := strings.Cut(a.Reason, "\n")
	return ": " + first
}

// end is the answer of one of the commits that the search begins with, which
// has to tell something.
func (b *gitBisect) end(ctx context.Context, commit, as string) (bisect.Answer, error) {
	a, err := b.ask(ctx, commit)
	if err == nil && !a.Tells() {
		err = fmt.Errorf("the %s commit %.12s tells nothing: %s%s", as, commit, a.Verdict, reason(a))
	}
	if err == nil {
		b.say("%.12s: %s, as you say (%s%s)", commit, as, a.Verdict, reason(a))
	}
	return a, err
}

// ask plays the case on a commit, unless it is known what comes of it. An error
// is this machine's.
func (b *gitBisect) ask(ctx context.Context, commit string) (bisect.Answer, error) {
	if a, ok := b.answers[commit]; ok {
		return a, nil
	}
	a, err := b.find(ctx, commit)
	if err == nil {
		b.answers[commit] = a
	}
	return a, err
}

func (b *gitBisect) find(ctx context.Context, commit string) (bisect.Answer, error) {
	vs, err := b.rig.Catalogue.Select(ctx, fmt.Sprintf(b.spec, commit))
	if err != nil {
		return bisect.Answer{}, err
	}
	v := vs[0]
	failKey := bisect.Key("build", v.Hash)
	if a, ok := b.log.Get(failKey); ok && !b.again && !v.Here {
		b.known++
		return a, nil
	}
	_, live := style(os.Stderr)
	k, err := b.rig.Catalogue.Get(ctx, v, func(p kernels.Progress) {
		if live {
			fmt.Fprintf(os.Stderr, "\r\x1b[K%.12s: %.60s", commit, host.Fetching(p))
		}
	})
	if live {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	if failed := new(build.FailedError); errors.As(err, &failed) {
		a := bisect.Answer{Verdict: string(host.BootFail), Reason: failed.Summary(), LastWords: failed.Lines}
		return a, b.log.Add(failKey, commit, b.c.Name, a)
	}
	if err != nil {
		return bisect.Answer{}, err
	}
	if !v.Here {
		b.built++
	}
	agent, err := b.rig.Agent(ctx) // built once
	if err != nil {
		return bisect.Answer{}, err
	}
	key := bisect.Key(k.Sum, string(b.c.Text), string(agent))
	if a, ok := b.log.Get(key); ok && !b.again {
		b.known++
		return a, nil
	}
	a, err := b.play(ctx, v)
	if err == nil && a.Verdict != string(host.VMCrash) { // which may not come again
		err = b.log.Add(key, commit, b.c.Name, a)
	}
	return a, err
}

// play plays the case in a VM of its own.
func (b *gitBisect) play(ctx context.Context, v kernels.Version) (bisect.Answer, error) {
	targets, err := targetsOf(b.rig, []choice{{version: v}})
	if err != nil {
		return bisect.Answer{}, err
	}
	columns := b.runner.Run(ctx, targets, []*nlcase.Case{b.c})
	b.vms += columns[0].Boots
	o := columns[0].Outcomes[0]
	a := bisect.AnswerOf(o)
	if o.Verdict == host.Infra || o.Verdict == host.AccelUnusable {
		return a, fmt.Errorf("%s: %s", v, o.Reason)
	}
	return a, nil
}

// report says what was found.
func (b *gitBisect) report(ctx context.Context, f *bisect.Found) error {
	r := &search.Result{Outcome: search.Found}
	var good string
	if f.First == "" {
		var names []string
		for _, c := range f.Among {
			names = append(names, c[:short])
		}
		r.Outcome = search.Broken
		r.Reason = "it changed with one of these commits, which cannot be told apart: " + strings.Join(names, ", ")
	} else {
		var err error
		if good, err = b.lastGood(ctx, f.First); err != nil {
			return err
		}
		message, err := b.repo.Message(ctx, f.First)
		if err != nil {
			return err
		}
		r.Changes = []search.Change{{
			Last: good[:short], First: f.First[:short], From: search.Good, To: search.Bad,
			FromKey: b.answers[good].Verdict, ToKey: b.answers[f.First].Verdict,
			Before: b.answers[good].Exchange, After: b.answers[f.First].Exchange,
			Commit: strings.Split(message, "\n"),
			Command: report.ShellWords(slices.Concat([]string{"nlrig", "diff"}, b.given,
				[]string{"-k", fmt.Sprintf(b.spec, good[:short]) + "," + fmt.Sprintf(b.spec, f.First[:short]), b.arg})...),
		}}
	}
	if err := b.write(ctx, r); err != nil {
		return err
	}
	if f.First == "" {
		return status(host.ExitInfra)
	}
	return b.confirm(ctx, good, f.First)
}

// short is how much of a commit's name is shown.
const short = 12

// write completes a report with what was asked, and writes it.
func (b *gitBisect) write(ctx context.Context, r *search.Result) error {
	row, err := b.repo.Row(ctx, b.good, b.bad)
	if err != nil {
		return err
	}
	r.Mode, r.Of = search.Commits, len(row)
	r.Starts, r.Built, r.Known, r.Seconds = b.vms, b.built, b.known, time.Since(b.start).Seconds()
	for _, commit := range row {
		a, ok := b.answers[commit]
		if !ok {
			continue
		}
		k := search.Kernel{Name: commit[:short], State: search.Bad, Key: a.Verdict}
		switch {
		case !a.Tells():
			k.State, k.Skip = search.Skip, a.Verdict+reason(a)
		case a.Alike(b.answers[b.good]):
			k.State, k.Good = search.Good, 1
		default:
			k.Bad = 1
		}
		r.Plays += k.Good + k.Bad
		if k.Subject, err = b.repo.Subject(ctx, commit); err != nil {
			return err
		}
		r.Kernels = append(r.Kernels, k)
	}
	return b.out.write(&search.Report{
		Version: search.Version, Question: b.c.Name + ": the exchange", GoodEnd: b.good[:short], BadEnd: b.bad[:short], Result: r,
	})
}

// confirm has the two commits answer once more, each in another VM, unless this
// run has asked none.
func (b *gitBisect) confirm(ctx context.Context, commits ...string) error {
	if b.vms == 0 {
		return nil
	}
	for _, c := range commits {
		vs, err := b.rig.Catalogue.Select(ctx, fmt.Sprintf(b.spec, c))
		if err != nil {
			return err
		}
		a, err := b.play(ctx, vs[0])
		if err != nil {
			return err
		}
		if !a.Alike(b.answers[c]) {
			fmt.Printf("%.12s did something else when it was asked once more (%s%s): what was found is not certain\n", c, a.Verdict, reason(a))
			return status(host.ExitInfra)
		}
	}
	return nil
}

// lastGood is the parent of the first bad commit that did as the good ones.
func (b *gitBisect) lastGood(ctx context.Context, first string) (string, error) {
	parents, err := b.repo.Parents(ctx, first)
	if err != nil || len(parents) == 0 {
		return "", fmt.Errorf("parents of %.12s: %w", first, err)
	}
	bad := b.answers[first]
	for _, p := range parents {
		if a, err := b.ask(ctx, p); err == nil && a.Tells() && !a.Alike(bad) {
			return p, nil
		}
	}
	return parents[0], nil
}

// bisectGit is nlrig bisect with -git among its flags.
func bisectGit(ctx context.Context, args []string) error {
	var o options
	var good, bad string
	b := gitBisect{runner: host.Runner{Slots: 1}}
	f := newFlags("bisect", "-git DIR [-good REV -bad REV] CASE", &o)
	o.vmFlags(f)
	f.StringVar(&b.repo.Dir, "git", "", "`directory` of a repository with a kernel's source")
	f.StringVar(&good, "good", "", "`revision` from which on all was well, as far as it is known; without one and -bad, the bisection that is under way goes on")
	f.StringVar(&bad, "bad", "", "`revision` where it is no more")
	uml := f.Bool("uml", false, "build User Mode Linux, and not kernels for QEMU")
	config := f.String("config", "", "`file` with options for the kernels beside those of nlrig")
	f.BoolVar(&b.again, "again", false, "play anew what is known of bisections before")
	f.DurationVar(&b.runner.CaseTimeout, "timeout", host.DefaultCaseTimeout, "time for the case")
	f.DurationVar(&b.runner.BootTimeout, "boot-timeout", host.DefaultBootTimeout, "time for one boot")
	f.Var(&b.out, "o", outputUsage)
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() != 1 || (good == "") != (bad == "") {
		return misuse("bisect wants one case, and both -good and -bad or none of them: nlrig bisect -git DIR -good v6.11 -bad v6.12 link/rename-up")
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return misuse("bisect wants one case, %s is %d", f.Arg(0), len(list))
	}
	b.c, b.arg, b.given = list[0], f.Arg(0), shared(f)
	b.start = time.Now()
	if b.repo.Dir, err = filepath.Abs(b.repo.Dir); err != nil {
		return err
	}
	b.spec = "git:" + strings.ReplaceAll(b.repo.Dir, "%", "%%") + "@%s"
	if *uml {
		b.spec = "uml:" + b.spec
	}
	if *config != "" {
		b.spec += ",config=" + strings.ReplaceAll(*config, "%", "%%")
	}
	o.cold = true // each kernel is booted once
	if b.rig, err = o.rig(b.say); err != nil {
		return err
	}
	b.runner.Console = filepath.Join(o.cache, "console")
	if b.log, err = bisect.OpenLog(filepath.Join(o.cache, "bisect", "log.jsonl")); err != nil {
		return err
	}
	return b.commits(ctx, good, bad)
}
