package nlcase

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Bounds on a transcript, which is to fit a frame of vmtest/wire.
const (
	maxDatagrams = 4096    // of a step
	maxRead      = 2 << 20 // bytes, of a case
)

// maxWait bounds the wait for a send in the background.
const maxWait = 5 * time.Second

// poll is how often a read with within= tries again.
const poll = 2 * time.Millisecond

// Play plays a case on a kernel and records what happened. A step whose
// expectation does not hold does not stop it: Check is the judge. It does not
// look at what the case needs, nor at the releases that the case is for.
func Play(k Kernel, c *Case) *Transcript { return PlayFunc(k, c, nil) }

// PlayFunc is Play, which calls before ahead of each step, with its index and
// the transcript so far.
func PlayFunc(k Kernel, c *Case, before func(step int, soFar *Transcript)) *Transcript {
	t := &Transcript{Release: k.Release()}
	err := k.Net(Setup{NoCaps: c.NoCaps, UserNS: c.UserNS}, func(n Net) {
		p := &player{net: n, m: newMachine(c, t.Release), socks: map[string]Socket{}, nets: map[string]Net{"": n},
			sending: map[string]<-chan Errno{}}
		defer func() {
			if r := recover(); r != nil {
				// A kernel of this process may hold its locks for good.
				t.Failed = fmt.Sprintf("panic: %v%s", r, callers())
				return
			}
			for _, s := range p.socks {
				s.Close()
			}
			for name := range p.sending {
				p.wait(name) // whom they wait for is gone
			}
		}()
		for i := range c.Steps {
			if before != nil {
				before(i, t)
			}
			s := &c.Steps[i]
			var r StepResult
			if r.Skipped = !s.Guard.Holds(t.Release); !r.Skipped {
				p.do(s, &r)
			}
			p.m.judge(s, &r)
			t.Steps = append(t.Steps, r)
			if p.total > maxRead {
				t.Failed = fmt.Sprintf("line %d: the case has read more than %d bytes", s.Line, maxRead)
				return
			}
		}
	})
	if err != nil && t.Failed == "" {
		t.Failed = err.Error()
	}
	return t
}

// callers are the functions that a panic went through, a line each, alike in
// every run.
func callers() string {
	var b strings.Builder
	pcs := make([]uintptr, 40)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			fmt.Fprintf(&b, "\n %s %s:%d", f.Function, f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// player is a machine at work on a kernel.
type player struct {
	net   Net
	m     *machine
	socks map[string]Socket
	nets  map[string]Net
	// sending are the sends in the background, by their socket's name.
	sending map[string]<-chan Errno
	total   int // bytes read
}

func (p *player) do(s *Step, r *StepResult) {
	switch s.Op {
	case OpOpen:
		var so Socket
		in := p.nets[s.In]
		if in == nil { // it could not be made
			r.Errno = nlmsg.EBADF
			return
		}
		if so, r.Errno = in.Socket(s.Type, s.Proto); r.Errno == 0 {
			if old := p.socks[s.Sock]; old != nil {
				old.Close()
			}
			p.socks[s.Sock] = so
		}
	case OpIfindex:
		in := p.nets[s.In]
		if in == nil {
			r.Errno = nlmsg.EBADF
			return
		}
		n, errno := in.IfIndex(s.Name)
		if r.Errno = errno; errno == 0 {
			r.Value = nlmsg.AppendNumber(nil, nlmsg.U32, 4, uint64(n))
		}
	case OpNetns:
		n, fd, errno := p.net.Netns()
		if r.Errno = errno; errno == 0 {
			p.nets[s.Var] = n
			r.Value = nlmsg.AppendNumber(nil, nlmsg.U32, 4, uint64(fd))
		}
	case OpDrop:
		r.Errno = p.net.Drop()
	case OpWait:
		r.Errno = p.wait(s.Sock)
	case OpWrite:
		r.Errno = p.net.WriteFile(s.Name, s.Data)
	case OpSleep:
		p.net.Sleep(s.Sleep)
	case OpSpin:
		r.Errno = p.net.Spin()
	case OpExit:
		r.Errno = p.net.Exit()
	default:
		if s.Op == OpSend {
			r.Value, _, _ = p.m.encode(s)
		}
		so := p.socks[s.Sock]
		if so == nil { // it could not be opened
			r.Errno = nlmsg.EBADF
			return
		}
		p.onSocket(s, so, r)
	}
}

func (p *player) onSocket(s *Step, so Socket, r *StepResult) {
	number := func(a Arg) uint32 { return uint32(p.m.number(a)) }
	switch s.Op {
	case OpClose:
		r.Errno = so.Close()
		delete(p.socks, s.Sock)
		return
	case OpBind:
		r.Errno = so.Bind(p.addr(s))
	case OpConnect:
		r.Errno = so.Connect(p.addr(s))
	case OpFilter:
		r.Errno = so.Filter(s.Filter)
	case OpJoin, OpLeave:
		opt := addMembership
		if s.Op == OpLeave {
			opt = dropMembership
		}
		r.Errno = so.Setsockopt(solNetlink, opt, nlmsg.AppendNumber(nil, nlmsg.U32, 4, uint64(number(s.Group))))
	case OpSet:
		r.Errno = so.Setsockopt(s.Option.Level, s.Option.Opt, p.m.bytes(nlmsg.U32, 4, s.Value))
	case OpGet:
		r.Value, r.Errno = so.Getsockopt(s.Option.Level, s.Option.Opt, s.size())
	case OpSend:
		o := SendOptions{OOB: s.OOB}
		if s.HasAddr {
			a := p.addr(s)
			o.To = &a
		}
		if c := s.Cred; c != nil {
			o.Cred = &Cred{number(c.Pid), number(c.UID), number(c.GID)}
		}
		if s.Background {
			p.sending[s.Sock] = so.Start(r.Value, o)
			break
		}
		var n int
		if n, r.Errno = so.Send(r.Value, o); r.Errno == 0 && n < len(r.Value) {
			r.Value = r.Value[:max(n, 0)] // which Check will tell from what was to be sent
		}
	case OpRecv, OpCollect, OpQuiet:
		p.read(s, so, r)
		return
	}
	// Any of these may have bound the socket.
	a, errno := so.Getsockname()
	r.Portid, r.Groups = a.Pid, a.Groups
	if s.Op == OpName {
		r.Errno = errno
	}
}

func (p *player) addr(s *Step) Addr {
	return Addr{Pid: uint32(p.m.number(s.Pid)), Groups: uint32(p.m.number(s.Groups)), Family: s.Family, Size: s.AddrLen}
}

// wait is the outcome of a send in the background.
func (p *player) wait(sock string) Errno {
	c := p.sending[sock]
	if c == nil { // it could not be started
		return nlmsg.EBADF
	}
	delete(p.sending, sock)
	select {
	case e := <-c:
		return e
	case <-time.After(maxWait):
		return nlmsg.ETIMEDOUT
	}
}

// size is how much room getsockopt gets.
func (s *Step) size() int {
	switch {
	case s.Size > 0:
		return s.Size
	case s.Option.Level == solNetlink && s.Option.Opt == 9: // NETLINK_LIST_MEMBERSHIPS
		return 64
	}
	return 4
}

// read reads once, or over and over until what is expected has come or the
// time is up. A collect keeps what it has read.
func (p *player) read(s *Step, so Socket, r *StepResult) {
	for waited := time.Duration(0); ; waited += poll {
		if s.Op == OpCollect {
			p.collect(s, so, r)
		} else {
			var d Datagram
			if d, r.Errno = so.Recv(s.Recv.Options); r.Errno == 0 {
				r.Datagrams = []Datagram{d}
				p.total += len(d.Data)
				return
			}
		}
		if waited >= s.Recv.Within || p.total > maxRead || p.m.holds(s, r) {
			return
		}
		p.net.Sleep(poll)
	}
}

func (p *player) collect(s *Step, so Socket, r *StepResult) {
	for r.Errno = 0; len(r.Datagrams) < maxDatagrams && p.total <= maxRead; {
		d, errno := so.Recv(s.Recv.Options)
		if errno != 0 {
			if errno != nlmsg.EAGAIN {
				r.Errno = errno
			}
			return
		}
		r.Datagrams = append(r.Datagrams, d)
		p.total += len(d.Data)
	}
}
