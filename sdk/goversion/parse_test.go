package goversion

import (
	"errors"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in     string
		want   Version
		string string
	}{
		{"go1", Version{Major: 1, Stage: Release}, "go1.0"},
		{"go1.20", Version{Major: 1, Minor: 20, Stage: Release}, "go1.20"},
		{"go1.20.7", Version{Major: 1, Minor: 20, Stage: Release, Number: 7}, "go1.20.7"},
		{"1.21", Version{Major: 1, Minor: 21}, "go1.21"},
		{"go1.21.0", Version{Major: 1, Minor: 21, Stage: Release}, "go1.21.0"},
		{"go1.21.13", Version{Major: 1, Minor: 21, Stage: Release, Number: 13}, "go1.21.13"},
		{"go1.18beta2", Version{Major: 1, Minor: 18, Stage: Beta, Number: 2}, "go1.18beta2"},
		{"go1.22rc1", Version{Major: 1, Minor: 22, Stage: Candidate, Number: 1}, "go1.22rc1"},
		{"go1.22.5-acme.1", Version{Major: 1, Minor: 22, Stage: Release, Number: 5, Suffix: "-acme.1"}, "go1.22.5"},
		{"go1.24.3 (Red Hat 1.24.3-1.el9)", Version{Major: 1, Minor: 24, Stage: Release, Number: 3, Suffix: " (Red Hat 1.24.3-1.el9)"}, "go1.24.3"},
		{"go1.19.10 X:boringcrypto", Version{Major: 1, Minor: 19, Stage: Release, Number: 10, Suffix: " X:boringcrypto"}, "go1.19.10"},
		{"go1.23rc2-acme", Version{Major: 1, Minor: 23, Stage: Candidate, Number: 2, Suffix: "-acme"}, "go1.23rc2"},
		{"go1.22.5+security1", Version{Major: 1, Minor: 22, Stage: Release, Number: 5, Suffix: "+security1"}, "go1.22.5"},
		{"devel go1.27-0a1b2c3d4e Tue Jun 2 09:00:00 2026 +0000",
			Version{Major: 1, Minor: 27, Devel: true, Suffix: "-0a1b2c3d4e Tue Jun 2 09:00:00 2026 +0000"}, "go1.27"},
		{"devel go1.20-0a1b2c3d4e Tue Jun 2 09:00:00 2022 +0000",
			Version{Major: 1, Minor: 20, Devel: true, Suffix: "-0a1b2c3d4e Tue Jun 2 09:00:00 2022 +0000"}, "go1.20"},
		{"go1.26-devel_0a1b2c3d4e Tue Nov 4 09:00:00 2025 +0000",
			Version{Major: 1, Minor: 26, Devel: true, Suffix: "-devel_0a1b2c3d4e Tue Nov 4 09:00:00 2025 +0000"}, "go1.26"},
	} {
		got, err := Parse(test.in)
		if err != nil || got != test.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", test.in, got, err, test.want)
		}
		if got.String() != test.string {
			t.Errorf("Parse(%q).String() = %q, want %q", test.in, got.String(), test.string)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "go", "devel", "devel +0a1b2c3 Tue Jun 2", "unknown", "(devel)", "v1.21", "go1.", "go1.x", "go1.021",
		"go1.21.", "go1.21.3.4", "go1.21rc", "go1.21beta", "go1.21x", "go-1.21", "go1.21.3foo", "go1.99999999999999999999",
	} {
		if v, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, v)
		}
	}
}

func TestParseErrorIsShort(t *testing.T) {
	_, err := Parse(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("the error about a huge version has %d bytes", len(err.Error()))
	}
}

func TestRequire(t *testing.T) {
	const devel = "devel go1.27-0a1b2c3d4e Tue Jun 2 09:00:00 2026 +0000"
	for _, test := range []struct {
		running, min string
		want         fault.Code
	}{
		{"go1.21.3", "1.21", ""},
		{"go1.21.3", "go1.21", ""},
		{"go1.21.3", "1.21.3", ""},
		{"go1.21.3", "1.21.4", fault.Unsupported},
		{"go1.20.14", "1.21", fault.Unsupported},
		{"go1.21rc2", "1.21", ""},
		{"go1.21rc2", "1.21.0", fault.Unsupported},
		{"go1.18beta1", "1.18", fault.Unsupported},
		{devel, "1.26.8", ""},
		{devel, "1.27", ""},
		{devel, "1.27.0", fault.Unsupported},
		{"go1.26-devel_0a1b2c3", "1.26", ""},
		{"go1.22.5-acme.1", "1.22.5", ""},
		{"go1.19.10 X:boringcrypto", "1.20", fault.Unsupported},
		{"unknown", "1.21", fault.Unsupported},
		{"go1.21.3", "newest", fault.Usage},
		{"go1.21.3", "", fault.Usage},
	} {
		err := require(test.running, test.min)
		if got := fault.CodeOf(err); got != test.want {
			t.Errorf("require(%q, %q) = %v (code %q), want code %q", test.running, test.min, err, got, test.want)
		}
		var f *fault.Error
		if err != nil && (!errors.As(err, &f) || f.Hint == "") {
			t.Errorf("require(%q, %q) = %v: no hint", test.running, test.min, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"go1.21.3", "go1.22rc1", "devel go1.27-abc Tue", "go1.19.10 X:boringcrypto", "go1.26-devel_x", "go1", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(v.String())
		if err != nil {
			t.Fatalf("Parse(%q).String() = %q, which does not parse: %v", s, v.String(), err)
		}
		if !v.Devel && again.Compare(v) != 0 {
			t.Fatalf("%q and %q differ", s, v.String())
		}
		if v.Compare(v) != 0 {
			t.Fatalf("%q is not equal to itself", s)
		}
	})
}
