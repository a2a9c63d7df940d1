//go:build linux

package fuzz

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// write writes a finding as a case that expects what a real kernel did, and
// shows what each did.
func (f *Fuzzer) write(ctx context.Context, r *result, x *Finding) (string, error) {
	a, b := f.Targets[0].Name, f.Targets[1].Name
	head := fmt.Sprintf("# %s and %s differ: %s\n", a, b, x.Signature)
	if x.Died != nil {
		head = fmt.Sprintf("# %s: %s on %s\n", x.Died.Verdict, firstLine(x.Died.Reason), x.Kernel)
	}
	head += fmt.Sprintf("# Found by nlrig fuzz -k %s,%s -seed %d, as sequence %d.\n\n", a, b, x.Seed, x.Number)
	body := f.expecting(ctx, r, x)
	var tail strings.Builder
	for k, t := range f.Targets {
		fmt.Fprintf(&tail, "\n# %s:\n", t.Name)
		lines := r.lines[k]
		if lines == nil {
			lines = append([]string{string(r.out[k].Verdict) + " " + r.out[k].Reason}, r.out[k].LastWords...)
		}
		for _, l := range lines {
			tail.WriteString("#     " + strings.Map(visible, l) + "\n")
		}
		if r.lines[k] != nil {
			for _, l := range r.out[k].LastWords {
				tail.WriteString("#     | " + strings.Map(visible, l) + "\n")
			}
		}
	}
	text := head + string(body) + tail.String()
	if _, err := nlcase.Parse("finding", []byte(text)); err != nil {
		text = head + string(r.c.Text) // it is too long with all that
	}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(x.Signature, ":")
	name = strings.ToLower(strings.TrimPrefix(name, "RTM_"))
	if name == "" {
		name = "exchange"
	}
	if x.Died != nil {
		name = string(x.Died.Verdict)
	}
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return -1
	}, name)
	name = fmt.Sprintf("%s-%.3x.case", name, sha256.Sum256([]byte(x.Signature)))
	file := filepath.Join(f.Dir, name)
	return file, os.WriteFile(file, []byte(text), 0o644)
}

// visible keeps what a case's text may hold.
func visible(c rune) rune {
	if c < ' ' || c == 0x7f {
		return ' '
	}
	return c
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// packing is the signature's end of exchanges in which only the datagrams end at
// other places.
const packing = ": - +"

// expecting is the case with what a real kernel answered, as far as that can be
// said.
func (f *Fuzzer) expecting(ctx context.Context, r *result, x *Finding) []byte {
	k := f.expected()
	t := r.out[k].Transcript
	if x.Died != nil || t == nil {
		return r.c.Text
	}
	var asking strings.Builder
	i := 0
	for line := range strings.Lines(string(r.c.Text)) {
		// An answer that nobody gives is one that is rewritten.
		sock, isRead := strings.CutPrefix(strings.TrimSpace(line), "collect ")
		switch {
		case isRead && strings.HasSuffix(x.Signature, packing):
			for range t.Steps[i].Datagrams {
				asking.WriteString("recv " + sock + " NLMSG_OVERRUN\n")
			}
			asking.WriteString("quiet " + sock + "\n")
		case isRead:
			asking.WriteString("collect " + sock + " NLMSG_OVERRUN\n")
		default:
			asking.WriteString(line)
		}
		if !strings.HasPrefix(line, "caps ") {
			i++
		}
	}
	c, err := nlcase.Parse(r.c.Name, []byte(asking.String()))
	if err != nil {
		return r.c.Text
	}
	if o := f.Runner.Run(ctx, f.Targets, []*nlcase.Case{c})[k].Outcomes[0]; o.Transcript != nil {
		if text, err := nlcase.Update(c, []*nlcase.Transcript{o.Transcript}); err == nil {
			return text
		}
	}
	return r.c.Text
}
