package keep

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// Rules say what GC removes. A rule that is 0 removes nothing.
type Rules struct {
	// UnusedFor removes what was not asked for, nor stored, for so long.
	UnusedFor time.Duration
	// OlderThan removes what was stored longer ago.
	OlderThan time.Duration
	// MaxBytes removes what was used least recently until no more is left.
	MaxBytes int64
	// Keep are versions that stay; may be nil.
	Keep *Set
	// DryRun removes nothing, and says what would be removed.
	DryRun bool
	// Now is the time that durations count from.
	Now time.Time
}

// GC removes versions by rules, those that were used least recently first. What
// is being read stays. The errors are about what could not be read or removed; the
// last one is not nil when ctx has ended: what was removed until then is gone.
func GC(ctx context.Context, s store.Store, rules Rules, w Work) (*api.ModuleGCReport, []error, error) {
	records, errs, err := survey(ctx, s, w)
	if err != nil {
		return nil, nil, err
	}
	report := &api.ModuleGCReport{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleGCReport,
		Store: s.Name(), DryRun: rules.DryRun, Versions: len(records),
		Removed: []api.ModuleRemoval{}, InUse: []api.ModuleVersion{},
	}
	for _, r := range records {
		report.Bytes += r.bytes
	}
	slices.SortStableFunc(records, func(a, b record) int {
		return cmp.Or(a.lastUse().Compare(b.lastUse()), compare(a.Version, b.Version))
	})
	for _, r := range records {
		reason := rules.reason(&r, report.Bytes-report.Freed)
		if reason == "" {
			continue
		}
		gone := true
		if !rules.DryRun {
			gone, err = s.Delete(ctx, r.Version)
		}
		switch {
		case ctx.Err() != nil:
			return nil, nil, canceled(ctx)
		case err != nil:
			errs = append(errs, err)
		case !gone:
			report.InUse = append(report.InUse, asAPI(r.Version))
		default:
			report.Freed += r.bytes
			report.Removed = append(report.Removed, api.ModuleRemoval{
				Path: r.Path, Version: r.Version.Version, Bytes: r.bytes, Reason: reason, LastUsed: stamp(r.lastUse()),
			})
		}
	}
	return report, errs, nil
}

// reason says why a version goes while total bytes are left; "" when it stays.
func (rules *Rules) reason(r *record, total int64) string {
	switch {
	case rules.Keep != nil && rules.Keep.Has(r.Version):
		return ""
	case rules.UnusedFor > 0 && r.lastUse().Before(rules.Now.Add(-rules.UnusedFor)):
		return api.ModuleUnused
	case rules.OlderThan > 0 && r.stored.Before(rules.Now.Add(-rules.OlderThan)):
		return api.ModuleOld
	case rules.MaxBytes > 0 && total > rules.MaxBytes:
		return api.ModuleQuota
	}
	return ""
}
