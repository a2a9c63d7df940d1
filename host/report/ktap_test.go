package report

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	ktapPlan = regexp.MustCompile(`^1\.\.([0-9]+)$`)
	ktapLine = regexp.MustCompile(`^(ok|not ok) ([0-9]+) ([^#]*[^# ])( # (SKIP|TODO|XFAIL|TIMEOUT|ERROR)( .*)?)?$`)
)

// parseKTAP follows Documentation/dev-tools/ktap.rst: a version line, a plan,
// and results numbered from 1, each after its subtest, two columns deeper.
func parseKTAP(t *testing.T, lines []string, indent string) (results []string, rest []string) {
	next := func() string {
		require.NotEmpty(t, lines, "ends within a test")
		require.True(t, strings.HasPrefix(lines[0], indent), lines[0])
		s := lines[0][len(indent):]
		lines = lines[1:]
		return s
	}
	require.Equal(t, "KTAP version 1", next())
	s := next()
	for strings.HasPrefix(s, "#") {
		s = next()
	}
	plan := ktapPlan.FindStringSubmatch(s)
	require.NotNil(t, plan, s)
	n, _ := strconv.Atoi(plan[1])
	for i := 1; i <= n; i++ {
		deeper := indent + "  "
		if len(lines) > 0 && lines[0] == deeper+"KTAP version 1" {
			var sub []string
			sub, lines = parseKTAP(t, lines, deeper)
			results = append(results, sub...)
		}
		s := next()
		for strings.HasPrefix(s, "#") {
			s = next()
		}
		m := ktapLine.FindStringSubmatch(s)
		require.NotNil(t, m, s)
		require.Equal(t, strconv.Itoa(i), m[2])
		results = append(results, m[1]+m[5]+" "+m[3])
	}
	return results, lines
}

func TestKTAP(t *testing.T) {
	out := write(t, "ktap", small("5.10 6.1 local", "x!-", "xx-"))
	results, rest := parseKTAP(t, strings.Split(strings.TrimSuffix(out, "\n"), "\n"), "")
	assert.Empty(t, rest)
	assert.Equal(t, []string{
		"ok case1", "ok case2", "ok 5.10",
		"not ok case1", "ok case2", "not ok 6.1",
		"okSKIP case1", "okSKIP case2", "okSKIP local",
	}, results)
	results, rest = parseKTAP(t, strings.Split(strings.TrimSuffix(write(t, "ktap", synthetic(9, 50)), "\n"), "\n"), "")
	assert.Empty(t, rest)
	assert.Len(t, results, 9*51)
}
