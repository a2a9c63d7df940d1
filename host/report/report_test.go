package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	junit "github.com/joshdk/go-junit"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small is a report with these kernels and one case a string of exchanges:
// a letter for each kernel, - for a skip, ! for a panic.
func small(kernels string, rows ...string) *Report {
	r := &Report{Version: Version, Kernels: []Kernel{}, Cases: []Case{}}
	for _, name := range strings.Fields(kernels) {
		r.Kernels = append(r.Kernels, Kernel{Name: name})
	}
	for i, row := range rows {
		c := Case{Name: fmt.Sprintf("case%d", i+1), Text: "open s route\nquiet s\n", Cells: make([]Cell, len(row))}
		for k, x := range row {
			switch x {
			case '-':
				c.Cells[k] = Cell{Verdict: Skip, Reason: "requires >=6.9"}
			case '!':
				c.Cells[k] = Cell{Verdict: Panic, Reason: "panic: boom"}
			case '.':
				c.Cells[k] = Cell{Verdict: Missing}
			default:
				c.Cells[k] = Cell{Verdict: Pass}
				c.SetExchange(k, []string{"quiet s", "  = " + string(x)})
			}
		}
		r.Cases = append(r.Cases, c)
	}
	return r
}

func asJSON(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, r))
	return b.String()
}

func letters(c Case) (s string) {
	for _, x := range c.Cells {
		s += x.Class + "."
	}
	return s
}

func TestLetters(t *testing.T) {
	assert.Equal(t, "A Z AA AZ BA", strings.Join([]string{Letter(0), Letter(25), Letter(26), Letter(51), Letter(52)}, " "))
	r := small("1 2 3 4", "xyxz")
	assert.Equal(t, "A.B.A.C.", letters(r.Cases[0]))
	assert.Len(t, r.Cases[0].Classes, 3)
}

func TestSort(t *testing.T) {
	r := small("local 6.1.9 6.13 6.13-rc3 5.10.200 6.1.192 6.1.9/amd64 6.13~rc10 file:/k file:/unbooted", "xyyyzyyyyy")
	r.Kernels[8].Release = "6.6.1-mine"
	r.Sort()
	var names []string
	for _, k := range r.Kernels {
		names = append(names, k.Name)
	}
	assert.Equal(t, "5.10.200 6.1.9 6.1.9/amd64 6.1.192 file:/k 6.13-rc3 6.13~rc10 6.13 file:/unbooted local", strings.Join(names, " "))
	assert.Equal(t, "A.B.B.B.B.B.B.B.B.C.", letters(r.Cases[0]))
	assert.NoError(t, r.check())

	r = small("emulated emulated@6.1 local emulated@6.1.9 6.1.10 6.1.9 7.3.4", "xxxxxxx")
	r.Kernels[0].Release, r.Kernels[1].Release = "7.3.999", "6.1.999"
	r.Sort()
	names = nil
	for _, k := range r.Kernels {
		names = append(names, k.Name)
	}
	assert.Equal(t, "6.1.9 emulated@6.1.9 6.1.10 emulated@6.1 7.3.4 emulated local", strings.Join(names, " "))
}

func TestChanges(t *testing.T) {
	r := small("1 2 3 4 5 6", "xx-xyy", "xxxxxx", "-x!!xx")
	c := r.Changes()
	assert.Equal(t, []Run{{"A", 0, 3}, {"B", 4, 5}}, c[0].Runs)
	assert.False(t, c[1].Changed())
	assert.Equal(t, []Run{{"A", 1, 1}, {"panic", 2, 3}, {"A", 4, 5}}, c[2].Runs)
}

func TestRoundTrip(t *testing.T) {
	want := asJSON(t, synthetic(50, 300))
	r, err := Read(strings.NewReader(want))
	require.NoError(t, err)
	assert.Equal(t, want, asJSON(t, r))
}

func TestReadErrors(t *testing.T) {
	good := asJSON(t, small("1 2", "xy"))
	for _, x := range []struct{ old, new, want string }{
		{`"version": 2`, `"version": 1`, "want a report of version 2, found version 1"},
		{`"version": 2`, `"version": "2"`, "want a report in JSON"},
		{`"version": 2,`, ``, "found version 0"},
		{`"class": "B"`, `"class": "C"`, `kernel 2: want a class of the case, which has 2, found "C"`},
		{`"class": "B"`, `"class": "A"`, "want a kernel for each class, found none for B"},
		{`"class": "B"`, `"class": ""`, "kernel 2: want a class for a case that came to its end (pass), found none"},
		{`"letter": "B"`, `"letter": "D"`, `class 2: want letter "B", found "D"`},
		{`"  = y"`, `"  = x"`, "found the exchange of A again as B"},
		{`"name": "2"`, `"name": "1"`, `want each kernel once, found "1" twice`},
		{`"name": "case1"`, `"name": ""`, "case 1: want a name"},
		{`"verdict": "pass",`, `"verdict": "good",`, `found "good"`},
		{`"kernels": [`, `"kernels": [{"name": "0"},`, `want 3 cells, one for each kernel, found 2`},
		{"\n}\n", "\n}\n{}", "want the end of the file after the report"},
		{"\n}\n", "\n", "want a report in JSON"},
	} {
		require.Contains(t, good, x.old)
		_, err := Read(strings.NewReader(strings.Replace(good, x.old, x.new, 1)))
		assert.ErrorContains(t, err, x.want, "%s -> %s", x.old, x.new)
	}
	_, err := read(strings.NewReader(good), int64(len(good))-1)
	assert.ErrorContains(t, err, "bytes, found more")
	_, err = read(strings.NewReader(good), int64(len(good)))
	assert.NoError(t, err)
}

// What is written fits the published schema, which knows every field of it.
func TestSchema(t *testing.T) {
	closed := strings.ReplaceAll(Schema, `"type": "object",`, `"type": "object", "additionalProperties": false,`)
	require.NotEqual(t, Schema, closed)
	for _, text := range []string{Schema, closed} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		require.NoError(t, c.AddResource("nlrig:report:2", doc))
		s, err := c.Compile("nlrig:report:2")
		require.NoError(t, err)
		full := synthetic(20, 50)
		full.Cases[0].Cells[0].Log = []string{"netlink: 4 bytes leftover"}
		full.Kernels[0].Notes = []string{"the first boot failed"}
		for _, r := range []*Report{full, agreed(t), small("1 2", "x!", "-."), small("")} {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(asJSON(t, r)))
			require.NoError(t, err)
			assert.NoError(t, s.Validate(v))
		}
		for _, bad := range []string{`{"version":1,"kernels":[],"cases":[]}`, `{"version":2,"kernels":[{"name":"1"}],"cases":[{"name":"a","cells":[{"verdict":"pass"}]}]}`} {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
			require.NoError(t, err)
			assert.Error(t, s.Validate(v), bad)
		}
	}
}

func TestMerge(t *testing.T) {
	a, b := small("6.1 6.12", "xy"), small("5.10 6.12", "yy", "x-")
	m, err := Merge(Source{"a", a}, Source{"b", b})
	require.NoError(t, err)
	require.NoError(t, m.check())
	assert.Equal(t, "A.B.A.", letters(m.Cases[0]), "5.10 6.1 6.12")
	assert.Equal(t, "A...", letters(m.Cases[1]))
	assert.Equal(t, Missing, m.Cases[1].Cells[1].Verdict)
	assert.Equal(t, ExitInfra, m.ExitCode(), "what is missing is not found out")

	other, err := Merge(Source{"b", b}, Source{"a", a})
	require.NoError(t, err)
	assert.Equal(t, asJSON(t, m), asJSON(t, other), "in any order")

	// What was missing in one is filled from another.
	again, err := Merge(Source{"m", m}, Source{"c", small("6.1", "x", "z")})
	require.NoError(t, err)
	assert.Equal(t, Pass, again.Cases[1].Cells[1].Verdict)
	assert.Equal(t, ExitHeld, again.ExitCode())

	for _, x := range []struct {
		with *Report
		want string
	}{
		{small("6.12", "x"), "case1 on 6.12: want one exchange, found that a and b differ"},
		{small("6.12", "!"), "case1 on 6.12: want one verdict, found pass in a and panic in b"},
	} {
		_, err := Merge(Source{"a", a}, Source{"b", x.with})
		assert.EqualError(t, err, x.want)
	}
	text := small("5.10", "x")
	text.Cases[0].Text = "other"
	_, err = Merge(Source{"a", a}, Source{"b", text})
	assert.EqualError(t, err, "case case1: want one text, found two: a and b differ")
	here, there := small("local", "x"), small("local", "x")
	here.Kernels[0].Release, there.Kernels[0].Release = "6.1", "6.12"
	_, err = Merge(Source{"a", here}, Source{"b", there})
	assert.ErrorContains(t, err, "kernel local: want one and the same")
}

func TestExitCode(t *testing.T) {
	assert.Equal(t, ExitHeld, small("1 2", "x-").ExitCode())
	assert.Equal(t, ExitNotHeld, small("1 2", "x!").ExitCode())
	assert.Equal(t, ExitInfra, small("1 2", "x.").ExitCode())
	assert.Equal(t, ExitInfra, small("1", "-").ExitCode())
	assert.Equal(t, ExitInfra, small("").ExitCode())
}

func text(t *testing.T, r *Report, s Style) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, WriteText(&b, r, s))
	return b.String()
}

func TestText(t *testing.T) {
	assert.Equal(t, `case   5.10    6.1     7.3
case1  pass A  pass A  pass B
case2  pass    skip    panic

behaviour changes
  case1
    A  5.10..6.1
    B  7.3
  case2
    A  5.10
    panic  7.3

panic case2 on 7.3: panic: boom
  again: nlrig run -k 7.3 case2

skip 6.1: requires >=6.9 (case2)
2 cases on 3 kernels: 4 pass, 1 panic, 1 skip
`, text(t, small("5.10 6.1 7.3", "xxy", "x-!"), Style{}))

	many := text(t, small("1 2 3 4 5 6 7 8 9", "xxxxyyyyy", "xxxxxxxx!"), Style{})
	assert.Contains(t, many, "case1  9 pass           A 1..4  B 5..9\n")
	assert.Contains(t, many, "case2  8 pass, 1 panic  A 1..8  panic 9\n")
	for _, line := range strings.Split(text(t, synthetic(8, 40), Style{Width: 80}), "\n\n") {
		if strings.HasPrefix(line, "case ") {
			for _, l := range strings.Split(line, "\n") {
				assert.LessOrEqual(t, columns(l), 80)
			}
		}
	}
	assert.NotContains(t, text(t, synthetic(50, 300), Style{}), "\x1b", "neither colour nor what a guest wrote")
}

func write(t *testing.T, format string, r *Report) string {
	t.Helper()
	var a, b strings.Builder
	require.NoError(t, Writer(format)(&a, r))
	require.NoError(t, Writer(format)(&b, r))
	assert.Equal(t, a.String(), b.String(), "deterministic")
	return a.String()
}

func TestMarkdown(t *testing.T) {
	r := small("5.10 file:/a|b", "x!", "xy")
	r.Cases[0].Cells[1].LastWords = []string{"```", "</details>"}
	r.Cases[0].Cells[1].Reason = "<script> @someone"
	s := write(t, "md", r)
	assert.Contains(t, s, `| case | 5.10 | file:/a\|b |`)
	assert.Contains(t, s, "| case1 | pass | **panic** |")
	assert.Contains(t, s, `| case2 | **A** 5.10<br>**B** file:/a\|b |`)
	assert.Contains(t, s, "\n````\n", "a fence that the text does not hold")
	assert.NotContains(t, s, "<script>")
	var sum strings.Builder
	require.NoError(t, WriteSummary(&sum, synthetic(50, 3000)))
	assert.Less(t, sum.Len(), maxSummary)
	assert.Contains(t, sum.String(), "more that did not hold are left out here")
}

// A reader that others use sees what is in the report.
func TestJUnit(t *testing.T) {
	r := synthetic(9, 80)
	out := write(t, "junit", r)
	suites, err := junit.Ingest([]byte(out))
	require.NoError(t, err)
	require.Len(t, suites, len(r.Kernels))
	want := map[junit.Status]int{}
	got := map[junit.Status]int{}
	for k, s := range suites {
		assert.Equal(t, r.Kernels[k].Name, s.Name)
		require.Len(t, s.Tests, len(r.Cases))
		for i, x := range s.Tests {
			assert.Equal(t, r.Cases[i].Name, x.Name)
			got[x.Status]++
			switch r.Cases[i].Cells[k].Verdict {
			case Pass:
				want[junit.StatusPassed]++
			case Skip:
				want[junit.StatusSkipped]++
			case Fail:
				want[junit.StatusFailed]++
			default:
				want[junit.StatusError]++
			}
		}
	}
	assert.Equal(t, want, got)
	assert.Len(t, got, 4)

	// Jenkins and Ant want these counts and this order of children.
	var doc junitSuites
	require.NoError(t, xml.Unmarshal([]byte(out), &doc))
	for _, s := range doc.Suites {
		skipped, errors, failures := 0, 0, 0
		for _, c := range s.Cases {
			for _, x := range []struct {
				n    *int
				here bool
			}{{&skipped, c.Skipped != nil}, {&errors, c.Error != nil}, {&failures, c.Failure != nil}} {
				if x.here {
					*x.n++
				}
			}
		}
		assert.Equal(t, [4]int{len(s.Cases), s.Failures, s.Errors, s.Skipped}, [4]int{s.Tests, failures, errors, skipped})
	}
	for _, part := range strings.Split(out, "<testcase ")[1:] {
		for _, x := range []string{"<failure ", "<error ", "<skipped "} {
			if i := strings.Index(part, x); i >= 0 && strings.Contains(part, "<system-out>") {
				assert.Less(t, i, strings.Index(part, "<system-out>"))
			}
		}
	}
}

func TestGitHub(t *testing.T) {
	r := small("file:/a,b", "!")
	r.Cases[0].Cells[0].Reason = "100%"
	r.Cases[0].Cells[0].LastWords = []string{"::stop-commands::x", "\r::error::y"}
	s := write(t, "github", r)
	assert.Equal(t, 1, strings.Count(s, "\n"), "one command is one line")
	assert.True(t, strings.HasPrefix(s, "::error title=panic%3A case1 on file%3A/a%2Cb::panic case1 on file:/a,b: 100%25%0A"), s)
	assert.Empty(t, write(t, "github", small("1", "x")))
}

func TestReproduce(t *testing.T) {
	r := small("6.1/amd64 file:/my", "xx")
	r.Cases[0].Name = "it's $(mine).case"
	assert.Equal(t, `nlrig run -k 6.1/amd64 'it'\''s $(mine).case'`, r.Reproduce(0, 0))
}

func TestWriteJSONIsWhatPeopleRead(t *testing.T) {
	r := small("1", "x")
	r.Cases[0].Doc = "a < b"
	assert.Contains(t, asJSON(t, r), "a < b")
	assert.True(t, json.Valid([]byte(asJSON(t, r))))
}
