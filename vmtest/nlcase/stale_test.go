package nlcase

import (
	"reflect"
	"testing"
)

func TestAlternatives(t *testing.T) {
	for _, tt := range []struct {
		text, release string
		want          []string
	}{
		{"open s route", "6.1.5", nil},
		{"open s route\n[>=6.9] close s", "6.1.5", []string{"6.9"}},
		{"open s route\n[>=6.9] close s", "6.9.1", nil},
		{"open s route\n[>=6.9] quiet s\n[<6.9] close s", "6.12", []string{"6.8.9999"}},
		{"open s route\n[>=6.1 <6.9] close s", "6.9", []string{"6.1"}},
		{"open s route\n[<6.1.100] quiet s\n[>=6.9] close s", "6.2", []string{"6.1.99", "6.9"}},
		{"open s route\n[<=6.0] close s", "5.10.1", nil},
		{"open s route\n[=5.10] quiet s\n[=6.1] set s EXT_ACK 1\n[>=6.12] quiet s", "6.12", []string{"6.1"}},
		{"open s route\n[<6.0] close s", "6.1", []string{"5.9999"}},
		{"since 6.9\nopen s route", "6.1.5", []string{"6.9"}},
		{"since 6.9\nopen s route", "6.9", nil},
		{"since 6.1\nuntil 6.8\nopen s route", "6.9", []string{"6.1"}},
	} {
		c, err := Parse("f", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range c.Alternatives(tt.release) {
			got = append(got, a.Release)
			if a.What == "" || c.said(a.Release) == c.said(tt.release) {
				t.Errorf("%q on %s: %+v", tt.text, tt.release, a)
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q on %s: %v, want %v", tt.text, tt.release, got, tt.want)
		}
	}
}
