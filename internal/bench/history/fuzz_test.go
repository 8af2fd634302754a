package history

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"a.sqlite", "sqlite:a", "sqlite:///a", "postgres://u:secret@h:5432/d?password=secret", "postgres://[::1", "x://y", `C:\a`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		where, err := parseSource(s)
		if err == nil && (where.path == "") == (where.url == "") {
			t.Errorf("parseSource(%q) = %+v", s, where)
		}
		if err == nil && where.url != "" && strings.Contains(s, "secret") && strings.Contains(where.name, "?") {
			t.Errorf("parseSource(%q) shows the query: %s", s, where.name)
		}
	})
}

func FuzzDecodeSamples(f *testing.F) {
	for _, s := range []string{"[]", "null", "[1,null,2.5e300]", "[1e999]", "[[]]", `["a"]`, "[1,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := decodeSamples(s)
		if err != nil {
			return
		}
		for _, v := range values {
			if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
				t.Errorf("decodeSamples(%q) has %v", s, *v)
			}
		}
		if _, err := json.Marshal(values); err != nil {
			t.Errorf("decodeSamples(%q): %v", s, err)
		}
	})
}
