//go:build linux

package fuzz

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// write writes a finding as a case that expects what a real kernel did, and
// shows what each did.
func (f *Fuzzer) write(r *result, x *Finding) (string, error) {
	a, b := f.Targets[0].Name, f.Targets[1].Name
	head := fmt.Sprintf("# %s and %s differ: %s\n", a, b, x.Signature)
	if x.Died != nil {
		head = fmt.Sprintf("# %s: %s on %s\n", x.Died.Verdict, firstLine(x.Died.Reason), x.Kernel)
	}
	head += fmt.Sprintf("# Found by nlrig fuzz -k %s,%s -seed %d, as sequence %d.\n\n", a, b, x.Seed, x.Number)
	body := f.expecting(r, x)
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
	name := strings.ToLower(strings.TrimPrefix(strings.Fields(x.Signature)[0], "RTM_"))
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
	file := filepath.Join(f.Dir, strings.TrimLeft(name, "-"))
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

// expecting is the case with what a real kernel answered, as far as that can be
// said.
func (f *Fuzzer) expecting(r *result, x *Finding) []byte {
	t := r.out[f.expected()].Transcript
	if x.Died != nil || t == nil {
		return r.c.Text
	}
	// An answer that nobody gives is one that is rewritten.
	asking := []string{}
	for line := range strings.Lines(string(r.c.Text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "collect ") {
			line += " NLMSG_OVERRUN"
		}
		asking = append(asking, line)
	}
	c, err := nlcase.Parse(r.c.Name, []byte(strings.Join(asking, "\n")+"\n"))
	if err != nil {
		return r.c.Text
	}
	text, err := nlcase.Update(c, []*nlcase.Transcript{t})
	if err != nil {
		return r.c.Text
	}
	return text
}
