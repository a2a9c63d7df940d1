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
	var all []*nlcase.Case
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(path, ".case")
		c, err := nlcase.Parse(name, text)
		if err != nil {
			return fmt.Errorf("vmtest/cases: %w", err)
		}
		all = append(all, c)
		return nil
	})
	return all, err
}
