package modproxy

import (
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// FuzzParse holds what is accepted to the rules of module paths and versions, and to
// one way to write each.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/golang.org/x/text/@v/list", "/golang.org/x/text/@latest", "/golang.org/x/text/@v/v0.3.0.zip",
		"/github.com/!burnt!sushi/toml/@v/v1.0.0+incompatible.mod", "/a.b/@v/main.info", "/a.b/../c/@v/list", "/a.b/@v/../x.info", "/sumdb/x/@v/list",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := parse(path)
		if err != nil {
			if fault.CodeOf(err) != fault.NotFound {
				t.Fatalf("%q: %v", path, err)
			}
			return
		}
		escaped, err := module.EscapePath(got.Path)
		if err != nil {
			t.Fatalf("%q: %q: %v", path, got.Path, err)
		}
		want := escaped
		switch got.kind {
		case kindList:
			want += "/@v/list"
		case kindLatest:
			want += "/@latest"
		default:
			version, err := module.EscapeVersion(got.Version.Version)
			if err != nil {
				t.Fatalf("%q: %q: %v", path, got.Version.Version, err)
			}
			want += "/@v/" + version + "." + got.kind.String()
		}
		if strings.TrimPrefix(path, "/") != want {
			t.Fatalf("%q is %+v, which is %q", path, got, want)
		}
		if (got.kind == kindMod || got.kind == kindZip) && !mirror.Exact(got.Path, got.Version.Version) {
			t.Fatalf("%q is %+v", path, got)
		}
	})
}
