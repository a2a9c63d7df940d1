package nlcase

import "strings"

// Format is the case in its canonical layout: one space between words, verbs
// in a column, lines broken where they were.
func (c *Case) Format() []byte {
	width := 0
	for _, l := range c.lines {
		if v := verb(l.tokens); v >= 0 && v < 1 && len(l.tokens) > 1 && !isDirective(l.tokens[v].text) {
			width = max(width, len(l.tokens[v].text))
		}
	}
	var b strings.Builder
	for i, l := range c.lines {
		switch {
		case l.comment != "":
			b.WriteString(l.comment)
		case l.tokens != nil:
			formatStatement(&b, l.tokens, width)
		case i == 0 || i == len(c.lines)-1 || c.lines[i-1].comment == "" && c.lines[i-1].tokens == nil:
			continue // at most one empty line, and none at either end
		}
		b.WriteByte('\n')
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}

// verb is the index of a statement's verb: after its guard.
func verb(t []token) int {
	for i := range t {
		if t[i].text[0] != '[' {
			return i
		}
	}
	return -1
}

func formatStatement(b *strings.Builder, tokens []token, width int) {
	v := verb(tokens)
	for i, t := range tokens {
		text := t.text
		if text[0] == '[' {
			text = "[" + strings.Join(strings.Fields(text[1:len(text)-1]), " ") + "]"
		}
		switch {
		case i == 0:
		case t.nl:
			b.WriteString("\n    ")
		case text == "," || text == "{" || text == "}" || tokens[i-1].text == "{" || tokens[i-1].text == ",":
		default:
			b.WriteByte(' ')
		}
		b.WriteString(text)
		if i == v && i == 0 && len(tokens) > 1 && !isDirective(text) && !tokens[1].nl {
			b.WriteString(strings.Repeat(" ", max(0, width-len(text))))
		}
	}
}

func isDirective(s string) bool {
	switch s {
	case "needs", "caps", "since", "until":
		return true
	}
	return false
}
