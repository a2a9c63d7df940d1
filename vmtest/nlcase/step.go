package nlcase

import (
	"strings"
	"time"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Op is what a step does.
type Op uint8

// The operations. Each is documented in the package comment.
const (
	OpOpen Op = iota
	OpClose
	OpBind
	OpConnect
	OpName
	OpJoin
	OpLeave
	OpSet
	OpGet
	OpSend
	OpRecv
	OpCollect
	OpQuiet
	OpIfindex
	OpNetns
	OpDrop
	OpFilter
	OpWait
	OpWrite
	OpSleep
	OpSpin
	OpExit
)

var opNames = [...]string{"open", "close", "bind", "connect", "name", "join", "leave", "set", "get",
	"send", "recv", "collect", "quiet", "ifindex", "netns", "drop", "filter", "wait", "write", "sleep", "spin", "exit"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op?"
}

// Step is one statement of a case.
type Step struct {
	Line  int      // in the case's text
	Text  string   // the statement, on one line
	Guard Versions // the releases that it is for
	Op    Op
	Sock  string // the socket's name
	Want  Errno  // what the operation is to give

	Proto, Type int      // open; Proto also for all that follows on the socket
	Pid, Groups Arg      // bind, connect, send, name
	Family      uint32   // bind, connect, send: of the address
	AddrLen     int      // bind, connect, send: of the address
	HasAddr     bool     // send: with an address
	OOB         bool     // send
	Background  bool     // send
	Took        Arg      // send: how many bytes; all of them if not given
	Cred        *CredArg // send
	Filter      []Instruction
	In          string      // open, ifindex: the namespace's variable
	Group       Arg         // join, leave
	Option      Option      // set, get
	Value       Value       // set, get
	Size        int         // get: of the buffer
	Msgs        []Msg       // send, recv, collect
	Recv        RecvPattern // recv, collect
	Name        string      // ifindex: the link; write: the path
	Var         string      // ifindex, netns
	Data        []byte      // write
	Sleep       time.Duration
}

func (s *Step) String() string { return s.Text }

// unguarded is the step's text without its guard.
func (s *Step) unguarded() string {
	if s.Guard == nil {
		return s.Text
	}
	_, text, _ := strings.Cut(s.Text, "] ")
	return text
}

// Arg is a number in a case, or what stands for one.
type Arg struct {
	Kind ArgKind
	N    uint64
	Var  string
}

// ArgKind says what an Arg is.
type ArgKind uint8

// An Arg is not given, a number, "$name" or "*".
const (
	ArgNone ArgKind = iota
	ArgNumber
	ArgVar
	ArgAny
)

// CredArg is a struct ucred, to send or to compare with.
type CredArg struct{ Pid, UID, GID Arg }

// Value is the value of an attribute or a field.
type Value struct {
	Any  bool   // "*"
	Var  string // "$name"
	Data []byte
}

// Option is a socket option.
type Option struct {
	Name       string
	Level, Opt int
}

// RecvPattern is what a recv is told besides its messages.
type RecvPattern struct {
	Options   RecvOptions
	Within    time.Duration // how long to poll
	From      Arg           // the sender's portid; the kernel if not given
	Groups    Arg           // the sender's groups
	Size      Arg           // the real length
	PktGroup  Arg           // NETLINK_PKTINFO
	Nsid      Arg           // NETLINK_LISTEN_ALL_NSID
	Cred      *CredArg      // SCM_CREDENTIALS
	Truncated bool          // MSG_TRUNC is set
}

// Msg is a message to send, or the pattern of one.
type Msg struct {
	Ellipsis bool   // any number of messages
	Raw      []byte // bytes, where Type is not given

	Type          Arg
	Flags         uint16
	AnyFlags      bool
	Seq, Pid, Len Arg
	Head          *nlmsg.Struct
	Fields        []FieldValue
	Quoted        bool // "request": the ack quotes what was sent
	Request       *Msg // the ack quotes this
	Attrs         []Attr
	More          bool // other attributes may be there too
}

// FieldValue is a member of a fixed header.
type FieldValue struct {
	Field *nlmsg.Field
	Value Value
}

// Attr is an attribute to send, or the pattern of one.
type Attr struct {
	Raw    []byte // bytes in place of an attribute, where Type is not given
	IsRaw  bool
	Absent bool // "!NAME": not there
	Type   uint16
	Name   string
	Flags  uint16 // NLA_F_NESTED, compared only if given
	Len    Arg    // nla_len, if not the true one
	Kind   nlmsg.Kind
	Value  Value

	IsNest bool
	Head   *nlmsg.Struct
	Fields []FieldValue
	Attrs  []Attr
	More   bool
}

var options = [...]Option{
	{"PKTINFO", solNetlink, 3}, {"BROADCAST_ERROR", solNetlink, 4}, {"NO_ENOBUFS", solNetlink, 5},
	{"LISTEN_ALL_NSID", solNetlink, 8}, {"LIST_MEMBERSHIPS", solNetlink, 9}, {"CAP_ACK", solNetlink, 10},
	{"EXT_ACK", solNetlink, 11}, {"GET_STRICT_CHK", solNetlink, 12},
	{"ADD_MEMBERSHIP", solNetlink, addMembership}, {"DROP_MEMBERSHIP", solNetlink, dropMembership},
	{"SO_TYPE", solSocket, 3}, {"SO_ERROR", solSocket, 4}, {"SO_SNDBUF", solSocket, 7}, {"SO_RCVBUF", solSocket, 8},
	{"SO_PASSCRED", solSocket, 16}, {"SO_RCVTIMEO", solSocket, 20}, {"SO_SNDTIMEO", solSocket, 21},
	{"SO_LOCK_FILTER", solSocket, 44}, {"SO_SNDBUFFORCE", solSocket, 32}, {"SO_RCVBUFFORCE", solSocket, 33},
	{"SO_PROTOCOL", solSocket, 38}, {"SO_DOMAIN", solSocket, 39},
}

const (
	solSocket      = 1
	solNetlink     = 270
	addMembership  = 1
	dropMembership = 2
	cmsgPktinfo    = 3
	cmsgNsid       = 8
	scmCredentials = 2
)

func optionByName(name string) (Option, bool) {
	for _, o := range options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}
