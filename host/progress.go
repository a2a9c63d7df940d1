package host

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/host/report"
)

// Progress shows a run while it goes on: on a terminal a line for each kernel
// that is rewritten in place, elsewhere a plain line for what matters.
type Progress struct {
	w     io.Writer
	style report.Style
	live  bool

	mu    sync.Mutex // guards all below, and w
	order []string
	state map[string]string
	same  map[string]*repeated
	shown int // lines on the terminal that are rewritten
	last  time.Time
}

// repeated is what was last said of a case of a target: a kernel that does not
// boot is told of once, and not with every case.
type repeated struct {
	verdict string
	more    int // cases that it is true of, too
}

// NewProgress writes to w; live says that w is a terminal.
func NewProgress(w io.Writer, live bool, style report.Style, targets []Target) *Progress {
	p := &Progress{w: w, live: live, style: style, state: map[string]string{}, same: map[string]*repeated{}}
	for _, t := range targets {
		p.order = append(p.order, t.Name)
		p.state[t.Name] = "waiting"
	}
	return p
}

// Event is a Runner's Progress.
func (p *Progress) Event(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case Note:
		p.say(e.Target + ": " + e.Text)
	case Status:
		p.state[e.Target] = e.Text
	case Booting:
		p.state[e.Target] = fmt.Sprintf("booting   %d/%d", e.Done, e.Of)
	case Booted:
		p.state[e.Target] = fmt.Sprintf("playing   %d/%d", e.Done, e.Of)
		p.plain("%s: booted in %.2f s", e.Target, e.Took.Seconds())
	case Played:
		p.state[e.Target] = fmt.Sprintf("playing   %d/%d  %s", e.Done, e.Of, e.Out.Case.Name)
		if !e.Out.Verdict.Held() {
			p.verdict(e.Target, e.Out)
		}
	case Ended:
		p.rest(e.Target)
		p.state[e.Target] = fmt.Sprintf("done      %d/%d", e.Done, e.Of)
		p.plain("%s: done, %d cases", e.Target, e.Of)
	}
	p.draw(e.Kind == Ended || e.Kind == Booting)
}

// verdict says what became of a case.
func (p *Progress) verdict(target string, o *Outcome) {
	s := strings.TrimSpace(fmt.Sprintf("%s %s", o.Verdict, firstLine(o.Reason)))
	if last := p.same[target]; last != nil && last.verdict == s && o.Reason != "" {
		last.more++
		return
	}
	p.rest(target)
	p.same[target] = &repeated{verdict: s}
	p.say(fmt.Sprintf("%s: %s: %s", target, o.Case.Name, s))
}

// rest says how often the last verdict came again.
func (p *Progress) rest(target string) {
	if last := p.same[target]; last != nil && last.more > 0 {
		p.say(fmt.Sprintf("%s: the same of %d more", target, last.more))
	}
	delete(p.same, target)
}

// plain writes a line that a terminal shows in another way.
func (p *Progress) plain(format string, args ...any) {
	if !p.live {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// say writes a line that stays.
func (p *Progress) say(line string) {
	p.erase()
	fmt.Fprintln(p.w, strings.TrimSpace(line))
}

// draw rewrites the live lines, some times a second at most.
func (p *Progress) draw(now bool) {
	if !p.live || !now && p.shown > 0 && time.Since(p.last) < 80*time.Millisecond {
		return
	}
	p.erase()
	p.last = time.Now()
	width := 0
	for _, t := range p.order {
		width = max(width, len(t))
	}
	for _, t := range p.order {
		line := fmt.Sprintf("%-*s  %s", width, t, p.state[t])
		if p.style.Width > 0 && len(line) >= p.style.Width {
			line = line[:p.style.Width-1]
		}
		fmt.Fprintln(p.w, line)
	}
	p.shown = len(p.order)
}

func (p *Progress) erase() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.shown)
		p.shown = 0
	}
}

// Stop removes the live lines.
func (p *Progress) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// Say writes a line that stays, above the live ones.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say(fmt.Sprintf(format, args...))
	p.draw(true)
}
