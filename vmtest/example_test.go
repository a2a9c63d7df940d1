//go:build linux

package vmtest_test

import (
	"os"
	"testing"

	"github.com/nlrig/nlrig/vmtest"
)

// A package whose tests are to run in kernels as they are has this TestMain.
// NLRIG_KERNELS=5.10,6.1,newest go test ./... then runs them there.
func ExampleMain() {
	var m *testing.M // what TestMain gets
	os.Exit(vmtest.Main(m))
}

// A test that drives kernels from outside.
func ExampleKernels() {
	var t *testing.T // what a test gets
	vmtest.Kernels(t, "5.10,6.1,newest", func(t *testing.T, kernel string) {
		vm := vmtest.Start(t, kernel, vmtest.Modules("dummy"))
		// A part of this test binary, in the VM.
		out, err := vm.Self("-test.run", "^TestHelper$").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

// A package's own cases: testdata/cases/getlink.case and others.
func ExampleRunCases() {
	var t *testing.T // what a test gets
	vmtest.RunCases(t, "6.12", os.DirFS("testdata/cases"))
}
