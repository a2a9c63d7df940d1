//go:build linux

package guest

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/guest/layout"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// putting is the file that the host is writing.
type putting struct {
	file *os.File
	err  error
}

// put writes a part of a file, and says after the last whether all went well.
func (s *server) put(m *wire.Put) (done bool, err error) {
	p := &s.putting
	if p.file == nil && p.err == nil {
		p.file, p.err = s.create(m)
	}
	if m.Shared > 0 && p.err == nil {
		m.Data, p.err = shared(int(m.Shared))
		defer unix.Munmap(m.Data)
	}
	if p.file != nil && p.err == nil {
		_, p.err = p.file.Write(m.Data)
	}
	if m.More && (m.Shared == 0 || p.err == nil) {
		return m.Shared > 0, p.err
	}
	err = p.err // the host sends no more of it
	if p.file != nil {
		if cerr := p.file.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(p.file.Name()) // a part of it would only take room
		}
	}
	*p = putting{}
	return true, err
}

// shared maps the beginning of the memory that the host has, too.
func shared(n int) ([]byte, error) {
	at, err := strconv.ParseInt(os.Getenv(layout.Share), 10, 64)
	if err != nil || n > layout.ShareSize {
		return nil, fmt.Errorf("%d bytes shared of %d at %q", n, layout.ShareSize, os.Getenv(layout.Share))
	}
	fd, err := unix.Open("/dev/mem", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/mem: %w", err)
	}
	defer unix.Close(fd)
	b, err := unix.Mmap(fd, at, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map /dev/mem at %d: %w", at, err)
	}
	return b, nil
}

// create makes what m is of, and returns the file if it is one.
func (s *server) create(m *wire.Put) (*os.File, error) {
	mode := os.FileMode(m.Mode & 0o777)
	if m.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, s.mkdir(m.Path)
	}
	if i := strings.LastIndexByte(m.Path, '/'); i > 0 {
		if err := s.mkdir(m.Path[:i]); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(m.Path); err == nil || !os.IsNotExist(err) {
		if err != nil {
			return nil, err
		}
	} else {
		s.system.made = append(s.system.made, m.Path)
	}
	if m.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, os.Symlink(string(m.Data), m.Path)
	}
	f, err := os.OpenFile(m.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err == nil {
		err = f.Chmod(mode) // whatever umask is
	}
	return f, err
}

// mkdir makes dir and what is above it, and remembers the highest.
func (s *server) mkdir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	top := dir
	for {
		i := strings.LastIndexByte(top, '/')
		if i <= 0 {
			break
		}
		if _, err := os.Stat(top[:i]); err == nil {
			break
		}
		top = top[:i]
	}
	s.system.made = append(s.system.made, top)
	return os.MkdirAll(dir, 0o755)
}

// fetch sends a file, or what is below a directory.
func (s *server) fetch(m *wire.Fetch) {
	err := s.sendTree(m.ID, m.Path, "")
	end := wire.Content{ID: m.ID, End: true}
	if err != nil {
		end.Err = err.Error()
	}
	_ = s.conn.Send(&end) // a host that is gone is noticed by listen
}

func (s *server) sendTree(id uint32, path, name string) error {
	var st unix.Stat_t
	stat := unix.Lstat
	if name == "" {
		stat = unix.Stat
	}
	if err := stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	c := wire.Content{ID: id, Name: name, Mode: st.Mode}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return s.sendFile(path, &c)
	case unix.S_IFDIR:
		if err := s.conn.Send(&c); err != nil {
			return err
		}
		files, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := s.sendTree(id, path+"/"+f.Name(), strings.TrimPrefix(name+"/"+f.Name(), "/")); err != nil {
				return err
			}
		}
		return nil
	}
	if name == "" {
		return fmt.Errorf("%s is neither a file nor a directory", path)
	}
	return nil // links and devices stay here
}

func (s *server) sendFile(path string, c *wire.Content) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, piece)
	for {
		n, err := io.ReadFull(f, buf)
		c.Data, c.More = buf[:n], err == nil
		if err := s.conn.Send(c); err != nil {
			return err
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
