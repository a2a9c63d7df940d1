//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkEmptyTest takes, in turn, the time of go test for a package with one
// empty test, whose binary go has linked before: natively, as nlrig test, whose VM
// starts while go builds, and with -exec, where it cannot. It prints the medians
// and what the VM adds. Where virtme-ng is installed, and a stock kernel that it
// can run, it has the two run it in that. The same go command builds all of them.
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
	run := func(name string, args ...string) float64 {
		cmd := exec.CommandContext(b.Context(), name, append([]string{"test", "-count=1", "-vet=off"}, append(args, ".")...)...)
		cmd.Dir = pkg
		start := time.Now()
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s", out)
		return time.Since(start).Seconds()
	}
	in := func(kernel string) float64 { return run(nlrig, "-k", kernel) }
	inExec := func() float64 { return run("go", "-exec", nlrig+" exec -k 6.1") }
	run("go")
	in("6.1") // makes the image
	var n, v, e, more, moreExec []float64
	for b.Loop() {
		n, v, e = append(n, run("go")), append(v, in("6.1")), append(e, inExec())
		last := len(n) - 1
		more, moreExec = append(more, v[last]-n[last]), append(moreExec, e[last]-n[last])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(n), "s-native")
	b.ReportMetric(middle(v), "s-test")
	b.ReportMetric(middle(more), "s-test-more")
	b.ReportMetric(middle(e), "s-exec")
	b.ReportMetric(middle(moreExec), "s-exec-more")
	vng, err := exec.LookPath("vng")
	if err != nil {
		b.Log("vng is not on this machine: apt-get install virtme-ng, where there is such a package")
		return
	}
	release, err := installed()
	if err != nil {
		b.Log(err)
		return
	}
	ours := func() float64 { return in("file:/boot/vmlinuz-" + release + ",modules=/lib/modules/" + release) }
	theirs := func() float64 { return run("go", "-exec", vng+" --disable-kvm --force-9p --run "+release+" --") }
	ours()
	var o, p []float64
	for range peerRuns {
		o, p = append(o, ours()), append(p, theirs())
	}
	b.Logf("%s, %d runs each", release, peerRuns)
	b.ReportMetric(middle(o), "s-test-same-kernel")
	b.ReportMetric(middle(p), "s-vng")
	b.ReportMetric(middle(o)/middle(p), "test/vng")
}

// peerRuns is how often the peer runs, which takes half a minute without KVM.
const peerRuns = 3

// installed is the newest kernel of this machine that has what vng needs of a
// stock kernel: modules for a root file system of the host's.
func installed() (release string, err error) {
	kernels, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil {
		return "", err
	}
	for _, k := range kernels {
		r := strings.TrimPrefix(k, "/boot/vmlinuz-")
		nine, err := filepath.Glob("/lib/modules/" + r + "/kernel/net/9p/9pnet_virtio.ko*")
		if err == nil && len(nine) > 0 {
			release = r
		}
	}
	if release == "" {
		return "", errors.New("vng needs a stock kernel in /boot and /lib/modules that has 9P: apt-get install linux-image-amd64 kmod udev")
	}
	return release, nil
}

func middle(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
