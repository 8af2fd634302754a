package gate_test

import (
	"archive/zip"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testdata/errors.txtar holds, for each NAME, a policy NAME.yaml (below the
// usual head) and the error it gives, NAME.want.
func TestPolicyErrors(t *testing.T) {
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
		file := write(t, f.Name, policyHead+string(f.Data))
		_, err := gate.New(gate.Options{Policy: file})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if code := fault.CodeOf(err); code != fault.Invalid {
			t.Errorf("%s: code %q", name, code)
		}
		got := strings.ReplaceAll(err.Error(), "load module policy "+file+":", "") + "\n"
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

func TestRules(t *testing.T) {
	old := gate.Candidate{Path: "example.com/m", Version: "v1.2.3", FirstSeen: now.Add(-50 * hour), Published: now.Add(-100 * hour),
		Size: 12_345_678, Licences: []string{"COPYING", "LICENSE"}}
	for _, test := range []struct {
		require string
		change  func(*gate.Candidate)
		want    string
	}{
		{"path == 'example.com/m' && version == 'v1.2.3'", nil, ""},
		{"version == 'v1.2.4'", nil, "{path}@{version} is example.com/m@v1.2.3"},
		{"age > duration('99h') && age < duration('101h')", nil, ""},
		{"age > duration('101h')", nil, "age 4d4h"},
		{"age > duration('0s')", func(c *gate.Candidate) { c.Published = now.Add(-0) }, "age 0s"},
		{"age >= duration('1s')", func(c *gate.Candidate) { c.Published = now.AddDate(0, 0, 9) }, "age 0s"},
		{"seenAge > duration('49h')", nil, ""},
		{"seenAge > duration('51h')", nil, "seen 2d2h"},
		{"size(licences) > 2", nil, "licences COPYING, LICENSE"},
		{"size(licences) > 0 && 'LICENSE' in licences", nil, ""},
		{"licences.exists(l, l.startsWith('LICENSE'))", func(c *gate.Candidate) { c.Licences = nil }, "licences none"},
		{"size < 10000000", nil, "size 12.3 MB"},
		{"size < 1000", func(c *gate.Candidate) { c.Size = 1500 }, "size 1.5 kB"},
		{"size < 1", func(c *gate.Candidate) { c.Size = 999 }, "size 999 bytes"},
		{"private", nil, "private false"},
		{"private", func(c *gate.Candidate) { c.Private = true }, ""},
		{"!pseudo && !prerelease", nil, ""},
		{"!pseudo", func(c *gate.Candidate) { c.Version = "v0.0.0-20200101000000-abcdefabcdef" }, "pseudo true"},
		{"!prerelease", func(c *gate.Candidate) { c.Version = "v0.0.0-20200101000000-abcdefabcdef" }, ""},
		{"!prerelease", func(c *gate.Candidate) { c.Version = "v1.0.0-rc.1" }, "prerelease true"},
		{"today < timestamp('2026-11-27T00:00:01Z') && today >= timestamp('2026-11-27T00:00:00Z')", nil, ""},
		{"today > timestamp('2027-01-01T00:00:00Z')", nil, "today 2026-11-27"},
		{"!matchModule('example.com/*,github.com', path)", nil, "example.com/m"},
		{"matchModule('github.com/*', path)", func(c *gate.Candidate) { c.Path = "github.com/a/b" }, ""},
		{"compareVersions(version, 'v1.2.3') >= 0", nil, ""},
		{"compareVersions(version, 'v1.2.10') >= 0", nil, "example.com/m@v1.2.3"},
		{"compareVersions(version, '1.2.10') >= 0", nil, `the rule could not be evaluated: "1.2.10" is no version`},
		{"licences[7] == ''", nil, "the rule could not be evaluated: "},
		{"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, path.size() > 0)))))",
			nil, "the rule could not be evaluated: "},
		{"path.matches('^example[.]com/')", nil, ""},
	} {
		g := open(t, gate.Options{Policy: policyFile(t, `
- id: a/b
  severity: deny
  when: "path != ''"
  require: "`+test.require+`"
  message: "{{path}}@{{version}} is {path}@{version}: age {age}, seen {seenAge}, size {size}, licences {licences}, private {private}, pseudo {pseudo}, prerelease {prerelease}, today {today}"
  hint: ask for {path}
`)})
		c := old
		if test.change != nil {
			test.change(&c)
		}
		err := g.Check(t.Context(), c)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.require, err)
		case test.want != "" && (fault.CodeOf(err) != fault.Denied || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "(rule a/b)")):
			t.Errorf("%s: got %v, want %s", test.require, err, test.want)
		}
	}
}

// What is known decides which rules are asked.
func TestStages(t *testing.T) {
	for _, test := range []struct {
		rule              string
		needsZip, needsIt bool // NeedsZip, NeedsSeen
		partial           bool // asked of a version without its zip
		dated             bool // asked of one without its zip, but with its age
	}{
		{"require: path == ''", false, false, true, true},
		{"require: seenAge > duration('1000h')", false, true, true, true},
		{"require: age > duration('1000h')", false, false, false, true},
		{"require: size > 1000", true, false, false, false},
		{"require: size(path) > 1000", false, false, true, true},
		{"require: size(licences) > 1000", true, false, false, false},
		{"when: size < 1000\n  require: 'false'", true, false, false, false},
		{"require: 'false'\n  hint: 'has {licences}'", true, false, false, false},
	} {
		g := open(t, gate.Options{Policy: policyFile(t, "\n- id: a/b\n  severity: deny\n  message: m\n  "+test.rule+"\n")})
		if g.NeedsZip() != test.needsZip || g.NeedsSeen() != test.needsIt {
			t.Errorf("%s: NeedsZip %v, NeedsSeen %v", test.rule, g.NeedsZip(), g.NeedsSeen())
		}
		c := gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}
		if err := g.Check(t.Context(), c); err == nil {
			t.Errorf("%s: a whole version of which nothing is known passes", test.rule)
		}
		c.Partial = true
		if err := g.Check(t.Context(), c); (err != nil) != test.partial {
			t.Errorf("%s: without a zip: %v", test.rule, err)
		}
		c.Published = now.Add(-hour)
		if err := g.Check(t.Context(), c); (err != nil) != test.dated {
			t.Errorf("%s: without a zip, with its age: %v", test.rule, err)
		}
	}
}

func TestExemptions(t *testing.T) {
	policy := policyFile(t, `
- {id: a/one, severity: deny, require: 'false', message: one}
- {id: a/two, severity: deny, require: version != 'v1.0.0', message: two}
exemptions:
- {rule: a/one, module: "*.com/m", owner: alice, reason: r, expires: 2026-11-27}
- {rule: a/two, module: example.com/m@v1.0.0, owner: bob, reason: r, expires: 2026-11-26}
- {rule: modules/vulnerable, vulnerability: CVE-1, module: example.com/m, owner: carol, reason: r, expires: 2027-01-01}
`)
	dir := t.TempDir()
	one := entry("GO-1", "example.com/m", `{"introduced":"1.1.0"},{"fixed":"1.1.1"}`)
	write(t, filepath.Join(dir, "1.json"), strings.Replace(one, `"id"`, `"aliases":["CVE-1"],"id"`, 1))
	write(t, filepath.Join(dir, "2.json"), entry("GO-2", "example.com/m", `{"introduced":"1.2.0"}`))
	g := open(t, gate.Options{Policy: policy, OSV: []string{dir}})
	check := func(path, version string) error {
		return g.Check(t.Context(), gate.Candidate{Path: path, Version: version})
	}
	denied(t, check("other.org/m", "v0.9.0"), "one (rule a/one)")
	denied(t, check("example.com/m", "v1.0.0"), "two; the exemption by bob ended on 2026-11-26 (rule a/two)")
	denied(t, check("example.com/m", "v1.2.0"), "GO-2")
	for _, version := range []string{"v0.9.0", "v1.1.0"} {
		if err := check("example.com/m", version); err != nil {
			t.Error(err)
		}
	}
}

// The examples in docs/formats/modulepolicy.md are policies.
func TestDocumentedPolicies(t *testing.T) {
	page, err := os.ReadFile("../../../docs/formats/modulepolicy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no example")
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := gate.New(gate.Options{Policy: write(t, "doc.yaml", text)}); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestLicenceFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "m.go", "LICENSE", "licence.txt", "COPYING.LESSER", "LICENSE-APACHE", "MIT-LICENSE.md", "UNLICENSE",
		"license.go", "licensed.txt", "NOTICE", "sub/LICENSE", "my_licences_test.md", "check-license.sh"} {
		text := "text"
		if name == "go.mod" {
			text = "module example.com/m\n"
		}
		write(t, filepath.Join(dir, name), text)
	}
	write(t, filepath.Join(dir, "COPYRIGHT"), "")
	m := module.Version{Path: "example.com/m", Version: "v1.0.0"}
	file, err := os.Create(filepath.Join(t.TempDir(), "m.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := modzip.CreateFromDir(file, m, dir); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	want := []string{"COPYING.LESSER", "LICENSE", "LICENSE-APACHE", "MIT-LICENSE.md", "UNLICENSE", "licence.txt"}
	if diff := cmp.Diff(want, gate.LicenceFiles(&z.Reader, m)); diff != "" {
		t.Error(diff)
	}
}
