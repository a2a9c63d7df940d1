//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-multierror"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// updateCases rewrites the files of cases that do not hold to what the kernels
// answered, real ones alone: a model has no say in what is expected. say hears
// of each.
func updateCases(columns []host.Column, list []*nlcase.Case, say func(format string, args ...any)) error {
	var errs *multierror.Error
	for i, c := range list {
		var seen []*nlcase.Transcript
		failed := false
		for _, col := range columns {
			if _, emulated := report.Emulated(col.Target); emulated {
				continue
			}
			o := &col.Outcomes[i]
			failed = failed || o.Verdict == host.Fail && len(o.Mismatches) > 0
			if o.Transcript != nil {
				seen = append(seen, o.Transcript)
			}
		}
		if !failed {
			continue
		}
		path, err := caseFile(c)
		if err == nil {
			var text []byte
			if text, err = nlcase.Update(c, seen); err == nil {
				err = os.WriteFile(path, text, 0o644)
				say("%s: rewritten", path)
			}
		}
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("update %s: %w", c.Name, err))
		}
	}
	return errs.ErrorOrNil()
}

// caseFile is where a case was read from: its own path, or in the source that
// the working directory is the top of.
func caseFile(c *nlcase.Case) (string, error) {
	for _, path := range []string{c.Name, filepath.Join("vmtest", "cases", c.Name+".case")} {
		text, err := os.ReadFile(path)
		switch {
		case err != nil:
		case bytes.Equal(text, c.Text):
			return path, nil
		default:
			return "", fmt.Errorf("%s is not what was played: build nlrig anew, or name the file", path)
		}
	}
	return "", errors.New("its file is not here: name it by its path, or work at the top of nlrig's source")
}
