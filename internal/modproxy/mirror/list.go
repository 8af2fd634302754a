package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Versions returns the versions of a module that may be used, without
// pseudo-versions: those that the upstream lists, and those that are in the store.
func (m *Mirror) Versions(ctx context.Context, path string) ([]string, error) {
	d, err := m.List(ctx, path)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(d.Data)), nil
}

// List returns Versions as the protocol has it, one a line. Where the upstream does
// not answer, and what it said is too old, it is what the store has.
func (m *Mirror) List(ctx context.Context, path string) (Document, error) {
	if m.offline() {
		return m.storedList(ctx, path)
	}
	defer m.fills.busy()()
	d, err := m.lists.get(ctx, path, func(ctx context.Context) ([]byte, error) { return m.list(ctx, path) })
	if fault.CodeOf(err) == fault.Unavailable {
		if d, storeErr := m.storedList(ctx, path); storeErr == nil {
			return d, nil
		}
	}
	return d, err
}

// list asks the upstream and the store.
func (m *Mirror) list(ctx context.Context, path string) ([]byte, error) {
	versions, err := m.opt.Source.Versions(ctx, path)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return nil, err
	}
	stored, storeErr := m.releases(ctx, path)
	switch {
	case storeErr != nil:
		return nil, storeErr
	case err != nil && len(stored) == 0:
		return nil, err
	}
	return m.render(ctx, path, append(versions, stored...))
}

// storedList is List from the store alone.
func (m *Mirror) storedList(ctx context.Context, path string) (Document, error) {
	all, err := m.opt.Store.Versions(ctx, path)
	if err == nil && len(all) == 0 {
		err = m.offlineHint(&fault.Error{Code: fault.NotFound, Op: "list the versions of", Input: path, Err: errors.New("none is in the store")})
	}
	if err != nil {
		return Document{}, err
	}
	data, err := m.render(ctx, path, slices.DeleteFunc(all, module.IsPseudoVersion))
	return Document{data, Stored, m.opt.Now().Add(negativeAge)}, err
}

// releases returns the versions in the store without pseudo-versions.
func (m *Mirror) releases(ctx context.Context, path string) ([]string, error) {
	all, err := m.opt.Store.Versions(ctx, path)
	return slices.DeleteFunc(all, module.IsPseudoVersion), err
}

// render returns those of versions that may be shown, one a line.
func (m *Mirror) render(ctx context.Context, path string, versions []string) ([]byte, error) {
	semver.Sort(versions)
	versions, err := m.visible(ctx, path, slices.Compact(versions))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, v := range versions {
		b.WriteString(v)
		b.WriteByte('\n')
	}
	return []byte(b.String()), nil
}

// Latest returns the .info document of the latest version that may be used.
func (m *Mirror) Latest(ctx context.Context, path string) (Document, error) {
	if m.offline() {
		return m.storedLatest(ctx, path)
	}
	defer m.fills.busy()()
	d, err := m.latest.get(ctx, path, func(ctx context.Context) ([]byte, error) { return m.upstreamLatest(ctx, path) })
	if fault.CodeOf(err) == fault.Unavailable {
		if d, storeErr := m.storedLatest(ctx, path); storeErr == nil {
			return d, nil
		}
	}
	return d, err
}

// upstreamLatest returns what the upstream calls the latest version, or the best
// of the list when the gate does not let that through.
func (m *Mirror) upstreamLatest(ctx context.Context, path string) ([]byte, error) {
	data, err := m.opt.Source.Latest(ctx, path)
	switch fault.CodeOf(err) {
	case "":
		i, err := parseInfo(path, data)
		if err != nil {
			return nil, err
		}
		v := module.Version{Path: path, Version: i.Version}
		if err = m.admitInfo(ctx, v, data); fault.CodeOf(err) != fault.Denied {
			return data, err
		}
		return m.bestOf(ctx, path, err)
	case fault.NotFound:
		return m.bestOf(ctx, path, err)
	}
	return nil, err
}

// bestOf returns the .info document of the best version in the list, or otherwise
// the error.
func (m *Mirror) bestOf(ctx context.Context, path string, otherwise error) ([]byte, error) {
	versions, err := m.Versions(ctx, path)
	if err != nil || len(versions) == 0 {
		return nil, otherwise
	}
	d, err := m.Info(ctx, path, best(versions))
	return d.Data, err
}

// best returns the version that the go command means by latest: the highest
// release, else the highest pre-release, else the latest pseudo-version. There is
// one version at least.
func best(versions []string) string {
	return slices.MaxFunc(versions, func(a, b string) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		if module.IsPseudoVersion(a) {
			return pseudoTime(a).Compare(pseudoTime(b))
		}
		return semver.Compare(a, b)
	})
}

func rank(version string) int {
	switch {
	case module.IsPseudoVersion(version):
		return 0
	case semver.Prerelease(version) != "":
		return 1
	}
	return 2
}

func pseudoTime(version string) time.Time {
	t, _ := module.PseudoVersionTime(version) // zero, the oldest, for impossible dates
	return t
}

// storedLatest is Latest from the store alone.
func (m *Mirror) storedLatest(ctx context.Context, path string) (Document, error) {
	versions, err := m.opt.Store.Versions(ctx, path)
	if err == nil {
		versions, err = m.visible(ctx, path, versions)
	}
	if err == nil && len(versions) == 0 {
		err = m.offlineHint(&fault.Error{Code: fault.NotFound, Op: "find the latest version of", Input: path, Err: errors.New("none is in the store")})
	}
	if err != nil {
		return Document{}, err
	}
	return m.storedInfo(ctx, path, best(versions))
}

func (m *Mirror) storedInfo(ctx context.Context, path, version string) (Document, error) {
	e, err := m.stored(ctx, module.Version{Path: path, Version: version})
	if err != nil {
		return Document{}, err
	}
	return Document{e.Info, Stored, m.opt.Now().Add(negativeAge)}, nil
}

// query returns the .info document of the version that query means now. Where the
// upstream does not answer, it is what query meant last, or what the store knows.
func (m *Mirror) query(ctx context.Context, path, query string) (Document, error) {
	if m.offline() {
		return m.resolve(ctx, path, query)
	}
	defer m.fills.busy()()
	d, err := m.queries.get(ctx, key(path, query), func(ctx context.Context) ([]byte, error) {
		data, err := m.opt.Source.Info(ctx, path, query)
		if err != nil {
			return nil, err
		}
		i, err := parseInfo(path, data)
		if err != nil {
			return nil, err
		}
		return data, m.admitInfo(ctx, module.Version{Path: path, Version: i.Version}, data)
	})
	if fault.CodeOf(err) != fault.Unavailable {
		return d, err
	}
	if d, ok := m.queries.last(key(path, query), m.opt.StaleAge); ok {
		return d, nil
	}
	if d, storeErr := m.resolve(ctx, path, query); storeErr == nil {
		return d, nil
	}
	return Document{}, err
}

// minRevision is how much of a commit's hash names it, at least.
const minRevision = 7

// resolve finds what query means among the versions in the store: the commit or
// the tag that their .info documents name as their origin.
func (m *Mirror) resolve(ctx context.Context, path, query string) (Document, error) {
	versions, err := m.opt.Store.Versions(ctx, path)
	if err != nil {
		return Document{}, err
	}
	slices.SortStableFunc(versions, func(a, b string) int { return rank(b) - rank(a) })
	for _, version := range versions {
		e, err := m.opt.Store.Get(ctx, module.Version{Path: path, Version: version})
		if err != nil {
			return Document{}, err
		}
		if means(query, version, e.Info) {
			return m.storedInfo(ctx, path, version)
		}
	}
	return Document{}, m.offlineHint(&fault.Error{Code: fault.NotFound, Op: "find", Input: key(path, query), Err: errors.New("no version in the store comes from there")})
}

// means says whether query names the commit or the tag that a version was made of.
func means(query, version string, data []byte) bool {
	if len(query) >= minRevision && module.IsPseudoVersion(version) {
		rev, err := module.PseudoVersionRev(version)
		if err == nil && (strings.HasPrefix(rev, query) || strings.HasPrefix(query, rev)) {
			return true
		}
	}
	var i struct{ Origin struct{ Hash, Ref string } }
	if json.Unmarshal(data, &i) != nil {
		return false
	}
	return i.Origin.Ref == "refs/tags/"+query || len(query) >= minRevision && strings.HasPrefix(i.Origin.Hash, query)
}
