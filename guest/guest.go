//go:build linux

// Package guest is the agent: PID 1 of a VM, which plays the cases that the
// host sends, each in a fresh network namespace on a thread that dies with it.
// It judges nothing. It reports what happened and the host decides.
//
// It is kept small, because every page of it is unpacked and translated again
// in each VM: no reflection, no net package.
package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/kernels/local"
	"github.com/nlrig/nlrig/vmtest/nlcase"
	"github.com/nlrig/nlrig/vmtest/wire"
)

const (
	// heartbeat is how often the host hears from a guest that is well.
	heartbeat = 250 * time.Millisecond
	// wantTimeout bounds the wait for the host to send a module.
	wantTimeout = 20 * time.Second
	// maxStacks bounds the answer to Show, in bytes.
	maxStacks = 64 << 10
)

// server answers one host.
type server struct {
	conn      *wire.Conn
	kernel    local.Kernel
	vm        *vm                           // nil when the kernel is not ours
	running   atomic.Uint32                 // the running case's ID, 0 for none
	greeted   chan struct{}                 // closed behind the hello
	listening atomic.Bool                   // somebody reads from conn
	ended     chan error                    // has why the host is not listened to any more
	told      atomic.Pointer[chan struct{}] // closed when the running case's result is out

	mu    sync.Mutex // guards wants, next
	wants map[uint32]chan *wire.Module
	next  uint32

	programs programs
	system   system
	putting  putting
}

func (s *server) init() {
	s.wants = make(map[uint32]chan *wire.Module)
	s.programs.all = make(map[uint32]*program)
	s.ended = make(chan error, 1)
	s.greeted = make(chan struct{})
	go s.beat()
}

// serve waits to be woken, says hello and plays what comes first, if that is a
// case: serve is called in its namespace. All else is done elsewhere.
func (s *server) serve(hello *wire.Hello) {
	s.listening.Store(true)
	first, err := s.conn.Recv()
	if err == nil {
		err = s.greet(first, hello)
	}
	if err == nil {
		first, err = s.conn.Recv()
	}
	if play, ok := first.(*wire.Play); ok && err == nil {
		s.listening.Store(false)
		s.play(play)
		s.attend()
		return
	}
	go s.listen(first, err)
}

func (s *server) greet(first wire.Message, hello *wire.Hello) error {
	wake, ok := first.(*wire.Wake)
	if !ok {
		return fmt.Errorf("the host's first message is %v, want wake", first.Type())
	}
	if s.vm != nil {
		if err := awake(wake); err != nil {
			return err
		}
	}
	if err := s.conn.Send(hello); err != nil {
		return err
	}
	close(s.greeted)
	return nil
}

// talks says whether the host has been greeted.
func (s *server) talks() bool {
	select {
	case <-s.greeted:
		return true
	default:
		return false
	}
}

// attend has somebody listen to the host, unless somebody does.
func (s *server) attend() {
	if s.listening.CompareAndSwap(false, true) {
		go s.listen(nil, nil)
	}
}

// listen does what the host asks, from m on. While it plays a case or starts a
// program nobody listens, for a thread that waits at the port keeps the others
// from running until Go's runtime finds out. Where the host may have something
// to say meanwhile, it is attended to.
func (s *server) listen(m wire.Message, err error) {
	for ; ; m = nil {
		if m == nil && err == nil {
			m, err = s.conn.Recv()
		}
		if err != nil {
			s.ended <- fmt.Errorf("host: %w", err)
			return
		}
		switch m := m.(type) {
		case *wire.Play:
			s.listening.Store(false)
			s.play(m)
		case *wire.Exec:
			s.listening.Store(false)
			s.run(m)
		default:
			err = s.do(m)
			continue
		}
		if !s.listening.CompareAndSwap(false, true) {
			return
		}
	}
}

// do does what is neither a case nor a program.
func (s *server) do(m wire.Message) (err error) {
	switch m := m.(type) {
	case *wire.Module:
		s.mu.Lock()
		c := s.wants[m.ID]
		s.mu.Unlock()
		if c != nil {
			c <- m
		}
	case *wire.Show:
		err = s.conn.Send(&wire.Stacks{Text: s.stacks()})
	case *wire.Equip:
		// The kernel may want modules, which this loop takes.
		go func() { _ = s.done(m.ID, nil, s.equip()) }()
	case *wire.Put:
		if last, failed := s.put(m); last {
			err = s.done(m.ID, nil, failed)
		}
	case *wire.Fetch:
		go s.fetch(m)
	case *wire.Input:
		s.typed(m)
	case *wire.Signal:
		s.signal(m)
	case *wire.Resize:
		resize(m.Rows, m.Cols)
	case *wire.Tidy:
		go func() {
			left := s.tidy()
			s.readLog(allRecords)
			_ = s.done(m.ID, left, nil) // a host that is gone is noticed by listen
		}()
	case *wire.Modprobe:
		go func() { _ = s.done(m.ID, nil, s.module(m.Name)) }()
	case *wire.Leave:
		go s.bye()
	}
	return err
}

// done answers what has an ID.
func (s *server) done(id uint32, left []string, failed error) error {
	d := wire.Done{ID: id, Left: left}
	if failed != nil {
		d.Err = failed.Error()
	}
	return s.conn.Send(&d)
}

func (s *server) beat() {
	tick := time.NewTicker(heartbeat)
	tick.Stop()
	<-s.greeted
	tick.Reset(heartbeat)
	for range tick.C {
		s.attend() // the host may want to see where a case hangs
		s.readLog(beatRecords)
		s.programs.reapOrphans()
		if s.conn.Send(&wire.Heartbeat{Case: s.running.Load()}) != nil {
			return
		}
	}
}

// readLog passes on what the kernel has logged, under the running case.
func (s *server) readLog(limit int) {
	if s.vm == nil {
		return
	}
	id := s.running.Load()
	s.vm.log.drain(limit, func(r record) {
		if s.vm.wanted(id, r) && s.talks() {
			// A host that is gone is noticed by listen.
			_ = s.conn.Send(&wire.Kmsg{Case: id, Priority: r.priority, User: r.user, Text: r.text})
		}
	})
}

func (s *server) play(p *wire.Play) {
	told := make(chan struct{})
	defer close(told)
	s.told.Store(&told)
	s.readLog(allRecords) // what is from before the case
	s.running.Store(p.ID)
	if s.vm != nil {
		s.vm.begin(p.ID)
	}
	r := s.result(p)
	s.readLog(allRecords)
	if s.vm != nil {
		s.vm.end(r)
	}
	s.running.Store(0)
	if s.talks() { // else there is nobody to tell yet
		_ = s.conn.Send(r)
	}
}

// untilTold keeps the namespace of a case until its result is out: the kernel
// takes longer to take it down than to play.
func (s *server) untilTold() <-chan struct{} { return *s.told.Load() }

func (s *server) result(p *wire.Play) *wire.Result {
	r := &wire.Result{Case: p.ID}
	c, err := nlcase.Parse(p.Name, p.Text)
	if err != nil {
		r.Err = err.Error()
		return r
	}
	if c.NeedsVM() {
		s.attend() // it may be too late when it has broken the kernel
	}
	release := p.Release
	if release == "" {
		release = s.kernel.Release()
	}
	t, err := s.kernel.PlayAs(c, release)
	var skip *nlcase.NeedError
	switch {
	case errors.As(err, &skip):
		r.Skip = skip.Error()
	case err != nil:
		r.Err = err.Error()
	default:
		r.Transcript = t.AppendBinary(nil)
	}
	return r
}

// module gets a module and those it needs from the host and loads them.
func (s *server) module(name string) error {
	c := make(chan *wire.Module, 1)
	s.mu.Lock()
	s.next++
	id := s.next
	s.wants[id] = c
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.wants, id)
		s.mu.Unlock()
	}()
	if err := s.conn.Send(&wire.Want{ID: id, Name: name}); err != nil {
		return err
	}
	s.attend()
	deadline := time.After(wantTimeout)
	for {
		select {
		case m := <-c:
			if m.Err != "" {
				return errors.New(m.Err)
			}
			data := m.Data
			if len(data) == 0 {
				data, _ = os.ReadFile(layout.Shelved(m.Name)) // what is not there either is built in
			}
			if len(data) > 0 {
				load := func(data []byte) error { return unix.InitModule(data, "") }
				if s.vm != nil {
					load = s.vm.load
				}
				if err := load(data); err != nil && err != unix.EEXIST {
					return fmt.Errorf("load %s: %w", m.Name, err)
				}
			}
			if m.Left == 0 {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("module %s: the host did not answer within %v", name, wantTimeout)
		}
	}
}

// stacks shows where the running case stands: its line, what its thread does
// in the kernel, and what the agent's other threads do.
func (s *server) stacks() string {
	var b strings.Builder
	running, line := s.kernel.Running()
	if running != 0 {
		fmt.Fprintf(&b, "the case is at line %d, in thread %d\n", line, running)
		showThread(&b, strconv.Itoa(running))
	}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if t.Name() != strconv.Itoa(running) {
			showThread(&b, t.Name())
		}
	}
	return b.String()[:min(b.Len(), maxStacks)]
}

func showThread(b *strings.Builder, tid string) {
	dir := "/proc/self/task/" + tid + "/"
	call, _ := os.ReadFile(dir + "syscall")
	stack, _ := os.ReadFile(dir + "stack")
	fmt.Fprintf(b, "thread %s: system call %s\n%s", tid, strings.TrimSpace(string(call)), stack)
}

// port is a character device or a socket read and written in blocking mode,
// past the Go poller, which virtio-serial ports do not work with.
type port int

func (p port) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(p), b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (p port) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := unix.Write(int(p), b[done:])
		if err != nil && err != unix.EINTR {
			return done, err
		}
		done += max(n, 0)
	}
	return len(b), nil
}

// helloOf describes the running kernel.
func helloOf(agent string) *wire.Hello {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail: the buffer is ours
	config, _ := os.ReadFile("/proc/config.gz")
	return &wire.Hello{
		Agent:         agent,
		Release:       unix.ByteSliceToString(u.Release[:]),
		KernelVersion: unix.ByteSliceToString(u.Version[:]),
		Machine:       unix.ByteSliceToString(u.Machine[:]),
		Config:        config,
	}
}

// ServeProcess plays on the running kernel what the host sends on file
// descriptor 3. The kernel's log and its modules are not touched.
func ServeProcess() error {
	s := &server{conn: wire.NewConn(wire.Guest, port(3))}
	s.init()
	s.serve(helloOf(""))
	err := <-s.ended
	if errors.Is(err, io.EOF) {
		return nil // the host is gone
	}
	return err
}
