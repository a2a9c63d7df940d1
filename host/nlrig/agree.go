//go:build linux

package main

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/host"
	"github.com/nlrig/nlrig/host/report"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// pair is an emulated kernel and the real one that it is held against, by their
// names.
type pair struct{ emulated, real, release string }

// beside puts the emulated kernel of its release after each real one.
func beside(all []choice) (with []choice, held []pair, err error) {
	add := func(x choice) {
		if !slices.ContainsFunc(with, func(y choice) bool { return x.name != "" && y.name == x.name }) {
			with = append(with, x)
		}
	}
	for _, x := range all {
		add(x)
		if _, emulated := report.Emulated(x.name); emulated {
			continue
		}
		p := pair{real: x.name, release: running()}
		if x.name == "" {
			p.real, p.release = x.version.String(), x.version.Version
		}
		p.emulated = "emulated@" + p.release
		if _, err := host.NewEmulated(p.emulated); err != nil {
			return nil, nil, misuse("-agree: %s has no emulated kernel beside it: %v", p.real, err)
		}
		add(choice{name: p.emulated})
		if !slices.ContainsFunc(held, func(h pair) bool { return h.emulated == p.emulated }) {
			held = append(held, p)
		}
	}
	if len(held) == 0 {
		return nil, nil, misuse("-agree wants a real kernel to hold the emulated one against")
	}
	return with, held, nil
}

// running is the release of the running kernel, without what comes after its
// numbers.
func running() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail: the buffer is ours
	release := nlcase.Release(unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]))
	for i, c := range release {
		if c != '.' && (c < '0' || c > '9') {
			return release[:i]
		}
	}
	return release
}
