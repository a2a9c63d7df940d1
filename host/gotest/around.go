package gotest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// outside writes the text of no test that came after the group k.
func (m *merger) outside(k key) {
	texts := make([][]piece, len(m.runs))
	for i, r := range m.runs {
		texts[i] = r.index.outside[k]
	}
	if k != (key{}) && slices.ContainsFunc(texts, func(t []piece) bool { return t != nil }) {
		m.leave()
	}
	m.texts(texts, len(m.runs))
}

func (m *merger) labels() {
	texts, have := make([][]piece, len(m.runs)), 0
	for i, r := range m.runs {
		texts[i] = r.index.labels
		if texts[i] != nil {
			have++
		}
	}
	m.texts(texts, have)
}

// texts writes one text of each run, only the first if they are alike and as
// many as want.
func (m *merger) texts(texts [][]piece, want int) {
	first, same := -1, 0
	for i, t := range texts {
		if t == nil {
			continue
		}
		if first < 0 {
			first = i
		}
		ok, err := equal(m.runs[first].in, texts[first], m.runs[i].in, t)
		m.keep(m.runs[i], err)
		if ok {
			same++
		}
	}
	for i, t := range texts {
		if t == nil || same == want && i != first {
			continue
		}
		m.w.fresh()
		if same != want {
			m.say(m.runs[i], "")
		}
		for _, p := range t {
			m.copy(m.runs[i], p, false)
		}
	}
}

// say writes a line about a run.
func (m *merger) say(r *run, text string) {
	m.w.fresh()
	fmt.Fprintf(m.w, "[kernel %s]%s\n", r.kernel, text)
}

// end writes what comes after the last test.
func (m *merger) end() {
	passed := false
	for _, r := range m.runs {
		passed = passed || r.final.n > 0
		m.failed = m.failed || r.status != 0 || r.index.failed
		if r.status != 0 && !r.index.failed {
			m.leave()
			m.say(r, fmt.Sprintf(" exit status %d", r.status))
		}
	}
	m.w.fresh()
	switch {
	case m.failed:
		m.frame("FAIL\n")
	case passed:
		m.frame("PASS\n")
	}
	m.coverage()
	texts := make([][]piece, len(m.runs))
	for i, r := range m.runs {
		texts[i] = r.tail
	}
	m.texts(texts, len(m.runs))
}

func (m *merger) coverage() {
	type covered struct {
		line, kernel string
		percent      float64
	}
	var all []covered
	for _, r := range m.runs {
		if r.index.coverage.n == 0 {
			continue
		}
		c := covered{line: strings.TrimRight(string(m.line(r, r.index.coverage)), "\r\n"), kernel: r.label}
		percent, _, _ := strings.Cut(strings.TrimPrefix(c.line, "coverage: "), "%")
		c.percent, _ = strconv.ParseFloat(percent, 64)
		all = append(all, c)
	}
	alike := !slices.ContainsFunc(all, func(c covered) bool { return c.line != all[0].line })
	slices.SortStableFunc(all, func(a, b covered) int { return -cmp.Compare(a.percent, b.percent) })
	for i, c := range all {
		switch {
		case !alike:
			fmt.Fprintf(m.w, "%s (%s)\n", c.line, c.kernel)
		case i == 0:
			fmt.Fprintf(m.w, "%s\n", c.line)
		}
	}
}
