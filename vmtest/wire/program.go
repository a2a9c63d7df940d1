package wire

// The messages about programs that run in the guest, and their files.

// Read asks for Input of a program: what it was sent before has gone into its
// pipe.
type Read struct{ Program uint32 }

// Output is what a program wrote on a pipe. Stream is 1 for its standard output,
// 2 for its standard error. Without Data it is the stream's end.
type Output struct {
	Program uint32
	Stream  uint8
	Data    []byte
}

// Exited says how a program ended: with Status, or by a signal. Its output may
// go on, for what it has left behind can write on. Err says why there was none.
type Exited struct {
	Program uint32
	Status  uint8
	Signal  uint8
	Err     string
}

// Done answers what has an ID. Err says why it was not done.
type Done struct {
	ID   uint32
	Err  string
	Left []string // of Tidy: what was left behind
}

// Content answers Fetch: a part of one file or a directory, More of which
// follows. Name is relative to what was asked for, and empty for that itself.
// Mode is st_mode of stat(2). End is the last message.
type Content struct {
	ID   uint32
	Name string
	Mode uint32
	Data []byte
	More bool
	End  bool
	Err  string
}

// Equip makes the guest fit for programs that expect a whole system: file
// systems, device nodes, limits, lo up. Done answers.
type Equip struct{ ID uint32 }

// Put writes a file with its directories, or a part of it with More to follow.
// Mode is st_mode of stat(2): of a symbolic link Data is the target, a directory
// has none. Where Shared is not 0 the data is not here, but so many bytes of the
// memory that host and guest share. Done answers the last part, and each that
// was shared.
type Put struct {
	ID     uint32
	Path   string
	Mode   uint32
	Data   []byte
	Shared uint32
	More   bool
}

// Fetch asks for a file, or for all that is below a directory, as Content.
type Fetch struct {
	ID   uint32
	Path string
}

// Exec starts a program: on the console where Term names a terminal's type, and
// otherwise on pipes, with Read, Input and Output. Program is its number, not 0.
type Exec struct {
	Program uint32
	Path    string
	Args    []string // with the name that it is called by
	Env     []string
	Dir     string
	// Stdin says that there is some; else it is /dev/null.
	Stdin bool
	// Merged says that standard error goes where standard output goes.
	Merged bool
	// Alone says that all other processes end when it has ended.
	Alone      bool
	Term       string
	Rows, Cols uint16
}

// Signal sends a program a signal.
type Signal struct {
	Program uint32
	Signal  uint8
}

// Tidy ends all programs and removes what was put and written in /tmp. Done
// answers, with what they had left behind beside files.
type Tidy struct{ ID uint32 }

// Modprobe loads a module. Done answers.
type Modprobe struct {
	ID   uint32
	Name string
}

// Input answers Read; without Data it is the end.
type Input struct {
	Program uint32
	Data    []byte
}

// Resize is the new size of the console's terminal.
type Resize struct{ Rows, Cols uint16 }

func (m *Read) encode(e *encoder) { e.uint(m.Program) }
func (m *Read) decode(d *decoder) { m.Program = d.uint() }

func (m *Output) encode(e *encoder) {
	e.uint(m.Program)
	e.uint(uint32(m.Stream))
	e.bytes(m.Data)
}

func (m *Output) decode(d *decoder) {
	m.Program = d.uint()
	m.Stream = uint8(d.atMost(2))
	m.Data = d.bytes()
}

func (m *Exited) encode(e *encoder) {
	e.uint(m.Program)
	e.uint(uint32(m.Status))
	e.uint(uint32(m.Signal))
	e.str(m.Err)
}

func (m *Exited) decode(d *decoder) {
	m.Program = d.uint()
	m.Status = uint8(d.atMost(255))
	m.Signal = uint8(d.atMost(255))
	m.Err = d.str()
}

func (m *Done) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Err)
	e.strs(m.Left)
}

func (m *Done) decode(d *decoder) {
	m.ID = d.uint()
	m.Err = d.str()
	m.Left = d.strs(MaxLeaks)
}

func (m *Content) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Name)
	e.uint(m.Mode)
	e.bytes(m.Data)
	e.bool(m.More)
	e.bool(m.End)
	e.str(m.Err)
}

func (m *Content) decode(d *decoder) {
	m.ID = d.uint()
	m.Name = d.str()
	m.Mode = d.uint()
	m.Data = d.bytes()
	m.More = d.atMost(1) == 1
	m.End = d.atMost(1) == 1
	m.Err = d.str()
}

func (m *Equip) encode(e *encoder) { e.uint(m.ID) }
func (m *Equip) decode(d *decoder) { m.ID = d.uint() }

func (m *Put) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Path)
	e.uint(m.Mode)
	e.bytes(m.Data)
	e.uint(m.Shared)
	e.bool(m.More)
}

func (m *Put) decode(d *decoder) {
	m.ID = d.uint()
	m.Path = d.str()
	m.Mode = d.uint()
	m.Data = d.bytes()
	m.Shared = d.uint()
	m.More = d.atMost(1) == 1
}

func (m *Fetch) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Path)
}

func (m *Fetch) decode(d *decoder) {
	m.ID = d.uint()
	m.Path = d.str()
}

func (m *Exec) encode(e *encoder) {
	e.uint(m.Program)
	e.str(m.Path)
	e.strs(m.Args)
	e.strs(m.Env)
	e.str(m.Dir)
	e.bool(m.Stdin)
	e.bool(m.Merged)
	e.bool(m.Alone)
	e.str(m.Term)
	e.uint(uint32(m.Rows))
	e.uint(uint32(m.Cols))
}

func (m *Exec) decode(d *decoder) {
	m.Program = d.uint()
	m.Path = d.str()
	m.Args = d.strs(MaxWords)
	m.Env = d.strs(MaxWords)
	m.Dir = d.str()
	m.Stdin = d.atMost(1) == 1
	m.Merged = d.atMost(1) == 1
	m.Alone = d.atMost(1) == 1
	m.Term = d.str()
	m.Rows = uint16(d.atMost(65535))
	m.Cols = uint16(d.atMost(65535))
}

func (m *Signal) encode(e *encoder) {
	e.uint(m.Program)
	e.uint(uint32(m.Signal))
}

func (m *Signal) decode(d *decoder) {
	m.Program = d.uint()
	m.Signal = uint8(d.atMost(64))
}

func (m *Tidy) encode(e *encoder) { e.uint(m.ID) }
func (m *Tidy) decode(d *decoder) { m.ID = d.uint() }

func (m *Modprobe) encode(e *encoder) {
	e.uint(m.ID)
	e.str(m.Name)
}

func (m *Modprobe) decode(d *decoder) {
	m.ID = d.uint()
	m.Name = d.str()
}

func (m *Input) encode(e *encoder) {
	e.uint(m.Program)
	e.bytes(m.Data)
}

func (m *Input) decode(d *decoder) {
	m.Program = d.uint()
	m.Data = d.bytes()
}

func (m *Resize) encode(e *encoder) {
	e.uint(uint32(m.Rows))
	e.uint(uint32(m.Cols))
}

func (m *Resize) decode(d *decoder) {
	m.Rows = uint16(d.atMost(65535))
	m.Cols = uint16(d.atMost(65535))
}
