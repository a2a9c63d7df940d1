//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
)

// outputs are what the -o flags ask for.
type outputs struct {
	list      []output
	noSeconds bool
}

type output struct{ format, file string }

func (o *outputs) flag(f *flag.FlagSet) {
	f.Var(o, "o", "also write a report, any number of times: `FORMAT=FILE`, FORMAT one of "+report.Formats()+"; - is standard output in place of the matrix")
	f.BoolVar(&o.noSeconds, "no-seconds", false, "leave times out, so that two runs which saw the same are the same bytes")
}

func (o *outputs) String() string { return "" }

func (o *outputs) Set(s string) error {
	format, file, _ := strings.Cut(s, "=")
	if report.Writer(format) == nil || file == "" {
		return fmt.Errorf("want FORMAT=FILE, FORMAT one of %s", report.Formats())
	}
	for _, x := range o.list {
		if x.file == file && file == "-" {
			return fmt.Errorf("want one report on standard output, found %s and %s", x.format, format)
		}
		if x.file == file {
			return fmt.Errorf("want one report in %s, found %s and %s", file, x.format, format)
		}
	}
	o.list = append(o.list, output{format, file})
	return nil
}

// write writes every report that was asked for, and the matrix unless one of
// them takes its place.
func (o *outputs) write(r *report.Report) error {
	if o.noSeconds {
		r.DropSeconds()
	}
	matrix := true
	for _, x := range o.list {
		var b bytes.Buffer
		err := report.Writer(x.format)(&b, r)
		switch {
		case err != nil:
		case x.file == "-":
			matrix = false
			_, err = os.Stdout.Write(b.Bytes())
		default:
			err = os.WriteFile(x.file, b.Bytes(), 0o644)
		}
		if err == nil && x.format == "github" {
			err = appendSummary(r)
		}
		if err != nil {
			return fmt.Errorf("report %s=%s: %w", x.format, x.file, err)
		}
	}
	if matrix {
		s, _ := style(os.Stdout)
		if err := report.WriteText(os.Stdout, r, s); err != nil {
			return fmt.Errorf("write the matrix: %w", err)
		}
	}
	return nil
}

// appendSummary adds the report to the summary of a step of GitHub's, if this
// is one.
func appendSummary(r *report.Report) error {
	name := os.Getenv("GITHUB_STEP_SUMMARY")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = report.WriteSummary(f, r)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func status(code int) error {
	if code == host.ExitHeld {
		return nil
	}
	return exit(code)
}

func reportCommand(args []string) error {
	if len(args) == 0 {
		return misuse("want nlrig report show, merge or schema, found none of them")
	}
	switch args[0] {
	case "schema":
		_, err := os.Stdout.WriteString(report.Schema)
		return err
	case "show", "merge":
		return showReports(args[0], args[1:])
	}
	return misuse("want nlrig report show, merge or schema, found %q", args[0])
}

// showReports tells several reports as one. Merge without -o writes the JSON
// that it is about; show writes the matrix.
func showReports(name string, args []string) error {
	var out outputs
	f := flag.NewFlagSet("report "+name, flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: nlrig report %s [-o FORMAT=FILE]... FILE.json...\n", name)
		f.PrintDefaults()
	}
	out.flag(f)
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return misuse("nlrig report %s names no file", name)
	}
	var sources []report.Source
	for _, file := range f.Args() {
		r, err := readReport(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		sources = append(sources, report.Source{Name: file, Report: r})
	}
	r, err := report.Merge(sources...)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if name == "merge" && len(out.list) == 0 {
		out.list = []output{{"json", "-"}}
	}
	if err := out.write(r); err != nil {
		return err
	}
	return status(r.ExitCode())
}

func readReport(file string) (*report.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.Read(f)
}
