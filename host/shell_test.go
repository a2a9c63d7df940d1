//go:build linux

package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/nlrig/nlrig/kernels"
)

func shellSays(t *testing.T) Says {
	return Says{Note: func(s string) { t.Log(s) }, Moment: func(s string) { t.Log(s) }, Status: func(string) {}}
}

// piped runs commands in a VM of v.
func piped(t *testing.T, v kernels.Version, commands string) (status int, stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	var mu sync.Mutex // the console writes to standard error on its own
	sh := Shell{Stdin: strings.NewReader(commands), Stdout: &out, Stderr: locked{&mu, &errs}, Says: shellSays(t)}
	status, err = testRig(t).Shell(t.Context(), v, sh)
	return status, out.String(), errs.String(), err
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func TestShellPiped(t *testing.T) {
	for _, v := range selectKernels(t, testRig(t), "6.1,newest") {
		t.Run("kernel="+v.String(), func(t *testing.T) {
			status, out, errs, err := piped(t, v, `
				uname -r
				cat /nowhere
				modprobe dummy
				ip link show dummy0
				modprobe nowhere || echo refused
				sleep 1000 &
				exit 3`)
			require.NoError(t, err)
			assert.Equal(t, 3, status)
			first, rest, _ := strings.Cut(out, "\n")
			assert.Equal(t, v.Release, first, "nothing of the boot, and no echo")
			assert.Contains(t, rest, "dummy0: <BROADCAST")
			assert.Contains(t, rest, "refused")
			assert.NotContains(t, out, "\r")
			assert.Contains(t, errs, "/nowhere: no such file")
			assert.Contains(t, errs, "no such module: nowhere")
			assert.NotContains(t, errs, "Linux version", "the boot is for the log")
		})
	}
}

// Input and output may be longer than any buffer, and no byte means anything
// on the way.
func TestShellPipedBytes(t *testing.T) {
	v := selectKernels(t, testRig(t), "6.1")[0]
	in := strings.Repeat("# A line that says nothing.\n", 10000) +
		"seq 1 50000\n" +
		`printf '\001\003\004\035\r\n\377\n'`
	status, out, _, err := piped(t, v, in)
	require.NoError(t, err)
	assert.Zero(t, status)
	var want strings.Builder
	for i := range 50000 {
		fmt.Fprintln(&want, i+1)
	}
	want.WriteString("\x01\x03\x04\x1d\r\n\xff\n")
	assert.True(t, want.String() == out, "%d bytes, want %d; the end is %q", len(out), want.Len(), out[max(0, len(out)-40):])
}

func TestShellPanic(t *testing.T) {
	for _, v := range selectKernels(t, testRig(t), "6.1,newest") {
		t.Run("kernel="+v.String(), func(t *testing.T) {
			_, _, errs, err := piped(t, v, "sleep 0.1; echo c > /proc/sysrq-trigger; sleep 100")
			var lost *LostError
			require.ErrorAs(t, err, &lost)
			assert.Equal(t, Panic, lost.Outcome.Verdict)
			assert.Contains(t, err.Error(), "sysrq triggered crash")
			assert.Contains(t, errs, "Kernel panic - not syncing: sysrq triggered crash\n")
		})
	}
}

// On a terminal the shell edits lines, knows the window's size, survives an
// interrupt; and the terminal is as it was in the end.
func TestShellTerminal(t *testing.T) {
	v := selectKernels(t, testRig(t), "newest")[0]
	for _, end := range []struct {
		name, keys string
		check      func(t *testing.T, status int, err error)
	}{
		{"exit", "exit\r", func(t *testing.T, status int, err error) { assert.NoError(t, err); assert.Zero(t, status) }},
		{"key", "\x1d", func(t *testing.T, status int, err error) { assert.NoError(t, err); assert.Zero(t, status) }},
		{"panic", "echo c > /proc/sysrq-trigger\r", func(t *testing.T, status int, err error) { assert.ErrorContains(t, err, "sysrq triggered crash") }},
		{"interrupt", "", func(t *testing.T, status int, err error) { assert.ErrorIs(t, err, context.Canceled) }},
	} {
		t.Run("end="+end.name, func(t *testing.T) {
			p := openPTY(t)
			fd := int(p.tty.Fd())
			require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 31, Col: 97}))
			before, err := term.GetState(fd)
			require.NoError(t, err)
			t.Setenv("TERM", "xterm")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var status int
			done := make(chan error)
			go func() {
				var err error
				status, err = testRig(t).Shell(ctx, v, Shell{Stdin: p.tty, Stdout: p.tty, Stderr: p.tty, Terminal: p.tty, Says: shellSays(t)})
				done <- err
			}()
			p.see("$ ")
			p.typ("stty\r")
			p.see("rows:31 cols:97")
			p.typ("echo [4x2]\x1b[D\x1b[D\x7f\r")
			p.see("\n[42]")
			p.typ("sleep 1000; echo over\r")
			time.Sleep(time.Second)
			p.typ("\x03")
			p.see("$ ")
			if end.keys == "" {
				cancel()
			}
			p.typ(end.keys)
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				t.Fatalf("the session goes on: %q", p.all())
			}
			end.check(t, status, err)
			after, err := term.GetState(fd)
			require.NoError(t, err)
			assert.Equal(t, before, after)
			assert.NotContains(t, p.all(), "Linux version", "the boot is for the log")
			assert.NotContains(t, p.all(), "Power down")
		})
	}
}

// pty is a terminal and the hands and eyes of the person at it.
type pty struct {
	t        *testing.T
	hand     *os.File
	tty      *os.File
	mu       sync.Mutex // guards the rest
	out      []byte
	seen     int // of out
	finished chan struct{}
}

func openPTY(t *testing.T) *pty {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	hand := os.NewFile(uintptr(fd), "ptmx")
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	p := &pty{t: t, hand: hand, tty: tty, finished: make(chan struct{})}
	go p.watch()
	t.Cleanup(func() {
		hand.Close() // hangs up, which ends a read of tty
		tty.Close()
		<-p.finished
	})
	return p
}

func (p *pty) watch() {
	defer close(p.finished)
	buf := make([]byte, 4096)
	for {
		n, err := p.hand.Read(buf)
		p.mu.Lock()
		p.out = append(p.out, buf[:n]...)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pty) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.out)
}

func (p *pty) typ(keys string) {
	p.t.Helper()
	_, err := p.hand.WriteString(keys)
	require.NoError(p.t, err)
}

// see waits for s after what was seen before.
func (p *pty) see(s string) {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		i := bytes.Index(p.out[p.seen:], []byte(s))
		if i >= 0 {
			p.seen += i + len(s)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		require.True(p.t, time.Now().Before(end), "%q is not to be seen: %q", s, p.all())
	}
}
