package kernels

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nlrig/nlrig/kernels/cachedir"
	"github.com/nlrig/nlrig/kernels/child"
)

const (
	aptHelper = "/usr/lib/apt/apt-helper"

	// Deadlines of whole programs. apt has shorter ones of its own for a
	// mirror that says nothing.
	updateDeadline   = 3 * time.Minute
	downloadDeadline = 30 * time.Minute
	unpackDeadline   = 5 * time.Minute
)

// apt runs apt with a configuration of its own: own state, own cache, own
// sources. It needs no root, takes no lock of the system, runs no hook of
// the system, and leaves the system's package lists alone. Signatures are
// checked as always.
type apt struct {
	dir      string // apt.conf, sources.list, lists/
	archives archives
	patience time.Duration // with a mirror that says nothing
	log      func(string, ...any)
}

// Settings of the machine that say how to reach a mirror and what to make of
// its dates; the rest of the machine's configuration is not read, since it
// holds hooks.
var machineSettings = regexp.MustCompile(`^Acquire::(http|https|ftp|Proxy|ForceIPv|Check-Valid|Check-Date|Max-ValidTime|Min-ValidTime|By-Hash)`)

// setUp writes the configuration. Lists that came from other sources go.
func (a *apt) setUp(ctx context.Context) error {
	if strings.ContainsAny(a.dir, "\"\n") {
		return fmt.Errorf("cache directory %q: apt cannot be told of a path with quotes in it", a.dir)
	}
	list := filepath.Join(a.dir, "sources.list")
	lists := filepath.Join(a.dir, "lists")
	text := a.archives.list()
	if old, err := os.ReadFile(list); err != nil || string(old) != text {
		if err := os.RemoveAll(lists); err != nil {
			return err
		}
	}
	for _, d := range []string{filepath.Join(lists, "partial"), filepath.Join(a.dir, "cache", "archives", "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	seconds := fmt.Sprintf("%.0f", max(1, a.patience.Seconds()))
	var conf strings.Builder
	machine, _, err := run(ctx, updateDeadline, nil, "apt-config", "dump")
	if errors.Is(err, exec.ErrNotFound) {
		return err
	}
	for line := range strings.Lines(string(machine)) {
		if machineSettings.MatchString(line) {
			conf.WriteString(line)
		}
	}
	for _, s := range [][2]string{
		{"Dir::State", a.dir + "/"},
		{"Dir::State::Lists", lists},
		{"Dir::State::status", filepath.Join(a.dir, "status")},
		{"Dir::Cache", filepath.Join(a.dir, "cache")},
		{"Dir::Cache::pkgcache", ""},
		{"Dir::Cache::srcpkgcache", ""},
		{"Dir::Etc::sourcelist", list},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"APT::Architecture", "amd64"},
		{"APT::Architectures", "amd64"},
		// apt's own user cannot reach a cache in root's home.
		{"APT::Sandbox::User", "root"},
		{"APT::Update::Error-Mode", "any"},
		// Only the lists of packages, kept as they came; apt's own view
		// of them takes seconds to build and is not needed.
		{"pkgCacheFile::Generate", "false"},
		{"Acquire::Languages", "none"},
		{"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false"},
		{"Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled", "false"},
		{"Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled", "false"},
		{"Acquire::IndexTargets::deb::Packages::KeepCompressedAs", "xz"},
		{"Acquire::GzipIndexes", "true"},
		{"Acquire::PDiffs", "false"},
		{"Acquire::Retries", "2"},
		{"Acquire::http::Timeout", seconds},
		{"Acquire::https::Timeout", seconds},
		{"Acquire::ftp::Timeout", seconds},
	} {
		fmt.Fprintf(&conf, "%s \"%s\";\n", s[0], s[1])
	}
	for path, text := range map[string]string{
		a.conf():                       conf.String(),
		list:                           text,
		filepath.Join(a.dir, "status"): "",
	} {
		// Another nlrig may be running apt with it at this moment.
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}

func (a *apt) conf() string { return filepath.Join(a.dir, "apt.conf") }

func (a *apt) env() []string { return []string{"APT_CONFIG=" + a.conf(), "LC_ALL=C"} }

// update fetches the package lists and reads the kernels out of them. A suite
// that the mirror lacks is noted and skipped. complete is false when one
// failed for another reason, which may pass.
func (a *apt) update(ctx context.Context) (packages []Package, complete bool, err error) {
	if err := a.setUp(ctx); err != nil {
		return nil, false, err
	}
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go a.watch(watched, cancel)
	out, stderr, err := run(watched, updateDeadline, a.env(), "apt-get", "update", "-q")
	if err != nil && errors.Is(context.Cause(watched), errSilent) {
		err = errSilent
	}
	if err != nil && (errors.Is(err, exec.ErrNotFound) || ctx.Err() != nil) {
		return nil, false, err
	}
	complaints := append(complaintsOf(stderr), complaintsOf(out)...)
	complete = err == nil || len(complaints) > 0
	var missing, notes []string
	failed := ""
	answered := false
	targets := a.archives.targets()
	lists := make([][]Package, len(targets))
	errs := make([]error, len(targets))
	slots := make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i, t := range targets {
		file := a.listOf(t)
		var why string
		if err != nil {
			var absent bool
			absent, why = reason(t, complaints)
			if absent {
				answered = true
				missing = append(missing, t.suite)
				continue
			}
			if why == "" && (file == "" || len(complaints) == 0) {
				why = err.Error()
			}
		}
		if why != "" {
			complete = false
			if failed == "" {
				failed = why
			}
			if file == "" {
				notes = append(notes, fmt.Sprintf("suite %s skipped: %s", t.suite, why))
				continue
			}
			notes = append(notes, fmt.Sprintf("suite %s not refreshed, its earlier list serves: %s", t.suite, why))
		} else {
			answered = true
		}
		wg.Go(func() {
			slots <- struct{}{}
			lists[i], errs[i] = a.read(ctx, t, file, wantedPackage)
			<-slots
		})
	}
	wg.Wait()
	if !answered {
		// On a full disk the network is not at fault, whatever apt makes of it.
		full := new(cachedir.FullError)
		if err := cachedir.DiskError(filepath.Dir(a.dir), errors.New(failed)); errors.As(err, &full) {
			return nil, false, err
		}
		return nil, false, fmt.Errorf("%s: %s; check the network, or name another mirror with --mirror", a.archives.main.URI, failed)
	}
	if err := errors.Join(errs...); err != nil {
		// apt holds a list for good that it could not write in full.
		return nil, false, errors.Join(cachedir.DiskError(filepath.Dir(a.dir), err), os.RemoveAll(filepath.Join(a.dir, "lists")))
	}
	for _, l := range lists {
		packages = append(packages, l...)
	}
	if len(missing) > 0 {
		notes = append(notes, "not on the mirror, skipped: "+strings.Join(missing, ", "))
	}
	for _, n := range notes {
		a.log("%s", n)
	}
	if len(packages) == 0 && failed != "" {
		return nil, false, fmt.Errorf("%s: %s", a.archives.main.URI, failed)
	}
	if len(packages) == 0 {
		return nil, false, fmt.Errorf("%s has no kernels for amd64; name another mirror with --mirror", a.archives.main.URI)
	}
	return packages, complete, nil
}

var errSilent = errors.New("the mirror says nothing")

// watch gives up on a mirror of which nothing arrives. apt would, too, but
// for each suite in turn.
func (a *apt) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	patience := 2*a.patience + 5*time.Second
	size, last := int64(-1), time.Now()
	for ctx.Err() == nil {
		if now := cachedir.TreeSize(filepath.Join(a.dir, "lists")); now != size {
			size, last = now, time.Now()
		} else if time.Since(last) > patience {
			cancel(errSilent)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// listOf is the file that apt keeps the packages of a suite in, "" if none
// arrived.
func (a *apt) listOf(t target) string {
	files, _ := filepath.Glob(filepath.Join(a.dir, "lists", "*_dists_"+t.suite+"_main_binary-amd64_Packages*"))
	if len(files) == 0 {
		return ""
	}
	return files[0]
}

// complaintsOf are apt's lines that begin with E:, W: or Err, and the cause
// that follows an Err line.
func complaintsOf(out []byte) []string {
	var lines []string
	cause := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if cause && strings.HasPrefix(line, "  ") {
			lines[len(lines)-1] += " " + strings.TrimSpace(line)
		}
		cause = strings.HasPrefix(line, "Err:")
		if cause || strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// reason finds why a suite's list did not arrive. absent says that the
// mirror answered and has no such suite.
func reason(t target, complaints []string) (absent bool, why string) {
	for _, c := range complaints {
		if !strings.Contains(c, " "+t.suite+" ") && !strings.Contains(c, "/dists/"+t.suite+"/") {
			continue
		}
		// Release.gpg is absent where the archive is not signed.
		if (strings.Contains(c, " 404 ") || strings.Contains(c, "File not found")) && !strings.Contains(c, "Release.gpg") {
			return true, ""
		}
		if why == "" || strings.HasPrefix(c, "E: ") && !strings.Contains(c, "does not have a Release file") {
			why = strings.TrimPrefix(strings.TrimPrefix(c, "E: "), "W: ")
		}
	}
	return false, why
}

// read takes the packages with a name like that out of one package list.
func (a *apt) read(ctx context.Context, t target, file string, name *regexp.Regexp) ([]Package, error) {
	out, stderr, err := run(ctx, updateDeadline, a.env(), aptHelper, "cat-file", file)
	if err != nil {
		return nil, fmt.Errorf("package list of %s: %w: %s", t.suite, err, firstLine(stderr))
	}
	return parsePackages(out, t, name)
}

// parsePackages reads a Packages file; what has a name like that is kept.
func parsePackages(text []byte, t target, like *regexp.Regexp) ([]Package, error) {
	var all []Package
	var p Package
	keep := false
	flush := func() {
		if keep && p.URI != "" && p.SHA256 != "" && p.Size > 0 {
			all = append(all, p)
		}
		p, keep = Package{}, false
	}
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(make([]byte, 64<<10), 4<<20)
	for s.Scan() {
		line := s.Bytes()
		if len(line) == 0 {
			flush()
			continue
		}
		if name, ok := bytes.CutPrefix(line, []byte("Package: ")); ok {
			keep = like.Match(name)
			p.Name, p.Suite = string(name), t.suite
		}
		if !keep || line[0] == ' ' {
			continue
		}
		key, value, _ := strings.Cut(string(line), ": ")
		switch key {
		case "Version":
			p.Version = value
		case "Depends", "Built-Using":
			if p.Name == packageUML {
				*map[string]*string{"Depends": &p.Depends, "Built-Using": &p.BuiltUsing}[key] = value
			}
		case "Filename":
			p.URI = t.URI + "/" + value
		case "SHA256":
			p.SHA256 = value
		case "Size":
			fmt.Sscan(value, &p.Size)
		}
	}
	flush()
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("package list of %s: %w", t.suite, err)
	}
	return all, nil
}

// ErrGone says that the mirror no longer has a package.
var ErrGone = errors.New("no longer on the mirror")

// download fetches a package into file. apt checks its hash against the
// signed list; progress is told how many bytes have come.
func (a *apt) download(ctx context.Context, p Package, file string, progress func(int64)) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if st, err := os.Stat(file); err == nil {
					progress(min(st.Size(), p.Size))
				}
			}
		}
	})
	out, stderr, err := run(ctx, downloadDeadline, a.env(), aptHelper, "-q", "download-file", p.URI, file, "SHA256:"+p.SHA256)
	close(stop)
	wg.Wait()
	if err != nil {
		said := ""
		for _, c := range append(complaintsOf(out), complaintsOf(stderr)...) {
			if _, cause, ok := strings.Cut(c, p.URI+" "); ok {
				said = strings.TrimSpace(cause)
			}
		}
		if strings.HasPrefix(said, "404 ") || said == "File not found" {
			return fmt.Errorf("%s: %w", p.URI, ErrGone)
		}
		if said == "" {
			return fmt.Errorf("download %s: %w: %s", p.URI, err, firstLine(stderr))
		}
		return fmt.Errorf("download %s: %s", p.URI, said)
	}
	st, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("download %s: %w", p.URI, err)
	}
	if st.Size() != p.Size {
		return fmt.Errorf("download %s: got %d of %d bytes", p.URI, st.Size(), p.Size)
	}
	sum, err := hashFile(file)
	if err != nil {
		return err
	}
	if sum != p.SHA256 {
		return fmt.Errorf("download %s: sha256 %s, the signed list says %s", p.URI, sum, p.SHA256)
	}
	return nil
}

// run runs a program to its end or the deadline's and returns what it wrote.
func run(ctx context.Context, deadline time.Duration, env []string, name string, arg ...string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	cmd := child.Command(ctx, name, arg...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	err = child.Run(cmd)
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("%s is not on this machine (%w): install the packages apt and dpkg, or use file: kernels, which need neither", name, exec.ErrNotFound)
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: stopped after %s: %w", filepath.Base(name), deadline, ctx.Err())
	case err != nil:
		err = fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return out.Bytes(), errs.Bytes(), err
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
