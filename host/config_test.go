//go:build linux

package host

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/wire"
)

func needing(option, rest string) string { return "needs config " + option + "\n" + rest }

// A case that needs an option is not played without it, is with it, and where
// nothing is known is played, too.
func TestConfigMissing(t *testing.T) {
	const fails = "open s route\nsend s NLMSG_NOOP REQUEST|ACK\nrecv s NLMSG_ERROR error=-EPERM ...\n"
	list := parseCases(t,
		[2]string{"set", needing("CONFIG_NET", fine)},
		[2]string{"module", needing("CONFIG_BRIDGE", fine)},
		[2]string{"unset", needing("CONFIG_NLRIG", fails)},
		[2]string{"two", needing("CONFIG_NLRIG", needing("CONFIG_NONE", fails))},
	)
	rig := testRig(t)
	out := (&Runner{}).Run(t.Context(), qemuTargets(t, rig, "6.1"), list)[0].Outcomes
	assert.Equal(t, Pass, out[0].Verdict, out[0].Reason)
	assert.Equal(t, Pass, out[1].Verdict, out[1].Reason)
	assert.Equal(t, ConfigMissing, out[2].Verdict)
	assert.Equal(t, "requires CONFIG_NLRIG", out[2].Reason)
	assert.Equal(t, "requires CONFIG_NLRIG, CONFIG_NONE", out[3].Reason)

	unknown := qemuTargets(t, rig, "6.1")
	unknown[0].config = nil // and this kernel has no /proc/config.gz
	out = (&Runner{}).Run(t.Context(), unknown, list)[0].Outcomes
	assert.Equal(t, Pass, out[0].Verdict, out[0].Reason)
	assert.Equal(t, Fail, out[2].Verdict)
	assert.Equal(t, "it requires CONFIG_NLRIG, and nothing says how this kernel was configured", out[2].Reason)
}

func TestConfigOfTheKernelItself(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte("# CONFIG_B is not set\nCONFIG_A=y\nCONFIG_C=m\n"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	s := &session{hello: &wire.Hello{Config: b.Bytes()}}
	s.config = s.readConfig
	for name, want := range map[string]string{"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": "m"} {
		value, known := s.option(name)
		assert.True(t, known)
		assert.Equal(t, want, value, name)
	}
	s.hello.Config = []byte("no gzip")
	_, known := s.option("CONFIG_A")
	assert.False(t, known)
}
