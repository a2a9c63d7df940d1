package emulated_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/mdlayher/netlink"

	"github.com/nlrig/nlrig/kernels/emulated"
)

// Of rtnetlink, as in golang.org/x/sys/unix.
const (
	rtmNewlink    = 16
	rtmSetlink    = 19
	rtnlgrpLink   = 1
	iflaAddress   = 1
	iflaIfname    = 3
	iflaLinkinfo  = 18
	iflaInfoKind  = 1
	sizeofIfinfo  = 16
	protocolRoute = 0
)

// ifinfomsg is the fixed header of a message of a link.
func ifinfomsg(index uint32) []byte {
	b := make([]byte, sizeofIfinfo)
	binary.NativeEndian.PutUint32(b[4:], index)
	return b
}

// renamer is what is tested: a program that hears of new links, and gives each a name
// that its hardware address decides.
type renamer struct {
	events, requests *netlink.Conn
}

// next waits for a new link, and renames it.
func (r *renamer) next() (was, is string, err error) {
	for {
		ms, err := r.events.Receive()
		if err != nil {
			return "", "", err
		}
		for _, m := range ms {
			if m.Header.Type != rtmNewlink || len(m.Data) < sizeofIfinfo {
				continue
			}
			ad, err := netlink.NewAttributeDecoder(m.Data[sizeofIfinfo:])
			if err != nil {
				return "", "", err
			}
			var mac []byte
			for ad.Next() {
				switch ad.Type() {
				case iflaIfname:
					was = ad.String()
				case iflaAddress:
					mac = ad.Bytes()
				}
			}
			if is = fmt.Sprintf("mac%x", mac); is == was {
				continue // it is told of the renaming, too
			}
			return was, is, r.rename(binary.NativeEndian.Uint32(m.Data[4:]), is)
		}
	}
}

func (r *renamer) rename(index uint32, name string) error {
	ae := netlink.NewAttributeEncoder()
	ae.String(iflaIfname, name)
	b, err := ae.Encode()
	if err != nil {
		return err
	}
	_, err = r.requests.Execute(netlink.Message{
		Header: netlink.Header{Type: rtmSetlink, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(ifinfomsg(index), b...),
	})
	return err
}

// newDummy asks for a link of type dummy.
func newDummy(c *netlink.Conn, name string, mac ...byte) error {
	ae := netlink.NewAttributeEncoder()
	ae.String(iflaIfname, name)
	ae.Bytes(iflaAddress, mac)
	ae.Nested(iflaLinkinfo, func(ae *netlink.AttributeEncoder) error {
		ae.String(iflaInfoKind, "dummy")
		return nil
	})
	b, err := ae.Encode()
	if err != nil {
		return err
	}
	_, err = c.Execute(netlink.Message{
		Header: netlink.Header{Type: rtmNewlink, Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl},
		Data:   append(ifinfomsg(0), b...),
	})
	return err
}

// A test plugs links into an emulated kernel, and looks at what a program makes of
// them. Nothing takes root, and the errors are the kernel's own.
func ExampleNetns_Dial() {
	k, err := emulated.New("6.12")
	if err != nil {
		log.Fatal(err)
	}
	n := k.NewNetns()
	defer n.Close()
	dial := func(cfg *netlink.Config) *netlink.Conn {
		c, err := n.Dial(protocolRoute, cfg)
		if err != nil {
			log.Fatal(err)
		}
		return c
	}
	r := &renamer{
		events:   dial(&netlink.Config{Groups: 1 << (rtnlgrpLink - 1)}),
		requests: dial(&netlink.Config{Strict: true}),
	}
	plug := dial(nil)

	if err := newDummy(plug, "dummy7", 2, 0, 0, 0, 0, 0xa); err != nil {
		log.Fatal(err)
	}
	was, is, err := r.next()
	fmt.Println(was, is, err)

	// The name that this one is to get is taken.
	if err := newDummy(plug, "dummy8", 2, 0, 0, 0, 0, 0xa); err != nil {
		log.Fatal(err)
	}
	was, is, err = r.next()
	fmt.Println(was, is, errors.Is(err, os.ErrExist))

	// Output:
	// dummy7 mac02000000000a <nil>
	// dummy8 mac02000000000a true
}
