package kernels

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoModule is what Modules wraps for a name that the kernel has neither as
// a module nor built in.
var ErrNoModule = errors.New("no such module")

// maxModule bounds what a damaged module can make us decompress.
const maxModule = 256 << 20

// Module is one loadable module of a kernel.
type Module struct {
	Name string // as the kernel has it, with underscores: "virtio_net"
	Path string // absolute, in the cache; compressed as it came

	file fileSum
}

// moduleIndex stands in for modules.dep, modules.alias and modules.softdep,
// which no package holds. Names have underscores throughout.
type moduleIndex struct {
	Modules map[string]moduleInfo
	Builtin map[string]bool
	// BuiltinAliases are patterns that code in the kernel itself answers.
	BuiltinAliases []string
}

// moduleInfo is what .modinfo says of a module.
type moduleInfo struct {
	File    string // relative to the entry's modules directory
	Sum     fileSum
	Depends []string `json:",omitempty"`
	Pre     []string `json:",omitempty"` // softdep=pre:, wanted but not needed
	Aliases []string `json:",omitempty"`
}

// normal is the form of module names and aliases in which - and _ are alike.
func normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// moduleFile says whether a file is a module, and of what name.
func moduleFile(file string) (name string, ok bool) {
	base := path.Base(file)
	for _, suffix := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if name, ok := strings.CutSuffix(base, suffix); ok && name != "" {
			return normal(name), true
		}
	}
	return "", false
}

// expand decompresses a module by the magic it begins with.
func expand(b []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch in := bytes.NewReader(b); {
	case isELF(b):
		return b, nil
	case bytes.HasPrefix(b, []byte("\xfd7zXZ\x00")):
		r, err = openXZ(in)
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		r, err = openZstd(in)
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		r, err = gzip.NewReader(in)
	default:
		return nil, fmt.Errorf("neither ELF nor xz, zstd or gzip: it begins with % x", b[:min(6, len(b))])
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(out) > maxModule {
		err = fmt.Errorf("more than %d bytes when decompressed", maxModule)
	}
	return out, err
}

// readModinfo takes what is needed for loading out of a module.
func readModinfo(b []byte) (moduleInfo, error) {
	var info moduleInfo
	b, err := expand(b)
	if err != nil {
		return info, err
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return info, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return info, errors.New("no .modinfo section")
	}
	text, err := section.Data()
	if err != nil {
		return info, fmt.Errorf(".modinfo: %w", err)
	}
	for field := range strings.SplitSeq(string(text), "\x00") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					info.Depends = append(info.Depends, normal(d))
				}
			}
		case "softdep":
			info.Pre = append(info.Pre, softdepPre(value)...)
		case "alias":
			info.Aliases = append(info.Aliases, normal(value))
		}
	}
	return info, nil
}

// softdepPre are the modules between "pre:" and "post:".
func softdepPre(value string) []string {
	var names []string
	pre := false
	for _, w := range strings.Fields(value) {
		switch {
		case strings.HasSuffix(w, ":"):
			pre = w == "pre:"
		case pre:
			names = append(names, normal(w))
		}
	}
	return names
}

// addBuiltin reads modules.builtin, one path a line.
func (x *moduleIndex) addBuiltin(text []byte) {
	for line := range strings.Lines(string(text)) {
		if name, ok := moduleFile(strings.TrimSpace(line)); ok {
			x.Builtin[name] = true
		}
	}
}

// addBuiltinModinfo reads modules.builtin.modinfo, "module.key=value" each
// ended by a zero byte.
func (x *moduleIndex) addBuiltinModinfo(text []byte) {
	for field := range strings.SplitSeq(string(text), "\x00") {
		key, value, _ := strings.Cut(field, "=")
		if name, ok := strings.CutSuffix(key, ".alias"); ok && name != "" {
			x.BuiltinAliases = append(x.BuiltinAliases, normal(value))
		}
	}
}

// find turns a module name or a modalias into the modules to load, none for
// what is built in.
func (x *moduleIndex) find(name string) (names []string, found bool) {
	name = normal(name)
	if _, ok := x.Modules[name]; ok {
		return []string{name}, true
	}
	if x.Builtin[name] {
		return nil, true
	}
	for module, info := range x.Modules {
		if slices.ContainsFunc(info.Aliases, func(p string) bool { return match(p, name) }) {
			names = append(names, module)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		return names, true
	}
	return nil, slices.ContainsFunc(x.BuiltinAliases, func(p string) bool { return match(p, name) })
}

// order appends name to list after everything it needs.
func (x *moduleIndex) order(list []string, name string, path []string) ([]string, error) {
	if slices.Contains(list, name) {
		return list, nil
	}
	if slices.Contains(path, name) {
		return list, fmt.Errorf("modules depend on each other: %s", strings.Join(append(path, name), " → "))
	}
	path = append(slices.Clip(path), name)
	info := x.Modules[name]
	for _, pre := range info.Pre {
		// May be an alias, may not exist, may want us in turn: all that
		// is no reason not to load this one.
		names, _ := x.find(pre)
		for _, n := range names {
			if with, err := x.order(list, n, path); err == nil {
				list = with
			}
		}
	}
	for _, dep := range info.Depends {
		if _, ok := x.Modules[dep]; !ok {
			if x.Builtin[dep] {
				continue
			}
			return list, fmt.Errorf("%w: %s, which %s needs", ErrNoModule, dep, name)
		}
		var err error
		if list, err = x.order(list, dep, path); err != nil {
			return list, err
		}
	}
	return append(list, name), nil
}

// match is fnmatch(3) without flags: * matches any text, ? one character,
// [a-z] one of a set.
func match(pattern, s string) bool {
	// Where to resume when the text after the last * does not fit.
	star, resume := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, resume = p, i
			p++
			continue
		}
		if width, ok := matchOne(pattern[p:], s[i]); ok {
			p += width
			i++
			continue
		}
		if star < 0 {
			return false
		}
		resume++
		p, i = star+1, resume
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches the first element of pattern with c and returns how long
// that element is.
func matchOne(pattern string, c byte) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		end := strings.IndexByte(pattern, ']')
		if end < 0 {
			return 1, c == '['
		}
		set := pattern[1:end]
		negate := strings.HasPrefix(set, "!") || strings.HasPrefix(set, "^")
		if negate {
			set = set[1:]
		}
		in := false
		for i := 0; i < len(set); i++ {
			// normal has turned the - of a range into _.
			if i+2 < len(set) && (set[i+1] == '-' || set[i+1] == '_') {
				in = in || set[i] <= c && c <= set[i+2]
				i += 2
				continue
			}
			in = in || set[i] == c
		}
		return end + 1, in != negate
	}
	return 1, pattern[0] == c
}

// Modules are the modules to load for name, in load order: dependencies (and
// what a softdep wants before) first. name is a module's name or what
// request_module asks for, such as "rtnl-link-veth" or
// "net-pf-16-proto-16-family-nl80211"; - and _ are alike. For what is built
// in there is nothing to load and no error. An error wraps ErrNoModule when
// the kernel has no such module.
func (k *Kernel) Modules(name string) ([]Module, error) {
	x, err := k.load()
	if err != nil {
		return nil, err
	}
	names, found := x.find(name)
	if !found {
		why := ""
		switch {
		case !k.KnowsBuiltin && k.Version.Note != "":
			why = " (" + k.Version.Note + ", and no list of what is built in)"
		case !k.KnowsBuiltin:
			why = " (nothing says what is built in)"
		case k.Version.Note != "":
			why = " (" + k.Version.Note + ")"
		}
		return nil, fmt.Errorf("kernel %s: %w: %s%s", k.Version, ErrNoModule, name, why)
	}
	var order []string
	for _, n := range names {
		if order, err = x.order(order, n, nil); err != nil {
			return nil, fmt.Errorf("kernel %s: module %s: %w", k.Version, name, err)
		}
	}
	modules := make([]Module, 0, len(order))
	for _, n := range order {
		info := x.Modules[n]
		modules = append(modules, Module{Name: n, Path: filepath.Join(k.dir, dirModules, info.File), file: info.Sum})
	}
	return modules, nil
}

// ReadModule is the module as init_module(2) wants it: read from the cache,
// checked against the hash that was taken when it was unpacked, decompressed,
// without its signature, since to verify that costs an emulated processor a tenth
// to a third of a second a module, and without debug information.
// If it is damaged the kernel is fetched again.
func (k *Kernel) ReadModule(m Module) ([]byte, error) {
	b, err := m.read()
	if err != nil {
		err = k.catalogue.repair(k.Version, err, func() error {
			b, err = m.read()
			return err
		})
	}
	if err == nil {
		b, err = expand(b)
		b = withoutDebug(unsigned(b))
	}
	if err != nil {
		return nil, fmt.Errorf("kernel %s: module %s: %w", k.Version, m.Name, err)
	}
	return b, nil
}

// unsigned is a module without the signature at its end, if there is one: the
// signature, a struct module_signature whose last four bytes are its length,
// and a line that says so (scripts/sign-file.c).
func unsigned(b []byte) []byte {
	const mark, sizeof = "~Module signature appended~\n", 12
	rest, ok := bytes.CutSuffix(b, []byte(mark))
	if !ok || len(rest) < sizeof {
		return b
	}
	n := int64(binary.BigEndian.Uint32(rest[len(rest)-4:])) + sizeof
	if n > int64(len(rest)) {
		return b
	}
	return rest[:int64(len(rest))-n]
}

func (m Module) read() ([]byte, error) {
	b, err := os.ReadFile(m.Path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != m.file.SHA256 {
		return nil, damaged("module "+m.Name, got, m.file.SHA256)
	}
	return b, nil
}
