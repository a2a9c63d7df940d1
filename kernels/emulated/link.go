package emulated

const (
	rtmNewlink = 16 + iota
	rtmDellink
	rtmGetlink
	rtmSetlink
)

// registerNetdeviceNotifier has rtnetlink hear of changes of links
// (net/core/rtnetlink.c rtnetlink_event).
func (k *Kernel) registerNetdeviceNotifier() {
	defer k.enter("register_netdevice_notifier")()
	k.notifiers = append(k.notifiers, k.rtnetlinkEvent)
}

// rtnlRegisterLinks is what rtnetlink_init registers.
func (k *Kernel) rtnlRegisterLinks() {
	k.iflaPolicy = k.newIflaPolicy()
	k.rtnlRegister(pfUnspec, rtmGetlink, k.rtnlGetlink, k.rtnlDumpIfinfo, 0)
	k.rtnlRegisterStats()
}

// subsystems are the initcalls after the netlink core's: subsys_initcall to
// late_initcall.
func (k *Kernel) subsystems() {
	k.rtnlAfInit()
	k.registerPernetSubsys(pernetOperations{name: "loopback", init: k.loopbackNetInit})
	k.neighInit()
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
