package nlcase

import (
	"strconv"
	"strings"
)

// in reads netns=$name, where a socket is opened or a link looked for.
func (p *parser) in(s *Step) {
	p.options(func() setters {
		return setters{"netns": func(v string) {
			name, ok := strings.CutPrefix(v, "$")
			if !ok || !p.nets[name] {
				p.fail("netns=%s is not a network namespace that a step before has made", v)
			}
			s.In = name
		}}
	})
}

// address adds what is wrong about an address on purpose.
func (p *parser) address(s *Step, known setters) setters {
	known["family"] = func(v string) {
		if s.Family, s.HasAddr = uint32(p.arg(v, 16, false).N), true; s.Family == 0 {
			s.Family = AFUnspec
		}
	}
	known["addrlen"] = func(v string) {
		if s.AddrLen, s.HasAddr = int(p.arg(v, 7, false).N), true; s.AddrLen == 0 {
			p.fail("addrlen=0 is no address")
		}
	}
	return known
}

func (p *parser) sendOptions(s *Step) {
	known := func() setters { return p.sendSetters(s) }
	for {
		p.options(known)
		switch {
		case p.accept("oob"):
			s.OOB = true
		case p.accept("bg"):
			if p.sending[s.Sock] {
				p.fail("%s sends in the background already", s.Sock)
			}
			s.Background, p.sending[s.Sock] = true, true
		default:
			return
		}
	}
}

func (p *parser) sendSetters(s *Step) setters {
	return p.address(s, setters{
		"to":       func(v string) { s.Pid, s.HasAddr = p.arg(v, 32, false), true },
		"groups":   func(v string) { s.Groups, s.HasAddr = p.groups(v), true },
		"took":     func(v string) { s.Took = p.arg(v, 24, false) },
		"cred.pid": func(v string) { credOf(&s.Cred).Pid = p.arg(v, 32, false) },
		"cred.uid": func(v string) { credOf(&s.Cred).UID = p.arg(v, 32, false) },
		"cred.gid": func(v string) { credOf(&s.Cred).GID = p.arg(v, 32, false) },
	})
}

func credOf(c **CredArg) *CredArg {
	if *c == nil {
		*c = new(CredArg)
	}
	return *c
}

// Classic BPF (include/uapi/linux/bpf_common.h): the opcodes that have a name
// in a case.
var instructions = map[string]struct {
	code uint16
	args int // K, or K:JT:JF
}{
	"ldw": {0x20, 1}, "ldh": {0x28, 1}, "ldb": {0x30, 1}, "len": {0x80, 0},
	"jeq": {0x15, 3}, "jgt": {0x25, 3}, "jset": {0x45, 3}, "and": {0x54, 1}, "ret": {0x06, 1},
}

// maxFilter bounds a filter; BPF_MAXINSNS is far above.
const maxFilter = 256

// filter reads instructions, or none.
func (p *parser) filter(s *Step) {
	if p.accept("none") {
		return
	}
	for t := p.peek(); t != "" && t != "!"; t = p.peek() {
		p.next("")
		f := strings.Split(t, ":")
		def, ok := instructions[f[0]]
		i := Instruction{Code: def.code}
		args := f[1:]
		if f[0] == "op" && len(args) == 4 {
			i.Code, ok = uint16(p.number(args[0], 16)), true
			args, def.args = args[1:], 3
		}
		if !ok || len(args) != def.args {
			p.fail("%q is not an instruction: ldw:K ldh:K ldb:K len and:K jeq:K:JT:JF jgt:K:JT:JF jset:K:JT:JF ret:K op:CODE:K:JT:JF", t)
			return
		}
		if len(args) > 0 {
			i.K = uint32(p.number(args[0], 32))
		}
		if len(args) > 1 {
			i.Jt, i.Jf = uint8(p.number(args[1], 8)), uint8(p.number(args[2], 8))
		}
		if s.Filter = append(s.Filter, i); len(s.Filter) > maxFilter {
			p.fail("more than %d instructions", maxFilter)
		}
	}
	if s.Filter == nil {
		p.fail("filter wants instructions, or none")
	}
}

func (p *parser) number(s string, bits int) uint64 {
	n, err := strconv.ParseUint(s, 0, bits)
	if err != nil {
		p.fail("%q is not a number of %d bits", s, bits)
	}
	return n
}
