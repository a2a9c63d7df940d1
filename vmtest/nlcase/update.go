package nlcase

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Update is the text of the case with its expectations changed to what real
// kernels answered. Steps that held everywhere stay as they are, and so does
// the shape of those that did not: what they name is named with its new value.
// Where the kernels differ the step is said once for each range of releases,
// which begins with the first kernel that was seen to differ: the true bound may
// be anywhere between that one and the one before.
//
// It fails where the outcome cannot be said in a case.
func Update(c *Case, seen []*Transcript) ([]byte, error) {
	seen = slices.Clone(seen)
	slices.SortStableFunc(seen, func(a, b *Transcript) int { return compareAll(a.Release, b.Release) })
	var runs []*updater
	for _, t := range seen {
		if t.Failed != "" || len(t.Steps) != len(c.Steps) {
			return nil, fmt.Errorf("%s was not played to its end on %s", c.Name, t.Release)
		}
		runs = append(runs, &updater{t: t, m: newMachine(c, t.Release)})
	}
	out := &Case{}
	next := 0
	for _, l := range c.lines {
		if l.tokens == nil || isDirective(l.tokens[0].text) {
			out.lines = append(out.lines, l)
			continue
		}
		lines, err := updateStep(c, next, runs, l)
		if err != nil {
			return nil, err
		}
		out.lines = append(out.lines, lines...)
		next++
	}
	text := out.Format()
	if _, err := Parse(c.Name, text); err != nil {
		return nil, fmt.Errorf("what the kernels answered cannot be said in a case: %w", err)
	}
	return text, nil
}

// compareAll compares as many numbers as both releases have.
func compareAll(a, b string) int { return compareRelease(a+".0.0.0", b+".0.0.0") }

// updater is a case on one kernel.
type updater struct {
	t *Transcript
	m *machine
}

// updateStep is step i as all kernels would have it.
func updateStep(c *Case, i int, runs []*updater, old line) ([]line, error) {
	s := &c.Steps[i]
	same := true
	var texts []string
	var releases []string
	for _, u := range runs {
		r := &u.t.Steps[i]
		if r.Skipped {
			continue
		}
		text := s.unguarded()
		if bad := u.m.judge(s, r); len(bad) > 0 {
			same = false
			text = u.step(s, r)
		}
		if n := len(texts); n == 0 || texts[n-1] != text {
			texts, releases = append(texts, text), append(releases, u.t.Release)
		}
	}
	if same {
		return []line{old}, nil
	}
	var lines []line
	for k, text := range texts {
		guard := slices.Clone(s.Guard)
		if k > 0 {
			guard = append(guard, Bound{">=", releases[k]})
		}
		if k+1 < len(texts) {
			guard = append(guard, Bound{"<", releases[k+1]})
		}
		if len(guard) > 0 {
			text = "[" + guard.String() + "] " + text
		}
		tokens, why := lexLine(text, s.Line)
		if why != "" {
			return nil, fmt.Errorf("line %d: %s", s.Line, why)
		}
		for j := range tokens[1:] {
			tokens[j+1].nl = tokens[j].text == ";" && len(text) > 100
		}
		lines = append(lines, line{tokens: tokens})
	}
	return lines, nil
}

// step is the text of s with what r has.
func (u *updater) step(s *Step, r *StepResult) string {
	switch s.Op {
	case OpRecv, OpCollect, OpQuiet:
		return u.read(s, r)
	}
	text, _, _ := strings.Cut(s.unguarded(), " ! ")
	switch {
	case r.Errno != 0:
		return text + " ! " + r.Errno.Error()
	case s.Op == OpGet:
		f := strings.Fields(text)
		return strings.Join(append(f[:3:3], optionSize(s)+nlmsg.FormatValue(nlmsg.U32, r.Value)), " ")
	case s.Op == OpName:
		return fmt.Sprintf("name %s pid=%s groups=%#x", s.Sock, u.portid(r.Portid), r.Groups)
	}
	return text
}

func optionSize(s *Step) string {
	if s.Size == 0 {
		return ""
	}
	return fmt.Sprintf("size=%d ", s.Size)
}

func (u *updater) read(s *Step, r *StepResult) string {
	if len(r.Datagrams) == 0 {
		switch {
		case s.Op == OpCollect:
			return "quiet " + s.Sock
		case r.Errno == nlmsg.EAGAIN:
			return "quiet " + s.Sock
		}
		return "recv " + s.Sock + " ! " + r.Errno.Error()
	}
	words := []string{"recv", s.Sock}
	if s.Op == OpCollect {
		words[0] = "collect"
	}
	if s.Recv.Within > 0 {
		words = append(words, "within="+s.Recv.Within.String())
	}
	if o := s.Recv.Options; o.Size > 0 {
		words = append(words, "buf="+strconv.Itoa(o.Size))
	}
	if s.Recv.Options.Peek {
		words = append(words, "peek")
	}
	d := &r.Datagrams[0]
	if d.From.Pid != 0 {
		words = append(words, "from="+u.portid(d.From.Pid))
	}
	if d.From.Groups != 0 && s.Op == OpRecv {
		words = append(words, fmt.Sprintf("groups=%#x", d.From.Groups))
	}
	if d.Flags&MsgTrunc != 0 {
		words = append(words, "size="+strconv.Itoa(d.Len), "truncated")
	}
	got := flatten(s.Proto, r.Datagrams)
	pats := s.Msgs
	if len(pats) != len(got) {
		pats = nil
	}
	so := u.m.sock(s.Sock)
	var msgs []string
	for i := range got {
		var x *Msg
		if pats != nil && !pats[i].Ellipsis && u.m.number(pats[i].Type) == uint64(got[i].msg.Header.Type) {
			x = &pats[i]
		}
		msgs = append(msgs, u.message(so, x, &got[i]))
	}
	return strings.Join(words, " ") + " " + strings.Join(msgs, " ; ")
}

// portid names the socket that has it.
func (u *updater) portid(n uint32) string {
	for _, s := range u.m.socks {
		if s.portid == n && n != 0 {
			return "$" + s.name
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

// message is a pattern that g fits, of the shape of x where there is one.
func (u *updater) message(so *sock, x *Msg, g *received) string {
	m := &g.msg
	if m.Junk {
		return u.printer().Message(m)
	}
	def := nlmsg.TypeOf(m.Proto, m.Header.Type)
	words := []string{nlmsg.TypeName(m.Proto, m.Header.Type)}
	if x != nil && x.Type.Kind == ArgVar {
		words[0] = "$" + x.Type.Var
	}
	switch f := def.FlagString(m.Header.Flags); {
	case x != nil && x.AnyFlags:
		words = append(words, "*")
	case f != "":
		words = append(words, f)
	}
	if !g.multi && so.answered(m.Header.Seq) < 0 && len(so.sent) > 0 {
		words = append(words, "seq="+strconv.FormatUint(uint64(m.Header.Seq), 10))
	}
	if m.Malformed() {
		words = append(words, "len="+strconv.FormatUint(uint64(m.Header.Len), 10))
	}
	if m.Head != nil && m.Head.Name == "nlmsgerr" {
		words = append(words, "error="+nlmsg.FormatValue(nlmsg.Err, m.HeadData))
	} else if m.Head != nil {
		words = append(words, u.head(x, m))
	}
	if m.Request != nil {
		if so.quotes(m) == "" {
			words = append(words, "request")
		} else {
			words = append(words, "request{"+u.printer().Message(m.Request)+"}")
		}
	}
	var want []Attr
	more := false
	if x != nil {
		want, more = x.Attrs, x.More
	}
	return strings.Join(append(words, u.attrs(want, more, m.Attrs)...), " ")
}

func (u *updater) printer() *nlmsg.Printer { return &nlmsg.Printer{Stable: true, Index: u.index} }

// index is a variable that stands for a link, or the number.
func (u *updater) index(n uint32) string {
	for i, s := range u.m.c.Steps {
		if s.Op != OpIfindex || i >= len(u.t.Steps) {
			continue
		}
		if b, ok := u.m.lookup(s.Var); ok && b.num == uint64(n) && b.data == nil {
			return "$" + s.Var
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

// head are the fields that x names, or else those that are not 0.
func (u *updater) head(x *Msg, m *nlmsg.Message) string {
	var fields []string
	for i := range m.Head.Fields {
		f := &m.Head.Fields[i]
		b := m.HeadData[f.Off : f.Off+f.Size]
		take, text := strings.Trim(string(b), "\x00") != "", f.Name+"="+u.value(f.Kind, b)
		if x != nil && x.Head == m.Head {
			take = false
			for _, w := range x.Fields {
				if w.Field != f {
					continue
				}
				take = true
				if w.Value.Any {
					text = f.Name + "=*"
				}
			}
		}
		if take {
			fields = append(fields, text)
		}
	}
	return m.Head.Name + "{" + strings.Join(fields, ",") + "}"
}

func (u *updater) value(k nlmsg.Kind, b []byte) string {
	if n, ok := nlmsg.Number(k, b); ok && k == nlmsg.Index {
		return u.index(uint32(n))
	}
	return nlmsg.FormatValue(k, b)
}

// attrs are all that there are, or those that the old pattern named where it
// let there be others.
func (u *updater) attrs(want []Attr, more bool, got []nlmsg.Attr) []string {
	var words []string
	if !more {
		for i := range got {
			words = append(words, u.printer().Attr(&got[i]))
		}
		return words
	}
	for i := range want {
		w := &want[i]
		j := slices.IndexFunc(got, func(a nlmsg.Attr) bool { return a.Type == w.Type })
		switch {
		case w.IsRaw:
		case j < 0:
			words = append(words, "!"+w.Name)
		case w.Value.Any:
			words = append(words, w.Name+"=*")
		case w.IsNest && w.More && w.Head == nil && got[j].IsNest:
			words = append(words, w.Name+"{"+strings.Join(u.attrs(w.Attrs, true, got[j].Attrs), " ")+"}")
		default:
			words = append(words, u.printer().Attr(&got[j]))
		}
	}
	return append(words, "...")
}
