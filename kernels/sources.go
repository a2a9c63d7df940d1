package kernels

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// debianKeyring is what signs every Debian archive.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// The suites that are looked for, and their security counterparts, which
// live in an archive of their own.
var (
	suites         = []string{"bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "sid"}
	securitySuites = []string{"bullseye-security", "bookworm-security", "trixie-security"}
)

// archive is one Debian archive: where it is and how apt is to trust it.
type archive struct {
	URI     string
	Keyring string // file with the signing keys; "" leaves it to apt's own
	Trusted bool   // the machine's owner wrote trusted=yes
}

// archives are the main archive and the one with security updates. security
// is nil where the machine has none.
type archives struct {
	main     archive
	security *archive
}

// list is the text of a sources.list that names every suite.
func (a archives) list() string {
	var b strings.Builder
	for _, t := range a.targets() {
		options := []string{"arch=amd64"}
		if t.Trusted {
			options = append(options, "trusted=yes")
		} else if t.Keyring != "" {
			options = append(options, "signed-by="+t.Keyring)
		}
		fmt.Fprintf(&b, "deb [%s] %s %s main\n", strings.Join(options, " "), t.URI, t.suite)
	}
	return b.String()
}

// target is one suite of one archive.
type target struct {
	archive
	suite string
}

func (a archives) targets() []target {
	var ts []target
	for _, s := range suites {
		ts = append(ts, target{a.main, s})
	}
	if a.security != nil {
		for _, s := range securitySuites {
			ts = append(ts, target{*a.security, s})
		}
	}
	return ts
}

// mirrorArchives are the archives of --mirror: the security suites are
// looked for at the same address with "-security" appended, where Debian's
// own mirrors keep them.
func mirrorArchives(mirror string) (archives, error) {
	u, err := url.Parse(mirror)
	if err != nil || u.Scheme == "" || strings.ContainsAny(mirror, " \t\n[]\"") {
		return archives{}, fmt.Errorf("%w: mirror %q: want an address such as http://mirror.example/debian", ErrSpec, mirror)
	}
	mirror = strings.TrimSuffix(mirror, "/")
	a := archives{
		main:     archive{URI: mirror, Keyring: debianKeyring},
		security: &archive{URI: mirror + "-security", Keyring: debianKeyring},
	}
	return a, a.checkKeyrings()
}

// machineArchives reads the Debian mirror from the machine's apt sources
// under etc, "/etc/apt".
func machineArchives(etc string) (archives, error) {
	files, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	slices.Sort(files)
	files = append([]string{filepath.Join(etc, "sources.list")}, files...)
	var a archives
	for _, file := range files {
		var read func(string) []sourceEntry
		switch filepath.Ext(file) {
		case ".list":
			read = oneLineSources
		case ".sources":
			read = deb822Sources
		default:
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue // not there, or not for this user
		}
		for _, e := range read(string(text)) {
			a.add(e)
		}
	}
	if a.main.URI == "" {
		return a, fmt.Errorf("no Debian mirror in the apt sources under %s; name one with --mirror", etc)
	}
	return a, a.checkKeyrings()
}

func (a *archives) checkKeyrings() error {
	check := []*archive{&a.main}
	if a.security != nil {
		check = append(check, a.security)
	}
	for _, c := range check {
		if c.Trusted {
			continue
		}
		if c.Keyring == "" {
			c.Keyring = debianKeyring
		}
		_, err := os.Stat(c.Keyring)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keyring %s is missing, so %s cannot be trusted; install the package debian-archive-keyring", c.Keyring, c.URI)
		}
	}
	return nil
}

// sourceEntry is what both formats of apt sources boil down to.
type sourceEntry struct {
	uri     string
	suites  []string
	comps   []string
	keyring string
	trusted bool
}

// Names that a Debian suite begins with; what is left may say -security.
var debianNames = []string{"oldoldstable", "oldstable", "stable", "testing", "unstable",
	"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"}

func (a *archives) add(e sourceEntry) {
	if e.uri == "" || strings.HasPrefix(e.uri, "cdrom:") || !slices.Contains(e.comps, "main") {
		return
	}
	found := archive{URI: strings.TrimSuffix(e.uri, "/"), Keyring: e.keyring, Trusted: e.trusted}
	for _, suite := range e.suites {
		name, rest, _ := strings.Cut(suite, "-")
		name, updates, _ := strings.Cut(name, "/")
		if !slices.Contains(debianNames, name) {
			continue
		}
		if rest == "security" || updates == "updates" {
			if a.security == nil {
				a.security = &found
			}
		} else if a.main.URI == "" {
			a.main = found
		}
	}
}

// oneLineSources reads "deb [options] URI suite component..." lines.
func oneLineSources(text string) []sourceEntry {
	var es []sourceEntry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue
		}
		var e sourceEntry
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, _ := strings.Cut(rest[1:], "]")
			rest = after
			for _, o := range strings.Fields(options) {
				key, value, _ := strings.Cut(o, "=")
				e.option(key, value)
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 {
			continue
		}
		e.uri, e.suites, e.comps = fields[0], fields[1:2], fields[2:]
		es = append(es, e)
	}
	return es
}

// deb822Sources reads stanzas of "Key: value" fields.
func deb822Sources(text string) []sourceEntry {
	var es []sourceEntry
	for _, stanza := range stanzas(text) {
		if !slices.Contains(strings.Fields(stanza["types"]), "deb") || strings.EqualFold(stanza["enabled"], "no") {
			continue
		}
		uris := strings.Fields(stanza["uris"])
		if len(uris) == 0 {
			continue
		}
		e := sourceEntry{uri: uris[0], suites: strings.Fields(stanza["suites"]), comps: strings.Fields(stanza["components"])}
		e.option("signed-by", stanza["signed-by"])
		e.option("trusted", stanza["trusted"])
		es = append(es, e)
	}
	return es
}

func stanzas(text string) []map[string]string {
	var all []map[string]string
	current := map[string]string{}
	key := ""
	s := bufio.NewScanner(strings.NewReader(text + "\n\n"))
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			if len(current) > 0 {
				all = append(all, current)
			}
			current, key = map[string]string{}, ""
		case line[0] == ' ' || line[0] == '\t':
			if key != "" {
				current[key] += "\n" + strings.TrimSpace(line)
			}
		default:
			name, value, _ := strings.Cut(line, ":")
			key = strings.ToLower(strings.TrimSpace(name))
			current[key] = strings.TrimSpace(value)
		}
	}
	return all
}

// option takes over what says how to trust the archive. A Signed-By that is
// a fingerprint or a key in the file itself is left to the usual keyring.
func (e *sourceEntry) option(key, value string) {
	switch strings.ToLower(key) {
	case "signed-by":
		if strings.HasPrefix(value, "/") && !strings.ContainsAny(value, " \n\t") {
			e.keyring = value
		}
	case "trusted":
		e.trusted = strings.EqualFold(value, "yes") || value == "true" || value == "1"
	}
}
