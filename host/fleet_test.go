//go:build linux

package host

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The VM that was started ahead is the next program's, even where that has come
// before it is there. The one after that has its own.
func TestFleetAhead(t *testing.T) {
	rig := warmRig(t)
	v := selectKernels(t, rig, "6.1")[0]
	f := &Fleet{Rig: rig}
	f.mu.Lock()
	memory := f.memoryOf(&cargo{})
	p := f.pen(v, memory)
	p.coming++ // as Ahead has it while it starts
	f.mu.Unlock()
	first := make(chan *VM, 1)
	go func() {
		vm, err := f.get(t.Context(), v, memory)
		assert.NoError(t, err)
		first <- vm
	}()
	assert.Eventually(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return p.awaited == 1 }, requestTimeout, requestTimeout/3000)
	second, err := f.get(t.Context(), v, memory)
	require.NoError(t, err)
	f.Ahead(t.Context(), v)
	f.mu.Lock()
	p.coming--
	assert.Len(t, f.vms, 2)
	f.mu.Unlock()
	assert.NotSame(t, second, <-first)
	left, err := second.Tidy(t.Context())
	assert.NoError(t, err)
	assert.Empty(t, left)

	// Nobody waits for one that does not come.
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	f.Ahead(gone, v)
	_, err = f.get(gone, v, memory)
	assert.EqualError(t, err, "over")
	third, err := f.get(t.Context(), v, memory)
	assert.NoError(t, err)
	assert.NotNil(t, third)
	require.NoError(t, f.Close())
	assert.Empty(t, f.vms)
}
