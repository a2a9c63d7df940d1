package emulated_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/mdlayher/genetlink"

	"github.com/nlrig/nlrig/kernels/emulated"
)

// families is what is tested: it counts the generic netlink families of a kernel, and
// asks for the groups of one, which older kernels do not have.
func families(c *genetlink.Conn, name string) (count int, groups []string, err error) {
	all, err := c.ListFamilies()
	if err != nil {
		return 0, nil, err
	}
	f, err := c.GetFamily(name)
	for _, g := range f.Groups {
		groups = append(groups, g.Name)
	}
	return len(all), groups, err
}

// A program that works on a *genetlink.Conn is given those of an old and of a new
// kernel by its tests.
func ExampleNetns_Dial_genetlink() {
	for _, release := range []string{"5.10", "7.3"} {
		k, err := emulated.New(release)
		if err != nil {
			log.Fatal(err)
		}
		n := k.NewNetns()
		defer n.Close()
		nc, err := n.Dial(genetlink.Protocol, nil)
		if err != nil {
			log.Fatal(err)
		}
		c := genetlink.NewConn(nc)
		defer c.Close()

		_, groups, err := families(c, "netdev")
		fmt.Println(release, groups, errors.Is(err, os.ErrNotExist))
	}
	// Output:
	// 5.10 [] true
	// 7.3 [mgmt page-pool] false
}
