//go:build linux

package host

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// BenchmarkFirstVerdict takes, in turn, the time from QEMU's start to the first
// verdict of a VM that is booted and of one that is started from its image, and
// the floor: the same QEMU, kernel and flags with an init that only powers off.
// It prints the medians, and the median of the ratios of those that ran one
// after the other.
//
//	go test -run '^$' -bench FirstVerdict -benchtime 30x ./host
func BenchmarkFirstVerdict(b *testing.B) {
	rig := testRig(b)
	warm := warmRig(b)
	list := parseCases(b, [2]string{"fine", fine})
	for _, v := range selectKernels(b, rig, "default") {
		b.Run("kernel="+v.String(), func(b *testing.B) {
			cold, warm := benchTarget(b, rig.QEMUTarget(v)), benchTarget(b, warm.QEMUTarget(v))
			k, err := rig.Catalogue.Get(b.Context(), v, nil)
			require.NoError(b, err)
			archive, err := initramfs.Floor()
			require.NoError(b, err)
			img, err := initramfs.Store(filepath.Join(rig.Dir, "initramfs"), archive)
			require.NoError(b, err)
			conf := qemu.Config{Kernel: k.VMLinux, Initrd: img.Path}
			require.True(b, k.PVH, "the floor boots what the target boots")

			failed := false // one boot
			floor := func() float64 {
				start := time.Now()
				vm, err := qemu.Start(b.Context(), conf)
				require.NoError(b, err)
				require.True(b, vm.Wait(time.Minute), "it does not power off")
				took := time.Since(start).Seconds()
				require.NoError(b, vm.Close())
				return took
			}
			var verdict func(t *Target) float64
			verdict = func(t *Target) float64 {
				start := time.Now()
				m, _, err := t.start(b.Context(), time.Minute, func(s string) { b.Log(s) })
				require.NoError(b, err)
				s := newSession(m, t)
				if err := s.awaitHello(b.Context(), t.agent(), time.Minute); err != nil && !failed {
					// Now and then a boot under TCG ends in a panic that does not
					// come again.
					failed = true
					b.Log(err, m.Console().Last(lastLines))
					require.NoError(b, s.close())
					return verdict(t)
				} else {
					require.NoError(b, err)
				}
				o, _ := s.play(b.Context(), list[0], "", time.Minute)
				took := time.Since(start).Seconds()
				require.Equal(b, Pass, o.Verdict, o.Reason)
				s.bye()
				require.NoError(b, s.close())
				return took
			}
			verdict(warm) // makes the image
			var f, c, w, cf, wc []float64
			for b.Loop() {
				f, c, w = append(f, floor()), append(c, verdict(cold)), append(w, verdict(warm))
				n := len(f) - 1
				cf, wc = append(cf, c[n]/f[n]), append(wc, w[n]/c[n])
			}
			b.ReportMetric(0, "ns/op") // of all three, which says nothing
			b.ReportMetric(median(f), "s-floor")
			b.ReportMetric(median(c), "s-cold")
			b.ReportMetric(median(w), "s-warm")
			b.ReportMetric(median(cf), "cold/floor")
			b.ReportMetric(median(wc), "warm/cold")
		})
	}
}

// warmRig is testRig with images.
func warmRig(t testing.TB) *Rig {
	rig := testRig(t)
	rig.Images = &qemu.Images{Dir: filepath.Join(rig.Dir, "warm")}
	return rig
}

func benchTarget(b *testing.B, t Target) *Target {
	say := func(string) {}
	require.NoError(b, t.prepare(b.Context(), Says{say, say, say}))
	b.Cleanup(func() { require.NoError(b, t.close()) })
	return &t
}

// BenchmarkCorpus takes, in turn, the whole corpus on six kernels in VMs that
// are booted, in VMs from images, and in a VM for each case.
//
//	go test -run '^$' -bench Corpus -benchtime 1x ./host
func BenchmarkCorpus(b *testing.B) {
	cold, warm := testRig(b), warmRig(b)
	all, err := cases.All()
	require.NoError(b, err)
	vs := selectKernels(b, cold, "5.10,6.1,6.12,6.17,7.1,7.3")
	corpus := func(rig *Rig, isolation Isolation, list []*nlcase.Case) float64 {
		var ts []Target
		for _, v := range vs {
			ts = append(ts, rig.QEMUTarget(v))
		}
		start := time.Now()
		for _, c := range (&Runner{Isolation: isolation}).Run(b.Context(), ts, list) {
			for _, o := range c.Outcomes {
				require.True(b, o.Verdict.Held(), "%s on %s: %s %s", o.Case.Name, c.Target, o.Verdict, o.Reason)
			}
		}
		return time.Since(start).Seconds()
	}
	corpus(warm, IsolateNetns, all[:1]) // makes the images
	var c, w, i, wc, iw []float64
	for b.Loop() {
		c, w, i = append(c, corpus(cold, IsolateNetns, all)), append(w, corpus(warm, IsolateNetns, all)), append(i, corpus(warm, IsolateVM, all))
		n := len(c) - 1
		wc, iw = append(wc, w[n]/c[n]), append(iw, i[n]/w[n])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(c), "s-cold")
	b.ReportMetric(median(w), "s-warm")
	b.ReportMetric(median(i), "s-isolated")
	b.ReportMetric(median(wc), "warm/cold")
	b.ReportMetric(median(iw), "isolated/warm")
}

// BenchmarkPeers takes the time that a peer, where it is on this machine, needs
// to run a program that does nothing on a kernel, from its start to its end,
// and the same of a warm VM with a case.
func BenchmarkPeers(b *testing.B) {
	rig := warmRig(b)
	v := selectKernels(b, rig, "6.1")[0]
	k, err := rig.Catalogue.Get(b.Context(), v, nil)
	require.NoError(b, err)
	for _, p := range []struct {
		name string
		args []string
	}{
		{"vng", []string{"--run", k.BzImage, "--disable-kvm", "--", "true"}},
		{"vimto", []string{"-kernel", k.BzImage, "exec", "--", "true"}},
	} {
		b.Run("peer="+p.name, func(b *testing.B) {
			path, err := exec.LookPath(p.name)
			if err != nil {
				b.Skipf("%s is not on this machine", p.name)
			}
			for b.Loop() {
				out, err := exec.CommandContext(b.Context(), path, p.args...).CombinedOutput()
				require.NoError(b, err, "%s", out)
			}
		})
	}
	b.Run("peer=none", func(b *testing.B) {
		t := rig.QEMUTarget(v)
		list := parseCases(b, [2]string{"fine", fine})
		for b.Loop() {
			c := (&Runner{}).Run(b.Context(), []Target{t}, list)
			require.Equal(b, Pass, c[0].Outcomes[0].Verdict, c[0].Outcomes[0].Reason)
		}
	})
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
