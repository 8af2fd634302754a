package keep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Database compares a version with the checksum database: the error has the code
// Invalid when that has other hashes. What it does not vouch for, such as private
// modules, it passes.
type Database interface {
	Check(ctx context.Context, m module.Version, sum, goModSum string) error
}

// Fetcher gets a version from where it comes from into a new file in dir, as
// upstream.Source does.
type Fetcher interface {
	Fetch(ctx context.Context, m module.Version, dir string, known upstream.Known) (*upstream.Download, error)
}

var _ Fetcher = upstream.Source(nil)

// Proofs are what Verify holds a store against, besides its own records.
type Proofs struct {
	// Sums are from go.sum files; may be nil.
	Sums *Set
	// Database may be nil.
	Database Database
	// Repair is where versions that are wrong are fetched again; nil leaves them
	// as they are.
	Repair Fetcher
}

// Verify hashes all versions of s again. The errors are about what could not be
// compared; the last one is not nil when ctx has ended.
func Verify(ctx context.Context, s store.Store, proofs Proofs, w Work) (*api.ModuleVerifyReport, []error, error) {
	lists, errs, err := list(ctx, s, w)
	if err != nil {
		return nil, nil, err
	}
	v := &verifier{store: s, proofs: proofs}
	results, err := each(ctx, w, versionsOf(lists), v.verify)
	if err != nil {
		return nil, nil, err
	}
	report := &api.ModuleVerifyReport{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleVerifyReport,
		Store: s.Name(), Problems: []api.ModuleProblem{},
	}
	for _, r := range results {
		if r.gone {
			continue
		}
		report.Versions++
		report.Bytes += r.bytes
		if r.problem != nil {
			report.Problems = append(report.Problems, *r.problem)
		}
		if r.err != nil {
			errs = append(errs, r.err)
		}
	}
	return report, slices.Concat(errs, v.unasked()), nil
}

type verifier struct {
	store  store.Store
	proofs Proofs

	mu sync.Mutex
	// down is why the database was not asked any more, skipped how often.
	down    error
	skipped int
}

// verified is what was found of one version.
type verified struct {
	bytes   int64
	problem *api.ModuleProblem
	// err is why it could not be compared.
	err error
	// gone is whether the version was removed meanwhile.
	gone bool
}

// wrong is a problem of a version.
type wrong struct {
	problem string
	err     error
}

func (v *verifier) verify(ctx context.Context, m module.Version) verified {
	e, err := v.store.Get(ctx, m)
	if err != nil {
		return v.unreadable(ctx, m, err)
	}
	result := verified{bytes: size(&e.Version)}
	w, err := v.check(ctx, e)
	if result.err = err; w != nil {
		result.problem = v.problem(ctx, m, e, w)
	}
	return result
}

// unreadable says what it means that a version that was listed could not be read.
func (v *verifier) unreadable(ctx context.Context, m module.Version, err error) verified {
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Denied, fault.Canceled:
		return verified{err: err}
	case fault.NotFound:
		if versions, listErr := v.store.Versions(ctx, m.Path); listErr == nil && !slices.Contains(versions, m.Version) {
			return verified{gone: true}
		}
	}
	return verified{problem: v.problem(ctx, m, nil, &wrong{api.ModuleUnreadable, err})}
}

// check hashes a version and compares. The error is about what could not be
// compared.
func (v *verifier) check(ctx context.Context, e *store.Entry) (*wrong, error) {
	if err := hashEntry(ctx, e); err != nil {
		if code := fault.CodeOf(err); code == fault.Invalid {
			return &wrong{api.ModuleDamaged, err}, nil
		}
		return nil, err
	}
	if v.proofs.Sums != nil {
		if err := v.proofs.Sums.Check(&e.Version); err != nil {
			return &wrong{api.ModuleGoSum, err}, nil
		}
	}
	err := v.ask(ctx, e.Version.Version, e.Sum, e.GoModSum)
	if fault.CodeOf(err) == fault.Invalid {
		return &wrong{api.ModuleDatabase, err}, nil
	}
	return nil, err
}

// ask compares hashes with the database, unless it did not answer before.
func (v *verifier) ask(ctx context.Context, m module.Version, sum, goModSum string) error {
	if v.proofs.Database == nil {
		return nil
	}
	v.mu.Lock()
	down := v.down != nil
	if down {
		v.skipped++
	}
	v.mu.Unlock()
	if down {
		return nil
	}
	err := v.proofs.Database.Check(ctx, m, sum, goModSum)
	if fault.CodeOf(err) == fault.Unavailable {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.down = err
		v.skipped++
		return nil
	}
	return err
}

// unasked says that the database did not answer.
func (v *verifier) unasked() []error {
	if v.down == nil {
		return nil
	}
	return []error{&fault.Error{
		Code: fault.Unavailable, Op: "compare with the checksum database",
		Err:  fmt.Errorf("%d versions were not compared: %w", v.skipped, v.down),
		Hint: "try again when it can be reached, or leave it out with --sumdb off",
	}}
}

// problem reports what is wrong with a version, of which e is nil when it cannot
// be read, and repairs it if that is asked for.
func (v *verifier) problem(ctx context.Context, m module.Version, e *store.Entry, w *wrong) *api.ModuleProblem {
	p := &api.ModuleProblem{Path: m.Path, Version: m.Version, Problem: w.problem, Message: w.err.Error()}
	if v.proofs.Repair == nil {
		return p
	}
	recorded := e
	if w.problem == api.ModuleGoSum || w.problem == api.ModuleDatabase {
		recorded = nil // the record is what is wrong
	}
	if err := v.repair(ctx, m, recorded); err != nil {
		p.NotRepaired = err.Error()
	} else {
		p.Repaired = true
	}
	return p
}

// repair replaces a version by what its upstream has, if that is vouched for as
// the version itself should be: by go.sum, by the database, and by what was
// recorded, unless that is nil.
func (v *verifier) repair(ctx context.Context, m module.Version, recorded *store.Entry) error {
	d, err := v.proofs.Repair.Fetch(ctx, m, v.store.Staging(), upstream.Known{})
	if err != nil {
		return err
	}
	defer d.Close()
	if v.proofs.Sums != nil {
		if err := v.proofs.Sums.Check(&d.Version); err != nil {
			return err
		}
	}
	if v.proofs.Database != nil {
		if err := v.proofs.Database.Check(ctx, m, d.Sum, d.GoModSum); err != nil {
			return err
		}
	}
	if recorded != nil && (recorded.Sum != d.Sum || recorded.GoModSum != d.GoModSum) {
		return invalid(m, "", "its upstream has the hash %s now, and what was stored had %s", d.Sum, recorded.Sum)
	}
	deleted, err := v.store.Delete(ctx, m)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	if err == nil && !deleted {
		return errors.New("it is being read: try again")
	}
	_, err = v.store.Put(ctx, d.Version, d.Path)
	return err
}
