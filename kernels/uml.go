package kernels

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// FlavourUML is the flavour of Debian's User Mode Linux, which a spec names as
// uml:6.1.
const FlavourUML = "uml"

const (
	umlPrefix  = FlavourUML + ":"
	packageUML = "user-mode-linux"

	// Where that package has its files, without a leading usr/.
	debUML        = "bin/linux.uml"
	debModulesUML = "lib/uml/modules/"
	debConfigUML  = "share/doc/user-mode-linux/config.gz"

	// packageLibc is unpacked beside a program that wants a C library, which
	// then is independent of this machine's. It is so from oldestLibc on:
	// earlier ones are several versions of a file, and links.
	packageLibc = "libc6"
	oldestLibc  = "2.34"
	debLibs     = "lib/x86_64-linux-gnu/"
	dirLibs     = "lib"
	loader      = "ld-linux-x86-64.so.2"

	// sectionUML is where the kernel's code for a user's machine registers
	// its options (arch/um/include/shared/init.h); no other kernel has it.
	sectionUML = ".uml.setup.init"
)

// libs are what a program may want of a C library.
var libs = []string{loader, "libc.so.6", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libdl.so.2"}

// wantedPackage is what is read out of a mirror's list.
var wantedPackage = regexp.MustCompile(kernelPackage.String() + `|^(` + packageUML + `|` + packageLibc + `)$`)

var (
	builtUsing = regexp.MustCompile(`\blinux \(= ([^)]+)\)`)
	dependLibc = regexp.MustCompile(`\blibc6 \(>= ([0-9.]+)`)
)

// assembleUML makes kernels of the packages of User Mode Linux. Their version
// is that of the source they were built of. The C library is that of the same
// suite.
func assembleUML(packages []Package) []Version {
	best := map[string]Version{}
	libc := map[string]Package{} // by suite
	for _, p := range packages {
		if p.Name == packageLibc && compareDebian(p.Version, libc[p.Suite].Version) > 0 {
			libc[p.Suite] = p
		}
	}
	for _, p := range packages {
		source := builtUsing.FindStringSubmatch(p.BuiltUsing)
		if p.Name != packageUML || source == nil {
			continue
		}
		version, ok := upstream(source[1])
		if !ok {
			continue
		}
		v := Version{Version: version, Flavour: FlavourUML, Source: SourceDebian, Suite: p.Suite, Debian: p.Version,
			UML: true, HasModules: true, Size: p.Size, Packages: []Package{p}}
		own := libc[p.Suite]
		if m := dependLibc.FindStringSubmatch(p.Depends); m != nil {
			if version, ok := upstream(own.Version); ok && CompareVersions(version, oldestLibc) >= 0 {
				v.Packages = append(v.Packages, own)
				v.Size += own.Size
			} else {
				v.Libc = m[1]
			}
		}
		if old, ok := best[version]; !ok || compareDebian(v.Debian, old.Debian) > 0 {
			best[version] = v
		}
	}
	var vs []Version
	for _, v := range best {
		vs = append(vs, v)
	}
	return vs
}

// umlOf says whether a file is User Mode Linux, and which glibc it then wants,
// "" for none.
func umlOf(path string) (is bool, libc string, err error) {
	f, err := elf.Open(path)
	if format := new(elf.FormatError); errors.As(err, &format) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	defer f.Close()
	if f.Section(sectionUML) == nil {
		return false, "", nil
	}
	symbols, err := f.ImportedSymbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return true, "", nil // linked statically
	}
	for _, s := range symbols {
		if v, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && CompareVersions(v, libc) > 0 {
			libc = v
		}
	}
	return true, libc, err
}

// finishUML reads from the program what no file came with.
func (b *builder) finishUML(m *manifest) error {
	path := filepath.Join(b.dir, nameUML)
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m.Version.UML = true
	m.Version.Release, _, _ = strings.Cut(vmlinuxBanner(image), " ")
	if m.Version.Release == "" {
		return fmt.Errorf("%s: no kernel version in it: not a Linux kernel", nameUML)
	}
	own, err := b.ownLibs(image)
	if err != nil {
		return err
	}
	if own == nil {
		// What the program itself needs is more exact than its package.
		if _, m.Version.Libc, err = umlOf(path); err != nil {
			return err
		}
	} else if err := b.write(nameUML, own); err != nil {
		return err
	}
	if _, ok := b.files[nameConfig]; ok {
		return nil
	}
	config := ikconfig(image)
	if _, ok := b.files[nameConfigGz]; ok {
		packed, err := os.ReadFile(filepath.Join(b.dir, nameConfigGz))
		if err != nil {
			return err
		}
		if config = gunzip(packed); config == nil {
			return fmt.Errorf("%s: not a configuration in gzip's format", nameConfigGz)
		}
	}
	if config != nil {
		return b.write(nameConfig, config)
	}
	return nil
}

// ownLibs is the program with the C library beside it as its own: the loader is
// the one in the directory that the program is started in. It is nil where not
// all is there that it needs.
func (b *builder) ownLibs(image []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	needs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range append(needs, loader) {
		if _, ok := b.files[dirLibs+"/"+name]; !ok {
			return nil, nil
		}
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz > uint64(len(loader)) {
			own := bytes.Clone(image)
			clear(own[p.Off : p.Off+p.Filesz])
			copy(own[p.Off:], loader)
			return own, nil
		}
	}
	return nil, nil
}

// ikconfig is the configuration that a kernel with CONFIG_IKCONFIG holds
// (kernel/configs.c), nil if there is none.
func ikconfig(image []byte) []byte {
	_, packed, ok := bytes.Cut(image, []byte("IKCFG_ST"))
	if !ok {
		return nil
	}
	return gunzip(packed)
}

// gunzip expands a configuration, behind which there may be more; nil if it is
// none.
func gunzip(packed []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	r.Multistream(false)
	text, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return nil
	}
	return text
}

// maxConfig bounds a configuration; real ones are below 300 kB.
const maxConfig = 4 << 20
