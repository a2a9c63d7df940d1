package nlcase

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRelease(t *testing.T) {
	for _, tt := range []struct{ release, version, want string }{
		{"6.1.0-56-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)", "6.1.192"},
		{"7.3.4+deb13-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1~bpo13+1 (2026-11-15)", "7.3.4"},
		{"6.18.44-fc", "#1 SMP PREEMPT_DYNAMIC @0", "6.18.44-fc"},
		{"6.1.0-56-cloud-amd64", "#1 SMP Debian 5.10.1-1 (no)", "6.1.0-56-cloud-amd64"},
		{"6.13.0-rc1", "#7 SMP", "6.13.0-rc1"},
	} {
		assert.Equal(t, tt.want, Release(tt.release, tt.version))
	}
}
