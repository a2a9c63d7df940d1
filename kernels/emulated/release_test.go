package emulated

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRelease(t *testing.T) {
	for _, s := range Series() {
		k, err := New(s)
		require.NoError(t, err)
		require.Equal(t, s+".999", k.Release())
	}
	k, err := New("6.12.94")
	require.NoError(t, err)
	require.Equal(t, "6.12.94", k.Release())
	for _, s := range []string{"", "6", "6.", "6.12.", "6.12.1.1", "6.+12", "6.-1", "6.12-rc1", "v6.12", "6.12.94-cloud-amd64", "6.99999999"} {
		_, err := New(s)
		require.ErrorContains(t, err, "want a series (6.12) or a release (6.12.94)", "%q", s)
	}
	for _, s := range []string{"4.19", "5.9.16", "5.20", "6.20", "7.4", "8.0"} {
		_, err := New(s)
		require.ErrorContains(t, err, "is none of those known: 5.10 to 5.19, 6.0 to 6.19, 7.0 to 7.3", "%q", s)
	}
}

func TestSince(t *testing.T) {
	s := since{from: []string{"5.10.251", "6.1.148", "6.12.42", "6.17"}}
	for release, want := range map[string]bool{"5.10.250": false, "5.10.251": true, "5.10": true, "5.11": false,
		"6.1.147": false, "6.12.41": false, "6.12": true, "6.16": false, "6.17.0": true, "7.3": true} {
		v, err := parseVersion(release)
		require.NoError(t, err)
		require.Equal(t, want, s.holds(v), release)
	}
}
