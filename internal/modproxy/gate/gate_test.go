package gate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// now is the time of all tests that do not move it.
var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

const hour = time.Hour

// open returns a gate whose clock stands at now.
func open(t testing.TB, opt gate.Options) *gate.Gate {
	t.Helper()
	if opt.Now == nil {
		opt.Now = func() time.Time { return now }
	}
	g, err := gate.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// write makes a file with the given content.
func write(t testing.TB, name, text string) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// denied fails unless err refuses a version and its text has all of want.
func denied(t *testing.T, err error, want ...string) {
	t.Helper()
	if fault.CodeOf(err) != fault.Denied {
		t.Fatalf("got %v, want a refusal", err)
	}
	for _, w := range want {
		if text := err.Error() + "\n" + fault.HintOf(err); !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

func TestCoolDown(t *testing.T) {
	sums := write(t, "go.sum", strings.Join([]string{
		"example.com/known v1.0.0 h1:zip=",
		"example.com/known v1.0.0/go.mod h1:mod=",
		"example.com/graph v1.0.0/go.mod h1:mod=",
		"",
	}, "\n"))
	g := open(t, gate.Options{CoolDown: 72 * hour, Known: []string{sums},
		Allow: []string{"*.example.org/", "example.com/urgent@v1.2.3"}})
	for _, test := range []struct {
		name string
		c    gate.Candidate
		want string // of the refusal, "" for none
	}{
		{"not seen yet", gate.Candidate{Path: "example.com/m"}, "not known here yet, and new versions are held back for 3d"},
		{"seen now", gate.Candidate{Path: "example.com/m", FirstSeen: now}, "first seen here 0s ago"},
		{"young", gate.Candidate{Path: "example.com/m", FirstSeen: now.Add(-5*hour - 7*time.Minute)},
			"first seen here 5h7m ago, and new versions are held back for 3d, this one until 2026-11-30 06:53 UTC"},
		{"a nanosecond too young", gate.Candidate{Path: "example.com/m", FirstSeen: now.Add(-72*hour + 1)},
			"this one until 2026-11-27 12:01 UTC"},
		{"just old enough", gate.Candidate{Path: "example.com/m", FirstSeen: now.Add(-72 * hour)}, ""},
		{"seen in the future", gate.Candidate{Path: "example.com/m", FirstSeen: now.Add(hour)}, "first seen here 0s ago"},
		{"upstream says it is old", gate.Candidate{Path: "example.com/m", FirstSeen: now, Published: now.AddDate(-9, 0, 0)}, "held back"},
		{"private", gate.Candidate{Path: "example.com/m", Private: true}, ""},
		{"allowed by pattern", gate.Candidate{Path: "git.example.org/team/m"}, ""},
		{"allowed version", gate.Candidate{Path: "example.com/urgent"}, ""},
		{"another version", gate.Candidate{Path: "example.com/urgent", Version: "v1.2.4"}, "held back"},
		{"known", gate.Candidate{Path: "example.com/known", Version: "v1.0.0"}, ""},
		{"known with its sums", gate.Candidate{Path: "example.com/known", Version: "v1.0.0", Sum: "h1:zip=", GoModSum: "h1:mod="}, ""},
		{"known with another sum", gate.Candidate{Path: "example.com/known", Version: "v1.0.0", Sum: "h1:other="}, "held back"},
		{"known with another go.mod", gate.Candidate{Path: "example.com/known", Version: "v1.0.0", Sum: "h1:zip=", GoModSum: "h1:other="}, "held back"},
		{"another version than known", gate.Candidate{Path: "example.com/known", Version: "v1.0.1"}, "held back"},
		{"known by its go.mod", gate.Candidate{Path: "example.com/graph", Version: "v1.0.0", Sum: "h1:any=", GoModSum: "h1:mod="}, ""},
		{"the toolchain is a module", gate.Candidate{Path: "golang.org/toolchain", Version: "v0.0.1-go1.27.1.linux-amd64"}, "held back"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.c.Version == "" {
				test.c.Version = "v1.2.3"
			}
			err := g.Check(t.Context(), test.c)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			denied(t, err, "use module "+test.c.Path+"@"+test.c.Version+": ", test.want, "(rule modules/cooldown)", "ask the people who run this proxy")
		})
	}
}

// What the hour of the refusal promises is true.
func TestCoolDownEnds(t *testing.T) {
	clock := now
	g := open(t, gate.Options{CoolDown: 72 * hour, Now: func() time.Time { return clock }})
	c := gate.Candidate{Path: "example.com/m", Version: "v1.0.0", FirstSeen: now.Add(-90 * time.Second)}
	err := g.Check(t.Context(), c)
	denied(t, err, "until ")
	_, rest, _ := strings.Cut(err.Error(), "until ")
	if clock, err = time.Parse("2006-01-02 15:04 MST", rest[:len("2006-01-02 15:04 UTC")]); err != nil {
		t.Fatal(err)
	}
	if err := g.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	if clock = clock.Add(-2 * time.Minute); g.Check(t.Context(), c) == nil {
		t.Error("the text promises a time that is far too late")
	}
}

func TestNothingIsRefused(t *testing.T) {
	g := open(t, gate.Options{Now: time.Now})
	if err := g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}); err != nil {
		t.Error(err)
	}
	if g.NeedsZip() || g.NeedsSeen() || g.CoolDown() != 0 {
		t.Error("a gate without rules needs something")
	}
}

func TestWrongOptions(t *testing.T) {
	for name, test := range map[string]struct {
		opt  gate.Options
		code fault.Code
		want string
	}{
		"negative":         {gate.Options{CoolDown: -1}, fault.Usage, "not negative"},
		"empty pattern":    {gate.Options{Allow: []string{""}}, fault.Usage, "empty"},
		"bad pattern":      {gate.Options{Allow: []string{"a/[b"}}, fault.Usage, "a/[b"},
		"list":             {gate.Options{Allow: []string{"a.com,b.com"}}, fault.Usage, "comma"},
		"short version":    {gate.Options{Allow: []string{"a.com/x@v1"}}, fault.Usage, "no whole version"},
		"no version":       {gate.Options{Allow: []string{"a.com/x@main"}}, fault.Usage, "version"},
		"version is empty": {gate.Options{Allow: []string{"a.com/x@"}}, fault.Usage, "version"},
		"no policy":        {gate.Options{Policy: "/nowhere/p.yaml"}, fault.NotFound, "/nowhere/p.yaml"},
		"no go.sum":        {gate.Options{Known: []string{"/nowhere/go.sum"}}, fault.NotFound, "/nowhere/go.sum"},
		"no OSV":           {gate.Options{OSV: []string{"/nowhere/osv"}}, fault.NotFound, "/nowhere/osv"},
	} {
		_, err := gate.New(test.opt)
		if fault.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v (%s), want %s (%s)", name, err, fault.CodeOf(err), test.want, test.code)
		}
	}
}

func TestKnownFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a b\n":                                     "go.sum:1: the line has 2 words",
		"\nexample.com/m v1.0.0 sha\n":              "go.sum:2: the hash has not the form h1:…",
		"example.com/M! v1.0.0 h1:a=\n":             "go.sum:1: malformed module path",
		"example.com/m main h1:a=\n":                "go.sum:1: ",
		"a.com/m v1.0.0 h1:a=\na.com/m v1.0.0 h1:b": "go.sum:2: a.com/m v1.0.0 has another hash",
		strings.Repeat("x", 70<<10):                 "go.sum:1: ",
	} {
		_, err := gate.New(gate.Options{Known: []string{write(t, "go.sum", text)}})
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

func TestVisible(t *testing.T) {
	g := open(t, gate.Options{CoolDown: 24 * hour,
		OSV: []string{write(t, "GO-1.json", entry("GO-1", "example.com/m", `{"introduced":"1.1.0"},{"fixed":"1.2.0"}`))},
		Policy: policyFile(t, `
- {id: a/no-prerelease, severity: deny, require: "!prerelease", message: m}
- {id: a/warning, severity: warn, require: version == 'v0.0.0', message: m}
- {id: a/size, severity: deny, require: size < 10, message: m}
- {id: a/age, severity: deny, require: age > duration('1h'), message: m}
`)})
	versions := []string{"v1.0.0", "v1.1.0", "v1.1.9", "v1.2.0", "v1.3.0-rc.1", "v1.3.0", "v1.4.0", "v1.5.0"}
	seen := map[string]time.Time{}
	for _, v := range versions {
		seen[v] = now.Add(-25 * hour)
	}
	seen["v1.3.0"] = now.Add(-23 * hour)
	delete(seen, "v1.4.0")
	got := g.Visible(t.Context(), "example.com/m", false, versions, seen)
	if diff := cmp.Diff([]string{"v1.0.0", "v1.2.0", "v1.5.0"}, got); diff != "" {
		t.Error(diff)
	}
	got = g.Visible(t.Context(), "example.com/m", true, versions, nil)
	if diff := cmp.Diff([]string{"v1.0.0", "v1.2.0", "v1.3.0", "v1.4.0", "v1.5.0"}, got); diff != "" {
		t.Errorf("private: %s", diff)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if got := g.Visible(cancelled, "example.com/m", true, versions, nil); len(got) > 0 {
		t.Errorf("without a decision these are visible: %v", got)
	}
}

func TestAudit(t *testing.T) {
	clock := now
	var got []string
	g := open(t, gate.Options{CoolDown: 24 * hour, Allow: []string{"example.com/ok"}, Now: func() time.Time { return clock },
		Audit: func(_ context.Context, e gate.Event) {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s@%s %s %s", e.Decision, e.Path, e.Version, e.Rule, e.Reason)))
		},
		Policy: policyFile(t, "\n- {id: a/b, severity: warn, require: 'false', message: m}\n"+
			"exemptions:\n- {rule: modules/cooldown, module: example.com/mine@v1.0.0, owner: team, reason: urgent, expires: 2026-11-27}\n")})
	ask := func(path string) error {
		return g.Check(t.Context(), gate.Candidate{Path: path, Version: "v1.0.0", FirstSeen: now})
	}
	denied(t, ask("example.com/m"), "cool")
	denied(t, ask("example.com/m"), "cool")
	for _, path := range []string{"example.com/ok", "example.com/mine", "example.com/ok"} {
		if err := ask(path); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"refused example.com/m@v1.0.0 modules/cooldown",
		"warned example.com/m@v1.0.0 a/b",
		"exempted example.com/ok@v1.0.0 modules/cooldown the module is on the allow-list of the cool-down",
		"warned example.com/ok@v1.0.0 a/b",
		"exempted example.com/mine@v1.0.0 modules/cooldown exempted by team until 2026-11-27: urgent",
		"warned example.com/mine@v1.0.0 a/b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	clock = clock.Add(hour)
	denied(t, ask("example.com/m"), "cool")
	if diff := cmp.Diff(want[:2], got); diff != "" {
		t.Errorf("an hour later: %s", diff)
	}
	g.Visible(t.Context(), "example.com/other", false, []string{"v1.0.0"}, nil)
	if len(got) != 2 {
		t.Errorf("a list is audited: %v", got)
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	policy := policyFile(t, "\n- {id: a/b, severity: deny, require: version != 'v1.0.0', message: one}\n")
	write(t, filepath.Join(dir, "GO-1.json"), entry("GO-1", "example.com/m", `{"introduced":"0"}`))
	g := open(t, gate.Options{Policy: policy, OSV: []string{dir}})
	c := gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}
	denied(t, g.Check(t.Context(), c), "one", "GO-1")

	good, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	write(t, policy, strings.Replace(string(good), "version !=", "versoin !=", 1))
	if err := g.Reload(); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "versoin") {
		t.Errorf("a broken policy: %v", err)
	}
	denied(t, g.Check(t.Context(), c), "one", "GO-1")

	write(t, policy, strings.Replace(string(good), "one", "another one", 1))
	write(t, filepath.Join(dir, "GO-2.json"), "{")
	if err := g.Reload(); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "GO-2.json") {
		t.Errorf("a broken entry: %v", err)
	}
	denied(t, g.Check(t.Context(), c), " one", "GO-1")

	write(t, filepath.Join(dir, "GO-2.json"), entry("GO-2", "example.com/m", `{"introduced":"0"}`))
	if err := os.Remove(filepath.Join(dir, "GO-1.json")); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	err = g.Check(t.Context(), c)
	denied(t, err, "another one", "GO-2")
	if strings.Contains(err.Error(), "GO-1") {
		t.Errorf("an entry that was removed is in force: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a directory that is gone: %v", err)
	}
	denied(t, g.Check(t.Context(), c), "GO-2")
}

// Files that have not changed are not read again.
func TestReloadUnchanged(t *testing.T) {
	policy := policyFile(t, "\n- {id: a/b, severity: deny, require: 'false', message: m}\n")
	g := open(t, gate.Options{Policy: policy})
	info, err := os.Stat(policy)
	if err != nil {
		t.Fatal(err)
	}
	write(t, policy, strings.Repeat("?", int(info.Size())))
	if err := os.Chtimes(policy, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(); err != nil {
		t.Error(err)
	}
}

func TestReloadWhileChecking(t *testing.T) {
	policy := policyFile(t, "\n- {id: a/b, severity: deny, require: 'false', message: m}\n")
	g := open(t, gate.Options{Policy: policy, CoolDown: hour, Audit: func(context.Context, gate.Event) {}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}) == nil {
					t.Error("not refused")
				}
			}
		})
	}
	for i := range 20 {
		later := now.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(policy, later, later); err != nil {
			t.Fatal(err)
		}
		if err := g.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestCheckCancelled(t *testing.T) {
	g := open(t, gate.Options{CoolDown: hour, Policy: policyFile(t, "\n- {id: a/b, severity: deny, require: 'true', message: m}\n")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Check(ctx, gate.Candidate{Path: "example.com/m", Version: "v1.0.0"}); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("got %v", err)
	}
}

// The go command prints some 600 bytes: a refusal never takes more.
func TestManyReasons(t *testing.T) {
	var files []string
	for i := range 30 {
		files = append(files, write(t, "e.json", entry(fmt.Sprintf("GO-2026-%04d", i), "example.com/m", `{"introduced":"0"},{"fixed":"1.9.0"}`)))
	}
	var rules strings.Builder
	for i := range 10 {
		fmt.Fprintf(&rules, "\n- {id: a/r%d, severity: deny, require: 'false', message: it is wrong, hint: mend it}", i)
	}
	g := open(t, gate.Options{OSV: files, CoolDown: 72 * hour, Policy: policyFile(t, rules.String()+"\n")})
	err := g.Check(t.Context(), gate.Candidate{Path: "example.com/m", Version: "v1.0.0"})
	denied(t, err, "not known here yet", "it has 30 known vulnerabilities, GO-2026-0000, ", "GO-2026-0007 … (rule modules/vulnerable)",
		"it is wrong (rule a/r1); and 8 more reasons", "use v1.9.0 or later; mend it")
	if n := len(err.Error()); n > 450 {
		t.Errorf("the text has %d bytes: %v", n, err)
	}
	if n := len(fault.HintOf(err)); n > 200 {
		t.Errorf("the hint has %d bytes: %s", n, fault.HintOf(err))
	}
}

func policyFile(t testing.TB, rules string) string {
	t.Helper()
	return write(t, "policy.yaml", policyHead+"rules:"+rules)
}

const policyHead = "schemaVersion: gopherwood/v1\nkind: ModulePolicy\nmetadata: {name: test}\n"

func entry(id, path, events string) string {
	return fmt.Sprintf(`{"schema_version":"1.3.1","id":%q,"modified":"2026-01-01T00:00:00Z","summary":"Something bad",
"affected":[{"package":{"ecosystem":"Go","name":%q},"ranges":[{"type":"SEMVER","events":[%s]}]}]}`, id, path, events)
}

func BenchmarkCheck(b *testing.B) {
	rules := "\n- {id: licence/present, severity: deny, when: '!private', require: size(licences) > 0, message: m}\n" +
		"- {id: size/small, severity: deny, require: size < 50000000, message: m}\n" +
		"- {id: origin/ours, severity: deny, when: \"path.startsWith('corp.example.com/')\", require: private, message: m}\n"
	var osv []string
	for i := range 5_000 {
		osv = append(osv, entry(fmt.Sprintf("GO-%d", i), fmt.Sprintf("example.com/m%d", i%2_000), `{"introduced":"0"},{"fixed":"1.9.0"}`))
	}
	dir := b.TempDir()
	for i, text := range osv {
		write(b, filepath.Join(dir, fmt.Sprintf("%d.json", i)), text)
	}
	c := gate.Candidate{Path: "example.com/m7", Version: "v1.9.1", FirstSeen: now.Add(-90 * hour), Published: now.AddDate(-1, 0, 0),
		Size: 1000, Licences: []string{"LICENSE"}, Sum: "h1:a="}
	for name, opt := range map[string]gate.Options{
		"cooldown+osv":          {CoolDown: 72 * hour, OSV: []string{dir}},
		"cooldown+osv+3 rules":  {CoolDown: 72 * hour, OSV: []string{dir}, Policy: policyFile(b, rules)},
		"nothing to be refused": {},
	} {
		b.Run(name, func(b *testing.B) {
			g := open(b, opt)
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Check(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
