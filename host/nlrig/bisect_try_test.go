//go:build linux

package main

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/cachedir"
)

// TestKernelsThatDoNotCome: one that is gone is gone around, and so are one or
// two that fail in another way; a full disk is nobody's fault but the disk's.
func TestKernelsThatDoNotCome(t *testing.T) {
	gone := fmt.Errorf("kernels: 6.1.1: %w", kernels.ErrGone)
	reset := errors.New("connection reset")
	full := fmt.Errorf("kernels: 6.1.1: %w", cachedir.DiskError("/cache", syscall.ENOSPC))
	for _, x := range []struct {
		errs  []error
		skips int
		err   string
	}{
		{[]error{gone, gone, gone, gone, nil}, 4, ""},
		{[]error{reset, reset, nil, reset, reset}, 4, ""},
		{[]error{reset, gone, reset, reset}, 3, "3 kernels in a row could not be had: connection reset"},
		{[]error{nil, full}, 0, "the disk with /cache is full: free some space"},
	} {
		h := had{newFetcher(t.Context(), nil, nil, nil), 0}
		skips := 0
		var err error
		for i, e := range x.errs {
			done := make(chan struct{})
			close(done)
			h.jobs[i] = &fetching{done: done, err: e}
			var skip string
			if skip, err = h.get(t.Context(), i); skip != "" {
				skips++
			}
		}
		assert.Equal(t, x.skips, skips)
		if x.err == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, x.err)
		}
	}
}

// A test that is skipped, or that there is none of, is no evidence.
func TestNoTestPassed(t *testing.T) {
	for out, want := range map[string]bool{
		"testing: warning: no tests to run\nPASS\nok  \tx\t0.1s [no tests to run]\n":  false,
		"=== RUN   TestA\n    a_test.go:3: not here\n--- SKIP: TestA (0.00s)\nPASS\n": false,
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\nok  \tx\t0.1s\n":             true,
		"=== RUN   TestA\nno newline--- PASS: TestA (0.00s)\nPASS\n":                  true,
		"ok  \tx\t0.1s\n": false,
		"":                false,
	} {
		var o tail
		_, _ = o.Write([]byte(out))
		assert.Equal(t, want, o.passed(), "%q", out)
	}
}
