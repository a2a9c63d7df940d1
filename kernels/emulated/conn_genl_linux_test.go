package emulated_test

import (
	"errors"
	"os"
	"testing"

	"github.com/mdlayher/genetlink"
	"github.com/stretchr/testify/require"
)

func TestConnGenetlink(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		nc, err := dial(genetlink.Protocol, nil)
		require.NoError(t, err)
		c := genetlink.NewConn(nc)
		defer c.Close()
		f, err := c.GetFamily("nlctrl")
		require.NoError(t, err)
		require.EqualValues(t, 0x10, f.ID)
		_, err = c.GetFamily("no such")
		require.True(t, errors.Is(err, os.ErrNotExist), "%v", err)
		all, err := c.ListFamilies()
		require.NoError(t, err)
		require.NotEmpty(t, all)
	})
}
