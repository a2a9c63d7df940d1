package fuzz

import (
	"fmt"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// corpus is what sequences begin with: what cases do, without what they expect.
type corpus struct {
	sequences []sequence
	msgs      []nlcase.Msg // of NETLINK_ROUTE
}

func newCorpus(all []*nlcase.Case) *corpus {
	c := &corpus{}
	for _, x := range all {
		if x.NeedsVM() {
			continue
		}
		if s := fromCase(x); len(s) > 1 {
			c.sequences = append(c.sequences, s)
			for _, st := range s {
				if st.send() && st.proto == nlmsg.Route {
					c.msgs = append(c.msgs, st.msgs...)
				}
			}
		}
	}
	return c
}

// maxFromCase bounds the steps that are taken of a case.
const maxFromCase = 24

// fromCase takes the steps of a case that do something. Time is not of them, nor
// are sends that may block, nor what cannot be undone.
func fromCase(c *nlcase.Case) sequence { return settle(steps(c, maxFromCase)) }

func steps(c *nlcase.Case, limit int) (s sequence) {
	for i := range c.Steps {
		x := &c.Steps[i]
		if len(s) == limit {
			break
		}
		switch x.Op {
		case nlcase.OpOpen, nlcase.OpNetns, nlcase.OpIfindex, nlcase.OpClose, nlcase.OpBind, nlcase.OpConnect, nlcase.OpJoin, nlcase.OpLeave, nlcase.OpSet, nlcase.OpFilter:
		case nlcase.OpSend:
			if st, ok := fromSend(x); ok {
				s = append(s, st)
			}
			continue
		case nlcase.OpGet, nlcase.OpName:
			// What it is to give stands in the statement.
			continue
		default:
			continue
		}
		s = append(s, step{text: plain(x), sock: x.Sock, proto: x.Proto})
	}
	return s
}

// settle puts a number in the place of each name that no step before gives a
// meaning, and leaves out the steps that are about nothing then.
func settle(s sequence) (out sequence) {
	bound := map[string]bool{}
	for i := range s {
		st := s[i]
		if st.send() {
			if !allBound(st.opts, bound) {
				st.opts = ""
			}
			for j := range st.msgs {
				m := &st.msgs[j]
				for _, a := range []*nlcase.Arg{&m.Seq, &m.Pid, &m.Len} {
					if a.Kind == nlcase.ArgVar && !bound[a.Var] {
						*a = nlcase.Arg{Kind: nlcase.ArgNumber, N: 2}
					}
				}
				unbind(m.Fields, m.Attrs, bound)
			}
			if bound[st.sock] {
				out = append(out, st)
			}
			continue
		}
		switch f := strings.Fields(st.text); f[0] {
		case "open":
			if !allBound(st.text, bound) {
				continue
			}
			bound[st.sock] = true
		case "netns":
			bound[f[1][1:]] = true
		case "ifindex":
			if len(f) > 3 && !allBound(f[3], bound) {
				continue
			}
			bound[f[1][1:]] = true
		default:
			if !bound[st.sock] || !allBound(st.text, bound) {
				continue
			}
		}
		out = append(out, st)
	}
	return out
}

func allBound(words string, bound map[string]bool) bool {
	for _, f := range strings.Fields(words) {
		if _, name, ok := strings.Cut(f, "$"); ok && !bound[name] {
			return false
		}
	}
	return true
}

// plain is a statement without its guard and the error that it expects.
func plain(x *nlcase.Step) string {
	text := x.Text
	if x.Guard != nil {
		_, text, _ = strings.Cut(text, "] ")
	}
	text, _, _ = strings.Cut(text, " ! ")
	return text
}

func fromSend(x *nlcase.Step) (st step, ok bool) {
	if x.Background || x.OOB || x.Cred != nil || x.Family != 0 || x.AddrLen != 0 || x.Took.Kind != nlcase.ArgNone {
		return st, false
	}
	st = step{sock: x.Sock, proto: x.Proto, msgs: cloneMsgs(x.Msgs)}
	if x.HasAddr {
		for _, o := range []struct {
			name string
			arg  nlcase.Arg
		}{{"to", x.Pid}, {"groups", x.Groups}} {
			switch o.arg.Kind {
			case nlcase.ArgNumber:
				st.opts += fmt.Sprintf(" %s=%d", o.name, o.arg.N)
			case nlcase.ArgVar:
				st.opts += fmt.Sprintf(" %s=$%s", o.name, o.arg.Var)
			}
		}
	}
	for i := range st.msgs {
		m := &st.msgs[i]
		if m.Request != nil || m.Type.Kind == nlcase.ArgVar || m.Head != nil && m.Head.Name == "nlmsgerr" {
			return st, false
		}
	}
	return st, len(st.msgs) > 0
}

// unbind puts a number in the place of what was to be read from an answer.
func unbind(fields []nlcase.FieldValue, attrs []nlcase.Attr, bound map[string]bool) {
	for i := range fields {
		f := &fields[i]
		if f.Value.Var != "" && !bound[f.Value.Var] {
			f.Value = number(f.Field.Kind, int(f.Field.Size), 2)
		}
	}
	for i := range attrs {
		a := &attrs[i]
		if a.Value.Var != "" && !bound[a.Value.Var] {
			a.Value = number(a.Kind, max(a.Kind.Size(), 4), 2)
		}
		unbind(a.Fields, a.Attrs, bound)
	}
}

func number(k nlmsg.Kind, size int, n uint64) nlcase.Value {
	return nlcase.Value{Data: nlmsg.AppendNumber(nil, k, size, n)}
}
