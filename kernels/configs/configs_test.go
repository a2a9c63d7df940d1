package configs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWanted(t *testing.T) {
	names, values := Wanted("CONFIG_A=y\n# a word = of\n# CONFIG_B is not set\n", "CONFIG_A=n\nCONFIG_S=\"x=y\"")
	assert.Equal(t, []string{"CONFIG_A", "CONFIG_B", "CONFIG_S"}, names)
	assert.Equal(t, map[string]string{"CONFIG_A": "n", "CONFIG_B": "n", "CONFIG_S": `"x=y"`}, values)
}

func TestNeeds(t *testing.T) {
	assert.Equal(t, []string{"CONFIG_A"}, Needs("# For B.\nCONFIG_A=y\n# Beyond need: C.\nCONFIG_C=y\n"))
	for _, f := range []string{Common, "x86_64", "um"} {
		assert.NotEmpty(t, Needs(Fragment(f)))
		assert.NotEqual(t, len(Needs(Fragment(f))), strings.Count(Fragment(f), "=y\n"), f)
	}
}

// An option in both would hide which of the two decides.
func TestFragmentsDoNotOverlap(t *testing.T) {
	_, common := Wanted(Fragment(Common))
	for _, arch := range []string{"x86_64", "um"} {
		names, _ := Wanted(Fragment(arch))
		assert.NotEmpty(t, names)
		for _, n := range names {
			assert.NotContains(t, common, n, arch)
		}
	}
}
