//go:build linux

package local

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// play plays a case, or skips the test where the kernel does not allow it.
func play(t *testing.T, k *Kernel, c *nlcase.Case) *nlcase.Transcript {
	t.Helper()
	tr, err := k.Play(c)
	var need *nlcase.NeedError
	switch {
	case errors.As(err, &need):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return tr
}

func parse(t *testing.T, text string) *nlcase.Case {
	t.Helper()
	c, err := nlcase.Parse(t.Name(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// configured reports whether the running kernel says that it has an option.
func configured(t *testing.T, option string) bool {
	f, err := os.Open("/proc/config.gz")
	if err != nil {
		return false
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile("(?m)^" + option + "=[ym]$").Match(text)
}

// Each case is judged from the transcript's binary form, as the host does, and
// played twice, to the same normalised exchange.
func TestCasesOnLocalKernel(t *testing.T) {
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	var k Kernel
	for _, c := range all {
		t.Run("kernel=local/case="+c.Name, func(t *testing.T) {
			for _, option := range c.Configs() {
				if !configured(t, option) {
					t.Skip("requires " + option + ", which /proc/config.gz does not have, or is not there to say")
				}
			}
			tr := play(t, &k, c)
			var got nlcase.Transcript
			if err := got.UnmarshalBinary(tr.AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
			for _, m := range nlcase.Check(c, &got) {
				t.Error(m)
			}
			if lines, alike := nlcase.Diff(c, &got, play(t, &k, c)); !alike {
				t.Error("a second run differs:")
				for _, l := range lines {
					t.Log(l)
				}
			}
		})
	}
}

// netnsOf is the inode of a task's network namespace, 0 if the task is gone.
func netnsOf(task string) uint64 {
	var st unix.Stat_t
	if unix.Stat(task+"/ns/net", &st) != nil {
		return 0
	}
	return st.Ino
}

func TestNamespaceGoesWithItsThread(t *testing.T) {
	var k Kernel
	var inside uint64
	err := k.Net(nlcase.Setup{}, func(nlcase.Net) {
		inside = netnsOf("/proc/thread-self")
		if unix.Gettid() == unix.Getpid() {
			t.Error("runs on the first thread, which never ends")
		}
	})
	var ns *NamespaceError
	if errors.As(err, &ns) {
		t.Skip(err)
	}
	if inside == netnsOf("/proc/self") {
		t.Error("the namespace is not a fresh one")
	}
	left := ""
	for range 200 {
		left = ""
		tasks, _ := filepath.Glob("/proc/self/task/*")
		for _, task := range tasks {
			if netnsOf(task) == inside {
				left = task
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s is still in the case's namespace", left)
}

func TestRunning(t *testing.T) {
	var k Kernel
	c := parse(t, "# x\nopen s route\n")
	var thread, line int
	if _, err := k.PlayFunc(c, func(int, *nlcase.Transcript) { thread, line = k.Running() }); err != nil {
		t.Skip(err)
	}
	if thread == 0 || line != 2 {
		t.Errorf("ran thread %d at line %d", thread, line)
	}
	if thread, line := k.Running(); thread != 0 || line != 0 {
		t.Errorf("thread %d, line %d runs afterwards", thread, line)
	}
}

func TestNoCapsIsForTheThreadAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have capabilities to lose")
	}
	var k Kernel
	c := parse(t, "caps none\nopen s route\nsend s RTM_DELLINK REQUEST ifinfomsg{index=1}\nrecv s NLMSG_ERROR error=-EPERM ...\n")
	for _, m := range nlcase.Check(c, play(t, &k, c)) {
		t.Error(m)
	}
	c = parse(t, "open s route\nsend s RTM_DELLINK REQUEST ifinfomsg{index=1}\nrecv s NLMSG_ERROR error=-EOPNOTSUPP ...\n")
	for _, m := range nlcase.Check(c, play(t, &k, c)) {
		t.Error(m)
	}
}

func TestFaultsAreRefused(t *testing.T) {
	c := parse(t, "needs vm\nwrite /proc/sysrq-trigger \"c\"\n")
	var need *nlcase.NeedError
	var k Kernel
	if _, err := k.Play(c); !errors.As(err, &need) || need.Need.Kind != "vm" {
		t.Errorf("a case that breaks the kernel gave %v", err)
	}
	// Not even when it is played past Kernel.Play.
	tr := nlcase.Play(&k, c)
	if tr.Failed != "" {
		t.Skip(tr.Failed)
	}
	if e := tr.Steps[0].Errno; e.Error() != "EPERM" {
		t.Errorf("the write gave %v", e)
	}
}

func TestModules(t *testing.T) {
	c := parse(t, "needs module nosuchmodule\nopen s route\n")
	var need *nlcase.NeedError
	var k Kernel
	_, err := k.Play(c)
	if errors.As(err, &need) && need.Need.Kind == "network namespaces" {
		t.Skip(err)
	}
	if !errors.As(err, &need) || need.Need.Name != "nosuchmodule" {
		t.Errorf("a module that is not there gave %v", err)
	}
	var asked string
	k.LoadModule = func(name string) error { asked = name; return errors.New("no") }
	if _, err := k.Play(c); !errors.As(err, &need) || asked != "nosuchmodule" {
		t.Errorf("asked for %q, gave %v", asked, err)
	}
}
