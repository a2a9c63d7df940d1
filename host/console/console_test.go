package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogIsBounded(t *testing.T) {
	var l Log
	fmt.Fprint(&l, "first words\n")
	line := strings.Repeat("x", 1000) + "\n"
	for range 20_000 {
		n, err := l.Write([]byte(line))
		require.NoError(t, err)
		require.Equal(t, len(line), n)
	}
	fmt.Fprint(&l, "last words\n")
	s := l.String()
	assert.Less(t, len(s), 4*keep)
	assert.True(t, strings.HasPrefix(s, "first words\n"))
	assert.Contains(t, s, "bytes not kept]")
	assert.Equal(t, []string{"last words"}, l.Last(1))
}

func TestPrintable(t *testing.T) {
	assert.Equal(t, "a\nb\tc", Printable("a\r\nb\tc\x00\x07"))
	assert.Equal(t, "[31mred", Printable("\x1b[31mred"), "a guest does not drive the terminal")
	assert.Equal(t, "?x", Printable("\xffx"))
	assert.Equal(t, "äx", Printable("ä\u009bx"))
}

func TestDeath(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		panic     string
		init      bool
		first     string
	}{
		{"none", "[ 1.0] all is well\n", "", false, ""},
		{"sysrq", "[ 1.0] fine\n[ 2.0] sysrq: Trigger a crash\n[ 2.1] Kernel panic - not syncing: sysrq triggered crash\n[ 2.2] Call Trace:\n",
			"sysrq triggered crash", false, "[ 2.0] sysrq: Trigger a crash"},
		{"init", "[ 1.0] x\n[ 2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n",
			"Attempted to kill init! exitcode=0x00000100", true, "[ 2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"},
		{"oops", "[ 1.0] BUG: kernel NULL pointer dereference, address: 0\n[ 1.1] RIP: 0010:f\n[ 1.2] Kernel panic - not syncing: Fatal exception\n",
			"Fatal exception", false, "[ 1.0] BUG: kernel NULL pointer dereference, address: 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l Log
			fmt.Fprint(&l, tt.log)
			d, ok := l.Death()
			assert.Equal(t, tt.panic != "", ok)
			assert.Equal(t, tt.panic, d.Panic)
			assert.Equal(t, tt.init, d.Init)
			if ok {
				assert.Equal(t, tt.first, d.Lines[0])
			}
		})
	}
}
