//go:build linux

package qemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/kernels/cachedir"
)

// Images keeps warm images: what a VM was when its agent had just become
// ready. A VM that starts from one answers in a tenth of the time of a boot.
// Each is a directory, made and removed as cachedir has it, and readable by
// its user alone:
//
//	image.json  what it was made of and the sums of the rest
//	memory      the guest's, sparse; VMs map it, and share what they do not
//	            write to through the page cache
//	state       of QEMU's devices, as a migration stream without the memory
type Images struct {
	Dir string
	// Max bounds what all take on the disk, in bytes: the images that were
	// used longest ago go. 0 is DefaultMaxImages.
	Max int64
}

// DefaultMaxImages holds some eighty kernels.
const DefaultMaxImages = 6 << 30

// imageFormat changes with what is written, and with what the agent has done
// before it waits to be woken.
const imageFormat = 2

const (
	nameImage  = "image.json"
	nameMemory = "memory"
	nameState  = "state"

	// nameChecked says that memory and state were found whole.
	nameChecked = "checked"
)

// Identity is all that an image depends on.
type Identity struct {
	Kernel string // SHA-256 of what boots
	Initrd string // SHA-256: the agent is in it
	QEMU   string // path, version, size and time
	VM     string // its arguments: machine, CPU, memory, command line
	Host   string // processor of this machine, where the guest has the same
}

// differs names what is not as an image has it.
func (id Identity) differs(made Identity) string {
	for _, f := range []struct{ what, now, then string }{
		{"kernel", id.Kernel, made.Kernel}, {"agent or initramfs", id.Initrd, made.Initrd}, {"QEMU", id.QEMU, made.QEMU},
		{"configuration of the VM", id.VM, made.VM}, {"processor", id.Host, made.Host},
	} {
		if f.now != f.then {
			return "it was made with another " + f.what
		}
	}
	return ""
}

// Image is one that is open: it stays usable when it is removed.
type Image struct {
	// Console is what the kernel printed up to where the image was made.
	Console string

	memory, state *os.File
	kept          chan error // closed when it is in its place; nil for one that was
}

// Close waits for an image that was just made to be kept, and says why it could
// not be.
func (i *Image) Close() error {
	var err error
	if i.kept != nil {
		err = <-i.kept
	}
	i.memory.Close()
	i.state.Close()
	return err
}

// open returns the state with a position of its own.
func (i *Image) open() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", i.state.Fd()))
}

// header is image.json's content, under a line with its own sum.
type header struct {
	Format   int
	Identity Identity
	Size     int64  // of the memory
	Memory   uint32 // sum of it
	State    string // SHA-256
	Console  string
}

// ErrNoImage is Open's where there has been none.
var ErrNoImage = fs.ErrNotExist

// Open opens the image called name, which must be of what id is and whole.
// Other errors than ErrNoImage say what is wrong with the one that is there.
func (s *Images) Open(name string, id Identity) (*Image, error) {
	dir := filepath.Join(s.Dir, name)
	text, err := os.ReadFile(filepath.Join(dir, nameImage))
	if err != nil {
		return nil, err
	}
	var h header
	sum, body, _ := bytes.Cut(text, []byte("\n"))
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != string(sum) {
		return nil, errors.New(nameImage + " is damaged")
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, fmt.Errorf("%s: %w", nameImage, err)
	}
	if h.Format != imageFormat {
		return nil, fmt.Errorf("it has format %d, this nlrig reads %d", h.Format, imageFormat)
	}
	if d := id.differs(h.Identity); d != "" {
		return nil, errors.New(d)
	}
	i := &Image{Console: h.Console}
	// QEMU opens the memory again, for writing, too; it maps it privately.
	if i.memory, err = os.Open(filepath.Join(dir, nameMemory)); err != nil {
		return nil, gone(err)
	}
	if i.state, err = os.Open(filepath.Join(dir, nameState)); err != nil {
		i.memory.Close()
		return nil, gone(err)
	}
	files := []string{filepath.Join(dir, nameMemory), filepath.Join(dir, nameState)}
	if _, err := cachedir.Memo(filepath.Join(dir, nameChecked), string(sum), files, func() (string, error) { return "", i.verify(h) }); err != nil {
		i.Close()
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Join(dir, nameImage), now, now) // only makes it the last to go
	return i, nil
}

// gone is a file that went after its header was read.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is being removed")
	}
	return err
}

func (i *Image) verify(h header) error {
	st, err := i.memory.Stat()
	if err != nil {
		return err
	}
	if st.Size() != h.Size {
		return fmt.Errorf("its memory has %d bytes, want %d", st.Size(), h.Size)
	}
	sum, err := memorySum(i.memory, h.Size, nil)
	if err != nil {
		return err
	}
	if sum != h.Memory {
		return errors.New("its memory is damaged")
	}
	state, err := stateSum(i.state)
	if err != nil {
		return err
	}
	if state != h.State {
		return errors.New("its state is damaged")
	}
	return nil
}

func stateSum(f *os.File) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<40))
	return hex.EncodeToString(h.Sum(nil)), err
}

// memorySum is a CRC-32C over the pages that are not zero, each behind its
// number, so that it does not matter where the file has holes. Runs of pages
// that are zero and take room are handed to zero.
func memorySum(f *os.File, size int64, zero func(off, n int64)) (sum uint32, err error) {
	const page = 4096
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(m)
	table := crc32.MakeTable(crc32.Castagnoli)
	var none [page]byte
	var number [8]byte
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return 0, err
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return 0, err
		}
		from &^= page - 1
		start := int64(-1) // of the run of zero pages
		for at = from; at < to; at += page {
			p := m[at:min(at+page, size)]
			if bytes.Equal(p, none[:len(p)]) {
				if start < 0 {
					start = at
				}
				continue
			}
			if start >= 0 && zero != nil {
				zero(start, at-start)
			}
			start = -1
			for i := range number {
				number[i] = byte(at >> (8 * i))
			}
			sum = crc32.Update(crc32.Update(sum, table, number[:]), table, p)
		}
		if start >= 0 && zero != nil {
			zero(start, at-start)
		}
	}
	return sum, nil
}

// Make boots c, stops it when its agent is ready, within timeout, and keeps its
// image, which can be started from at once. Where that cannot be, the VM that
// was booted is handed out as it is, running or dead, with the reason. Neither
// comes with an error of starting QEMU.
func (s *Images) Make(ctx context.Context, name string, id Identity, c Config, timeout time.Duration) (i *Image, vm *VM, why error) {
	m, err := s.begin(name, int64(c.ram())<<20)
	if err == nil {
		c.MemoryFile = m.image.memory
	}
	c.Append += " " + layout.WarmUp + "=1"
	keys := c.Input
	c.Input = nil // it is for whom Make returns
	vm, startErr := Start(ctx, c)
	if startErr != nil {
		vm = nil
		why = startErr
	} else if why = err; why == nil {
		why = vm.qmp.awaitPort(time.Now().Add(timeout))
	}
	if why == nil {
		// The agent is on its way into the read that will wake it, and its
		// runtime gives the processor to another thread.
		time.Sleep(restTime)
		why = vm.save(m.image.state)
	}
	if why != nil {
		if m != nil {
			m.abandon()
		}
		if vm != nil {
			vm.typed(keys)
		}
		return nil, vm, why
	}
	i = m.image
	i.Console = vm.log.String()
	_ = vm.Close() // all that it had is in the image
	i.kept = make(chan error, 1)
	go func() {
		i.kept <- s.keep(m, header{Format: imageFormat, Identity: id, Size: int64(c.ram()) << 20, Console: i.Console})
		close(i.kept)
	}()
	return i, nil, nil
}

// making is an image that is not in its place yet.
type making struct {
	name, tmp string
	lock      *cachedir.Lock
	image     *Image
}

// begin makes the directory where name comes to be, and its files.
func (s *Images) begin(name string, size int64) (*making, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, cachedir.DiskError(s.Dir, err)
	}
	// QEMU does not survive it where there is no room for what the guest writes.
	var disk unix.Statfs_t
	if err := unix.Statfs(s.Dir, &disk); err == nil && int64(disk.Bavail)*disk.Bsize < size {
		return nil, fmt.Errorf("%s has %d MB left, and the guest may write %d", s.Dir, int64(disk.Bavail)*disk.Bsize>>20, size>>20)
	}
	lock, err := cachedir.TryLock(s.Dir, name)
	if errors.Is(err, cachedir.ErrLocked) {
		return nil, errors.New("another nlrig is making it")
	}
	if err != nil {
		return nil, cachedir.DiskError(s.Dir, err)
	}
	m := &making{name: name, tmp: filepath.Join(s.Dir, cachedir.TmpPrefix+name), lock: lock, image: new(Image)}
	create := func(file string) (f *os.File) {
		if err == nil {
			f, err = os.OpenFile(filepath.Join(m.tmp, file), os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
		}
		return f
	}
	if err = os.RemoveAll(m.tmp); err == nil {
		err = os.Mkdir(m.tmp, 0o700)
	}
	m.image.memory = create(nameMemory)
	m.image.state = create(nameState)
	if err == nil {
		err = m.image.memory.Truncate(size)
	}
	if err != nil {
		m.abandon()
		return nil, cachedir.DiskError(s.Dir, err)
	}
	return m, nil
}

// abandon removes what was made so far. A VM may have the memory open.
func (m *making) abandon() {
	m.image.memory.Close()
	m.image.state.Close()
	os.RemoveAll(m.tmp)
	m.lock.Release()
}

// keep completes an image and puts it in its place.
func (s *Images) keep(m *making, h header) (err error) {
	defer m.lock.Release()
	defer os.RemoveAll(m.tmp)
	memory := int(m.image.memory.Fd())
	h.Memory, err = memorySum(m.image.memory, h.Size, func(off, n int64) {
		// Without it the image is larger, and that is all.
		_ = unix.Fallocate(memory, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if err == nil {
		h.State, err = stateSum(m.image.state)
	}
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(h, "", " ")
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	text = append([]byte(hex.EncodeToString(sum[:])+"\n"), text...)
	if err := os.WriteFile(filepath.Join(m.tmp, nameImage), text, 0o600); err != nil {
		return cachedir.DiskError(s.Dir, err)
	}
	dir := filepath.Join(s.Dir, m.name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(m.tmp, dir); err != nil {
		return err
	}
	s.evict(m.name)
	return nil
}

// Discard removes an image that turned out to be of no use.
func (s *Images) Discard(name string) error {
	lock, err := cachedir.TryLock(s.Dir, name)
	if errors.Is(err, cachedir.ErrLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil // it is being made anew, or gone
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	// Away in one step, so that no half of it is ever found.
	tmp := filepath.Join(s.Dir, cachedir.TmpPrefix+name)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.Dir, name), tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(tmp)
}

// Stored is an image on the disk.
type Stored struct {
	Name string
	Size int64 // bytes that it takes
	Used time.Time
}

// List is every image, the one used last first.
func (s *Images) List() []Stored {
	names, _ := os.ReadDir(s.Dir)
	var all []Stored
	for _, n := range names {
		st, err := os.Stat(filepath.Join(s.Dir, n.Name(), nameImage))
		if err == nil && !strings.HasPrefix(n.Name(), cachedir.TmpPrefix) {
			all = append(all, Stored{n.Name(), allocated(filepath.Join(s.Dir, n.Name())), st.ModTime()})
		}
	}
	slices.SortStableFunc(all, func(a, b Stored) int { return b.Used.Compare(a.Used) })
	return all
}

// allocated is what the files of dir take, without their holes.
func allocated(dir string) (size int64) {
	for _, name := range []string{nameImage, nameMemory, nameState} {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, name), &st) == nil {
			size += st.Blocks * 512
		}
	}
	return size
}

// evict removes the images used longest ago, and not name.
func (s *Images) evict(name string) {
	limit := s.Max
	if limit == 0 {
		limit = DefaultMaxImages
	}
	for _, i := range s.List() {
		if limit -= i.Size; limit < 0 && i.Name != name {
			_ = s.Discard(i.Name) // one that is in use elsewhere goes next time
		}
	}
}

// Sweep removes what killed runs left.
func (s *Images) Sweep() { cachedir.Sweep(s.Dir) }

// save writes the state of the VM's devices to f. What it has in memory is in
// its MemoryFile. QEMU stops it in the end, and not before: a VM that was
// stopped starts from its image stopped.
func (vm *VM) save(f *os.File) error {
	if err := vm.ignoreShared(time.Now().Add(qmpTimeout)); err != nil {
		return err
	}
	if err := vm.qmp.run(command{"getfd", map[string]string{"fdname": "state"}}, f, nil); err != nil {
		return err
	}
	if err := vm.qmp.run(command{"migrate", map[string]string{"uri": "fd:state"}}, nil, nil); err != nil {
		return err
	}
	for deadline := time.Now().Add(saveTimeout); ; time.Sleep(time.Millisecond) {
		var m struct {
			Status string
			Desc   string `json:"error-desc"`
		}
		if err := vm.qmp.run(command{Execute: "query-migrate"}, nil, &m); err != nil {
			return err
		}
		switch m.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("save the state: %s: %s", m.Status, m.Desc)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("save the state: %s after %v", m.Status, saveTimeout)
		}
	}
}

// restore has a QEMU that waits for a state take that of its image, and go on
// from it.
func (vm *VM) restore() error {
	deadline := time.Now().Add(restoreTimeout)
	if err := vm.ignoreShared(deadline); err != nil {
		return err
	}
	return vm.qmp.runUntil(deadline, command{"migrate-incoming", map[string]string{"uri": "fd:7"}}, nil, nil)
}

// ignoreShared leaves memory that is in a file out of the state. Both sides
// have to know (qapi/migration.json x-ignore-shared).
func (vm *VM) ignoreShared(deadline time.Time) error {
	return vm.qmp.runUntil(deadline, command{"migrate-set-capabilities", map[string]any{
		"capabilities": []any{map[string]any{"capability": "x-ignore-shared", "state": true}},
	}}, nil, nil)
}

// restoreTimeout bounds QEMU's own start, on a machine that may be busy.
const restoreTimeout = 20 * time.Second

// restTime is what a guest takes to have nothing to do.
const restTime = 100 * time.Millisecond

// saveTimeout bounds the writing of a third of a megabyte.
const saveTimeout = 10 * time.Second
