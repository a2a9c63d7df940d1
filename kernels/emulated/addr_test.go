package emulated

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// TestAddrCases plays cases of addresses that real kernels pass and that the corpus
// does not have:
//
//	nlrig run -k 5.10,6.1,6.12,6.17,7.3 kernels/emulated/testdata/addr/*.case
func TestAddrCases(t *testing.T) {
	files, err := filepath.Glob("testdata/addr/*.case")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		c, err := nlcase.Parse(file, text)
		require.NoError(t, err)
		for _, release := range []string{"5.10", "6.1", "6.12", "6.17", "7.3"} {
			t.Run("kernel="+release+"/case="+strings.TrimSuffix(filepath.Base(file), ".case"), func(t *testing.T) {
				k, err := New(release)
				require.NoError(t, err)
				assert.Empty(t, nlcase.Check(c, nlcase.Play(k, c)))
			})
		}
	}
}

// TestIn6AddrType has one address of each type.
func TestIn6AddrType(t *testing.T) {
	for _, tt := range []struct {
		addr     in6Addr
		typ      uint32
		srcScope int
	}{
		{in6Addr{}, ipv6AddrAny, -1},
		{in6AddrLoopback, ipv6AddrLoopback | ipv6AddrUnicast, 2},
		{in6Addr{0: 0xfe, 1: 0x80, 15: 1}, ipv6AddrLinklocal | ipv6AddrUnicast, 2},
		{in6Addr{0: 0xfe, 1: 0xc0, 15: 1}, ipv6AddrSitelocal | ipv6AddrUnicast, 5},
		{in6Addr{0: 0x20, 1: 0x01}, ipv6AddrUnicast, 14},
		{in6Addr{0: 0xfd}, ipv6AddrUnicast, 14},
		{in6Addr{12: 1, 15: 1}, ipv6AddrCompatV4 | ipv6AddrUnicast, 14},
		{in6Addr{10: 0xff, 11: 0xff, 12: 1}, ipv6AddrMapped, 14},
		{in6Addr{0: 0xff, 1: 2, 15: 1}, ipv6AddrMulticast | ipv6AddrLinklocal, 2},
	} {
		assert.Equal(t, tt.typ, tt.addr.typ()&0xffff, tt.addr)
		assert.Equal(t, tt.srcScope, tt.addr.srcScope(), tt.addr)
	}
	assert.Equal(t, in6Addr{0: 0xfe, 1: 0x80}, in6Addr{0: 0xfe, 1: 0xbf, 2: 1}.prefix(10))
	assert.Equal(t, in6Addr{0: 0xff}.prefix(128), in6Addr{0: 0xff})
}
