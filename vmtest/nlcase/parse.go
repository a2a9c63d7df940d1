package nlcase

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

const (
	maxWithin = 10 * time.Second
	maxSleep  = 24 * time.Hour
)

// Parse reads the text of a case. An error begins with "name:line: ".
func Parse(name string, text []byte) (*Case, error) {
	lines, err := lex(name, string(text))
	if err != nil {
		return nil, err
	}
	p := &parser{c: &Case{Name: name, Text: text, lines: lines}, socks: map[string]int{}, ports: map[string]bool{}, vars: map[string]bool{},
		nets: map[string]bool{}, sending: map[string]bool{}}
	if p.line = 1; !p.header(lines) {
		return nil, &syntaxError{name, p.line, p.err}
	}
	for _, l := range lines {
		if l.tokens == nil {
			continue
		}
		p.tokens, p.line = l.tokens, l.tokens[0].line
		p.statement()
		if p.err == "" && len(p.tokens) > 0 {
			p.fail("unexpected %q", p.tokens[0].text)
		}
		if p.err == "" && len(p.c.Steps) > maxSteps {
			p.fail("more than %d steps", maxSteps)
		}
		if p.err != "" {
			return nil, &syntaxError{name, p.line, p.err}
		}
	}
	if len(p.c.Steps) == 0 {
		return nil, &syntaxError{name, max(p.line, 1), "no steps"}
	}
	return p.c, nil
}

// parser reads one statement after the other. Its error is sticky.
type parser struct {
	c       *Case
	tokens  []token // what is left of the statement
	line    int
	err     string
	socks   map[string]int  // the protocol of each open socket
	ports   map[string]bool // sockets opened so far: their names are portids
	vars    map[string]bool // bound so far
	nets    map[string]bool // those of them that are network namespaces
	sending map[string]bool // sockets that send in the background
	depth   int
	msgs    int // in the statement
	bytes   int // of values, in the case
}

func (p *parser) fail(format string, args ...any) {
	if p.err == "" {
		p.err = fmt.Sprintf(format, args...)
	}
	p.tokens = nil
}

// peek is the next token, "" at the end.
func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0].text
}

func (p *parser) next(what string) string {
	if len(p.tokens) == 0 {
		p.fail("%s is missing", what)
		return ""
	}
	t := p.tokens[0]
	p.tokens, p.line = p.tokens[1:], t.line
	return t.text
}

func (p *parser) accept(text string) bool {
	if p.peek() != text || text == "" {
		return false
	}
	p.next("")
	return true
}

// header reads the comment at the top.
func (p *parser) header(lines []line) bool {
	var doc []string
	for i, l := range lines {
		if l.comment == "" && l.tokens == nil && doc == nil && p.c.Refs == nil {
			continue // empty lines before it
		}
		if l.comment == "" {
			break
		}
		p.line = i + 1
		text := strings.TrimSpace(strings.TrimLeft(l.comment, "#"))
		ref, ok := strings.CutPrefix(text, "ref:")
		if !ok {
			doc = append(doc, text)
			continue
		}
		f := strings.Fields(ref)
		if len(f) < 2 {
			p.fail("ref: wants a file of the kernel and its functions")
			return false
		}
		for _, fn := range f[1:] {
			fn, branches, has := strings.Cut(fn, ":")
			r := Ref{File: f[0], Func: fn}
			if has {
				r.Branches = strings.Split(branches, ",")
			}
			p.c.Refs = append(p.c.Refs, r)
		}
	}
	p.c.Doc = strings.TrimSpace(strings.Join(doc, "\n"))
	return true
}

func (p *parser) statement() {
	start := p.tokens
	var guard Versions
	if strings.HasPrefix(p.peek(), "[") {
		guard = p.versions(strings.Trim(p.next(""), "[]"))
	}
	s := Step{Line: p.line, Guard: guard}
	verb := p.next("a step")
	if isDirective(verb) {
		if guard != nil || len(p.c.Steps) > 0 {
			p.fail("%s is said before the steps, for all of them", verb)
			return
		}
		p.directive(verb)
		return
	}
	op := -1
	for i, n := range opNames {
		if n == verb {
			op = i
		}
	}
	if op < 0 {
		p.fail("unknown step %q", verb)
		return
	}
	s.Op = Op(op)
	p.msgs = 0
	p.step(&s)
	if p.accept("!") {
		s.Want = p.errno()
	}
	if s.Op == OpQuiet {
		s.Want = nlmsg.EAGAIN
	}
	if s.Op == OpRecv && len(s.Msgs) == 0 && s.Want == 0 {
		p.fail("recv wants the messages or the error that it is to give")
	}
	if p.err != "" {
		return
	}
	if s.Op == OpOpen && s.Want == 0 {
		p.socks[s.Sock], p.ports[s.Sock] = s.Proto, true
	}
	if s.Op >= OpWrite && !p.c.NeedsVM() {
		p.fail("%s is only for a case with: needs vm", s.Op)
		return
	}
	used := start[:len(start)-len(p.tokens)]
	var b strings.Builder
	one := make([]token, len(used))
	for i, t := range used {
		t.nl = false
		one[i] = t
	}
	formatStatement(&b, one, 0)
	s.Text = b.String()
	p.c.Steps = append(p.c.Steps, s)
}

func (p *parser) directive(verb string) {
	switch verb {
	case "needs":
		switch kind := p.next("module, config or vm"); kind {
		case "vm":
			p.c.Needs = append(p.c.Needs, Need{Kind: kind})
		case "module":
			name := p.next("the module's name")
			if !isName("_"+strings.ReplaceAll(name, "-", "_")) || len(name) > 64 {
				p.fail("%q is not the name of a module", name)
			}
			p.c.Needs = append(p.c.Needs, Need{kind, name})
		case "config":
			name := p.next("the option's name")
			if !isOption(name) {
				p.fail("%q is not an option such as CONFIG_BRIDGE", name)
			}
			p.c.Needs = append(p.c.Needs, Need{kind, name})
		default:
			p.fail("needs module NAME, config CONFIG_NAME, or vm, not %q", kind)
		}
	case "caps":
		switch t := p.next("none or userns"); t {
		case "none":
			p.c.NoCaps = true
		case "userns":
			p.c.UserNS = true
		default:
			p.fail("caps none, or userns, not %q", t)
		}
	case "since":
		p.c.Versions = append(p.c.Versions, Bound{">=", p.release(p.next("a release"))})
	case "until":
		p.c.Versions = append(p.c.Versions, Bound{"<=", p.release(p.next("a release"))})
	}
}

// isOption says whether s can be an option of the kernel's configuration.
func isOption(s string) bool {
	name, ok := strings.CutPrefix(s, "CONFIG_")
	return ok && name != "" && len(s) <= 128 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

func (p *parser) versions(s string) Versions {
	var v Versions
	for _, f := range strings.Fields(s) {
		i := 0
		for i < len(f) && strings.IndexByte("<>=", f[i]) >= 0 {
			i++
		}
		switch f[:i] {
		case ">=", ">", "<=", "<", "=":
			v = append(v, Bound{f[:i], p.release(f[i:])})
		default:
			p.fail("%q is not a bound such as >=6.9", f)
		}
	}
	if v == nil {
		p.fail("[] without a bound such as >=6.9")
	}
	return v
}

func (p *parser) release(s string) string {
	parts := strings.Split(s, ".")
	for _, x := range parts {
		if n, err := strconv.Atoi(x); err != nil || n < 0 || n > 9999 || x[0] == '+' || len(parts) > 3 {
			p.fail("%q is not a release such as 6.9 or 6.12.43", s)
		}
	}
	return s
}

func (p *parser) errno() Errno {
	t := p.next("an error such as EPERM")
	e, ok := nlmsg.ErrnoByName(t)
	if !ok && p.err == "" {
		p.fail("unknown error %q", t)
	}
	return e
}

// step reads what follows the verb, up to the error.
func (p *parser) step(s *Step) {
	switch s.Op {
	case OpIfindex:
		v := p.next("$variable")
		if !strings.HasPrefix(v, "$") || !isName(v[1:]) {
			p.fail("ifindex wants a $variable first, not %q", v)
			return
		}
		s.Var, s.Name = v[1:], p.linkName()
		p.in(s)
		p.bind(s.Var)
		return
	case OpNetns:
		v := p.next("$variable")
		if !strings.HasPrefix(v, "$") || !isName(v[1:]) {
			p.fail("netns wants a $variable, not %q", v)
			return
		}
		s.Var = v[1:]
		p.bind(s.Var)
		p.nets[s.Var] = true
		if len(p.nets) > maxNets {
			p.fail("more than %d network namespaces", maxNets)
		}
		return
	case OpDrop:
		return
	case OpWrite:
		s.Name = p.next("a path")
		data, err := nlmsg.ParseValue(nlmsg.Str, p.next("what to write"))
		if err != nil {
			p.fail("%v", err)
		}
		s.Data = data
		return
	case OpSleep:
		s.Sleep = p.duration(p.next("how long"), maxSleep)
		return
	case OpSpin, OpExit:
		return
	case OpOpen:
		s.Sock = p.next("a socket's name")
		if !isName(s.Sock) {
			p.fail("%q cannot be a socket's name", s.Sock)
		} else if _, open := p.socks[s.Sock]; open && s.Guard == nil {
			p.fail("socket %s is open", s.Sock)
		} else if p.vars[s.Sock] {
			p.fail("$%s is a variable already", s.Sock)
		}
		p.open(s)
		return
	}
	s.Sock = p.next("a socket's name")
	proto, ok := p.socks[s.Sock]
	if !ok && p.err == "" {
		p.fail("socket %q is not open", s.Sock)
	}
	s.Proto = proto
	switch s.Op {
	case OpClose:
		delete(p.socks, s.Sock)
	case OpBind, OpConnect:
		p.options(func() setters {
			return p.address(s, setters{
				"pid":    func(v string) { s.Pid = p.arg(v, 32, false) },
				"groups": func(v string) { s.Groups = p.groups(v) }})
		})
	case OpFilter:
		p.filter(s)
	case OpWait:
		if !p.sending[s.Sock] {
			p.fail("nothing is being sent in the background on %s", s.Sock)
		}
		delete(p.sending, s.Sock)
	case OpName:
		p.options(func() setters {
			return setters{
				"pid":    func(v string) { s.Pid = p.arg(v, 32, true) },
				"groups": func(v string) { s.Groups = p.groups(v) }}
		})
	case OpJoin, OpLeave:
		s.Group = p.arg(p.next("a group"), 32, false)
	case OpSet, OpGet:
		p.option(s)
	case OpSend:
		p.sendOptions(s)
		s.Msgs = p.messages(s.Proto, false)
		if len(s.Msgs) == 0 {
			p.fail("send wants messages")
		}
	case OpRecv, OpCollect:
		p.recvOptions(s)
		s.Msgs = p.messages(s.Proto, true)
	}
}

func (p *parser) open(s *Step) {
	proto := p.next("a protocol")
	n, ok := nlmsg.ProtocolByName(proto)
	if !ok {
		x, err := strconv.ParseUint(proto, 0, 16)
		if err != nil && p.err == "" {
			p.fail("unknown protocol %q", proto)
		}
		n = int(x)
	}
	s.Proto, s.Type = n, sockRaw
	switch t := p.peek(); {
	case t == "" || t == "!":
	case t == "raw":
		p.next("")
	case t == "dgram":
		p.next("")
		s.Type = sockDgram
	default:
		v, isType := strings.CutPrefix(t, "type=")
		if !isType {
			break
		}
		x, err := strconv.ParseUint(v, 0, 8)
		if err != nil {
			p.fail("type=%s is not a socket's type", v)
			return
		}
		p.next("")
		s.Type = int(x)
	}
	p.in(s)
}

const (
	sockDgram = 2
	sockRaw   = 3
)

// setters take the values of words like name=value.
type setters map[string]func(value string)

// options reads name=value words for as long as their names are known, which is
// asked where there is such a word only.
func (p *parser) options(known func() setters) {
	for {
		name, value, ok := strings.Cut(p.peek(), "=")
		if !ok || strings.Contains(name, "{") {
			return
		}
		set := known()[name]
		if set == nil {
			return
		}
		p.next("")
		set(value)
	}
}

func (p *parser) recvOptions(s *Step) {
	r := &s.Recv
	known := func() setters { return p.recvSetters(s) }
	for {
		p.options(known)
		switch {
		case s.Op == OpRecv && p.accept("peek"):
			r.Options.Peek = true
		case s.Op == OpRecv && p.accept("oob"):
			r.Options.OOB = true
		case s.Op == OpRecv && p.accept("truncated"):
			r.Truncated = true
		default:
			return
		}
	}
}

func (p *parser) recvSetters(s *Step) setters {
	r := &s.Recv
	known := setters{
		"within":   func(v string) { r.Within = p.duration(v, maxWithin) },
		"from":     func(v string) { r.From = p.arg(v, 32, true) },
		"groups":   func(v string) { r.Groups = p.groups(v) },
		"size":     func(v string) { r.Size = p.arg(v, 32, true) },
		"pktinfo":  func(v string) { r.PktGroup = p.arg(v, 32, true) },
		"nsid":     func(v string) { r.Nsid = p.arg(v, 32, true) },
		"cred.pid": func(v string) { credOf(&r.Cred).Pid = p.arg(v, 32, true) },
		"cred.uid": func(v string) { credOf(&r.Cred).UID = p.arg(v, 32, true) },
		"cred.gid": func(v string) { credOf(&r.Cred).GID = p.arg(v, 32, true) },
		"buf": func(v string) {
			r.Options.Size = int(p.arg(v, 20, false).N)
			if r.Options.Size == 0 {
				p.fail("buf=0 stands for a buffer that is large enough; leave it away")
			}
		},
	}
	if s.Op == OpCollect {
		delete(known, "size")
	}
	return known
}

func (p *parser) option(s *Step) {
	name := p.next("an option")
	o, ok := optionByName(name)
	if !ok {
		level, opt, _ := strings.Cut(name, ":")
		l, err1 := strconv.ParseUint(level, 0, 31)
		x, err2 := strconv.ParseUint(opt, 0, 31)
		if err1 != nil || err2 != nil {
			p.fail("unknown option %q", name)
			return
		}
		o = Option{name, int(l), int(x)}
	}
	s.Option = o
	if s.Op == OpGet {
		p.options(func() setters {
			return setters{"size": func(v string) {
				if s.Size = int(p.arg(v, 12, false).N); s.Size == 0 {
					p.fail("size=0 leaves no room for a value")
				}
			}}
		})
	}
	if t := p.peek(); t == "!" && s.Op == OpGet {
		s.Value.Any = true
		return
	}
	s.Value = p.value(nlmsg.U32, p.next("a value"), s.Op == OpGet)
}

func (p *parser) duration(v string, limit time.Duration) time.Duration {
	d, err := time.ParseDuration(v)
	if (err != nil || d <= 0 || d > limit) && p.err == "" {
		p.fail("%q is not a duration up to %v", v, limit)
	}
	return d
}

func (p *parser) linkName() string {
	t := p.next("a link's name")
	if len(t) > 15 {
		p.fail("%q is too long for a link's name", t)
	}
	return t
}

// isName reports whether s can name a socket or a variable.
func isName(s string) bool {
	for i, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
