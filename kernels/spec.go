package kernels

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrSpec is what errors about a spec wrap: one that cannot be read, or that
// names what does not exist. Other errors of Select are the machine's or the
// mirror's.
var ErrSpec = errors.New("no such kernel")

// defaultSeries, with the newest, are what the spec "default" means: the
// kernels of Debian's releases.
var defaultSeries = []string{"5.10", "6.1", "6.12"}

var number = regexp.MustCompile(`^[0-9]+(\.[0-9]+){1,3}$`)

// Select turns one element of -k into kernels, oldest first:
//
//	6.12               the newest version of a series
//	6.12.94            that version
//	6.12.43..6.12.95   all between, both ends included; an end may be a series
//	all                every version
//	newest             the newest of all
//	default            the newest of 5.10, 6.1, 6.12, and newest
//	uml:6.1            User Mode Linux; any of the above after the colon
//	file:PATH[,modules=DIR][,config=FILE]   a bzImage, a vmlinux, or User Mode Linux
//	deb:PATH           a Debian package
//	git:DIR[@REV][,config=FILE]   a commit of a repository, HEAD if none is
//	                   named, to be built; FILE has options of one's own;
//	                   after uml:, as User Mode Linux
//	built              what was built from repositories and is here
//
// Each but the last five may end in /FLAVOUR. What is in the cache is found
// without the mirror, and when the mirror cannot be asked a series means the
// newest version in the cache. An error wraps ErrSpec when the spec names
// nothing, and then says what exists near it.
func (c *Catalogue) Select(ctx context.Context, spec string) ([]Version, error) {
	if path, ok := strings.CutPrefix(spec, "file:"); ok {
		return c.selectLocal(selectFile(path))
	}
	if path, ok := strings.CutPrefix(spec, "deb:"); ok {
		return c.selectLocal(selectDeb(ctx, path))
	}
	if path, ok := strings.CutPrefix(spec, "git:"); ok {
		return c.selectLocal(c.selectGit(ctx, path, false))
	}
	if path, ok := strings.CutPrefix(spec, umlPrefix+"git:"); ok {
		return c.selectLocal(c.selectGit(ctx, path, true))
	}
	if spec == "built" {
		return c.built(), nil
	}
	base, flavour, ok := strings.Cut(spec, "/")
	if of, isUML := strings.CutPrefix(spec, umlPrefix); isUML {
		base, flavour = of, FlavourUML
	} else if !ok {
		flavour = DefaultFlavour
	}
	from, to, isRange := strings.Cut(base, "..")
	if !isRange {
		to = from
	}
	word := base == "all" || base == "newest" || base == "default"
	if flavour == "" || !word && (!number.MatchString(from) || !number.MatchString(to)) {
		return nil, fmt.Errorf("%w: %q is not a kernel: want a series (6.12), a version (6.12.94), a range (6.12.43..6.12.95), all, newest, default, one of these after uml:, file:PATH, deb:PATH or git:DIR@REV", ErrSpec, spec)
	}
	if !word && !isRange {
		// A version that is here needs no look at the mirror.
		for _, v := range c.here() {
			if v.Source == SourceDebian && v.Version == base && v.Flavour == flavour {
				return []Version{v}, nil
			}
		}
	}
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v Version) bool { return v.local() || v.Flavour != flavour })
	if len(all) == 0 && flavour == FlavourUML {
		return nil, fmt.Errorf("%w: %s: the mirror has no package %s", ErrSpec, spec, packageUML)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s: nothing of flavour %q; there are cloud-amd64 and amd64", ErrSpec, spec, flavour)
	}
	var found []Version
	switch {
	case base == "all":
		found = all
	case base == "newest":
		found = c.newest(all, "newest")
	case base == "default":
		for _, s := range defaultSeries {
			found = append(found, c.newest(inSeries(all, s), s)...)
		}
		found = append(found, c.newest(all, "newest")...)
		slices.SortFunc(found, compare)
		found = slices.CompactFunc(found, func(a, b Version) bool { return a.Entry() == b.Entry() })
	case isRange:
		if CompareVersions(from, to) > 0 && !within(from, to) {
			return nil, fmt.Errorf("%w: range %s runs backwards", ErrSpec, base)
		}
		found = slices.DeleteFunc(slices.Clone(all), func(v Version) bool {
			return CompareVersions(v.Version, from) < 0 || CompareVersions(v.Version, to) > 0 && !within(v.Version, to)
		})
	default:
		i := slices.IndexFunc(all, func(v Version) bool { return v.Version == base })
		if i >= 0 {
			found = all[i : i+1]
		} else if strings.Count(base, ".") == 1 {
			found = c.newest(inSeries(all, base), base)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s; %s", ErrSpec, spec, nearest(all, from, to))
	}
	return found, nil
}

func (c *Catalogue) selectLocal(v Version, err error) ([]Version, error) {
	if err != nil {
		return nil, err
	}
	_, err = readManifest(c.path(v))
	v.Here = err == nil
	return []Version{v}, nil
}

// within says that version is series or belongs to it.
func within(version, series string) bool {
	return version == series || strings.HasPrefix(version, series+".")
}

func inSeries(all []Version, series string) []Version {
	return slices.DeleteFunc(slices.Clone(all), func(v Version) bool { return !within(v.Version, series) })
}

// newest is the last of vs; with the mirror out of reach, the last that is
// here.
func (c *Catalogue) newest(vs []Version, what string) []Version {
	if len(vs) == 0 {
		return nil
	}
	last := vs[len(vs)-1]
	if c.isOffline() && !last.Here {
		for _, v := range slices.Backward(vs) {
			if v.Here {
				c.log("%s is %s, the newest here; %s cannot be fetched", what, v, last)
				return []Version{v}
			}
		}
	}
	return []Version{last}
}

// nearest says in words which versions are next to what was asked for.
func nearest(all []Version, from, to string) string {
	series := strings.Count(from, ".") == 1 && from == to
	var before, after string
	for _, v := range all {
		name := v.String()
		if series {
			name = v.Series()
		}
		if CompareVersions(v.Version, from) < 0 {
			before = name
		} else if after == "" {
			after = name
		}
	}
	what := "nearest are"
	if series {
		what = "nearest series are"
	}
	switch {
	case before == "":
		return "the oldest is " + after
	case after == "":
		return "the newest is " + before
	}
	return fmt.Sprintf("%s %s and %s", what, before, after)
}
