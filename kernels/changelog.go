package kernels

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
)

// ErrNoChangelog says that a kernel's changelog is not in the cache.
var ErrNoChangelog = errors.New("no changelog in the cache")

// Changes are the items of the kernel's changelog about versions after since,
// such as 6.1.187, that match like, newest first: "6.1.190: rtnetlink: ...". of
// is how many items there are in all. The error is ErrNoChangelog where none was
// kept.
func (k *Kernel) Changes(since string, like *regexp.Regexp) (items []string, of int, err error) {
	if k.Changelog == "" {
		return nil, 0, ErrNoChangelog
	}
	f, err := os.Open(k.Changelog)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, 0, err
	}
	return changes(z, since, like)
}

// entryHead begins an entry: "linux (6.1.190-1) bookworm-security; urgency=high",
// or "linux-signed-amd64 (6.1.192+2) ...".
var entryHead = regexp.MustCompile(`^linux[^ ]* \(([0-9.]+)[^)]*\)`)

func changes(r io.Reader, since string, like *regexp.Regexp) (items []string, of int, err error) {
	version, item := "", ""
	flush := func() {
		if item != "" {
			of++
		}
		if item != "" && like.MatchString(item) {
			items = append(items, version+": "+item)
		}
		item = ""
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := entryHead.FindStringSubmatch(line); m != nil {
			flush()
			if version = m[1]; CompareVersions(version, since) <= 0 {
				return items, of, nil
			}
			continue
		}
		text := strings.TrimSpace(line)
		switch {
		case text == "" || strings.HasPrefix(line, " -- "):
			flush()
		case strings.HasPrefix(text, "* ") || strings.HasPrefix(text, "- "):
			flush()
			item = text[2:]
		case item != "":
			item += " " + text
		}
	}
	flush()
	return items, of, lines.Err()
}
