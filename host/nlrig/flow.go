//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/kernels"
)

// flow shows which functions of the kernel a case goes through.
func flow(_ context.Context, args []string) error {
	var o options
	f := newFlags("flow", "[-k emulated[@RELEASE]] CASE...", &o)
	spec := f.String("k", "emulated", "the `KERNELS`, emulated ones")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return misuse("flow wants a case: nlrig flow -k emulated@6.12 register/getlink-doit")
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	names := kernels.Split(*spec)
	if len(names) == 0 {
		return misuse("-k names no kernel")
	}
	for _, name := range names {
		if _, ok := report.Emulated(name); !ok {
			return misuse("flow -k %s: only the emulated kernels can be traced so far: -k emulated, or emulated@6.12", name)
		}
	}
	for _, name := range names {
		for _, c := range list {
			if len(names)*len(list) > 1 {
				fmt.Printf("# %s on %s\n", c.Name, name)
			}
			steps, err := host.Flow(name, c)
			if err != nil {
				return err
			}
			for _, s := range steps {
				fmt.Println(s.Step.Text)
				for _, l := range s.Calls {
					fmt.Println(strings.Repeat("  ", l.Depth+1) + l.Func)
				}
			}
			if len(names)*len(list) > 1 {
				fmt.Println()
			}
		}
	}
	return nil
}
