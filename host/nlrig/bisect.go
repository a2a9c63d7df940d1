//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/host/search"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

const bisectSynopsis = "-good A -bad B [-diff | -match REGEX] CASE | -test PKG [-run NAME] | -- COMMAND..."

// bisection is nlrig bisect over versions.
type bisection struct {
	options
	rig       *host.Rig
	runner    host.Runner
	search    search.Search
	row       []end // the kernels from the one end to the other, oldest first
	good, bad string
	here      bool

	diff      bool
	match     string
	pkg, test string
	command   []string // after --
	c         *nlcase.Case
	arg       string   // as the case was asked for
	given     []string // options, for other commands
	timeout   time.Duration

	logFile string
	restart bool
	out     bisectOutputs
}

// bisectCommand is nlrig bisect: over commits with -git, over versions else.
func bisectCommand(ctx context.Context, args []string) error {
	command := []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		args, command = args[:i], args[i+1:]
		if len(command) == 0 {
			return misuse("bisect: no command follows --")
		}
	}
	for _, a := range args {
		if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); name == "git" && strings.HasPrefix(a, "-") {
			return bisectGit(ctx, args)
		}
	}
	b := bisection{command: command}
	if err := b.parse(args); err != nil {
		return err
	}
	return b.run(ctx)
}

func (b *bisection) parse(args []string) error {
	f := newFlags("bisect", bisectSynopsis, &b.options)
	b.vmFlags(f)
	var all, series bool
	var confidence, rarest float64
	f.StringVar(&b.good, "good", "", "`kernel` where all is well")
	f.StringVar(&b.bad, "bad", "", "`kernel` where it is not; an older one than -good asks where it was mended")
	f.BoolVar(&b.here, "here", false, "of the kernels between the two, only those that are in the cache")
	f.BoolVar(&b.diff, "diff", false, "ask whether anything of the exchange changed, and not the verdict")
	f.StringVar(&b.match, "match", "", "ask whether the lines of the exchange changed that match `REGEX`")
	f.StringVar(&b.pkg, "test", "", "ask a Go test: `PACKAGE`, as nlrig test takes it")
	f.StringVar(&b.test, "run", "", "`NAME` of the test of -test")
	f.BoolVar(&series, "series", false, "look for all changes that the last kernel of a series has")
	f.BoolVar(&all, "all", false, "look at every kernel, for all changes")
	f.Float64Var(&confidence, "confidence", 100*search.DefaultConfidence, "how likely the answer is to be right, in `percent`: outcomes are repeated until it is")
	f.Float64Var(&rarest, "rarest", 100*search.DefaultRarest, "the least share of plays, in `percent`, in which a difference of the two is to be seen")
	f.BoolVar(&b.search.Once, "once", false, "play each kernel once, and believe what it does")
	f.StringVar(&b.logFile, "log", "", "`file` that what is known is kept in, and resumed from (default: one of the cache)")
	f.BoolVar(&b.restart, "restart", false, "begin anew what was broken off")
	f.DurationVar(&b.timeout, "timeout", 0, "time for one case (default 10s), or one command (default 10m)")
	f.DurationVar(&b.runner.BootTimeout, "boot-timeout", host.DefaultBootTimeout, "time for one boot")
	f.StringVar(&b.runner.Console, "console", "", "`directory` for the consoles of VMs (default console in the cache)")
	f.Var(&b.out, "o", outputUsage)
	if err := parse(f, args); err != nil {
		return err
	}
	b.given = shared(f)
	if b.good == "" || b.bad == "" {
		return misuse("bisect wants -good A -bad B: nlrig bisect -good 6.1 -bad 6.12 link/rename-up")
	}
	if confidence <= 0 || confidence >= 100 || rarest <= 0 || rarest >= 100 {
		return misuse("bisect: -confidence %v and -rarest %v: want more than 0 and less than 100", confidence, rarest)
	}
	b.search.Confidence, b.search.Rarest = confidence/100, rarest/100
	switch {
	case all:
		b.search.Mode = search.All
	case series:
		b.search.Mode = search.Series
	}
	return b.question(f.Args())
}

// question finds out what is asked.
func (b *bisection) question(args []string) error {
	if _, err := regexp.Compile(b.match); err != nil {
		return misuse("-match: %v", err)
	}
	asked := 0
	for _, x := range []bool{len(args) > 0, b.pkg != "", b.command != nil} {
		if x {
			asked++
		}
	}
	switch {
	case asked != 1:
		return misuse("bisect wants one of a case, -test PACKAGE, or a command after --")
	case len(args) == 0 && (b.diff || b.match != ""):
		return misuse("-diff and -match are about the exchange of a case")
	case b.diff && b.match != "":
		return misuse("bisect wants one of -diff and -match")
	case b.test != "" && b.pkg == "":
		return misuse("-run names a test of -test PACKAGE")
	case len(args) == 0:
		if b.timeout == 0 {
			b.timeout = 10 * time.Minute
		}
		return nil
	}
	list, err := selectCases(args)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return misuse("bisect wants one case, %s is %d", strings.Join(args, " "), len(list))
	}
	b.c, b.arg, b.runner.CaseTimeout = list[0], args[0], b.timeout
	return nil
}

// title is the question for a person.
func (b *bisection) title() string {
	switch {
	case b.pkg != "":
		return strings.TrimSpace("nlrig test " + b.pkg + " " + b.test)
	case b.command != nil:
		return strings.Join(b.command, " ")
	case b.diff:
		return b.c.Name + ": the exchange"
	case b.match != "":
		return b.c.Name + ": lines of the exchange like " + b.match
	}
	return b.c.Name + ": the verdict"
}

// identity is all that what was seen depends on, beside the kernel.
func (b *bisection) identity() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s %d %v %v %q", b.binary, b.memory, b.entropy, b.timeout, b.command)
	if b.c != nil {
		text += string(b.c.Text)
	}
	sum.Write([]byte(text))
	return fmt.Sprintf("%s, good %s, bad %s (%.12x)", b.title(), b.good, b.bad, sum.Sum(nil)), nil
}

func (b *bisection) run(ctx context.Context) error {
	style, live := style(os.Stderr)
	show := &steps{w: os.Stderr, live: live, style: style}
	defer show.clear()
	var err error
	if b.rig, err = b.options.rig(show.say); err != nil {
		return err
	}
	if b.runner.Console == "" {
		b.runner.Console = filepath.Join(b.cache, "console")
	}
	if err := b.ends(ctx); err != nil {
		return err
	}
	id, err := b.identity()
	if err != nil {
		return err
	}
	if b.logFile == "" {
		b.logFile = filepath.Join(b.cache, "bisect", fmt.Sprintf("%x.jsonl", sha256.Sum256([]byte(id)))[:18]+".jsonl")
	}
	log, err := search.OpenLog(b.logFile, id, b.restart)
	if err != nil {
		return err
	}
	defer log.Close()
	if log.Resumed > 0 {
		show.say("resuming from %s, which has %d of the tries; -restart begins anew", b.logFile, log.Resumed)
	}
	fetch := newFetcher(ctx, b.rig.Catalogue, b.row, show)
	defer fetch.close()
	oracle := b.oracle(fetch, show)
	defer oracle.close()
	s := &b.search
	s.Oracle, s.Log, s.Progress, s.Accept = oracle, log, show.step, b.accept
	show.say("%s: %d kernels from %s to %s", b.title(), len(b.row), b.row[0], b.row[len(b.row)-1])
	result, err := s.Run(ctx)
	show.clear()
	if err != nil {
		return fmt.Errorf("%w\nwhat was tried so far is in %s: the same command goes on from there", err, b.logFile)
	}
	r := &search.Report{Version: search.Version, Question: b.title(), GoodEnd: b.good, BadEnd: b.bad, Result: result}
	b.complete(ctx, r)
	if err := b.out.write(r); err != nil {
		return err
	}
	if err := log.Finish(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the log is %s\n", b.logFile)
	switch result.Outcome {
	case search.Found:
		return nil
	case search.Same, search.Broken:
		return exit(host.ExitNotHeld)
	case search.Refused:
		return exit(host.ExitUsage)
	}
	return exit(host.ExitInfra)
}

// accept refuses ends whose outcomes say that they are not what was meant.
func (b *bisection) accept(good, bad string) error {
	well := string(host.Pass)
	if b.c == nil {
		well = exitGood
	}
	switch {
	case b.diff || b.match != "" || good == bad || good == well:
		return nil
	case bad == well:
		return fmt.Errorf("-good %s is %s and -bad %s is %s: swap them; where it was mended is asked by -good %s -bad %s", b.good, good, b.bad, bad, b.bad, b.good)
	case b.c == nil:
		return fmt.Errorf("the command does not succeed on -good %s: %s", b.good, good)
	}
	return nil
}

// about are the items of changelogs that are shown.
var about = regexp.MustCompile(`(?i)netlink|rtnl|genl|neigh|nexthop|fib|bridge|vlan|vrf|macvlan|tunnel|ip6?_gre|vxlan|veth|bond|\bnet(/|:| )|\b(ipv[46]|net_?sched|xfrm|audit|nfnetlink|sock_diag|inet_diag)\b`)

// core are those of them that come first.
var core = regexp.MustCompile(`(?i)netlink|rtnl|genl`)

// maxItems bounds them.
const maxItems = 40

// complete adds to a report what the search does not know.
func (b *bisection) complete(ctx context.Context, r *search.Report) {
	if b.diff || b.match != "" {
		r.Letter()
	}
	if r.Outcome == search.Same && r.Otherwise && b.c != nil && b.match == "" && !b.diff {
		r.Reason += "; but their exchanges differ, about which -diff asks"
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		c.Command = b.again(c)
		first := b.row[slices.IndexFunc(b.row, func(e end) bool { return e.String() == c.First })]
		last := b.row[slices.IndexFunc(b.row, func(e end) bool { return e.String() == c.Last })]
		if first.name != "" || first.version.Source != kernels.SourceDebian {
			continue
		}
		k, err := b.rig.Catalogue.Get(ctx, first.version, nil)
		var of int
		if err == nil {
			c.Changelog, of, err = k.Changes(last.number(), about)
		}
		switch {
		case errors.Is(err, kernels.ErrNoChangelog):
			c.Note = fmt.Sprintf("the changelog of %s is not in the cache, where an older nlrig has put the kernel: nlrig kernels rm %[1]s && nlrig kernels pull %[1]s", first)
		case err != nil:
			c.Note = fmt.Sprintf("the changelog of %s: %v", first, err)
		default:
			slices.SortStableFunc(c.Changelog, func(a, b string) int {
				return cmp.Compare(len(core.FindString(b)), 0) - cmp.Compare(len(core.FindString(a)), 0)
			})
			shown := min(len(c.Changelog), maxItems)
			c.Note = fmt.Sprintf("%d of the %d changes after %s, about netlink and networking; all of them: zcat %s", shown, of, last, k.Changelog)
			c.Changelog = c.Changelog[:shown]
		}
	}
}

// again is the command that shows a change again.
func (b *bisection) again(c *search.Change) string {
	pair := c.Last + "," + c.First
	switch {
	case b.pkg != "":
		args := slices.Concat([]string{"nlrig", "test"}, b.given, []string{"-k", pair})
		if b.test != "" {
			args = append(args, "-run", b.test)
		}
		return report.ShellWords(append(args, b.pkg)...)
	case b.command != nil:
		return "NLRIG_KERNEL=" + report.ShellWords(c.Bad()) + " " + report.ShellWords(filled(b.command, c.Bad())...)
	}
	return report.ShellWords(slices.Concat([]string{"nlrig", "diff"}, b.given, []string{"-k", pair, b.arg})...)
}

const outputUsage = "also write a report, any number of times: `FORMAT=FILE`, FORMAT one of " + search.Formats + "; - is standard output in place of the text"

// bisectOutputs are what the -o flags ask for.
type bisectOutputs []output

func (o *bisectOutputs) String() string { return "" }

func (o *bisectOutputs) Set(s string) error {
	format, file, _ := strings.Cut(s, "=")
	if search.Writer(format) == nil || file == "" {
		return fmt.Errorf("want FORMAT=FILE, FORMAT one of %s", search.Formats)
	}
	for _, x := range *o {
		if x.file == file {
			return fmt.Errorf("want one report in %s, found %s and %s", file, x.format, format)
		}
	}
	*o = append(*o, output{format, file})
	return nil
}

func (o bisectOutputs) write(r *search.Report) error {
	text := true
	for _, x := range o {
		if x.file == "-" {
			text = false
		}
	}
	if text {
		o = append(bisectOutputs{{"text", "-"}}, o...)
	}
	for _, x := range o {
		var b bytes.Buffer
		s := report.Style{}
		if x.file == "-" {
			s, _ = style(os.Stdout)
		}
		err := search.Writer(x.format)(&b, r, s)
		switch {
		case err != nil:
		case x.file == "-":
			_, err = os.Stdout.Write(b.Bytes())
		default:
			err = os.WriteFile(x.file, b.Bytes(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("report %s=%s: %w", x.format, x.file, err)
		}
	}
	return nil
}
