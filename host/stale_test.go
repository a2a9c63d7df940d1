//go:build linux

package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A range of versions that also holds outside its bounds is found out, whether
// it is of a case or of a step.
func TestStaleRanges(t *testing.T) {
	rig := testRig(t)
	const ack = "# x\n# ref: a.c b\nopen s route\nsend s NLMSG_NOOP REQUEST|ACK\n"
	const fits, not = "recv s NLMSG_ERROR CAPPED error=0 request\n", "recv s NLMSG_ERROR error=-EPERM request\n"
	list := parseCases(t,
		[2]string{"true", ack + "[>=6.1 <6.2] " + fits + "[<6.1] " + not + "[>=6.2] " + not},
		[2]string{"twice", ack + "[>=6.1] " + fits + "[<6.1] collect s ... ; NLMSG_ERROR * error=0 request\n"},
		[2]string{"since", "# x\n# ref: a.c b\nsince 6.9\nopen s route\nsend s NLMSG_NOOP REQUEST|ACK\n" + fits},
		[2]string{"since-true", "# x\n# ref: a.c b\nsince 6.9\nopen s route\nsend s NLMSG_NOOP REQUEST|ACK\n" + not},
	)
	c := (&Runner{}).Run(t.Context(), qemuTargets(t, rig, "6.1"), list)[0]
	for i, want := range []struct {
		v      Verdict
		reason string
	}{
		{Pass, ""},
		{Fail, "stale: [<6.1] of line 6 also holds on 6.1."},
		{Fail, "stale: >=6.9 also holds on 6.1."},
		{Skip, "requires >=6.9, this is 6.1."},
	} {
		o := c.Outcomes[i]
		assert.Equal(t, want.v, o.Verdict, o.Case.Name)
		assert.Contains(t, o.Reason, want.reason, o.Case.Name)
	}
	assert.Equal(t, 1, c.Boots)
}
