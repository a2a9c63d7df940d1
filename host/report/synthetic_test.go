package report

import (
	"fmt"
	"math/rand/v2"
)

// synthetic is a report of a real one's shape: most cases alike on all
// kernels, some that change along them, some verdicts of each sort, and
// strings that a guest could choose to break a page with.
func synthetic(kernels, cases int) *Report {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := &Report{Version: Version, Kernels: []Kernel{}, Cases: []Case{}}
	series := []string{"5.10", "5.15", "6.1", "6.6", "6.9", "6.12", "6.18", "7.1", "7.3"}
	per := (kernels + len(series) - 1) / len(series)
	for k := range kernels {
		name := fmt.Sprintf("%s.%d", series[k/per], 4+k%per*17)
		r.Kernels = append(r.Kernels, Kernel{Name: name, Release: name + "-cloud-amd64", Build: "#1 SMP Debian", Boots: 1, Seconds: 1.25})
	}
	groups := []string{"ack", "dump", "genl", "multicast", "receive", "register", "rtnetlink", "unicast"}
	for i := range cases {
		g := groups[i*len(groups)/cases]
		c := Case{
			Name: fmt.Sprintf("%s/case-%03d", g, i),
			Doc:  fmt.Sprintf("What a %s of type %d answers: <b>first</b> the ACK & then the rest.", g, i),
			Refs: []string{"net/netlink/af_netlink.c netlink_rcv_skb"},
			Text: "# What it answers.\nopen s route\nsend s RTM_GETLINK REQUEST|ACK ifinfomsg{index=1}\nrecv s RTM_NEWLINK ; NLMSG_ERROR error=0\nquiet s\n",
		}
		c.Cells = make([]Cell, kernels)
		at := map[int]int{}
		if i%6 == 2 {
			for n := range 1 + rnd.IntN(3) {
				at[1+rnd.IntN(kernels)] = n + 1
			}
		}
		class := 0
		for k := range c.Cells {
			if n, ok := at[k]; ok {
				class = n
			}
			c.Cells[k] = Cell{Verdict: Pass, Seconds: 0.004}
			switch p := rnd.IntN(700); {
			case i%40 == 5 && k < kernels/4:
				c.Cells[k] = Cell{Verdict: Skip, Reason: "requires >=5.15, this is " + r.Kernels[k].Name}
				continue
			case p == 0:
				c.Cells[k] = Cell{Verdict: Panic, Reason: "panic: Oops: 0000", LastWords: []string{"RIP: netlink_rcv_skb+0x1b", "</script><script>alert(1)</script>"}}
				continue
			case p == 1:
				c.Cells[k] = Cell{Verdict: Missing, Reason: "no report has this case on this kernel"}
				continue
			case p < 5 || class > 1:
				c.Cells[k].Verdict = Fail
				c.Cells[k].Mismatches = []Mismatch{{4, "NLMSG_ERROR error=0", "NLMSG_ERROR error=-EOPNOTSUPP \x1b[2J ]]> 100%, a:b"}}
			}
			x := []string{
				"open s route",
				"send s RTM_GETLINK REQUEST|ACK ifinfomsg{index=1}",
				"  > RTM_GETLINK REQUEST|ACK seq=#1 pid=$s ifinfomsg{index=1}",
				"recv s",
				fmt.Sprintf("  < RTM_NEWLINK seq=#1 pid=$s ifinfomsg{index=@lo type=LOOPBACK flags=UP|LOOPBACK} IFLA_IFNAME=\"lo\" IFLA_MTU=%d", 65536-class),
			}
			for j := range class {
				x = append(x, fmt.Sprintf("  < NLMSG_ERROR seq=#1 error=-E%d <!-- </script> `\u2028", j))
			}
			c.SetExchange(k, append(x, "quiet s", "  = EAGAIN"))
		}
		c.reletter()
		r.Cases = append(r.Cases, c)
	}
	return r
}
