package emulated

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestTruesize has how many datagrams of a size a receive buffer of 10000 bytes takes,
// as 5.10.262, 6.1.192, 6.12.118 and 7.3.4 do.
func TestTruesize(t *testing.T) {
	for _, c := range []struct{ size, v6_1, v6_12 int }{
		{16, 13, 11}, {192, 13, 11}, {193, 7, 11}, {320, 7, 11}, {321, 7, 7}, {704, 7, 7}, {705, 4, 4}, {1728, 4, 4}, {1729, 2, 2},
		{3776, 2, 2}, {3777, 2, 2}, {5000, 1, 1},
	} {
		for release, want := range map[string]int{"5.10": c.v6_1, "6.1": c.v6_1, "6.12": c.v6_12, "7.3": c.v6_12} {
			k, err := New(release)
			assert.NoError(t, err)
			skb := &skBuff{size: c.size, pages: c.size > goodSize}
			assert.Equal(t, want, 10000/k.truesize(skb), "%s: %d bytes", release, c.size)
		}
	}
}
