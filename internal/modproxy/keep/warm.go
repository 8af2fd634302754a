package keep

import (
	"context"
	"errors"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Getter gets versions into a store from where they come from, verified, as the
// proxy itself does. What may not be used has the code Denied.
type Getter interface {
	Get(ctx context.Context, m module.Version) (*store.Entry, error)
}

// warmed is what became of one version.
type warmed struct {
	bytes   int64
	present bool
	err     error
}

// Warm gets the versions of a set into s, and holds all of them against the set's
// hashes: what is new and has others does not stay. The errors are about single versions; the last one is not
// nil when ctx has ended.
func Warm(ctx context.Context, s store.Store, from Getter, set *Set, w Work) (*api.ModuleWarmReport, []error, error) {
	versions := set.Versions()
	results, err := each(ctx, w, versions, func(ctx context.Context, m module.Version) warmed {
		return warmOne(ctx, s, from, set, m)
	})
	if err != nil {
		return nil, nil, err
	}
	report := &api.ModuleWarmReport{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleWarmReport,
		Store: s.Name(), Wanted: len(versions), Fetched: []api.ModuleVersion{},
	}
	var errs []error
	for i, r := range results {
		switch {
		case r.err != nil:
			errs = append(errs, r.err)
		case r.present:
			report.Present++
		default:
			report.Fetched = append(report.Fetched, asAPI(versions[i]))
			report.Bytes += r.bytes
		}
	}
	return report, errs, nil
}

func warmOne(ctx context.Context, s store.Store, from Getter, set *Set, m module.Version) warmed {
	present := true
	e, err := s.Get(ctx, m)
	if fault.CodeOf(err) == fault.NotFound {
		present = false
		e, err = from.Get(ctx, m)
	}
	if err != nil {
		return warmed{err: err}
	}
	if err := set.Check(&e.Version); err != nil {
		if !present { // what go.sum does not know is not to be served
			_, deleteErr := s.Delete(ctx, m)
			err = errors.Join(err, deleteErr)
		}
		return warmed{err: err}
	}
	return warmed{bytes: size(&e.Version), present: present}
}
