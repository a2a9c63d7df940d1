//go:build linux

package qemu

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whether guests run under KVM is what a guest's first words tell, within the time
// that those may take. It is found out once.
func TestKVM(t *testing.T) {
	for _, x := range []struct {
		name, qemu, want string
	}{
		{"works", `echo "[    0.000000] Linux version 6.1.0" >&4; sleep 60`, ""},
		{"the guest hangs", `echo "SeaBIOS (version 1.16.2)" >&4; sleep 60`, "says nothing for"},
		{"QEMU aborts", `echo "error: failed to set MSR 0x10a to 0x4000a0c4" >&2; exit 134`, "failed to set MSR 0x10a"},
		{"QEMU ends well", `exit 0`, "QEMU ends before the kernel says a word"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			device := filepath.Join(dir, "kvm")
			require.NoError(t, os.WriteFile(device, nil, 0o600))
			starts := filepath.Join(dir, "starts")
			binary := filepath.Join(dir, "qemu")
			require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\necho start >>"+starts+"\n"+x.qemu+"\n"), 0o755))
			p := Probes{Dir: filepath.Join(dir, "accel"), Device: device}
			c := Config{Kernel: "vmlinux", Binary: binary}
			check := func(fresh bool) {
				start := time.Now()
				got, err := p.KVM(t.Context(), c, "7.2.0")
				assert.Equal(t, fresh, got)
				if x.want == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, x.want)
				}
				assert.Less(t, time.Since(start), 30*time.Second)
			}
			check(true)
			check(false)
			b, err := os.ReadFile(starts)
			require.NoError(t, err)
			assert.Equal(t, "start\n", string(b), "it is remembered")
			require.NoError(t, p.Forget())
			check(true)
			p.Device = filepath.Join(dir, "none")
			_, err = p.KVM(t.Context(), c, "7.2.0")
			assert.ErrorIs(t, err, ErrNoKVM)
		})
	}
}
