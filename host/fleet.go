//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nlrig/nlrig/host/gotest"
	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/initramfs"
	"github.com/nlrig/nlrig/kernels"
)

// Fleet runs programs on kernels, in VMs that it keeps for the next one. Its
// methods may be called by many goroutines.
type Fleet struct {
	Rig     *Rig
	Options VMOptions
	// Once says that no VM is needed for another program.
	Once bool
	// OnFailure has a VM that lives, before it is ended, in which a program did
	// not end well; nil for nothing.
	OnFailure func(context.Context, *VM)
	// Change completes the configuration of each VM; nil for nothing.
	Change func(*qemu.Config)

	mu   sync.Mutex // guards the rest
	pens map[string]*pen
	vms  map[*VM]bool // all that live
	room *sync.Cond   // signalled when a VM ends or is idle
}

// pen has the VMs of one kernel and size that are idle.
type pen struct {
	target Target
	start  sync.Mutex // orders preparation and the making of an image
	warm   bool       // so that starts need no order
	idle   []*VM
	// Of the VMs that Ahead starts: those that are not there yet, and how many
	// of them somebody waits for.
	coming, awaited int
}

// Ahead starts a VM of v of the usual size, which the next program finds awake:
// QEMU has translated by then what every start of a program goes through. What
// goes wrong is for that program to notice.
func (f *Fleet) Ahead(ctx context.Context, v kernels.Version) {
	memory := f.memoryOf(&cargo{})
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pen(v, memory)
	if len(f.vms) > 0 && len(f.vms) >= maxVMs(memory) {
		return
	}
	p.coming++
	vm, err := f.start(ctx, p)
	if err == nil {
		f.mu.Unlock()
		if err = vm.stretch(ctx); err != nil {
			f.end(vm)
		}
		f.mu.Lock()
	}
	p.coming--
	if err == nil {
		p.idle = append(p.idle, vm)
	}
	f.room.Broadcast()
}

// start starts a VM, whose room it holds until it is there. f.mu is held, but not
// meanwhile.
func (f *Fleet) start(ctx context.Context, p *pen) (*VM, error) {
	place := new(VM)
	f.vms[place] = true
	f.mu.Unlock()
	vm, err := p.open(ctx, f)
	f.mu.Lock()
	delete(f.vms, place)
	if err == nil {
		f.vms[vm] = true
	}
	f.room.Broadcast()
	return vm, err
}

// stretch has a VM take a file and start a program.
func (vm *VM) stretch(ctx context.Context) error {
	const file = "/tmp/ahead"
	program := initramfs.Nothing()
	if vm.shared != nil { // as a larger one
		program = append(program, make([]byte, 4*smallFile)...)
	}
	if err := vm.Put(ctx, file, 0o700, bytes.NewReader(program)); err != nil {
		return err
	}
	p, err := vm.Start(Spec{Path: file, Dir: "/", Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		return err
	}
	exit, err := p.Wait()
	if err == nil && exit != (Exit{}) {
		err = fmt.Errorf("%s: a program that does nothing: %v", vm.t.Name, exit)
	}
	if err != nil {
		return err
	}
	left, err := vm.Tidy(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s: left behind: %v", vm.t.Name, left)
	}
	return err
}

// maxVMs is how many VMs run at once, of which each takes memory MiB.
func maxVMs(memory int) int {
	if free := availableMiB(); free > 0 {
		return max(free*2/3/(memory+headroom), 1)
	}
	return 4
}

// memoryOf is a VM's for c.
func (f *Fleet) memoryOf(c *cargo) int {
	least := f.Rig.QEMU.Memory
	if least == 0 {
		least = qemu.DefaultMemory
	}
	return c.memory(least)
}

// pen is that of v's VMs with memory MiB. f.mu is held.
func (f *Fleet) pen(v kernels.Version, memory int) *pen {
	if f.pens == nil {
		f.pens, f.vms = map[string]*pen{}, map[*VM]bool{}
		f.room = sync.NewCond(&f.mu)
	}
	key := fmt.Sprintf("%s/%d", v.Entry(), memory)
	if f.pens[key] == nil {
		f.pens[key] = &pen{target: f.Rig.ProgramTarget(v, func(c *qemu.Config) {
			c.Memory = memory
			if f.Change != nil {
				f.Change(c)
			}
		})}
	}
	return f.pens[key]
}

// get returns a VM of v with memory MiB.
func (f *Fleet) get(ctx context.Context, v kernels.Version, memory int) (*VM, error) {
	f.mu.Lock()
	p := f.pen(v, memory)
	stop := context.AfterFunc(ctx, f.room.Broadcast)
	defer stop()
	for {
		if n := len(p.idle); n > 0 {
			vm := p.idle[n-1]
			p.idle = p.idle[:n-1]
			f.mu.Unlock()
			if vm.Err() == nil {
				return vm, nil
			}
			f.end(vm)
			f.mu.Lock()
			continue
		}
		if ctx.Err() != nil {
			f.mu.Unlock()
			return nil, context.Cause(ctx)
		}
		if p.awaited < p.coming {
			p.awaited++
			f.room.Wait()
			p.awaited--
			continue
		}
		if len(f.vms) == 0 || len(f.vms) < maxVMs(memory) {
			break
		}
		if other := f.anyIdle(); other != nil {
			f.mu.Unlock()
			f.end(other)
			f.mu.Lock()
			continue
		}
		f.room.Wait()
	}
	defer f.mu.Unlock()
	return f.start(ctx, p)
}

// open starts a VM. The first one of a kernel makes what the others start from.
func (p *pen) open(ctx context.Context, f *Fleet) (*VM, error) {
	p.start.Lock()
	if p.warm {
		p.start.Unlock()
	} else {
		defer p.start.Unlock()
	}
	// The VM outlives what it is started for.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	vm, err := f.Rig.OpenVM(life, &p.target, f.Options)
	if !stop() && err == nil {
		err = errors.Join(context.Cause(ctx), vm.Close())
	}
	if err != nil {
		end(nil)
		return nil, err
	}
	p.warm = true
	return vm, nil
}

// anyIdle takes an idle VM out, nil if there is none. f.mu is held.
func (f *Fleet) anyIdle() *VM {
	for _, p := range f.pens {
		if n := len(p.idle); n > 0 {
			vm := p.idle[n-1]
			p.idle = p.idle[:n-1]
			return vm
		}
	}
	return nil
}

// put keeps a VM for the next program, unless the one before it has changed more
// than files.
func (f *Fleet) put(vm *VM) (left []string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	left, err := vm.Tidy(ctx)
	if _, ill := vm.Trouble(); err != nil || ill || len(left) > 0 {
		f.end(vm)
		return left
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pens {
		if &p.target == vm.t {
			p.idle = append(p.idle, vm)
		}
	}
	f.room.Broadcast()
	return nil
}

func (f *Fleet) end(vm *VM) {
	_ = vm.Close() // ends it, whatever it says
	f.mu.Lock()
	delete(f.vms, vm)
	f.room.Broadcast()
	f.mu.Unlock()
}

// Close ends all VMs.
func (f *Fleet) Close() error {
	f.mu.Lock()
	var all []*VM
	for vm := range f.vms {
		if vm.t != nil {
			all = append(all, vm)
		}
	}
	pens := f.pens
	f.mu.Unlock()
	var wg sync.WaitGroup
	for _, vm := range all {
		wg.Go(func() { f.end(vm) })
	}
	wg.Wait()
	var errs []error
	for _, p := range pens {
		errs = append(errs, p.target.Close())
	}
	return errors.Join(errs...)
}

// Result is how a program ended on a kernel.
type Result struct {
	Kernel  string
	Release string
	Exit    Exit
	// Err says what went wrong beside the program: a *LostError where its
	// kernel was lost or did not come up, a *TroubleError where it is ill.
	Err error
	// Notes are what is to be known: a warning of the kernel, what the program
	// left behind.
	Notes []string
	Took  time.Duration // of the program alone
	Tests []gotest.Test // as its output names them, if it ran on several kernels
	told  bool          // Err, with the output
}

// Held says that the program and its kernel are well.
func (r *Result) Held() bool { return r.Err == nil && r.Exit == Exit{} }

// TroubleError is a kernel's own report of trouble while a program ran.
type TroubleError struct {
	Target  string
	Outcome Outcome
}

func (e *TroubleError) Error() string {
	return e.Target + ": " + e.Outcome.told()
}

// job is a program on its way to one kernel.
type job struct {
	*Program
	*cargo
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	dest           func(back) string // where a file goes that it wrote
	running        *atomic.Int32     // counts those that signals can be sent to
}

// do does a job on v.
func (f *Fleet) do(ctx context.Context, v kernels.Version, j *job) Result {
	r := Result{Kernel: v.String()}
	vm, err := f.get(ctx, v, f.memoryOf(j.cargo))
	if err != nil {
		r.Err = err
		return r
	}
	r.Release = vm.Release()
	vm.run(ctx, j, &r)
	if f.OnFailure != nil && !r.Held() && vm.Err() == nil && ctx.Err() == nil {
		f.OnFailure(ctx, vm)
	}
	if f.Once || vm.Err() != nil || ctx.Err() != nil {
		f.end(vm)
		return r
	}
	_, ill := vm.Trouble()
	for _, l := range f.put(vm) {
		r.Notes = append(r.Notes, "left behind: "+l)
	}
	if !ill { // else it is told
		r.trouble(vm)
	}
	return r
}

// run does a job in vm.
func (vm *VM) run(ctx context.Context, j *job, r *Result) {
	if r.Err = vm.putAll(ctx, j.cargo); r.Err != nil {
		return
	}
	start := time.Now()
	env := setenv(j.Env, "NLRIG_KERNEL="+vm.Kernel())
	proc, err := vm.Start(Spec{Path: j.Path, Args: gotest.Args(j.Args, r.Kernel), Env: env, Dir: j.Dir, Stdin: j.Stdin, Stdout: j.stdout, Stderr: j.stderr})
	if err != nil {
		r.Err = err
		return
	}
	j.running.Add(1)
	told := attend(ctx, vm, proc, j.signals)
	j.running.Add(-1)
	taking := ctx
	if told {
		var cancel context.CancelFunc
		taking, cancel = context.WithTimeout(ctx, quitGrace)
		defer cancel()
	}
	r.Exit, r.Err = proc.wait(taking)
	r.Took = time.Since(start)
	if vm.Err() != nil {
		return
	}
	r.trouble(vm)
	if err := vm.bringBack(ctx, j.cargo, j.dest); r.Err == nil {
		r.Err = err
	}
}

// trouble adds what the kernel has reported.
func (r *Result) trouble(vm *VM) {
	o, ill := vm.Trouble()
	switch {
	case !ill:
	case o.Verdict == Warn:
		r.Notes = append(r.Notes, o.told())
	case o.Verdict == OOM:
		r.Notes = append(r.Notes, o.told(), "-m gives a VM more memory")
	default:
		r.Err = &TroubleError{vm.t.Name, o}
	}
}

// quitGrace is how long a program may take to tell what it does and to end.
const quitGrace = 4 * time.Second

// attend passes signals on until the program has ended or must. A program may
// do with most of them as it likes; a kernel that is dead does not pass them on.
// told is whether it was told to end.
func attend(ctx context.Context, vm *VM, p *Process, signals <-chan os.Signal) (told bool) {
	var quit, oops, deaf <-chan time.Time
	ill := vm.Ill()
	done := ctx.Done()
	for {
		select {
		case <-p.Exited():
			return told
		case <-vm.Lost():
			return told
		case s := <-signals:
			sig, ok := s.(syscall.Signal)
			if !ok {
				continue
			}
			_ = p.Signal(sig) // one that cannot be sent is a VM that is lost
			switch {
			case sig == syscall.SIGQUIT && quit == nil:
				told, quit = true, time.After(quitGrace)
			case deaf == nil && (sig == syscall.SIGINT || sig == syscall.SIGTERM || sig == syscall.SIGHUP):
				told, deaf = true, time.After(quitGrace)
			}
		case <-deaf:
			deaf = nil
			switch {
			case p.stalled.Load(): // its end may be behind what nobody takes
				p.letGo()
			case vm.silent() >= quitGrace:
				quit = time.After(0)
			}
		case <-ill:
			ill, oops = nil, time.After(oopsGrace)
		case <-oops:
			vm.condemn(func(time.Duration) Outcome { return Outcome{Verdict: Oops} })
		case <-quit:
			if p.stalled.Load() {
				p.letGo()
				quit = time.After(quitGrace)
				continue
			}
			vm.condemn(func(silent time.Duration) Outcome {
				o := vm.s.hung(quitGrace, silent)
				o.Reason += ", after it was to end"
				return o
			})
		case <-done:
			done = nil
			_ = p.Signal(syscall.SIGKILL)
			quit = time.After(quitGrace)
		}
	}
}
