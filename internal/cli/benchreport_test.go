package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// Whatever a file holds, it is refused or shown.
func FuzzReport(f *testing.F) {
	for _, kind := range []string{api.KindBenchGate, api.KindBenchComparison, api.KindBenchHistory, api.KindBenchCalibration, api.KindBenchResults} {
		f.Add([]byte(`{"schemaVersion":"gopherwood/v1","kind":"` + kind + `","items":[{"name":"A","metric":"ns/op","base":1,"head":-1,"estimate":1e308,"low":-2}],"seed":1}`))
	}
	f.Add([]byte(`{"schemaVersion":"gopherwood/v1","kind":"BenchHistory","commits":[{}],"series":[{"points":[{"position":-1}],"changes":[{"position":9}],"drifts":[{}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		data := report.Data{}
		known, err := addDocument(&data, text)
		if !known || err != nil {
			return
		}
		if err := report.HTML(io.Discard, data); err != nil {
			t.Error(err)
		}
		if err := report.Markdown(io.Discard, data); err != nil {
			t.Error(err)
		}
		var b bytes.Buffer
		if err := writeDocuments(&b, data); err != nil {
			t.Error(err)
		}
		if again, err := addDocument(&report.Data{}, b.Bytes()); !again || err != nil {
			t.Errorf("what is written cannot be read: %v\n%s", err, b.Bytes())
		}
		if data.Gate != nil {
			for _, format := range []render.Format{render.JUnit, render.GitHub, render.CodeQuality} {
				write, err := gateWriter(format, data.Gate)
				if err != nil {
					t.Fatal(err)
				}
				if err := write(io.Discard); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Packages lie in the module whose path begins theirs, also in a workspace.
func TestPlacesHere(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		".git/HEAD": "", "go.work": "go 1.24\nuse ./shop\nuse ./shop/plugin\n", "shop/go.mod": "module example.org/shop\n", "shop/plugin/go.mod": "module example.org/shop/plugin\n",
		"shop/a_test.go":          "package shop\n\nfunc BenchmarkA(b *testing.B) {}\n",
		"shop/plugin/b_test.go":   "package plugin\n\nfunc BenchmarkB(b *testing.B) {}\n",
		"shop/plugin/c/c_test.go": "package c\n\nfunc BenchmarkC(b *testing.B) {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &api.BenchGate{}
	for _, pkg := range []string{"example.org/shop", "example.org/shop/plugin", "example.org/shop/plugin/c", "example.org/shop/../../outside", "example.org/shopping", "", "/", "none"} {
		g.Items = append(g.Items, api.BenchGateItem{Package: pkg})
	}
	t.Chdir(filepath.Join(root, "shop", "plugin"))
	got, err := placesHere(g)
	if err != nil {
		t.Fatal(err)
	}
	want := report.Places{
		{Package: "example.org/shop", Function: "BenchmarkA"}:          {File: "shop/a_test.go", Line: 3},
		{Package: "example.org/shop/plugin", Function: "BenchmarkB"}:   {File: "shop/plugin/b_test.go", Line: 3},
		{Package: "example.org/shop/plugin/c", Function: "BenchmarkC"}: {File: "shop/plugin/c/c_test.go", Line: 3},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
