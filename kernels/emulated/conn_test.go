package emulated_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"

	"github.com/nlrig/nlrig/kernels/emulated"
)

const (
	route      = 0
	usersock   = 2
	rtmGetlink = 18
)

type dial func(proto int, cfg *netlink.Config) (*netlink.Conn, error)

// dialers are the emulated kernel, and on Linux the running one: what is said of
// the one is to hold for the other.
func dialers(t *testing.T, f func(t *testing.T, dial dial)) {
	t.Run("emulated", func(t *testing.T) {
		k, err := emulated.New("6.12")
		require.NoError(t, err)
		n := k.NewNetns()
		defer n.Close()
		f(t, n.Dial)
	})
	if runtime.GOOS == "linux" {
		t.Run("local", func(t *testing.T) { f(t, netlink.Dial) })
	}
}

func open(t *testing.T, dial dial, cfg *netlink.Config) *netlink.Conn {
	t.Helper()
	c, err := dial(route, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func noop(flags netlink.HeaderFlags) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: netlink.Noop, Flags: flags}}
}

func TestConnExecute(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		c := open(t, dial, &netlink.Config{Strict: true})
		got, err := c.Execute(noop(netlink.Acknowledge))
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, netlink.Error, got[0].Header.Type)

		_, err = c.Execute(netlink.Message{Header: netlink.Header{Type: 0x3ff, Flags: netlink.Request | netlink.Acknowledge}})
		var oe *netlink.OpError
		require.ErrorAs(t, err, &oe)
		require.Equal(t, "receive", oe.Op)
		if runtime.GOOS == "linux" {
			require.ErrorIs(t, err, syscall.EOPNOTSUPP)
		}

		var sent []netlink.Message
		for range 3 {
			sent = append(sent, noop(netlink.Acknowledge))
		}
		sent, err = c.SendMessages(sent)
		require.NoError(t, err)
		for i := range sent {
			got, err := c.Receive()
			require.NoError(t, err)
			require.NoError(t, netlink.Validate(sent[i], got))
		}
	})
}

func TestConnDial(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		a, err := dial(usersock, &netlink.Config{PID: 0xfff00001})
		require.NoError(t, err)
		defer a.Close()
		_, err = dial(usersock, &netlink.Config{PID: 0xfff00001})
		require.ErrorContains(t, err, "bind: ")
		_, err = dial(31, nil)
		require.ErrorContains(t, err, "socket: ")
		if runtime.GOOS == "linux" {
			require.ErrorIs(t, err, syscall.EPROTONOSUPPORT)
		}
	})
}

func TestConnDeadline(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		c := open(t, dial, nil)
		timeout := func(err error) {
			t.Helper()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			var oe *netlink.OpError
			require.ErrorAs(t, err, &oe)
			require.True(t, oe.Timeout())
		}
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := c.Receive()
		timeout(err)
		_, err = c.Send(noop(netlink.Acknowledge))
		require.NoError(t, err)
		_, err = c.Receive() // although there is something to read
		timeout(err)
		require.NoError(t, c.SetDeadline(time.Unix(1, 0)))
		_, err = c.Send(noop(0))
		timeout(err)
		require.NoError(t, c.SetDeadline(time.Time{}))
		_, err = c.Receive()
		require.NoError(t, err)
		// One that is set while a read waits, and one that is moved.
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		time.AfterFunc(20*time.Millisecond, func() { c.SetReadDeadline(time.Now()) })
		_, err = c.Receive()
		timeout(err)
	})
}

func TestConnClose(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		c := open(t, dial, nil)
		time.AfterFunc(20*time.Millisecond, func() { c.Close() })
		_, err := c.Receive()
		var oe *netlink.OpError
		require.ErrorAs(t, err, &oe)
		require.Equal(t, "receive", oe.Op)
		require.False(t, oe.Timeout())
		require.NoError(t, c.Close())
		check := func(op, call string, err error) {
			t.Helper()
			var oe *netlink.OpError
			require.ErrorAs(t, err, &oe)
			require.Equal(t, op, oe.Op)
			var se *os.SyscallError
			require.ErrorAs(t, err, &se)
			require.Equal(t, call, se.Syscall)
			if runtime.GOOS == "linux" {
				require.ErrorIs(t, err, syscall.EBADF)
			}
		}
		_, err = c.Send(noop(0))
		check("send", "sendmsg", err)
		_, err = c.Receive()
		check("receive", "recvmsg", err)
		check("join-group", "setsockopt", c.JoinGroup(1))
		check("set-option", "setsockopt", c.SetOption(netlink.CapAcknowledge, true))
		check("set-read-buffer", "setsockopt", c.SetReadBuffer(1<<16))
		_, err = c.ReadBuffer()
		check("get-read-buffer", "getsockopt", err)
		check("remove-bpf", "setsockopt", c.RemoveBPF())
	})
}

func TestConnOptions(t *testing.T) {
	dialers(t, func(t *testing.T, dial dial) {
		c := open(t, dial, nil)
		fails := func(want error, err error) {
			t.Helper()
			require.Error(t, err)
			if runtime.GOOS == "linux" {
				require.ErrorIs(t, err, want)
			}
		}
		require.NoError(t, c.JoinGroup(1))
		require.NoError(t, c.LeaveGroup(1))
		fails(syscall.EINVAL, c.JoinGroup(1<<20))
		fails(syscall.ENOPROTOOPT, c.SetOption(99, true))
		fails(syscall.EINVAL, c.SetBPF(nil))
		fails(syscall.ENOENT, c.RemoveBPF())
		require.NoError(t, c.SetReadBuffer(1<<15))
		n, err := c.ReadBuffer()
		require.NoError(t, err)
		require.Equal(t, 1<<16, n)
		require.NoError(t, c.SetWriteBuffer(1<<15))
		n, err = c.WriteBuffer()
		require.NoError(t, err)
		require.Equal(t, 1<<16, n)

		// A filter that lets nothing through has an ack never come.
		drop, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{}})
		require.NoError(t, err)
		require.NoError(t, c.SetBPF(drop))
		_, err = c.Send(noop(netlink.Acknowledge))
		require.NoError(t, err)
		require.NoError(t, c.RemoveBPF())
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		_, err = c.Receive()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestConnNetns(t *testing.T) {
	k, err := emulated.New("6.12")
	require.NoError(t, err)
	n := k.NewNetns()
	defer n.Close()
	_, fd, no := n.Netns()
	require.Zero(t, no)
	c, err := n.Dial(route, &netlink.Config{NetNS: fd, PID: 7})
	require.NoError(t, err)
	defer c.Close()
	// The portid is another namespace's, so it is free here.
	d, err := n.Dial(route, &netlink.Config{PID: 7})
	require.NoError(t, err)
	defer d.Close()
	_, err = n.Dial(route, &netlink.Config{NetNS: fd + 1})
	require.ErrorContains(t, err, "setns: ")
}
