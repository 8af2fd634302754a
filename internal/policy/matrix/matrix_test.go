package matrix_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.DateOnly)
}

func TestSupport(t *testing.T) {
	for _, test := range []struct {
		version, today string
		vendor         bool
		want           matrix.Support
		until          string
	}{
		{"go1.26.8", "2026-11-22", false, matrix.Support{Minor: "1.26", Known: true, Supported: true, Source: "upstream"}, ""},
		{"go1.25.3", "2026-08-18", false, matrix.Support{Minor: "1.25", Known: true, Supported: true, Source: "upstream"}, "2026-08-19"},
		{"go1.25.3", "2026-08-19", false, matrix.Support{Minor: "1.25", Known: true, Supported: true, Source: "upstream"}, "2026-08-19"},
		{"go1.25.3", "2026-08-20", false, matrix.Support{Minor: "1.25", Known: true, Source: "upstream"}, "2026-08-19"},
		{"go1.20", "2024-02-07", false, matrix.Support{Minor: "1.20", Known: true, Source: "upstream"}, "2024-02-06"},
		{"go1.22.5-acme.1", "2026-01-01", false, matrix.Support{Minor: "1.22", Known: true, Source: "upstream"}, "2025-02-11"},
		{"go1.22.5-acme.1", "2026-01-01", true, matrix.Support{Minor: "1.22", Known: true, Supported: true, Source: "vendor long-term"}, "2026-08-31"},
		{"go1.22.5-acme.1", "2026-09-01", true, matrix.Support{Minor: "1.22", Known: true, Source: "vendor long-term"}, "2026-08-31"},
		{"go1.19.10 X:boringcrypto", "2024-12-31", true, matrix.Support{Minor: "1.19", Known: true, Supported: true, Source: "vendor long-term"}, "2024-12-31"},
		{"go1.13.4", "2026-11-22", true, matrix.Support{Minor: "1.13", Known: true}, ""},
		{"go1.28.1", "2027-03-01", false, matrix.Support{Minor: "1.28", Newer: true}, ""},
		{"devel go1.28-0a1b2c3 Tue Nov 3 10:00:00 2026 +0000", "2026-11-22", false, matrix.Support{Minor: "1.28", Newer: true, Prerelease: true}, ""},
		{"go1.27rc1", "2026-07-01", false, matrix.Support{Minor: "1.27", Known: true, Supported: true, Prerelease: true, Source: "upstream"}, ""},
		{"go1.26-devel_0a1b2c3", "2026-11-22", false, matrix.Support{Minor: "1.26", Known: true, Supported: true, Prerelease: true, Source: "upstream"}, ""},
		{"unknown", "2026-11-22", false, matrix.Support{}, ""},
		{"", "2026-11-22", false, matrix.Support{}, ""},
	} {
		got := matrix.Embedded(test.vendor).Support(test.version, day(t, test.today))
		if date(got.Until) != test.until {
			t.Errorf("%s on %s: until %s, want %s", test.version, test.today, date(got.Until), test.until)
		}
		got.Until, got.Released, got.AgeDays, got.Oldest, got.Newest = nil, nil, 0, "", ""
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", test.version, test.today, diff)
		}
	}
}

func TestSupportNamesTheWayOut(t *testing.T) {
	for _, test := range []struct {
		today          string
		vendor         bool
		oldest, newest string
	}{
		{"2026-11-22", false, "1.26", "1.27"},
		{"2026-08-01", false, "1.25", "1.26"},
		{"2026-08-01", true, "1.22", "1.26"},
		{"2021-02-20", false, "1.16", "1.16"},
		{"2020-01-01", false, "", ""},
	} {
		got := matrix.Embedded(test.vendor).Support("go1.16", day(t, test.today))
		if got.Oldest != test.oldest || got.Newest != test.newest {
			t.Errorf("on %s: oldest %q, newest %q; want %q, %q", test.today, got.Oldest, got.Newest, test.oldest, test.newest)
		}
	}
}

func TestAge(t *testing.T) {
	got := matrix.Embedded(false).Support("go1.24.1", day(t, "2025-02-21").Add(5*time.Hour))
	if got.AgeDays != 10 || date(got.Released) != "2025-02-11" {
		t.Errorf("age %d days, released %s", got.AgeDays, date(got.Released))
	}
}

// Every end of support follows from upstream's rule.
func TestEndsAreDerived(t *testing.T) {
	list := matrix.Embedded(false).Releases(day(t, "2026-11-22"))
	for i, item := range list.Items {
		want := ""
		if i >= 2 {
			want = list.Items[i-2].Released
		}
		if item.Until != want {
			t.Errorf("Go %s ends on %q, want %q", item.Version, item.Until, want)
		}
		if wantSupported := i < 2; item.Supported != wantSupported {
			t.Errorf("Go %s: supported %v", item.Version, item.Supported)
		}
		if item.Use == "" || len(item.Features) == 0 && item.Version != "1.27" {
			t.Errorf("Go %s: use %q, %d features", item.Version, item.Use, len(item.Features))
		}
	}
	if first, last := list.Items[0].Version, list.Items[len(list.Items)-1].Version; first != "1.27" || last != "1.16" {
		t.Errorf("the list runs from %s to %s", first, last)
	}
}

func TestReleasesWithLayer(t *testing.T) {
	list := matrix.Embedded(true).Releases(day(t, "2026-01-01"))
	if len(list.Matrices) != 2 || list.Kind != api.KindGoVersionList || list.Today != "2026-01-01" {
		t.Errorf("envelope %+v", list)
	}
	for _, item := range list.Items {
		if item.Version == "1.22" && (item.Source != "vendor long-term" || item.Until != "2026-08-31" || len(item.Scenarios) == 0 || item.Released != "2024-02-06") {
			t.Errorf("1.22: %+v", item)
		}
		if item.Version == "1.26" && item.Source != "upstream" {
			t.Errorf("1.26: %+v", item)
		}
	}
}

func TestFeatures(t *testing.T) {
	m := matrix.Embedded(false)
	for _, test := range []struct {
		version, id string
		want        bool
	}{
		{"go1.17.13", "generics", false},
		{"go1.18", "generics", true},
		{"go1.18beta1", "generics", true},
		{"go1.16", "tls13", true},
		{"go1.20.1", "pgo", true},
		{"go1.20.1", "pgo-auto", false},
		{"devel go1.25-abc", "container-gomaxprocs", true},
		{"go1.99", "generic-methods", true},
		{"unknown", "generics", false},
	} {
		got, err := m.HasFeature(test.version, test.id)
		if err != nil || got != test.want {
			t.Errorf("HasFeature(%s, %s) = %v, %v", test.version, test.id, got, err)
		}
	}
	if _, err := m.HasFeature("go1.22", "genericks"); err == nil {
		t.Error("an unknown feature is no error")
	}
	if f, ok := m.Feature("goarm64"); !ok || f.Since != "1.23" {
		t.Errorf("Feature(goarm64) = %+v, %v", f, ok)
	}
	if _, ok := m.Feature("genericks"); ok {
		t.Error("there is an unknown feature")
	}
	var build []string
	for _, f := range m.Features("go1.17") {
		if f.Build != nil {
			build = append(build, f.ID)
		}
	}
	if diff := cmp.Diff([]string{"pie", "trimpath"}, build); diff != "" {
		t.Errorf("what a build with 1.17 may ask for (-want +got):\n%s", diff)
	}
}

// The data is only worth something while somebody looks after it.
func TestEmbeddedDataIsFresh(t *testing.T) {
	for _, meta := range matrix.Embedded(true).Releases(time.Now()).Matrices {
		if age := time.Since(day(t, meta.Updated)); age > 365*24*time.Hour {
			t.Errorf("matrix %s was last checked on %s: compare it with the release history and set updated", meta.Name, meta.Updated)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	const head = "schemaVersion: gopherwood/v1\nkind: VersionMatrix\nmetadata: {name: upstream, updated: 2026-01-01}\nnewestSupported: 2\n"
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", head + "releases:\n- {version: 1.20, released: 2023-02-01, relased: x}\n", "m.yaml:6:41: unknown key \"relased\""},
		{"duplicate key", head + "newestSupported: 3\nreleases: []\n", "m.yaml:5:1: key \"newestSupported\" is given twice"},
		{"duplicate minor", head + "releases:\n- {version: 1.20, released: 2023-02-01}\n- {version: 1.20, released: 2023-02-02}\n", "m.yaml:7:13: version 1.20 is listed twice"},
		{"disorder", head + "releases:\n- {version: 1.21, released: 2023-08-08}\n- {version: 1.20, released: 2023-09-02}\n", "m.yaml:7:13: version 1.20 follows 1.21"},
		{"disorder of days", head + "releases:\n- {version: 1.20, released: 2023-02-01}\n- {version: 1.21, released: 2023-01-01}\n", "m.yaml:7:29: 1.21 was released on 2023-01-01, not after"},
		{"bad date", head + "releases:\n- version: 1.20\n  released: 2023-02-30\n", "m.yaml:7:13: released: \"2023-02-30\" is no date"},
		{"no date", head + "releases:\n- version: 1.20\n", "m.yaml:6:3: released is missing"},
		{"bad minor", head + "releases:\n- {version: 1.20.1, released: 2023-02-01}\n", "m.yaml:6:13: version: \"1.20.1\" is no Go minor"},
		{"stored end", head + "releases:\n- {version: 1.20, released: 2023-02-01, until: 2024-02-06}\n", "m.yaml:6:48: until is derived"},
		{"nothing", head, "m.yaml:1:1: releases are missing"},
		{"other kind", "schemaVersion: gopherwood/v1\nkind: Policy\n", "m.yaml:2:7: kind is \"Policy\", want \"VersionMatrix\""},
		{"empty", "", "m.yaml:1:1: the file is empty"},
		{"feature twice", head + "releases:\n- {version: 1.20, released: 2023-02-01}\nfeatures:\n- {id: a, name: A, since: 1.18}\n- {id: a, name: B, since: 1.18}\n", "m.yaml:9:8: feature \"a\" is listed twice"},
		{"no YAML", "a: [", "m.yaml:1:1: "},
	} {
		_, err := matrix.Load("m.yaml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: code %q", test.name, fault.CodeOf(err))
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	m := matrix.Embedded(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				m.Support("go1.22.1", day(t, "2026-01-01"))
				m.Releases(day(t, "2026-01-01"))
			}
		})
	}
	wg.Wait()
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"upstream.yaml", "vendor.yaml"} {
		data, err := os.ReadFile(filepath.Join(".", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("kind: VersionMatrix\nschemaVersion: gopherwood/v1\nmetadata: {name: x, updated: 2020-01-01}\nreleases: [{version: 1.1, until: 2020-01-01}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := matrix.Load("m.yaml", data)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		today := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		m.Releases(today)
		m.Support("go1.22.1", today)
		matrix.Layer(matrix.Embedded(false), m).Releases(today)
	})
}

// Every example in the format's description is one that loads.
func TestDocumentedExamples(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "formats", "matrix.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(data), "```yaml\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := matrix.Load("matrix.md", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("only %d examples", len(blocks))
	}
}
