//go:build linux

package host

import (
	"context"
	"fmt"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// tryStale plays a case that did what is expected, or that is not for this
// release, once more for each of the releases that it says something else of.
// If that holds here as well, the case's range of versions says something that
// is not so.
func (p *player) tryStale(ctx context.Context, s *session, o *Outcome) (alive bool) {
	release := nlcase.Release(s.hello.Release, s.hello.KernelVersion)
	for _, alt := range o.Case.Alternatives(release) {
		a, alive := s.play(ctx, o.Case, alt.Release, p.caseTimeout())
		if !alive || a.Verdict == Warn {
			p.note(fmt.Sprintf("%s, played as if on %s: %s %s", o.Case.Name, alt.Release, a.Verdict, a.Reason))
			return alive
		}
		if a.Verdict == Pass {
			o.Verdict = Fail
			o.Reason = fmt.Sprintf("stale: %s also holds on %s", alt.What, release)
			return true
		}
	}
	return true
}
