package emulated

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// maxNetdevices is how many links a pattern is good for.
const maxNetdevices = 8 * pageSize

// devValidName says whether a link may be called that (net/core/dev.c
// dev_valid_name).
func devValidName(name string) bool {
	if name == "" || len(name) >= ifnamsiz || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '/', c == ':', c == ' ', c >= '\t' && c <= '\r', c == 0xa0:
			return false
		}
	}
	return true
}

// netdevNameInUse is net/core/dev.c netdev_name_in_use.
func (n *netns) netdevNameInUse(name string) bool { return n.devGetByName(name) != nil }

// devPrepValidName makes a name of one with a %d in it, or checks one without, which
// is taken with dupErr (net/core/dev.c dev_prep_valid_name).
func (n *netns) devPrepValidName(want string, dupErr errno) (string, errno) {
	switch {
	case !devValidName(want):
		return "", nlmsg.EINVAL
	case strings.IndexByte(want, '%') >= 0:
		return n.devAllocName(want)
	case n.netdevNameInUse(want):
		return "", dupErr
	}
	return want, 0
}

// devGetValidName is net/core/dev.c dev_get_valid_name. A link may be given the name
// that it has, but for that of another.
func (n *netns) devGetValidName(want string) (string, errno) {
	return n.devPrepValidName(want, nlmsg.EEXIST)
}

// devAllocName fills in the least number that makes a free name of a pattern
// (net/core/dev.c __dev_alloc_name).
func (n *netns) devAllocName(pattern string) (string, errno) {
	p := strings.IndexByte(pattern, '%')
	if p < 0 || !strings.HasPrefix(pattern[p:], "%d") || strings.IndexByte(pattern[p+2:], '%') >= 0 {
		return "", nlmsg.EINVAL
	}
	taken := map[string]bool{}
	for _, d := range n.state.devs {
		taken[d.name] = true
		for _, alt := range d.altnames {
			taken[alt] = true
		}
	}
	for i := range maxNetdevices {
		name := pattern[:p] + strconv.Itoa(i) + pattern[p+2:]
		if taken[name] {
			continue
		}
		if len(name) >= ifnamsiz {
			name = name[:ifnamsiz-1]
		}
		if taken[name] {
			break
		}
		return name, 0
	}
	return "", nlmsg.ENFILE
}

// devChangeName renames a link, and takes the name back where somebody does not
// like it (net/core/dev.c dev_change_name).
func (k *Kernel) devChangeName(d *netDevice, name string) errno {
	if d.flags&iffUp != 0 && !k.has(renameWhileUp) {
		return nlmsg.EBUSY
	}
	if name == d.name {
		return 0
	}
	got, err := d.net.devGetValidName(name)
	if err != 0 {
		return err
	}
	old := d.name
	d.name = got
	if err := k.callNetdevice(netdevChangename, d, nil); err != 0 {
		d.name = old
		k.callNetdevice(netdevChangename, d, nil)
		return err
	}
	return 0
}

// netdevNameNodeAltCreate is net/core/dev.c netdev_name_node_alt_create.
func (d *netDevice) netdevNameNodeAltCreate(name string) errno {
	if d.net.netdevNameInUse(name) {
		return nlmsg.EEXIST
	}
	d.altnames = append(d.altnames, name)
	return 0
}

// netdevNameNodeAltDestroy is net/core/dev.c netdev_name_node_alt_destroy.
func (d *netDevice) netdevNameNodeAltDestroy(name string) errno {
	other := d.net.devGetByName(name)
	if other == nil {
		return nlmsg.ENOENT
	}
	i := slices.Index(d.altnames, name)
	if other != d || i < 0 {
		return nlmsg.EINVAL
	}
	d.altnames = slices.Delete(d.altnames, i, i+1)
	return 0
}
