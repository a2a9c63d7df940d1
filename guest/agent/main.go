//go:build linux

// Command agent is what runs in the guest: as /init, the kernel's first
// process, and as /sbin/modprobe, which the kernel starts when it wants a
// module. With -serve it is an ordinary process that
// plays cases on the running kernel.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/nlrig/nlrig/guest"
	"github.com/nlrig/nlrig/kernels/local"
)

func main() {
	local.Apart()
	var err error
	switch {
	case strings.HasSuffix(os.Args[0], "modprobe"):
		err = guest.Modprobe(os.Args[1:])
	case os.Getpid() == 1:
		err = guest.Init()
	case len(os.Args) == 2 && os.Args[1] == "-serve":
		err = guest.ServeProcess()
	default:
		err = fmt.Errorf("not for use by hand: it is /init of a guest, or is started by nlrig for -k local")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nlrig agent:", err)
		os.Exit(1)
	}
}
