package kernels

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// elfFile is a minimal 64-bit ELF file with one section and one note segment.
func elfFile(section string, data, notes []byte) []byte {
	const header, segment, entry = 64, 56, 64
	names := "\x00" + section + "\x00.shstrtab\x00"
	at := header + segment
	dataAt, notesAt := at, at+len(data)
	namesAt := notesAt + len(notes)
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) }
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: header,
		Phoff: header, Phentsize: segment, Phnum: 1, Shoff: uint64(namesAt + len(names)), Shentsize: entry, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	put(h)
	put(elf.Prog64{Type: uint32(elf.PT_NOTE), Off: uint64(notesAt), Filesz: uint64(len(notes)), Memsz: uint64(len(notes))})
	b.Write(data)
	b.Write(notes)
	b.WriteString(names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: uint64(dataAt), Size: uint64(len(data))})
	put(elf.Section64{Name: uint32(len(section) + 2), Type: uint32(elf.SHT_STRTAB), Off: uint64(namesAt), Size: uint64(len(names))})
	return b.Bytes()
}

// module is a .ko whose .modinfo has the given fields.
func module(fields ...string) []byte {
	return elfFile(".modinfo", []byte(strings.Join(fields, "\x00")+"\x00"), nil)
}

// vmlinux has a banner and, if asked for, the note of PVH.
func vmlinux(release string, pvh bool) []byte {
	var notes bytes.Buffer
	note := func(name string, kind uint32, desc []byte) {
		binary.Write(&notes, binary.LittleEndian, []uint32{uint32(len(name)), uint32(len(desc)), kind})
		notes.WriteString(name)
		notes.Write(make([]byte, -len(name)&3))
		notes.Write(desc)
	}
	note("GNU\x00", 18, make([]byte, 20))
	if pvh {
		note("Xen\x00", 18, make([]byte, 8))
	}
	return elfFile(".rodata", []byte("Linux version "+release+" (test) #1 SMP\n\x00"), notes.Bytes())
}

func compress(t *testing.T, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	switch how {
	case "gzip":
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	case "zstd":
		w, err := zstd.NewWriter(&out)
		require.NoError(t, err)
		w.Write(b)
		w.Close()
	case "LZ4":
		w := lz4.NewWriter(&out)
		require.NoError(t, w.Apply(lz4.LegacyOption(true)))
		w.Write(b)
		w.Close()
	case "xz", "xz-bcj":
		arg := []string{"-c", "--check=crc32"}
		if how == "xz-bcj" {
			arg = append(arg, "--x86", "--lzma2=dict=1MiB")
		}
		cmd := exec.Command("xz", arg...)
		cmd.Stdin, cmd.Stdout = bytes.NewReader(b), &out
		require.NoError(t, cmd.Run(), "the test needs xz to make its input: apt-get install xz-utils")
	default:
		out.WriteString(how)
		out.Write(b)
	}
	return out.Bytes()
}

// bzImage wraps a vmlinux as the kernel's build does.
func bzImage(t *testing.T, banner, how string, vmlinux []byte) []byte {
	t.Helper()
	payload := compress(t, how, vmlinux)
	if how != "gzip" {
		payload = binary.LittleEndian.AppendUint32(payload, uint32(len(vmlinux)))
	}
	const sects, stub = 2, 100
	b := make([]byte, (sects+1)*512+stub)
	b[offSetupSects] = sects
	copy(b[offHeaderMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[offBootProtocol:], 0x20f)
	binary.LittleEndian.PutUint16(b[offKernelVersion:], 0x300)
	copy(b[0x500:], banner)
	binary.LittleEndian.PutUint32(b[offPayload:], stub)
	binary.LittleEndian.PutUint32(b[offPayloadLength:], uint32(len(payload)))
	return append(append(b, payload...), "what follows the payload"...)
}

// noise is data that does not compress, so that sizes are what they say.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// makeDeb builds a package of files and returns its path.
func makeDeb(t *testing.T, dir, name, version string, files map[string][]byte) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	files["DEBIAN/control"] = fmt.Appendf(nil, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\nDescription: test\n", name, version)
	for file, data := range files {
		path := filepath.Join(tree, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	deb := filepath.Join(dir, fmt.Sprintf("%s_%s_amd64.deb", name, version))
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, deb).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return deb
}

const testRelease = "6.1.0-7-cloud-amd64"

// singleLayout is a kernel as one package, with modules that need each other.
func singleLayout(t *testing.T, release string) map[string][]byte {
	modules := "lib/modules/" + release
	return map[string][]byte{
		"boot/vmlinuz-" + release:        append(bzImage(t, release+" (x@example.org) #1 SMP Debian 6.1.42-1 (2024-01-01)", "zstd", vmlinux(release, true)), noise(1<<20)...),
		"boot/config-" + release:         []byte("# comment\nCONFIG_BRIDGE=m\nCONFIG_HZ=250\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n# CONFIG_WLAN is not set\n"),
		"boot/System.map-" + release:     []byte("ffffffffffffffff B the real one is elsewhere\n"),
		modules + "/modules.builtin":     []byte("kernel/fs/ext4/ext4.ko\n"),
		modules + "/kernel/net/llc.ko":   module("name=llc", "depends="),
		modules + "/kernel/net/stp.ko":   module("name=stp", "depends=llc"),
		modules + "/kernel/br-idge.ko":   module("name=br_idge", "depends=stp,ext4", "softdep=pre: aux nothere post: late", "alias=rtnl-link-bridge", "alias=pci:v*d0000[12]*"),
		modules + "/kernel/aux.ko.gz":    compress(t, "gzip", module("name=aux", "depends=")),
		modules + "/kernel/late.ko.xz":   compress(t, "xz", module("name=late", "depends=", "alias=net-pf-16-proto-16-family-late")),
		modules + "/kernel/broken.ko":    module("name=broken", "depends=gone"),
		"usr/share/doc/x/changelog":      []byte("not wanted"),
		modules + "/kernel/not-a-module": []byte("not wanted"),
	}
}

// mirror serves one suite over HTTP, unsigned.
type mirror struct {
	*httptest.Server
	root string
	etc  string // an /etc/apt that names it and trusts it

	fetched  atomic.Int32 // packages asked for
	mu       sync.Mutex
	handle   func(http.ResponseWriter, *http.Request) // for packages; nil serves them
	packages strings.Builder
}

// newMirror has one kernel, 6.1.42.
func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{root: t.TempDir(), etc: t.TempDir()}
	files := http.FileServer(http.Dir(m.root))
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".deb") {
			m.fetched.Add(1)
			m.mu.Lock()
			handle := m.handle
			m.mu.Unlock()
			if handle != nil {
				handle(w, r)
				return
			}
		}
		// Tests publish several times within the second that it counts in.
		r.Header.Del("If-Modified-Since")
		files.ServeHTTP(w, r)
	}))
	m.Start()
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	m.trust(t, "[trusted=yes]")
	m.add(t, "linux-image-"+testRelease, "6.1.42-1", singleLayout(t, testRelease))
	return m
}

func (m *mirror) trust(t *testing.T, option string) {
	t.Helper()
	line := fmt.Sprintf("deb %s %s bookworm main\n", option, m.URL)
	require.NoError(t, os.WriteFile(filepath.Join(m.etc, "sources.list"), []byte(line), 0o644))
}

// serve sets how requests for packages are answered.
func (m *mirror) serve(handle func(http.ResponseWriter, *http.Request)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handle = handle
}

func (m *mirror) add(t *testing.T, name, version string, files map[string][]byte) {
	t.Helper()
	pool := filepath.Join(m.root, "pool")
	require.NoError(t, os.MkdirAll(pool, 0o755))
	deb, err := os.ReadFile(makeDeb(t, pool, name, version, files))
	require.NoError(t, err)
	fmt.Fprintf(&m.packages, "Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: pool/%s_%s_amd64.deb\nSize: %d\nSHA256: %x\n\n",
		name, version, name, version, len(deb), sha256.Sum256(deb))
	m.publish(t, m.packages.String())
}

func (m *mirror) publish(t *testing.T, packages string) {
	t.Helper()
	dist := filepath.Join(m.root, "dists", "bookworm")
	index := filepath.Join(dist, "main", "binary-amd64")
	require.NoError(t, os.MkdirAll(index, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(index, "Packages"), []byte(packages), 0o644))
	release := fmt.Sprintf("Suite: bookworm\nCodename: bookworm\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		time.Now().UTC().Format(time.RFC1123), sha256.Sum256([]byte(packages)), len(packages))
	require.NoError(t, os.WriteFile(filepath.Join(dist, "Release"), []byte(release), 0o644))
}

// half answers with the first half of a package and then does end.
func (m *mirror) half(end func(net.Conn)) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		deb, err := os.ReadFile(filepath.Join(m.root, r.URL.Path))
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(deb)))
		w.Write(deb[:len(deb)/2])
		w.(http.Flusher).Flush()
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		end(conn)
	}
}

// notes collects what a catalogue tells.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) log(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(&n.text, format+"\n", args...)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// open is a catalogue of the mirror.
func (m *mirror) open(t *testing.T, dir string) (*Catalogue, *notes) {
	t.Helper()
	n := &notes{}
	c, err := Open(Options{Dir: dir, Log: n.log})
	require.NoError(t, err)
	c.etc = m.etc
	c.patience = time.Second
	return c, n
}

func (m *mirror) get(c *Catalogue) (*Kernel, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	vs, err := c.Select(ctx, "6.1")
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, vs[0], nil)
}
