package emulated_test

import (
	"fmt"
	"log"

	"github.com/mdlayher/genetlink"

	"github.com/nlrig/nlrig/kernels/emulated"
)

// familyNames is what is tested: it asks a kernel for the names of its generic netlink
// families.
func familyNames(c *genetlink.Conn) (names []string, err error) {
	families, err := c.ListFamilies()
	for _, f := range families {
		names = append(names, f.Name)
	}
	return names, err
}

// A program that works on a *genetlink.Conn is given one of an emulated kernel by its
// tests.
func ExampleNetns_Dial_genetlink() {
	k, err := emulated.New("6.12")
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

	names, err := familyNames(c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names[0])
	_, err = c.GetFamily("no such family")
	fmt.Println(err)
}
