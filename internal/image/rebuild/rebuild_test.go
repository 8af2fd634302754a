package rebuild_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/rebuild"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const source = "package main\n\nimport \"fmt\"\n\nvar version = \"none\"\n\nfunc main() { fmt.Println(\"hello\", version) }\n"

// checkout writes the module into a new directory.
func checkout(t *testing.T, main string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.org/app\n\ngo 1.21\n", "main.go": main, "kodata/motd": "be well"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options() image.Options {
	return image.Options{
		Env: append(os.Environ(), "GOFLAGS=", "GOWORK=off"), Matrix: matrix.Embedded(false), Attach: true, Version: "test",
		Judge: func(context.Context, *facts.Subject) (api.Verdict, error) { return api.Verdict{Verdict: api.Pass}, nil },
	}
}

// built builds the module with everything that is recorded set, and returns the
// image's reference.
func built(t *testing.T, opt image.Options) string {
	t.Helper()
	ref := "oci:" + t.TempDir() + "/app:v1"
	opt.Env = append(opt.Env, "SOURCE_DATE_EPOCH=1700000000")
	builds, errs, err := image.Build(t.Context(), image.Request{
		Dir: checkout(t, source), Targets: []string{ref},
		Config: api.BuildConfig{
			Platforms: []string{"linux/arm64", "linux/amd64/v2"}, Compression: "zstd", Labels: map[string]string{"a": "b"},
			Annotations: map[string]string{"c": "d"},
			Defaults: api.PackageConfig{Tags: []string{"x"}, Ldflags: []string{"-s", "-w", "-X main.version=1.2 beta"},
				Args: []string{"serve"}, Env: map[string]string{"GOFLAGS": "-buildvcs=false"}},
		},
	}, opt)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	return builds[0].Refs[0]
}

func verify(t *testing.T, ref, dir string, opt image.Options) *api.RebuildReport {
	t.Helper()
	report, err := rebuild.Verify(t.Context(), ref, dir, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Items) != 2 {
		t.Fatalf("%d items", len(report.Items))
	}
	return report
}

func TestSame(t *testing.T) {
	ref := built(t, options())
	for _, item := range verify(t, ref, checkout(t, source), options()).Items {
		if item.Verdict != api.RebuildSame || item.Recorded != item.Rebuilt || len(item.Differences) > 0 {
			t.Errorf("%s: %+v", item.Platform, item)
		}
	}
}

func TestDifferent(t *testing.T) {
	ref := built(t, options())
	changed := checkout(t, strings.Replace(source, "hello", "hallo", 1))
	if err := os.WriteFile(filepath.Join(changed, "kodata", "motd"), []byte("be better"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(changed, "kodata", "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, item := range verify(t, ref, changed, options()).Items {
		if item.Verdict != api.RebuildDifferent || item.Recorded == item.Rebuilt {
			t.Fatalf("%+v", item)
		}
		for _, want := range []struct{ kind, name string }{
			{"file", "/usr/local/bin/app"}, {"section", "/usr/local/bin/app: .rodata"},
			{"file", "/usr/local/share/app/motd"}, {"file", "/usr/local/share/app/new"},
		} {
			if !slices.ContainsFunc(item.Differences, func(d api.Difference) bool { return d.Kind == want.kind && d.Name == want.name }) {
				t.Errorf("%s: no %s %s in %+v", item.Platform, want.kind, want.name, item.Differences)
			}
		}
		if slices.ContainsFunc(item.Differences, func(d api.Difference) bool { return d.Kind == "setting" || d.Kind == "config" }) {
			t.Errorf("%s: settings are called different: %+v", item.Platform, item.Differences)
		}
	}
}

// Another module in the directory, or no record, is said plainly.
func TestErrors(t *testing.T) {
	ref := built(t, options())
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "go.mod"), []byte("module example.org/other\n\ngo 1.21\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := rebuild.Verify(t.Context(), ref, other, nil, options()); err == nil || fault.HintOf(err) == "" {
		t.Errorf("another module: %v", err)
	}
	bare := options()
	bare.Attach = false
	if _, err := rebuild.Verify(t.Context(), built(t, bare), checkout(t, source), nil, options()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("nothing attached: %v", err)
	}
}
