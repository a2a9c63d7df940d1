// Package initramfs packs the agent and the kernel modules that its transport
// needs into the archive that a kernel unpacks as its first file system. The
// same input gives the same bytes, whoever packs them and wherever.
package initramfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/nlrig/nlrig/guest/layout"
)

// Module is a kernel module as it is loaded: decompressed.
type Module struct {
	Name string
	Data []byte
}

// Image is an initramfs on disk.
type Image struct {
	Path string
	Size int64  // bytes
	Sum  string // SHA-256 of its bytes, in hex
}

// keep is how many images a cache directory holds before the oldest go.
const keep = 64

// Build packs agent and modules, which are in load order, and what else is
// wanted, and writes the archive to dir under the name of its content, unless
// it is there already.
func Build(dir string, agent []byte, modules []Module, extra ...cpio.Record) (Image, error) {
	b, err := Pack(agent, modules, extra...)
	if err != nil {
		return Image{}, fmt.Errorf("initramfs: %w", err)
	}
	img, err := Store(dir, b)
	if err != nil {
		return Image{}, fmt.Errorf("initramfs: %w", err)
	}
	return img, nil
}

// Pack returns the archive: cpio, newc format, not compressed, because QEMU
// copies faster than a guest decompresses.
func Pack(agent []byte, modules []Module, extra ...cpio.Record) ([]byte, error) {
	records := []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.Directory("proc", 0o755),
		cpio.Directory("sys", 0o755),
		cpio.Directory("tmp", 0o777),
		cpio.Directory("sbin", 0o755),
		cpio.StaticRecord(agent, cpio.Info{Name: layout.Init[1:], Mode: cpio.S_IFREG | 0o755}),
		cpio.StaticFile(rel(layout.AgentSum), Sum(agent), 0o644),
		cpio.Directory(rel(layout.ModulesDir), 0o755),
	}
	for i, m := range modules {
		name := fmt.Sprintf("%s/%02d-%s.ko", rel(layout.ModulesDir), i, m.Name)
		records = append(records, cpio.StaticRecord(m.Data, cpio.Info{Name: name, Mode: cpio.S_IFREG | 0o644}))
	}
	return archive(append(records, extra...))
}

// recordHead is more than what the archive has of a record beside its content.
const recordHead = 512

func rel(abs string) string { return abs[1:] }

func archive(records []cpio.Record) ([]byte, error) {
	cpio.MakeAllReproducible(records)
	size := 0
	for _, r := range records {
		size += int(r.FileSize) + recordHead
	}
	var b bytes.Buffer
	b.Grow(size)
	w := cpio.Newc.Writer(&b)
	if err := cpio.WriteRecords(w, records); err != nil {
		return nil, err
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Sum is the SHA-256 of b in hex.
func Sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Store writes archive to dir as SUM.cpio. A file that is there and differs
// from its name is written again.
func Store(dir string, archive []byte) (Image, error) {
	img := Image{Size: int64(len(archive)), Sum: Sum(archive)}
	img.Path = filepath.Join(dir, img.Sum+".cpio")
	if holds(img.Path, archive) {
		now := time.Now()
		_ = os.Chtimes(img.Path, now, now) // only makes it the last to go
		return img, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Image{}, err
	}
	// Two writers write the same bytes, each to a file of its own.
	tmp := fmt.Sprintf("%s.%d", img.Path, os.Getpid())
	defer os.Remove(tmp)
	if err := os.WriteFile(tmp, archive, 0o644); err != nil {
		return Image{}, err
	}
	if err := os.Rename(tmp, img.Path); err != nil {
		return Image{}, err
	}
	prune(dir, "*.cpio*", keep)
	return img, nil
}

// holds says whether the file at path has this content.
func holds(path string, content []byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(f, piece)
		if n > len(content) || !bytes.Equal(piece[:n], content[:n]) {
			return false
		}
		content = content[n:]
		if err != nil {
			return len(content) == 0 && (err == io.EOF || err == io.ErrUnexpectedEOF)
		}
	}
}

// prune removes the files used longest ago, and keeps n. What it cannot remove
// stays.
func prune(dir, pattern string, n int) {
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	age := map[string]time.Time{}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			age[f] = st.ModTime()
		}
	}
	sort.Slice(files, func(i, j int) bool { return age[files[i]].After(age[files[j]]) })
	for i, f := range files {
		if i >= n {
			os.Remove(f)
		}
	}
}
