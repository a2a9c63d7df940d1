//go:build linux

package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// TestMain fails when a test left a child process or a file descriptor.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		runHelper()
	}
	before := openFDs()
	code := m.Run()
	// What a test has closed may take the runtime a moment.
	for end := time.Now().Add(3 * time.Second); code == 0; time.Sleep(50 * time.Millisecond) {
		fds, kids := openFDs()-before, children(os.Getpid())
		// The poller and the module cache's lock may have come to stay.
		if fds <= 3 && len(kids) == 0 {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "leaked: %d file descriptors, children %v\n", fds, kids)
			code = 1
		}
	}
	os.Exit(code)
}

func openFDs() int {
	fds, _ := os.ReadDir("/proc/self/fd")
	return len(fds)
}

// children returns the command lines of pid's children.
func children(pid int) (kids []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var ppid int
		if _, err := fmt.Sscan(rest, &state, &ppid); err != nil || ppid != pid {
			continue
		}
		cmd, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		kids = append(kids, strings.ReplaceAll(string(cmd), "\x00", " "))
	}
	return kids
}

func testRig(t testing.TB) *Rig {
	t.Helper()
	dir, err := os.UserCacheDir()
	require.NoError(t, err)
	dir = filepath.Join(dir, "nlrig")
	c, err := kernels.Open(kernels.Options{Dir: filepath.Join(dir, "kernels"), Log: t.Logf})
	require.NoError(t, err)
	return &Rig{Catalogue: c, Dir: dir, QEMU: qemu.Config{}}
}

func selectKernels(t testing.TB, rig *Rig, spec string) []kernels.Version {
	t.Helper()
	var all []kernels.Version
	for _, one := range kernels.Split(spec) {
		vs, err := rig.Catalogue.Select(t.Context(), one)
		require.NoError(t, err)
		require.NotEmpty(t, vs)
		all = append(all, vs...)
	}
	return all
}

func qemuTargets(t testing.TB, rig *Rig, spec string) (ts []Target) {
	t.Helper()
	for _, v := range selectKernels(t, rig, spec) {
		ts = append(ts, rig.QEMUTarget(v))
	}
	return ts
}

func parseCases(t testing.TB, texts ...[2]string) (cs []*nlcase.Case) {
	t.Helper()
	for _, x := range texts {
		c, err := nlcase.Parse(x[0], []byte(x[1]))
		require.NoError(t, err)
		cs = append(cs, c)
	}
	return cs
}
