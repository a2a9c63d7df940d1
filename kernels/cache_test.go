package kernels

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/kernels/cachedir"
)

// What a second process of these tests is told through its environment.
const (
	envDir = "NLRIG_TEST_PULL_DIR"
	envEtc = "NLRIG_TEST_PULL_ETC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(pullInChild(dir))
	}
	os.Exit(m.Run())
}

// pullInChild is another nlrig on the same cache.
func pullInChild(dir string) int {
	c, err := Open(Options{Dir: dir, Log: func(f string, a ...any) { fmt.Printf(f+"\n", a...) }})
	if err == nil {
		c.etc = os.Getenv(envEtc)
		_, err = new(mirror).get(c)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func (m *mirror) child(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envEtc+"="+m.etc)
	return cmd
}

// requireClean fails when anything but finished things is in the cache.
func requireClean(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, n := range names {
		assert.False(t, strings.HasPrefix(n.Name(), cachedir.TmpPrefix), "left behind: %s", n.Name())
		assert.False(t, strings.HasSuffix(n.Name(), ".lock"), "left behind: %s", n.Name())
		assert.False(t, strings.HasSuffix(n.Name(), ".new"), "left behind: %s", n.Name())
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	c, notes := m.open(t, dir)
	ctx := t.Context()

	vs, err := c.List(ctx)
	require.NoError(t, err)
	require.Len(t, vs, 1)
	assert.Equal(t, "6.1.42", vs[0].String())
	assert.Equal(t, testRelease, vs[0].Release)
	assert.False(t, vs[0].Here)
	assert.Contains(t, notes.String(), "not on the mirror, skipped: bullseye, bookworm-backports")

	phases := map[string]bool{}
	k, err := c.Get(ctx, vs[0], func(p Progress) { phases[p.Phase] = true })
	require.NoError(t, err)
	assert.True(t, phases["download"] && phases["unpack"])
	assert.True(t, k.PVH)
	assert.Empty(t, k.PayloadErr)
	got, err := os.ReadFile(k.VMLinux)
	require.NoError(t, err)
	assert.Equal(t, vmlinux(testRelease, true), got)
	requireClean(t, dir)

	for option, want := range map[string]string{
		"CONFIG_BRIDGE": "m", "CONFIG_HZ": "250", "CONFIG_DEFAULT_HOSTNAME": "(none)", "CONFIG_WLAN": "n"} {
		value, known := k.ConfigValue(option)
		assert.True(t, known)
		assert.Equal(t, want, value, option)
	}

	for name, want := range map[string]string{
		"llc":                            "llc",
		"br_idge":                        "aux llc stp br_idge",
		"br-idge":                        "aux llc stp br_idge",
		"rtnl-link-bridge":               "aux llc stp br_idge",
		"pci:v00d00001x":                 "aux llc stp br_idge",
		"net-pf-16-proto-16-family-late": "late",
		"ext4":                           "",
	} {
		modules, err := k.Modules(name)
		require.NoError(t, err, name)
		var names []string
		for _, mod := range modules {
			names = append(names, mod.Name)
			b, err := k.ReadModule(mod)
			require.NoError(t, err)
			assert.True(t, isELF(b))
		}
		assert.Equal(t, want, strings.Join(names, " "), name)
	}
	for _, name := range []string{"nothere", "rtnl-link-vlan", "broken"} {
		_, err := k.Modules(name)
		require.ErrorIs(t, err, ErrNoModule)
		assert.ErrorContains(t, err, name)
		assert.ErrorContains(t, err, "6.1.42")
	}

	// From here on the mirror is not needed, not even by an nlrig that has
	// lost its list of it.
	m.Close()
	c, _ = m.open(t, dir)
	_, err = m.get(c)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, nameIndex)))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, nameApt)))
	c, notes = m.open(t, dir)
	_, err = m.get(c)
	require.NoError(t, err)
	assert.Contains(t, notes.String(), "only kernels that are here")

	freed, err := c.Remove(ctx, vs[0])
	require.NoError(t, err)
	assert.Greater(t, freed, int64(1<<20))
	requireClean(t, dir)
	c, _ = m.open(t, dir)
	_, err = m.get(c)
	require.ErrorContains(t, err, "check the network")
}

// Unreachable, a series is what is here although the list has a newer one.
func TestOfflinePrefersWhatIsHere(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	c, _ := m.open(t, dir)
	_, err := m.get(c)
	require.NoError(t, err)
	m.add(t, "linux-image-6.1.0-8-cloud-amd64", "6.1.43-1", singleLayout(t, "6.1.0-8-cloud-amd64"))
	c, _ = m.open(t, dir)
	c.options.Refresh = true
	vs, err := c.Select(t.Context(), "6.1")
	require.NoError(t, err)
	require.Equal(t, "6.1.43", vs[0].String())

	m.Close()
	c, notes := m.open(t, dir)
	c.options.Refresh = true
	vs, err = c.Select(t.Context(), "6.1")
	require.NoError(t, err)
	assert.Equal(t, "6.1.42", vs[0].String())
	assert.Contains(t, notes.String(), "the mirror cannot be asked, using the list of")
	assert.Contains(t, notes.String(), "6.1 is 6.1.42, the newest here")

	// A day later, still unreachable: it is asked once, not by every run.
	x := c.readIndex()
	x.Fetched = x.Fetched.Add(-48 * time.Hour)
	require.NoError(t, c.writeIndex(x))
	c, notes = m.open(t, dir)
	vs, err = c.Select(t.Context(), "6.1")
	require.NoError(t, err)
	assert.Equal(t, "6.1.42", vs[0].String())
	assert.Contains(t, notes.String(), "the mirror could not be asked")
}

func TestUnsignedMirrorIsRefused(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.trust(t, "")
	c, _ := m.open(t, t.TempDir())
	_, err := m.get(c)
	require.ErrorContains(t, err, "not signed")
}

func TestOneByteChanged(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	c, notes := m.open(t, dir)
	k, err := m.get(c)
	require.NoError(t, err)
	modules, err := k.Modules("llc")
	require.NoError(t, err)
	for i, file := range []string{k.VMLinux, k.BzImage, k.Config, filepath.Join(k.dir, nameModules), filepath.Join(k.dir, nameManifest), modules[0].Path} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		good := b[len(b)/2]
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(file, b, 0o644))
		if file == modules[0].Path {
			_, err = k.ReadModule(modules[0])
		} else {
			_, err = m.get(c)
		}
		require.NoError(t, err)
		assert.Contains(t, notes.String(), filepath.Base(strings.TrimSuffix(file, ".ko"))+" damaged in the cache (sha256 ")
		assert.Equal(t, i+2, int(m.fetched.Load()), "fetched again: %s", file)
		b, err = os.ReadFile(file)
		require.NoError(t, err)
		if file != filepath.Join(k.dir, nameManifest) {
			assert.Equal(t, good, b[len(b)/2])
		}
	}
	assert.Contains(t, notes.String(), "6.1.42: vmlinux damaged in the cache")
	require.NoError(t, os.Remove(k.Config))
	_, err = m.get(c)
	require.NoError(t, err)
	assert.Contains(t, notes.String(), "6.1.42: config missing from the cache; fetching again")
	requireClean(t, dir)
}

func TestDownloadCutShort(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(*mirror) http.HandlerFunc{
		"closed": func(m *mirror) http.HandlerFunc { return m.half(func(c net.Conn) { c.Close() }) },
		"reset": func(m *mirror) http.HandlerFunc {
			return m.half(func(c net.Conn) {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			})
		},
		"silent": func(m *mirror) http.HandlerFunc {
			return m.half(func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
		},
		"shorter file": func(m *mirror) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Write(noise(1000)) }
		},
		"other file": func(m *mirror) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				st, _ := os.Stat(filepath.Join(m.root, r.URL.Path))
				w.Write(noise(int(st.Size())))
			}
		},
		"gone": func(*mirror) http.HandlerFunc { return http.NotFound },
		"server error": func(*mirror) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			dir := t.TempDir()
			c, _ := m.open(t, dir)
			m.serve(handle(m))
			_, err := m.get(c)
			t.Log(err)
			require.ErrorContains(t, err, "kernels: 6.1.42: ")
			assert.ErrorContains(t, err, m.URL)
			requireClean(t, dir)
			m.serve(nil)
			_, err = m.get(c)
			require.NoError(t, err)
		})
	}
}

// The list is of this morning, and the mirror has moved on.
func TestReplacedOnTheMirror(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	c, notes := m.open(t, dir)
	_, err := c.List(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(m.root, "pool")))
	m.packages.Reset()
	m.add(t, "linux-image-6.1.0-8-cloud-amd64", "6.1.42-2", singleLayout(t, "6.1.0-8-cloud-amd64"))
	k, err := m.get(c)
	require.NoError(t, err)
	assert.Equal(t, "6.1.42-2", k.Version.Debian)
	assert.Equal(t, "6.1.0-8-cloud-amd64", k.Version.Release)
	assert.Contains(t, notes.String(), "no longer on the mirror")
}

// A mirror that accepts connections and never says a word.
func TestSilentMirror(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := Open(Options{Dir: t.TempDir()})
	require.NoError(t, err)
	c.etc, c.patience = t.TempDir(), time.Second
	list := fmt.Sprintf("deb [trusted=yes] http://%s bookworm main\n", l.Addr())
	require.NoError(t, os.WriteFile(filepath.Join(c.etc, "sources.list"), []byte(list), 0o644))
	start := time.Now()
	_, err = c.List(t.Context())
	t.Log(time.Since(start), err)
	require.ErrorContains(t, err, "check the network")
}

func TestTwoProcessesAtOnce(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	started := make(chan struct{}, 9)
	m.serve(func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		http.ServeFile(w, r, filepath.Join(m.root, r.URL.Path))
	})
	var out [2][]byte
	var errs [2]error
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i], errs[i] = m.child(dir).CombinedOutput() })
	}
	wg.Wait()
	for i := range out {
		require.NoError(t, errs[i], "%s", out[i])
	}
	assert.Len(t, started, 1, "downloaded once")
	assert.Contains(t, string(out[0])+string(out[1]), "waiting for another nlrig")
	requireClean(t, dir)
}

func TestKilledWhilePulling(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	half := make(chan struct{})
	m.serve(m.half(func(c net.Conn) {
		t.Cleanup(func() { c.Close() })
		close(half)
	}))
	cmd := m.child(dir)
	require.NoError(t, cmd.Start())
	<-half
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()

	// Nothing of it runs on; the lock is free, and what it left goes.
	require.Eventually(t, func() bool { return !mentioned(dir) }, 2*time.Second, 20*time.Millisecond)
	names, err := filepath.Glob(filepath.Join(dir, cachedir.TmpPrefix+"*"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	m.serve(nil)
	c, _ := m.open(t, dir)
	requireClean(t, dir)
	_, err = m.get(c)
	require.NoError(t, err)
}

// mentioned says whether a program runs that was told of dir.
func mentioned(dir string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if b, err := os.ReadFile(l); err == nil && strings.Contains(string(b), dir) {
			return true
		}
	}
	return false
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for _, size := range []string{"16k", "600k", "1900k"} { // lists, download, unpacking
		dir := filepath.Join(t.TempDir(), "small")
		require.NoError(t, os.Mkdir(dir, 0o755))
		if err := syscall.Mount("nlrig-test", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Skip("a small disk needs a mount, which needs root:", err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, 0) })
		c, _ := m.open(t, dir)
		_, err := m.get(c)
		t.Log(size, err)
		require.ErrorContains(t, err, "is full: free some space")
		require.NotContains(t, err.Error(), "check the network")
		requireClean(t, dir)
	}
}

func TestReadOnlyCache(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := filepath.Join(t.TempDir(), "ro")
	require.NoError(t, os.Mkdir(dir, 0o755))
	if err := syscall.Mount("nlrig-test", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("a read-only disk needs a mount, which needs root:", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	readOnly := func(flag uintptr) {
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|flag, "size=64m"))
	}
	readOnly(syscall.MS_RDONLY)
	c, _ := m.open(t, dir)
	_, err := m.get(c)
	require.ErrorContains(t, err, "XDG_CACHE_HOME")

	readOnly(0)
	c, _ = m.open(t, dir)
	_, err = m.get(c)
	require.NoError(t, err)
	readOnly(syscall.MS_RDONLY)
	c, _ = m.open(t, dir)
	c.options.Refresh = true
	_, err = m.get(c)
	require.NoError(t, err, "what is here can be used")
}

func TestMissingPrograms(t *testing.T) {
	m := newMirror(t)
	dir := t.TempDir()
	path := os.Getenv("PATH")
	c, _ := m.open(t, dir)
	t.Setenv("PATH", t.TempDir())
	_, err := m.get(c)
	require.ErrorIs(t, err, exec.ErrNotFound)
	assert.ErrorContains(t, err, "install the packages apt and dpkg")

	t.Setenv("PATH", path)
	c, _ = m.open(t, dir)
	_, err = c.List(t.Context())
	require.NoError(t, err)
	t.Setenv("PATH", t.TempDir())
	c, _ = m.open(t, dir)
	_, err = m.get(c)
	require.ErrorContains(t, err, "install the package dpkg")
	requireClean(t, dir)
}

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("every other test runs as an ordinary user already")
	}
	m := newMirror(t)
	home, err := os.MkdirTemp("", "nlrig-test")
	require.NoError(t, err)
	defer os.RemoveAll(home)
	exe := filepath.Join(home, "test")
	b, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(exe, b, 0o755))
	require.NoError(t, os.Chmod(home, 0o755))
	require.NoError(t, os.CopyFS(filepath.Join(home, "apt"), os.DirFS(m.etc)))
	m.etc = filepath.Join(home, "apt")
	dir := filepath.Join(home, "cache")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chown(dir, 65534, 65534))
	cmd := m.child(dir)
	cmd.Path, cmd.Dir = exe, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NotContains(t, string(out), "_apt")
	requireClean(t, dir)
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	dir := t.TempDir()
	c, _ := m.open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	m.serve(m.half(func(conn net.Conn) {
		t.Cleanup(func() { conn.Close() })
		cancel()
	}))
	vs, err := c.Select(ctx, "6.1")
	require.NoError(t, err)
	_, err = c.Get(ctx, vs[0], nil)
	require.Truef(t, errors.Is(err, context.Canceled), "%v", err)
	requireClean(t, dir)
}
