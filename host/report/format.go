package report

import (
	"io"
	"maps"
	"slices"
	"strings"
)

var writers = map[string]func(io.Writer, *Report) error{
	"json":   WriteJSON,
	"md":     WriteMarkdown,
	"junit":  WriteJUnit,
	"ktap":   WriteKTAP,
	"github": WriteGitHub,
	"html":   WriteHTML,
}

// Formats are the names that Writer knows.
func Formats() string { return strings.Join(slices.Sorted(maps.Keys(writers)), ", ") }

// Writer is the one of a format, nil if there is none.
func Writer(format string) func(io.Writer, *Report) error { return writers[format] }
