package emulated

const (
	rtmNewlink = 16 + iota
	rtmDellink
	rtmGetlink
	rtmSetlink

	rtmNewlinkprop = 108
	rtmDellinkprop = 109
)

// registerNetdeviceNotifier has f hear of changes of links (net/core/dev.c
// register_netdevice_notifier).
func (k *Kernel) registerNetdeviceNotifier(f netdevNotifier) {
	defer k.enter("register_netdevice_notifier")()
	k.notifiers = append(k.notifiers, f)
}

// rtnlRegisterLinks is what rtnetlink_init registers.
func (k *Kernel) rtnlRegisterLinks() {
	k.iflaPolicy = k.newIflaPolicy()
	k.rtnlRegister(pfUnspec, rtmGetlink, k.rtnlGetlink, k.rtnlDumpIfinfo, rtnlDumpSplitDone)
	k.rtnlRegister(pfUnspec, rtmSetlink, k.rtnlSetlink, nil, 0)
	k.rtnlRegister(pfUnspec, rtmNewlink, k.rtnlNewlink, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDellink, k.rtnlDellink, nil, 0)
	k.rtnlRegister(pfUnspec, rtmNewlinkprop, k.rtnlNewlinkprop, nil, 0)
	k.rtnlRegister(pfUnspec, rtmDellinkprop, k.rtnlDellinkprop, nil, 0)
	k.rtnlRegisterStats()
	k.rtnlRegisterBridge()
}

// subsystems are the initcalls after the netlink core's: subsys_initcall to
// late_initcall.
func (k *Kernel) subsystems() {
	k.rtnlAfInit()
	k.fibInits()
	k.devinetInit()
	k.routeInits()
	k.addrconfInit()
	k.ipv6AddrLabelInit()
	k.registerPernetSubsys(pernetOperations{name: "loopback", init: k.loopbackNetInit, exit: k.defaultDeviceExit})
	k.registerLinkKinds()
	k.neighInit()
	k.tcInit()
	k.brInit()
	k.brRequestsInit()
	k.dcbInit()
}

// rtmMax is RTM_MAX.
func (k *Kernel) rtmMax() int {
	switch {
	case k.has(rtmTunnel):
		return 123
	case k.has(rtmNexthopBucket):
		return 119
	}
	return 115
}
