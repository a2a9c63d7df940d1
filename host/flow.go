package host

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nlrig/nlrig/kernels/emulated"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Call is a call of a kernel's function.
type Call struct {
	Func  string
	Depth int // how many functions of the step are around it
}

// StepFlow is what a step of a case called, in its order.
type StepFlow struct {
	Step  *nlcase.Step
	Calls []Call
}

// Flow is the call graph of each step of a case on the emulated kernel of that
// name. Steps that are not for its release are left out. What the kernel does
// before the first step and after the last is not shown.
func Flow(name string, c *nlcase.Case) ([]StepFlow, error) {
	k, err := NewEmulated(name)
	if err != nil {
		return nil, err
	}
	if why := c.Inapplicable(k.Release()); why != "" {
		return nil, errors.New(c.Name + " " + why)
	}
	var mu sync.Mutex // guards calls and in
	calls := make([][]Call, len(c.Steps))
	in := -1
	k.Trace(func(e emulated.Event) {
		mu.Lock()
		defer mu.Unlock()
		if in >= 0 && !e.Exit {
			calls[in] = append(calls[in], Call{e.Func, e.Depth})
		}
	})
	more := *c
	more.Steps = append(slices.Clip(c.Steps), nlcase.Step{Op: nlcase.OpSleep}) // at which it is over
	t := nlcase.PlayFunc(k, &more, func(step int, _ *nlcase.Transcript) {
		mu.Lock()
		defer mu.Unlock()
		if in = step; step == len(c.Steps) {
			in = -1
		}
	})
	if t.Failed != "" {
		return nil, fmt.Errorf("play %s on %s: %s", c.Name, name, t.Failed)
	}
	var flow []StepFlow
	for i := range c.Steps {
		if !t.Steps[i].Skipped {
			flow = append(flow, StepFlow{&c.Steps[i], calls[i]})
		}
	}
	return flow, nil
}
