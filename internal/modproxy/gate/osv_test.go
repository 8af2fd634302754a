package gate_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/semver"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// vulnerable asks a gate that knows the entry about a version of example.com/m.
func vulnerable(t testing.TB, entry, version string) error {
	t.Helper()
	g := open(t, gate.Options{OSV: []string{write(t, "entry.json", entry)}})
	return g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: version})
}

func TestOSVRanges(t *testing.T) {
	for _, test := range []struct {
		events   string
		affected string
		not      string
	}{
		{`{"introduced":"0"}`, "v0.0.0-20200101000000-abcdefabcdef v0.0.0-0 v1.0.0 v9.9.9", ""},
		{`{"introduced":"0"},{"fixed":"1.2.3"}`, "v0.0.1 v1.2.2 v1.2.3-rc.1 v1.2.3-0.20200101000000-abcdefabcdef", "v1.2.3 v1.2.4-rc.1 v2.0.0"},
		{`{"fixed":"1.2.3"},{"introduced":"0"}`, "v0.0.1", "v1.2.3"},
		{`{"introduced":"1.0.0"},{"last_affected":"1.2.3"}`, "v1.0.0 v1.2.3", "v0.9.9 v1.0.0-rc.1 v1.2.4"},
		{`{"introduced":"1.0.0"},{"last_affected":"1.0.0"}`, "v1.0.0", "v0.9.9 v1.0.1"},
		{`{"introduced":"0"},{"fixed":"1.0.5"},{"introduced":"1.1.0"},{"fixed":"1.1.7"}`, "v1.0.4 v1.1.0 v1.1.6", "v1.0.5 v1.0.99 v1.1.7 v2.0.0"},
		{`{"introduced":"0"},{"fixed":"1.0.0"},{"introduced":"1.0.0"},{"fixed":"1.1.0"}`, "v0.9.0 v1.0.0 v1.0.1", "v1.1.0"},
		{`{"introduced":"0","fixed":"1.2.3"}`, "v0.0.1", "v1.2.3"},
		{`{"introduced":"v1.0.0"},{"fixed":"v1.2.0"}`, "v1.1.0", "v1.2.0"},
		{`{"introduced":"0"},{"limit":"*"}`, "v1.0.0", ""},
		{`{"introduced":"0"},{"limit":"1.5.0"}`, "v1.4.9", "v1.5.0"},
		{`{"introduced":"0"},{"fixed":"2.0.1+incompatible"}`, "v2.0.0+incompatible", "v2.0.1+incompatible"},
		{``, "v0.0.1 v1.0.0", ""},
	} {
		e := entry("GO-1", "example.com/m", test.events)
		for _, version := range strings.Fields(test.affected) {
			if err := vulnerable(t, e, version); fault.CodeOf(err) != fault.Denied {
				t.Errorf("%s: %s is not refused: %v", test.events, version, err)
			}
		}
		for _, version := range strings.Fields(test.not) {
			if err := vulnerable(t, e, version); err != nil {
				t.Errorf("%s: %v", test.events, err)
			}
		}
	}
}

func osvEntry(affected string) string { return `{"id":"GO-1","affected":[` + affected + `]}` }

const osvPackage = `"package":{"ecosystem":"Go","name":"example.com/m"}`

func TestOSVAffected(t *testing.T) {
	for _, test := range []struct {
		name, affected string
		yes, no        string
	}{
		{"no ranges at all", `{` + osvPackage + `}`, "v1.0.0", ""},
		{"versions", `{` + osvPackage + `,"versions":["1.0.0","v1.1.0","2.0.0","3.0.0+incompatible"]}`,
			"v1.0.0 v1.1.0 v2.0.0+incompatible v3.0.0+incompatible", "v1.0.1 v4.0.0"},
		{"commits only", `{` + osvPackage + `,"ranges":[{"type":"GIT","repo":"r","events":[{"introduced":"0"}]}]}`, "", "v1.0.0"},
		{"two ranges", `{` + osvPackage + `,"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.0"}]},{"type":"ECOSYSTEM","events":[{"introduced":"2.0.0"}]}]}`,
			"v0.1.0 v2.0.0", "v1.0.0 v1.9.9"},
		{"another module", `{"package":{"ecosystem":"Go","name":"example.com/m/v2"}}`, "", "v1.0.0"},
		{"another case", `{"package":{"ecosystem":"Go","name":"example.com/M"}}`, "", "v1.0.0"},
		{"ecosystem with a suffix", `{"package":{"ecosystem":"Go:1","name":"example.com/m"}}`, "v1.0.0", ""},
		{"two modules", `{"package":{"ecosystem":"npm","name":"example.com/m"}},{"package":{"ecosystem":"Go","name":"example.com/x"}}`, "", "v1.0.0"},
	} {
		for _, version := range strings.Fields(test.yes) {
			if err := vulnerable(t, osvEntry(test.affected), version); fault.CodeOf(err) != fault.Denied {
				t.Errorf("%s: %s is not refused: %v", test.name, version, err)
			}
		}
		for _, version := range strings.Fields(test.no) {
			if err := vulnerable(t, osvEntry(test.affected), version); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
}

func TestOSVText(t *testing.T) {
	e := `{"id":"GHSA-1","aliases":["CVE-2026-1","GO-2026-1","CVE-2026-1"],"summary":"Evil\u001b[31m \n text` + strings.Repeat("é", 300) + `",
"database_specific":{"severity":"HIGH"},"affected":[{` + osvPackage + `,"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.3"}]}]},
{` + osvPackage + `}]}`
	err := vulnerable(t, e, "v1.0.0")
	denied(t, err, `use module example.com/m@v1.0.0: it has the known vulnerability GHSA-1 (CVE-2026-1, GO-2026-1, high), "Evil[31m text`,
		`, fixed in v1.2.3 (rule modules/vulnerable)`, "use v1.2.3 or later")
	if strings.ContainsAny(err.Error(), "\x1b\n") || strings.Count(err.Error(), "GHSA-1") != 1 || len(err.Error()) > 600 {
		t.Errorf("%q", err.Error())
	}
	denied(t, vulnerable(t, entry("GO-1", "example.com/m", `{"introduced":"0"}`), "v1.0.0"), "no fixed version is known")
	denied(t, vulnerable(t, osvEntry(`{`+osvPackage+`,"versions":["1.0.0"],"ranges":[{"type":"SEMVER","events":[{"introduced":"1.1.0"},{"fixed":"1.1.4"}]}]}`), "v1.0.0"),
		"fixed in v1.1.4")
}

func TestOSVWithdrawn(t *testing.T) {
	for withdrawn, refused := range map[string]bool{
		"2026-01-02T03:04:05Z": false, "2026-01-02T03:04:05.123456Z": false, "": true, "soon": true,
	} {
		e := strings.Replace(osvEntry(`{`+osvPackage+`}`), `"id"`, fmt.Sprintf(`"withdrawn":%q,"id"`, withdrawn), 1)
		if err := vulnerable(t, e, "v1.0.0"); (err != nil) != refused {
			t.Errorf("withdrawn %q: %v", withdrawn, err)
		}
	}
}

func TestOSVToolchains(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "1.json"), entry("GO-LIB", "stdlib", `{"introduced":"0"},{"fixed":"1.25.8"},{"introduced":"1.26.0-0"},{"fixed":"1.26.1"}`))
	write(t, filepath.Join(dir, "2.json"), entry("GO-CMD", "toolchain", `{"introduced":"1.27.0-rc.1"},{"fixed":"1.27.0-rc.2"}`))
	g := open(t, gate.Options{OSV: []string{dir}})
	for release, want := range map[string]string{
		"go1.9.7.linux-amd64":         "GO-LIB",
		"go1.21.linux-amd64":          "GO-LIB",
		"go1.25.7.windows-arm64":      "fixed in go1.25.8",
		"go1.25.7-acme.linux-amd64":   "GO-LIB",
		"go1.25.8.linux-amd64":        "",
		"go1.26rc1.linux-amd64":       "fixed in go1.26.1",
		"go1.26.1.linux-amd64":        "",
		"go1.27rc1.linux-amd64":       "GO-CMD",
		"go1.27rc2.linux-amd64":       "",
		"go1.27beta1.darwin-arm64":    "",
		"go1.25.7.linux-amd64+unlike": "GO-LIB",
	} {
		err := g.Check(t.Context(), gate.Candidate{Path: "golang.org/toolchain", Version: "v0.0.1-" + release})
		if want == "" && err != nil {
			t.Errorf("%s: %v", release, err)
		}
		if want != "" {
			denied(t, err, want)
		}
	}
	if err := g.Check(t.Context(), gate.Candidate{Path: "golang.org/toolchain", Version: "v0.0.1"}); err != nil {
		t.Error(err)
	}
}

func TestOSVSources(t *testing.T) {
	one := entry("GO-1", "example.com/m", `{"introduced":"0"}`)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, text := range map[string]string{"ID/GO-1.json": one, "index/db.json": "{}", "index/modules.json": "[]", "README.md": "x"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	database := t.TempDir()
	write(t, filepath.Join(database, "ID", "GO-1.json"), one)
	write(t, filepath.Join(database, "index", "vulns.json"), "[]")
	write(t, filepath.Join(database, ".git", "x.json"), "no JSON")
	write(t, filepath.Join(database, ".x.json"), "no JSON")
	withArchive := t.TempDir()
	write(t, filepath.Join(withArchive, "sub", "all.zip"), archive.String())
	mount := t.TempDir()
	write(t, filepath.Join(mount, "..2026", "GO-1.json"), one)
	for link, target := range map[string]string{"..data": "..2026", "GO-1.json": filepath.Join("..data", "GO-1.json")} {
		if err := os.Symlink(target, filepath.Join(mount, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, source := range map[string]string{
		"a file":                 write(t, "x.json", one),
		"a file without a name":  write(t, "deny-list", one),
		"an archive":             write(t, "all.ZIP", archive.String()),
		"the Go database":        database,
		"a directory of archive": withArchive,
		"a ConfigMap":            mount,
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, gate.Options{OSV: []string{source}})
			denied(t, g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}), "GO-1")
		})
	}
}

func TestOSVErrors(t *testing.T) {
	pack := func(name string, data []byte) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return write(t, "x.zip", b.String())
	}
	for name, test := range map[string]struct{ source, want string }{
		"no JSON":       {write(t, "x.json", "id: GO-1"), "x.json: it is no entry of the OSV schema"},
		"no id":         {write(t, "x.json", "{}"), "id is missing"},
		"a bad version": {write(t, "x.json", entry("GO-1", "example.com/m", `{"introduced":"one"}`)), `entry "GO-1", module "example.com/m": "one" is no version`},
		"a bad type":    {write(t, "x.json", strings.Replace(entry("GO-1", "m.com/m", ""), "SEMVER", "RPM", 1)), `"RPM" is no type of range`},
		"another world": {write(t, "x.json", `{"id":"X","affected":[{"package":{"ecosystem":"npm","name":"x"}}]}`), "no entry about Go modules"},
		"an empty dir":  {t.TempDir(), "no entry about Go modules"},
		"no zip":        {write(t, "x.zip", "PK"), "x.zip: "},
		"bad in zip":    {pack("a/b.json", []byte("{")), "x.zip:a/b.json: it is no entry"},
		"huge in zip":   {pack("a/b.json", make([]byte, 9<<20)), "x.zip:a/b.json: the file has more than 8388608 bytes"},
		"huge":          {write(t, "x.json", strings.Repeat(" ", 9<<20)), "the file has more than 8388608 bytes"},
	} {
		_, err := gate.New(gate.Options{OSV: []string{test.source}})
		if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

// One hint is enough: the version that mends everything.
func TestOSVHint(t *testing.T) {
	dir := t.TempDir()
	for id, fix := range map[string]string{"GO-1": "1.2.0", "GO-2": "1.10.0", "GO-3": "1.9.0"} {
		write(t, filepath.Join(dir, id+".json"), entry(id, "example.com/m", fmt.Sprintf(`{"introduced":"0"},{"fixed":%q}`, fix)))
	}
	check := func() error {
		g := open(t, gate.Options{OSV: []string{dir}, CoolDown: hour})
		return g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.0.0"})
	}
	err := check()
	denied(t, err, "GO-1", "GO-2", "GO-3", "use v1.10.0 or later")
	if hint := fault.HintOf(err); strings.Contains(hint, "v1.2.0") || strings.Contains(hint, "v1.9.0") || !strings.Contains(hint, "cool-down") {
		t.Error(hint)
	}
	write(t, filepath.Join(dir, "GO-4.json"), entry("GO-4", "example.com/m", `{"introduced":"0"}`))
	err = check()
	denied(t, err, "GO-4", "use another module")
	if hint := fault.HintOf(err); strings.Contains(hint, "v1.10.0") {
		t.Error(hint)
	}
}

// The algorithm agrees with the definition of the schema: a version is affected
// when, of the events at or before it, the last one is a beginning.
func TestOSVRangesModel(t *testing.T) {
	type event struct{ kind, version string }
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		// Distinct versions, so that the definition leaves nothing open.
		versions := rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 1, 8, rapid.ID).Draw(r, "versions")
		var events []event
		for _, v := range versions {
			kind := rapid.SampledFrom([]string{"introduced", "fixed", "last_affected"}).Draw(r, "kind")
			events = append(events, event{kind, fmt.Sprintf("1.%d.0", v)})
		}
		asked := fmt.Sprintf("v1.%d.%d", rapid.IntRange(0, 31).Draw(r, "minor"), rapid.IntRange(0, 1).Draw(r, "patch"))
		var parts []string
		for _, e := range events {
			parts = append(parts, fmt.Sprintf(`{%q:%q}`, e.kind, e.version))
		}
		slices.SortFunc(events, func(a, b event) int { return cmp.Or(semver.Compare("v"+a.version, "v"+b.version)) })
		want := false
		for _, e := range events {
			order := semver.Compare(asked, "v"+e.version)
			if order > 0 || order == 0 && e.kind != "last_affected" {
				want = e.kind == "introduced"
			}
		}
		n++
		file := filepath.Join(dir, fmt.Sprintf("%d.json", n))
		if err := os.WriteFile(file, []byte(entry("GO-1", "example.com/m", strings.Join(parts, ","))), 0o600); err != nil {
			r.Fatal(err)
		}
		g, err := gate.New(gate.Options{OSV: []string{file}})
		if err != nil {
			r.Fatal(err)
		}
		err = g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: asked})
		if (err != nil) != want {
			r.Errorf("%v at %s: got %v, want affected %v", events, asked, err, want)
		}
	})
}
