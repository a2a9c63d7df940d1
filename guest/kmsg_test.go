//go:build linux

package guest

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseKmsg(t *testing.T) {
	for _, tt := range []struct {
		record   string
		priority uint8
		text     string
	}{
		{"6,339,5140900,-;NET: Registered PF_INET6\n", 6, "NET: Registered PF_INET6"},
		{"4,340,5140901,-;usb 1-1: x\n SUBSYSTEM=usb\n DEVICE=c189:0\n", 4, "usb 1-1: x"},
		{"30,341,5140902,-;from user space; facility 3\n", 6, "from user space; facility 3"},
		{"0,1,2,-;\n", 0, ""},
		{"nonsense", 6, "nonsense"},
	} {
		priority, text := parseKmsg(tt.record)
		assert.Equal(t, tt.priority, priority, tt.record)
		assert.Equal(t, tt.text, text, tt.record)
	}
}

// The stacks name this process's threads and fit in a message.
func TestStacksAreBounded(t *testing.T) {
	s := new(server)
	text := s.stacks()
	assert.Contains(t, text, "thread ")
	assert.LessOrEqual(t, len(text), maxStacks)
}
