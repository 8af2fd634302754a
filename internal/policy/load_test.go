package policy_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const head = "schemaVersion: gopherwood/v1\nkind: Policy\nmetadata: {name: test}\n"

// load compiles a policy that the test wrote, below the usual head.
func load(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Load("test.yaml", []byte(head+text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testdata/errors.txtar holds, for each NAME, a policy NAME.yaml (below the
// usual head) and the error it gives, NAME.want.
func TestLoadErrors(t *testing.T) {
	const golden = "testdata/errors.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		_, err := policy.Load(f.Name, append([]byte(head), f.Data...))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if code := fault.CodeOf(err); code != fault.Invalid {
			t.Errorf("%s: code %q", name, code)
		}
		got := strings.ReplaceAll(err.Error(), "load policy "+f.Name+":", "") + "\n"
		if diff := cmp.Diff(want[name+".want"], got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	data, err := os.ReadFile("default.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".yaml") {
			f.Add(append([]byte(head), file.Data...))
		}
	}
	f.Add([]byte(head + "extends: default\nseverities: [{rule: start/*, severity: warn}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Load("fuzz.yaml", data)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		p.Rules()
		p.Test(t.Context(), setting("2026-11-22"))
	})
}
