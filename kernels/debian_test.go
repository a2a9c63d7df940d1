package kernels

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The kernels of a real mirror, in the cache that nlrig itself uses: what
// other tests have pulled is not pulled again. Without a mirror and without
// the kernels in the cache this fails.
func TestDebian(t *testing.T) {
	start := time.Now()
	lap := func(what string) {
		t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
		start = time.Now()
	}
	c, err := Open(Options{Log: t.Logf})
	require.NoError(t, err)
	all, err := c.List(t.Context())
	require.NoError(t, err)
	lap("list")
	t.Logf("%d kernels, %s to %s", len(all), all[0], all[len(all)-1])

	vs, err := c.Select(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, vs, 4)
	for i, series := range []string{"5.10", "6.1", "6.12"} {
		assert.Equal(t, series, vs[i].Series())
	}
	for _, v := range vs {
		k, err := c.Get(t.Context(), v, nil)
		require.NoError(t, err)
		lap("get " + v.String())
		assert.True(t, k.PVH, v)
		assert.True(t, k.KnowsBuiltin)
		assert.True(t, k.Version.HasModules)
		assert.FileExists(t, k.BzImage)
		banner, err := readBanner(k.VMLinux)
		require.NoError(t, err)
		assert.Contains(t, banner, v.Release+" ")
		banner, err = readBanner(k.BzImage)
		require.NoError(t, err)
		assert.Equal(t, v.Version, releaseVersion(banner, v.Release))

		value, known := k.ConfigValue("CONFIG_NET")
		assert.True(t, known)
		assert.Equal(t, "y", value)
		for _, name := range []string{"virtio_console", "virtio-pci", "rtnl-link-bridge", "rtnl-link-veth", "net-pf-16-proto-12"} {
			modules, err := k.Modules(name)
			require.NoError(t, err, "%s: %s", v, name)
			for _, m := range modules {
				b, err := k.ReadModule(m)
				require.NoError(t, err)
				assert.True(t, isELF(b))
			}
		}
		bridge, err := k.Modules("bridge")
		require.NoError(t, err)
		var names []string
		for _, m := range bridge {
			names = append(names, m.Name)
			_, err := os.Stat(m.Path)
			require.NoError(t, err)
		}
		assert.Equal(t, []string{"llc", "stp", "bridge"}, names)
		_, err = k.Modules("no_such_module")
		require.ErrorIs(t, err, ErrNoModule)
		lap("modules of " + v.String())
	}
}
