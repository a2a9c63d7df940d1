//go:build linux

package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/search"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// bisectCache is the one whose kernels are played on, all of them.
func bisectCache(t *testing.T) string {
	cache := os.Getenv("NLRIG_BISECT")
	if cache == "" {
		t.Skip("NLRIG_BISECT names no cache: some 30 kernels are played on, make bisect-versions does it")
	}
	return cache
}

// bisected is what nlrig bisect reports.
func bisected(t *testing.T, cache string, args ...string) (r search.Report) {
	dir := t.TempDir()
	args = append([]string{"-cache", cache, "-here", "-log", filepath.Join(dir, "log"), "-o", "json=" + filepath.Join(dir, "json")}, args...)
	require.NoError(t, bisectCommand(t.Context(), args))
	text, err := os.ReadFile(filepath.Join(dir, "json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	return r
}

// changed are cases and two kernels between which they change: inside a stable
// series, from one series to another, and the other way round.
var changed = []struct{ name, good, bad string }{
	{"genl/getpolicy-operations", "6.12.43", "6.12.118"},
	{"genl/getfamily-dump", "6.12.43", "6.12.118"},
	{"link/attribute-empty", "6.12.43", "6.12.118"},
	{"multicast/overrun", "5.10.218", "5.10.262"},
	{"genl/getfamily-dump", "7.1.3", "7.1.13"},
	{"genl/getpolicy-dump", "7.2.13", "7.2.6"},
	{"link/rename-up", "5.10.218", "7.3.4"},
	{"netconf/get", "7.3.4", "5.10.218"},
	{"rule/defaults", "5.10.218", "7.3.4"},
	{"link/ext-mask", "5.10.218", "7.3.4"},
	{"multicast/dellink-requester", "6.1.170", "7.3.4"},
	{"link/stats", "6.1.170", "6.19.14"},
	{"fdb/bridge-vlan", "6.12.43", "7.3.4"},
	{"register/getlink-doit", "6.12.118", "7.3.4"},
}

// TestBisectMatrix: what nlrig bisect finds is a boundary of the matrix, found
// with few VMs.
func TestBisectMatrix(t *testing.T) {
	cache := bisectCache(t)
	var names []string
	for _, x := range changed {
		if !slices.Contains(names, x.name) {
			names = append(names, x.name)
		}
	}
	list, err := selectCases(names)
	require.NoError(t, err)
	o := options{cache: cache, accel: "auto", binary: "qemu-system-x86_64", memory: 256}
	rig, err := o.rig(t.Logf)
	require.NoError(t, err)
	all := bisection{rig: rig, good: "5.10.218", bad: "7.3.4", here: true}
	require.NoError(t, all.ends(t.Context()))
	var choices []choice
	for _, e := range all.row {
		choices = append(choices, choice(e))
	}
	targets, err := targetsOf(rig, choices)
	require.NoError(t, err)
	r := host.Runner{}
	matrix := host.NewReport(r.Run(t.Context(), targets, list), list)
	for _, x := range changed {
		t.Run(x.name+" "+x.good+" "+x.bad, func(t *testing.T) {
			row := matrix.Cases[slices.IndexFunc(list, func(c *nlcase.Case) bool { return c.Name == x.name })]
			class := map[string]string{}
			for k, kernel := range matrix.Kernels {
				class[kernel.Name] = row.Cells[k].Class
			}
			start := time.Now()
			got := bisected(t, cache, "-good", x.good, "-bad", x.bad, "-diff", x.name)
			took := time.Since(start)
			require.Len(t, got.Changes, 1)
			c := got.Changes[0]
			assert.NotEqual(t, class[c.Last] == class[x.good], class[c.First] == class[x.good], "%s is %s and %s is %s", c.Last, class[c.Last], c.First, class[c.First])
			from := slices.IndexFunc(all.row, func(e end) bool { return e.String() == c.Last })
			to := slices.IndexFunc(all.row, func(e end) bool { return e.String() == c.First })
			for _, e := range all.row[from+1 : to] {
				assert.Empty(t, class[e.String()], "%v lies between, and is evidence", e)
			}
			most := int(math.Ceil(math.Log2(float64(got.Of)))) + 3
			assert.LessOrEqual(t, got.Starts, most)
			t.Logf("%s: %s, %s: %d kernels, %d VMs of %d at most, %d plays, %.1f s, confidence %.4f", x.name, c.Last, c.First, got.Of, got.Starts, most, got.Plays, took.Seconds(), got.Confidence)
		})
	}
}

// TestBisectSometimes: a case that three times in ten sees the change is as
// likely to lead to it as is stated. The kernels' own random numbers say when.
func TestBisectSometimes(t *testing.T) {
	cache := bisectCache(t)
	const all = 20
	right := 0
	for range all {
		got := bisected(t, cache, "-entropy", "-good", "6.1.170", "-bad", "7.3.4", "testdata/sometimes.case")
		if len(got.Changes) == 1 && got.Changes[0].Last == "6.1.192" && got.Changes[0].First == "6.12.43" {
			right++
		}
		t.Logf("%d right; %d plays in %d VMs, %.1f s, confidence %.4f: %v", right, got.Plays, got.Starts, got.Seconds, got.Confidence, got.Outcome)
	}
	require.GreaterOrEqual(t, right, all-1)
}
