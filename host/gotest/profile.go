package gotest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/cover"
)

// place is a piece of code that is counted as a whole.
type place struct {
	file                                             string
	startLine, startCol, endLine, endCol, statements int
}

// MergeProfiles adds up the coverage profiles of test binaries, in the form
// that -test.coverprofile writes: whether a statement ran on any kernel for
// mode set, how often on all of them for count and atomic. What it writes is
// ordered as package testing orders it, and go tool cover reads it. Empty
// profiles, as a kernel that crashed leaves them, add nothing; without any
// other nothing is written. Profiles of different modes are an error.
func MergeProfiles(w io.Writer, profiles ...io.Reader) error {
	mode, counts := "", map[place]int{}
	for i, r := range profiles {
		in := bufio.NewReader(r)
		first, err := in.ReadString('\n')
		if err == io.EOF && first == "" {
			continue
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("coverage profile %d: %w", i, err)
		}
		if mode == "" {
			mode = first
		}
		if first != mode {
			return fmt.Errorf("coverage profile %d: it begins with %q, the ones before with %q: build the tests with one -covermode", i, first, mode)
		}
		files, err := cover.ParseProfilesFromReader(io.MultiReader(strings.NewReader(first), in))
		if err != nil {
			return fmt.Errorf("coverage profile %d: %w", i, err)
		}
		for _, f := range files {
			for _, b := range f.Blocks {
				p := place{f.FileName, b.StartLine, b.StartCol, b.EndLine, b.EndCol, b.NumStmt}
				if f.Mode == "set" {
					counts[p] |= b.Count
				} else {
					counts[p] += b.Count
				}
			}
		}
	}
	out := bufio.NewWriter(w)
	out.WriteString(mode)
	for _, p := range slices.SortedFunc(maps.Keys(counts), compare) {
		fmt.Fprintf(out, "%s:%d.%d,%d.%d %d %d\n", p.file, p.startLine, p.startCol, p.endLine, p.endCol, p.statements, counts[p])
	}
	return out.Flush()
}

func compare(a, b place) int {
	return cmp.Or(
		cmp.Compare(path.Dir(a.file), path.Dir(b.file)), // the import path
		cmp.Compare(a.file, b.file),
		cmp.Compare(a.startLine, b.startLine),
		cmp.Compare(a.endLine, b.endLine),
		cmp.Compare(a.startCol, b.startCol),
		cmp.Compare(a.endCol, b.endCol),
		cmp.Compare(a.statements, b.statements),
	)
}
