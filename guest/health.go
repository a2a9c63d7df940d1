//go:build linux

package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/klog"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const (
	// beatRecords is how many records of the kernel's log are read at a
	// heartbeat. allRecords is more than its buffer holds.
	beatRecords = 2000
	allRecords  = 1 << 15
	// maxLines is how many lines of a case's log go to the host beside
	// the reports of trouble in it.
	maxLines = 200
	// undeadTimeout bounds the wait for the namespaces of cases to be
	// freed, which a worker of the kernel does (net/core/net_namespace.c
	// cleanup_net).
	undeadTimeout = 2 * time.Second
	interfaces    = "/sys/class/net"
	// firstID is above the IDs that the kernel gives to namespaces.
	firstID = 1 << 16
)

// vm watches over a kernel that is the agent's own.
type vm struct {
	log   *kmsg
	taint int           // file descriptor
	nl    int           // socket of the first network namespace
	id    atomic.Uint32 // the case that runs, or ran last
	net   int           // file descriptor of interfaces, in the first namespace

	mu    sync.Mutex // guards links and made, and the position of net
	links []byte     // its entries, as they were read last
	made  []string   // those that modules have made since

	// Of the case that runs; guarded by log.mu.
	logged  uint32
	lines   int
	dropped uint32
	reports klog.Reports
}

func openVM() (*vm, error) {
	log, err := openKmsg()
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	v := &vm{log: log}
	if v.taint, err = unix.Open("/proc/sys/kernel/tainted", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("/proc/sys/kernel/tainted: %w", err)
	}
	v.nl, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	// An answer that does not come must not stop the case.
	if err := unix.SetsockoptTimeval(v.nl, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	v.net, err = unix.Open(interfaces, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", interfaces, err)
	}
	v.links = entries(v.net)
	return v, nil
}

// wanted says whether a record goes to the host: the first of a case do, and
// all that are part of a report of trouble. A flood stays here.
func (v *vm) wanted(id uint32, r record) bool {
	if v.logged != id {
		v.logged, v.lines, v.dropped, v.reports = id, 0, 0, klog.Reports{}
	}
	v.dropped += uint32(min(r.lost, 1<<31))
	if v.lines < maxLines {
		v.lines++
		if !r.user {
			v.reports.Add(r.text)
		}
		return true
	}
	if !r.user && v.reports.Add(r.text) {
		return true
	}
	v.dropped++
	return false
}

func (v *vm) tainted() uint32 {
	var b [32]byte
	n, _ := unix.Pread(v.taint, b[:], 0)
	taint, _ := strconv.ParseUint(strings.TrimSpace(string(b[:max(n, 0)])), 10, 64)
	return uint32(taint)
}

func (v *vm) begin(id uint32) { v.id.Store(id) }

// end adds to r what is to be known of the kernel after a case.
func (v *vm) end(r *wire.Result) {
	v.log.mu.Lock()
	if v.logged == r.Case {
		r.Dropped = v.dropped
	}
	v.log.mu.Unlock()
	r.Tainted = v.tainted()
	r.Leaks = v.leaks()
}

// leaks are processes and links that were not there before. A case has no
// process but through a program that the kernel started, and no link of the
// first namespace but one that it sent there or that came back to it. What a
// module makes when it is loaded is not the case's.
func (v *vm) leaks() (all []string) {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid > 0 || err == unix.EINTR {
			continue // an orphan that has ended
		}
		if err == nil {
			all = append(all, processes()...)
		}
		break
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	links := entries(v.net)
	for _, l := range added(v.links, links) {
		if !slices.Contains(v.made, l) {
			all = append(all, "link "+l+" in the first network namespace")
		}
	}
	v.links, v.made = links, nil
	return all[:min(len(all), wire.MaxLeaks)]
}

// load loads a module, which may have the kernel ask for another meanwhile.
func (v *vm) load(data []byte) error {
	look := func() []byte {
		v.mu.Lock()
		defer v.mu.Unlock()
		return entries(v.net)
	}
	before := look()
	err := unix.InitModule(data, "")
	made := added(before, look())
	v.mu.Lock()
	v.made = append(v.made, made...)
	v.mu.Unlock()
	return err
}

// added are the names that are only in the second.
func added(before, after []byte) (all []string) {
	if bytes.Equal(before, after) {
		return nil
	}
	was := names(before)
	for _, n := range names(after) {
		if !slices.Contains(was, n) {
			all = append(all, n)
		}
	}
	return all
}

// processes are PID 1's children that run.
func processes() (all []string) {
	for _, c := range children() {
		if c.state != "Z" {
			all = append(all, "process ("+c.name+")")
		}
	}
	return all
}

// entries are a directory's, from its beginning and as the kernel gives them:
// they are read after each case, and are the same as a rule.
func entries(dir int) (all []byte) {
	if _, err := unix.Seek(dir, 0, 0); err != nil {
		return nil
	}
	buf := make([]byte, 4096)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if err != nil || n <= 0 {
			return all
		}
		all = append(all, buf[:n]...)
	}
}

func names(entries []byte) []string {
	_, _, all := unix.ParseDirent(entries, -1, nil)
	return all
}

// rtattr appends an attribute of 4 bytes.
func rtattr(b []byte, kind uint16, v uint32) []byte {
	b = binary.LittleEndian.AppendUint16(b, 8)
	b = binary.LittleEndian.AppendUint16(b, kind)
	return binary.LittleEndian.AppendUint32(b, v)
}

// request is a netlink request whose body is a struct rtgenmsg.
func request(kind, flags uint16) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+4)
	binary.LittleEndian.PutUint16(b[4:], kind)
	binary.LittleEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	return b
}

func (v *vm) send(b []byte) error {
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return unix.Sendto(v.nl, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// entered gives the namespace of the calling thread the case's number as its
// ID in the first namespace. The ID goes when the namespace is freed
// (net/core/net_namespace.c unhash_nsid), and a case cannot see it.
func (v *vm) entered() {
	b := rtattr(request(unix.RTM_NEWNSID, 0), unix.NETNSA_NSID, firstID+v.id.Load())
	_ = v.send(rtattr(b, unix.NETNSA_PID, uint32(unix.Gettid()))) // without it, nothing is found out
}

// undead are the cases whose namespaces are still there, once all that will
// go had the time to.
func (v *vm) undead() (ids []uint32) {
	for deadline := time.Now().Add(undeadTimeout); ; time.Sleep(5 * time.Millisecond) {
		if ids = v.namespaces(); len(ids) == 0 || time.Now().After(deadline) {
			return ids
		}
	}
}

// namespaces dumps the IDs of the first namespace.
func (v *vm) namespaces() (ids []uint32) {
	if v.id.Load() == 0 || v.send(request(unix.RTM_GETNSID, unix.NLM_F_DUMP)) != nil {
		return nil
	}
	buf := make([]byte, 32<<10)
	for len(ids) < wire.MaxUndead {
		n, _, err := unix.Recvfrom(v.nl, buf, 0)
		if err != nil {
			return ids
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.LittleEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return ids
			}
			switch binary.LittleEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return ids
			case unix.RTM_NEWNSID:
				// A struct rtgenmsg, and NETNSA_NSID first.
				if a := b[unix.SizeofNlMsghdr:size]; len(a) >= 12 && binary.LittleEndian.Uint16(a[6:]) == unix.NETNSA_NSID {
					if id := binary.LittleEndian.Uint32(a[8:]); id > firstID {
						ids = append(ids, id-firstID)
					}
				}
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
	return ids
}

// bye ends the conversation. What the kernel did last, and by itself, is told.
func (s *server) bye() {
	var b wire.Bye
	if s.vm != nil {
		b.Undead = s.vm.undead()
		s.readLog(allRecords)
	}
	_ = s.conn.Send(&b) // a host that is gone is noticed by listen
}
