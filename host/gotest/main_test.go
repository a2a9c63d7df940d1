package gotest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var shapes string // a test binary of testdata/shapes, built with coverage

// TestMain is also what go test -exec runs in TestExec.
func TestMain(m *testing.M) {
	if os.Getenv("GOTEST_EXEC") != "" {
		status, err := execOnAll(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 3
		}
		os.Exit(status)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gotest")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		shapes = filepath.Join(dir, "shapes.exe")
		build := goTool("test", "-c", "-cover", "-o", shapes)
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v\n%s", err, out))
		}
		return m.Run()
	}())
}

func goTool(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("testdata", "shapes")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	return cmd
}

var twoKernels = []string{"6.1", "6.12"}

// execOnAll runs a test binary as on several kernels.
func execOnAll(args []string) (status int, err error) {
	var runs []Run
	for _, k := range twoKernels {
		own := Args(args, k)
		for i := range own {
			if strings.HasPrefix(own[i], "-test.gocoverdir=") { // where counters add up
				own[i] += k
				if err := os.Mkdir(strings.TrimPrefix(own[i], "-test.gocoverdir="), 0o700); err != nil {
					return 0, err
				}
			}
		}
		out, s := command(k, own[0], own[1:]...)
		runs = append(runs, Run{Kernel: k, Output: bytes.NewReader(out), Status: s})
		status = max(status, s)
	}
	_, err = Merge(os.Stdout, runs)
	return status, err
}

// command runs a test binary of shapes.
func command(kernels, bin string, args ...string) (out []byte, status int) {
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "KERNELS="+kernels, "GOTEST_EXEC=", "GOTRACEBACK=single")
	out, _ = cmd.CombinedOutput()
	return out, cmd.ProcessState.ExitCode()
}

// merged are the outputs of shapes on each kernel, as one.
func merged(t *testing.T, args ...string) string {
	t.Helper()
	var runs []Run
	for _, k := range twoKernels {
		out, status := command(k, shapes, args...)
		runs = append(runs, Run{Kernel: k, Output: bytes.NewReader(out), Status: status})
	}
	return merge(t, runs...)
}

func merge(t *testing.T, runs ...Run) string {
	t.Helper()
	var b bytes.Buffer
	_, err := Merge(&b, runs)
	require.NoError(t, err)
	return b.String()
}

var (
	took   = regexp.MustCompile(`\(\d+\.\d\ds\)`)
	result = regexp.MustCompile(`(?m)^(Benchmark\S+) *\t +\d+\t +[\d.]+ ns/op`)
)

// timeless is output without what is never the same twice.
func timeless(out string) string {
	out = took.ReplaceAllString(out, "(T)")
	return result.ReplaceAllString(out, "$1\tN\tT ns/op")
}

// lines makes a diff readable.
func lines(s string) []string { return strings.SplitAfter(strings.ReplaceAll(s, "\x16", "^V"), "\n") }
