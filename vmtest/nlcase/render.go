package nlcase

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Render shows the exchange, decoded: each step and under it what happened,
// with ">" before what was sent and "<" before what was read.
//
// It is normalised, so that two runs of a case on kernels that behave alike
// give the same text: a portid is shown as $socket, a seq as #1 for the first
// message of its socket, the ifindex of a link as @name once a message has
// told it, a generic netlink family as its variable, and counters, random
// addresses and the like as "*".
func (t *Transcript) Render(c *Case) string {
	return strings.Join(t.Lines(c), "\n") + "\n"
}

// Lines are the lines of Render.
func (t *Transcript) Lines(c *Case) []string {
	if t.Failed != "" {
		return []string{"not played: " + strconv.Quote(t.Failed)}
	}
	v := &renderer{m: newMachine(c, t.Release), links: t.links(c)}
	for i := range c.Steps {
		if i == len(t.Steps) {
			v.lines = append(v.lines, "the transcript ends before: "+c.Steps[i].Text)
			break
		}
		if t.Steps[i].Skipped {
			continue // so that a guard alone makes no difference
		}
		v.step(&c.Steps[i], &t.Steps[i])
	}
	return v.lines
}

type renderer struct {
	m     *machine
	links []link
	lines []string
	sock  *sock
}

type link struct {
	index uint32
	name  string
}

// links finds the names of links in all that was read or asked for.
func (t *Transcript) links(c *Case) []link {
	var links []link
	for i := range min(len(c.Steps), len(t.Steps)) {
		if n, ok := nlmsg.Number(nlmsg.U32, t.Steps[i].Value); ok && c.Steps[i].Op == OpIfindex {
			links = append(links, link{uint32(n), c.Steps[i].Name})
		}
		for _, r := range flatten(c.Steps[i].Proto, t.Steps[i].Datagrams) {
			x := &r.msg
			if x.Proto != nlmsg.Route || x.Head == nil || x.Head.Name != "ifinfomsg" || x.Request != nil {
				continue
			}
			for _, a := range x.Attrs {
				if a.Def == nil || a.Def.Name != "IFLA_IFNAME" {
					continue
				}
				f := x.Head.Field("index")
				n, _ := nlmsg.Number(nlmsg.U32, x.HeadData[f.Off:f.Off+f.Size])
				if name := strings.TrimRight(string(a.Data), "\x00"); isLinkName(name) {
					links = append(links, link{uint32(n), name})
				}
			}
		}
	}
	return links
}

// isLinkName reports that a name can be shown as it is.
func isLinkName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) < 16
}

func (v *renderer) add(format string, args ...any) {
	v.lines = append(v.lines, fmt.Sprintf(format, args...))
}

func (v *renderer) step(s *Step, r *StepResult) {
	v.m.judge(s, r)
	text := s.unguarded()
	if s.Op == OpRecv || s.Op == OpCollect || s.Op == OpQuiet {
		text = s.Op.String() + " " + s.Sock // what was expected is not what happened
	} else if i := strings.LastIndex(text, " !"); s.Want != 0 && i >= 0 {
		text = text[:i]
	}
	v.add("%s", text)
	v.sock = nil
	if s.Sock != "" {
		v.sock = v.m.sock(s.Sock)
	}
	p := &nlmsg.Printer{Index: v.index, FD: v.fd, Seq: v.seq, Pid: v.pid, Type: v.family, Stable: true}
	if s.Op == OpSend {
		for _, x := range nlmsg.Decode(s.Proto, r.Value) {
			v.add("  > %s", p.Message(&x))
		}
	}
	for i := range r.Datagrams {
		d := &r.Datagrams[i]
		if i > 0 {
			v.add("  --")
		}
		v.datagram(s, d, p)
	}
	switch {
	case r.Errno != 0:
		v.add("  = %s", r.Errno.Error())
	case s.Op == OpName:
		v.add("  = pid=%s groups=%#x", v.pid(r.Portid), r.Groups)
	case s.Op == OpGet:
		v.add("  = %s", nlmsg.FormatValue(nlmsg.U32, r.Value))
	case s.Op == OpIfindex:
		n, _ := nlmsg.Number(nlmsg.U32, r.Value)
		v.add("  = %s", v.index(uint32(n)))
	}
}

// datagram shows who sent it, where that is not the kernel's answer, and what
// is in it.
func (v *renderer) datagram(s *Step, d *Datagram, p *nlmsg.Printer) {
	if d.From.Pid != 0 || d.From.Groups != 0 {
		v.add("  from pid=%s groups=%#x", v.pid(d.From.Pid), d.From.Groups)
	}
	for _, c := range d.Control {
		if cred, ok := c.cred(); ok {
			pid := "0"
			if cred.Pid != 0 {
				pid = "*" // the player's
			}
			v.add("  cred.pid=%s cred.uid=%d cred.gid=%d", pid, cred.UID, cred.GID)
			continue
		}
		v.add("  control %d:%d %s", c.Level, c.Type, nlmsg.FormatValue(nlmsg.U32, c.Data))
	}
	msgs := nlmsg.Decode(s.Proto, d.Data)
	for i := range msgs {
		v.add("  < %s", p.Message(&msgs[i]))
	}
	if len(msgs) == 0 {
		v.add("  < nothing")
	}
	if d.Flags&MsgTrunc != 0 {
		v.add("  truncated to %d bytes", len(d.Data))
	}
}

func (v *renderer) index(n uint32) string {
	for i := len(v.links) - 1; i >= 0; i-- {
		if v.links[i].index == n {
			return "@" + v.links[i].name
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (v *renderer) fd(n uint32) string {
	for _, b := range v.m.vars {
		if b.fd && b.num == uint64(n) {
			return "$" + b.name
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (v *renderer) seq(n uint32) string {
	if v.sock != nil {
		for i, b := range v.sock.sent {
			if x := nlmsg.Decode(v.sock.proto, b); len(x) > 0 && !x[0].Junk && x[0].Header.Seq == n {
				return "#" + strconv.Itoa(i+1)
			}
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (v *renderer) pid(n uint32) string {
	for _, s := range v.m.socks {
		if s.portid == n && n != 0 {
			return "$" + s.name
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (v *renderer) family(t uint16) string {
	for _, b := range v.m.vars {
		if b.data == nil && b.num == uint64(t) && t >= nlmsg.MinType {
			return "$" + b.name
		}
	}
	return strconv.Itoa(int(t))
}
