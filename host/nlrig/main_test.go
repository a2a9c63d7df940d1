//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nlrig": main})
}

// TestScripts plays testdata/*.txtar, which double as examples of the
// command's use. They share the user's cache of kernels.
func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			home, err := os.UserHomeDir()
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("MODULE", module) // where the agent can be built
			e.Setenv("HOME", home)     // Go's own caches
			return err
		},
	})
}
