package kernels

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompareVersions(t *testing.T) {
	ordered := []string{"4.19.1", "5.9", "5.10", "5.10.9", "5.10.10", "5.10.218", "6.1", "6.1.0", "6.1.2", "6.12", "6.12.117", "7.0.4", "10.0"}
	shuffled := slices.Clone(ordered)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, CompareVersions)
	assert.Equal(t, ordered, shuffled)
}

func TestUpstream(t *testing.T) {
	for debian, want := range map[string]string{
		"6.1.192-2": "6.1.192", "7.3.4-1~bpo13+1": "7.3.4", "5.10.262-1": "5.10.262", "6.12.117-1~deb12u1": "6.12.117",
		"7.4~rc3-1~exp1": "", "": "", "x": "",
	} {
		got, ok := upstream(debian)
		assert.Equal(t, want, got, debian)
		assert.Equal(t, want != "", ok, debian)
	}
}

func TestAssemble(t *testing.T) {
	const big = 20 << 20
	p := func(name, version string, size int64) Package {
		return Package{Name: name, Version: version, Size: size, Suite: "s", URI: "u/" + name + "_" + version, SHA256: "00"}
	}
	got := assemble([]Package{
		p("linux-image-6.1-cloud-amd64", "6.1.180-1~deb11u1", 1500), // a metapackage
		p("linux-image-6.1.0-55-cloud-amd64", "6.1.192-1", big),
		p("linux-image-6.1.0-56-cloud-amd64", "6.1.192-2", big),
		p("linux-image-6.1.0-56-amd64", "6.1.192-2", big),
		p("linux-image-6.1.0-56-rt-amd64", "6.1.192-2", big),
		p("linux-image-6.1.0-56-amd64-dbg", "6.1.192-2", big),
		p("linux-image-6.1.0-56-cloud-amd64-unsigned", "6.1.192-2", big),
		p("linux-image-6.1.0-0.deb11.52-cloud-amd64", "6.1.180-1~deb11u1", big),
		p("linux-image-6.12.90+deb12-cloud-amd64", "6.12.90-1~bpo12+1", big),
		p("linux-image-6.12.90+deb13.1-cloud-amd64", "6.12.90-2", big),
		p("linux-image-6.12.90+deb12.1-cloud-amd64", "6.12.90-2~bpo12+1", big),
		p("linux-image-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", 1900), // the image of the split layout
		p("linux-binary-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", big),
		p("linux-base-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", 1<<20),
		p("linux-modules-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", big),
		p("linux-modules-7.3.4+deb13-cloud-amd64", "7.3.4-9", big), // of another build
		p("linux-binary-7.1.3+deb13-cloud-amd64", "7.1.3-1~bpo13+1", big),
	})
	var lines []string
	for _, v := range got {
		lines = append(lines, fmt.Sprintf("%s = %s %s %d %s", v, v.Release, v.Debian, len(v.Packages), v.Note))
	}
	assert.Equal(t, []string{
		"6.1.180 = 6.1.0-0.deb11.52-cloud-amd64 6.1.180-1~deb11u1 1 ",
		"6.1.192 = 6.1.0-56-cloud-amd64 6.1.192-2 1 ",
		"6.1.192/amd64 = 6.1.0-56-amd64 6.1.192-2 1 ",
		"6.12.90 = 6.12.90+deb13.1-cloud-amd64 6.12.90-2 1 ",
		"7.1.3 = 7.1.3+deb13-cloud-amd64 7.1.3-1~bpo13+1 1 no modules package on the mirror",
		"7.3.4 = 7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 3 ",
	}, lines)
	assert.Equal(t, int64(2*big+1<<20), got[5].Size)
}

// catalogueOf has a list of the mirror that is fresh, and no mirror.
func catalogueOf(t *testing.T, versions ...string) *Catalogue {
	t.Helper()
	c, err := Open(Options{Dir: t.TempDir(), Log: t.Logf})
	require.NoError(t, err)
	c.etc = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(c.etc, "sources.list"), []byte("deb [trusted=yes] http://127.0.0.1:9 sid main\n"), 0o644))
	a, err := c.archives()
	require.NoError(t, err)
	x := index{Sources: a.list(), Fetched: time.Now(), Complete: true}
	for _, v := range versions {
		version, flavour, ok := strings.Cut(v, "/")
		if !ok {
			flavour = DefaultFlavour
		}
		x.Versions = append(x.Versions, Version{Version: version, Flavour: flavour, Source: SourceDebian})
	}
	slices.SortFunc(x.Versions, compare)
	require.NoError(t, c.writeIndex(x))
	return c
}

func TestSelect(t *testing.T) {
	c := catalogueOf(t, "5.10.218", "5.10.262", "6.1.170", "6.1.192", "6.1.192/amd64", "6.12.43", "6.12.57", "6.12.117", "6.16.3", "7.3.4", "7.3.4/amd64")
	for spec, want := range map[string]string{
		"6.12":              "6.12.117",
		"6.12.57":           "6.12.57",
		"6.1/amd64":         "6.1.192/amd64",
		"6.1.192/amd64":     "6.1.192/amd64",
		"6.12.43..6.12.57":  "6.12.43 6.12.57",
		"6.12.44..6.12.999": "6.12.57 6.12.117",
		"6.1..6.12":         "6.1.170 6.1.192 6.12.43 6.12.57 6.12.117",
		"6.12..6.12":        "6.12.43 6.12.57 6.12.117",
		"6.12.50..6.12":     "6.12.57 6.12.117",
		"6.1..7.3/amd64":    "6.1.192/amd64 7.3.4/amd64",
		"newest":            "7.3.4",
		"default":           "5.10.262 6.1.192 6.12.117 7.3.4",
		"default/amd64":     "6.1.192/amd64 7.3.4/amd64",
		"all":               "5.10.218 5.10.262 6.1.170 6.1.192 6.12.43 6.12.57 6.12.117 6.16.3 7.3.4",
		"all/amd64":         "6.1.192/amd64 7.3.4/amd64",
	} {
		vs, err := c.Select(t.Context(), spec)
		require.NoError(t, err, spec)
		var names []string
		for _, v := range vs {
			names = append(names, v.String())
		}
		assert.Equal(t, want, strings.Join(names, " "), spec)
	}
	for spec, want := range map[string]string{
		"6.9":             "nearest series are 6.1 and 6.12",
		"6.12.60":         "nearest are 6.12.57 and 6.12.117",
		"4.19":            "the oldest is 5.10",
		"9.1":             "the newest is 7.3",
		"9.1.1":           "the newest is 7.3.4",
		"6.1.1/amd64":     "the oldest is 6.1.192/amd64",
		"6.12.9..6.12.40": "nearest are 6.1.192 and 6.12.43",
		"6.12.9..6.12.1":  "runs backwards",
		"6.1/rt":          "there are cloud-amd64 and amd64",
		"6":               "is not a kernel",
		"6.1/":            "is not a kernel",
		"":                "is not a kernel",
		"..":              "is not a kernel",
		"6.1..":           "is not a kernel",
		"six":             "is not a kernel",
		"file:":           "neither a bzImage",
		"file:/no/where":  "no such file",
		"deb:/no/where":   "no such file",
	} {
		_, err := c.Select(t.Context(), spec)
		if spec == "file:" {
			require.ErrorIs(t, err, ErrSpec)
			continue
		}
		require.ErrorIs(t, err, ErrSpec, spec)
		assert.ErrorContains(t, err, want, spec)
		assert.ErrorContains(t, err, strings.Split(spec, "/")[0])
	}
}

func TestSplit(t *testing.T) {
	assert.Equal(t, []string{"6.1", "file:/a/vmlinuz,modules=/m,config=/c", "uml:6.1", "deb:/x.deb"},
		Split("6.1, file:/a/vmlinuz,modules=/m,config=/c,uml:6.1,,deb:/x.deb"))
	assert.Empty(t, Split(""))
}

func TestMachineArchives(t *testing.T) {
	keyring := filepath.Join(t.TempDir(), "keys.gpg")
	require.NoError(t, os.WriteFile(keyring, nil, 0o644))
	for name, test := range map[string]struct {
		file, text string
		main       archive
		security   *archive
		err        string
	}{
		"deb822": {
			file: "sources.list.d/debian.sources",
			text: "# comment\nTypes: deb deb-src\nURIs: http://m.example/debian/\nSuites: bookworm bookworm-updates\n# in between\nComponents: main contrib\nSigned-By: KEYS\n\n" +
				"Types: deb\nURIs: http://m.example/debian-security\nSuites: bookworm-security\nComponents: main\nSigned-By: KEYS\n",
			main:     archive{URI: "http://m.example/debian", Keyring: keyring},
			security: &archive{URI: "http://m.example/debian-security", Keyring: keyring},
		},
		"deb822, key inside and another switched off": {
			file: "sources.list.d/x.sources",
			text: "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n\n\n" +
				"Types: deb\nURIs: http://m.example/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n",
			main: archive{URI: "http://m.example/debian", Keyring: debianKeyring},
		},
		"one line": {
			file: "sources.list",
			text: "deb cdrom:[Debian]/ bookworm main\n# deb http://no.example/debian sid main\ndeb-src http://src.example/debian sid main\n" +
				"deb http://other.example/node nodistro main\n" +
				"deb [ arch=amd64 signed-by=KEYS ] http://m.example/debian bookworm main non-free # why not\n" +
				"deb [trusted=yes] http://s.example/security stable-security main\n",
			main:     archive{URI: "http://m.example/debian", Keyring: keyring},
			security: &archive{URI: "http://s.example/security", Trusted: true},
		},
		"old name of security": {
			file:     "sources.list.d/a.list",
			text:     "deb http://m.example/debian buster main\ndeb http://s.example/security buster/updates main\n",
			main:     archive{URI: "http://m.example/debian", Keyring: debianKeyring},
			security: &archive{URI: "http://s.example/security", Keyring: debianKeyring},
		},
		"ignored by apt":  {file: "sources.list.d/a.list.disabled", text: "deb http://m.example/debian sid main\n", err: "name one with --mirror"},
		"not Debian":      {file: "sources.list", text: "deb http://m.example/ubuntu noble main\n", err: "name one with --mirror"},
		"missing keyring": {file: "sources.list", text: "deb [signed-by=/no/such.gpg] http://m.example/debian sid main\n", err: "install the package debian-archive-keyring"},
	} {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			path := filepath.Join(etc, test.file)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(test.text, "KEYS", keyring)), 0o644))
			a, err := machineArchives(etc)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.main, a.main)
			assert.Equal(t, test.security, a.security)
		})
	}
}

func TestMirrorOption(t *testing.T) {
	a, err := mirrorArchives("http://m.example/debian/")
	require.NoError(t, err)
	assert.Contains(t, a.list(), " http://m.example/debian forky main\n")
	assert.Contains(t, a.list(), " http://m.example/debian-security trixie-security main\n")
	assert.NotContains(t, a.list(), "trusted")
	for _, bad := range []string{"m.example", "http://x y", "http://x] evil\ndeb http://y"} {
		_, err := mirrorArchives(bad)
		require.ErrorIs(t, err, ErrSpec, bad)
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"abc", "abc", true}, {"abc", "abd", false}, {"abc", "abcd", false}, {"abcd", "abc", false},
		{"*", "", true}, {"*", "a/b", true}, {"a*c", "abbc", true}, {"a*c", "abcb", false}, {"a*b*c", "aXbXbXc", true},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a**", "a", true}, {"", "", true}, {"", "a", false},
		{"pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001000sv0sd0bc02sc00i00", true},
		{"x[0-9]", "x5", true}, {"x[0_9]", "x5", true}, {"x[0-9]", "xa", false}, {"x[!0-9]y", "xay", true}, {"x[ab]*", "xbz", true}, {"x[", "x[", true},
		{strings.Repeat("*a", 30), strings.Repeat("a", 29) + strings.Repeat("b", 3000), false},
	} {
		assert.Equal(t, test.want, match(test.pattern, test.s), "%s %s", test.pattern, test.s)
	}
}

func TestModulesInACircle(t *testing.T) {
	x := &moduleIndex{Modules: map[string]moduleInfo{
		"a": {Depends: []string{"b"}}, "b": {Depends: []string{"a"}},
		"c": {Pre: []string{"d"}}, "d": {Depends: []string{"c"}},
	}}
	_, err := x.order(nil, "a", nil)
	require.ErrorContains(t, err, "a → b → a")
	got, err := x.order(nil, "c", nil)
	require.NoError(t, err, "a softdep is a wish")
	assert.Equal(t, []string{"c"}, got)
}

func TestBuiltinAliases(t *testing.T) {
	x := &moduleIndex{Builtin: map[string]bool{}}
	x.addBuiltin([]byte("kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio-pci.ko\n"))
	x.addBuiltinModinfo([]byte("ext4.license=GPL\x00ext4.alias=fs-ext4\x00unix.alias=net-pf-1\x00"))
	for _, name := range []string{"ext4", "virtio_pci", "fs-ext4", "net-pf-1"} {
		names, found := x.find(name)
		assert.True(t, found, name)
		assert.Empty(t, names)
	}
	_, found := x.find("fs-xfs")
	assert.False(t, found)
}

func TestPayloads(t *testing.T) {
	want := append(vmlinux("6.6.6-test", true), noise(100_000)...)
	for _, how := range []string{"gzip", "xz", "xz-bcj", "zstd", "LZ4"} {
		image := bzImage(t, "6.6.6-test (x@y) #1", how, want)
		got, err := extractVMLinux(image)
		require.NoError(t, err, how)
		assert.True(t, bytes.Equal(want, got), how)
		assert.True(t, hasPVH(got))
		assert.Equal(t, "6.6.6-test (x@y) #1", bzImageBanner(image))
		// Cut short or with a byte changed it is an error or, where there
		// is no checksum, other bytes; never a panic.
		for at := headerEnd; at < len(image); at += len(image) / 50 {
			_, err := extractVMLinux(image[:at])
			assert.Error(t, err)
			bad := slices.Clone(image)
			bad[at] ^= 0x55
			extractVMLinux(bad)
		}
	}
	for how, want := range map[string]string{"BZh9": "bzip2", "\x5d\x00\x00\x00": "LZMA", "\x89LZO": "LZO", "what": "77 68 61 74"} {
		_, err := extractVMLinux(bzImage(t, "x", how, noise(100)))
		require.ErrorContains(t, err, want)
	}
	assert.False(t, hasPVH(vmlinux("1.2", false)))
	assert.False(t, hasPVH([]byte("no ELF")))
}

func TestModinfo(t *testing.T) {
	ko := module("license=GPL", "alias=rtnl-link-veth", "alias=pci:v*", "depends=a-b,c", "softdep=pre: x post: y", "softdep=post: z pre: w-v", "name=m")
	for _, how := range []string{"", "gzip", "xz", "zstd"} {
		b := ko
		if how != "" {
			b = compress(t, how, ko)
		}
		if how == "zstd" {
			b = b[:len(b):len(b)]
		}
		info, err := readModinfo(b)
		require.NoError(t, err, how)
		assert.Equal(t, moduleInfo{Depends: []string{"a_b", "c"}, Pre: []string{"x", "w_v"}, Aliases: []string{"rtnl_link_veth", "pci:v*"}}, info)
	}
	_, err := readModinfo([]byte("hello"))
	require.ErrorContains(t, err, "68 65 6c 6c 6f")
}

func TestPlace(t *testing.T) {
	for name, want := range map[string]string{
		"./boot/vmlinuz-6.1":                                 "vmlinuz",
		"./boot/config-6.1":                                  "config",
		"./boot/vmlinuz-6.1/x":                               "",
		"./lib/modules/6.1/kernel/net/a.ko":                  "modules/kernel/net/a.ko",
		"./usr/lib/modules/6.1/updates/a.ko.zst":             "modules/updates/a.ko.zst",
		"./usr/lib/modules/7.3/vmlinuz":                      "vmlinuz",
		"./usr/lib/modules/7.3/config":                       "config",
		"./usr/lib/modules/7.3/modules.builtin":              "modules.builtin",
		"./usr/lib/modules/7.3/modules.order":                "",
		"../lib/modules/7.3/vmlinuz":                         "",
		"/lib/modules/7.3/vmlinuz":                           "",
		"lib/modules/7.3/../../../../etc/x.ko":               "",
		"lib/modules/7.3/kernel/../../../../../x.ko":         "",
		"./usr/share/doc/linux/changelog":                    "",
		"./usr/share/doc/linux-image-6.1/changelog.gz":       "changelog.gz",
		"./usr/share/doc/linux-base-7.3/changelog.Debian.gz": "changelog.gz",
		"./usr/share/doc/linux-image-6.1/../x/changelog.gz":  "",
	} {
		dest, _, ok := place(name)
		assert.Equal(t, want != "", ok, name)
		if ok {
			assert.Equal(t, want, dest, name)
		}
	}
}

// A package cannot write outside its entry, through names or links.
func TestTarDoesNotEscape(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "./lib/modules/1/kernel", Typeflag: tar.TypeSymlink, Linkname: outside})
	for _, name := range []string{"../../../../../../../../" + outside + "/a.ko", "./lib/modules/1/kernel/../../../../../b.ko", outside + "/c.ko", "./lib/modules/1/kernel/d.ko"} {
		m := module("depends=")
		w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(m)), Mode: 0o644})
		w.Write(m)
	}
	require.NoError(t, w.Close())
	build, err := newBuilder(dir)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "escape")))
	require.NoError(t, build.addTar(t.Context(), &b, func(int64) {}))
	require.Error(t, build.add("escape/x", strings.NewReader("x")))
	require.NoError(t, build.close())
	names, err := os.ReadDir(outside)
	require.NoError(t, err)
	assert.Empty(t, names)
	assert.FileExists(t, filepath.Join(dir, "modules/kernel/d.ko"))
}

func TestLocalKernels(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(src, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
		return path
	}
	image := write("bzImage", bzImage(t, "6.9.1-mine (me@here) #1 SMP", "zstd", vmlinux("6.9.1-mine", false)))
	plain := write("vmlinux", vmlinux("6.10.0-rc1+", true))
	odd := write("odd", bzImage(t, "6.9.2 (me@here)", "\x89LZO", vmlinux("6.9.2", true)))
	config := write("config", []byte("CONFIG_X=y\n"))
	write("root/lib/modules/6.9.1-mine/kernel/a.ko", module("depends=b"))
	write("root/lib/modules/6.9.1-mine/kernel/b.ko", module("depends=c"))
	write("root/lib/modules/6.9.1-mine/modules.builtin", []byte("kernel/c.ko\n"))
	c, err := Open(Options{Dir: dir, Log: t.Logf})
	require.NoError(t, err)
	c.etc = t.TempDir() // no mirror at all
	get := func(spec string) *Kernel {
		t.Helper()
		vs, err := c.Select(t.Context(), spec)
		require.NoError(t, err)
		require.Len(t, vs, 1)
		assert.False(t, vs[0].Here)
		assert.Equal(t, spec, vs[0].String())
		k, err := c.Get(t.Context(), vs[0], nil)
		require.NoError(t, err)
		vs, err = c.Select(t.Context(), spec)
		require.NoError(t, err)
		assert.True(t, vs[0].Here)
		return k
	}
	k := get("file:" + image + ",modules=" + src + "/root,config=" + config)
	assert.Equal(t, "6.9.1", k.Version.Version)
	assert.Equal(t, "6.9.1-mine", k.Version.Release)
	assert.NotEmpty(t, k.VMLinux)
	assert.NotEmpty(t, k.BzImage)
	assert.False(t, k.PVH)
	modules, err := k.Modules("a")
	require.NoError(t, err)
	require.Len(t, modules, 2)
	value, known := k.ConfigValue("CONFIG_X")
	assert.Equal(t, "y", value)
	assert.True(t, known)

	k = get("file:" + plain)
	assert.Equal(t, "6.10.0", k.Version.Version)
	assert.Equal(t, "6.10.0-rc1+", k.Version.Release)
	assert.True(t, k.PVH)
	assert.Empty(t, k.BzImage)
	_, known = k.ConfigValue("CONFIG_X")
	assert.False(t, known)
	_, err = k.Modules("a")
	require.ErrorIs(t, err, ErrNoModule)
	assert.ErrorContains(t, err, "no modules directory given")

	k = get("file:" + odd)
	assert.Empty(t, k.VMLinux)
	assert.Contains(t, k.PayloadErr, "LZO")

	deb := makeDeb(t, src, "linux-image-"+testRelease, "6.1.42-1", singleLayout(t, testRelease))
	k = get("deb:" + deb)
	assert.Equal(t, "6.1.42", k.Version.Version)
	assert.Equal(t, testRelease, k.Version.Release)
	assert.True(t, k.Version.HasModules)

	// The three packages of the split layout, found by the first.
	const release = "7.3.4+deb13-cloud-amd64"
	under := "usr/lib/modules/" + release + "/"
	deb = makeDeb(t, src, "linux-binary-"+release, "7.3.4-1~bpo13+1", map[string][]byte{under + "vmlinuz": bzImage(t, release+" (x)", "zstd", vmlinux(release, true))})
	makeDeb(t, src, "linux-base-"+release, "7.3.4-1~bpo13+1", map[string][]byte{under + "config": []byte("CONFIG_X=m\n"), under + "modules.builtin": []byte("kernel/y.ko\n")})
	makeDeb(t, src, "linux-modules-"+release, "7.3.4-1~bpo13+1", map[string][]byte{under + "kernel/x.ko.xz": compress(t, "xz", module("depends=y"))})
	k = get("deb:" + deb)
	assert.Equal(t, "7.3.4", k.Version.Version)
	assert.True(t, k.KnowsBuiltin)
	modules, err = k.Modules("x")
	require.NoError(t, err)
	require.Len(t, modules, 1)

	junk := write("junk", []byte("hello, world"))
	_, err = c.Select(t.Context(), "file:"+junk)
	require.ErrorContains(t, err, "68 65 6c 6c 6f")
	_, err = c.Select(t.Context(), "deb:"+junk)
	require.ErrorContains(t, err, "not a Debian package")
	_, err = c.Select(t.Context(), "file:"+image+",foo=bar")
	require.ErrorContains(t, err, "modules=DIR")

	all, err := c.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, 5)
	for _, v := range all {
		freed, err := c.Remove(t.Context(), v)
		require.NoError(t, err)
		assert.Positive(t, freed)
	}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, n := range names {
		assert.False(t, n.IsDir() && n.Name() != nameApt, "left behind: %s", n.Name())
	}
}

// A version survives the index and a manifest.
func TestVersionIsJSON(t *testing.T) {
	v := Version{Version: "6.1.1", Flavour: "amd64", Release: "r", Source: SourceDebian, Suite: "sid", Debian: "6.1.1-1", Size: 7,
		Here: true, HasModules: true, Note: "n", Packages: []Package{{Name: "p", Size: 7}}}
	b, err := json.Marshal(v)
	require.NoError(t, err)
	var got Version
	require.NoError(t, json.Unmarshal(b, &got))
	assert.Equal(t, v, got)
}
