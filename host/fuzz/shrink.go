//go:build linux

package fuzz

import (
	"context"
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	maxRounds = 120 // of one finding
	perRound  = 24  // candidates that are played in one go
)

// shrink makes a sequence as short and as plain as it can be while its signature
// stays.
func (f *Fuzzer) shrink(ctx context.Context, p pack, signature string) (pack, error) {
	best := p.sequences[0].clone()
	for i := range best {
		if st := &best[i]; st.send() {
			st.msgs = lift(st)
		}
	}
	for rounds, took := 0, true; took && rounds < maxRounds; {
		list := simpler(best)
		took = false
		for from := 0; from < len(list) && rounds < maxRounds; from += perRound {
			some := list[from:min(len(list), from+perRound)]
			packs := make([]pack, len(some))
			for i := range some {
				packs[i] = pack{p.first, p.caps, []sequence{some[i]}}
			}
			results, err := f.play(ctx, packs)
			if err != nil {
				return p, err
			}
			rounds++
			if i := slices.IndexFunc(results, func(r result) bool { return r.signature == signature }); i >= 0 {
				best, took = some[i], true
				break
			}
		}
	}
	return pack{p.first, p.caps, []sequence{best}}, nil
}

// simpler are the sequences that come next to s on the way to the simplest, the
// most daring first.
func simpler(s sequence) (all []sequence) {
	now := text("", "", s)
	add := func(x sequence) {
		x = settle(x)
		tame(x)
		if len(x) > 0 && text("", "", x) != now {
			all = append(all, x)
		}
	}
	for size := len(s) / 2; size >= 1; size /= 2 {
		for end := len(s); end > 0; end -= size {
			add(slices.Delete(s.clone(), max(0, end-size), end))
		}
	}
	// change adds s with one message changed, if change says that it did.
	change := func(i, j int, change func(m *nlcase.Msg) bool) {
		x := s.clone()
		if change(&x[i].msgs[j]) {
			add(x)
		}
	}
	for i := range s {
		if s[i].opts != "" {
			x := s.clone()
			x[i].opts = ""
			add(x)
		}
		for j := range s[i].msgs {
			if len(s[i].msgs) > 1 {
				x := s.clone()
				x[i].msgs = slices.Delete(x[i].msgs, j, j+1)
				add(x)
			}
			m := &s[i].msgs[j]
			if m.Type.Kind == nlcase.ArgNone {
				change(i, j, func(m *nlcase.Msg) bool {
					m.Raw = m.Raw[:max(1, len(m.Raw)/2)]
					return len(m.Raw) > 1
				})
				change(i, j, func(m *nlcase.Msg) bool {
					m.Raw = m.Raw[:max(1, len(m.Raw)-4)]
					return len(m.Raw) > 1
				})
				continue
			}
			for n := range countAttrs(m.Attrs) {
				change(i, j, func(m *nlcase.Msg) bool { return atAttr(&m.Attrs, n, drop) })
			}
			for _, a := range []func(m *nlcase.Msg) *nlcase.Arg{
				func(m *nlcase.Msg) *nlcase.Arg { return &m.Seq },
				func(m *nlcase.Msg) *nlcase.Arg { return &m.Pid },
				func(m *nlcase.Msg) *nlcase.Arg { return &m.Len },
			} {
				change(i, j, func(m *nlcase.Msg) bool {
					had := a(m).Kind != nlcase.ArgNone
					*a(m) = nlcase.Arg{}
					return had
				})
			}
			for k := range m.Fields {
				change(i, j, func(m *nlcase.Msg) bool { m.Fields = slices.Delete(m.Fields, k, k+1); return true })
			}
			for bit := uint16(1); bit != 0; bit <<= 1 {
				if m.Flags&bit != 0 {
					change(i, j, func(m *nlcase.Msg) bool { m.Flags &^= bit; return true })
				}
			}
			for n := range countAttrs(m.Attrs) {
				for _, plainer := range []func(*nlcase.Attr) bool{withoutLen, withoutFlags, withoutValue, withOne} {
					change(i, j, func(m *nlcase.Msg) bool {
						return atAttr(&m.Attrs, n, func(as *[]nlcase.Attr, i int) bool { return plainer(&(*as)[i]) })
					})
				}
			}
		}
	}
	return all
}

func countAttrs(as []nlcase.Attr) int {
	n := len(as)
	for i := range as {
		n += countAttrs(as[i].Attrs)
	}
	return n
}

// atAttr does something to attribute n, counted as they are written.
func atAttr(as *[]nlcase.Attr, n int, do func(as *[]nlcase.Attr, i int) bool) bool {
	for i := range *as {
		if n == 0 {
			return do(as, i)
		}
		inside := countAttrs((*as)[i].Attrs)
		if n--; n < inside {
			return atAttr(&(*as)[i].Attrs, n, do)
		}
		n -= inside
	}
	return false
}

func drop(as *[]nlcase.Attr, i int) bool {
	*as = slices.Delete(*as, i, i+1)
	return true
}

func withoutLen(a *nlcase.Attr) bool {
	had := a.Len.Kind != nlcase.ArgNone
	a.Len = nlcase.Arg{}
	return had
}

func withoutFlags(a *nlcase.Attr) bool {
	had := a.Flags != 0
	a.Flags = 0
	return had
}

func withoutValue(a *nlcase.Attr) bool {
	had := len(a.Value.Data) > 0
	a.Value = nlcase.Value{}
	return had
}

// withOne makes a number 1.
func withOne(a *nlcase.Attr) bool {
	n, ok := nlmsg.Number(a.Kind, a.Value.Data)
	if !ok || n == 1 {
		return false
	}
	a.Value = number(a.Kind, a.Kind.Size(), 1)
	return true
}

// lift is what a send has, with bytes as the messages that they are, where the
// same bytes come of those.
func lift(st *step) []nlcase.Msg {
	if !slices.ContainsFunc(st.msgs, func(m nlcase.Msg) bool { return m.Type.Kind == nlcase.ArgNone }) {
		return st.msgs
	}
	b := encode(st)
	said := "open s " + nlmsg.ProtocolName(st.proto) + "\nsend s"
	for i, m := range nlmsg.Decode(st.proto, b) {
		if i > 0 {
			said += " ;"
		}
		said += " " + m.String()
	}
	c, err := nlcase.Parse("lift", []byte(said))
	if err != nil {
		return st.msgs
	}
	lifted := fromText(c)
	if len(lifted) != 2 || !lifted[1].send() || string(encode(&lifted[1])) != string(b) {
		return st.msgs
	}
	return lifted[1].msgs
}
