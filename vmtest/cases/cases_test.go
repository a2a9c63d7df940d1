package cases

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

var update = flag.Bool("update", false, "rewrite the cases in their canonical layout")

func all(t *testing.T) []*nlcase.Case {
	t.Helper()
	cases, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestCases(t *testing.T) {
	cases := all(t)
	if len(cases) < 45 {
		t.Errorf("%d cases are too few: is the pattern of go:embed right?", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.Doc == "" {
				t.Error("no header comment says what it is about")
			}
			if len(c.Refs) == 0 {
				t.Error("no ref: names the kernel function that it exercises")
			}
			if c.NeedsVM() {
				t.Error("breaks kernels: such cases belong to the tests of the runner")
			}
			text := c.Format()
			if *update {
				if err := os.WriteFile(c.Name+".case", text, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(text, c.Text) {
				t.Error("not in its canonical layout: go test ./vmtest/cases -update")
			}
			again, err := nlcase.Parse(c.Name, text)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Steps {
				a, b := c.Steps[i], again.Steps[i]
				a.Line, b.Line = 0, 0
				if !reflect.DeepEqual(a, b) {
					t.Errorf("line %d changes with its layout", c.Steps[i].Line)
				}
			}
		})
	}
}

// Every function of the flow, and every way through it, has a case or a reason
// to have none.
func TestFlow(t *testing.T) {
	table, err := Flow(all(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(table) < 100 {
		t.Errorf("%d rows are too few: was flow.txt read to its end?", len(table))
	}
	seen := map[string]bool{}
	for _, b := range table {
		switch {
		case seen[b.String()]:
			t.Errorf("%s is there twice", b)
		case len(b.Cases) > 0 && b.Unseen != "":
			t.Errorf("%s has a case (%s) and a reason to have none (%s)", b, b.Cases[0], b.Unseen)
		case len(b.Cases) == 0 && b.Unseen == "":
			t.Errorf("%s has no case that names it in a ref:", b)
		}
		seen[b.String()] = true
	}
}

func TestFlowErrors(t *testing.T) {
	if _, err := parseFlow("a.c\nf: x\n  ~b: no reason\n"); err == nil {
		t.Error("a way that nobody sees, without a reason, passes")
	}
	c, err := nlcase.Parse("c", []byte("# x\n# ref: a.c netlink_rcv_skb:nosuch\nopen s route\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Flow([]*nlcase.Case{c}); err == nil {
		t.Error("a way that the flow does not have passes")
	}
}
