package history_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// fixture is a file that this program wrote when the format had version 1.
const fixture = "testdata/version1.sqlite"

// version1 is what was put into the fixture for the n-th commit.
func version1(n int) api.BenchRun {
	run := measured(n, float64(100+n), float64(200+n))
	run.Settings = api.BenchSettings{GOMAXPROCS: 2, Slice: 0.03}
	run.Labels = map[string]string{"branch": "main"}
	run.Units = map[string]map[string]string{"ns/op": {"better": "lower"}}
	run.Side.Binaries = []api.BenchBinary{{Package: "example.org/m/codec", Digest: "sha256:00", GoVersion: "go1.26.1",
		Settings: map[string]string{"GOAMD64": "v1"}}}
	run.Series = append(run.Series, api.BenchSeries{Package: "example.org/m/sort", Name: "Sort", Samples: []api.BenchSample{
		{Iterations: 5, Values: map[string]float64{"ns/op": 1.5e9, "MB/s": 2}},
		{Iterations: 6, Values: map[string]float64{"ns/op": 1.25e9}},
	}})
	return run
}

// hasVersion1 checks that a store has what was put into the fixture, and can be used.
func hasVersion1(t *testing.T, s history.Store) {
	t.Helper()
	for n := 1; n <= 4; n++ {
		got, err := s.Runs(t.Context(), hash(n))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]api.BenchRun{version1(n)}, got); diff != "" {
			t.Error(diff)
		}
		if added, err := s.Put(t.Context(), version1(n), at(n)); added || err != nil {
			t.Errorf("the same run again: Put = %v, %v", added, err)
		}
	}
	next := at(5)
	next.Subject = "more"
	put(t, s, version1(5), next)
	got := query(t, s, history.Filter{Metric: "ns/op", Package: "example.org/m/codec"})
	if len(got.Commits) != 5 || got.Commits[0].Subject != "" || got.Commits[4].Subject != "more" || len(got.Series[0].Points) != 5 {
		t.Errorf("%+v", got)
	}
}

func copyFixture(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "old.sqlite")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOldVersion(t *testing.T) {
	path := copyFixture(t)
	hasVersion1(t, openStore(t, path))
	if added, err := openStore(t, path).Put(t.Context(), version1(5), at(5)); added || err != nil {
		t.Errorf("opened again: Put = %v, %v", added, err)
	}
}

func statement(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamaged: what a store holds that this program did not write is an error,
// never taken for results.
func TestDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		change string
		open   bool // whether it can be opened
		want   fault.Code
	}{
		"newer":         {`UPDATE gopherwood_bench_schema SET version = 1000`, false, fault.Unsupported},
		"no version":    {`UPDATE gopherwood_bench_schema SET version = -1`, false, fault.Invalid},
		"other program": {`DROP TABLE gopherwood_bench_schema`, false, fault.Invalid},
		"document":      {`UPDATE gopherwood_bench_runs SET document = '['`, true, fault.Invalid},
		"samples":       {`UPDATE gopherwood_bench_samples SET samples = '["a"]'`, true, fault.Invalid},
		"iterations":    {`UPDATE gopherwood_bench_series SET iterations = '[1]'`, true, fault.Invalid},
		"limit":         {`UPDATE gopherwood_bench_samples SET samples = '[' || replace(hex(zeroblob(500001)), '0', '1,') || '1]'`, true, fault.Limit},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyFixture(t)
			statement(t, path, test.change)
			s, err := history.Open(t.Context(), path)
			if test.open != (err == nil) {
				t.Fatalf("Open: %v", err)
			}
			if err == nil {
				defer func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}()
				_, err = s.Runs(t.Context(), hash(1))
			}
			if fault.CodeOf(err) != test.want || !strings.Contains(err.Error(), path) {
				t.Errorf("%v (%s), want %s", err, fault.CodeOf(err), test.want)
			}
		})
	}
	// Commits that are their own ancestors are in some order.
	path := copyFixture(t)
	statement(t, path, fmt.Sprintf(`UPDATE gopherwood_bench_commits SET parents = '["%s", "%s"]' WHERE hash = '%s'`, hash(3), hash(1), hash(1)))
	if got := hashes(query(t, openStore(t, path), history.Filter{})); len(got) != 4 {
		t.Errorf("commits %v", got)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]fault.Code{
		"": fault.Usage, "sqlite:": fault.Usage, "a\x00b": fault.Usage, "mysql://u:secret@h/d": fault.Usage,
		"postgres://u:secret@h:port/d":                               fault.Usage,
		"postgres://u:sec%zzret@h/d":                                 fault.Usage,
		"postgres://u:secret@h/d?sslmode=secret":                     fault.Usage,
		"postgres://u:secret@127.0.0.1:1/d?connect_timeout=1":        fault.Unavailable,
		"postgresql://127.0.0.1:1/d?password=secret&sslmode=disable": fault.Unavailable,
		text:                                   fault.Invalid,
		dir:                                    fault.Denied,
		filepath.Join(text, "below", "a.file"): "",
	} {
		s, err := history.Open(t.Context(), source)
		if err == nil {
			t.Errorf("Open(%q) = %s", source, s.Name())
			continue
		}
		if want != "" && (fault.CodeOf(err) != want || fault.HintOf(err) == "") {
			t.Errorf("Open(%q): %v (%s, hint %q), want %s", source, err, fault.CodeOf(err), fault.HintOf(err), want)
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec%") {
			t.Errorf("Open(%q) tells the password: %v", source, err)
		}
	}
}

// TestOpenExisting: a name that is mistyped makes no store.
func TestOpenExisting(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent", "x.sqlite"), empty} {
		if _, err := history.OpenExisting(t.Context(), path); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), path) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v are left", left, err)
	}
	s, err := history.OpenExisting(t.Context(), copyFixture(t))
	if err != nil {
		t.Fatal(err)
	}
	hasVersion1(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSources(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, source := range []string{"a.sqlite", "sqlite:a.sqlite", "sqlite://a.sqlite", "sqlite:" + filepath.Join(".", "a.sqlite")} {
		s := openStore(t, source)
		if s.Name() != "a.sqlite" {
			t.Errorf("the name of %s is %s", source, s.Name())
		}
		if _, err := os.Stat("a.sqlite"); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// TestProcesses: many processes make the same file and write to it.
func TestProcesses(t *testing.T) {
	const file = "GOPHERWOOD_TEST_HISTORY"
	if path := os.Getenv(file); path != "" {
		s := openStore(t, path)
		for n := 1; n <= 5; n++ {
			put(t, s, measured(n, float64(os.Getpid())), at(n))
		}
		return
	}
	path := filepath.Join(t.TempDir(), "shared.sqlite")
	processes := make([]*exec.Cmd, 6)
	outputs := make([]strings.Builder, len(processes))
	for i := range processes {
		processes[i] = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcesses$")
		processes[i].Env = append(os.Environ(), file+"="+path)
		processes[i].Stdout, processes[i].Stderr = &outputs[i], &outputs[i]
		if err := processes[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	var pids []float64
	for i, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %s", err, &outputs[i])
		}
		pids = append(pids, float64(p.Process.Pid))
	}
	slices.Sort(pids)
	for _, p := range query(t, openStore(t, path), history.Filter{Metric: "ns/op"}).Series[0].Points {
		if got := slices.Sorted(slices.Values(p.Values)); !slices.Equal(got, pids) {
			t.Errorf("commit %d has runs of %v, want %v", p.Position, got, pids)
		}
	}
}
