package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// newPair is a repository with two benchmarks whose sides differ.
func newPair(t *testing.T) *repo {
	t.Helper()
	const differs = "\tif b.N < 0 {\n\t\tb.Log(side)\n\t}\n"
	bodies := map[string]string{"A": differs + loop, "B": loop}
	r := newRepo(t, map[string]string{"pair_test.go": benchmarks("base", bodies)})
	r.write(map[string]string{"pair_test.go": benchmarks("head", bodies)})
	return r
}

// interrupt runs a gate that is cancelled before its nth round is measured, and
// returns its journal.
func (r *repo) interrupt(opt GateOptions, n int) string {
	r.t.Helper()
	ctx, cancel := context.WithCancelCause(r.t.Context())
	stop := errors.New("enough")
	opt.Progress = func(p Progress) {
		if p.Stage == Measuring {
			if n--; n == 0 {
				cancel(stop)
			}
		}
	}
	if _, err := Gate(ctx, opt); !errors.Is(err, stop) {
		r.t.Fatalf("a gate that is interrupted: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(r.cache, "gates", "*"))
	if err != nil || len(left) != 1 {
		r.t.Fatalf("an interrupted gate leaves %v, %v", left, err)
	}
	return left[0]
}

// again runs the same gate, and counts what it does.
func (r *repo) again(opt GateOptions) (g *api.BenchGate, did map[Stage]int) {
	r.t.Helper()
	did = map[Stage]int{}
	opt.Progress = func(p Progress) { did[p.Stage]++ }
	g = r.gate(opt)
	if left, err := filepath.Glob(filepath.Join(r.cache, "gates", "*")); err != nil || len(left) > 0 {
		r.t.Errorf("a decided gate leaves %v, %v", left, err)
	}
	return g, did
}

// TestResume goes on with an interrupted gate, and not with what is none.
func TestResume(t *testing.T) {
	t.Parallel()
	r := newPair(t)
	opt := r.options()
	opt.Limits, opt.Seed = shown(t), 0
	const whole = 10 // five rounds of two benchmarks

	t.Run("interrupted", func(t *testing.T) {
		journal := r.interrupt(opt, 5)
		data, err := os.ReadFile(journal)
		if err != nil || strings.Count(string(data), "\n") != 5 {
			t.Fatalf("the roster and four rounds, %v:\n%s", err, data)
		}
		// What was being written when the machine went down.
		if err := os.WriteFile(journal, append(data, `{"benchmark":1,"rou`...), 0o600); err != nil {
			t.Fatal(err)
		}
		g, did := r.again(opt)
		if did[Listing]+did[Sizing] > 0 || did[Measuring] != whole {
			t.Errorf("it did %v", did)
		}
		notes(t, g, "an interrupted gate is continued: 4 rounds were measured")
		// The rounds of the journal were not measured again.
		if n := g.Machine.Noise.Samples; n != 4*(whole-4) {
			t.Errorf("%d slices were measured", n)
		}
		if !strings.Contains(string(data), `"seed":`+jsonNumber(g.Seed)) {
			t.Errorf("the seed is %d in another order: %.100s", g.Seed, data)
		}
		for _, name := range []string{"A", "B"} {
			if i := item(t, g, name, "ns/op"); i.Rounds != 5 {
				t.Errorf("%+v", i)
			}
		}
	})
	t.Run("fresh", func(t *testing.T) {
		r.interrupt(opt, 2)
		opt := opt
		opt.Fresh = true
		g, did := r.again(opt)
		if did[Listing] != 1 || did[Sizing] != 2 || did[Measuring] != whole {
			t.Errorf("it did %v", did)
		}
		if all := strings.Join(g.Notes, "\n"); strings.Contains(all, "interrupted") {
			t.Errorf("it continues: %s", all)
		}
	})
	t.Run("two at once", func(t *testing.T) {
		outer := opt
		var inner *api.BenchGate
		outer.Progress = func(p Progress) {
			if p.Stage == Measuring && inner == nil {
				inner = r.gate(opt)
				if len(journals(t, r)) != 1 {
					t.Error("the journal of a gate that runs is gone")
				}
			}
		}
		g := r.gate(outer)
		if inner == nil || len(inner.Items) != len(g.Items) || inner.Seed == g.Seed {
			t.Errorf("%+v in %+v", inner, g)
		}
		if left := journals(t, r); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	})
}

func jsonNumber(n uint64) string { return strconv.FormatUint(n, 10) }

// TestJournal reads what interrupted gates have left, whole and broken.
func TestJournal(t *testing.T) {
	opening := `{"format":"` + journalFormat + `","seed":5,"roster":{"subjects":[{"package":"p","name":"A","n":10,"count":2,"slice":7}],"settled":null,"notes":["x"]}}` + "\n"
	const round = `{"benchmark":0,"round":[{"arm":2,"samples":[{"ns/op":1}],"took":1},{"arm":0,"samples":null,"took":1},{"arm":1,"samples":null,"took":1},{"arm":2,"samples":null,"took":1}]}` + "\n"
	const dropped = `{"benchmark":0,"dropped":{"verdict":"fail","reason":"y"},"repeated":["z"]}` + "\n"
	for name, tt := range map[string]struct {
		text string
		// steps are read, -1 when it is not gone on with; kept is what stays.
		steps int
		kept  string
	}{
		"whole":                 {opening + round + dropped, 2, opening + round + dropped},
		"no steps":              {opening, 0, opening},
		"torn":                  {opening + round + dropped[:10], 1, opening + round},
		"torn, with its end":    {opening + round + dropped[:10] + "\n", 1, opening + round},
		"nothing":               {"", -1, ""},
		"torn opening":          {opening[:20], -1, ""},
		"another format":        {strings.Replace(opening, journalFormat, "gopherwood-bench-gate/0", 1) + round, -1, ""},
		"unknown keys":          {strings.Replace(opening, "seed", "seeds", 1) + round, -1, ""},
		"of no benchmark":       {opening + strings.Replace(round, ":0", ":1", 1), 0, opening},
		"of a negative one":     {opening + strings.Replace(round, ":0", ":-1", 1), 0, opening},
		"neither":               {opening + `{"benchmark":0}` + "\n" + round, 0, opening},
		"not what was expected": {opening + "[]\n", 0, opening},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			g, j := &gate{lab: &lab{}}, &journal{file: f}
			defer j.close()
			if g.resume(j); j.resumed != (tt.steps >= 0) || len(j.steps) != max(tt.steps, 0) {
				t.Errorf("resumed %v with %d steps", j.resumed, len(j.steps))
			}
			if !j.resumed {
				return
			}
			if data, err := os.ReadFile(file); err != nil || string(data) != tt.kept {
				t.Errorf("%v, it keeps\n%s", err, data)
			}
			if s := g.roster.Subjects; g.Seed != 5 || len(s) != 1 || s[0].Name != "A" || s[0].N != 10 || s[0].Count != 2 || s[0].Slice != 7 || len(g.roster.Notes) != 1 {
				t.Errorf("seed %d, %+v", g.Seed, g.roster)
			}
		})
	}
}

// TestStale goes on with no journal of another day.
func TestStale(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal")
	old := time.Now().Add(-2 * stale)
	if err := errors.Join(os.WriteFile(file, []byte(`{"format":"`+journalFormat+`","seed":5,"roster":{}}`+"\n"), 0o600), os.Chtimes(file, old, old)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	g, j := &gate{lab: &lab{}}, &journal{file: f}
	defer j.close()
	if g.resume(j); j.resumed {
		t.Error("it was resumed")
	}
}

// TestForget removes what nobody goes on with any more.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	old, recent := filepath.Join(dir, "old.ndjson"), filepath.Join(dir, "recent.ndjson")
	before := time.Now().Add(-2 * stale)
	if err := errors.Join(os.WriteFile(old, nil, 0o600), os.WriteFile(recent, nil, 0o600), os.Chtimes(old, before, before)); err != nil {
		t.Fatal(err)
	}
	forget(dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "recent.ndjson" {
		t.Errorf("%v, %v", left, err)
	}
}
