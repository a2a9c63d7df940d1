package fuzz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// perPack is how many sequences are played as one case.
const perPack = 8

// pack is sequences that are played as one case.
type pack struct {
	first     uint64 // the number of the first
	caps      caps
	sequences []sequence
}

// pack is the one that has the sequences from i*perPack on.
func (c *corpus) pack(seed, i uint64) pack {
	p := pack{first: i * perPack, caps: capsOf(seed, i)}
	for n := range uint64(perPack) {
		p.sequences = append(p.sequences, c.sequence(seed, p.first+n))
	}
	return p
}

func (p *pack) parse(name string) (*nlcase.Case, error) {
	return nlcase.Parse(name, []byte(text("", p.caps, p.sequences...)))
}

// alone is each of the sequences by itself.
func (p *pack) alone() (all []pack) {
	for i, s := range p.sequences {
		all = append(all, pack{p.first + uint64(i), p.caps, []sequence{s}})
	}
	return all
}

// signature is what is different about two exchanges, short: which words of the
// first lines that differ are only in one of them, without their numbers. Two
// findings of the same signature are one.
func signature(a, b []string) string {
	lines, alike := nlcase.DiffLines(brief(a), brief(b))
	if alike {
		return ""
	}
	var step []string // what the last send sent
	var words [2][]string
	for i, l := range lines {
		if l.Op == ' ' {
			switch {
			case strings.HasPrefix(l.Text, "send "):
				step = nil
			case strings.HasPrefix(l.Text, "  > "):
				step = append(step, l.Text)
			}
			continue
		}
		for ; i < len(lines) && lines[i].Op != ' '; i++ {
			at := 0
			if lines[i].Op == '+' {
				at = 1
			}
			words[at] = append(words[at], strings.Fields(lines[i].Text)...)
		}
		if words[0] != nil || words[1] != nil {
			break
		}
	}
	return answered(step, append(words[0], words[1]...)) + ": -" + strings.Join(only(words[0], words[1]), " ") + " +" + strings.Join(only(words[1], words[0]), " ")
}

// brief has of what was sent only what it was: the values in it may have a name
// on one kernel and not on the other.
func brief(lines []string) []string {
	out := slices.Clone(lines)
	for i, l := range out {
		if !strings.HasPrefix(l, "  > ") {
			continue
		}
		f := strings.Fields(l)
		out[i] = "  > " + f[min(1, len(f)-1)]
		for _, w := range f {
			if strings.HasPrefix(w, "seq=") {
				out[i] += " " + w
				break
			}
		}
	}
	return out
}

// answered is the type of the message among those sent that words are about, the
// last where that is not said.
func answered(sent, words []string) (t string) {
	for _, line := range sent {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		t = f[1]
		for _, w := range f {
			if strings.HasPrefix(w, "seq=") && slices.Contains(words, w) {
				return t
			}
		}
	}
	return t
}

// maxWords bounds a signature.
const maxWords = 6

// only are the words of a that b does not have, without numbers.
func only(a, b []string) (out []string) {
	have := map[string]bool{}
	for _, w := range b {
		have[w] = true
	}
	for _, w := range a {
		if have[w] || w == "--" {
			continue
		}
		if name, value, ok := strings.Cut(w, "="); ok && !strings.HasPrefix(value, "-E") {
			w = name
		}
		w = strings.Map(func(c rune) rune {
			if c >= '0' && c <= '9' {
				return -1
			}
			return c
		}, w)
		if len(out) < maxWords && !have[w] {
			have[w] = true
			out = append(out, w)
		}
	}
	return out
}

func (p *pack) String() string { return fmt.Sprintf("sequence %d", p.first) }
