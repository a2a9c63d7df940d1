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
)

const (
	TypePlay Type = 128 + iota
	TypeModule
	TypeShow
	TypeLeave
	TypeShell
	TypeInput
	TypeResize
	TypeWake
)

// MaxLeaks bounds Result.Leaks and MaxUndead Bye.Undead.
const (
	MaxLeaks  = 32
	MaxUndead = 1000
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

// Read asks for Input: what the shell was sent before has gone into its pipe.
type Read struct{}

// Output is what a shell without a terminal wrote. Stream is 1 for its standard
// output, 2 for its standard error.
type Output struct {
	Stream uint8
	Data   []byte
}

// Exited ends a shell. Status is as a shell reports it, 128 and more for a
// signal; Err says why there was no shell.
type Exited struct {
	Status uint8
	Err    string
}

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

// Shell starts a shell: on the console where Term names a terminal's type, and
// otherwise on pipes, with Read, Input and Output.
type Shell struct {
	Term       string
	Rows, Cols uint16
}

// Input answers Read; without Data it is the end.
type Input struct{ Data []byte }

// Resize is the new size of the console's terminal.
type Resize struct{ Rows, Cols uint16 }

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
func (*Shell) Type() Type     { return TypeShell }
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
	case TypeShell:
		return new(Shell)
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
		TypeShell: "shell", TypeInput: "input", TypeResize: "resize",
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
	e.uint(uint32(len(m.Leaks)))
	for _, l := range m.Leaks {
		e.str(l)
	}
}

func (m *Result) decode(d *decoder) {
	m.Case = d.uint()
	m.Transcript = d.bytes()
	m.Skip = d.str()
	m.Err = d.str()
	m.Dropped = d.uint()
	m.Tainted = d.uint()
	for range d.atMost(MaxLeaks) {
		m.Leaks = append(m.Leaks, d.str())
	}
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

func (m *Output) encode(e *encoder) {
	e.uint(uint32(m.Stream))
	e.bytes(m.Data)
}

func (m *Output) decode(d *decoder) {
	m.Stream = uint8(d.atMost(255))
	m.Data = d.bytes()
}

func (m *Exited) encode(e *encoder) {
	e.uint(uint32(m.Status))
	e.str(m.Err)
}

func (m *Exited) decode(d *decoder) {
	m.Status = uint8(d.atMost(255))
	m.Err = d.str()
}

func (m *Shell) encode(e *encoder) {
	e.str(m.Term)
	e.uint(uint32(m.Rows))
	e.uint(uint32(m.Cols))
}

func (m *Shell) decode(d *decoder) {
	m.Term = d.str()
	m.Rows = uint16(d.atMost(65535))
	m.Cols = uint16(d.atMost(65535))
}

func (m *Input) encode(e *encoder) { e.bytes(m.Data) }
func (m *Input) decode(d *decoder) { m.Data = d.bytes() }

func (m *Resize) encode(e *encoder) {
	e.uint(uint32(m.Rows))
	e.uint(uint32(m.Cols))
}

func (m *Resize) decode(d *decoder) {
	m.Rows = uint16(d.atMost(65535))
	m.Cols = uint16(d.atMost(65535))
}

func (*Read) encode(*encoder)  {}
func (*Read) decode(*decoder)  {}
func (*Show) encode(*encoder)  {}
func (*Show) decode(*decoder)  {}
func (*Leave) encode(*encoder) {}
func (*Leave) decode(*decoder) {}
