//go:build linux

package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/lack"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const faultModule = "nlrig_fault"

// buildFault builds the module for v.
func buildFault(t *testing.T, rig *Rig, v kernels.Version) []byte {
	for _, tool := range []string{"make", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			lack.Skip(t, "no %s to build the module with faults", tool)
		}
	}
	headers, err := rig.Catalogue.Headers(t.Context(), v)
	if err != nil {
		lack.Skip(t, "%v", err)
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/fault")))
	// BTF is for tools that look at modules, and would need one more. The
	// kernel's gcc may have been a later one, with an option of its own.
	out, err := exec.Command("make", "-s", "-C", headers, "M="+dir, "CC=gcc",
		"CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=", "modules").CombinedOutput()
	require.NoError(t, err, "%s", out)
	ko, err := os.ReadFile(filepath.Join(dir, faultModule+".ko"))
	require.NoError(t, err)
	return ko
}

// buildable is the newest kernel of a series that modules can be built for here:
// the tools of one that is new in a later Debian want its C library.
func buildable(t *testing.T, rig *Rig, series string) kernels.Version {
	all := selectKernels(t, rig, series+".."+series)
	for _, v := range slices.Backward(all[max(0, len(all)-5):]) {
		headers, err := rig.Catalogue.Headers(t.Context(), v)
		if err != nil {
			t.Log(err)
			continue
		}
		cmd := exec.Command(filepath.Join(headers, "tools/objtool/objtool"), "--help")
		cmd.Env = append(os.Environ(), "SRCARCH=x86")
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), "GLIBC_") {
			return v
		}
		t.Logf("%v: %s", v, firstLine(string(out)))
	}
	lack.Skip(t, "modules of no kernel of %s can be built here", series)
	return kernels.Version{}
}

// faultTarget is v with the module with faults among its own.
func faultTarget(t *testing.T, rig *Rig, v kernels.Version) Target {
	ko := buildFault(t, rig, v)
	target := rig.QEMUTarget(v)
	own := target.modules
	target.modules = func(name string) ([]initramfs.Module, error) {
		if name == faultModule {
			return []initramfs.Module{{Name: name, Data: ko}}, nil
		}
		return own(name)
	}
	return target
}

// faultCase is a case that brings a fault about, after what sets the stage.
func faultCase(word string, before ...string) [2]string {
	return [2]string{word, "# A fault.\n# ref: net/netlink/af_netlink.c netlink_ack\nneeds vm\nneeds module " + faultModule +
		"\n" + strings.Join(before, "") + "write /sys/module/" + faultModule + "/parameters/do \"" + word + "\"\n" +
		strings.Join(strings.SplitAfter(fine, "netlink_ack\n")[1:], "")}
}

// Each fault has its verdict, on the case that made it, with the kernel's
// words, and costs no other case its result.
func TestFaults(t *testing.T) {
	rig := testRig(t)
	afterFlood := faultCase("bug", "write /sys/module/"+faultModule+"/parameters/do \"flood\"\n")
	afterFlood[0] = "bug-after-flood"
	const sysctl = "write /proc/sys/kernel/"
	type fault struct {
		text   [2]string
		want   Verdict
		reason string
		words  string // in the last words
	}
	faults := []fault{
		{faultCase("taint"), Warn, "the kernel is tainted: W", ""},
		{faultCase("warn"), Warn, "WARNING: ", "do_fault"},
		{faultCase("refcount"), Warn, "refcount_t: ", "refcount_warn_saturate"},
		{faultCase("oops"), Oops, "BUG: kernel NULL pointer dereference", "do_fault"},
		{faultCase("bug"), Oops, "kernel BUG at ", "do_fault"},
		{faultCase("softlockup", sysctl+"watchdog_thresh \"1\"\n"), Lockup, "soft lockup", "do_fault"},
		{faultCase("hungtask", sysctl+"hung_task_timeout_secs \"1\"\n"), Lockup, "blocked for more than", "do_fault"},
		{faultCase("exhaust"), OOM, "page allocation failure", "do_fault"},
		{faultCase("oom"), OOM, "System is deadlocked on memory", "out_of_memory"},
		{afterFlood, Oops, "kernel BUG at ", "do_fault"},
		{faultCase("flood"), Pass, "", ""},
		{faultCase("netns"), Warn, "leaked: its network namespace", ""},
	}
	var list []*nlcase.Case
	for _, f := range faults {
		list = append(list, parseCases(t, f.text, [2]string{"after-" + f.text[0], fine})...)
	}
	var targets []Target
	for _, series := range []string{"6.1", "6.12"} {
		targets = append(targets, faultTarget(t, rig, buildable(t, rig, series)))
	}
	var r Runner
	for _, c := range r.Run(t.Context(), targets, list) {
		t.Run("kernel="+c.Target, func(t *testing.T) {
			for i, f := range faults {
				o, next := c.Outcomes[2*i], c.Outcomes[2*i+1]
				words := strings.Join(o.LastWords, "\n")
				t.Logf("%s: %s: %s (%d words, %d log, %v)", o.Case.Name, o.Verdict, o.Reason, len(o.LastWords), len(o.Log), o.Took.Round(time.Millisecond))
				assert.Equal(t, f.want, o.Verdict, "%s: %s\n%s\n%s", o.Case.Name, o.Reason, words, strings.Join(o.Log, "\n"))
				assert.Contains(t, o.Reason, f.reason, o.Case.Name)
				assert.Contains(t, words, f.words, o.Case.Name)
				assert.Equal(t, Pass, next.Verdict, "%s: %s", next.Case.Name, next.Reason)
				assert.LessOrEqual(t, len(o.Log), maxLog+8*120+1)
			}
			flood := c.Outcomes[2*slices.IndexFunc(faults, func(f fault) bool { return f.text[0] == "flood" })].Log
			var n int
			_, err := fmt.Sscanf(flood[len(flood)-1], "[%d more lines not kept]", &n)
			require.NoError(t, err)
			assert.InDelta(t, 100_000_000/900, n+len(flood)-1, 20, "lines of the flood, and a few of the module's")
		})
	}
}

func kmsg(lines ...string) (all []wire.Message) {
	for _, l := range lines {
		all = append(all, &wire.Kmsg{Text: l})
	}
	return all
}

func TestHealthJudges(t *testing.T) {
	const warning = "WARNING: CPU: 0 PID: 61 at net/core/dev.c:123 foo+0x1/0x20"
	for _, tt := range []struct {
		name   string
		in     Verdict
		msgs   []wire.Message
		result wire.Result
		before uint32
		want   Verdict
		reason string
	}{
		{"nothing", Pass, kmsg("eth0: Link is Up"), wire.Result{}, 0, Pass, ""},
		{"warning", Pass, kmsg(warning), wire.Result{Tainted: 1 << 9}, 0, Warn, "WARNING: net/core/dev.c:123 foo+0x1/0x20"},
		{"newer warning", Fail, kmsg("WARNING: net/core/dev.c:123 at foo+0x1/0x20, CPU#0: init/61"), wire.Result{}, 0, Warn, "WARNING: net/core/dev.c:123 foo+0x1/0x20"},
		{"a program's words", Pass, []wire.Message{&wire.Kmsg{Text: warning, User: true}}, wire.Result{}, 0, Pass, ""},
		{"the worst", Pass, kmsg(warning, "x", "BUG: kernel NULL pointer dereference"), wire.Result{}, 0, Oops, "BUG: kernel NULL pointer dereference"},
		{"a hang stays one", Hang, kmsg(warning), wire.Result{}, 0, Hang, ""},
		{"but for why", Hang, kmsg("INFO: task x:1 blocked for more than 1 seconds."), wire.Result{}, 0, Lockup, "INFO: task x:1 blocked for more than 1 seconds."},
		{"panic", Panic, kmsg(warning), wire.Result{}, 0, Panic, ": WARNING: net/core/dev.c:123 foo+0x1/0x20"},
		{"taint", Pass, nil, wire.Result{Tainted: 1<<9 | 1<<12}, 0, Warn, "the kernel is tainted: W"},
		{"taint of before", Pass, nil, wire.Result{Tainted: 1<<9 | 1<<12}, 1 << 9, Pass, ""},
		{"taint of modules", Pass, nil, wire.Result{Tainted: 1<<0 | 1<<12 | 1<<13}, 0, Pass, ""},
		{"taint is worse", Pass, kmsg(warning), wire.Result{Tainted: 1<<9 | 1<<7}, 0, Oops, "the kernel is tainted: DW"},
		{"leak", Pass, nil, wire.Result{Leaks: []string{"link a", "process (b)"}}, 0, Warn, "leaked: link a, process (b)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h health
			for _, m := range tt.msgs {
				h.heard(m)
			}
			h.ended(&tt.result, tt.before)
			o := h.judge(Outcome{Verdict: tt.in})
			assert.Equal(t, tt.want, o.Verdict)
			assert.Equal(t, tt.reason, o.Reason)
		})
	}
}

// What a guest sends is kept within bounds, and counted beyond them.
func TestHealthIsBounded(t *testing.T) {
	var h health
	for range 100_000 {
		h.heard(&wire.Kmsg{Text: "x"})
		h.heard(&wire.Kmsg{Text: "WARNING: x"})
	}
	h.ended(&wire.Result{Dropped: 1}, 0)
	assert.Less(t, len(h.log()), 2000)
	assert.Contains(t, h.log()[len(h.log())-1], "more lines not kept]")
}

func TestPanicOn(t *testing.T) {
	s, err := PanicOn("warn,oops")
	require.NoError(t, err)
	assert.Equal(t, "panic_on_warn=1 oops=panic", s)
	_, err = PanicOn("fail")
	assert.ErrorContains(t, err, `not on "fail"`)
}

// With -panic-on the kernel ends itself, and the panic says of what.
func TestPanicOnFaults(t *testing.T) {
	rig := testRig(t)
	v := selectKernels(t, rig, "6.1")[0]
	var err error
	rig.QEMU.Append, err = PanicOn("warn,oops,lockup,oom")
	require.NoError(t, err)
	list := parseCases(t, faultCase("warn"), [2]string{"fine1", fine}, faultCase("oops"), [2]string{"fine2", fine}, faultCase("oom"))
	out := (&Runner{}).Run(t.Context(), []Target{faultTarget(t, rig, v)}, list)[0].Outcomes
	for i, reason := range map[int]string{0: "panic_on_warn set", 2: "Fatal exception", 4: "panic_on_oom"} {
		assert.Equal(t, Panic, out[i].Verdict, "%s: %s", out[i].Case.Name, out[i].Reason)
		assert.Contains(t, out[i].Reason, reason)
		assert.NotEmpty(t, out[i].LastWords)
	}
	assert.Contains(t, out[0].Reason, "WARNING: ")
	assert.Contains(t, out[2].Reason, "BUG: kernel NULL pointer dereference")
	assert.Equal(t, Pass, out[1].Verdict, out[1].Reason)
	assert.Equal(t, Pass, out[3].Verdict, out[3].Reason)
}

// A link that a case leaves in the first network namespace is the case's, and
// what a module makes when it is loaded is nobody's.
func TestLeakedLink(t *testing.T) {
	const dummy = "needs module dummy\n"
	list := parseCases(t, [2]string{"loads", dummy + fine},
		[2]string{"leaves", dummy + "open s route\nsend s RTM_NEWLINK REQUEST|ACK|CREATE ifinfomsg{} IFLA_IFNAME=\"left\" IFLA_NET_NS_PID:u32=1 IFLA_LINKINFO{IFLA_INFO_KIND=\"dummy\"}\n" +
			"recv s NLMSG_ERROR CAPPED error=0 request\n"},
		[2]string{"fine", fine})
	out := (&Runner{}).Run(t.Context(), qemuTargets(t, testRig(t), "6.1"), list)[0].Outcomes
	assert.Equal(t, Pass, out[0].Verdict, out[0].Reason)
	assert.Equal(t, Warn, out[1].Verdict, out[1].Reason)
	assert.Equal(t, []string{"link left in the first network namespace"}, out[1].Leaks)
	assert.Empty(t, out[1].Mismatches)
	assert.NotNil(t, out[1].Transcript)
	assert.Equal(t, Pass, out[2].Verdict, out[2].Reason)
}

// frozen is a VM whose QEMU stands still.
type frozen struct{ machine }

func (frozen) Console() *console.Log { return new(console.Log) }
func (frozen) NMI() error            { return fmt.Errorf("qmp: %w", os.ErrDeadlineExceeded) }

// A QEMU that stands still is not the kernel's hang.
func TestFrozenQEMU(t *testing.T) {
	s := &session{m: frozen{}}
	o := s.hung(time.Second, time.Minute)
	assert.Equal(t, VMCrash, o.Verdict)
	assert.Contains(t, o.Reason, "QEMU itself does not answer")
	assert.True(t, s.stuck)
}
