package keep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func setOf(t *testing.T, names ...string) *Set {
	t.Helper()
	var s Set
	for _, name := range names {
		s.Add(version(t, name))
	}
	return &s
}

func names(versions []api.ModuleVersion) []string {
	all := []string{}
	for _, v := range versions {
		all = append(all, v.Path+"@"+v.Version)
	}
	return all
}

func TestWarm(t *testing.T) {
	s := openStore(t)
	put(t, s, day, "corp.example.com/a@v1.0.0", "corp.example.com/d@v1.0.0")
	from := &proxy{s, &origin{t: t, body: "body", missing: map[module.Version]bool{version(t, "corp.example.com/c@v1.0.0"): true}}}
	set := setOf(t, "corp.example.com/a@v1.0.0", "corp.example.com/b@v1.0.0", "corp.example.com/c@v1.0.0")
	sums := "corp.example.com/d v1.0.0 " + hashA + "\ncorp.example.com/e v1.0.0 " + hashA + "\n"
	if err := set.ReadGoSum("go.sum", strings.NewReader(sums)); err != nil {
		t.Fatal(err)
	}
	counter := &counter{}
	report, errs, err := Warm(t.Context(), s, from, set, Work{Jobs: 2, Progress: counter})
	if err != nil {
		t.Fatal(err)
	}
	if report.Wanted != 5 || report.Present != 1 || report.Bytes == 0 {
		t.Errorf("%+v", report)
	}
	if diff := cmp.Diff([]string{"corp.example.com/b@v1.0.0"}, names(report.Fetched)); diff != "" {
		t.Error(diff)
	}
	if len(errs) != 3 || fault.CodeOf(errs[0]) != fault.NotFound || fault.CodeOf(errs[1]) != fault.Invalid || fault.CodeOf(errs[2]) != fault.Invalid {
		t.Errorf("errors %v", errs)
	}
	if _, err := s.Get(t.Context(), version(t, "corp.example.com/d@v1.0.0")); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	if _, err := s.Get(t.Context(), version(t, "corp.example.com/e@v1.0.0")); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("what is new and has other hashes: %v", err)
	}
	if _, err := s.Get(t.Context(), version(t, "corp.example.com/b@v1.0.0")); err != nil {
		t.Error(err)
	}
	if counter.expected != 5 || counter.done != 5 {
		t.Errorf("progress %+v", counter)
	}
}

func TestCancelled(t *testing.T) {
	s := openStore(t)
	put(t, s, day, "corp.example.com/a@v1.0.0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	from := &proxy{s, &origin{t: t}}
	dest := filepath.Join(t.TempDir(), "out")
	for name, do := range map[string]func() error{
		"warm": func() error {
			_, _, err := Warm(ctx, s, from, setOf(t, "corp.example.com/a@v1.0.0"), Work{})
			return err
		},
		"verify": func() error { _, _, err := Verify(ctx, s, Proofs{}, Work{}); return err },
		"gc":     func() error { _, _, err := GC(ctx, s, Rules{MaxBytes: 1, Now: day}, Work{}); return err },
		"stats":  func() error { _, _, err := Stats(ctx, s, Work{}); return err },
		"export": func() error {
			_, _, err := Export(ctx, s, setOf(t, "corp.example.com/a@v1.0.0").Versions(), dest, Work{})
			return err
		},
	} {
		if err := do(); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(dest)); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// counter is a progress.Sink for one goroutine at a time to read.
type counter struct{ expected, done int64 }

func (c *counter) Expect(n int64) { c.expected += n }
func (c *counter) Done(int64)     { atomic.AddInt64(&c.done, 1) }

func TestStats(t *testing.T) {
	s := openStore(t)
	put(t, s, day, "corp.example.com/a@v1.10.0", "corp.example.com/b@v1.0.0")
	put(t, s, day.Add(time.Hour), "corp.example.com/a@v1.9.0")
	s.Used(version(t, "corp.example.com/a@v1.10.0"), day.Add(48*time.Hour))
	stats, errs, err := Stats(t.Context(), s, Work{})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if stats.Modules != 2 || stats.Versions != 3 || stats.Store != s.Name() {
		t.Errorf("%+v", stats)
	}
	if len(stats.Origins) != 1 || stats.Origins[0].Origin != "https://upstream.example.com" || stats.Origins[0].Bytes != stats.Bytes {
		t.Errorf("origins %+v", stats.Origins)
	}
	a := stats.Items[0]
	if a.Path != "corp.example.com/a" || a.Versions != 2 || a.Newest != "v1.10.0" || a.Stored != "2026-03-01T13:00:00Z" || a.LastUsed != "2026-03-03T12:00:00Z" {
		t.Errorf("%+v", a)
	}
	if a.Bytes+stats.Items[1].Bytes != stats.Bytes || a.Bytes == 0 {
		t.Errorf("bytes %d and %d of %d", a.Bytes, stats.Items[1].Bytes, stats.Bytes)
	}
}

func TestGC(t *testing.T) {
	const a, b, c, d = "corp.example.com/a@v1.0.0", "corp.example.com/b@v1.0.0", "corp.example.com/c@v1.0.0", "corp.example.com/d@v1.0.0"
	fill := func(t *testing.T) *dated {
		s := openStore(t)
		for i, name := range []string{a, b, c, d} { // one a day
			put(t, s, day.Add(time.Duration(i)*24*time.Hour), name)
		}
		s.Used(version(t, a), day.Add(10*24*time.Hour))
		return s
	}
	now := day.Add(11 * 24 * time.Hour)
	for name, tc := range map[string]struct {
		rules  Rules
		want   []string
		reason string
	}{
		"nothing":  {Rules{UnusedFor: 30 * 24 * time.Hour}, nil, ""},
		"unused":   {Rules{UnusedFor: 9 * 24 * time.Hour}, []string{b}, api.ModuleUnused},
		"old":      {Rules{OlderThan: 10*24*time.Hour - time.Hour}, []string{b, a}, api.ModuleOld},
		"bytes":    {Rules{MaxBytes: 1}, []string{b, c, d, a}, api.ModuleQuota},
		"kept":     {Rules{MaxBytes: 1, Keep: setOf(t, c, a)}, []string{b, d}, api.ModuleQuota},
		"dry":      {Rules{MaxBytes: 1, DryRun: true}, []string{b, c, d, a}, api.ModuleQuota},
		"no quota": {Rules{MaxBytes: 1 << 40}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := fill(t)
			tc.rules.Now = now
			report, errs, err := GC(t.Context(), s, tc.rules, Work{})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			var got []string
			for _, r := range report.Removed {
				got = append(got, r.Path+"@"+r.Version)
				if r.Reason != tc.reason {
					t.Errorf("%s: reason %s", r.Path, r.Reason)
				}
				_, err := s.Get(t.Context(), module.Version{Path: r.Path, Version: r.Version})
				if gone := fault.CodeOf(err) == fault.NotFound; gone == tc.rules.DryRun {
					t.Errorf("%s: %v", r.Path, err)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if report.Versions != 4 || (report.Freed > 0) != (len(got) > 0) {
				t.Errorf("%+v", report)
			}
		})
	}
	t.Run("half", func(t *testing.T) { // until no more is left than may be
		s := fill(t)
		stats, _, err := Stats(t.Context(), s, Work{})
		if err != nil {
			t.Fatal(err)
		}
		report, _, err := GC(t.Context(), s, Rules{MaxBytes: stats.Bytes / 2, Now: now}, Work{})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Removed) != 2 || report.Bytes != stats.Bytes || report.Bytes-report.Freed > stats.Bytes/2 {
			t.Errorf("%+v", report)
		}
	})
}

// A version that somebody reads stays, and the next one that may go does.
func TestGCInUse(t *testing.T) {
	s := openStore(t)
	put(t, s, day, "corp.example.com/a@v1.0.0", "corp.example.com/b@v1.0.0")
	e, err := s.Get(t.Context(), version(t, "corp.example.com/a@v1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	report, errs, err := GC(t.Context(), s, Rules{MaxBytes: 1, Now: day}, Work{})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if diff := cmp.Diff([]string{"corp.example.com/a@v1.0.0"}, names(report.InUse)); diff != "" {
		t.Error(diff)
	}
	if len(report.Removed) != 1 || report.Removed[0].Path != "corp.example.com/b" {
		t.Errorf("%+v", report.Removed)
	}
	if err := hashEntry(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// What a store cannot remove is said, and the rest goes.
func TestGCErrors(t *testing.T) {
	s := openStore(t)
	put(t, s, day, "corp.example.com/a@v1.0.0", "corp.example.com/b@v1.0.0")
	report, errs, err := GC(t.Context(), &stubborn{s, version(t, "corp.example.com/a@v1.0.0")}, Rules{MaxBytes: 1, Now: day}, Work{})
	if err != nil {
		t.Fatal(err)
	}
	if len(errs) != 1 || len(report.Removed) != 1 {
		t.Errorf("errors %v, removed %v", errs, report.Removed)
	}
}

// stubborn does not delete one version.
type stubborn struct {
	store.Store
	stays module.Version
}

func (s *stubborn) Delete(ctx context.Context, m module.Version) (bool, error) {
	if m == s.stays {
		return false, errors.New("it cannot be removed")
	}
	return s.Store.Delete(ctx, m)
}
