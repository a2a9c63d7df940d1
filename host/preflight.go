//go:build linux

package host

import (
	"slices"
	"strings"

	"github.com/nlrig/nlrig/kernels"
	"github.com/nlrig/nlrig/kernels/build"
	"github.com/nlrig/nlrig/kernels/configs"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// Lack is an option that a kernel is built without.
type Lack struct {
	Option string
	// Cases are those that say they need it; none for what all of them do.
	Cases []string
}

// Preflight compares a kernel's configuration with what it takes to boot it and
// to play cases on it. known is false when nothing tells how the kernel was
// configured.
func Preflight(k *kernels.Kernel, cases []*nlcase.Case) (lacks []Lack, known bool) {
	arch := build.X86
	if k.Version.UML {
		arch = build.UML
	}
	options := append(configs.Needs(configs.Fragment(configs.Common)), configs.Needs(configs.Fragment(arch.Name))...)
	users := needsOf(cases)
	for o := range users {
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	slices.Sort(options)
	for _, o := range options {
		value, ok := k.ConfigValue(o)
		if !ok {
			return nil, false
		}
		if value == "y" || value == "m" && k.Version.HasModules {
			continue
		}
		lacks = append(lacks, Lack{Option: o, Cases: users[o]})
	}
	return lacks, true
}

// needsOf are the options that cases name, or name by a module, with the names
// of the cases.
func needsOf(cases []*nlcase.Case) map[string][]string {
	users := map[string][]string{}
	for _, c := range cases {
		options := c.Configs()
		for _, m := range c.Modules() {
			options = append(options, moduleOption(m))
		}
		for _, o := range options {
			users[o] = append(users[o], c.Name)
		}
	}
	return users
}

// moduleOption is the option that a module of the network is built by.
func moduleOption(module string) string {
	if module == "8021q" {
		return "CONFIG_VLAN_8021Q"
	}
	return "CONFIG_" + strings.ToUpper(strings.ReplaceAll(module, "-", "_"))
}
