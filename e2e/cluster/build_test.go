package cluster

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBuildEnvironment(t *testing.T) {
	user := []string{"PATH=/bin", "GOFLAGS=-race", "GOWORK=/w/go.work", "GOOS=plan9", "CGO_ENABLED=1", "CGO_CFLAGS=-g", "GOPROXY=https://proxy.example", "GOTOOLCHAIN=local"}
	pure := buildEnviron(user, false)
	for _, want := range []string{"PATH=/bin", "GOPROXY=https://proxy.example", "GOTOOLCHAIN=local", "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false"} {
		if !slices.Contains(pure, want) {
			t.Errorf("%q is missing in %q", want, pure)
		}
	}
	for _, unwanted := range []string{"GOFLAGS=-race", "GOWORK=/w/go.work", "GOOS=plan9", "CGO_ENABLED=1", "CGO_CFLAGS=-g"} {
		if slices.Contains(pure, unwanted) {
			t.Errorf("%q reaches the build", unwanted)
		}
	}
	if cgo := buildEnviron(user, true); !slices.Contains(cgo, "CGO_CFLAGS=-g") || !slices.Contains(cgo, "CGO_ENABLED=1") {
		t.Errorf("with cgo: %q", cgo)
	}
}

// Every program has a recipe, whose module requires the program's module at one
// version, and each recipe has programs.
func TestRecipes(t *testing.T) {
	used := map[string]bool{}
	for _, p := range programs() {
		if p.module == "" {
			continue
		}
		used[p.module+".mod"], used[p.module+".sum"] = true, true
		if len(read(p.module+".sum")) == 0 {
			t.Errorf("%s has no sums", p.module)
		}
		found := false
		for line := range strings.Lines(string(read(p.module + ".mod"))) {
			fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
			found = found || len(fields) >= 2 && (p.pkg == fields[0] || strings.HasPrefix(p.pkg, fields[0]+"/"))
		}
		if !found {
			t.Errorf("%s.mod does not require the module of %s", p.module, p.pkg)
		}
	}
	entries, err := recipes.ReadDir("tools")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "pause.go.txt" && !used[e.Name()] {
			t.Errorf("no program is built from %s", e.Name())
		}
	}
	if !strings.Contains(string(read("kubernetes.mod")), "k8s.io/kubernetes "+Version) {
		t.Errorf("kubernetes.mod is not of %s", Version)
	}
	if key("go1.26.0") == key("go1.26.1") || !isKey(key("go1.26.0")) {
		t.Error("the directory does not depend on Go's version")
	}
}

// A program whose content has changed is not the one that was built.
func TestManifest(t *testing.T) {
	s := &store{dir: t.TempDir()}
	file := filepath.Join(s.bin(), "etcd")
	if err := writeAtomically(file, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	holds := func() bool {
		m, err := s.manifest()
		if err != nil {
			return false
		}
		ok, err := m.holds(s.bin(), "etcd")
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if holds() {
		t.Error("a program that is not in the manifest is taken")
	}
	if err := s.record("etcd"); err != nil {
		t.Fatal(err)
	}
	if !holds() {
		t.Error("what was built is not found")
	}
	if err := os.WriteFile(file, []byte("progrom"), 0o755); err != nil {
		t.Fatal(err)
	}
	if holds() {
		t.Error("a changed program is taken")
	}
	if err := os.Remove(file); err != nil || holds() {
		t.Errorf("a program that is gone is taken (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "manifest.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if holds() {
		t.Error("a broken manifest is taken")
	}
}

func TestImageArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(file, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := imageArchive(file, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := imageArchive(file, "a:1")
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("not the same twice (%v)", err)
	}
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(archive, first, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := ImageSource{Path: archive}.open()
	if err != nil || !slices.Equal(l.names, []string{"docker.io/library/a:1"}) {
		t.Errorf("names %v, %v", l, err)
	}
}

func TestMessages(t *testing.T) {
	var events []Event
	var buf bytes.Buffer
	out := json.NewEncoder(&buf)
	_ = out.Encode(message{Event: &Event{What: "build", Name: "etcd"}})
	_ = out.Encode(message{Error: problemOf(unsupportedNodes())})
	err := follow(&buf, func(e Event) { events = append(events, e) })
	if err == nil || err.Error() != unsupportedNodes().Error() || len(events) != 1 || events[0].Name != "etcd" {
		t.Errorf("%v, events %v", err, events)
	}
	if err := follow(strings.NewReader(""), nil); err == nil {
		t.Error("a supervisor that ends without a word is taken for a cluster")
	}
	if err := follow(strings.NewReader(`{"ready":true}`), nil); err != nil {
		t.Error(err)
	}
}
