package report

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Schema is the JSON Schema of what WriteJSON writes.
//
//go:embed schema.json
var Schema string

// maxJSON bounds what Read takes.
const maxJSON = 1 << 30

// WriteJSON writes the form that Read reads.
func WriteJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// DropSeconds removes the only fields that differ between two runs which saw
// the same.
func (r *Report) DropSeconds() {
	for k := range r.Kernels {
		r.Kernels[k].Seconds = 0
	}
	for i := range r.Cases {
		for k := range r.Cases[i].Cells {
			r.Cases[i].Cells[k].Seconds = 0
		}
	}
}

// Read reads a report and checks that it is a whole one.
func Read(in io.Reader) (*Report, error) { return read(in, maxJSON) }

func read(in io.Reader, limit int64) (*Report, error) {
	left := &io.LimitedReader{R: in, N: limit + 1}
	d := json.NewDecoder(left)
	r := new(Report)
	err := d.Decode(r)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("want the end of the file after the report, found more")
		}
	}
	if left.N <= 0 {
		return nil, fmt.Errorf("want at most %d bytes, found more", limit)
	}
	// Another version may well not decode: its number is what counts.
	if r.Version != Version && (err == nil || r.Version != 0) {
		return nil, fmt.Errorf("want a report of version %d, found version %d", Version, r.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("want a report in JSON: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// check looks for what the types do not say.
func (r *Report) check() error {
	if r.Kernels == nil || r.Cases == nil {
		return errors.New("want kernels and cases, found a report without")
	}
	seen := map[string]bool{}
	for i, k := range r.Kernels {
		if k.Name == "" {
			return fmt.Errorf("kernel %d: want a name, found none", i+1)
		}
		if seen[k.Name] {
			return fmt.Errorf("want each kernel once, found %q twice", k.Name)
		}
		seen[k.Name] = true
	}
	seen = map[string]bool{}
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Name == "" {
			return fmt.Errorf("case %d: want a name, found none", i+1)
		}
		if seen[c.Name] {
			return fmt.Errorf("want each case once, found %q twice", c.Name)
		}
		seen[c.Name] = true
		if err := c.check(r.Kernels); err != nil {
			return fmt.Errorf("case %q: %w", c.Name, err)
		}
	}
	return nil
}

func (c *Case) check(kernels []Kernel) error {
	if len(c.Cells) != len(kernels) {
		return fmt.Errorf("want %s, one for each kernel, found %d", plural(len(kernels), "cell"), len(c.Cells))
	}
	used := map[string]bool{}
	for i, x := range c.Classes {
		if want := Letter(i); x.Letter != want {
			return fmt.Errorf("class %d: want letter %q, found %q", i+1, want, x.Letter)
		}
		for j := range i {
			if slices.Equal(c.Classes[j].Exchange, x.Exchange) {
				return fmt.Errorf("want each class once, found the exchange of %s again as %s", c.Classes[j].Letter, x.Letter)
			}
		}
		if x.Exchange == nil {
			return fmt.Errorf("class %s: want an exchange, found none", x.Letter)
		}
		used[x.Letter] = false
	}
	for k, cell := range c.Cells {
		where := "kernel " + kernels[k].Name
		if !slices.Contains(verdicts, cell.Verdict) {
			return fmt.Errorf("%s: want a verdict of %q, found %q", where, verdicts, cell.Verdict)
		}
		_, known := used[cell.Class]
		switch {
		case cell.Class != "" && !known:
			return fmt.Errorf("%s: want a class of the case, which has %d, found %q", where, len(c.Classes), cell.Class)
		case cell.Class == "" && (cell.Verdict == Pass || cell.Verdict == Fail || cell.Verdict == Diverge):
			return fmt.Errorf("%s: want a class for a case that came to its end (%s), found none", where, cell.Verdict)
		}
		used[cell.Class] = true
	}
	for _, x := range c.Classes {
		if !used[x.Letter] {
			return fmt.Errorf("want a kernel for each class, found none for %s", x.Letter)
		}
	}
	return nil
}
