//go:build linux

package guest

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseKmsg(t *testing.T) {
	for _, tt := range []struct {
		line     string
		seq      uint64
		priority uint8
		user     bool
		text     string
	}{
		{"6,339,5140900,-;NET: Registered PF_INET6\n", 339, 6, false, "NET: Registered PF_INET6"},
		{"4,340,5140901,-;usb 1-1: x\n SUBSYSTEM=usb\n DEVICE=c189:0\n", 340, 4, false, "usb 1-1: x"},
		{"30,341,5140902,-;from user space; facility 3\n", 341, 6, true, "from user space; facility 3"},
		{"0,1,2,-;\n", 1, 0, false, ""},
		{"nonsense", 0, 6, true, "nonsense"},
	} {
		assert.Equal(t, record{seq: tt.seq, priority: tt.priority, user: tt.user, text: tt.text}, parseKmsg(tt.line))
	}
}

// The stacks name this process's threads and fit in a message.
func TestStacksAreBounded(t *testing.T) {
	s := new(server)
	text := s.stacks()
	assert.Contains(t, text, "thread ")
	assert.LessOrEqual(t, len(text), maxStacks)
}
