//go:build linux

package initramfs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/uio/ulog"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/kernels/child"
)

// shellCommands are those of u-root's cmds/core that are for looking around.
// modprobe is not among them: it is the agent, which asks the host.
var shellCommands = strings.Fields(`gosh
	basename cat chmod chroot cmp cp date dd df dirname dmesg du echo false
	find free grep gzip head hexdump hostname id insmod ip kill ln ls lsmod
	mkdir mknod more mount mv netstat pidof ping printenv ps pwd readlink rm
	rmmod seq shasum sleep sort strace strings stty sync tail tee time timeout
	touch tr true tty umount uname uniq unshare uptime wc which xargs`)

const (
	uroot         = "github.com/u-root/u-root"
	urootCommands = uroot + "/cmds/core/"
	// shellTags choose gosh's plain line editor: the other one takes an
	// arrow key for three keys when it comes over a serial line.
	shellTags    = "goshliner"
	shellTimeout = 15 * time.Minute
	// keepShells is how many busyboxes are kept for other versions of Go and
	// u-root.
	keepShells = 3
)

// patience is a file of the busybox's own: with its plain line editor gosh ends
// at an interrupt that is meant for the command it runs.
const patience = `package main

import (
	"os"
	"os/signal"
	"path/filepath"
)

func init() {
	if filepath.Base(os.Args[0]) == "gosh" {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
}
`

// Shell returns what the initramfs of a VM with a shell has besides: one
// binary of u-root's commands with a link for each. It is kept in dir, and
// built there first if need be, which say is told.
func Shell(ctx context.Context, dir string, say func(string)) ([]cpio.Record, error) {
	b, err := busybox(ctx, dir, say)
	if err != nil {
		return nil, fmt.Errorf("build the shell: %w", err)
	}
	bin := rel(path.Dir(layout.Shell))
	records := []cpio.Record{
		cpio.Directory(bin, 0o755),
		cpio.StaticRecord(b, cpio.Info{Name: bin + "/bb", Mode: cpio.S_IFREG | 0o755}),
		cpio.Directory("etc", 0o755),
		cpio.StaticFile("etc/passwd", "root:x:0:0::/:"+layout.Shell+"\n", 0o644),
		cpio.StaticFile("etc/group", "root:x:0:\n", 0o644),
	}
	for _, c := range shellCommands {
		records = append(records, cpio.Symlink(bin+"/"+c, "bb"))
	}
	return records, nil
}

func busybox(ctx context.Context, dir string, say func(string)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, shellTimeout)
	defer cancel()
	src, err := urootVersion(ctx)
	if err != nil {
		return nil, err
	}
	key := Sum([]byte(src.version + "\n" + shellTags + "\n" + patience + strings.Join(shellCommands, " ")))[:16]
	goVersion, err := goCommand(ctx, "", "env", "GOVERSION")
	if err != nil {
		if b := stored(dir, key+"-*"); b != nil {
			return b, nil
		}
		return nil, err
	}
	key += "-" + goVersion
	if b := stored(dir, key); b != nil {
		return b, nil
	}
	say("building the shell, once: about 40 s")
	tmp, release, err := scratch(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer release()
	if b := stored(dir, key); b != nil { // by whoever had the lock
		return b, nil
	}
	file, err := src.build(ctx, tmp)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	defer prune(dir, "*.bb", keepShells)
	return b, os.Rename(file, filepath.Join(dir, key+"-"+Sum(b)+".bb"))
}

// stored returns a busybox whose name begins with key, nil if there is none
// that is what its name says.
func stored(dir, key string) []byte {
	files, _ := filepath.Glob(filepath.Join(dir, key+"-*.bb"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.HasSuffix(f, "-"+Sum(b)+".bb") {
			now := time.Now()
			_ = os.Chtimes(f, now, now) // only makes it the last to go
			return b
		}
	}
	return nil
}

// source is the u-root that the commands are from. sum is its go.sum line's,
// empty when it is not known.
type source struct{ version, sum string }

// urootVersion is the u-root that this program was built with, so that it need
// not be run in its own source tree. The binary of a test does not know, but
// is run there.
func urootVersion(ctx context.Context) (source, error) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == uroot {
				return source{d.Version, d.Sum}, nil
			}
		}
	}
	v, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Version}}", uroot)
	return source{version: v}, err
}

// build makes the busybox of u-root's own module, where it lies in Go's module
// cache: there the commands get the dependencies that they were released with.
func (s source) build(ctx context.Context, tmp string) (file string, err error) {
	out, err := goCommand(ctx, tmp, "mod", "download", "-json", uroot+"@"+s.version)
	if err != nil {
		return "", err
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return "", fmt.Errorf("go mod download %s: %w", uroot, err)
	}
	if s.sum != "" && s.sum != module.Sum {
		return "", fmt.Errorf("%s@%s: want %s, downloaded %s", uroot, s.version, s.sum, module.Sum)
	}
	var packages []string
	for _, c := range shellCommands {
		packages = append(packages, urootCommands+c)
	}
	// Downloads what the packages need. Without it generate would, with no
	// way to interrupt it.
	if _, err := goCommand(ctx, module.Dir, append([]string{"list", "-deps", "-tags", shellTags}, packages...)...); err != nil {
		return "", err
	}
	root, err := goCommand(ctx, "", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	gopath := filepath.Join(tmp, "gopath")
	if err := generate(ctx, module.Dir, root, gopath, packages); err != nil {
		return "", err
	}
	main := filepath.Join(gopath, "src/bb.u-root.com/bb")
	if err := os.WriteFile(filepath.Join(main, "patience.go"), []byte(patience), 0o644); err != nil {
		return "", err
	}
	file = filepath.Join(tmp, "bb")
	args := append([]string{"build"}, BuildFlags()...)
	_, err = goRun(ctx, main, []string{"GO111MODULE=off", "GOPATH=" + gopath, "GOTMPDIR=" + tmp},
		append(args, "-tags", shellTags, "-o", file, ".")...)
	return file, err
}

// generate rewrites the commands to packages of one program.
func generate(ctx context.Context, module, goroot, gopath string, packages []string) error {
	done := make(chan error, 1)
	go func() {
		done <- bb.BuildBusybox(ulog.Null, &bb.Opts{
			Env: golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH("amd64"), golang.WithGOROOT(goroot),
				golang.WithGO111MODULE("on"), golang.WithMod(golang.ModReadonly), golang.WithWorkingDir(module), golang.WithBuildTag(shellTags)),
			LookupEnv:    &findpkg.Env{},
			GenSrcDir:    gopath,
			CommandPaths: packages,
			GenerateOnly: true,
		})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // what it goes on to write is for the next builder to remove
		return context.Cause(ctx)
	}
}

// goCommand runs go in dir, with modules, for the guest's platform.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	return goRun(ctx, dir, []string{"GO111MODULE=on"}, args...)
}

func goRun(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := child.Command(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOEXPERIMENT=")
	if dir != "" {
		cmd.Env = append(cmd.Env, "GOWORK=off")
	}
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := child.Run(cmd); err != nil {
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return "", errors.New("it needs the go command, which is not on this machine: install Go")
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
