//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkEmptyTest takes, in turn, the time of go test for a package with one
// empty test, whose binary go has linked before: natively, and in a warm VM. It
// prints the medians, what the VM adds, and, where vng is installed, how long it
// takes on the same kernel. The same go command builds all of them.
//
//	make bench BENCH=EmptyTest COUNT=20
func BenchmarkEmptyTest(b *testing.B) {
	nlrig, err := filepath.Abs("../../bin/nlrig") // with the agent in it
	require.NoError(b, err)
	if _, err := os.Stat(nlrig); err != nil {
		b.Skip("no bin/nlrig: make builds it")
	}
	pkg := b.TempDir()
	for name, text := range map[string]string{
		"go.mod":        "module empty\n",
		"empty_test.go": "package empty\n\nimport \"testing\"\n\nfunc TestEmpty(*testing.T) {}\n",
	} {
		require.NoError(b, os.WriteFile(filepath.Join(pkg, name), []byte(text), 0o644))
	}
	run := func(args ...string) float64 {
		cmd := exec.CommandContext(b.Context(), "go", append([]string{"test", "-count=1", "-vet=off"}, append(args, ".")...)...)
		cmd.Dir = pkg
		start := time.Now()
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s", out)
		return time.Since(start).Seconds()
	}
	native := func() float64 { return run() }
	inVM := func() float64 { return run("-exec", nlrig+" exec -k 6.1") }
	native()
	inVM() // makes the image
	var n, v, more []float64
	for b.Loop() {
		n, v = append(n, native()), append(v, inVM())
		more = append(more, v[len(v)-1]-n[len(n)-1])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(n), "s-native")
	b.ReportMetric(middle(v), "s-nlrig")
	b.ReportMetric(middle(more), "s-more")
	vng, err := exec.LookPath("vng")
	if err != nil {
		b.Log("vng is not on this machine: apt-get install virtme-ng, where there is such a package")
		return
	}
	cache, err := os.UserCacheDir()
	require.NoError(b, err)
	images, err := filepath.Glob(filepath.Join(cache, "nlrig/kernels/6.1.*/vmlinuz"))
	require.NoError(b, err)
	require.NotEmpty(b, images)
	peer := run("-exec", vng+" --disable-kvm --run "+images[len(images)-1]+" --")
	b.ReportMetric(peer, "s-vng")
	b.ReportMetric(middle(v)/peer, "nlrig/vng")
}

func middle(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
