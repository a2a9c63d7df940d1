package emulated

import "sync"

// Event is the entry into a function of the kernel, or the exit from it.
type Event struct {
	Func  string // the kernel's name
	Exit  bool
	Depth int // how many are around it
}

// tracer counts the depth. Calls of several goroutines are mixed.
type tracer struct {
	mu    sync.Mutex // guards depth, and orders calls of f
	depth int
	f     func(Event)
}

// Trace has f called, from whatever goroutine makes a system call, whenever a
// function of the netlink core is entered or left. It is to be called before the
// kernel is used.
func (k *Kernel) Trace(f func(Event)) { k.trace = &tracer{f: f} }

var leave = func() {}

// enter is called by each function with its kernel name, and returns what is called
// when it is left.
func (k *Kernel) enter(name string) func() {
	t := k.trace
	if t == nil {
		return leave
	}
	t.mu.Lock()
	t.f(Event{Func: name, Depth: t.depth})
	t.depth++
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		t.depth--
		t.f(Event{Func: name, Exit: true, Depth: t.depth})
		t.mu.Unlock()
	}
}
