//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func listCases(args []string) error {
	f := newFlags("cases", "[-flow [-md]] [CASE...]", &options{})
	flow := f.Bool("flow", false, "the code flow instead: each function, each way through it, and its cases")
	md := f.Bool("md", false, "with -flow: as a Markdown table")
	if err := parse(f, args); err != nil {
		return err
	}
	list, err := selectCases(f.Args())
	if err != nil {
		return err
	}
	if *flow {
		return printFlow(list, *md)
	}
	width := 0
	for _, c := range list {
		width = max(width, len(c.Name))
	}
	for _, c := range list {
		var refs []string
		for _, r := range c.Refs {
			refs = append(refs, r.Func)
		}
		first, _, _ := strings.Cut(c.Doc, "\n")
		fmt.Printf("%-*s  %s  [%s]\n", width, c.Name, first, strings.Join(refs, " "))
	}
	return nil
}

func printFlow(list []*nlcase.Case, md bool) error {
	table, err := cases.Flow(list)
	if err != nil {
		return err
	}
	if md {
		fmt.Print("| function | way | what it is | cases |\n|---|---|---|---|\n")
	}
	file := ""
	for _, b := range table {
		cases := strings.Join(b.Cases, ", ")
		if b.Unseen != "" {
			cases = "none: " + b.Unseen
		}
		switch {
		case md:
			fmt.Printf("| `%s` | %s | %s | %s |\n", b.Func, b.ID, b.What, cases)
			continue
		case b.File != file:
			file = b.File
			fmt.Printf("\n%s\n", file)
		}
		if b.ID != "" {
			fmt.Print("  ")
		}
		fmt.Printf("  %s: %s [%s]\n", b, b.What, cases)
	}
	return nil
}
