package kernels

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

// The cache directory holds
//
//	index.json      what the mirror has
//	apt/            apt's own state
//	build/          work trees, and the directories that kernels are built in
//	ENTRY/          one kernel: manifest.json and the files it lists
//	tmp.ENTRY/      the same while it is being made (tmp.index for the index)
//	ENTRY.lock      flocked by whoever makes or removes ENTRY
//
// as cachedir has it.

// A manifest lists what an entry holds. It ends the making of an entry.
type manifest struct {
	Format  int
	Version Version
	PVH     bool
	// PayloadErr says why there is no vmlinux.
	PayloadErr string `json:",omitempty"`
	// KnowsBuiltin: the list of built-in modules came with the kernel.
	KnowsBuiltin bool
	Files        map[string]fileSum
}

type fileSum struct {
	Size   int64
	SHA256 string
}

// manifestFormat changes when an older nlrig could not read what a newer one
// wrote, or the reverse; an entry of another format is made anew.
const manifestFormat = 1

// Names within an entry.
const (
	nameManifest = "manifest.json"
	nameVMLinux  = "vmlinux"
	nameBzImage  = "vmlinuz"
	nameConfig   = "config"
	nameConfigGz = "config.gz"
	nameUML      = "linux" // an executable
	nameModules  = "modules.json"
	nameChecked  = "checked" // of check, not in the manifest
	dirModules   = "modules"

	nameChangelog = "changelog.gz"
)

// writeManifest puts the manifest under a line with its own hash: the hashes
// in it are only worth something when they are whole.
func writeManifest(dir string, m manifest) error {
	m.Format = manifestFormat
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	text = append([]byte(hex.EncodeToString(sum[:])+"\n"), text...)
	return os.WriteFile(filepath.Join(dir, nameManifest), text, 0o644)
}

// readManifest fails with fs.ErrNotExist where there is no entry.
func readManifest(dir string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(filepath.Join(dir, nameManifest))
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(dir); e == nil {
			return m, fmt.Errorf("%s missing from the cache", nameManifest)
		}
	}
	if err != nil {
		return m, err
	}
	want, body, _ := bytes.Cut(text, []byte("\n"))
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != string(want) {
		return m, damaged(nameManifest, hex.EncodeToString(got[:]), string(want))
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%s: %w", nameManifest, err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("%s has format %d, this nlrig reads %d", nameManifest, m.Format, manifestFormat)
	}
	return m, nil
}

func damaged(name, got, want string) error {
	return fmt.Errorf("%s damaged in the cache (sha256 %.12s, want %.12s)", name, got, want)
}

// check verifies the files of the manifest, unless they are those that were
// whole before.
func (m manifest) check(dir string) error {
	files := []string{filepath.Join(dir, nameManifest)}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		files = append(files, filepath.Join(dir, name))
	}
	_, err := cachedir.Memo(filepath.Join(dir, nameChecked), "", files, func() (string, error) { return "", m.verify(dir) })
	return err
}

// verify hashes every file of the manifest.
func (m manifest) verify(dir string) error {
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(m.Files))
	for name, want := range m.Files {
		go func() {
			got, err := hashFile(filepath.Join(dir, name))
			if err == nil && got != want.SHA256 {
				err = damaged(name, got, want.SHA256)
			}
			results <- result{name, err}
		}()
	}
	var err error
	for range m.Files {
		if r := <-results; r.err != nil && err == nil {
			err = r.err
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s missing from the cache", r.name)
			}
		}
	}
	return err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
