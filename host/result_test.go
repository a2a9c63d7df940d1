package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBisectCode(t *testing.T) {
	for _, tt := range []struct {
		verdicts []Verdict
		want     int
	}{
		{[]Verdict{Pass, Skip}, BisectGood},
		{[]Verdict{Pass, Fail}, BisectBad},
		{[]Verdict{Panic}, BisectBad},
		{[]Verdict{BootFail}, BisectSkip},
		{[]Verdict{ConfigMissing, Skip}, BisectSkip},
		{[]Verdict{VMCrash, Fail}, BisectBad},
		{[]Verdict{VMCrash}, BisectSkip},
		{[]Verdict{Fail, Infra}, BisectAbort},
		{nil, BisectSkip},
	} {
		var c Column
		for _, v := range tt.verdicts {
			c.Outcomes = append(c.Outcomes, Outcome{Verdict: v})
		}
		assert.Equal(t, tt.want, BisectCode([]Column{c}), "%v", tt.verdicts)
	}
}
