package emulated

// byID is the namespace that n has a number for (net/core/net_namespace.c
// get_net_ns_by_id).
func (n *netns) byID(id int) *netns {
	n.ids.Lock()
	defer n.ids.Unlock()
	return n.peers[id]
}

// peernet2idAlloc is the number that n has for another namespace, and a new one
// where it has none (net/core/net_namespace.c peernet2id_alloc).
func (n *netns) peernet2idAlloc(peer *netns) int {
	if id, ok := n.peer2id(peer); ok {
		return id
	}
	n.ids.Lock()
	defer n.ids.Unlock()
	id := 0
	for n.peers[id] != nil {
		id++
	}
	n.peers[id] = peer
	return id
}
