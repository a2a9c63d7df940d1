package nlcase

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// echo is a kernel whose sockets give back what was sent to them, from the
// kernel. It keeps time by being asked to sleep.
type echo struct {
	release string
	slept   time.Duration
	late    time.Duration // how long what is sent takes
}

func (e *echo) Release() string {
	if e.release == "" {
		return "6.12.1"
	}
	return e.release
}

func (e *echo) Net(_ Setup, f func(Net)) error { f(e); return nil }

func (e *echo) Socket(typ, proto int) (Socket, Errno) {
	if proto > 22 {
		return nil, nlmsg.EPROTONOSUPPORT
	}
	return &echoSocket{e: e}, 0
}
func (e *echo) IfIndex(name string) (int, Errno) { return 7, 0 }
func (e *echo) Netns() (Net, int, Errno)         { return e, 9, 0 }
func (e *echo) Drop() Errno                      { return 0 }
func (e *echo) Sleep(d time.Duration)            { e.slept += d }
func (e *echo) WriteFile(string, []byte) Errno   { return nlmsg.EPERM }
func (e *echo) Spin() Errno                      { return nlmsg.EPERM }
func (e *echo) Exit() Errno                      { return nlmsg.EPERM }

type echoSocket struct {
	e     *echo
	queue [][]byte
}

func (s *echoSocket) Bind(Addr) Errno                          { return 0 }
func (s *echoSocket) Connect(Addr) Errno                       { return 0 }
func (s *echoSocket) Getsockname() (Addr, Errno)               { return Addr{Pid: 4711}, 0 }
func (s *echoSocket) Setsockopt(int, int, []byte) Errno        { return 0 }
func (s *echoSocket) Getsockopt(int, int, int) ([]byte, Errno) { return []byte{1, 0, 0, 0}, 0 }
func (s *echoSocket) Filter([]Instruction) Errno               { return 0 }
func (s *echoSocket) Start(b []byte, o SendOptions) <-chan Errno {
	c := make(chan Errno, 1)
	_, errno := s.Send(b, o)
	c <- errno
	return c
}
func (s *echoSocket) Send(b []byte, _ SendOptions) (int, Errno) {
	s.queue = append(s.queue, b)
	return len(b), 0
}
func (s *echoSocket) Close() Errno { return 0 }
func (s *echoSocket) Recv(o RecvOptions) (Datagram, Errno) {
	if len(s.queue) == 0 || s.e.slept < s.e.late {
		return Datagram{}, nlmsg.EAGAIN
	}
	b := s.queue[0]
	d := Datagram{Data: b, Len: len(b)}
	if o.Size > 0 && o.Size < len(b) {
		d.Data, d.Flags = b[:o.Size], MsgTrunc
	}
	if !o.Peek {
		s.queue = s.queue[1:]
	}
	return d, 0
}

// outcome plays on an echo and gives the first mismatch, or "".
func outcome(t *testing.T, k Kernel, text string) string {
	t.Helper()
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tr := Play(k, c)
	var got Transcript
	if err := got.UnmarshalBinary(tr.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, tr) {
		t.Errorf("the binary form changes it:\n%+v\n%+v", &got, tr)
	}
	bad := Check(c, &got)
	if len(bad) == 0 {
		return ""
	}
	why, _, _ := strings.Cut(bad[0].Got, "\n")
	return why
}

func TestMatch(t *testing.T) {
	const link = `ifinfomsg{index=3,type=1} IFLA_IFNAME="d0" IFLA_MTU=1500 IFLA_LINKINFO{IFLA_INFO_KIND="veth"} 99:u32=5`
	for _, tt := range []struct{ send, recv, want string }{
		{"NLMSG_NOOP REQUEST", "NLMSG_NOOP REQUEST", ""},
		{"NLMSG_NOOP REQUEST", "NLMSG_NOOP", `message 1: flags "REQUEST", not ""`},
		{"NLMSG_NOOP REQUEST", "NLMSG_NOOP *", ""},
		{"NLMSG_NOOP REQUEST", "NLMSG_DONE REQUEST", "message 1: type NLMSG_NOOP"},
		{"NLMSG_NOOP seq=5", "NLMSG_NOOP seq=6", "message 1: seq 5"},
		{"NLMSG_NOOP len=17", "NLMSG_NOOP", "message 1: length 17, with 16 bytes there"},
		{"NLMSG_NOOP len=17", "NLMSG_NOOP len=17", ""},
		{"hex:0102", "hex:0102", ""},
		{"hex:0102", "hex:0103", "message 1: other bytes"},
		{"NLMSG_NOOP ; NLMSG_NOOP", "NLMSG_NOOP", "message 2 is one more than expected"},
		{"NLMSG_NOOP", "NLMSG_NOOP ; NLMSG_NOOP", "message 2 is missing"},
		{"NLMSG_NOOP ; NLMSG_DONE ; NLMSG_NOOP", "... ; NLMSG_DONE * ... ; ...", ""},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 " + link, ""},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 ifinfomsg{index=3} ...", ""},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 ifinfomsg{index=4} ...", "message 1: index=3"},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_MTU=1500 IFLA_IFNAME=* ...", ""},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_MTU=1501 ...", "message 1: IFLA_MTU=1500"},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_GROUP=1 ...", "message 1: IFLA_GROUP is missing"},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 !IFLA_MTU ...", "message 1: IFLA_MTU=1500 is there"},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 !IFLA_GROUP ...", ""},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_IFNAME=*", "message 1: IFLA_MTU=1500 is one more than expected"},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_LINKINFO{} ...", `message 1: IFLA_LINKINFO: IFLA_INFO_KIND="veth" is one more than expected`},
		{"RTM_NEWLINK 0 " + link, "RTM_NEWLINK 0 IFLA_LINKINFO{...} 99:u32=5 ...", ""},
		{"RTM_NEWLINK 0 ifinfomsg{} IFLA_MTU@3", "RTM_NEWLINK 0 ifinfomsg{}", "message 1: 4 bytes left over after the attributes"},
		{"RTM_NEWLINK 0 ifinfomsg{} IFLA_MTU@3", "RTM_NEWLINK 0 ifinfomsg{} hex:03000400", ""},
		{"RTM_NEWLINK 0 ifinfomsg{index=3} IFLA_LINK=3 IFLA_MASTER=4", "RTM_NEWLINK 0 ifinfomsg{index=$a} IFLA_LINK=$a IFLA_MASTER=$b", ""},
		{"RTM_NEWLINK 0 ifinfomsg{index=3} IFLA_LINK=4", "RTM_NEWLINK 0 ifinfomsg{index=$a} IFLA_LINK=$a", "message 1: IFLA_LINK=4"},
		{"NLMSG_ERROR 0 error=-EPERM request{NLMSG_NOOP REQUEST seq=9}", "NLMSG_ERROR 0 error=-EPERM request{NLMSG_NOOP REQUEST}", ""},
		{"NLMSG_ERROR 0 error=-EPERM request{NLMSG_NOOP REQUEST seq=9}", "NLMSG_ERROR 0 error=-EPERM request", "message 1: quotes another request than the one sent"},
		{"NLMSG_ERROR 0 error=-EPERM", "NLMSG_ERROR 0 error=0", "message 1: error=-EPERM"},
	} {
		text := "open s route\nsend s " + tt.send + "\nrecv s " + tt.recv + "\n"
		if got := outcome(t, &echo{}, text); got != tt.want {
			t.Errorf("%s\ngave %q, not %q", text, got, tt.want)
		}
	}
}

func TestSteps(t *testing.T) {
	for text, want := range map[string]string{
		"open s 31":                                  "EPROTONOSUPPORT",
		"open s 31 ! EPROTONOSUPPORT":                "",
		"open s 0 ! EPERM":                           "success",
		"open s 0\nname s pid=4711\nname s pid=$p":   "",
		"open s 0\nname s pid=1":                     "pid=4711",
		"open s 0\nget s EXT_ACK 1\nget s EXT_ACK 0": "1",
		"open s 0\nquiet s\nrecv s ! EAGAIN":         "",
		"open s 0\nsend s NLMSG_NOOP\nquiet s":       "the read gave success",
		"open s 0\nrecv s NLMSG_NOOP":                "the read gave EAGAIN",
		"open s 0\nsend s NLMSG_NOOP pid=$s\nrecv s buf=8 truncated size=16 hex:1000000001000000":                    "",
		"open s 0\nsend s NLMSG_NOOP\nrecv s buf=8 ...":                                                              "truncated is true: 8 of 16 bytes",
		"open s 0\nsend s NLMSG_NOOP\nrecv s peek ...\nrecv s ...\nquiet s":                                          "",
		"open s 0\nsend s NLMSG_NOOP\nrecv s from=5 ...":                                                             "from portid 0",
		"open s 0\nsend s NLMSG_NOOP\nsend s NLMSG_DONE\ncollect s NLMSG_NOOP ; ...":                                 "",
		"open s 0\nsend s NLMSG_NOOP\nsend s NLMSG_DONE\ncollect s ... ; NLMSG_NOOP":                                 "message 2: type NLMSG_DONE",
		"open s 0\nifindex $d lo\nsend s RTM_GETLINK 0 ifinfomsg{index=$d}\nrecv s RTM_GETLINK 0 ifinfomsg{index=7}": "",
		"[<6] open s 31\n[>=6] open s 0":                                                                             "",
	} {
		if got := outcome(t, &echo{}, text+"\n"); got != want {
			t.Errorf("%s\ngave %q, not %q", text, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	k := &echo{late: 20 * time.Millisecond}
	if got := outcome(t, k, "open s 0\nsend s NLMSG_NOOP\nrecv s within=1s NLMSG_NOOP\n"); got != "" {
		t.Error(got)
	}
	if k.slept < k.late || k.slept > 2*k.late {
		t.Errorf("waited %v", k.slept)
	}
	k = &echo{late: time.Second}
	if got := outcome(t, k, "open s 0\nsend s NLMSG_NOOP\ncollect s within=20ms NLMSG_NOOP\n"); got != "message 1 is missing" {
		t.Error(got)
	}
}

func TestReadsAreBounded(t *testing.T) {
	c, err := Parse("f", []byte("open s 0\ncollect s\n"))
	if err != nil {
		t.Fatal(err)
	}
	tr := Play(&flood{}, c)
	if !strings.Contains(tr.Failed, "has read more than") {
		t.Errorf("failed is %q", tr.Failed)
	}
	if n := len(tr.AppendBinary(nil)); n > 4<<20 {
		t.Errorf("the transcript has %d bytes", n)
	}
}

// flood is a kernel that always has something to read.
type flood struct{ echo }

func (f *flood) Net(_ Setup, g func(Net)) error  { g(f); return nil }
func (f *flood) Socket(int, int) (Socket, Errno) { return &floodSocket{}, 0 }

type floodSocket struct{ echoSocket }

func (*floodSocket) Recv(RecvOptions) (Datagram, Errno) {
	return Datagram{Data: make([]byte, 100_000), Len: 100_000}, 0
}

// The host believes nothing of what a guest says it did.
func TestCheckDistrusts(t *testing.T) {
	c, err := Parse("f", []byte("open s 0\nsend s NLMSG_NOOP\n[<6] quiet s\nrecv s NLMSG_NOOP\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Transcript){
		"a step less":    func(t *Transcript) { t.Steps = t.Steps[:3] },
		"a step more":    func(t *Transcript) { t.Steps = append(t.Steps, StepResult{}) },
		"nothing":        func(t *Transcript) { t.Steps = nil },
		"skipped":        func(t *Transcript) { t.Steps[3] = StepResult{Skipped: true} },
		"not skipped":    func(t *Transcript) { t.Steps[2].Skipped = false },
		"sent otherwise": func(t *Transcript) { t.Steps[1].Value[4] ^= 1 },
		"two datagrams":  func(t *Transcript) { t.Steps[3].Datagrams = append(t.Steps[3].Datagrams, Datagram{}) },
		"failed":         func(t *Transcript) { t.Failed = "x" },
		"another kernel": func(t *Transcript) { t.Release = "5.10" },
	} {
		tr := Play(&echo{}, c)
		if bad := Check(c, tr); len(bad) > 0 {
			t.Fatal(bad)
		}
		spoil(tr)
		if len(Check(c, tr)) == 0 {
			t.Errorf("%s: passes", name)
		}
		tr.Render(c) // does not panic
	}
}

func TestDiff(t *testing.T) {
	lines, alike := DiffLines([]string{"a", "b", "c", "d"}, []string{"a", "c", "x", "d"})
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.String() + "\n")
	}
	if want := " a\n-b\n c\n+x\n d\n"; alike || b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	if _, alike := DiffLines([]string{"a"}, []string{"a"}); !alike {
		t.Error("a differs from a")
	}
}

// FuzzTranscript: what is malformed is refused, what is not is the only form
// of its transcript, and both are judged without a panic.
func FuzzTranscript(f *testing.F) {
	c, err := Parse("f", []byte(sample))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Play(&echo{}, c).AppendBinary(nil))
	f.Add((&Transcript{Failed: "x", Steps: []StepResult{{Errno: -1, Datagrams: []Datagram{
		{Data: []byte("abc"), Len: 1 << 20, Control: []Control{{270, 3, []byte{1, 0, 0, 0}}}}}}}}).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tr Transcript
		if err := tr.UnmarshalBinary(b); err != nil {
			if !reflect.DeepEqual(tr, Transcript{}) {
				t.Fatal("something is left of what was refused")
			}
			return
		}
		if again := tr.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is also %x", b, again)
		}
		for _, m := range Check(c, &tr) {
			_ = m.String()
		}
		tr.Render(c)
	})
}
