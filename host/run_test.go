//go:build linux

package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Every case holds on every kernel that the README names.
func TestCorpus(t *testing.T) {
	rig := testRig(t)
	all, err := cases.All()
	require.NoError(t, err)
	targets := append(qemuTargets(t, rig, "default"), rig.LocalTarget())
	columns := (&Runner{}).Run(t.Context(), targets, all)
	require.Len(t, columns, len(targets))
	for _, c := range columns {
		t.Run("kernel="+c.Target, func(t *testing.T) {
			for _, o := range c.Outcomes {
				t.Run("case="+o.Case.Name, func(t *testing.T) {
					if (o.Verdict == Skip || o.Verdict == ConfigMissing) && (c.Target == "local" || len(o.Case.Versions) > 0) {
						t.Skip(o.Reason)
					}
					if o.Verdict != Pass {
						var b strings.Builder
						alone := c
						alone.Outcomes = []Outcome{o}
						assert.NoError(t, report.WriteText(&b, NewReport([]Column{alone}, []*nlcase.Case{o.Case}), report.Style{}))
						t.Error(b.String())
					}
				})
			}
		})
	}
}

const (
	fine   = "# An ACK.\n# ref: net/netlink/af_netlink.c netlink_ack\nopen s route\nsend s NLMSG_NOOP REQUEST|ACK\nrecv s NLMSG_ERROR CAPPED error=0 request\n"
	header = "# Breaks its kernel on purpose.\n# ref: net/netlink/af_netlink.c netlink_ack\nneeds vm\nopen s route\n"
)

// words are what the last words of each such case must hold.
func words(version string) map[string]string {
	return map[string]string{
		"panic": "sysrq: Trigger a crash",
		// From 6.12 on the scheduler's fair server leaves the agent a
		// twentieth of the processor: it can still say where it stands.
		"spin":  map[bool]string{true: "thread ", false: "NMI received"}[kernels.CompareVersions(version, "6.12") >= 0],
		"sleep": "thread ",
		"exit":  "Attempted to kill init",
	}
}

// A case that breaks its kernel loses that case alone, and says how.
func TestBrokenKernelLosesOneCase(t *testing.T) {
	rig := testRig(t)
	list := parseCases(t,
		[2]string{"fine1", fine},
		[2]string{"panic", header + "write /proc/sysrq-trigger \"c\"\n"},
		[2]string{"fine2", fine},
		[2]string{"spin", header + "write /proc/sys/kernel/sched_rt_runtime_us \"-1\"\nspin\n"},
		[2]string{"fine3", fine},
		[2]string{"sleep", header + "sleep 1h\n"},
		[2]string{"fine4", fine},
		[2]string{"exit", header + "exit\n"},
		[2]string{"fine5", fine},
	)
	want := map[string]Verdict{"panic": Panic, "spin": Hang, "sleep": Hang, "exit": AgentLost}
	r := &Runner{CaseTimeout: 4 * time.Second}
	for _, c := range r.Run(t.Context(), qemuTargets(t, rig, "default"), list) {
		t.Run("kernel="+c.Target, func(t *testing.T) {
			words := words(c.Target)
			for _, o := range c.Outcomes {
				v, broken := want[o.Case.Name]
				if !broken {
					v = Pass
				}
				assert.Equal(t, v, o.Verdict, "%s: %s\n%s", o.Case.Name, o.Reason, strings.Join(o.LastWords, "\n"))
				assert.Contains(t, strings.Join(o.LastWords, "\n"), words[o.Case.Name], o.Case.Name)
			}
			assert.GreaterOrEqual(t, c.Boots, 5, "a VM for each that was broken")
		})
	}
}

// QEMU killed from outside is one verdict, and the rest goes on.
func TestKilledQEMU(t *testing.T) {
	rig := testRig(t)
	list := parseCases(t, [2]string{"fine1", fine}, [2]string{"killed", header + "sleep 1h\n"}, [2]string{"fine2", fine})
	r := &Runner{CaseTimeout: 30 * time.Second}
	r.Progress = func(e Event) {
		if e.Kind == Played && e.Out.Case.Name == "fine1" {
			go func() {
				time.Sleep(300 * time.Millisecond) // into the case that sleeps
				for _, pid := range qemuChildren(os.Getpid()) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}()
		}
	}
	columns := r.Run(t.Context(), qemuTargets(t, rig, "6.1"), list)
	out := columns[0].Outcomes
	assert.Equal(t, Pass, out[0].Verdict, out[0].Reason)
	assert.Equal(t, VMCrash, out[1].Verdict, out[1].Reason)
	assert.Contains(t, out[1].Reason, "killed")
	assert.NotEmpty(t, out[1].LastWords)
	assert.Equal(t, Pass, out[2].Verdict, out[2].Reason)
	assert.Equal(t, 2, columns[0].Boots)
	assert.Equal(t, ExitNotHeld, ExitCode(columns))
}

func qemuChildren(pid int) (pids []int) {
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			exe, _ := os.Readlink("/proc/" + s + "/exe")
			if pid, err := strconv.Atoi(s); err == nil && strings.Contains(exe, "qemu-system") {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

const helperEnv = "NLRIG_TEST_HELPER"

// runHelper is a runner to be killed: a case that sleeps, on the kernels that
// the environment names.
func runHelper() {
	var t helperT
	rig := testRig(t)
	list := parseCases(t, [2]string{"sleep", header + "sleep 1h\n"})
	r := &Runner{CaseTimeout: time.Minute, Progress: func(e Event) {
		if e.Kind == Booted {
			os.Stdout.WriteString("booted\n")
		}
	}}
	var targets []Target
	for _, v := range selectKernels(t, rig, os.Getenv(helperEnv)) {
		targets = append(targets, rig.Target(v))
	}
	r.Run(context.Background(), targets, list)
	os.Exit(0)
}

// helperT is a testing.TB of a process that has no test.
type helperT struct{ testing.TB }

func (helperT) Helper()                  {}
func (helperT) Name() string             { return "helper" }
func (helperT) Logf(string, ...any)      {}
func (helperT) Context() context.Context { return context.Background() }
func (helperT) FailNow()                 { os.Exit(1) }
func (helperT) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// A runner killed with SIGKILL leaves no QEMU and no file, and the next run
// works.
func TestKilledRunner(t *testing.T) {
	tmp := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), helperEnv+"=6.1,newest", "TMPDIR="+tmp)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	b := make([]byte, 14)
	_, err = io.ReadFull(stdout, b)
	require.NoError(t, err, "both VMs are up")
	qemus := qemuChildren(cmd.Process.Pid)
	require.Len(t, qemus, 2)
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()

	assert.Eventually(t, func() bool {
		for _, pid := range qemus {
			exe, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
			if strings.Contains(exe, "qemu-system") {
				return false
			}
		}
		return true
	}, 2*time.Second, 10*time.Millisecond, "QEMU outlives its runner")
	left, err := filepath.Glob(tmp + "/*")
	require.NoError(t, err)
	// x/tools/internal/modindex makes one when any test's binary starts.
	left = slices.DeleteFunc(left, func(f string) bool { return filepath.Base(f) == "goimports" })
	assert.Empty(t, left)

	columns := (&Runner{}).Run(t.Context(), qemuTargets(t, testRig(t), "6.1"), parseCases(t, [2]string{"fine", fine}))
	assert.Equal(t, Pass, columns[0].Outcomes[0].Verdict, columns[0].Outcomes[0].Reason)
}

// A kernel that cannot be used is a verdict that names what it lacks.
func TestUnusableKernel(t *testing.T) {
	list := parseCases(t, [2]string{"fine", fine}, [2]string{"fine2", fine})
	run := func(t *testing.T, rig *Rig, spec string) Column {
		cs := (&Runner{BootTimeout: 30 * time.Second}).Run(t.Context(), qemuTargets(t, rig, spec), list)
		require.Len(t, cs, 1)
		require.Equal(t, cs[0].Outcomes[0].Reason, cs[0].Outcomes[1].Reason)
		return cs[0]
	}
	t.Run("no virtio", func(t *testing.T) {
		rig := testRig(t)
		v := selectKernels(t, rig, "6.1")[0]
		k, err := rig.Catalogue.Get(t.Context(), v, nil)
		require.NoError(t, err)
		c := run(t, rig, "file:"+k.BzImage) // without its modules
		assert.Equal(t, BootFail, c.Outcomes[0].Verdict)
		assert.Contains(t, c.Outcomes[0].Reason, "CONFIG_VIRTIO_PCI")
		assert.Equal(t, 2, c.Boots, "tried once more before the kernel is blamed")
		assert.Equal(t, ExitNotHeld, ExitCode([]Column{c}))
	})
	t.Run("no initramfs", func(t *testing.T) {
		rig := testRig(t)
		rig.QEMU.Append = "rdinit=/nowhere" // as if nothing had been unpacked
		c := run(t, rig, "6.1")
		assert.Equal(t, BootFail, c.Outcomes[0].Verdict)
		assert.Contains(t, c.Outcomes[0].Reason, "CONFIG_BLK_DEV_INITRD")
	})
	t.Run("no QEMU", func(t *testing.T) {
		rig := testRig(t)
		rig.QEMU.Binary = "qemu-of-nobody"
		c := run(t, rig, "6.1")
		assert.Equal(t, Infra, c.Outcomes[0].Verdict)
		assert.Contains(t, c.Outcomes[0].Reason, "apt-get install")
		assert.Equal(t, ExitInfra, ExitCode([]Column{c}))
	})
	t.Run("old QEMU", func(t *testing.T) {
		old := filepath.Join(t.TempDir(), "qemu")
		require.NoError(t, os.WriteFile(old, []byte("#!/bin/sh\necho QEMU emulator version 2.11.1\n"), 0o755))
		rig := testRig(t)
		rig.QEMU.Binary = old
		c := run(t, rig, "6.1")
		assert.Equal(t, Infra, c.Outcomes[0].Verdict)
		assert.Contains(t, c.Outcomes[0].Reason, "version 2.11.1, at least 5.2 is needed")
	})
	t.Run("QEMU that ends at once", func(t *testing.T) {
		bad := filepath.Join(t.TempDir(), "qemu")
		require.NoError(t, os.WriteFile(bad, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo QEMU emulator version 7.2 && exit\necho no such machine >&2\nexit 1\n"), 0o755))
		rig := testRig(t)
		rig.QEMU.Binary = bad
		c := run(t, rig, "6.1")
		assert.Equal(t, Infra, c.Outcomes[0].Verdict)
		assert.Contains(t, c.Outcomes[0].Reason, "no such machine")
	})
}

// An interrupt ends VMs and gives every case a verdict.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	list := parseCases(t, [2]string{"fine", fine}, [2]string{"sleep", header + "sleep 1h\n"}, [2]string{"fine2", fine})
	r := &Runner{Progress: func(e Event) {
		if e.Kind == Played && e.Out.Case.Name == "fine" {
			cancel()
		}
	}}
	columns := r.Run(ctx, qemuTargets(t, testRig(t), "6.1"), list)
	out := columns[0].Outcomes
	assert.Equal(t, Pass, out[0].Verdict)
	assert.Equal(t, Infra, out[1].Verdict)
	assert.Equal(t, Infra, out[2].Verdict)
	assert.Equal(t, ExitInfra, ExitCode(columns))
}

// Two runs of the same cases are the same report, to the byte, but for seconds.
func TestReportsAreDeterministic(t *testing.T) {
	all, err := cases.All()
	require.NoError(t, err)
	rig := testRig(t)
	play := func() string {
		var b bytes.Buffer
		r := NewReport((&Runner{}).Run(t.Context(), qemuTargets(t, rig, "6.12"), all), all)
		r.DropSeconds()
		require.NoError(t, report.WriteJSON(&b, r))
		return b.String()
	}
	assert.Equal(t, play(), play())
}
