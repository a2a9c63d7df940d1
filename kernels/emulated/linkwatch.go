package emulated

// Modes of getting into IF_OPER_UP (include/uapi/linux/if.h).
const (
	ifLinkModeDormant = 1
	ifLinkModeTesting = 2
)

// defaultOperstate is net/core/link_watch.c default_operstate.
func (k *Kernel) defaultOperstate(d *netDevice) uint8 {
	if !d.carrier {
		iflink, _ := d.getIflink()
		if iflink == d.index {
			return ifOperDown
		}
		if k.has(operstateOfPeer) {
			peer := d.net.devGetByIndex(iflink)
			if peer == nil || peer.carrier {
				return ifOperDown
			}
		}
		return ifOperLowerlayerdown
	}
	return ifOperUp
}

// rfc2863Policy derives the operational state from the carrier
// (net/core/link_watch.c rfc2863_policy).
func (k *Kernel) rfc2863Policy(d *netDevice) {
	s := k.defaultOperstate(d)
	if s == d.operstate {
		return
	}
	switch d.linkmode {
	case ifLinkModeTesting:
		if s == ifOperUp {
			s = ifOperTesting
		}
	case ifLinkModeDormant:
		if s == ifOperUp {
			s = ifOperDormant
		}
	}
	d.operstate = s
}

// linkwatchInitDev is net/core/link_watch.c linkwatch_init_dev.
func (k *Kernel) linkwatchInitDev(d *netDevice) {
	if !d.carrier {
		k.rfc2863Policy(d)
	}
}

// linkwatchFireEvent has the link looked at later: once, however often it changes
// until then (net/core/link_watch.c linkwatch_fire_event).
func (k *Kernel) linkwatchFireEvent(d *netDevice) {
	if d.linkwatchPending {
		return
	}
	d.linkwatchPending = true
	k.scheduleWork(func() { k.linkwatchDoDev(d) })
}

// linkwatchDoDev is net/core/link_watch.c linkwatch_do_dev.
func (k *Kernel) linkwatchDoDev(d *netDevice) {
	d.linkwatchPending = false
	if d.regState != netregRegistered {
		return
	}
	k.rfc2863Policy(d)
	if d.flags&iffUp != 0 {
		if d.carrier {
			k.devActivate(d)
		}
		k.netdevStateChange(d)
	}
}

// netifCarrierOn is net/sched/sch_generic.c netif_carrier_on.
func (k *Kernel) netifCarrierOn(d *netDevice) {
	if d.carrier {
		return
	}
	d.carrier = true
	if d.regState == netregUninitialized {
		return
	}
	d.carrierUp++
	k.linkwatchFireEvent(d)
}

// netifCarrierOff is net/sched/sch_generic.c netif_carrier_off.
func (k *Kernel) netifCarrierOff(d *netDevice) {
	if !d.carrier {
		return
	}
	d.carrier = false
	if d.regState == netregUninitialized {
		return
	}
	d.carrierDown++
	k.linkwatchFireEvent(d)
}

// netifStackedTransferOperstate gives a link the carrier of the one that it is
// stacked on (net/core/dev.c netif_stacked_transfer_operstate).
func (k *Kernel) netifStackedTransferOperstate(root, d *netDevice) {
	if root.carrier {
		k.netifCarrierOn(d)
	} else {
		k.netifCarrierOff(d)
	}
}
