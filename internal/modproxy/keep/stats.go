package keep

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// record is what is known of a version.
type record struct {
	module.Version
	bytes        int64
	origin       string
	stored, used time.Time
}

// lastUse is when the version was used, or else stored.
func (r *record) lastUse() time.Time {
	if r.used.After(r.stored) {
		return r.used
	}
	return r.stored
}

// survey reads all versions of a store, in order. The errors are about single
// modules and versions; the last one is not nil when ctx has ended.
func survey(ctx context.Context, s store.Store, w Work) ([]record, []error, error) {
	lists, errs, err := list(ctx, s, w)
	if err != nil {
		return nil, nil, err
	}
	type answer struct {
		records []record
		errs    []error
	}
	answers, err := each(ctx, w, lists, func(ctx context.Context, l listing) (a answer) {
		a.records, a.errs = surveyModule(ctx, s, l)
		return a
	})
	if err != nil {
		return nil, nil, err
	}
	var records []record
	for _, a := range answers {
		records = append(records, a.records...)
		errs = append(errs, a.errs...)
	}
	return records, errs, nil
}

func surveyModule(ctx context.Context, s store.Store, l listing) (records []record, errs []error) {
	if len(l.versions) == 0 {
		return nil, nil
	}
	uses, err := s.Uses(ctx, l.path)
	if err != nil {
		errs = append(errs, err)
	}
	for _, v := range l.versions {
		m := module.Version{Path: l.path, Version: v}
		e, err := s.Get(ctx, m)
		switch {
		case err == nil:
			records = append(records, record{m, size(&e.Version), e.Origin, e.Stored, uses[v]})
		case fault.CodeOf(err) != fault.NotFound: // removed meanwhile
			errs = append(errs, err)
		}
	}
	return records, errs
}

// Stats counts what is in a store. The errors are about what could not be read;
// the last one is not nil when ctx has ended.
func Stats(ctx context.Context, s store.Store, w Work) (*api.ModuleStats, []error, error) {
	records, errs, err := survey(ctx, s, w)
	if err != nil {
		return nil, nil, err
	}
	stats := &api.ModuleStats{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleStats, Store: s.Name(),
		Versions: len(records), Origins: origins(records), Items: items(records),
	}
	stats.Modules = len(stats.Items)
	for _, r := range records {
		stats.Bytes += r.bytes
	}
	return stats, errs, nil
}

// origins counts by origin, the largest first.
func origins(records []record) []api.ModuleOriginStats {
	index := map[string]int{}
	all := []api.ModuleOriginStats{}
	for _, r := range records {
		i, ok := index[r.origin]
		if !ok {
			i = len(all)
			index[r.origin] = i
			all = append(all, api.ModuleOriginStats{Origin: r.origin})
		}
		all[i].Versions++
		all[i].Bytes += r.bytes
	}
	slices.SortFunc(all, func(a, b api.ModuleOriginStats) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Origin, b.Origin))
	})
	return all
}

// items counts by module; records are in order.
func items(records []record) []api.ModuleStatsItem {
	all := []api.ModuleStatsItem{}
	var stored, used time.Time
	for _, r := range records {
		if n := len(all); n == 0 || all[n-1].Path != r.Path {
			all = append(all, api.ModuleStatsItem{Path: r.Path})
			stored, used = time.Time{}, time.Time{}
		}
		item := &all[len(all)-1]
		item.Versions++
		item.Bytes += r.bytes
		item.Newest = r.Version.Version
		if r.stored.After(stored) {
			stored = r.stored
		}
		if r.used.After(used) {
			used = r.used
		}
		item.Stored, item.LastUsed = stamp(stored), stamp(used)
	}
	return all
}
