//go:build linux

package local

import (
	"errors"
	"os"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// module sees to it that a module that a case names is there.
func (k *Kernel) module(name string) error {
	if k.LoadModule != nil {
		return k.LoadModule(name)
	}
	if _, err := os.Stat("/sys/module/" + strings.ReplaceAll(name, "-", "_")); err == nil {
		return nil
	}
	// A kind of link is loaded by the kernel when one is made, or built in,
	// which nothing tells but trying (net/core/rtnetlink.c rtnl_newlink).
	c, err := nlcase.Parse("probe", []byte(`open s route
send s RTM_NEWLINK REQUEST|ACK|CREATE ifinfomsg{} IFLA_IFNAME="probe" IFLA_LINKINFO{IFLA_INFO_KIND="`+name+`"}
collect s
`))
	if err != nil {
		return err
	}
	t := nlcase.Play(k, c)
	if t.Failed != "" {
		return nil // the case itself will say it
	}
	for _, d := range t.Steps[2].Datagrams {
		for _, m := range nlmsg.Decode(nlmsg.Route, d.Data) {
			if e, ok := m.Errno(); ok && e == 0 {
				return nil
			}
		}
	}
	return errors.New("the running kernel does not have it, and did not load it when it was needed")
}
