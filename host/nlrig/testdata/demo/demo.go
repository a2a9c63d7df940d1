// Package demo has tests of every kind, and of every end that a test can come
// to, for nlrig test and nlrig exec to run as go test does:
//
//	go test -skip 'Bad|bad|Kernel'
//	nlrig test -k 5.10,6.1 -skip 'Bad|bad|Kernel'
//
// Those called Bad end badly wherever they run, one at a time. Those called
// Kernel break the kernel, and do so in a VM of nlrig's only.
package demo

import "strings"

// Fields are the words of a line up to a comment.
func Fields(line string) (words []string) {
	text, comment, ok := strings.Cut(line, "#")
	if ok && strings.HasPrefix(comment, "!") {
		words = append(words, "special")
	}
	for w := range strings.FieldsSeq(text) {
		switch {
		case w == "and":
			continue
		case len(w) > 80:
			return nil // no test comes here
		}
		words = append(words, w)
	}
	return words
}

// Sum adds up.
func Sum(all ...int) (sum int) {
	for _, n := range all {
		sum += n
	}
	return sum
}
