package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// The spanning tree of a bridge that no other speaks to: it is the root, and all of
// its ports are designated.

// becomeDesignated is net/bridge/br_stp.c br_become_designated_port.
func (p *bridgePort) becomeDesignated() {
	p.root, p.bridge, p.designatedPort = p.br.root, p.br.bridgeID, p.id()
}

// brStpEnablePort is net/bridge/br_stp_if.c br_stp_enable_port.
func (k *Kernel) brStpEnablePort(p *bridgePort) {
	p.becomeDesignated()
	p.state = brStateBlocking
	k.brPortStateSelection(p.br)
	k.brIfinfoNotify(rtmNewlink, nil, p)
}

// brStpDisablePort is net/bridge/br_stp_if.c br_stp_disable_port.
func (k *Kernel) brStpDisablePort(p *bridgePort) {
	p.becomeDesignated()
	p.state = brStateDisabled
	k.brIfinfoNotify(rtmNewlink, nil, p)
	if p.backup == nil {
		k.brFdbDeleteByPort(p.br, p, 0, false)
	}
	k.brPortStateSelection(p.br)
}

// brPortStateSelection is net/bridge/br_stp.c br_port_state_selection. A bridge has
// a carrier while one of its ports forwards.
func (k *Kernel) brPortStateSelection(b *netBridge) {
	live := false
	for _, p := range slices.Clone(b.ports) {
		if p.state == brStateDisabled {
			continue
		}
		if b.stp != brStpUser {
			k.brMakeForwarding(p)
		}
		live = live || p.state == brStateForwarding
	}
	if live {
		k.netifCarrierOn(b.dev)
	} else {
		k.netifCarrierOff(b.dev)
	}
}

// brMakeForwarding is net/bridge/br_stp.c br_make_forwarding. What follows in time
// does not happen.
func (k *Kernel) brMakeForwarding(p *bridgePort) {
	if p.state != brStateBlocking {
		return
	}
	switch b := p.br; {
	case b.stp == brStpNone || b.forwardDelay == 0:
		p.state = brStateForwarding
	case b.stp == brStpKernel:
		p.state = brStateListening
	default:
		p.state = brStateLearning
	}
	k.brIfinfoNotify(rtmNewlink, nil, p)
}

// brPortCarrierCheck is net/bridge/br_if.c br_port_carrier_check. It says whether it
// has told of a change.
func (k *Kernel) brPortCarrierCheck(p *bridgePort) bool {
	if p.br.dev.flags&iffUp == 0 {
		return false
	}
	if p.dev.flags&iffUp != 0 && p.dev.operUp() {
		if p.state == brStateDisabled {
			k.brStpEnablePort(p)
			return true
		}
	} else if p.state != brStateDisabled {
		k.brStpDisablePort(p)
		return true
	}
	return false
}

// setID gives the bridge, which is the root, another ID.
func (b *netBridge) setID(id bridgeID) {
	b.bridgeID, b.root = id, id
	for _, p := range b.ports {
		p.becomeDesignated()
	}
}

// brStpChangeBridgeID is net/bridge/br_stp_if.c br_stp_change_bridge_id.
func (k *Kernel) brStpChangeBridgeID(b *netBridge, addr []byte) {
	k.brFdbChangeMacAddress(b, addr)
	id := b.bridgeID
	id.setAddr(addr)
	b.dev.addr = slices.Clone(addr)
	b.setID(id)
	k.brPortStateSelection(b)
}

// brStpRecalculateBridgeID gives a bridge whose user has not chosen one the least
// address of its ports, and says whether that is another
// (net/bridge/br_stp_if.c br_stp_recalculate_bridge_id).
func (k *Kernel) brStpRecalculateBridgeID(b *netBridge) bool {
	if b.addrSet {
		return false
	}
	addr := make([]byte, 6)
	for i, p := range b.ports {
		if i == 0 || bytes.Compare(p.dev.addr, addr) < 0 {
			addr = p.dev.addr
		}
	}
	if bytes.Equal(b.bridgeID[2:], addr) {
		return false
	}
	k.brStpChangeBridgeID(b, addr)
	return true
}

// brStpSetBridgePriority is net/bridge/br_stp_if.c br_stp_set_bridge_priority.
func (k *Kernel) brStpSetBridgePriority(b *netBridge, prio uint16) {
	if b.bridgeID.prio() == prio {
		return
	}
	id := b.bridgeID
	id[0], id[1] = byte(prio>>8), byte(prio)
	b.setID(id)
	k.brPortStateSelection(b)
}

// brStpSetEnabled is net/bridge/br_stp_if.c br_stp_set_enabled.
func (k *Kernel) brStpSetEnabled(b *netBridge, on bool) {
	switch {
	case on == (b.stp != brStpNone):
	case on: // br_stp_start
		b.forwardDelay = min(max(b.forwardDelay, 2*hz), 30*hz)
		b.stp = brStpKernel
		k.brPortStateSelection(b)
	default: // br_stp_stop
		b.stp = brStpNone
		k.brPortStateSelection(b)
	}
}

// brStpSetPathCost is net/bridge/br_stp_if.c br_stp_set_path_cost.
func (k *Kernel) brStpSetPathCost(p *bridgePort, cost uint32) errno {
	if cost < 1 || cost > 65535 {
		return nlmsg.ERANGE
	}
	p.flags |= brAdminCost
	p.cost = cost
	k.brPortStateSelection(p.br)
	return 0
}

// brStpSetPortPriority is net/bridge/br_stp_if.c br_stp_set_port_priority.
func (k *Kernel) brStpSetPortPriority(p *bridgePort, prio uint16) errno {
	if prio > 63 {
		return nlmsg.ERANGE
	}
	p.priority = prio
	p.designatedPort = p.id()
	return 0
}

// brSetPortState is net/bridge/br_netlink.c br_set_port_state.
func (k *Kernel) brSetPortState(p *bridgePort, state uint8) errno {
	switch {
	case state > brStateBlocking:
		return nlmsg.EINVAL
	case p.br.stp == brStpKernel:
		return nlmsg.EBUSY
	case p.dev.flags&iffUp == 0, !p.dev.operUp() && state != brStateDisabled:
		return nlmsg.ENETDOWN
	}
	p.state = state
	k.brPortStateSelection(p.br)
	return 0
}
