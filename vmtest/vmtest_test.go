//go:build linux

package vmtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/vmtest"
)

func TestMain(m *testing.M) { os.Exit(vmtest.Main(m)) }

const kernel = "6.1"

// helper is what Self runs in a VM.
func TestHelper(t *testing.T) {
	switch os.Getenv("HELPER") {
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		require.NoError(t, err)
		fmt.Fprint(os.Stderr, "done")
		os.Exit(7)
	case "sleep":
		fmt.Println("asleep")
		time.Sleep(time.Minute)
	case "links":
		all, err := net.Interfaces()
		require.NoError(t, err)
		for _, i := range all {
			fmt.Println(i.Name, i.Flags&net.FlagUp != 0)
		}
		os.Exit(0)
	case "inside":
		fmt.Println(vmtest.Inside())
		t.Run("no VM in a VM", func(t *testing.T) {
			t.Cleanup(func() { fmt.Println("skipped:", t.Skipped()) })
			vmtest.Start(t, kernel)
		})
		os.Exit(0)
	case "panic":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	}
}

type slicing struct{ _ []byte }

func (slicing) Write(b []byte) (int, error) { return len(b), nil }

// What a VM is given it has: also memory that is no power of two, beside which is
// what it shares with the host.
func TestShape(t *testing.T) {
	vmtest.Kernels(t, "5.10,6.12", func(t *testing.T, kernel string) {
		vm := vmtest.Start(t, kernel, vmtest.CPUs(3), vmtest.Memory(300))
		online, err := vm.ReadFile("/sys/devices/system/cpu/online")
		require.NoError(t, err)
		assert.Equal(t, "0-2\n", string(online))
		out, err := self(vm, "links").Output() // a binary of many megabytes
		require.NoError(t, err)
		assert.Equal(t, "lo true\n", string(out))
	})
}

func self(vm *vmtest.VM, what string) *vmtest.Cmd {
	c := vm.Self("-test.run", "^TestHelper$")
	c.Env = []string{"HELPER=" + what, "PATH=/bin:/sbin"}
	return c
}

func TestCommand(t *testing.T) {
	vm := vmtest.Start(t, kernel, vmtest.Modules("veth"))
	assert.True(t, strings.HasPrefix(vm.Kernel(), kernel+"."))
	assert.Contains(t, vm.Release(), "6.1.0-")

	t.Run("streams", func(t *testing.T) {
		c := self(vm, "cat")
		c.Stdin = strings.NewReader(strings.Repeat("a line\n", 30000))
		out, err := c.Output()
		var exit *vmtest.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 7, exit.Status)
		assert.Equal(t, "done", string(exit.Stderr))
		assert.Equal(t, strings.Repeat("a line\n", 30000), string(out))
	})
	t.Run("signal", func(t *testing.T) {
		c := self(vm, "sleep")
		r, w := io.Pipe()
		c.Stdout = w
		require.NoError(t, c.Start())
		b := make([]byte, 6)
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
		go io.Copy(io.Discard, r)
		require.NoError(t, c.Signal(syscall.SIGTERM))
		var exit *vmtest.ExitError
		require.ErrorAs(t, c.Wait(), &exit)
		assert.Equal(t, syscall.SIGTERM, exit.Signal)
	})
	t.Run("files", func(t *testing.T) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than a message holds
		require.NoError(t, vm.WriteFile("/a/b/c", want, 0o600))
		got, err := vm.ReadFile("/a/b/c")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got))
		_, err = vm.ReadFile("/a/b/d")
		assert.ErrorContains(t, err, "no such file")
		assert.ErrorIs(t, err, fs.ErrNotExist)
		got, err = vm.ReadFile("/proc/version")
		require.NoError(t, err)
		assert.Contains(t, string(got), vm.Release())
		_, err = vm.ReadFile("/dev/null")
		assert.ErrorContains(t, err, "neither a file nor a directory")
		large := make([]byte, 600<<20) // in pieces, and with no room for it
		assert.ErrorContains(t, vm.WriteFile("/tmp/large", large, 0o600), "no space left")
		require.NoError(t, vm.WriteFile("/tmp/small", []byte("small"), 0o600), "what has failed is forgotten")
		assert.ErrorContains(t, vm.WriteFile("/proc/nothing", nil, 0o600), "/proc/nothing")
	})
	t.Run("arguments", func(t *testing.T) {
		c := self(vm, "links")
		c.Args = nil
		c.Stdout = slicing{}
		c.Stderr = slicing{} // which == cannot compare
		require.NoError(t, c.Run())
		assert.ErrorContains(t, vm.Command("x", make([]string, 70000)...).Run(), "at most 65536")
	})
	t.Run("inside", func(t *testing.T) {
		c := vm.Self("-test.run", "^TestHelper$")
		c.Env = append(c.Env, "HELPER=inside")
		out, err := c.Output()
		require.NoError(t, err)
		assert.Equal(t, "true\nskipped: true\n", string(out))
	})
	t.Run("many at once", func(t *testing.T) {
		var all []*vmtest.Cmd
		var outs [4]bytes.Buffer
		for i := range outs {
			c := self(vm, "links")
			c.Stdout = &outs[i]
			require.NoError(t, c.Start())
			all = append(all, c)
		}
		for i, c := range all {
			require.NoError(t, c.Wait())
			assert.Equal(t, "lo true\n", outs[i].String())
		}
	})
	t.Run("nothing to run", func(t *testing.T) {
		assert.ErrorContains(t, vm.Command("nothing").Run(), "not found in PATH")
		assert.ErrorContains(t, vm.Command("/a/b/c").Run(), "permission denied")
		require.NoError(t, vm.WriteFile("/empty", nil, 0o755)) // the kernel would look for a module
		assert.ErrorContains(t, vm.Command("/empty").Run(), "exec format error")
	})
	require.NoError(t, vm.Modprobe("dummy"))
	assert.ErrorContains(t, vm.Modprobe("nosuchmodule"), "nosuchmodule")
}

// A kernel that panics is the command's error, with the trace.
func TestLostKernel(t *testing.T) {
	vm := vmtest.Start(t, kernel, vmtest.NoLoopback())
	out, err := self(vm, "links").Output()
	require.NoError(t, err)
	assert.Equal(t, "lo false\n", string(out))
	var lost *host.LostError
	require.ErrorAs(t, self(vm, "panic").Run(), &lost)
	assert.Equal(t, host.Panic, lost.Outcome.Verdict)
	assert.Contains(t, lost.Error(), "sysrq")
	assert.ErrorAs(t, vm.Command("x").Run(), &lost, "and of all that come after it")
}

func TestKernelsAndCases(t *testing.T) {
	vmtest.Kernels(t, "5.10,6.12", func(t *testing.T, kernel string) {
		vmtest.RunCases(t, kernel, os.DirFS("testdata/cases"))
	})
}

// Main runs this very binary in kernels, and reports as a test with subtests.
func TestMainInKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts VMs")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-kernels", "5.10,6.12", "-test.run", "^TestHelper$", "-test.v")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%v: %s\n%s", err, exit.Stderr, out)
	}
	require.NoError(t, err)
	assert.Contains(t, string(out), "--- PASS: TestHelper (")
	assert.Regexp(t, `(?m)^    --- PASS: TestHelper/kernel=5\.10\.\d+ `, string(out))
	assert.Regexp(t, `(?m)^    --- PASS: TestHelper/kernel=6\.12\.\d+ `, string(out))
}

// The tests of a package that knows nothing of VMs but its TestMain, in two
// kernels: there they are root, and have modules to load.
func TestPackageInKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts VMs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "TestModules|TestRunning|Namespace|NoCaps|case=(caps|link|receive)", "../kernels/local")
	cmd.Env = append(os.Environ(), vmtest.KernelsEnv+"=5.10,newest")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"TestModules", "TestNoCapsIsForTheThreadAlone"} {
		assert.Regexp(t, `(?m)^    --- PASS: `+name+`/kernel=5\.10\.\d+ `, string(out))
	}
	assert.NotContains(t, string(out), "--- SKIP")
}
