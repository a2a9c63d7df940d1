package emulated

// fibInits registers rules and nexthops, in the order of their initcalls
// (net/core/fib_rules.c fib_rules_init, net/ipv4/nexthop.c nexthop_init).
func (k *Kernel) fibInits() {
	k.fibRulesInit()
	k.nexthopInit()
}

// routeInits registers routes. Links have their addresses before they have their
// routes (net/ipv4/fib_frontend.c ip_fib_init, net/ipv4/ipmr.c
// ip_mr_init, net/ipv6/route.c ip6_route_init).
func (k *Kernel) routeInits() {
	k.ipFibInit()
	k.ipMrInit()
	k.ip6RouteInit()
}
