//go:build linux

package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/kernels/configs"
	"github.com/nlrig/nlrig/vmtest/cases"
)

// A kernel that is built with the fragment has what the corpus asks for.
func TestFragmentHasWhatCasesNeed(t *testing.T) {
	all, err := cases.All()
	require.NoError(t, err)
	needed := configs.Needs(configs.Fragment(configs.Common))
	users := needsOf(all)
	require.NotEmpty(t, users)
	for option, who := range users {
		assert.Contains(t, needed, option, "kernels/configs/netlink.config, for %v", who)
	}
}
