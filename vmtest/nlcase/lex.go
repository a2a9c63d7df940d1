package nlcase

import (
	"fmt"
	"strings"
)

// Bounds on a case. They are far above what a person writes.
const (
	maxText  = 64 << 10
	maxSteps = 512
	maxMsgs  = 256 // in a step
	maxNest  = 16
	maxNets  = 8
	maxBytes = 1 << 20
)

// token is an atom, or one of { } ; ,
type token struct {
	text string
	line int
	nl   bool // first on a continuation line
}

// line is what Format works on: a statement, a comment or an empty line.
type line struct {
	comment string // with its #
	tokens  []token
}

// syntaxError is an error with its place; editors can jump to it.
type syntaxError struct {
	name string
	line int
	msg  string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.name, e.line, e.msg) }

// lex takes a text apart into statements and comments.
func lex(name, text string) ([]line, error) {
	if len(text) > maxText {
		return nil, &syntaxError{name, 1, fmt.Sprintf("a case is at most %d bytes", maxText)}
	}
	var lines []line
	n := 0
	for text != "" {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		n++
		l = strings.TrimSuffix(l, "\r")
		for i := range len(l) {
			if (l[i] < ' ' && l[i] != '\t') || l[i] == 0x7f {
				return nil, &syntaxError{name, n, fmt.Sprintf("control character %#02x", l[i])}
			}
		}
		trimmed := strings.Trim(l, " \t")
		switch {
		case trimmed == "":
			lines = append(lines, line{})
			continue
		case trimmed[0] == '#':
			lines = append(lines, line{comment: trimmed})
			continue
		}
		tokens, err := lexLine(trimmed, n)
		if err != "" {
			return nil, &syntaxError{name, n, err}
		}
		if l[0] != ' ' && l[0] != '\t' {
			lines = append(lines, line{tokens: tokens})
			continue
		}
		if len(lines) == 0 || lines[len(lines)-1].tokens == nil {
			return nil, &syntaxError{name, n, "a line that begins with white space continues a statement, and there is none before it"}
		}
		tokens[0].nl = true
		last := &lines[len(lines)-1]
		last.tokens = append(last.tokens, tokens...)
	}
	return lines, nil
}

func lexLine(s string, n int) (tokens []token, err string) {
	for s != "" {
		switch c := s[0]; {
		case c == ' ' || c == '\t':
			s = s[1:]
			continue
		case c == '#':
			return nil, "a comment stands on a line of its own"
		case strings.IndexByte("{};,", c) >= 0:
			tokens = append(tokens, token{text: s[:1], line: n})
			s = s[1:]
			continue
		case c == '[': // a guard, which may hold spaces
			i := strings.IndexByte(s, ']')
			if i < 0 {
				return nil, "[ without ]"
			}
			tokens = append(tokens, token{text: s[:i+1], line: n})
			s = s[i+1:]
			continue
		}
		i := 0
		for i < len(s) && strings.IndexByte(" \t{};,", s[i]) < 0 {
			if s[i] != '"' {
				i++
				continue
			}
			end := quoteEnd(s, i)
			if end < 0 {
				return nil, "string without its closing quote"
			}
			i = end
		}
		tokens = append(tokens, token{text: s[:i], line: n})
		s = s[i:]
	}
	return tokens, ""
}

// quoteEnd is the index after the quoted string that begins at i.
func quoteEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
