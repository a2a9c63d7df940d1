package gotest

import (
	"regexp"
	"slices"
	"strings"
)

// Args are the arguments of a test binary on one kernel, where args name tests
// as Merge does: -test.run=TestX/kernel=6.1/sub becomes -test.run=TestX/sub on
// 6.1, and matches nothing on others. So what has read of a test can run it
// again. Patterns that name no kernel stay as they are.
func Args(args []string, kernel string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break // the test's own follow
		}
		flag, value, given := strings.Cut(arg, "=")
		switch {
		case given && takesPattern(flag):
			args[i] = flag + "=" + onKernel(value, label(nil, kernel), flag)
		case i > 0 && takesPattern(args[i-1]):
			args[i] = onKernel(arg, label(nil, kernel), args[i-1])
		}
	}
	return args
}

// Asks says whether args ask for anything on a kernel: what they name may be for
// others alone.
func Asks(args []string, kernel string) bool {
	asked, dropped := false, false
	for i, arg := range Args(args, kernel) {
		flag, pattern, given := strings.Cut(arg, "=")
		if !given && i > 0 {
			flag, pattern = args[i-1], arg
		}
		if !takesPattern(flag) || strings.HasSuffix(flag, "skip") {
			continue
		}
		asked = asked || pattern != nothing
		dropped = dropped || arg != args[i]
	}
	return asked || !dropped
}

// nothing is a pattern that no name is like.
const nothing = "^$"

func takesPattern(flag string) bool {
	return slices.Contains([]string{"-test.run", "-test.bench", "-test.skip"}, "-"+strings.TrimLeft(flag, "-"))
}

// onKernel is a pattern without the element for the kernel.
func onKernel(pattern, label, flag string) string {
	var rest []string
	for _, alternative := range split(pattern, '|') {
		elements := split(alternative, '/')
		if len(elements) > 1 && strings.Contains(elements[1], "kernel=") {
			if ok, err := regexp.MatchString(elements[1], label); err == nil && !ok {
				continue
			} else if err == nil { // else the test binary tells
				elements = slices.Delete(elements, 1, 2)
			}
		}
		rest = append(rest, strings.Join(elements, "/"))
	}
	if len(rest) == 0 && !strings.HasSuffix(flag, "skip") {
		return nothing
	}
	return strings.Join(rest, "|")
}

// split splits a pattern as package testing does: not within brackets, nor at
// what is escaped.
func split(pattern string, at byte) (parts []string) {
	set, group, start := 0, 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			set++
		case c == ']':
			set = max(0, set-1)
		case set > 0:
		case c == '(':
			group++
		case c == ')':
			group--
		case c == at && group == 0:
			parts = append(parts, pattern[start:i])
			start = i + 1
		}
	}
	return append(parts, pattern[start:])
}
