package emulated

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// TestReport compares with a report of real kernels (NLRIG_REPORT), for cases whose name begins with NLRIG_CASES, kernels NLRIG_K.
func TestReport(t *testing.T) {
	file := os.Getenv("NLRIG_REPORT")
	if file == "" {
		t.Skip()
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rep struct {
		Kernels []struct{ Name string }
		Cases   []struct {
			Name    string
			Cells   []struct{ Verdict, Class string }
			Classes []struct {
				Letter   string
				Exchange []string
			}
		}
	}
	if err := json.Unmarshal(b, &rep); err != nil {
		t.Fatal(err)
	}
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	for ki, kn := range rep.Kernels {
		if s := os.Getenv("NLRIG_K"); s != "" && !strings.HasPrefix(kn.Name, s) {
			continue
		}
		if kn.Name == "local" {
			continue
		}
		k, err := New(kn.Name)
		if err != nil {
			t.Fatal(err)
		}
		n, same := 0, 0
		for _, rc := range rep.Cases {
			ok := os.Getenv("NLRIG_CASES") == ""
			for _, p := range strings.Split(os.Getenv("NLRIG_CASES"), ",") {
				ok = ok || strings.HasPrefix(rc.Name, p)
			}
			if !ok || rc.Cells[ki].Class == "" {
				continue
			}
			var want []string
			for _, c := range rc.Classes {
				if c.Letter == rc.Cells[ki].Class {
					want = c.Exchange
				}
			}
			i := slices.IndexFunc(all, func(c *nlcase.Case) bool { return c.Name == rc.Name })
			if i < 0 {
				continue
			}
			n++
			got := nlcase.Play(k, all[i]).Lines(all[i])
			lines, alike := nlcase.DiffLines(want, got)
			if alike {
				same++
				continue
			}
			if os.Getenv("NLRIG_DIFF") != "" {
				fmt.Printf("=== %s %s\n", kn.Name, rc.Name)
				for _, l := range lines {
					fmt.Println(l)
				}
			} else {
				fmt.Printf("differs: %s %s\n", kn.Name, rc.Name)
			}
		}
		fmt.Printf("%-10s %d of %d\n", kn.Name, same, n)
	}
}
