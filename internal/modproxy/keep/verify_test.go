package keep

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const lib, other = "corp.example.com/lib@v1.0.0", "corp.example.com/other@v1.0.0"

// blobs are the files of a layout with content like that, largest first.
func blobsWith(t *testing.T, dir, content string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(filepath.ToSlash(path), "/sha256/") {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), content) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no blob with %q", content)
	}
	return found
}

func corrupt(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// filled returns a directory with a store of two versions.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, reopen(t, dir), day, lib, other)
	return dir
}

func TestVerifyClean(t *testing.T) {
	s := reopen(t, filled(t))
	report, errs, err := Verify(t.Context(), s, Proofs{Sums: &Set{}, Database: &database{}}, Work{})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if report.Versions != 2 || report.Bytes == 0 || len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}

// Whatever is changed in or taken from the files of a version is found and, where
// that is asked for, repaired.
func TestVerifyDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		damage  func(t *testing.T, path string)
	}{
		"zip":           {"PK\x03\x04", corrupt},
		"mod":           {"module corp.example.com/lib\n", corrupt},
		"info":          {`{"Version":"v1.0.0","Time"`, corrupt},
		"manifest":      {`"dev.gopherwood.module.path":"corp.example.com/lib"`, corrupt},
		"zip gone":      {"PK\x03\x04", remove},
		"mod gone":      {"module corp.example.com/lib\n", remove},
		"manifest gone": {`"dev.gopherwood.module.path":"corp.example.com/lib"`, remove},
		"zip cut":       {"PK\x03\x04", truncate},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			for _, path := range blobsWith(t, filepath.Join(dir, "corp.example.com", "lib"), tc.content) {
				tc.damage(t, path)
			}
			s := reopen(t, dir)
			report, errs, err := Verify(t.Context(), s, Proofs{}, Work{})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			if len(report.Problems) != 1 || report.Problems[0].Path != "corp.example.com/lib" || report.Problems[0].Repaired ||
				report.Problems[0].Problem != api.ModuleDamaged && report.Problems[0].Problem != api.ModuleUnreadable {
				t.Fatalf("%+v", report.Problems)
			}
			report, errs, err = Verify(t.Context(), s, Proofs{Repair: &origin{t: t, body: "body"}}, Work{})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			if len(report.Problems) != 1 || !report.Problems[0].Repaired {
				t.Fatalf("not repaired: %+v", report.Problems)
			}
			report, errs, err = Verify(t.Context(), reopen(t, dir), Proofs{}, Work{})
			if err != nil || len(errs) > 0 || len(report.Problems) > 0 || report.Versions != 2 {
				t.Errorf("after the repair: %v %v %+v", err, errs, report)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 30); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyProofs(t *testing.T) {
	sums := func(hash string) *Set {
		var s Set
		if err := s.ReadGoSum("go.sum", strings.NewReader("corp.example.com/lib v1.0.0 "+hash+"\n")); err != nil {
			t.Fatal(err)
		}
		return &s
	}
	m := version(t, lib)
	right := makeVersion(t, t.TempDir(), m, "right")
	for name, tc := range map[string]struct {
		proofs   Proofs
		problem  string
		repaired bool
	}{
		"go.sum":                {Proofs{Sums: sums(hashA)}, api.ModuleGoSum, false},
		"database":              {Proofs{Database: &database{sums: map[module.Version]string{m: hashA}}}, api.ModuleDatabase, false},
		"go.sum, repaired":      {Proofs{Sums: sums(right.Sum), Repair: &origin{t: t, body: "right"}}, api.ModuleGoSum, true},
		"database, repaired":    {Proofs{Database: &database{sums: map[module.Version]string{m: right.Sum}}, Repair: &origin{t: t, body: "right"}}, api.ModuleDatabase, true},
		"go.sum, upstream lies": {Proofs{Sums: sums(right.Sum), Repair: &origin{t: t, body: "wrong"}}, api.ModuleGoSum, false},
		"database, upstream lies": {Proofs{Database: &database{sums: map[module.Version]string{m: right.Sum}}, Repair: &origin{t: t, body: "wrong"}},
			api.ModuleDatabase, false},
		"upstream has it no more": {Proofs{Sums: sums(right.Sum), Repair: &origin{t: t, missing: map[module.Version]bool{m: true}}}, api.ModuleGoSum, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := reopen(t, filled(t))
			report, errs, err := Verify(t.Context(), s, tc.proofs, Work{})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			if len(report.Problems) != 1 || report.Problems[0].Problem != tc.problem || report.Problems[0].Repaired != tc.repaired {
				t.Fatalf("%+v", report.Problems)
			}
			if repair := tc.proofs.Repair != nil; repair != (tc.repaired || report.Problems[0].NotRepaired != "") {
				t.Errorf("%+v", report.Problems[0])
			}
			e, err := s.Get(t.Context(), m)
			if err != nil || (e.Sum == right.Sum) != tc.repaired {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
}

// Damage is not an occasion for an upstream to bring other content.
func TestVerifyRepairKeepsContent(t *testing.T) {
	dir := filled(t)
	for _, path := range blobsWith(t, filepath.Join(dir, "corp.example.com", "lib"), "PK\x03\x04") {
		corrupt(t, path)
	}
	report, _, err := Verify(t.Context(), reopen(t, dir), Proofs{Repair: &origin{t: t, body: "changed"}}, Work{})
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Problems[0]; p.Repaired || !strings.Contains(p.NotRepaired, "its upstream has the hash") {
		t.Errorf("%+v", p)
	}
}

// A version that somebody reads is not replaced meanwhile.
func TestVerifyRepairInUse(t *testing.T) {
	s := openStore(t)
	put(t, s, day, lib)
	m := version(t, lib)
	e, err := s.Get(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	z, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	right := makeVersion(t, t.TempDir(), m, "right")
	proofs := Proofs{Database: &database{sums: map[module.Version]string{m: right.Sum}}, Repair: &origin{t: t, body: "right"}}
	report, _, err := Verify(t.Context(), s, proofs, Work{})
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Problems[0]; p.Repaired || !strings.Contains(p.NotRepaired, "being read") {
		t.Errorf("%+v", p)
	}
}

// A database that does not answer is one error, not one a version, and no problem.
func TestVerifyWithoutDatabase(t *testing.T) {
	s := reopen(t, filled(t))
	down := &fault.Error{Code: fault.Unavailable, Err: errors.New("no route")}
	report, errs, err := Verify(t.Context(), s, Proofs{Database: &database{err: down}}, Work{Jobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "2 versions were not compared") {
		t.Errorf("%v, %+v", errs, report)
	}
}

// What is removed while verify runs is no problem; what cannot be reached neither.
func TestVerifyUnreadable(t *testing.T) {
	s := reopen(t, filled(t))
	away := &fickle{Store: s, err: &fault.Error{Code: fault.Unavailable, Err: errors.New("no route")}}
	report, errs, err := Verify(t.Context(), away, Proofs{}, Work{})
	if err != nil || len(errs) != 2 || len(report.Problems) > 0 {
		t.Errorf("%v, %v, %+v", err, errs, report)
	}
	gone := &fickle{Store: s, err: &fault.Error{Code: fault.NotFound}}
	report, errs, err = Verify(t.Context(), gone, Proofs{}, Work{})
	if err != nil || len(errs) > 0 || len(report.Problems) != 2 {
		t.Errorf("listed and not there: %v, %v, %+v", err, errs, report)
	}
	gone.delete = true
	report, errs, err = Verify(t.Context(), gone, Proofs{}, Work{})
	if err != nil || len(errs) > 0 || len(report.Problems) > 0 || report.Versions != 0 {
		t.Errorf("removed meanwhile: %v, %v, %+v", err, errs, report)
	}
}

// fickle fails to get versions, or deletes them at that moment.
type fickle struct {
	store.Store
	err    error
	delete bool
}

func (f *fickle) Get(ctx context.Context, m module.Version) (*store.Entry, error) {
	if f.delete {
		if _, err := f.Delete(ctx, m); err != nil {
			return nil, err
		}
	}
	return nil, f.err
}
