package compile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

func TestPerPackage(t *testing.T) {
	for _, tc := range []struct {
		items []string
		want  []string
	}{
		{nil, nil},
		{[]string{"-s", "-w"}, []string{"-f=-s -w"}},
		{[]string{"-X main.a=b c", "-X=d=e"}, []string{"-f='-X=main.a=b c' -X=d=e"}},
		{[]string{"-X", "main.a=b c"}, []string{"-f=-X 'main.a=b c'"}},
		{[]string{"-extldflags=-static -lm", " -s "}, []string{"-f='-extldflags=-static -lm' -s"}},
		{[]string{"-X=a.b=it's"}, []string{`-f="-X=a.b=it's"`}},
		{[]string{"-N", "-l", "all=-d=checkptr", "-m"}, []string{"-f=-N -l", "-f=all=-d=checkptr -m"}},
	} {
		got, err := perPackage("-f", tc.items)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got)\n%s", tc.items, err, diff)
		}
	}
}

func TestProfileFlag(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cpu.pgo")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"cpu.pgo", file} {
		f, err := newFlags(api.PackageConfig{PGO: path}, dir)
		if err != nil || f.profile != file || f.args[1] != "-pgo="+file || f.recorded[1] != "-pgo=cpu.pgo" {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
	}
	if _, err := newFlags(api.PackageConfig{PGO: "."}, dir); err == nil {
		t.Error("a directory is a profile")
	}
}

// What is quoted splits into the same fields.
func FuzzQuote(f *testing.F) {
	f.Add("-s", "-X=main.a=b c")
	f.Add("it's", `"`)
	f.Add("", "-")
	f.Fuzz(func(t *testing.T, a, b string) {
		clean := func(s string) string { return strings.Trim(s, " \t\r\n") }
		qa, errA := quote(a)
		qb, errB := quote(b)
		if errA != nil || errB != nil {
			return
		}
		if a, b = clean(a), clean(b); strings.HasPrefix(a, "-") || strings.HasPrefix(b, "-") {
			return // may be joined with "="
		}
		if got := splitFields(qa + " " + qb); !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%q and %q became %q", a, b, got)
		}
	})
}

func TestNames(t *testing.T) {
	for item, want := range map[string]bool{
		"-linkmode": true, "--linkmode=external": true, "-linkmode external": true, "linkmode": false, "-linkmodes": false, "-s": false,
	} {
		if got := names([]string{item}, "linkmode"); got != want {
			t.Errorf("names(%q) = %v", item, got)
		}
	}
}

func TestNear(t *testing.T) {
	got := near("linux/amd46", []string{"darwin/amd64", "linux/386", "linux/amd64", "linux/arm", "windows/amd64"})
	if got[0] != "linux/amd64" || len(got) != 3 {
		t.Errorf("near: %q", got)
	}
}

func TestDebianPackage(t *testing.T) {
	for prefix, want := range map[string]string{
		"x86_64-linux-gnu": "gcc-x86-64-linux-gnu", "aarch64-linux-gnu": "gcc-aarch64-linux-gnu", "x86_64-w64-mingw32": "gcc-mingw-w64-x86-64",
	} {
		if got := debianPackage(prefix); got != want {
			t.Errorf("%s is in %s, want %s", prefix, got, want)
		}
	}
}

func TestMajorVersion(t *testing.T) {
	for path, want := range map[string]string{
		"a.b/c": "c", "a.b/c/v2": "c", "a.b/c/v1": "v1", "a.b/c/v02": "v02", "v2": "v2", "a.b/c/v": "v", "a.b/c/v2x": "v2x", "a.b/c/v12": "c",
	} {
		if got := (Package{ImportPath: path}).Name(); got != want {
			t.Errorf("%s is called %s, want %s", path, got, want)
		}
	}
}
