package klog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOf(t *testing.T) {
	for line, want := range map[string]Kind{
		"WARNING: CPU: 0 PID: 61 at net/core/dev.c:123 foo+0x1/0x20 [mod]":               Warn,
		"WARNING: net/core/dev.c:123 at foo+0x1/0x20 [mod], CPU#0: init/61":              Warn,
		"WARNING: possible circular locking dependency detected":                         Warn,
		"WARNING: suspicious RCU usage":                                                  Warn,
		"WARNING: inconsistent lock state":                                               Warn,
		"refcount_t: saturated; leaking memory.":                                         Warn,
		"UBSAN: array-index-out-of-bounds in net/x.c:1:2":                                Warn,
		"unregister_netdevice: waiting for lo to become free. Usage count = 2":           Warn,
		"BUG: scheduling while atomic: init/61/0x00000002":                               Warn,
		"BUG: sleeping function called from invalid context at mm/slab.h:1":              Warn,
		"BUG: kernel NULL pointer dereference, address: 0000000000000000":                Oops,
		"kernel BUG at net/core/skbuff.c:112!":                                           Oops,
		"Oops: 0002 [#1] PREEMPT SMP NOPTI":                                              Oops,
		"Oops: general protection fault, probably for non-canonical address 0x1: 0000":   Oops,
		"general protection fault, probably for non-canonical address 0x1: 0000 [#1] SM": Oops,
		"BUG: KASAN: slab-out-of-bounds in f+0x1/0x2":                                    Oops,
		"BUG: KFENCE: use-after-free read in f+0x1/0x2":                                  Oops,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 3s! [init:61]":                     Lockup,
		"rcu: INFO: rcu_preempt self-detected stall on CPU":                              Lockup,
		"INFO: task init:61 blocked for more than 1 seconds.":                            Lockup,
		"init invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0":  OOM,
		"Out of memory: Killed process 75 (gosh) total-vm:1kB":                           OOM,
		"init: page allocation failure: order:10, mode:0xcc0(GFP_KERNEL)":                OOM,
		"traps: x[70] general protection fault ip:40 sp:7f error:0 in x[400000+1]":       None,
		"kfence: initialized - using 2097152 bytes for 255 objects":                      None,
		"eth0: Link is Up": None,
		"":                 None,
	} {
		assert.Equal(t, want, Of(line), line)
	}
}

func add(text string) (r Reports, kept []string) {
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if r.Add(line) {
			kept = append(kept, line)
		}
	}
	return r, kept
}

func TestReports(t *testing.T) {
	r, kept := add(`eth0: Link is Up
------------[ cut here ]------------
refcount_t: saturated; leaking memory.
WARNING: CPU: 0 PID: 61 at lib/refcount.c:22 refcount_warn_saturate+0x51/0x110
Call Trace:
 <TASK>
 </TASK>
---[ end trace 0000000000000000 ]---
eth0: Link is Down
BUG: kernel NULL pointer dereference, address: 0000000000000000
Oops: 0002 [#1] PREEMPT SMP NOPTI
 </TASK>
RIP: 0010:f+0x1/0x2
---[ end trace 0000000000000000 ]---
eth0: gone
INFO: task init:61 blocked for more than 1 seconds.
 </TASK>
end`)
	require.Len(t, r.List, 3)
	assert.Equal(t, Report{Warn, "refcount_t: saturated; leaking memory.", kept[:7]}, r.List[0])
	assert.Equal(t, Report{Oops, "BUG: kernel NULL pointer dereference, address: 0000000000000000", kept[7:12]}, r.List[1])
	assert.Equal(t, Lockup, r.List[2].Kind)
	assert.Len(t, kept, 14)
	assert.Same(t, &r.List[1], r.Worst())
}

// The report of an out-of-memory kill is named by what was killed.
func TestOOMReport(t *testing.T) {
	r, kept := add("init invoked oom-killer: gfp_mask=0x1\nCall Trace:\n </TASK>\nMem-Info:\noom-kill:constraint=CONSTRAINT_NONE\nOut of memory: Killed process 7 (x) y\nfine")
	require.Len(t, r.List, 1)
	assert.Equal(t, Report{OOM, "Out of memory: Killed process 7 (x) y", kept}, r.List[0])
	assert.Len(t, kept, 6)
}

// However much there is, what is kept is bounded, and a line that only looks
// like a beginning is no report.
func TestReportsAreBounded(t *testing.T) {
	var r Reports
	for i := range 100_000 {
		r.Add(fmt.Sprintf("WARNING: %d", i))
	}
	assert.Len(t, r.List, MaxReports)
	for _, x := range r.List {
		assert.LessOrEqual(t, len(x.Lines), MaxLines)
	}
	r, _ = add(cutHere + strings.Repeat("\nx", 50))
	assert.Empty(t, r.List)
	assert.Nil(t, r.Worst())
}

func TestUntimed(t *testing.T) {
	assert.Equal(t, "BUG: x", Untimed("[    1.234567] BUG: x"))
	assert.Equal(t, "[x] BUG: x", Untimed("[x] BUG: x"))
	assert.Equal(t, "", Untimed(""))
}
