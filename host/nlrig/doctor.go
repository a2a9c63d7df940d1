//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/initramfs"
)

// doctor checks what a run needs, a line each, with the remedy where
// something is missing. Only what every run needs makes it fail.
func doctor(ctx context.Context, args []string) error {
	var o options
	f := newFlags("doctor", "", &o)
	o.vmFlags(f)
	if err := parse(f, args); err != nil {
		return err
	}
	healthy := true
	ok := func(what, format string, a ...any) { fmt.Printf("ok    %-11s %s\n", what, fmt.Sprintf(format, a...)) }
	note := func(what, format string, a ...any) { fmt.Printf("note  %-11s %s\n", what, fmt.Sprintf(format, a...)) }
	bad := func(what, format string, a ...any) {
		healthy = false
		fmt.Printf("FAIL  %-11s %s\n", what, fmt.Sprintf(format, a...))
	}

	version, err := qemu.Check(ctx, o.binary)
	if err != nil {
		bad("qemu", "%v", err)
	} else {
		ok("qemu", "%s, version %s", o.binary, version)
	}
	for _, p := range []struct{ name, why, remedy string }{
		{"apt-get", "Debian's kernels", "use file: or deb: kernels on a machine without apt"},
		{"dpkg-deb", "Debian's packages", "apt-get install dpkg"},
		{"xz", "modules and packages, quickly", "apt-get install xz-utils"},
		{"go", "the agent when it is not built in, and the shell", "install Go, or use an nlrig that was built with make"},
	} {
		if path, err := exec.LookPath(p.name); err != nil {
			note(p.name, "not found; it is for %s: %s", p.why, p.remedy)
		} else {
			ok(p.name, "%s", path)
		}
	}
	rig, err := o.rig(func(format string, a ...any) { note("catalogue", format, a...) })
	if err != nil {
		bad("cache", "%v", err)
		return exit(host.ExitInfra)
	}
	if err := writable(o.cache); err != nil {
		bad("cache", "%v: name another with -cache", err)
	} else {
		ok("cache", "%s", o.cache)
	}
	if vs, err := rig.Catalogue.List(ctx); err != nil {
		bad("kernels", "%v", err)
	} else {
		here := []string{}
		for _, v := range vs {
			if v.Here {
				here = append(here, v.String())
			}
		}
		ok("kernels", "%d to be had; here: %s", len(vs), strings.Join(here, " "))
		for _, v := range vs {
			if v.Here {
				if img, err := rig.Image(ctx, v); err != nil {
					bad("image", "%v: %v", v, err)
				} else {
					ok("image", "%v: %d bytes, sha256 %s", v, img.Size, img.Sum)
				}
			}
		}
	}
	if rig.Images != nil {
		var size int64
		all := rig.Images.List()
		for _, i := range all {
			size += i.Size
		}
		ok("warm", "%d images of VMs, %.1f MB of at most %.0f; nlrig kernels rm removes them with their kernel", len(all), float64(size)/1e6, float64(qemu.DefaultMaxImages)/1e6)
	}
	if agent, err := rig.Agent(ctx); err != nil {
		bad("agent", "%v", err)
	} else {
		ok("agent", "%d bytes, sha256 %s", len(agent), initramfs.Sum(agent))
		if err := host.TryLocal(ctx, rig); err != nil {
			note("local", "%v", err)
		} else {
			ok("local", "network namespaces of the running kernel")
		}
	}
	if err := rig.TryKVM(ctx); err != nil {
		note("kvm", "VMs run under TCG: %v", err)
	} else {
		ok("kvm", "a guest runs under it")
	}
	if libc, err := rig.TryUML(ctx); err != nil {
		note("uml", "no User Mode Linux: %v", err)
	} else if libc == "" {
		ok("uml", "User Mode Linux where it is linked statically: there is no glibc")
	} else {
		ok("uml", "User Mode Linux that wants glibc %s or older", libc)
	}
	if !healthy {
		return exit(host.ExitInfra)
	}
	return nil
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}
