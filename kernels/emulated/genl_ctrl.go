package emulated

// genlCtrl is the controller (net/netlink/genetlink.c genl_ctrl).
func (k *Kernel) genlCtrl() *genlFamily {
	return &genlFamily{id: genlCtrlID, name: "nlctrl", version: 2, netnsok: true, groups: []genlGroup{{name: "notify", id: genlCtrlID}}}
}
