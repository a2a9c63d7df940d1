//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/fuzz"
)

// fuzzCommand plays random exchanges on two kernels and keeps those on which they
// differ.
func fuzzCommand(ctx context.Context, args []string) error {
	var o options
	z := fuzz.Fuzzer{}
	f := newFlags("fuzz", "-k A,B [-n SEQUENCES] [-seed N] [-o DIR]", &o)
	o.vmFlags(f)
	spec := f.String("k", "", "the two `KERNELS`")
	f.IntVar(&z.N, "n", 10000, "how many `SEQUENCES` of system calls to play; 0 for as many as there is time for")
	seed := f.String("seed", "", "`number` that decides what is played (default: another in each run)")
	f.StringVar(&z.Dir, "o", "fuzz", "`directory` for the cases that are found")
	f.DurationVar(&z.Runner.CaseTimeout, "timeout", host.DefaultCaseTimeout, "time for one case, which is several sequences")
	f.DurationVar(&z.Runner.BootTimeout, "boot-timeout", host.DefaultBootTimeout, "time for one boot")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return misuse("fuzz makes its own cases; %q is not for it", f.Arg(0))
	}
	if *spec == "" {
		return misuse("fuzz wants -k A,B: nlrig fuzz -k emulated@6.12,6.12")
	}
	z.Seed = rand.Uint64N(1 << 32)
	if *seed != "" {
		if _, err := fmt.Sscanf(*seed, "%d", &z.Seed); err != nil {
			return misuse("-seed %s: want a number", *seed)
		}
	}
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	rig, err := o.rig(say)
	if err != nil {
		return err
	}
	if z.Targets, err = o.targets(ctx, rig, *spec); err != nil {
		return err
	}
	if len(z.Targets) != 2 {
		return misuse("fuzz wants two kernels, -k %s is %d", *spec, len(z.Targets))
	}
	_, live := style(os.Stderr)
	clear := ""
	if live {
		clear = "\r\x1b[K"
	}
	say("fuzzing %s and %s with -seed %d", z.Targets[0].Name, z.Targets[1].Name, z.Seed)
	z.Runner.Progress = func(e host.Event) {
		if e.Kind == host.Note {
			say("%s%s: %s", clear, e.Target, e.Text)
		}
	}
	z.Found = func(x fuzz.Finding) {
		fmt.Fprint(os.Stderr, clear)
		showFinding(x, z.Targets)
	}
	last := time.Now()
	z.Progress = func(c fuzz.Counts) {
		if live {
			fmt.Fprintf(os.Stderr, "%s%s", clear, counts(c))
		} else if time.Since(last) > 10*time.Second {
			last = time.Now()
			say("%s", counts(c))
		}
	}
	c, err := z.Run(ctx)
	fmt.Fprint(os.Stderr, clear)
	fmt.Println(counts(c))
	if err != nil {
		return err
	}
	if c.Findings > 0 {
		return exit(host.ExitNotHeld)
	}
	if c.Sequences == 0 {
		return exit(host.ExitInfra)
	}
	return nil
}

func counts(c fuzz.Counts) string {
	return fmt.Sprintf("%d sequences, %.0f a second: %d findings; %d cases differ, %d of them as others do, %d not every time",
		c.Sequences, float64(c.Sequences)/max(c.Took.Seconds(), 0.001), c.Findings, c.Differ, c.Again, c.Unsteady)
}

// maxShown bounds the lines of a finding that are shown at once: its case has all.
const maxShown = 12

func showFinding(x fuzz.Finding, targets []host.Target) {
	if x.Died != nil {
		fmt.Printf("%s: %s on %s: %s\n", x.File, x.Died.Verdict, x.Kernel, x.Died.Reason)
		for _, l := range x.Died.LastWords[:min(maxShown, len(x.Died.LastWords))] {
			fmt.Println("  |", l)
		}
		return
	}
	if x.Caps != "" {
		fmt.Println("   caps", x.Caps)
	}
	s, _ := style(os.Stdout)
	fmt.Printf("%s: %s (-) and %s (+)\n", x.File, targets[0].Name, targets[1].Name)
	for i, l := range x.Lines {
		if i == maxShown {
			fmt.Println("  ...")
			break
		}
		text := l.String()
		if s.Width > 4 && len(text) > s.Width-2 {
			text = strings.ToValidUTF8(text[:s.Width-3], "")
		}
		fmt.Println("  " + s.Diff(l.Op, text))
	}
}
