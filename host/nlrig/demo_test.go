//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/gotest"
	"github.com/nlrig/nlrig/initramfs"
)

// demoEnv has the kernels on which everything in testdata/demo is tried, a list
// with commas. Without it that is a part, on two kernels.
const demoEnv = "NLRIG_DEMO"

func demoKernels() (kernels []string, all bool) {
	if s := os.Getenv(demoEnv); s != "" {
		return strings.Split(s, ","), true
	}
	return []string{"6.1"}, false
}

// demo runs the tests of testdata/demo here and in VMs.
type demo struct {
	nlrig, dir, test string // paths: the command, the package, its test binary
}

func newDemo(t *testing.T) *demo {
	t.Helper()
	tmp := t.TempDir()
	d := &demo{nlrig: filepath.Join(tmp, "nlrig"), test: filepath.Join(tmp, "demo.test")}
	var err error
	d.dir, err = filepath.Abs("testdata/demo")
	require.NoError(t, err)
	// As make does, but for what it leaves in the source.
	agent, overlay := filepath.Join(tmp, "agent"), filepath.Join(tmp, "overlay.json")
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	js, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(module, "initramfs/agent.bin"): agent}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, js, 0o600))
	d.build(t, module, append(append([]string{"build"}, initramfs.BuildFlags()...), "-o", agent, "./guest/agent")...)
	d.build(t, module, "build", "-tags", "nlrig_agent", "-overlay", overlay, "-o", d.nlrig, "./host/nlrig")
	d.build(t, d.dir, "test", "-c", "-o", d.test, ".")
	return d
}

func (d *demo) build(t *testing.T, dir string, args ...string) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// ended is how a command ended and what it wrote.
type ended struct {
	out  string
	exit string // ProcessState's
}

// run runs a command in the package's directory; stdin is its input.
func (d *demo) run(t *testing.T, stdin io.Reader, name string, args ...string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = d.dir, stdin
	cmd.Env = append(os.Environ(), "PWD="+d.dir)
	// A file, for there is no end to a pipe that a child holds.
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	out, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return ended{string(out), cmd.ProcessState.String()}
}

// random is what differs between two runs of one test binary, even here.
var random = regexp.MustCompile(`\d+\.\d+s\b|0x[0-9a-f]+|goroutine \d+|\(\ds\)|_artifacts/\d+|\{0x.*\}|\[(running|sleep|chan receive|sync\.\w+|syscall)(, .*)?\]`)

func steady(s string) string { return random.ReplaceAllString(s, "~") }

// event is one of go test -json, without its times; what is put out in a row is one.
type event struct{ Action, Package, Test, Output, Key, Value, Path string }

// events are those of each test, in order; text is what is no event.
func events(out string) (tests map[string][]event, text []string) {
	tests = map[string][]event{}
	for line := range strings.Lines(out) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			text = append(text, line)
			continue
		}
		e.Output, e.Path = steady(e.Output), steady(e.Path)
		// test2json tells of a part of a line where the rest is long in coming.
		if all := tests[e.Test]; e.Action == "output" && len(all) > 0 && all[len(all)-1].Action == "output" {
			all[len(all)-1].Output += e.Output
			continue
		}
		tests[e.Test] = append(tests[e.Test], e)
	}
	return tests, text
}

// good leaves out the tests that end badly.
const good = "-skip=Bad|bad|Kernel"

// TestDemo runs a package with tests of every kind here and in kernels, and
// wants the same of it.
func TestDemo(t *testing.T) {
	d := newDemo(t)
	kernels, all := demoKernels()
	for _, k := range kernels {
		t.Run("kernel="+k, func(t *testing.T) {
			// What nlrig says of an image that it makes anew is no difference.
			r := d.run(t, nil, d.nlrig, "exec", "-k", k, d.test, "-test.run=TestPass")
			require.Equal(t, "exit status 0", r.exit, r.out)
			t.Run("events", func(t *testing.T) { d.events(t, k) })
			t.Run("ends", func(t *testing.T) { d.ends(t, k, all) })
			t.Run("lost", func(t *testing.T) { d.lost(t, k, all) })
			t.Run("streams", func(t *testing.T) { d.streams(t, k) })
			if all {
				t.Run("left", func(t *testing.T) { d.left(t, k) })
				t.Run("race", func(t *testing.T) { d.race(t, k) })
				t.Run("fuzz", func(t *testing.T) { d.fuzz(t, k) })
			}
		})
	}
	t.Run("several", d.several)
}

// events compares the events of go test with flags of every kind, and the files
// that it writes.
func (d *demo) events(t *testing.T, kernel string) {
	type files struct{ dir, binary string }
	run := func(more ...string) (map[string][]event, files) {
		f := files{t.TempDir(), filepath.Join(t.TempDir(), "demo.test")}
		args := append([]string{"test"}, more...)
		args = append(args, "-json", good, "-o", f.binary, "-coverprofile=cover", "-cpuprofile=cpu", "-memprofile=mem",
			"-blockprofile=block", "-mutexprofile=mutex", "-trace=trace", "-outputdir", f.dir, "-artifacts", "-count=2",
			"-shuffle=3", "-cpu=1,2", "-parallel=3", "-short", "-bench=.", "-benchtime=1x", "-benchmem", "-timeout=3m",
			".", "-args", "-word=given", "x", "y z")
		r := d.run(t, nil, "go", args...)
		assert.Equal(t, "exit status 0", r.exit, r.out)
		tests, text := events(r.out)
		assert.Empty(t, text)
		return tests, f
	}
	want, here := run()
	got, there := run("-exec", d.nlrig+" exec -k "+kernel)
	number := regexp.MustCompile(` +[\d.]+ (ns|B|allocs)/op|cpu: .*`)
	for _, tests := range []map[string][]event{want, got} {
		assert.Greater(t, len(tests), 40)
		for _, all := range tests {
			for i := range all {
				all[i].Output = number.ReplaceAllString(all[i].Output, " ~ $1")
				for _, dir := range []string{here.dir, there.dir} {
					all[i].Output, all[i].Path = strings.ReplaceAll(all[i].Output, dir, "DIR"), strings.ReplaceAll(all[i].Path, dir, "DIR")
				}
			}
		}
	}
	compare(t, want, got)
	for _, name := range []string{"cpu", "mem", "block", "mutex"} {
		r := d.run(t, nil, "go", "tool", "pprof", "-top", there.binary, filepath.Join(there.dir, name))
		assert.Equal(t, "exit status 0", r.exit, r.out)
	}
	trace, err := os.ReadFile(filepath.Join(there.dir, "trace"))
	assert.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(trace), "go 1."), "%.20q", trace)
	assert.Equal(t, profile(t, here.dir), profile(t, there.dir))
	made, err := filepath.Glob(filepath.Join(there.dir, "_artifacts/*/made"))
	assert.NoError(t, err)
	assert.NotEmpty(t, made)
}

func compare(t *testing.T, want, got map[string][]event) {
	t.Helper()
	for test, all := range want {
		assert.Equal(t, all, got[test], test)
	}
	for test := range got {
		assert.Contains(t, want, test)
	}
}

// profile is the coverage that a run in dir has written, in order.
func profile(t *testing.T, dir string) []string {
	b, err := os.ReadFile(filepath.Join(dir, "cover"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	slices.Sort(lines)
	return lines
}

// ending is a way for a test binary to end.
type ending struct {
	args  string
	stdin string
	extra string // what nlrig says beside the program
	only  bool   // tried on demoEnv's kernels only
	exit  string // if it is another in a VM
}

var endings = []ending{
	{args: "-test.run=TestBadFail|TestBadSubtest$ -test.v"},
	{args: "-test.run=TestBadFail|TestPass -test.failfast -test.v=test2json"},
	{args: "-test.run=TestBadSubtestPanic -test.v"},
	{args: "-test.run=TestBadExit$ -test.v"},
	{args: "-test.run=TestBadExit0 -test.paniconexit0", only: true},
	{args: "-test.run=TestBadPanic", only: true},
	{args: "-test.run=TestBadElsewhere", only: true},
	{args: "-test.run=TestBadTimeout -test.timeout=4s -test.v=test2json"},
	{args: "-test.run=TestBadKill -test.v"},
	{args: "-test.run=TestBadSegv"},
	{args: "-test.run=Example_bad -test.v", only: true},
	{args: "-test.run=TestOrder|TestStdin -test.v", stdin: "some\ninput"},
	{args: "-test.run=TestStdin|TestPass -test.v", stdin: strings.Repeat("much input\n", 20_000), only: true},
	{args: "-test.list=.", only: true},
	{args: "-test.run=[", only: true},
	{args: "-test.run=TestLoud -test.v", only: true},
	{args: "-test.run=TestBadLeakQuiet -test.v", only: true},
	{args: "-test.run=TestBadLeakLoud -test.v", only: true, exit: "exit status 1",
		extra: "nlrig: its output is still open\n"},
}

// ends compares how the test binary ends, and all that it says.
func (d *demo) ends(t *testing.T, kernel string, all bool) {
	for _, e := range endings {
		if e.only && !all {
			continue
		}
		t.Run(e.args, func(t *testing.T) {
			var in [2]io.Reader
			if e.stdin != "" {
				in = [2]io.Reader{strings.NewReader(e.stdin), strings.NewReader(e.stdin)}
			}
			args := strings.Fields(e.args)
			want := d.run(t, in[0], d.test, args...)
			got := d.run(t, in[1], d.nlrig, append([]string{"exec", "-k", kernel, d.test}, args...)...)
			want.out += e.extra
			if e.exit != "" {
				want.exit = e.exit
			}
			assert.Equal(t, want.exit, got.exit)
			assert.Equal(t, steady(want.out), steady(got.out))
		})
	}
}

// lost is for tests that their kernel does not survive.
func (d *demo) lost(t *testing.T, kernel string, all bool) {
	for _, x := range []struct {
		test, words string
		only        bool
		status      int
	}{
		{test: "TestKernelPanic", words: "panic: sysrq triggered crash\n", status: 1},
		{test: "TestKernelOops", words: "oops: BUG: unable to handle page fault", status: 1},
		{test: "TestKernelLate", words: "oops: BUG: unable to handle page fault", status: 1},
		{test: "TestKernelUnload", words: "(agent-lost|vm-crash|hang|panic|oops): ", status: 1},
		{test: "TestKernelHang", words: "(hang|lockup): ", only: true, status: 1},
		{test: "TestKernelSleep", words: "hang: no result within 30s", only: true, status: 1},
		// Some 6.12 wait in the port's driver for a device that they have reset.
		{test: "TestKernelOff", words: "(agent-lost: the kernel was turned off from inside: reboot: Power|hang: .*runs no user space)", status: 1},
	} {
		if x.only && !all {
			continue
		}
		t.Run(x.test, func(t *testing.T) {
			r := d.run(t, nil, d.nlrig, "exec", "-k", kernel, d.test, "-test.run="+x.test+"$", "-test.v")
			assert.Equal(t, fmt.Sprintf("exit status %d", x.status), r.exit)
			assert.Contains(t, r.out, "=== RUN   "+x.test+"\n")
			assert.Regexp(t, `(?m)^nlrig: \S+: `+x.words, r.out)
		})
	}
	if !all {
		return
	}
	// Whoever interrupts what hangs does not wait for it to be found out.
	r := d.run(t, nil, "timeout", "--preserve-status", "-s", "INT", "15", d.nlrig, "exec", "-k", kernel, d.test, "-test.run=TestKernelHang$", "-test.v")
	assert.Equal(t, "exit status 1", r.exit, r.out)
	assert.Regexp(t, `(?m)^nlrig: \S+: hang: no result within 4s; .*, after it was to end`, r.out)
}

// left is for what a test leaves in a VM that is kept for the next.
func (d *demo) left(t *testing.T, kernel string) {
	r := d.run(t, nil, d.nlrig, "test", "-k", kernel, "-run=TestBadLeakQuiet|TestKernelLeft|TestKernelLink", "-v", ".")
	assert.Equal(t, "exit status 0", r.exit, r.out)
	assert.Contains(t, r.out, "left behind: process (demo.test)\n")
	assert.Contains(t, r.out, "left behind: +1 mounts\n")
	assert.Contains(t, r.out, "left behind: link left in the first network namespace\n")
}

// race is for a binary that needs libraries, and for its detector's words.
func (d *demo) race(t *testing.T, kernel string) {
	r := d.run(t, nil, "go", "test", "-race", "-exec", d.nlrig+" exec -k "+kernel, "-run=TestBadRace|TestPass", "-v", ".")
	assert.Equal(t, "exit status 1", r.exit, r.out)
	assert.Contains(t, r.out, "WARNING: DATA RACE\n")
	assert.Contains(t, r.out, "race detected during execution of test\n")
	assert.Contains(t, r.out, "--- PASS: TestPass")
}

// fuzz finds an input in a VM, which go test has then here.
func (d *demo) fuzz(t *testing.T, kernel string) {
	there := *d
	there.dir = t.TempDir()
	require.NoError(t, os.CopyFS(there.dir, os.DirFS(d.dir)))
	args := []string{"test", "-run=^$", "-fuzz=FuzzFields", "-fuzztime=1m", "-parallel=2"}
	r := there.run(t, nil, "go", append(args, "-exec", d.nlrig+" exec -k "+kernel)...)
	assert.Equal(t, "exit status 1", r.exit, r.out)
	name := regexp.MustCompile(`Failing input written to testdata/fuzz/FuzzFields/(\w+)\n`).FindStringSubmatch(r.out)
	require.NotNil(t, name, r.out)
	r = there.run(t, nil, "go", "test", "-run=FuzzFields/"+name[1])
	assert.Equal(t, "exit status 1", r.exit)
	assert.Contains(t, r.out, "found")
}

// streams is for who does not take the output at once, or at all, and for an
// input of several kernels.
func (d *demo) streams(t *testing.T, kernel string) {
	start := func(t *testing.T, args ...string) (*exec.Cmd, io.Reader) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, d.nlrig, append([]string{"exec", "-k"}, args...)...)
		cmd.Dir, cmd.Env = d.dir, append(os.Environ(), "PWD="+d.dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd, out
	}
	loud := []string{kernel, d.test, "-test.run=TestLoud", "-test.v"}
	t.Run("late", func(t *testing.T) {
		cmd, out := start(t, loud...)
		time.Sleep(8 * time.Second) // more than is waited for an output that stays open
		n, err := io.Copy(io.Discard, out)
		assert.NoError(t, err)
		assert.Greater(t, n, int64(50_000_000))
		assert.NoError(t, cmd.Wait())
	})
	t.Run("never", func(t *testing.T) {
		cmd, out := start(t, loud...)
		_, err := out.Read(make([]byte, 100))
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		assert.Error(t, cmd.Wait())
		assert.Equal(t, "signal: interrupt", cmd.ProcessState.String())
	})
	t.Run("closed", func(t *testing.T) {
		cmd, out := start(t, loud...)
		_, err := out.Read(make([]byte, 100))
		require.NoError(t, err)
		require.NoError(t, out.(io.Closer).Close())
		assert.Error(t, cmd.Wait())
		assert.Equal(t, "signal: broken pipe", cmd.ProcessState.String())
	})
	t.Run("full", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		defer full.Close()
		cmd := exec.Command(d.nlrig, "exec", "-k", kernel, d.test, "-test.run=TestPass")
		cmd.Dir, cmd.Env, cmd.Stdout = d.dir, append(os.Environ(), "PWD="+d.dir), full
		var said bytes.Buffer
		cmd.Stderr = &said
		assert.Error(t, cmd.Run())
		assert.Contains(t, said.String(), "write its output: ")
	})
	t.Run("input", func(t *testing.T) {
		r := d.run(t, strings.NewReader(strings.Repeat("input\n", 30_000)), d.nlrig, "exec", "-k", "5.10,6.1", d.test, "-test.run=TestStdin", "-test.v")
		assert.Equal(t, "exit status 0", r.exit, r.out)
		assert.Equal(t, 60_000, strings.Count(r.out, `input\n`))
	})
}

// several runs the package on two kernels: each test has a subtest for each, and
// the profiles of coverage are added up.
func (d *demo) several(t *testing.T) {
	run := func(more ...string) (map[string][]event, string) {
		dir := t.TempDir()
		args := append([]string{"test"}, more...)
		args = append(args, "-json", "-short", good, "-covermode=count", "-coverprofile="+filepath.Join(dir, "cover"), ".")
		name := "go"
		if len(more) > 0 {
			name = d.nlrig
		}
		r := d.run(t, nil, name, args...)
		assert.Equal(t, "exit status 0", r.exit, r.out)
		tests, _ := events(r.out) // text is the summary
		return tests, dir
	}
	native, one := run()
	got, two := run("-k", "5.10,6.1")
	var kernels []string
	for test := range got {
		if k, ok := strings.CutPrefix(test, "TestPass/kernel="); ok {
			kernels = append(kernels, k)
		}
	}
	require.Len(t, kernels, 2, "%v", got)
	want := map[string][]string{}
	for test, all := range native {
		if test == "" {
			continue
		}
		top, sub, deep := strings.Cut(test, "/")
		if !deep {
			want[test] = []string{"run", all[len(all)-1].Action}
		}
		for _, k := range kernels {
			name := top + "/kernel=" + k
			if deep {
				name += "/" + sub
			}
			want[name] = told(all, test)
		}
	}
	for test, all := range got {
		switch {
		case test == "":
		case !strings.Contains(test, "/"):
			assert.Equal(t, want[test], []string{all[0].Action, all[len(all)-1].Action}, test)
		default:
			assert.Equal(t, want[test], told(all, test), test)
		}
	}
	assert.Len(t, got, len(want)+1)

	var sum bytes.Buffer
	cover, err := os.ReadFile(filepath.Join(one, "cover"))
	require.NoError(t, err)
	require.NoError(t, gotest.MergeProfiles(&sum, bytes.NewReader(cover), bytes.NewReader(cover)))
	lines := strings.Split(strings.TrimSpace(sum.String()), "\n")
	slices.Sort(lines)
	assert.Equal(t, lines, profile(t, two))
}

// told is what happened in a test, without its name.
func told(all []event, test string) (what []string) {
	name := regexp.MustCompile(`(?m)^( *(?:=== [A-Z]+ +|--- [A-Z]+: ))` + regexp.QuoteMeta(test) + `( |$)`)
	for _, e := range all {
		what = append(what, fmt.Sprint(e.Action, e.Key, e.Value, name.ReplaceAllString(e.Output, "${1}NAME$2")))
	}
	return what
}
