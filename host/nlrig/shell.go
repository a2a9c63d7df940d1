//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/kernels"
)

func shell(ctx context.Context, args []string) error {
	var o options
	f := newFlags("shell", "[-k KERNEL]", &o)
	o.vmFlags(f)
	spec := f.String("k", "", "`KERNEL` to run (default the newest that is here, else the newest)")
	consoles := f.String("console", "", "`directory` for the console's log (default console in the cache)")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return misuse("shell takes no arguments; commands are read from standard input")
	}
	says := newSays()
	rig, err := o.rig(func(format string, args ...any) { says.Note(fmt.Sprintf(format, args...)) })
	if err != nil {
		return err
	}
	v, err := oneKernel(ctx, rig.Catalogue, *spec)
	if err != nil {
		return err
	}
	if *consoles == "" {
		*consoles = filepath.Join(o.cache, "console")
	}
	sh := host.Shell{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Console: *consoles, Says: says}
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		sh.Terminal = os.Stdin
	}
	status, err := rig.Shell(ctx, v, sh)
	var lost *host.LostError
	if errors.As(err, &lost) {
		fmt.Fprintf(os.Stderr, "nlrig: %v\nits console is in %s\n", lost, *consoles)
		switch lost.Outcome.Verdict {
		case host.Panic, host.AgentLost, host.Hang:
			return exit(host.ExitNotHeld)
		}
		return exit(host.ExitInfra)
	}
	if err != nil {
		return err
	}
	if status != 0 {
		return exit(status)
	}
	return nil
}

// oneKernel is the one that spec names, or else the newest.
func oneKernel(ctx context.Context, c *kernels.Catalogue, spec string) (kernels.Version, error) {
	if spec == "" {
		vs, err := c.List(ctx)
		if err != nil {
			return kernels.Version{}, err
		}
		for i := len(vs) - 1; i >= 0; i-- { // oldest first
			if vs[i].Here && vs[i].Source == kernels.SourceDebian {
				return vs[i], nil
			}
		}
		spec = "newest"
	}
	vs, err := versions(ctx, c, spec, "run a shell in")
	switch {
	case err != nil:
		return kernels.Version{}, err
	case len(vs) != 1:
		return kernels.Version{}, misuse("-k %s is %d kernels; a shell runs on one", spec, len(vs))
	}
	return vs[0], nil
}

// newSays speaks on standard error: what is of the moment only where a
// terminal can take it back.
func newSays() host.Says {
	_, live := style(os.Stderr)
	var told sync.Map
	clear := func() {
		if live {
			fmt.Fprint(os.Stderr, "\r\x1b[K")
		}
	}
	return host.Says{
		Note:   func(s string) { clear(); fmt.Fprintln(os.Stderr, s) },
		Moment: func(s string) { clear(); fmt.Fprintln(os.Stderr, s) },
		Status: func(s string) {
			clear()
			if live {
				fmt.Fprint(os.Stderr, s)
				return
			}
			// Elsewhere a line says what takes long, once.
			name, rest, _ := strings.Cut(s, ": ")
			phase, _, _ := strings.Cut(rest, " ")
			if _, was := told.LoadOrStore(name+phase, true); !was && (phase == "download" || phase == "build") {
				fmt.Fprintln(os.Stderr, s)
			}
		},
	}
}
