//go:build linux

package host

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func emulatedTargets(t *testing.T, names ...string) (ts []Target) {
	t.Helper()
	for _, n := range names {
		target, err := EmulatedTarget(n)
		require.NoError(t, err)
		ts = append(ts, target)
	}
	return ts
}

// The whole corpus takes a moment, and every case has a verdict of its own.
func TestEmulatedCorpus(t *testing.T) {
	list, err := cases.All()
	require.NoError(t, err)
	start := time.Now()
	for _, c := range (&Runner{}).Run(t.Context(), emulatedTargets(t, "emulated", "emulated@5.10"), list) {
		for _, o := range c.Outcomes {
			assert.Contains(t, []Verdict{Pass, Fail, Skip}, o.Verdict, "%s on %s: %s", o.Case.Name, c.Target, o.Reason)
		}
		assert.Equal(t, 1, c.Boots)
	}
	assert.Less(t, time.Since(start), 10*time.Second)
}

func TestEmulatedNames(t *testing.T) {
	for name, release := range map[string]string{"emulated": "7.3.999", "emulated@6.1": "6.1.999", "emulated@6.1.192": "6.1.192"} {
		k, err := NewEmulated(name)
		require.NoError(t, err)
		assert.Equal(t, release, k.Release())
	}
	for _, name := range []string{"emulate", "emulatedly", "emulated@", "emulated@x", "emulated@4.9", "emulated@7.4", "emulated@6.1.2.3"} {
		_, err := EmulatedTarget(name)
		assert.ErrorIs(t, err, kernels.ErrSpec, name)
	}
}

// What a case needs of a kernel, and what one says of other releases.
func TestEmulatedNeeds(t *testing.T) {
	const play = "open s route\nsend s NLMSG_NOOP REQUEST|ACK\n"
	const fits, not = "recv s NLMSG_ERROR CAPPED error=0 request\n", "recv s NLMSG_ERROR error=-EPERM request\n"
	list := parseCases(t,
		[2]string{"module", "# x\n# ref: a.c b\nneeds module none_such\n" + play},
		[2]string{"config", "# x\n# ref: a.c b\nneeds config CONFIG_NONE_SUCH\n" + play},
		[2]string{"vm", "# x\n# ref: a.c b\nneeds vm\n" + play},
		[2]string{"stale", "# x\n# ref: a.c b\nsince 6.9\n" + play + fits},
		[2]string{"since", "# x\n# ref: a.c b\nsince 6.9\n" + play + not},
	)
	c := (&Runner{}).Run(t.Context(), emulatedTargets(t, "emulated@6.1"), list)[0]
	for i, want := range []Verdict{Pass, Pass, Skip, Fail, Skip} {
		assert.Equal(t, want, c.Outcomes[i].Verdict, "%s: %s", list[i].Name, c.Outcomes[i].Reason)
	}
	assert.Contains(t, c.Outcomes[3].Reason, "stale: >=6.9 also holds on 6.1.999")
}

// faulty is a kernel with a case that breaks it, and one in which it hangs.
type faulty struct{ nlcase.Kernel }

func (k faulty) Net(s nlcase.Setup, f func(nlcase.Net)) error {
	return k.Kernel.Net(s, func(n nlcase.Net) { f(faultyNet{n}) })
}

type faultyNet struct{ nlcase.Net }

func (n faultyNet) IfIndex(name string) (int, nlcase.Errno) {
	switch name {
	case "bug":
		var none []int
		return none[0], 0
	case "hang":
		select {}
	}
	return n.Net.IfIndex(name)
}

// A bug of the emulated kernel costs the case that found it.
func TestEmulatedDies(t *testing.T) {
	target := emulatedTargets(t, "emulated")[0]
	target.start = func(context.Context, time.Duration, func(string)) (machine, bool, error) {
		k, err := NewEmulated("emulated")
		return startEmulation(faulty{k}), false, err
	}
	const head = "# x\n# ref: a.c b\n"
	list := parseCases(t,
		[2]string{"bug", head + "ifindex $a bug\n"},
		[2]string{"well", head + "ifindex $a nothing ! ENODEV\n"},
		[2]string{"hang", head + "ifindex $a hang\n"},
		[2]string{"again", head + "ifindex $a nothing ! ENODEV\n"},
	)
	c := (&Runner{CaseTimeout: time.Second}).Run(t.Context(), []Target{target}, list)[0]
	for i, want := range []Verdict{Panic, Pass, Hang, Pass} {
		assert.Equal(t, want, c.Outcomes[i].Verdict, "%s: %s", list[i].Name, c.Outcomes[i].Reason)
	}
	assert.Contains(t, c.Outcomes[0].Reason, "index out of range [0] with length 0")
	assert.Contains(t, c.Outcomes[0].LastWords[1], "faultyNet.IfIndex emulated_test.go:")
	assert.Equal(t, 3, c.Boots)
}

// A machine that is kept plays on, and one that a case broke does not.
func TestKeep(t *testing.T) {
	target := emulatedTargets(t, "emulated")[0]
	target.start = func(context.Context, time.Duration, func(string)) (machine, bool, error) {
		k, err := NewEmulated("emulated")
		return startEmulation(faulty{k}), false, err
	}
	const head = "# x\n# ref: a.c b\n"
	well := [2]string{"well", head + "ifindex $a nothing ! ENODEV\n"}
	bug := [2]string{"bug", head + "ifindex $a bug\n"}
	r := &Runner{Keep: true}
	targets := []Target{target}
	for i, want := range []struct {
		cases []*nlcase.Case
		boots int
	}{{parseCases(t, well), 1}, {parseCases(t, well, well), 0}, {parseCases(t, well, bug), 0}, {parseCases(t, well), 1}} {
		c := r.Run(t.Context(), targets, want.cases)[0]
		assert.Equal(t, want.boots, c.Boots, "run %d", i)
		for _, o := range c.Outcomes {
			assert.Equal(t, map[string]Verdict{"well": Pass, "bug": Panic}[o.Case.Name], o.Verdict)
		}
	}
	require.NoError(t, r.End(targets))
	assert.Nil(t, targets[0].kept)
	assert.Equal(t, 1, r.Run(t.Context(), targets, parseCases(t, well))[0].Boots)
	require.NoError(t, r.End(targets))
}
