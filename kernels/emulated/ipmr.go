package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// ipMrInit registers the routes of multicast packets, of which a namespace has none
// until somebody routes such (net/ipv4/ipmr.c ip_mr_init, net/ipv6/ip6mr.c
// ip6_mr_init).
func (k *Kernel) ipMrInit() {
	k.registerPernetSubsys(pernetOperations{name: "ipmr", init: func(n *netns) errno {
		n.fibRulesRegister(rtnlIpmr, 4, rtnlgrpIpv4Rule, [2]uint32{0x7fff, rtTableDefault})
		n.fibRulesRegister(rtnlIp6mr, 16, rtnlgrpIpv6Rule, [2]uint32{0x7fff, rtTableMain})
		return 0
	}})
	k.rtnlRegister(rtnlIpmr, rtmGetroute, nil, k.mrDumproute("ipmr_rtm_dumproute", rtTableDefault, "ipv4: MR table does not exist"), 0)
	k.rtnlRegister(rtnlIp6mr, rtmGetroute, nil, k.mrDumproute("ip6mr_rtm_dumproute", rtTableMain, "MR table does not exist"), 0)
}

// mrDumproute dumps the routes of the one table that is there: none
// (net/ipv4/ipmr.c ipmr_rtm_dumproute, net/ipv6/ip6mr.c ip6mr_rtm_dumproute).
func (k *Kernel) mrDumproute(name string, table uint32, missing string) dumpit {
	return func(skb *skBuff, cb *netlinkCallback) errno {
		defer k.enter(name)()
		f := &fibDumpFilter{}
		if cb.strict {
			if err := k.ipValidFibDumpReq(cb, f); err != 0 {
				return err
			}
		}
		if family := int(cb.nlh.payload()[0]); f.table != 0 && f.table != table && (family == rtnlIpmr || family == rtnlIp6mr) {
			cb.extack.set(missing)
			return nlmsg.ENOENT
		}
		return dumpLen(skb)
	}
}
