package kernels

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	debversion "github.com/knqyf263/go-deb-version"
)

// DefaultFlavour is the flavour that a spec without one means: Debian's
// kernel for virtual machines.
const DefaultFlavour = "cloud-amd64"

// Where a kernel comes from: Version.Source.
const (
	SourceDebian = "debian" // a Debian mirror, through apt
	SourceFile   = "file"   // a bzImage or vmlinux on this machine
	SourceDeb    = "deb"    // a Debian package on this machine
	SourceGit    = "git"    // a commit, to be built
)

// Version is one kernel that can be had. Values come from Catalogue.List and
// Catalogue.Select; String names them.
type Version struct {
	Version string // the kernel's own version: "6.1.192"
	Flavour string // "cloud-amd64", "amd64", "uml"; "" when not Debian's
	Release string // what uname -r says: "6.1.0-56-cloud-amd64"
	Source  string // SourceDebian, SourceFile, SourceDeb or SourceGit
	Suite   string // "bookworm-security"; "" when not from a mirror
	Debian  string // the package's version: "6.1.192-2"; "" when there is none
	Size    int64  // bytes to download; 0 for what is on this machine
	Here    bool   // in the cache; Get needs no network

	// UML says that it is a program of this machine, User Mode Linux, and no
	// kernel for a VM. Libc is the oldest version of glibc that it runs with,
	// "" where it brings its own or wants none.
	UML  bool   `json:",omitempty"`
	Libc string `json:",omitempty"`

	// HasModules says that loadable modules come with it. Note says in
	// words what is lacking, "" when nothing is.
	HasModules bool
	Note       string

	// Packages are what Get downloads.
	Packages []Package `json:",omitempty"`

	// Path, Modules and Config are what file: and deb: were given,
	// absolute. Hash is over their content and names the cache entry.
	Path, Modules, Config, Hash string `json:",omitempty"`

	// Rev is the revision in the repository at Path that git: was given,
	// and Commit what that is, in hex. Hash is over the commit's tree, the
	// configuration and the compiler.
	Rev, Commit string `json:",omitempty"`
}

// Package is a Debian package on a mirror, as the signed list describes it.
type Package struct {
	Name    string // "linux-image-6.1.0-56-cloud-amd64"
	Version string // "6.1.192-2"
	URI     string
	SHA256  string // hexadecimal
	Size    int64  // bytes
	Suite   string
	// Depends and BuiltUsing are kept of User Mode Linux alone, whose own
	// version does not tell the kernel's.
	Depends    string `json:",omitempty"`
	BuiltUsing string `json:",omitempty"`
}

// String is what -k accepts and what a matrix shows: "6.1.192",
// "6.1.192/amd64", "uml:6.1.176", "file:/boot/vmlinuz,modules=/lib/modules/6.1",
// "git:/src/linux@v6.12". It is unique among the versions of a catalogue.
func (v Version) String() string {
	if v.local() {
		s := v.Source + ":" + v.Path
		if v.Source == SourceGit && v.UML {
			s = umlPrefix + s
		}
		if v.Rev != "" {
			s += "@" + v.Rev
		}
		if v.Modules != "" {
			s += ",modules=" + v.Modules
		}
		if v.Config != "" {
			s += ",config=" + v.Config
		}
		return s
	}
	if v.Flavour == FlavourUML {
		return umlPrefix + v.Version
	}
	if v.Flavour != "" && v.Flavour != DefaultFlavour {
		return v.Version + "/" + v.Flavour
	}
	return v.Version
}

// Series is the part of the version that names a line of stable releases:
// "6.1" of "6.1.192".
func (v Version) Series() string { return seriesOf(v.Version) }

// Entry is the name of the directory that holds the kernel in the cache.
func (v Version) Entry() string {
	if v.Hash != "" {
		return v.Source + "-" + v.Hash[:24]
	}
	return v.Version + "-" + v.Flavour
}

// local says that the kernel comes from this machine: from files, or a
// repository.
func (v Version) local() bool { return v.Source != SourceDebian }

func seriesOf(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}

// CompareVersions orders kernel versions as their numbers do: 5.10.9 before
// 5.10.10 before 6.1. A version that stops short comes first: 6.1 before
// 6.1.0.
func CompareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		c := cmp.Compare(m, n)
		if errM != nil || errN != nil {
			c = cmp.Compare(x[i], y[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// compare orders by version, the default flavour first.
func compare(a, b Version) int {
	flavour := func(v Version) string { return strings.TrimPrefix(v.Flavour, DefaultFlavour) }
	return cmp.Or(
		CompareVersions(a.Version, b.Version),
		cmp.Compare(flavour(a), flavour(b)),
		cmp.Compare(a.String(), b.String()),
	)
}

var numbers = regexp.MustCompile(`^[0-9]+(\.[0-9]+)+`)

// upstream is the kernel's own version in a Debian package version: 6.1.192
// of 6.1.192-2, 7.3.4 of 7.3.4-1~bpo13+1. Release candidates have none.
func upstream(debian string) (string, bool) {
	v, _, _ := strings.Cut(debian, "-")
	if v == "" || numbers.FindString(v) != v {
		return "", false
	}
	return v, true
}

// compareDebian compares two package versions as dpkg does; what is not a
// version sorts first.
func compareDebian(a, b string) int {
	x, errX := debversion.NewVersion(a)
	y, errY := debversion.NewVersion(b)
	switch {
	case errX != nil && errY != nil:
		return cmp.Compare(a, b)
	case errX != nil:
		return -1
	case errY != nil:
		return 1
	}
	return x.Compare(y)
}

// Package names that hold a kernel or a part of one: kind, release, flavour.
// Names of metapackages match too; they are told apart by what they hold.
var kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules|base)-([0-9]+\.[0-9.]+(?:[-+][^-]+)?)-(cloud-amd64|amd64)$`)

// A package below this size holds no kernel: metapackages have 2 kB, the
// smallest kernel 12 MB.
const smallestImage = 1 << 20

// assemble makes kernels of packages: one linux-image, or a linux-binary
// with the linux-base and linux-modules of the same release and version. Of
// kernels with the same version and flavour one is kept: with modules rather
// than without, then the highest package version. Those of User Mode Linux are
// a package each.
func assemble(packages []Package) []Version {
	type part struct{ name, version string }
	parts := map[part]Package{}
	for _, p := range packages {
		if _, ok := parts[part{p.Name, p.Version}]; !ok {
			parts[part{p.Name, p.Version}] = p
		}
	}
	type slot struct{ version, flavour string }
	best := map[slot]Version{}
	for _, p := range packages {
		m := kernelPackage.FindStringSubmatch(p.Name)
		if m == nil || p.Size < smallestImage {
			continue
		}
		kind, release, flavour := m[1], m[2]+"-"+m[3], m[3]
		version, ok := upstream(p.Version)
		if !ok || kind != "image" && kind != "binary" {
			continue
		}
		v := Version{Version: version, Flavour: flavour, Release: release, Source: SourceDebian,
			Suite: p.Suite, Debian: p.Version, HasModules: true, Packages: []Package{p}}
		if kind == "binary" {
			modules, hasModules := parts[part{"linux-modules-" + release, p.Version}]
			base, hasBase := parts[part{"linux-base-" + release, p.Version}]
			if hasBase {
				v.Packages = append(v.Packages, base)
			}
			if hasModules {
				v.Packages = append(v.Packages, modules)
			} else {
				v.HasModules, v.Note = false, "no modules package on the mirror"
			}
		}
		for _, p := range v.Packages {
			v.Size += p.Size
		}
		s := slot{version, flavour}
		old, ok := best[s]
		if !ok || v.HasModules && !old.HasModules ||
			v.HasModules == old.HasModules && compareDebian(v.Debian, old.Debian) > 0 {
			best[s] = v
		}
	}
	vs := assembleUML(packages)
	for _, v := range best {
		vs = append(vs, v)
	}
	slices.SortFunc(vs, compare)
	return vs
}

// releaseVersion finds the kernel's own version in what it says of itself:
// Debian's banner ends in "Debian 6.1.192-2 (2026-11-16)", and a kernel of
// anybody else's has it in its release.
func releaseVersion(banner, release string) string {
	if _, after, ok := strings.Cut(banner, " Debian "); ok {
		debian, _, _ := strings.Cut(strings.TrimSpace(after), " ")
		if v, ok := upstream(debian); ok {
			return v
		}
	}
	if v := numbers.FindString(release); v != "" {
		return v
	}
	return filepath.Base(release)
}
