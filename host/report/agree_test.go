package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// agreed is a real kernel and its emulated one, which does the same, something
// else whose reason is known, and something else.
func agreed(t *testing.T) *Report {
	t.Helper()
	r := small("6.12.118 emulated@6.12.118 7.3.4", "xxx", "xyx", "xzy", "-x-", "x-x")
	r.Agree(1, 0, func(name string) (string, bool) { return "a worker took its time", name == "case2" })
	require.NoError(t, r.check())
	return r
}

func TestAgreement(t *testing.T) {
	r := agreed(t)
	assert.Equal(t, `case   6.12.118  emulated@6.12.118  7.3.4
case1  pass      pass               pass
case2  pass A    diverge B          pass A
case3  pass A    diverge B          pass C
case4  skip      pass               skip
case5  pass      skip               pass

behaviour changes
  case3
    A  6.12.118
    C  7.3.4

agreement of the emulated kernels
  kernel    cases compared  same   share
  6.12.118               3     1  33.3 %
  diverge case2 on emulated@6.12.118: a worker took its time
  diverge case3 on emulated@6.12.118: no reason is known

diverge case3 on emulated@6.12.118: no reason is known
  6.12.118 (-) and emulated@6.12.118 (+):
     quiet s
    -  = x
    +  = z
  again: nlrig run -agree -k 6.12.118 case3

skip 6.12.118: requires >=6.9 (case4)
skip emulated@6.12.118: requires >=6.9 (case5)
skip 7.3.4: requires >=6.9 (case4)
5 cases on 3 kernels: 10 pass, 2 diverge, 3 skip
`, text(t, r, Style{}))
	assert.Equal(t, ExitNotHeld, r.ExitCode())
	r.Cases = append(r.Cases[:2], r.Cases[3:]...)
	assert.Equal(t, ExitHeld, r.ExitCode())
	assert.NotContains(t, text(t, r, Style{}), "again:")
}

// The other forms tell it, too, and stay what they are.
func TestAgreementForms(t *testing.T) {
	r := agreed(t)
	assert.Contains(t, write(t, "md", r), "| 6.12.118 | 3 | 1 | 33.3 % |\n\n- diverge: case2 on emulated&#64;6.12.118: a worker took its time\n")
	results, rest := parseKTAP(t, strings.Split(strings.TrimSuffix(write(t, "ktap", r), "\n"), "\n"), "")
	assert.Empty(t, rest)
	assert.Equal(t, []string{"ok case1", "okXFAIL case2", "not ok case3", "ok case4", "okSKIP case5", "not ok emulated@6.12.118"}, results[6:12])
	junit := write(t, "junit", r)
	assert.Contains(t, junit, `<testsuite name="emulated@6.12.118" tests="5" failures="1" errors="0" skipped="2"`)
	assert.Equal(t, 1, strings.Count(write(t, "github", r), "::error"))
	again, err := Read(strings.NewReader(asJSON(t, r)))
	require.NoError(t, err)
	assert.Equal(t, r.Agreements(), again.Agreements())

	m, err := Merge(Source{"a", r}, Source{"b", small("5.10.262", "x", "x", "x", "x", "x")})
	require.NoError(t, err)
	assert.Equal(t, "6.12.118", m.Kernels[2].Of)
	assert.Len(t, m.Agreements(), 1)
}
