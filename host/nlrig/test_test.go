//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSplitFlags(t *testing.T) {
	for line, want := range map[string][2]string{
		"./...":                           {"", "./..."},
		"-k 6.1 ./... -v":                 {"-k 6.1", "./... -v"},
		"-run X -k=6.1,7.3 -count=1":      {"-k=6.1,7.3", "-run X -count=1"},
		"-cold -v -m 512 ./a":             {"-cold -m 512", "-v ./a"},
		"-k 6.1 ./a -args -k 5 -m 1":      {"-k 6.1", "./a -args -k 5 -m 1"},
		"-env A -env B=1 --file x -short": {"-env A -env B=1 --file x", "-short"},
	} {
		ours, theirs := splitFlags(new(programOptions).flags("test", ""), strings.Fields(line))
		assert.Equal(t, want, [2]string{strings.Join(ours, " "), strings.Join(theirs, " ")}, line)
	}
}
