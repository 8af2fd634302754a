package gate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ask opens a gate and asks it about some versions: neither may panic, and all
// errors have a code.
func ask(t *testing.T, opt gate.Options) {
	g, err := gate.New(opt)
	if err != nil {
		if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit {
			t.Fatalf("error with code %q: %v", code, err)
		}
		return
	}
	for _, c := range []gate.Candidate{
		{Path: "example.com/m", Version: "v1.2.3"},
		{Path: "example.com/m", Version: "v2.0.0+incompatible", FirstSeen: now, Published: now, Licences: []string{"LICENSE"}, Size: 10},
		{Path: "golang.org/toolchain", Version: "v0.0.1-go1.26.1.linux-amd64"},
	} {
		if err := g.Check(t.Context(), c); err != nil {
			if fault.CodeOf(err) != fault.Denied {
				t.Fatalf("error with code %q: %v", fault.CodeOf(err), err)
			}
			if text := err.Error() + fault.HintOf(err); len(text) > 64<<10 {
				t.Fatalf("a text of %d bytes", len(text))
			}
		}
	}
}

func FuzzPolicy(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".yaml") {
			f.Add([]byte(policyHead + string(file.Data)))
		}
	}
	page, err := os.ReadFile("../../../docs/formats/modulepolicy.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) { ask(t, gate.Options{Policy: fuzzFile(t, dir, "p.yaml", data)}) })
}

func FuzzOSV(f *testing.F) {
	f.Add([]byte(entry("GO-1", "example.com/m", `{"introduced":"0"},{"fixed":"1.2.3"},{"last_affected":"1.5.0"},{"limit":"*"}`)))
	f.Add([]byte(entry("GO-1", "stdlib", `{"introduced":"1.26.0-0"},{"fixed":"1.26.2"}`)))
	f.Add([]byte(osvEntry(`{` + osvPackage + `,"versions":["1.0.0","x"]}`)))
	f.Add([]byte(`{"id":"GO-1","withdrawn":"2026-01-01T00:00:00Z","affected":[{` + osvPackage + `}]}`))
	f.Add([]byte(`{"id":1}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) { ask(t, gate.Options{OSV: []string{fuzzFile(t, dir, "x.json", data)}}) })
}

func FuzzKnown(f *testing.F) {
	f.Add([]byte("example.com/m v1.2.3 h1:a=\nexample.com/m v1.2.3/go.mod h1:b=\n\n"))
	f.Add([]byte("example.com/m v2.0.0+incompatible h1:a=\n"))
	f.Add([]byte("example.com/m main h1:"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		ask(t, gate.Options{CoolDown: hour, Known: []string{fuzzFile(t, dir, "go.sum", data)}})
	})
}

func FuzzAllow(f *testing.F) {
	for _, s := range []string{"*", "example.com/m@v1.2.3", "[a", "a\\", "@", "a/**/b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		g, err := gate.New(gate.Options{CoolDown: hour, Allow: []string{pattern}})
		if err != nil {
			if fault.CodeOf(err) != fault.Usage {
				t.Fatal(err)
			}
			return
		}
		_ = g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.2.3"})
	})
}

// fuzzFile writes data into a file of the fuzz worker.
func fuzzFile(t *testing.T, dir, name string, data []byte) string {
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
