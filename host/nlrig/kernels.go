//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/go-multierror"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/kernels"
)

func kernelsCommand(ctx context.Context, args []string) error {
	var o options
	if len(args) == 0 {
		return misuse("kernels what? list, pull, build, check, config or rm")
	}
	verb := args[0]
	if verb == "config" {
		return printConfig(args[1:])
	}
	f := newFlags("kernels "+verb, "[KERNELS]", &o)
	if err := parse(f, args[1:]); err != nil {
		return err
	}
	rig, err := o.rig(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	spec := strings.Join(f.Args(), ",")
	if spec == "" && verb != "list" {
		return misuse("kernels %s: which? for instance 6.1,6.12, or default", verb)
	}
	if spec == "" {
		vs, err := rig.Catalogue.List(ctx)
		if err != nil {
			return err
		}
		return listKernels(vs)
	}
	if verb == "build" {
		spec = gitSpecs(spec)
	}
	vs, err := versions(ctx, rig.Catalogue, spec, verb)
	if err != nil {
		return err
	}
	switch verb {
	case "list":
		return listKernels(vs)
	case "pull":
		return pull(ctx, rig, vs)
	case "build":
		return buildKernels(ctx, rig, vs)
	case "check":
		return checkKernels(ctx, rig, vs)
	case "rm":
		if err := remove(ctx, rig, vs); err != nil || spec != "built" {
			return err
		}
		freed, err := rig.Catalogue.RemoveBuilds(ctx)
		fmt.Printf("work trees and objects: %.1f MB freed\n", float64(freed)/1e6)
		return err
	}
	return misuse("kernels %s: want list, pull, build, check, config or rm", verb)
}

func listKernels(vs []kernels.Version) error {
	width := 0
	for _, v := range vs {
		width = max(width, len(v.String()))
	}
	fmt.Printf("%-*s  %-4s  %8s  %-20s  %s\n", width, "kernel", "here", "download", "from", "uname -r")
	for _, v := range vs {
		here, size, note := "", fmt.Sprintf("%.1f MB", float64(v.Size)/1e6), ""
		if v.Here {
			here = "yes"
		}
		if v.Size == 0 {
			size = "-"
		}
		if !v.HasModules && v.Source == kernels.SourceDebian {
			note = "  (no modules package on the mirror)"
		}
		from := v.Suite
		if from == "" {
			from = v.Source
		}
		fmt.Printf("%-*s  %-4s  %8s  %-20s  %s%s\n", width, v, here, size, from, v.Release, note)
	}
	return nil
}

// pull fetches two kernels at a time: unpacking takes the processor, and a
// mirror is to be used with care.
func pull(ctx context.Context, rig *host.Rig, vs []kernels.Version) error {
	s, live := style(os.Stderr)
	var targets []host.Target
	for _, v := range vs {
		targets = append(targets, host.Target{Name: v.String()})
	}
	progress := host.NewProgress(os.Stderr, live, s, targets)
	var mu sync.Mutex
	var errs *multierror.Error
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, v := range vs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, err := rig.Catalogue.Get(ctx, v, func(p kernels.Progress) {
				progress.Event(host.Event{Target: v.String(), Kind: host.Status, Text: host.Fetching(p)})
			})
			text := "here"
			if err != nil {
				text = "failed: " + err.Error()
				mu.Lock()
				errs = multierror.Append(errs, fmt.Errorf("%v: %w", v, err))
				mu.Unlock()
			} else {
				progress.Say("%v: here", v)
			}
			progress.Event(host.Event{Target: v.String(), Kind: host.Status, Text: text})
		})
	}
	wg.Wait()
	progress.Stop()
	return errs.ErrorOrNil()
}

func remove(ctx context.Context, rig *host.Rig, vs []kernels.Version) error {
	var errs *multierror.Error
	for _, v := range vs {
		if !v.Here {
			continue
		}
		freed, err := rig.Catalogue.Remove(ctx, v)
		if err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		of, err := rig.RemoveImages(v)
		if err != nil {
			errs = multierror.Append(errs, err)
		}
		fmt.Printf("%v: %.1f MB freed\n", v, float64(freed+of)/1e6)
	}
	return errs.ErrorOrNil()
}
