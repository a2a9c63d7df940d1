package emulated

// dummyLinkOps is drivers/net/dummy.c dummy_link_ops.
func (k *Kernel) dummyLinkOps() *rtnlLinkOps {
	ndo := &netDeviceOps{
		validateAddr:  true,
		setMacAddress: ethMacAddr,
		changeCarrier: func(d *netDevice, on bool) errno {
			if on {
				k.netifCarrierOn(d)
			} else {
				k.netifCarrierOff(d)
			}
			return 0
		},
	}
	return &rtnlLinkOps{
		kind: "dummy",
		setup: func(d *netDevice) {
			etherSetup(d)
			d.flags |= iffNoarp
			d.flags &^= iffMulticast
			d.minMtu, d.maxMtu = 0, 0
			d.ndo = ndo
			k.ethHwAddrRandom(d)
		},
		validate: func(tb, data attrTable, x *extAck) errno { return etherValidate(tb) },
	}
}
