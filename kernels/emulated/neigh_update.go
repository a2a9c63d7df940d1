package emulated

import (
	"bytes"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Ways to update a neighbour (include/net/neighbour.h NEIGH_UPDATE_F_*).
const (
	neighUpdateOverride = 1 << iota
	neighUpdateWeakOverride
	neighUpdateOverrideIsrouter
	neighUpdateUse
	neighUpdateManaged
	neighUpdateExtLearned
	neighUpdateIsrouter
	neighUpdateAdmin
	neighUpdateExtValidated
)

// neighUpdate is net/core/neighbour.c __neigh_update: lladdr is the new address, nil
// for none.
func (k *Kernel) neighUpdate(n *neighbour, lladdr []byte, state uint8, flags, portid uint32, x *extAck) (err errno) {
	defer k.enter("__neigh_update")()
	old, notify, router := n.state, false, false
	defer func() {
		if router && n.updateFlag(ntfRouter, flags&neighUpdateIsrouter != 0) {
			notify = true
		}
		if notify {
			k.neighNotify(n, rtmNewneigh, portid)
		}
		if n.state&nudProbe != 0 && old&nudProbe == 0 {
			n.probes = 1 // neigh_timer_handler sends the first at once
		}
	}()
	if flags&neighUpdateAdmin == 0 && old&(nudNoarp|nudPermanent) != 0 {
		return nlmsg.EPERM
	}
	if flags&neighUpdateAdmin != 0 {
		notify = n.updateFlag(ntfExtLearned, flags&neighUpdateExtLearned != 0)
		notify = n.updateFlag(ntfManaged, flags&neighUpdateManaged != 0) || notify
		notify = n.updateFlag(ntfExtValidated, flags&neighUpdateExtValidated != 0) || notify
	}
	if flags&(neighUpdateUse|neighUpdateManaged) != 0 {
		n.state = old &^ nudPermanent
		return 0
	}
	if state&nudValid == 0 {
		n.state = state
		notify = old&nudValid != 0
		if old&(nudIncomplete|nudProbe) != 0 && state&nudFailed != 0 {
			notify = true
		}
		return 0
	}
	same := true // the address stays
	switch {
	case n.dev.addrLen == 0:
	case lladdr != nil:
		same = old&nudValid != 0 && bytes.Equal(lladdr, n.ha)
	case old&nudValid == 0:
		x.set("No link layer address given")
		return nlmsg.EINVAL
	}
	router = flags&neighUpdateOverrideIsrouter != 0
	if old&nudValid != 0 {
		switch {
		case !same && flags&neighUpdateOverride == 0:
			router = false
			if flags&neighUpdateWeakOverride == 0 || old&nudConnected == 0 {
				return 0
			}
			same, state = true, nudStale
		case same && state == nudStale && flags&neighUpdateAdmin == 0:
			state = old
		}
	}
	if state != old {
		if state&nudProbe != 0 {
			n.probes = 0
		}
		n.state, notify = state, true
	}
	if !same {
		n.ha = slices.Clone(lladdr)
		notify = true
	}
	n.exempt = n.state&nudPermanent != 0 || n.flags&ntfExtLearned != 0
	return 0
}

// updateFlag sets or clears a flag, and says whether that was a change
// (net/core/neighbour.c neigh_update_flags, neigh_update_is_router).
func (n *neighbour) updateFlag(flag uint32, on bool) bool {
	if n.flags&flag != 0 == on {
		return false
	}
	n.flags ^= flag
	return true
}

// neighEventSend has an entry resolved, as a packet to it does
// (net/core/neighbour.c __neigh_event_send).
func (k *Kernel) neighEventSend(n *neighbour) {
	switch {
	case n.state&(nudConnected|nudDelay|nudProbe) != 0:
	case n.state&(nudStale|nudIncomplete) == 0:
		p := n.tbl.parms(n.dev)
		if p.mcastProbes+p.appProbes == 0 {
			n.state = nudFailed
			return
		}
		n.probes = p.ucastProbes + 1 // the first is sent at once
		n.state = nudIncomplete
	case n.state&nudStale != 0:
		n.state = nudDelay
	}
}

// neighRemoveOne takes an entry out of its table, and tells of it
// (net/core/neighbour.c neigh_remove_one, neigh_cleanup_and_release).
func (k *Kernel) neighRemoveOne(n *neighbour) {
	if i := slices.Index(n.tbl.entries, n); i >= 0 {
		n.tbl.entries = slices.Delete(n.tbl.entries, i, i+1)
		n.tbl.destroys++
		k.neighNotify(n, rtmDelneigh, 0)
	}
}

// neighFlushDev is net/core/neighbour.c neigh_flush_dev.
func (k *Kernel) neighFlushDev(t *neighTable, d *netDevice, skipPermanent bool) {
	for _, n := range slices.Clone(t.entries) {
		if n.dev != d || skipPermanent && (n.state&nudPermanent != 0 || n.flags&ntfExtValidated != 0) {
			continue
		}
		k.neighRemoveOne(n)
	}
}

// neighIfdown is net/core/neighbour.c neigh_ifdown, and with skipPermanent
// neigh_carrier_down.
func (k *Kernel) neighIfdown(t *neighTable, d *netDevice, skipPermanent bool) {
	k.neighFlushDev(t, d, skipPermanent)
	for i, b := range t.phash {
		t.phash[i] = slices.DeleteFunc(b, func(p *pneighEntry) bool {
			return p.dev == d && !(skipPermanent && p.permanent && k.has(pneighKept))
		})
	}
}

// neighNetdevEvent has the tables hear of links (net/ipv4/arp.c arp_netdev_event,
// net/ipv4/fib_frontend.c fib_disable_ip, net/ipv6/ndisc.c ndisc_netdev_event).
func (k *Kernel) neighNetdevEvent(e netdevEvent, d *netDevice, x *extAck) errno {
	for _, t := range d.net.state.neigh.tables {
		switch e {
		case netdevChangeaddr:
			k.neighFlushDev(t, d, false)
		case netdevDown:
			k.neighIfdown(t, d, false)
		case netdevUnregister:
			k.neighIfdown(t, d, false)
			t.forget(d)
		case netdevChange:
			if noarp := d.flags&iffNoarp != 0; noarp != t.noarp[d] {
				t.noarp[d] = noarp
				k.neighFlushDev(t, d, false)
			}
			if !d.carrier {
				k.neighIfdown(t, d, true)
			}
		}
	}
	return 0
}

// pneighHash is net/core/neighbour.c pneigh_hash.
func pneighHash(key []byte) int {
	h := native.Uint32(key[len(key)-4:])
	h ^= h >> 16
	h ^= h >> 8
	h ^= h >> 4
	return int(h & 15)
}

// pneighLookup is net/core/neighbour.c pneigh_lookup without creation.
func (t *neighTable) pneighLookup(key []byte, dev *netDevice) *pneighEntry {
	for _, p := range t.phash[pneighHash(key)] {
		if bytes.Equal(p.key, key) && (p.dev == dev || p.dev == nil) {
			return p
		}
	}
	return nil
}

// pneighCreate is net/core/neighbour.c pneigh_create.
func (k *Kernel) pneighCreate(t *neighTable, key []byte, dev *netDevice, flags uint32, protocol uint8, permanent bool) errno {
	p := t.pneighLookup(key, dev)
	if p == nil {
		// pndisc_constructor joins a multicast group of the link.
		if t.family == pfInet6 && (dev == nil || dev.in6Dev == nil) {
			return nlmsg.ENOBUFS
		}
		p = &pneighEntry{dev: dev, key: slices.Clone(key)}
		b := &t.phash[pneighHash(key)]
		*b = slices.Insert(*b, 0, p)
	}
	p.flags, p.permanent = flags, permanent
	if protocol != 0 {
		p.protocol = protocol
	}
	return 0
}

// pneighDelete is net/core/neighbour.c pneigh_delete.
func (t *neighTable) pneighDelete(key []byte, dev *netDevice) errno {
	b := &t.phash[pneighHash(key)]
	for i, p := range *b {
		if bytes.Equal(p.key, key) && p.dev == dev {
			*b = slices.Delete(*b, i, i+1)
			return 0
		}
	}
	return nlmsg.ENOENT
}
