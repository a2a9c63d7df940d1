// Package cases holds the cases that come with nlrig: one text file each, in
// a folder for each section of the code flow that they exercise. Package
// nlcase is the reference of what is in them.
package cases

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

//go:embed */*.case
var files embed.FS

// All parses every case, in the order of their names: "receive/dump-ack".
func All() ([]*nlcase.Case, error) {
	all, err := Load(files)
	if err != nil {
		return all, fmt.Errorf("vmtest/cases: %w", err)
	}
	return all, nil
}

// Load parses the files of fsys that end in .case, in the order of their names.
func Load(fsys fs.FS) ([]*nlcase.Case, error) {
	var all []*nlcase.Case
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".case") {
			return err
		}
		text, err := fs.ReadFile(fsys, path)
		if err != nil {
			return err
		}
		c, err := nlcase.Parse(strings.TrimSuffix(path, ".case"), text)
		if err != nil {
			return err
		}
		all = append(all, c)
		return nil
	})
	return all, err
}
