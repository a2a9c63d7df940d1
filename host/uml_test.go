//go:build linux

package host

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/lack"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// umlKernel is the one of 6.1, in the cache, or skips the test.
func umlKernel(t *testing.T, rig *Rig) *kernels.Kernel {
	t.Helper()
	if _, err := rig.TryUML(t.Context()); err != nil {
		lack.Skip(t, "%v", err)
	}
	v := selectKernels(t, rig, "uml:6.1")[0]
	if err := checkLibc(t.Context(), v); err != nil {
		lack.Skip(t, "%v", err)
	}
	k, err := rig.Catalogue.Get(t.Context(), v, nil)
	require.NoError(t, err)
	return k
}

// running are the processes of this machine that are k.
func running(k *kernels.Kernel) (pids []int) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, f := range exes {
		var pid int
		if exe, _ := os.Readlink(f); exe == k.UML {
			fmt.Sscanf(f, "/proc/%d/", &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}

func assertNoneRuns(t *testing.T, k *kernels.Kernel) {
	t.Helper()
	assert.Eventually(t, func() bool { return len(running(k)) == 0 }, 3*time.Second, 20*time.Millisecond, "no process of it is left")
}

// Every case holds, or is one that this kernel is not built for.
func TestUMLCorpus(t *testing.T) {
	rig := testRig(t)
	k := umlKernel(t, rig)
	all, err := cases.All()
	require.NoError(t, err)
	column := (&Runner{CaseTimeout: 30 * time.Second}).Run(t.Context(), []Target{rig.Target(k.Version)}, all)[0]
	passed := 0
	for _, o := range column.Outcomes {
		switch o.Verdict {
		case Pass:
			passed++
		case Skip, ConfigMissing:
			t.Logf("%s: %s: %s", o.Case.Name, o.Verdict, o.Reason)
		default:
			var b strings.Builder
			alone := column
			alone.Outcomes = []Outcome{o}
			assert.NoError(t, report.WriteText(&b, NewReport([]Column{alone}, []*nlcase.Case{o.Case}), report.Style{}))
			t.Error(b.String())
		}
	}
	assert.Greater(t, passed, len(all)/2)
	assertNoneRuns(t, k)
}

// A kernel that is a program dies, hangs and is killed as one in QEMU does.
func TestUMLBrokenLosesOneCase(t *testing.T) {
	rig := testRig(t)
	k := umlKernel(t, rig)
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
		[2]string{"killed", header + "sleep 1h\n"},
		[2]string{"fine6", fine},
	)
	want := map[string]struct {
		verdict Verdict
		words   string
	}{
		"panic":  {Panic, "sysrq: Trigger a crash"},
		"spin":   {Hang, "Kernel mode signal 8"},
		"sleep":  {Hang, "thread "},
		"exit":   {AgentLost, "Attempted to kill init"},
		"killed": {VMCrash, ""},
	}
	r := &Runner{CaseTimeout: 4 * time.Second}
	r.Progress = func(e Event) {
		if e.Kind == Played && e.Out.Case.Name == "fine5" {
			go func() {
				time.Sleep(300 * time.Millisecond) // into the case that sleeps
				for _, pid := range running(k) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}()
		}
	}
	column := r.Run(t.Context(), []Target{rig.Target(k.Version)}, list)[0]
	for _, o := range column.Outcomes {
		w, broken := want[o.Case.Name]
		if !broken {
			w.verdict = Pass
		}
		assert.Equal(t, w.verdict, o.Verdict, "%s: %s\n%s", o.Case.Name, o.Reason, strings.Join(o.LastWords, "\n"))
		assert.Contains(t, strings.Join(o.LastWords, "\n"), w.words, o.Case.Name)
	}
	assert.Contains(t, column.Outcomes[9].Reason, "killed by SIGKILL")
	assert.Equal(t, 6, column.Boots, "a VM for each that was broken")
	assertNoneRuns(t, k)
}

// A runner killed with SIGKILL leaves no process of the guest and no file.
func TestUMLKilledRunner(t *testing.T) {
	k := umlKernel(t, testRig(t))
	tmp := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), helperEnv+"=uml:6.1", "TMPDIR="+tmp)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(stdout, make([]byte, 7))
	require.NoError(t, err, "it is up")
	require.NotEmpty(t, running(k))
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	assertNoneRuns(t, k)
	left, err := filepath.Glob(tmp + "/*")
	require.NoError(t, err)
	// x/tools/internal/modindex makes one when any test's binary starts.
	left = slices.DeleteFunc(left, func(f string) bool { return filepath.Base(f) == "goimports" })
	assert.Empty(t, left)
}

// Whatever the bytes are, and however many, the port takes them both ways.
func TestUMLPortTakesAnyBytes(t *testing.T) {
	rig := testRig(t)
	k := umlKernel(t, rig)
	target := rig.Target(k.Version)
	require.NoError(t, target.prepare(t.Context(), shellSays(t)))
	m, _, err := target.start(t.Context(), DefaultBootTimeout, nil)
	require.NoError(t, err)
	s := newSession(m, &target)
	defer s.close()
	require.NoError(t, s.awaitHello(t.Context(), target.agent(), DefaultBootTimeout))

	// A module that nobody waits for is checked, as each frame is, and dropped.
	data := make([]byte, 1<<18)
	rand.Read(data)
	start := time.Now()
	require.NoError(t, s.conn.Send(&wire.Module{ID: 1 << 20, Name: "none", Data: data}))
	require.NoError(t, s.conn.Send(&wire.Show{}))
	_, ok := s.awaitStacks()
	took := time.Since(start)
	require.True(t, ok, "%v", s.readErr)
	t.Logf("256 KiB to the guest in %v", took)

	// And a transcript, of several times what any buffer holds.
	text := "# Many dumps.\n# ref: net/netlink/af_netlink.c netlink_dump\nopen s route\n" +
		strings.Repeat("send s RTM_GETLINK REQUEST|DUMP ifinfomsg{}\ncollect s ...\n", 150)
	start = time.Now()
	o, alive := s.play(t.Context(), parseCases(t, [2]string{"dumps", text})[0], "", time.Minute)
	require.Equal(t, Pass, o.Verdict, o.Reason)
	assert.True(t, alive)
	size := len(o.Transcript.AppendBinary(nil))
	assert.Greater(t, size, 64<<10)
	t.Logf("%d bytes to the host, and what they tell of, in %v", size, time.Since(start))
}
