//go:build linux

package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
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
}

func newQMP(f *os.File) *qmp { return &qmp{f: f, r: bufio.NewReader(f)} }

func (q *qmp) close() { q.f.Close() }

// execute runs a command that takes no arguments and waits for its return.
// The session is opened by the first one.
func (q *qmp) execute(command string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.f.SetDeadline(time.Now().Add(qmpTimeout)); err != nil {
		return fmt.Errorf("qmp %s: %w", command, err)
	}
	if !q.ok {
		if err := q.call("qmp_capabilities"); err != nil {
			return err
		}
		q.ok = true
	}
	return q.call(command)
}

func (q *qmp) call(command string) error {
	b, err := json.Marshal(map[string]string{"execute": command})
	if err == nil {
		_, err = q.f.Write(append(b, '\n'))
	}
	for err == nil {
		var line []byte
		if line, err = q.r.ReadBytes('\n'); err != nil {
			break
		}
		// A greeting or an event has none of these and is passed over.
		var m struct {
			Return *json.RawMessage
			Error  *struct{ Desc string }
		}
		if err = json.Unmarshal(line, &m); err != nil {
			break
		}
		if m.Error != nil {
			return fmt.Errorf("qmp %s: %s", command, m.Error.Desc)
		}
		if m.Return != nil {
			return nil
		}
	}
	return fmt.Errorf("qmp %s: %w", command, err)
}
