//go:build linux

package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// qmpTimeout bounds one command: QEMU's main loop answers at once or is stuck.
const qmpTimeout = 2 * time.Second

// qmp speaks QEMU's machine protocol, as far as it is needed here
// (docs/interop/qmp-spec.rst).
type qmp struct {
	f  *os.File
	mu sync.Mutex // one command at a time; guards r and ok
	r  *bufio.Reader
	ok bool // capabilities are negotiated
	// open is set by the event that the guest has opened its port.
	open bool
}

func newQMP(f *os.File) *qmp { return &qmp{f: f, r: bufio.NewReader(f)} }

func (q *qmp) close() { q.f.Close() }

// command is one of QMP's. Arguments are left out where they are nil.
type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// execute runs a command that takes no arguments and waits for its return.
func (q *qmp) execute(name string) error { return q.run(command{Execute: name}, nil, nil) }

// run runs a command, with which a file goes to QEMU unless it is nil, waits
// for its return and takes that apart into result. The session is opened by
// the first one.
func (q *qmp) run(c command, file *os.File, result any) error {
	return q.runUntil(time.Now().Add(qmpTimeout), c, file, result)
}

func (q *qmp) runUntil(deadline time.Time, c command, file *os.File, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.begin(deadline); err != nil {
		return err
	}
	return q.call(c, file, result)
}

// negotiate waits for QEMU to answer.
func (q *qmp) negotiate(deadline time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.begin(deadline)
}

// begin opens the session where that is still to be done.
func (q *qmp) begin(deadline time.Time) error {
	if err := q.f.SetDeadline(deadline); err != nil {
		return fmt.Errorf("qmp: %w", err)
	}
	if !q.ok {
		if err := q.call(command{Execute: "qmp_capabilities"}, nil, nil); err != nil {
			return err
		}
		q.ok = true
	}
	return nil
}

// awaitPort waits until the guest has opened its port, or deadline. From its
// call on no event is missed, and the port opens long after QEMU's start.
func (q *qmp) awaitPort(deadline time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.begin(deadline); err != nil {
		return err
	}
	for !q.open {
		if _, err := q.message(); err != nil {
			return fmt.Errorf("wait for the port to open: %w", err)
		}
	}
	return nil
}

// message is one that came. A greeting or an event has neither a return nor an
// error.
type message struct {
	Return json.RawMessage
	Error  *struct{ Desc string }
	Event  string
	Data   struct{ Open bool }
}

func (q *qmp) message() (m message, err error) {
	line, err := q.r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if m.Event == "VSERPORT_CHANGE" {
		q.open = m.Data.Open
	}
	return m, err
}

func (q *qmp) call(c command, file *os.File, result any) error {
	b, err := json.Marshal(c)
	if err == nil {
		err = q.write(append(b, '\n'), file)
	}
	for err == nil {
		var m message
		if m, err = q.message(); err != nil {
			break
		}
		if m.Error != nil {
			return fmt.Errorf("qmp %s: %s", c.Execute, m.Error.Desc)
		}
		if m.Return != nil {
			if result != nil {
				err = json.Unmarshal(m.Return, result)
			}
			if err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("qmp %s: %w", c.Execute, err)
}

// write sends b, which is short, and a file with it.
func (q *qmp) write(b []byte, file *os.File) error {
	if file == nil {
		_, err := q.f.Write(b)
		return err
	}
	conn, err := q.f.SyscallConn()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(int(file.Fd()))
	var sent error
	err = conn.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), b, rights, nil, 0)
		return sent != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return sent
}
