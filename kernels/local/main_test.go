//go:build linux

package local_test

import (
	"os"
	"testing"

	"github.com/nlrig/nlrig/kernels/local"
	"github.com/nlrig/nlrig/vmtest"
)

// NLRIG_KERNELS=5.10,newest go test ./kernels/local runs the tests in those.
func TestMain(m *testing.M) {
	local.Apart()
	os.Exit(vmtest.Main(m))
}
