package wire

import "fmt"

// Type is a message's number on the wire. What the guest sends is below 128.
type Type uint8

const (
	TypeHello Type = 1 + iota
	TypeHeartbeat
	TypeKmsg
	TypeWant
	TypeResult
	TypeStacks
	TypeBye
	TypeRead
	TypeOutput
	TypeExited
	TypeDone
	TypeContent
)

const (
	TypePlay Type = 128 + iota
	TypeModule
	TypeShow
	TypeLeave
	TypeExec
	TypeInput
	TypeResize
	TypeWake
	TypeEquip
	TypePut
	TypeFetch
	TypeSignal
	TypeTidy
	TypeModprobe
)

// MaxLeaks bounds Result.Leaks, MaxUndead Bye.Undead and MaxWords the arguments
// and the environment of Exec.
const (
	MaxLeaks  = 32
	MaxUndead = 1000
	MaxWords  = 1 << 16
)

// Message is one of the types below, as a pointer.
type Message interface {
	Type() Type
	encode(*encoder)
	decode(*decoder)
}

// Wake is a host's first message. The guest does nothing before it, so that a
// VM can be stopped there and started again from its memory any number of
// times. What these must not share comes with it.
type Wake struct {
	// Time is the wall clock, in nanoseconds since 1970; 0 leaves it alone.
	Time int64
	// Entropy, if any, goes into the kernel's random pool, which is then
	// seeded anew (drivers/char/random.c RNDADDENTROPY, RNDRESEEDCRNG).
	Entropy []byte
}

// Hello answers Wake: the guest is ready to play.
type Hello struct {
	// Agent is the SHA-256 of the agent's binary, in hex, as the packer of
	// the initramfs wrote it beside the binary.
	Agent string
	// Release, KernelVersion and Machine are uname(2)'s.
	Release, KernelVersion, Machine string
	// Config is /proc/config.gz as it is, empty where the kernel has none.
	Config []byte
	// Tainted is /proc/sys/kernel/tainted, 0 where the kernel is not the
	// guest's own.
	Tainted uint32
	// Started, Loaded and Ready are when the agent's main began, when what the
	// port needs was loaded, and when the agent began to wait for Wake: in
	// microseconds of the guest's monotonic clock; 0 where the kernel is not
	// the guest's own.
	Started, Loaded, Ready uint32
}

// Heartbeat says that the guest's user space still runs. Case is the running
// case's ID, 0 when none runs.
type Heartbeat struct{ Case uint32 }

// Kmsg is one line of the kernel's log, with the case that ran when it was
// read, 0 for none. Priority is syslog's: 0 emergency to 7 debug. User says
// that a program wrote it, and not the kernel.
type Kmsg struct {
	Case     uint32
	Priority uint8
	User     bool
	Text     string
}

// Want asks the host for a kernel module: one that a case names, or one that
// the kernel itself asked for through request_module (kernel/module/kmod.c
// __request_module).
type Want struct {
	ID   uint32
	Name string
}

// Result ends a case. Either Transcript holds nlcase's binary form of it, or
// Skip says what the kernel lacks, or Err why it could not be played. All that
// the kernel logged meanwhile has been sent, but for Dropped lines.
type Result struct {
	Case       uint32
	Transcript []byte
	Skip       string
	Err        string
	Dropped    uint32
	Tainted    uint32   // as in Hello, afterwards
	Leaks      []string // what the case left behind
}

// Stacks answers Show: the kernel stack of each of the agent's threads.
type Stacks struct{ Text string }

// Bye is a guest's last message. The host ends the VM when it has it: what a
// guest writes just before it powers off can be lost. Undead are the cases
// whose network namespaces the kernel has not freed.
type Bye struct{ Undead []uint32 }

// Play has the guest play a case in a fresh network namespace. ID is not 0.
// Where Release is not empty, the guards of the case are held against it and
// not against the kernel's.
type Play struct {
	ID      uint32
	Name    string
	Text    []byte
	Release string
}

// Module answers Want: one module of those that are needed, in load order.
// Left counts the ones still to come. Err says that the host has none, and
// then no more come.
type Module struct {
	ID   uint32
	Name string
	Data []byte
	Left uint32
	Err  string
}

// Show asks for Stacks.
type Show struct{}

// Leave asks for Bye.
type Leave struct{}

func (*Hello) Type() Type     { return TypeHello }
func (*Heartbeat) Type() Type { return TypeHeartbeat }
func (*Kmsg) Type() Type      { return TypeKmsg }
func (*Want) Type() Type      { return TypeWant }
func (*Result) Type() Type    { return TypeResult }
func (*Stacks) Type() Type    { return TypeStacks }
func (*Bye) Type() Type       { return TypeBye }
func (*Wake) Type() Type      { return TypeWake }
func (*Play) Type() Type      { return TypePlay }
func (*Module) Type() Type    { return TypeModule }
func (*Show) Type() Type      { return TypeShow }
func (*Leave) Type() Type     { return TypeLeave }
func (*Read) Type() Type      { return TypeRead }
func (*Output) Type() Type    { return TypeOutput }
func (*Exited) Type() Type    { return TypeExited }
func (*Done) Type() Type      { return TypeDone }
func (*Content) Type() Type   { return TypeContent }
func (*Equip) Type() Type     { return TypeEquip }
func (*Put) Type() Type       { return TypePut }
func (*Fetch) Type() Type     { return TypeFetch }
func (*Exec) Type() Type      { return TypeExec }
func (*Signal) Type() Type    { return TypeSignal }
func (*Tidy) Type() Type      { return TypeTidy }
func (*Modprobe) Type() Type  { return TypeModprobe }
func (*Input) Type() Type     { return TypeInput }
func (*Resize) Type() Type    { return TypeResize }

// message returns an empty message of t's type, nil if there is none.
func (t Type) message() Message {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeHeartbeat:
		return new(Heartbeat)
	case TypeKmsg:
		return new(Kmsg)
	case TypeWant:
		return new(Want)
	case TypeResult:
		return new(Result)
	case TypeStacks:
		return new(Stacks)
	case TypeBye:
		return new(Bye)
	case TypeWake:
		return new(Wake)
	case TypePlay:
		return new(Play)
	case TypeModule:
		return new(Module)
	case TypeShow:
		return new(Show)
	case TypeLeave:
		return new(Leave)
	case TypeRead:
		return new(Read)
	case TypeOutput:
		return new(Output)
	case TypeExited:
		return new(Exited)
	case TypeDone:
		return new(Done)
	case TypeContent:
		return new(Content)
	case TypeEquip:
		return new(Equip)
	case TypePut:
		return new(Put)
	case TypeFetch:
		return new(Fetch)
	case TypeExec:
		return new(Exec)
	case TypeSignal:
		return new(Signal)
	case TypeTidy:
		return new(Tidy)
	case TypeModprobe:
		return new(Modprobe)
	case TypeInput:
		return new(Input)
	case TypeResize:
		return new(Resize)
	}
	return nil
}

func (t Type) known() bool { return t.message() != nil }

// to is the side that t is sent to.
func (t Type) to() Side {
	if t < TypePlay {
		return Host
	}
	return Guest
}

func (t Type) String() string {
	names := map[Type]string{
		TypeHello: "hello", TypeHeartbeat: "heartbeat", TypeKmsg: "kmsg", TypeWant: "want",
		TypeResult: "result", TypeStacks: "stacks", TypeBye: "bye",
		TypeWake: "wake", TypePlay: "play", TypeModule: "module", TypeShow: "show", TypeLeave: "leave",
		TypeRead: "read", TypeOutput: "output", TypeExited: "exited",
		TypeDone: "done", TypeContent: "content",
		TypeEquip: "equip", TypePut: "put", TypeFetch: "fetch", TypeExec: "exec",
		TypeSignal: "signal", TypeTidy: "tidy", TypeModprobe: "modprobe",
		TypeInput: "input", TypeResize: "resize",
	}
	if s, ok := names[t]; ok {
		return s
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

func (m *Hello) encode(e *encoder) {
	e.str(m.Agent)
	e.str(m.Release)
	e.str(m.KernelVersion)
	e.str(m.Machine)
	e.bytes(m.Config)
	e.uint(m.Tainted)
	e.uint(m.Started)
	e.uint(m.Loaded)
	e.uint(m.Ready)
}

func (m *Hello) decode(d *decoder) {
	m.Agent = d.str()
	m.Release = d.str()
	m.KernelVersion = d.str()
	m.Machine = d.str()
	m.Config = d.bytes()
	m.Tainted = d.uint()
	m.Started = d.uint()
	m.Loaded = d.uint()
	m.Ready = d.uint()
}

func (m *Heartbeat) encode(e *encoder) { e.uint(m.Case) }
func (m *Heartbeat) decode(d *decoder) { m.Case = d.uint() }

func (m *Kmsg) encode(e *encoder) {
	e.uint(m.Case)
	e.uint(uint32(m.Priority))
	e.bool(m.User)
	e.str(m.Text)
}

func (m *Kmsg) decode(d *decoder) {
	m.Case = d.uint()
	m.Priority = uint8(d.atMost(7))
	m.User = d.atMost(1) == 1
	m.Text = d.str()
}

func (m *Want) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Name)
}

func (m *Want) decode(d *decoder) {
	m.ID = d.uint()
	m.Name = d.str()
}

func (m *Result) encode(e *encoder) {
	e.uint(m.Case)
	e.bytes(m.Transcript)
	e.str(m.Skip)
	e.str(m.Err)
	e.uint(m.Dropped)
	e.uint(m.Tainted)
	e.strs(m.Leaks)
}

func (m *Result) decode(d *decoder) {
	m.Case = d.uint()
	m.Transcript = d.bytes()
	m.Skip = d.str()
	m.Err = d.str()
	m.Dropped = d.uint()
	m.Tainted = d.uint()
	m.Leaks = d.strs(MaxLeaks)
}

func (m *Bye) encode(e *encoder) {
	e.uint(uint32(len(m.Undead)))
	for _, id := range m.Undead {
		e.uint(id)
	}
}

func (m *Bye) decode(d *decoder) {
	for range d.atMost(MaxUndead) {
		m.Undead = append(m.Undead, d.uint())
	}
}

func (m *Stacks) encode(e *encoder) { e.str(m.Text) }
func (m *Stacks) decode(d *decoder) { m.Text = d.str() }

func (m *Wake) encode(e *encoder) {
	e.uint(uint32(m.Time))
	e.uint(uint32(m.Time >> 32))
	e.bytes(m.Entropy)
}

func (m *Wake) decode(d *decoder) {
	m.Time = int64(d.uint()) | int64(d.uint())<<32
	m.Entropy = d.bytes()
}

func (m *Play) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Name)
	e.bytes(m.Text)
	e.str(m.Release)
}

func (m *Play) decode(d *decoder) {
	m.ID = d.uint()
	m.Name = d.str()
	m.Text = d.bytes()
	m.Release = d.str()
}

func (m *Module) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Name)
	e.bytes(m.Data)
	e.uint(m.Left)
	e.str(m.Err)
}

func (m *Module) decode(d *decoder) {
	m.ID = d.uint()
	m.Name = d.str()
	m.Data = d.bytes()
	m.Left = d.uint()
	m.Err = d.str()
}

func (*Show) encode(*encoder)  {}
func (*Show) decode(*decoder)  {}
func (*Leave) encode(*encoder) {}
func (*Leave) decode(*decoder) {}
