package mirror_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// gated returns a mirror with a gate that has the mirror's clock.
func gated(t *testing.T, opt gate.Options, change func(*mirror.Options)) *world {
	t.Helper()
	var w *world
	opt.Now = func() time.Time { return w.time() }
	w = newWorld(t, func(o *mirror.Options) {
		// Nothing is asked before newWorld returns.
		g, err := gate.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		o.Gate = g
		if change != nil {
			change(o)
		}
	})
	return w
}

// write returns the name of a new file.
func write(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCoolDown lets the time pass that a version is held back.
func TestCoolDown(t *testing.T) {
	w := gated(t, gate.Options{CoolDown: 72 * time.Hour}, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	refused := func(v string) {
		t.Helper()
		m := module.Version{Path: lib, Version: v}
		_, err := w.Info(t.Context(), lib, v)
		wantCode(t, err, fault.Denied)
		_, err = w.Mod(t.Context(), m)
		wantCode(t, err, fault.Denied)
		_, err = w.Get(t.Context(), m)
		wantCode(t, err, fault.Denied)
		if w.has(t, lib, v) {
			t.Error("stored")
		}
	}
	versions := func(want ...string) {
		t.Helper()
		got, err := w.Versions(t.Context(), lib)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	versions()
	_, err := w.Latest(t.Context(), lib)
	wantCode(t, err, fault.Denied)
	refused("v1.0.0")
	for _, r := range w.up.Requests() {
		if strings.Contains(r, "v1.0.0") {
			t.Errorf("what is refused was asked for: %s", r)
		}
	}
	w.pass(71 * time.Hour)
	refused("v1.0.0")
	w.pass(time.Hour)
	versions("v1.0.0")
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Fatal(err)
	}

	// The latest version is too new: the one before it is given.
	w.up.Add(t, lib, "v1.1.0", nil)
	w.pass(mirror.DefaultStaleAge)
	versions("v1.0.0")
	refused("v1.1.0")
	if d, err := w.Latest(t.Context(), lib); err != nil || !strings.Contains(string(d.Data), `"v1.0.0"`) {
		t.Errorf("%s, %v", d.Data, err)
	}
	w.pass(72 * time.Hour)
	versions("v1.0.0", "v1.1.0")
	if d, err := w.Latest(t.Context(), lib); err != nil || !strings.Contains(string(d.Data), `"v1.1.0"`) {
		t.Errorf("%s, %v", d.Data, err)
	}
}

// TestCoolDownOfBranches holds back what a branch means.
func TestCoolDownOfBranches(t *testing.T) {
	w := gated(t, gate.Options{CoolDown: 72 * time.Hour}, nil)
	const pseudo = "v0.0.0-20250401120000-0123456789ab"
	w.up.Add(t, lib, pseudo, nil)
	w.up.Point(lib, "main", pseudo)
	_, err := w.Info(t.Context(), lib, "main")
	wantCode(t, err, fault.Denied)
	w.pass(72 * time.Hour)
	if _, err := w.Info(t.Context(), lib, "main"); err != nil {
		t.Error(err)
	}
}

// TestPrivateHasNoCoolDown: nobody outside of the company publishes these.
func TestPrivateHasNoCoolDown(t *testing.T) {
	w := gated(t, gate.Options{CoolDown: 72 * time.Hour}, func(o *mirror.Options) { o.Private = "corp.example.com" })
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Error(err)
	}
}

// TestRulesAboutZips refuses by what is known only when the zip is there: neither
// documents nor the store have such a version.
func TestRulesAboutZips(t *testing.T) {
	policy := write(t, "policy.yaml", `
schemaVersion: gopherwood/v1
kind: ModulePolicy
metadata: {name: test}
rules:
  - id: test/licensed
    severity: deny
    require: licences.size() > 0
    message: it has no licence
`)
	w := gated(t, gate.Options{Policy: policy}, nil)
	w.up.Add(t, lib, "v1.0.0", map[string]string{"lib.go": "package lib\n"})
	w.up.Add(t, lib, "v1.1.0", map[string]string{"lib.go": "package lib\n", "LICENSE": "Do what you want.\n"})
	for v, code := range map[string]fault.Code{"v1.0.0": fault.Denied, "v1.1.0": ""} {
		m := module.Version{Path: lib, Version: v}
		for range 2 {
			_, err := w.Info(t.Context(), lib, v)
			wantCode(t, err, code)
			_, err = w.Mod(t.Context(), m)
			wantCode(t, err, code)
			_, err = w.Get(t.Context(), m)
			wantCode(t, err, code)
		}
		if w.has(t, lib, v) != (code == "") {
			t.Errorf("%s stored: %v", v, w.has(t, lib, v))
		}
	}
}

// TestStoredIsJudgedAgain stores a version before a rule that refuses it.
func TestStoredIsJudgedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	osv := write(t, "GO-2025-0001.json", `{"schema_version": "1.3.1", "id": "GO-2025-0001", "modified": "2025-01-01T00:00:00Z",
		"affected": [{"package": {"ecosystem": "Go", "name": "corp.example.com/lib"},
			"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}]}]}`)
	for _, offline := range []bool{false, true} {
		later := gated(t, gate.Options{OSV: []string{osv}}, func(o *mirror.Options) {
			o.Store = w.store
			if offline {
				o.Source = nil
			}
		})
		for what, ask := range map[string]func() error{
			"get":  func() error { _, err := later.Get(t.Context(), v1); return err },
			"info": func() error { _, err := later.Info(t.Context(), lib, "v1.0.0"); return err },
			"mod":  func() error { _, err := later.Mod(t.Context(), v1); return err },
		} {
			err := ask()
			if fault.CodeOf(err) != fault.Denied || !strings.Contains(err.Error(), "GO-2025-0001") {
				t.Errorf("offline %v: %s: %v", offline, what, err)
			}
		}
		if v, err := later.Versions(t.Context(), lib); err != nil || len(v) != 0 {
			t.Errorf("%q, %v", v, err)
		}
	}
}
