//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/host/console"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/host/uml"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// Shell is a session with u-root's shell in a VM. Where Terminal is set the
// shell is on the VM's console, and the terminal in raw mode while it runs.
// Otherwise its input and output are Stdin, Stdout and Stderr, byte for byte,
// and what the kernel prints on the console goes to Stderr.
type Shell struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal is the one that Stdin and Stdout are; nil for none.
	Terminal *os.File
	// Console is a directory where the console's log is kept; empty for
	// nowhere.
	Console string
	Says    Says
}

const (
	// leave is the key that ends a session on a terminal: Ctrl-].
	leave = 0x1d
	// silence is how long the agent may say nothing before a shell without
	// a person to judge it is given up.
	silence = time.Minute
)

// LostError says how the kernel of a session was lost, or that it did not
// boot.
type LostError struct {
	Target  string
	Outcome Outcome
}

func (e *LostError) Error() string {
	return e.Target + ": " + e.Outcome.told()
}

// told is the verdict, why, and the kernel's last words.
func (o *Outcome) told() string {
	s := fmt.Sprintf("%s: %s", o.Verdict, o.Reason)
	if len(o.LastWords) > 0 {
		s += "\n  | " + strings.Join(o.LastWords, "\n  | ")
	}
	return s
}

// Shell runs a session on v and returns the shell's exit status. An error is
// a *LostError where there was a kernel to lose.
func (r *Rig) Shell(ctx context.Context, v kernels.Version, sh Shell) (status int, err error) {
	extra, err := initramfs.Shell(ctx, filepath.Join(r.Dir, "shell"), sh.Says.Note)
	if err != nil {
		return 0, err
	}
	var screen *gate
	var keys *io.PipeWriter
	attach := func(in *io.Reader, out *io.Writer) {
		// Anew for each boot: the VM before may still wait for a key.
		screen = &gate{w: sh.screen()}
		*out = screen
		if sh.Terminal != nil {
			*in, keys = io.Pipe()
		}
	}
	var t Target
	if v.UML {
		t = r.umlTarget(v, func(c *uml.Config) { attach(&c.Input, &c.Output) }, extra...)
	} else {
		t = r.qemuTarget(v, r.QEMU, func(c *qemu.Config) { attach(&c.Input, &c.Output) }, extra...)
	}
	p := &player{t: &t, col: new(Column), Runner: &Runner{Console: sh.Console, Progress: sh.progress}}
	if err := t.prepare(ctx, sh.Says); err != nil {
		return 0, err
	}
	s, failed := p.boot(ctx)
	sh.Says.Status("")
	if s == nil {
		return 0, &LostError{t.Name, failed}
	}
	m := &wire.Exec{Program: 1, Path: layout.Shell, Args: []string{"gosh"}, Dir: "/", Stdin: true, Alone: true}
	exited := false
	var left chan struct{}
	var resized chan os.Signal
	if sh.Terminal != nil {
		sh.Says.Note(fmt.Sprintf("%s is %s, booted in %.1f s; Ctrl-] ends it", t.Name, p.col.Release, p.col.BootTime.Seconds()))
		fd := int(sh.Terminal.Fd())
		old, err := term.MakeRaw(fd)
		if err != nil {
			p.end(s, true)
			return 0, fmt.Errorf("terminal: %w", err)
		}
		defer func() { // after the console's last words
			_ = term.Restore(fd, old)
			if !exited {
				fmt.Fprintln(sh.Stdout) // off the prompt's line
			}
		}()
		defer keys.Close()
		m.Term = "vt100"
		if name := os.Getenv("TERM"); name != "" {
			m.Term = name
		}
		m.Rows, m.Cols = sh.size()
		left = make(chan struct{})
		go sh.typed(keys, left)
		resized = make(chan os.Signal, 1)
		signal.Notify(resized, unix.SIGWINCH)
		defer signal.Stop(resized)
	}
	defer p.end(s, true)
	term := m.Term
	if term == "" {
		term = "dumb"
	}
	m.Env = []string{"PATH=" + layout.Path, "HOME=/", "USER=root", "SHELL=" + layout.Shell, "TERM=" + term}
	screen.open.Store(true)
	err = s.conn.Send(&wire.Equip{ID: 1})
	if err == nil {
		err = s.conn.Send(m)
	}
	if err != nil {
		return 0, &LostError{t.Name, s.lost(err)}
	}
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		select {
		case msg, ok := <-s.in:
			if !ok {
				return 0, lostShell(t.Name, s.lost(s.readErr))
			}
			quiet.Reset(silence)
			switch m := msg.(type) {
			case *wire.Read:
				go answer(s.conn, m.Program, sh.Stdin)
			case *wire.Output:
				if err := sh.write(m); err != nil {
					return 0, fmt.Errorf("the shell's output: %w", err)
				}
			case *wire.Exited:
				exited = true
				s.bye()
				if m.Err != "" {
					return 0, errors.New(t.Name + ": " + console.Printable(m.Err))
				}
				if m.Signal != 0 {
					return 128 + int(m.Signal), nil
				}
				return int(m.Status), nil
			}
		case <-resized:
			rows, cols := sh.size()
			_ = s.conn.Send(&wire.Resize{Rows: rows, Cols: cols}) // an error is the reader's to notice
		case <-left:
			screen.open.Store(false)
			s.bye()
			return 0, nil
		case <-quiet.C:
			if sh.Terminal == nil {
				return 0, lostShell(t.Name, s.hung(silence, silence))
			}
		case <-ctx.Done():
			screen.open.Store(false)
			return 0, fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
	}
}

// lostShell leaves out the last words, which have been on the screen.
func lostShell(target string, o Outcome) error {
	o.LastWords = nil
	return &LostError{target, o}
}

func (sh *Shell) progress(e Event) {
	switch e.Kind {
	case Note:
		sh.Says.Note(e.Target + ": " + e.Text)
	case Booting:
		sh.Says.Status("booting " + e.Target)
	}
}

// size is the terminal's.
func (sh *Shell) size() (rows, cols uint16) {
	w, h, err := term.GetSize(int(sh.Terminal.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		return 24, 80
	}
	return uint16(h), uint16(w)
}

// typed passes on what is typed, up to the key that ends the session, and
// closes left then or at the end of the terminal.
func (sh *Shell) typed(keys io.Writer, left chan<- struct{}) {
	defer close(left)
	buf := make([]byte, 1024)
	for {
		n, err := sh.Stdin.Read(buf)
		end := bytes.IndexByte(buf[:n], leave)
		if end >= 0 {
			n = end
		}
		if _, werr := keys.Write(buf[:n]); err != nil || werr != nil || end >= 0 {
			return
		}
	}
}

func (sh *Shell) write(m *wire.Output) error {
	w := sh.Stdout
	if m.Stream == 2 {
		w = sh.Stderr
	}
	_, err := w.Write(m.Data)
	return err
}

// screen shows the console.
func (sh *Shell) screen() io.Writer {
	if sh.Terminal != nil {
		return sh.Stdout
	}
	return plain{sh.Stderr}
}

// plain makes what a console prints fit for a file.
type plain struct{ w io.Writer }

func (p plain) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.w, console.Printable(string(b)))
	return len(b), err
}

// gate drops what comes before it is open: how a kernel boots is for the log.
// It never fails, since the log must go on.
type gate struct {
	w    io.Writer
	open atomic.Bool
}

func (g *gate) Write(b []byte) (int, error) {
	if g.open.Load() {
		_, _ = g.w.Write(b)
	}
	return len(b), nil
}

// ShellIn runs u-root's shell in a VM that is there already, a line at a time.
func (r *Rig) ShellIn(ctx context.Context, vm *VM, in io.Reader, out io.Writer, say func(string)) error {
	records, err := initramfs.Shell(ctx, filepath.Join(r.Dir, "shell"), say)
	if err != nil {
		return err
	}
	for _, rec := range records {
		var content []byte
		if rec.ReaderAt != nil {
			content = make([]byte, rec.FileSize)
			if _, err := rec.ReadAt(content, 0); err != nil && err != io.EOF {
				return err
			}
		}
		if strings.HasPrefix(rec.Name, "etc") {
			continue // it has its own
		}
		if err := vm.Put(ctx, "/"+rec.Name, fileMode(uint32(rec.Mode)), bytes.NewReader(content)); err != nil {
			return err
		}
	}
	p, err := vm.Start(Spec{Path: layout.Shell, Dir: "/", Env: Environment(nil, nil), Stdin: in, Stdout: out, Stderr: out})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

// fileMode is of st_mode, as statMode makes it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	}
	return m
}
