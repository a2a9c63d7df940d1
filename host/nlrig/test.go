//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/gotest"
	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/child"
)

// testCommand runs go test, which builds each test binary once and hands it to
// an nlrig exec of ours; that hands it on to this process, which has the VMs.
func testCommand(args []string) error {
	var o programOptions
	f := o.flags("test", "[-k KERNELS] [PACKAGES] [go test flags]")
	isolation := f.String("isolation", "kernel", "what a package has to itself: a VM of each kernel, `vm`, or what the ones before have left it of one, kernel")
	ours, theirs := splitFlags(f, args)
	if err := parse(f, ours); err != nil {
		return err
	}
	if *isolation != "kernel" && *isolation != "vm" {
		return misuse("-isolation %s: want kernel or vm", *isolation)
	}
	// A package's tests run in its directory, and -file is from here.
	for i, path := range o.files {
		if _, err := os.Lstat(path); err == nil {
			if o.files[i], err = filepath.Abs(path); err != nil {
				return err
			}
		}
	}
	for _, a := range theirs {
		if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); strings.HasPrefix(a, "-") && (name == "exec" || name == "c") {
			return misuse("-%s is go test's, and nlrig test runs what it builds in its kernels: use go test itself", name)
		}
		if a == "-args" || a == "--args" {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fleet, all, err := o.fleet(ctx)
	if err != nil {
		return err
	}
	vs, err := versionsOf(all, "run tests in")
	if err != nil {
		return err
	}
	fleet.Once = *isolation == "vm"
	s := &testServer{options: &o, fleet: fleet, kernels: vs}
	if o.gdb == "" {
		s.wait.Go(func() { // while go builds
			for _, v := range vs {
				fleet.Ahead(ctx, v)
			}
		})
	}
	code, err := s.goTest(ctx, theirs)
	cancel()
	s.wait.Wait()
	if cerr := fleet.Close(); cerr != nil {
		fmt.Fprintln(os.Stderr, "nlrig:", cerr)
	}
	if err != nil {
		return err
	}
	_ = s.summary(os.Stderr) // where that cannot be written, go test's exit code still tells
	if code != 0 {
		return exit(code)
	}
	return nil
}

// goValues are flags of go test whose value may be taken for a flag.
var goValues = []string{"C", "gcflags", "ldflags", "asmflags", "gccgoflags", "run", "skip", "bench", "tags"}

// splitFlags takes the flags of f out of args, wherever they are, up to -args.
func splitFlags(f *flag.FlagSet, args []string) (ours, theirs []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "-args" || a == "--args" {
			return ours, append(theirs, args[i:]...)
		}
		name, _, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if !strings.HasPrefix(a, "-") {
			theirs = append(theirs, a)
			continue
		}
		if slices.Contains(goValues, name) && !given && i+1 < len(args) {
			theirs = append(theirs, a, args[i+1])
			i++
			continue
		}
		fl := f.Lookup(name)
		help := name == "h" || name == "help"
		if fl == nil && !help {
			theirs = append(theirs, a)
			continue
		}
		ours = append(ours, a)
		if fl == nil || given {
			continue
		}
		if b, ok := fl.Value.(interface{ IsBoolFlag() bool }); (!ok || !b.IsBoolFlag()) && i+1 < len(args) {
			i++
			ours = append(ours, args[i])
		}
	}
	return ours, theirs
}

// testServer runs what nlrig exec hands over.
type testServer struct {
	options *programOptions
	fleet   *host.Fleet
	kernels []kernels.Version
	wait    sync.WaitGroup

	mu  sync.Mutex // guards ran
	ran []packageRun
}

// packageRun is a test binary that was run on all kernels.
type packageRun struct {
	name    string
	results []host.Result
	later   bool // what is to be known of it is told in the end
}

// goTest runs go test with args and returns its exit status.
func (s *testServer) goTest(ctx context.Context, args []string) (int, error) {
	dir, err := os.MkdirTemp("", "nlrig")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wait.Go(func() { s.serve(ctx, c.(*net.UnixConn)) })
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if strings.ContainsAny(self+path, `'"`) {
		return 0, fmt.Errorf("a path with quotes cannot be given to go test -exec: %s, %s", self, path)
	}
	command := []string{"test"}
	if n := chdir(args); n > 0 {
		command, args = append(command, args[:n]...), args[n:]
	}
	command = append(command, "-exec", fmt.Sprintf("'%s' exec -via '%s'", self, path))
	cmd := child.Command(context.Background(), "go", append(command, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	p, err := child.Start(cmd)
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return 0, errors.New("nlrig test needs the go command, which is not on this machine: install Go")
		}
		return 0, err
	}
	for {
		select {
		case sig := <-signals: // as a terminal would send it: to all of them
			_ = syscall.Kill(-cmd.Process.Pid, sig.(syscall.Signal))
		case <-p.Done:
			var failed *exec.ExitError
			if errors.As(p.Err, &failed) {
				if ws := failed.Sys().(syscall.WaitStatus); ws.Signaled() {
					return 128 + int(ws.Signal()), nil
				}
				return failed.ExitCode(), nil
			}
			return 0, p.Err
		}
	}
}

// chdir is how many of args are a -C, which go wants first.
func chdir(args []string) int {
	switch {
	case len(args) > 0 && (strings.HasPrefix(args[0], "-C=") || strings.HasPrefix(args[0], "--C=")):
		return 1
	case len(args) > 1 && (args[0] == "-C" || args[0] == "--C"):
		return 2
	}
	return 0
}

// request is what nlrig exec hands over, with its standard streams as
// descriptors. Signals follow.
type request struct {
	Args []string
	Dir  string
	Env  []string
}

// reply is how the program ended.
type reply struct {
	Status int
	Signal syscall.Signal
	Err    string
}

// serve runs one program, for an nlrig exec that is go's child. When that is
// gone the program ends.
func (s *testServer) serve(ctx context.Context, c *net.UnixConn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var r request
	files, in, err := receive(c, &r)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var re reply
	if err == nil {
		signals := make(chan os.Signal, 8)
		go func() {
			defer cancel()
			for {
				var sig syscall.Signal
				if in.Decode(&sig) != nil {
					return
				}
				signals <- sig
			}
		}()
		re, err = s.run(ctx, &r, files, signals)
	}
	if err != nil {
		re = reply{Status: host.ExitInfra, Err: err.Error()}
	}
	_ = json.NewEncoder(c).Encode(&re) // one who is gone needs none
}

func (s *testServer) run(ctx context.Context, r *request, files []*os.File, signals <-chan os.Signal) (reply, error) {
	env, err := s.options.environment(r.Env)
	if err != nil {
		return reply{}, err
	}
	path := r.Args[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.Dir, path)
	}
	stdout, stderr := io.Writer(files[1]), io.Writer(files[2])
	if sameFile(files[1], files[2]) {
		stderr = stdout
	}
	p := &host.Program{Path: path, Args: r.Args[1:], Dir: r.Dir, Env: env, Files: s.options.files, Stdin: input(files[0])}
	exit, results, err := s.fleet.RunAll(ctx, s.kernels, p, host.Streams{Stdout: stdout, Stderr: stderr, Signals: signals})
	if err != nil {
		return reply{}, err
	}
	ran := packageRun{name: strings.TrimSuffix(filepath.Base(path), ".test"), results: results}
	// What a package that passes has written, go test shows with -v alone.
	ran.later = exit == (host.Exit{}) && !slices.ContainsFunc(r.Args, func(a string) bool { return strings.HasPrefix(a, "-test.v") })
	if !ran.later {
		tell(stderr, results)
	}
	s.mu.Lock()
	s.ran = append(s.ran, ran)
	s.mu.Unlock()
	return reply{Status: exit.Status, Signal: exit.Signal}, nil
}

// receive takes a request and three descriptors.
func receive(c *net.UnixConn, r *request) (files []*os.File, in *json.Decoder, err error) {
	buf, oob := make([]byte, 1), make([]byte, 128)
	_, n, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err == nil && len(msgs) == 1 {
		var fds []int
		if fds, err = syscall.ParseUnixRights(&msgs[0]); err == nil {
			for _, fd := range fds {
				syscall.CloseOnExec(fd)
				files = append(files, os.NewFile(uintptr(fd), "stream"))
			}
		}
	}
	if err == nil && len(files) != 3 {
		err = fmt.Errorf("%d descriptors, want 3", len(files))
	}
	if err != nil {
		return files, nil, err
	}
	in = json.NewDecoder(c)
	if err := in.Decode(r); err != nil {
		return files, nil, err
	}
	if len(r.Args) == 0 {
		return files, nil, errors.New("no program")
	}
	return files, in, nil
}

// execVia has the nlrig test behind a socket run a program, and ends as that
// did.
func execVia(path string, args []string, signals <-chan os.Signal) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return fmt.Errorf("the nlrig test that started this is gone: %w", err)
	}
	defer c.Close()
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	rights := syscall.UnixRights(int(os.Stdin.Fd()), int(os.Stdout.Fd()), int(os.Stderr.Fd()))
	if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte{0}, rights, nil); err != nil {
		return err
	}
	out := json.NewEncoder(c)
	if err := out.Encode(&request{Args: args, Dir: dir, Env: os.Environ()}); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			_ = out.Encode(s) // one who is gone is noticed by Decode
		}
	}()
	var re reply
	if err := json.NewDecoder(c).Decode(&re); err != nil {
		return fmt.Errorf("the nlrig test that started this is gone: %w", err)
	}
	if re.Err != "" {
		return errors.New(re.Err)
	}
	return endAs(host.Exit{Status: re.Status, Signal: re.Signal})
}

// summary is what differs between kernels, and how each package did on them.
func (s *testServer) summary(w io.Writer) error {
	for _, p := range s.ran {
		if p.later {
			for _, r := range p.results {
				for _, n := range r.Notes {
					fmt.Fprintf(w, "nlrig: %s: %s: %s\n", p.name, r.Kernel, n)
				}
			}
		}
	}
	if len(s.kernels) < 2 || len(s.ran) == 0 {
		return nil
	}
	how, _ := style(w)
	t := gotest.Table{Color: how.Color, Width: how.Width}
	for _, v := range s.kernels {
		t.Kernels = append(t.Kernels, v.String())
	}
	for _, p := range s.ran {
		row := gotest.Package{Name: p.name}
		for _, r := range p.results {
			row.Results = append(row.Results, gotest.Result{Tests: r.Tests, Failed: !r.Held(), Elapsed: r.Took})
		}
		t.Packages = append(t.Packages, row)
	}
	fmt.Fprintln(w)
	return t.Write(w)
}
