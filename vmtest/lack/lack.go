// Package lack skips tests for what a machine does not have, and says what that
// is. Where nothing may be lacking, as in CI, it is a failure.
package lack

import (
	"os"
	"os/exec"
	"testing"
)

// RequireEnv is the variable that makes failures of skips where it is 1.
const RequireEnv = "NLRIG_REQUIRE"

// Skip ends a test for what format says.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf(format+" (and "+RequireEnv+"=1 is set)", args...)
	}
	t.Skipf(format+" ("+RequireEnv+"=1 makes this a failure)", args...)
}

// Tools skips a test where one of programs is not in PATH.
func Tools(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Skip(t, "%s is not on this machine", p)
		}
	}
}
