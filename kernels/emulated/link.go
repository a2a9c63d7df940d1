package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

const (
	rtmNewlink = 16 + iota
	rtmDellink
	rtmGetlink
	rtmSetlink
)

// rtnlLinkOps is a kind of links (include/net/rtnetlink.h struct rtnl_link_ops).
type rtnlLinkOps struct {
	kind string
}

// registerNetdeviceNotifier has rtnetlink hear of changes of links
// (net/core/rtnetlink.c rtnetlink_event).
func (k *Kernel) registerNetdeviceNotifier() {
	defer k.enter("register_netdevice_notifier")()
}

// rtnlRegisterLinks is what rtnetlink_init registers.
func (k *Kernel) rtnlRegisterLinks() {
	k.rtnlRegister(pfUnspec, rtmGetlink, k.rtnlGetlink, k.rtnlDumpIfinfo, 0)
}

// subsystems are the initcalls after the netlink core's: subsys_initcall to
// late_initcall.
func (k *Kernel) subsystems() {
	k.registerPernetSubsys(pernetOperations{name: "loopback", init: k.loopbackNetInit})
}

// loopbackNetInit is drivers/net/loopback.c loopback_net_init.
func (k *Kernel) loopbackNetInit(n *netns) errno {
	k.rtnlLock()
	defer k.rtnlUnlock()
	n.state.devs = append(n.state.devs, &netDevice{net: n, index: n.devNewIndex(), name: "lo", typ: arphrdLoopback,
		flags: iffLoopback, mtu: 65536, txqlen: 1000, addrLen: 6, addr: make([]byte, 6), bcast: make([]byte, 6)})
	return 0
}

// rtmMax is RTM_MAX.
func (k *Kernel) rtmMax() int { return 123 }

func (k *Kernel) rtnlCalcit(skb *skBuff, h *nlmsghdr) int {
	defer k.enter("rtnl_calcit")()
	return 0
}

func (k *Kernel) rtnlGetlink(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("rtnl_getlink")()
	return nlmsg.ENODEV
}

func (k *Kernel) rtnlDumpIfinfo(skb *skBuff, cb *netlinkCallback) errno {
	defer k.enter("rtnl_dump_ifinfo")()
	for i := cb.args[0]; i < len(cb.net.state.devs); i++ {
		d := cb.net.state.devs[i]
		p := cb.put(skb, rtmNewlink, nlmMulti, make([]byte, 16))
		skb.nlaPutString(3, d.name)
		if p.end() != 0 {
			break
		}
		cb.args[0] = i + 1
	}
	return dumpLen(skb)
}
