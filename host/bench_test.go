//go:build linux

package host

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/initramfs"
)

// BenchmarkFirstVerdict takes, in turn, a VM from QEMU's start to the first
// verdict, and the floor: the same QEMU, kernel and flags with an init that
// only powers off. It prints the medians and the median of the ratios of the
// pairs.
//
//	go test -run '^$' -bench FirstVerdict -benchtime 10x ./host
func BenchmarkFirstVerdict(b *testing.B) {
	rig := testRig(b)
	list := parseCases(b, [2]string{"fine", fine})
	for _, v := range selectKernels(b, rig, "default") {
		b.Run("kernel="+v.String(), func(b *testing.B) {
			t := rig.QEMUTarget(v)
			say := func(string) {}
			require.NoError(b, t.prepare(b.Context(), Says{say, say}))
			k, err := rig.Catalogue.Get(b.Context(), v, nil)
			require.NoError(b, err)
			archive, err := initramfs.Floor()
			require.NoError(b, err)
			img, err := initramfs.Store(filepath.Join(rig.Dir, "initramfs"), archive)
			require.NoError(b, err)
			conf := qemu.Config{Kernel: k.VMLinux, Initrd: img.Path}
			require.True(b, k.PVH, "the floor boots what the target boots")

			var floors, verdicts, ratios []float64
			for b.Loop() {
				start := time.Now()
				vm, err := qemu.Start(b.Context(), conf)
				require.NoError(b, err)
				require.True(b, vm.Wait(time.Minute), "it does not power off")
				floor := time.Since(start).Seconds()
				require.NoError(b, vm.Close())

				start = time.Now()
				m, _, err := t.start(b.Context(), time.Minute, nil)
				require.NoError(b, err)
				s := newSession(m, &t)
				require.NoError(b, s.awaitHello(b.Context(), t.agent(), time.Minute))
				o, _ := s.play(b.Context(), list[0], "", time.Minute)
				verdict := time.Since(start).Seconds()
				require.Equal(b, Pass, o.Verdict, o.Reason)
				s.bye()
				require.NoError(b, s.close())

				floors, verdicts, ratios = append(floors, floor), append(verdicts, verdict), append(ratios, verdict/floor)
			}
			b.ReportMetric(0, "ns/op") // of a pair, which says nothing
			b.ReportMetric(median(floors), "s-floor")
			b.ReportMetric(median(verdicts), "s-verdict")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
