package nlcase

import (
	"testing"
)

// What is expected is made to fit what came; what held is left alone.
func TestUpdate(t *testing.T) {
	const head = "# x\nopen  s route\n"
	for _, tt := range []struct{ text, want string }{
		{"send  s NLMSG_NOOP REQUEST\nrecv  s NLMSG_NOOP REQUEST\n", ""},
		{"send  s NLMSG_NOOP REQUEST\nrecv  s NLMSG_DONE error=0\nquiet s\n",
			"send  s NLMSG_NOOP REQUEST\nrecv  s NLMSG_NOOP REQUEST\nquiet s\n"},
		{"send  s NLMSG_NOOP REQUEST\nquiet s\n", "send  s NLMSG_NOOP REQUEST\nrecv  s NLMSG_NOOP REQUEST\n"},
		{"recv  s NLMSG_NOOP\n", "quiet s\n"},
		{"send  s RTM_NEWLINK 0 ifinfomsg{index=3,type=1} IFLA_MTU=5 IFLA_GROUP=6\nrecv  s RTM_NEWLINK ifinfomsg{index=4} IFLA_TXQLEN=1 IFLA_MTU=6 ...\n",
			"send  s RTM_NEWLINK 0 ifinfomsg{index=3,type=1} IFLA_MTU=5 IFLA_GROUP=6\nrecv  s RTM_NEWLINK ifinfomsg{index=3} !IFLA_TXQLEN IFLA_MTU=5 ...\n"},
		{"send  s RTM_NEWLINK 0 ifinfomsg{index=3,type=1} IFLA_MTU=5\nrecv  s RTM_NEWLINK\n",
			"send  s RTM_NEWLINK 0 ifinfomsg{index=3,type=1} IFLA_MTU=5\nrecv  s RTM_NEWLINK ifinfomsg{type=1,index=3} IFLA_MTU=5\n"},
		{"bind  s pid=5 ! EPERM\n", "bind  s pid=5\n"},
		{"get   s EXT_ACK 0\n", "get   s EXT_ACK 1\n"},
		{"name  s pid=5\n", "name  s pid=$s groups=0x0\n"},
	} {
		c, err := Parse("f", []byte(head+tt.text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Update(c, []*Transcript{Play(&echo{}, c)})
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		want := tt.want
		if want == "" {
			want = tt.text
		}
		again, err := Parse("f", got)
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := Parse("f", []byte(head+want))
		if err != nil {
			t.Fatal(err)
		}
		if want := wanted.Format(); string(got) != string(want) {
			t.Errorf("updated to\n%swant\n%s", got, want)
		}
		for _, m := range Check(again, Play(&echo{}, again)) {
			t.Errorf("%s still fails: %v", got, m)
		}
	}
}

// Kernels that differ get a range each.
func TestUpdateRanges(t *testing.T) {
	c, err := Parse("f", []byte("open s route\nset s EXT_ACK 1 ! EPERM\n"))
	if err != nil {
		t.Fatal(err)
	}
	var ts []*Transcript
	for _, k := range []struct {
		release string
		errno   Errno
	}{{"6.12.3", 0}, {"5.10.2", 22}, {"6.1.9", 22}, {"7.3.4", 1}} {
		tr := Play(&echo{release: k.release}, c)
		tr.Steps[1].Errno = k.errno
		ts = append(ts, tr)
	}
	got, err := Update(c, ts)
	if err != nil {
		t.Fatal(err)
	}
	const want = "open s route\n[<6.12.3] set s EXT_ACK 1 ! EINVAL\n[>=6.12.3 <7.3.4] set s EXT_ACK 1\n[>=7.3.4] set s EXT_ACK 1 ! EPERM\n"
	if string(got) != want {
		t.Errorf("updated to\n%s", got)
	}
}
