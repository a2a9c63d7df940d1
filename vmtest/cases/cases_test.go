package cases

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

var update = flag.Bool("update", false, "rewrite the cases in their canonical layout")

func all(t *testing.T) []*nlcase.Case {
	t.Helper()
	cases, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestCases(t *testing.T) {
	cases := all(t)
	if len(cases) < 45 {
		t.Errorf("%d cases are too few: is the pattern of go:embed right?", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.Doc == "" {
				t.Error("no header comment says what it is about")
			}
			if len(c.Refs) == 0 {
				t.Error("no ref: names the kernel function that it exercises")
			}
			if c.NeedsVM() {
				t.Error("breaks kernels: such cases belong to the tests of the runner")
			}
			text := c.Format()
			if *update {
				if err := os.WriteFile(c.Name+".case", text, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(text, c.Text) {
				t.Error("not in its canonical layout: go test ./vmtest/cases -update")
			}
			again, err := nlcase.Parse(c.Name, text)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Steps {
				a, b := c.Steps[i], again.Steps[i]
				a.Line, b.Line = 0, 0
				if !reflect.DeepEqual(a, b) {
					t.Errorf("line %d changes with its layout", c.Steps[i].Line)
				}
			}
		})
	}
}

// unseen are functions of the code flow that no exchange can tell apart, and
// why.
var unseen = map[string]string{
	"netlink_proto_init":                   "runs once at boot; every case rests on it",
	"register_pernet_subsys":               "its effect is rtnetlink_net_init and genl_pernet_init in a fresh namespace",
	"register_netdevice_notifier":          "its effect is the notification in multicast/link",
	"genl_register_family_with_ops_groups": "runs once at boot, for the controller; newer kernels have genl_register_family",
	"netlink_is_kernel":                    "a test inside netlink_unicast, both outcomes of which have cases",
	"netlink_skb_set_owner_r":              "accounting of memory",
	"netlink_deliver_tap_kernel":           "only a nlmon device sees it",
	"rtnl_lock":                            "a lock",
	"rtnl_unlock":                          "a lock",
	"genl_lock":                            "a lock",
	"genl_unlock":                          "a lock",
	"rtnetlink_net_exit":                   "runs when nobody is left in the namespace",
	"genl_pernet_exit":                     "runs when nobody is left in the namespace",
}

// flow are the functions in the code flow that the cases are about.
var flow = strings.Fields(`
	netlink_proto_init rtnetlink_init register_pernet_subsys register_netdevice_notifier rtnl_register
	rtnl_getlink rtnl_dump_ifinfo rtnl_calcit rtnl_setlink rtnl_newlink rtnl_dellink rtnl_dump_all
	rtnl_fdb_add rtnl_fdb_del rtnl_fdb_dump rtnl_bridge_getlink rtnl_bridge_dellink rtnl_bridge_setlink
	rtnetlink_net_init rtnetlink_net_exit netlink_kernel_create __netlink_kernel_create
	netlink_sendmsg netlink_unicast netlink_trim sock_sndtimeo netlink_getsockbyportid netlink_is_kernel
	sk_filter netlink_attachskb netlink_sendskb netlink_unicast_kernel netlink_skb_set_owner_r
	netlink_deliver_tap_kernel rtnetlink_rcv rtnl_lock rtnl_unlock rtnetlink_rcv_msg rtnl_get_doit
	genl_init genl_register_family_with_ops_groups genl_pernet_init genl_pernet_exit genl_bind genl_unbind
	genl_rcv netlink_rcv_skb netlink_ack genl_rcv_msg genl_family_find_byid genl_lock genl_unlock
	genl_family_rcv_msg`)

func TestEveryFunctionHasACase(t *testing.T) {
	refs := map[string]bool{}
	for _, c := range all(t) {
		for _, r := range c.Refs {
			refs[r.Func] = true
		}
	}
	for _, f := range flow {
		switch why := unseen[f]; {
		case refs[f] && why != "":
			t.Errorf("%s has a case and a reason to have none (%s)", f, why)
		case !refs[f] && why == "":
			t.Errorf("%s has no case that names it in a ref:", f)
		}
	}
}
