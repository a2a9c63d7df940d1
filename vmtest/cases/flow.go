package cases

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

//go:embed flow.txt
var flow string

// Branch is a function of the code flow that the cases exercise, or a way
// through one.
type Branch struct {
	File, Func string
	ID         string // empty for the function as a whole
	What       string
	Unseen     string   // why no exchange shows it, empty where one does
	Cases      []string // that name it in their refs
}

func (b Branch) String() string {
	if b.ID == "" {
		return b.Func
	}
	return b.Func + ":" + b.ID
}

// Flow is the code flow, with the cases among all that exercise each part. It
// fails where a case names a way that the flow does not have.
func Flow(all []*nlcase.Case) ([]Branch, error) {
	table, err := parseFlow(flow)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		for _, r := range c.Refs {
			for _, id := range append([]string{""}, r.Branches...) {
				i := slices.IndexFunc(table, func(b Branch) bool { return b.Func == r.Func && b.ID == id })
				switch {
				case i >= 0:
					if n := len(table[i].Cases); n == 0 || table[i].Cases[n-1] != c.Name {
						table[i].Cases = append(table[i].Cases, c.Name)
					}
				case id != "":
					return nil, fmt.Errorf("case %s: ref: flow.txt has no %s:%s", c.Name, r.Func, id)
				}
			}
		}
	}
	return table, nil
}

func parseFlow(text string) ([]Branch, error) {
	var table []Branch
	var file, fn string
	for i, line := range strings.Split(text, "\n") {
		name, what, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case line == "" || line[0] == '#':
			continue
		case !ok:
			file = name
			continue
		}
		b := Branch{File: file}
		if unseen, ok := strings.CutPrefix(name, "~"); ok {
			if what, b.Unseen, ok = strings.Cut(what, " -- "); !ok {
				return nil, fmt.Errorf("flow.txt:%d: ~%s gives no reason behind a --", i+1, unseen)
			}
			name = unseen
		}
		b.What = what
		if line[0] == ' ' {
			b.Func, b.ID = fn, name
		} else {
			b.Func, fn = name, name
		}
		table = append(table, b)
	}
	return table, nil
}
