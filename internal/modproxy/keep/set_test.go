package keep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	hashA = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	hashB = "h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="
)

func TestReadGoSum(t *testing.T) {
	var s Set
	err := s.ReadGoSum("go.sum", strings.NewReader(`corp.example.com/lib v1.10.0 `+hashA+`
corp.example.com/lib v1.10.0/go.mod `+hashB+`
corp.example.com/lib v1.9.0/go.mod `+hashB+`

corp.example.com/app/v2 v2.0.0-20260102030405-0123456789ab h2:other
corp.example.com/old v1.0.0/go.mod `+emptyModSum+`
corp.example.com/old v2.0.0+incompatible `+hashA+`
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []module.Version{
		{Path: "corp.example.com/lib", Version: "v1.9.0"},
		{Path: "corp.example.com/lib", Version: "v1.10.0"},
		{Path: "corp.example.com/old", Version: "v2.0.0+incompatible"},
	}
	if diff := cmp.Diff(want, s.Versions()); diff != "" {
		t.Error(diff)
	}
	lib := &store.Version{Version: want[1], Sum: hashA, GoModSum: hashB}
	if err := s.Check(lib); err != nil {
		t.Error(err)
	}
	for _, v := range []store.Version{
		{Version: want[1], Sum: hashB, GoModSum: hashB},
		{Version: want[1], Sum: hashA, GoModSum: hashA},
		{Version: want[0], Sum: hashA, GoModSum: hashA},
	} {
		if err := s.Check(&v); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", v.Version, err)
		}
	}
	if err := s.Check(&store.Version{Version: want[0], Sum: hashA, GoModSum: hashB}); err != nil {
		t.Errorf("a hash that no file has was held against it: %v", err)
	}
}

func TestReadGoSumRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"fields":    "corp.example.com/lib v1.0.0\n",
		"version":   "corp.example.com/lib main " + hashA + "\n",
		"major":     "corp.example.com/lib v2.0.0 " + hashA + "\n",
		"path":      "../lib v1.0.0 " + hashA + "\n",
		"two":       "corp.example.com/lib v1.0.0 " + hashA + "\ncorp.example.com/lib v1.0.0 " + hashB + "\n",
		"long line": strings.Repeat("x", 1<<20),
		"binary":    "\x7fELF\x00\x01",
	} {
		var s Set
		err := s.ReadGoSum("x/go.sum", strings.NewReader("\n"+text))
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "x/go.sum") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var s Set
	err := s.ReadGoSum("go.sum", strings.NewReader(strings.Repeat("\n", MaxGoSum+1)))
	if fault.CodeOf(err) != fault.Limit {
		t.Error(err)
	}
}

func FuzzReadGoSum(f *testing.F) {
	f.Add("corp.example.com/lib v1.0.0 " + hashA + "\ncorp.example.com/lib v1.0.0/go.mod " + hashB + "\n")
	f.Add("a b c\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		var s Set
		if s.ReadGoSum("go.sum", strings.NewReader(text)) != nil {
			return
		}
		for _, m := range s.Versions() {
			if err := module.Check(m.Path, m.Version); err != nil {
				t.Error(err)
			}
			if !s.Has(m) {
				t.Errorf("%s is not there", m)
			}
		}
	})
}

func TestParseVersion(t *testing.T) {
	for name, want := range map[string]struct {
		m   module.Version
		ok  bool
		err bool
	}{
		"corp.example.com/lib@v1.2.3":                               {module.Version{Path: "corp.example.com/lib", Version: "v1.2.3"}, true, false},
		"corp.example.com/lib":                                      {module.Version{Path: "corp.example.com/lib"}, false, false},
		"corp.example.com/lib@main":                                 {module.Version{Path: "corp.example.com/lib", Version: "main"}, false, false},
		"golang.org/toolchain@v0.0.1-go1.26.0.linux-amd64":          {module.Version{Path: "golang.org/toolchain", Version: "v0.0.1-go1.26.0.linux-amd64"}, true, false},
		"corp.example.com/lib@":                                     {module.Version{Path: "corp.example.com/lib"}, false, true},
		"Not a module@v1.0.0":                                       {module.Version{}, false, true},
		"corp.example.com/lib@v1.2.4-0.20260102030405-0123456789ab": {module.Version{Path: "corp.example.com/lib", Version: "v1.2.4-0.20260102030405-0123456789ab"}, true, false},
	} {
		m, ok, err := ParseVersion(name)
		if m != want.m || ok != want.ok || (err != nil) != want.err {
			t.Errorf("%s: %v, %v, %v", name, m, ok, err)
		}
	}
}

// A workspace of two modules, of which one has a directory in the place of a
// dependency: nothing needs to be fetched.
func TestReadGraph(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.work", "go 1.21\n\nuse (\n\t./a\n\t./b\n)\n")
	write("go.work.sum", "corp.example.com/work v1.0.0/go.mod "+hashA+"\n")
	write("a/go.mod", "module corp.example.com/a\n\ngo 1.21\n\nrequire corp.example.com/local v1.0.0\n\nreplace corp.example.com/local => ../local\n")
	write("a/go.sum", "corp.example.com/sum v1.0.0 "+hashA+"\n")
	write("b/go.mod", "module corp.example.com/b\n\ngo 1.21\n")
	write("local/go.mod", "module corp.example.com/local\n\ngo 1.21\n")
	environ := append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=")
	var s Set
	if err := s.ReadGraph(t.Context(), dir, GoCommand{Environ: environ}); err != nil {
		t.Fatal(err)
	}
	want := []module.Version{{Path: "corp.example.com/sum", Version: "v1.0.0"}, {Path: "corp.example.com/work", Version: "v1.0.0"}}
	if diff := cmp.Diff(want, s.Versions()); diff != "" {
		t.Error(diff)
	}

	err := s.ReadGraph(t.Context(), t.TempDir(), GoCommand{Environ: append(environ, "GOWORK=off")})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "go.mod") || fault.HintOf(err) == "" {
		t.Errorf("no module: %v", err)
	}
	err = s.ReadGraph(t.Context(), dir, GoCommand{Name: "no-such-go", Environ: environ})
	if fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("no go command: %v", err)
	}
}

func TestListedVersion(t *testing.T) {
	l := listed{Path: "corp.example.com/a", Version: "v1.0.0", Replace: &module.Version{Path: "corp.example.com/fork", Version: "v1.1.0"}}
	if got := l.version(); got != *l.Replace {
		t.Error(got)
	}
}
