// Package configs has the configurations that kernels are built with from
// source: netlink.config is what the corpus needs of any kernel, and the file
// of an architecture what it takes to boot there. Each says first what is needed,
// and then what else is set, so that a kernel is small and tells its trouble.
//
// They are fragments over an allnoconfig, and an ordinary make understands
// them:
//
//	cat netlink.config x86_64.config > all.config
//	make KCONFIG_ALLCONFIG=all.config allnoconfig
package configs

import (
	"embed"
	"strings"
)

//go:embed *.config
var files embed.FS

// Common is the name of the fragment for all architectures.
const Common = "netlink"

// beyond begins the line after which a fragment has what is not needed.
const beyond = "# Beyond need"

// Needs are the options that a fragment asks for because nlrig cannot do
// without them, in its order.
func Needs(fragment string) []string {
	text, _, _ := strings.Cut(fragment, beyond)
	names, _ := Wanted(text)
	return names
}

// Fragment is the text of one: Common, "x86_64" or "um". It panics for any
// other name.
func Fragment(name string) string {
	text, err := files.ReadFile(name + ".config")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Wanted are the options that fragments ask for, in their order and each
// once, with what they are to be: "y", a number, a quoted string; "n" for one
// that is to be off. Later lines win.
func Wanted(fragments ...string) (names []string, values map[string]string) {
	values = map[string]string{}
	for line := range strings.Lines(strings.Join(fragments, "\n")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if off, isOff := strings.CutSuffix(strings.TrimPrefix(name, "# "), " is not set"); isOff {
			name, value, ok = off, "n", true
		}
		if !ok || !strings.HasPrefix(name, "CONFIG_") {
			continue
		}
		if _, seen := values[name]; !seen {
			names = append(names, name)
		}
		values[name] = value
	}
	return names, values
}
