package fuzz

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

func testCorpus(t testing.TB) *corpus {
	all, err := cases.All()
	require.NoError(t, err)
	return newCorpus(all)
}

// Whatever is generated can be read as a case, and is the same again.
func TestGenerate(t *testing.T) {
	c := testCorpus(t)
	for p := range uint64(400) {
		pack := c.pack(1, p)
		one, err := (&pack).parse("x")
		require.NoError(t, err)
		other := c.pack(1, p)
		again, err := other.parse("x")
		require.NoError(t, err)
		require.Equal(t, string(one.Text), string(again.Text))
		_, err = nlcase.Parse("x", []byte(text("", "", pack.sequences[0])))
		require.NoError(t, err)
	}
}

func TestSignature(t *testing.T) {
	a := []string{"open s route", "send s x", "  > RTM_GETLINK REQUEST seq=#1 pid=0", "  > RTM_GETADDR REQUEST seq=#2 pid=0",
		"collect s", "  < NLMSG_ERROR seq=#1 pid=$s error=-EPERM", "  < RTM_NEWADDR seq=#2 IFA_LOCAL=10.0.0.1 IFA_LABEL=\"a\""}
	b := append([]string{}, a...)
	require.Empty(t, signature(a, b))
	b[5] = "  < NLMSG_ERROR seq=#1 pid=$s error=-ENODEV"
	require.Equal(t, "RTM_GETLINK: -error=-EPERM +error=-ENODEV", signature(a, b))
	b[5] = a[5]
	b[6] = "  < RTM_NEWADDR seq=#2 IFA_LOCAL=10.0.0.2"
	require.Equal(t, "RTM_GETADDR: -IFA_LOCAL IFA_LABEL +IFA_LOCAL", signature(a, b))
}

// Bytes become the messages that they are, and are the same bytes.
func TestLift(t *testing.T) {
	c, err := nlcase.Parse("x", []byte("open s route\nsend s RTM_NEWLINK REQUEST|ACK ifinfomsg{index=7} IFLA_IFNAME=\"a\" IFLA_MTU=1500 ; RTM_GETADDR 0x300 ifaddrmsg{family=2}\n"))
	require.NoError(t, err)
	st := fromCase(c)[1]
	raw := step{sock: "s", msgs: []nlcase.Msg{{Raw: encode(&st)}}}
	require.NotEmpty(t, raw.msgs[0].Raw)
	lifted := step{sock: "s", msgs: lift(&raw)}
	require.Len(t, lifted.msgs, 2)
	require.Equal(t, raw.msgs[0].Raw, encode(&lifted))
}
