//go:build linux

package local

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Apart()
	os.Exit(m.Run())
}
