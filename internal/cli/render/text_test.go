package render

import (
	"slices"
	"testing"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü 名":   "plain ü 名",
		"a\nb":        `a\nb`,
		"\x1b[31m":    `\x1b[31m`,
		"\xff":        `\xff`,
		"\u202e":      `\u202e`,
		`"quoted\"`:   `"quoted\"`,
		"\U000e0041x": `\U000e0041x`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 5, "short"},
		{"usr/local/bin/server", 10, "usr…server"},
		{"名名名名名", 7, "名…名名"},
		{"abc", 1, "…"},
		{"abc", 0, ""},
	} {
		got := Shorten(tc.in, tc.limit)
		if got != tc.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
		}
		if columns(got) > tc.limit {
			t.Errorf("Shorten(%q, %d) takes %d columns", tc.in, tc.limit, columns(got))
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 30: "1.0 GiB",
		1<<63 - 1: "8.0 EiB",
	} {
		if got := Size(in); got != want {
			t.Errorf("Size(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("one two  three fourteenletters x", 9)
	want := []string{"one two", "three", "fourteenl", "etters x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
