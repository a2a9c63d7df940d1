//go:build linux

package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// ownImages is testRig with images in a directory of the test's own.
func ownImages(t testing.TB) *Rig {
	rig := testRig(t)
	rig.Images = &qemu.Images{Dir: filepath.Join(t.TempDir(), "warm")}
	return rig
}

// played is what one run of one case on a kernel did, and said.
type played struct {
	warm bool
	said []string
}

func playFine(t testing.TB, rig *Rig, spec string) (p played) {
	list := parseCases(t, [2]string{"fine", fine})
	var mu sync.Mutex
	r := &Runner{Timing: true, Progress: func(e Event) {
		if e.Kind == Note {
			mu.Lock()
			defer mu.Unlock()
			p.said = append(p.said, e.Text)
		}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := r.Run(ctx, qemuTargets(t, rig, spec), list)[0]
	require.Equal(t, Pass, c.Outcomes[0].Verdict, c.Outcomes[0].Reason)
	require.Len(t, c.Timings, 1, "the VMs that played")
	p.warm = c.Timings[0].Warm && c.Timings[0].Image < 500*time.Millisecond
	return p
}

// Whatever is wrong with an image is said in one line, costs one boot, and the
// next run has an image again.
func TestImageOfNoUse(t *testing.T) {
	edit := func(name string, f func([]byte) []byte) func(t *testing.T, rig *Rig, dir string) {
		return func(t *testing.T, rig *Rig, dir string) {
			file := filepath.Join(dir, name)
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, f(bytes.Clone(b)), 0o600))
		}
	}
	// rewrite changes the header, which is whole again then.
	rewrite := func(f func(map[string]any)) func(t *testing.T, rig *Rig, dir string) {
		return edit("image.json", func(b []byte) []byte {
			_, body, _ := bytes.Cut(b, []byte("\n"))
			var h map[string]any
			if err := json.Unmarshal(body, &h); err != nil {
				panic(err)
			}
			f(h)
			body, err := json.Marshal(h)
			if err != nil {
				panic(err)
			}
			return fmt.Appendf(nil, "%x\n%s", sha256.Sum256(body), body)
		})
	}
	header := func(name string, value any) func(t *testing.T, rig *Rig, dir string) {
		return rewrite(func(h map[string]any) { h[name] = value })
	}
	identity := func(name string) func(t *testing.T, rig *Rig, dir string) {
		return rewrite(func(h map[string]any) { h["Identity"].(map[string]any)[name] = "was another" })
	}
	const notTaken = "its warm image does not start"
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for _, x := range []struct {
		name, want string
		harm       func(t *testing.T, rig *Rig, dir string)
	}{
		{"memory is corrupted", "memory is damaged", edit("memory", func(b []byte) []byte { b[bytes.IndexByte(b[1<<20:], 0xe8)+1<<20] ^= 1; return b })},
		{"memory is truncated", "its memory has", edit("memory", cut)},
		{"state is corrupted", "damaged", edit("state", flip)},
		{"state is truncated", "damaged", edit("state", cut)},
		{"header is corrupted", "damaged", edit("image.json", flip)},
		{"header is empty", "damaged", edit("image.json", func([]byte) []byte { return nil })},
		{"the memory is gone", "removed", func(t *testing.T, rig *Rig, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "memory")))
		}},
		{"the state is gone", "removed", func(t *testing.T, rig *Rig, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "state")))
		}},
		{"another format", "format", header("Format", 1)},
		{"kernel upgraded", "another kernel", identity("Kernel")},
		{"agent changed", "another agent", identity("Initrd")},
		{"VM configured otherwise", "another configuration", identity("VM")},
		{"QEMU does not take it", notTaken, func(t *testing.T, rig *Rig, dir string) {
			state := []byte("no state of any VM")
			edit("state", func([]byte) []byte { return state })(t, rig, dir)
			header("State", fmt.Sprintf("%x", sha256.Sum256(state)))(t, rig, dir)
		}},
		{"another QEMU", "another QEMU", func(t *testing.T, rig *Rig, dir string) {
			// The same program under a name that the image's name does not
			// tell apart: a wrapper that has changed since.
			file := rig.QEMU.Binary
			require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n# changed\nexec "+qemu.Program+" \"$@\"\n"), 0o755))
		}},
	} {
		t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			rig := ownImages(t)
			rig.QEMU.Binary = filepath.Join(t.TempDir(), "qemu")
			require.NoError(t, os.WriteFile(rig.QEMU.Binary, []byte("#!/bin/sh\nexec "+qemu.Program+" \"$@\"\n"), 0o755))
			assert.False(t, playFine(t, rig, "6.1").warm, "there is no image")
			p := playFine(t, rig, "6.1")
			assert.True(t, p.warm, "the image is used")
			assert.Empty(t, p.said)
			images := rig.Images.List()
			require.Len(t, images, 1)
			x.harm(t, rig, filepath.Join(rig.Images.Dir, images[0].Name))
			rig = &Rig{Catalogue: rig.Catalogue, Dir: rig.Dir, QEMU: rig.QEMU, Images: rig.Images}
			p = playFine(t, rig, "6.1")
			assert.False(t, p.warm, "it is noticed")
			require.Len(t, p.said, 1)
			assert.Contains(t, p.said[0], x.want)
			if x.want == notTaken {
				playFine(t, rig, "6.1") // which makes another: the run before had enough of them
			}
			p = playFine(t, rig, "6.1")
			assert.True(t, p.warm, "there is one again")
			assert.Empty(t, p.said)
		})
	}
}

// A start that is given up at any moment ends at once.
func TestStartGivenUp(t *testing.T) {
	rig := warmRig(t)
	target := rig.ProgramTarget(selectKernels(t, rig, "6.1")[0], nil)
	vm, err := rig.OpenVM(t.Context(), &target, VMOptions{})
	require.NoError(t, err)
	require.NoError(t, vm.Close())
	for after := time.Millisecond; after < 400*time.Millisecond; after += after/2 + 3*time.Millisecond {
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			vm, err := rig.OpenVM(ctx, &target, VMOptions{})
			if err == nil {
				err = vm.Close()
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			t.Log(after, err)
		case <-time.After(15 * time.Second):
			t.Fatalf("given up after %v, and still there 15 s later", after)
		}
	}
	require.NoError(t, target.Close())
}

// An image that is removed while VMs start from it, over and over, costs boots and
// no verdict.
func TestImageEvicted(t *testing.T) {
	rig := ownImages(t)
	rig.Images.Max = 1 // any other image is one too many
	list := parseCases(t, [2]string{"fine", fine})
	var wg sync.WaitGroup
	for _, spec := range []string{"6.1", "6.12"} {
		for range 2 {
			wg.Go(func() {
				own := &Rig{Catalogue: rig.Catalogue, Dir: rig.Dir, Images: rig.Images}
				for range 2 {
					c := (&Runner{Slots: 2}).Run(t.Context(), qemuTargets(t, own, spec), list)[0]
					assert.Equal(t, Pass, c.Outcomes[0].Verdict, c.Outcomes[0].Reason)
				}
			})
		}
	}
	wg.Wait()
	playFine(t, rig, "5.10")
	assert.Len(t, rig.Images.List(), 1, "the others were evicted")
}

// A case does the same in a VM that was booted, in one that was started from an
// image and in one of its own.
func TestWarmColdAndApart(t *testing.T) {
	all, err := cases.All()
	require.NoError(t, err)
	var some []*nlcase.Case // in a VM each, all take a minute
	for i, c := range all {
		if i%8 == 0 || c.UserNS {
			some = append(some, c)
		}
	}
	rig := ownImages(t)
	told := func(rig *Rig, i Isolation) string {
		columns := (&Runner{Isolation: i}).Run(t.Context(), qemuTargets(t, rig, "6.1,newest"), some)
		for i := range columns {
			columns[i].Boots, columns[i].BootTime = 0, 0
			for j := range columns[i].Outcomes {
				columns[i].Outcomes[j].Took = 0
			}
		}
		var b bytes.Buffer
		require.NoError(t, report.WriteJSON(&b, NewReport(columns, some)))
		return b.String()
	}
	made := told(rig, IsolateNetns)
	assert.Equal(t, told(testRig(t), IsolateNetns), made, "booted")
	assert.Equal(t, told(rig, IsolateNetns), made, "warm")
	assert.Equal(t, told(rig, IsolateVM), made, "a VM for each")
}

// Any number of VMs start from an image, one after the other and at once, and
// leave nothing behind. NLRIG_STARTS is how many, 24 if it is not set.
func TestManyStarts(t *testing.T) {
	n, together := 24, 12
	if s := os.Getenv("NLRIG_STARTS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
		together = 50
	}
	rig := ownImages(t)
	list := parseCases(t, [2]string{"fine", fine})
	targets := qemuTargets(t, rig, "default")
	say := func(s string) { t.Log(s) }
	for i := range targets {
		require.NoError(t, targets[i].prepare(t.Context(), Says{say, say, say}))
	}
	one := func(i int) error {
		tg := &targets[i%len(targets)]
		m, warm, err := tg.start(t.Context(), time.Minute, say)
		if err != nil {
			return err
		}
		s := newSession(m, tg)
		defer s.close()
		if !warm {
			return fmt.Errorf("%s: not from an image", tg.Name)
		}
		if err := s.awaitHello(t.Context(), tg.agent(), time.Minute); err != nil {
			return fmt.Errorf("%s: %w", tg.Name, err)
		}
		if o, _ := s.play(t.Context(), list[0], "", time.Minute); o.Verdict != Pass {
			return fmt.Errorf("%s: %s: %s", tg.Name, o.Verdict, o.Reason)
		}
		return nil
	}
	for i := range targets {
		require.NoError(t, one(i)) // makes the image
	}
	fds, rss := openFDs(), residentKB()
	for i := range n {
		require.NoError(t, one(i), "start %d", i)
	}
	assert.LessOrEqual(t, openFDs(), fds+2, "file descriptors")
	assert.Empty(t, children(os.Getpid()))
	t.Logf("%d starts in a row: file descriptors %d before, %d after; resident %d kB before, %d kB after", n, fds, openFDs(), rss, residentKB())
	errs := make([]error, together)
	var wg sync.WaitGroup
	for i := range together {
		wg.Go(func() { errs[i] = one(i) })
	}
	wg.Wait()
	for _, err := range errs {
		assert.NoError(t, err)
	}
	t.Logf("%d at once: file descriptors %d, resident %d kB", together, openFDs(), residentKB())
	for i := range targets {
		require.NoError(t, targets[i].close())
	}
}

// residentKB is VmRSS.
func residentKB() (kb int) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ = strconv.Atoi(f[1])
		}
	}
	return kb
}
