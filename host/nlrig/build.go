//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/configs"
	"github.com/nlrig/nlrig/vmtest/cases"
)

// gitSpecs lets a directory of a kernel's source stand for git:DIR.
func gitSpecs(list string) string {
	specs := kernels.Split(list)
	for i, s := range specs {
		if rest, uml := strings.CutPrefix(s, "uml:"); !strings.Contains(rest, ":") {
			specs[i] = "git:" + rest
			if uml {
				specs[i] = "uml:git:" + rest
			}
		}
	}
	return strings.Join(specs, ",")
}

// buildKernels builds one after the other: each takes all processors.
func buildKernels(ctx context.Context, rig *host.Rig, vs []kernels.Version) error {
	for _, v := range vs {
		if v.Source != kernels.SourceGit {
			return misuse("kernels build: %v is not built from source: want git:DIR@REV", v)
		}
		s, live := style(os.Stderr)
		progress := host.NewProgress(os.Stderr, live, s, []host.Target{{Name: v.String()}})
		start := time.Now()
		k, err := rig.Catalogue.Get(ctx, v, func(p kernels.Progress) {
			progress.Event(host.Event{Target: v.String(), Kind: host.Status, Text: host.Fetching(p)})
		})
		progress.Stop()
		if err != nil {
			return err
		}
		file := cmp.Or(k.UML, k.VMLinux, k.BzImage)
		size := int64(0)
		if st, err := os.Stat(file); err == nil {
			size = st.Size()
		}
		fmt.Printf("%v: %s of commit %.12s, %.1f MB, in %.1f s: %s\n", v, k.Version.Release, v.Commit,
			float64(size)/1e6, time.Since(start).Seconds(), file)
	}
	return nil
}

// checkKernels says which options kernels lack.
func checkKernels(ctx context.Context, rig *host.Rig, vs []kernels.Version) error {
	all, err := cases.All()
	if err != nil {
		return err
	}
	code := host.ExitHeld
	for _, v := range vs {
		k, err := rig.Catalogue.Get(ctx, v, nil)
		if err != nil {
			return err
		}
		lacks, known := host.Preflight(k, all)
		switch {
		case !known:
			fmt.Printf("%v: nothing tells how it was configured: give its configuration with file:PATH,config=FILE\n", v)
			code = max(code, host.ExitInfra)
		case len(lacks) == 0:
			fmt.Printf("%v: has all that nlrig and its cases need\n", v)
		default:
			code = max(code, host.ExitNotHeld)
			fmt.Printf("%v: lacks\n", v)
			for _, l := range lacks {
				fmt.Println("  " + l.Option + neededBy(l.Cases))
			}
		}
	}
	return status(code)
}

// neededBy names the first of some cases.
func neededBy(cases []string) string {
	switch n := len(cases); {
	case n == 0:
		return ""
	case n > 2:
		return fmt.Sprintf("  (%s, %s and %d more)", cases[0], cases[1], n-2)
	}
	return "  (" + strings.Join(cases, ", ") + ")"
}

// printConfig prints what a kernel of an architecture is configured with.
func printConfig(args []string) error {
	arch := "x86_64"
	if len(args) > 0 {
		arch = args[0]
	}
	if len(args) > 1 || arch != "x86_64" && arch != "um" {
		return misuse("kernels config: want x86_64 or um")
	}
	fmt.Print(configs.Fragment(configs.Common) + "\n" + configs.Fragment(arch))
	return nil
}
