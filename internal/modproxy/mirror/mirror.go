// Package mirror is what a module proxy answers: from its store if it can, from
// upstream if it must, verified by the checksum database, and only what the gate
// lets through.
//
// However many ask for a version, it is fetched once, and it is in the store whole
// or not at all. Lists of versions are answered from memory and renewed meanwhile.
package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/semaphore"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/memory"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Defaults of Options.
const (
	DefaultListAge   = time.Minute
	DefaultStaleAge  = 24 * time.Hour
	DefaultFetches   = 32
	DefaultFetchTime = 15 * time.Minute
	DefaultQueue     = 10_000
)

const (
	// negativeAge is how long it is remembered that something does not exist.
	negativeAge = 10 * time.Second
	// documentAge is how long the documents of a version may be given without asking
	// the store and the gate again.
	documentAge = time.Minute
	// listBytes bounds the lists and queries in memory, and documentBytes the documents
	// of versions that came from upstream lately.
	listBytes     = 8 << 20
	documentBytes = 8 << 20
	// earlyDocuments is how many of these are asked for at once before a client does.
	earlyDocuments = 32
)

// Sums vouches for versions: it is the checksum database.
type Sums interface {
	// Check returns an error with the code Invalid unless these are the hashes of
	// the version ("h1:…"), and none for versions that it need not vouch for.
	Check(ctx context.Context, v module.Version, sum, goModSum string) error
	// Sums returns the hashes, "" where it need not vouch for the version.
	Sums(ctx context.Context, v module.Version) (sum, goModSum string, err error)
	// CheckMod is Check for go.mod alone.
	CheckMod(ctx context.Context, v module.Version, goModSum string) error
}

// Options is what a mirror works with.
type Options struct {
	Store store.Store
	// Source is where versions come from that are not in the store. Nil means
	// offline: what is not in the store does not exist.
	Source upstream.Source
	// DB vouches for what comes from Source; nil means nobody does.
	DB Sums
	// Gate says which versions may be used; nil means all.
	Gate Gate
	// Private holds the patterns of private modules, as GOPRIVATE does.
	Private string
	// ListAge is how long lists, latest versions and queries such as branches are
	// taken for what they were; StaleAge how old a list may be that is given while
	// it is asked for again. The defaults are DefaultListAge and DefaultStaleAge.
	ListAge, StaleAge time.Duration
	// Fetches is how many versions are fetched at once, FetchTime how long one may
	// take, Queue how many versions may wait until they are fetched because only a
	// part of them was asked for. Zero stands for the defaults; a Queue below zero
	// for none.
	Fetches   int
	FetchTime time.Duration
	Queue     int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observe hears what happens; may be nil. It is called from many goroutines and
	// must not wait.
	Observe func(Event)
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	// Fetched: a version was fetched from upstream, or Err says why not.
	Fetched EventKind = "fetched"
	// Renewed: a list or another answer that changes could not be renewed.
	Renewed EventKind = "renewed"
	// Dropped: a version will not be fetched in the background, for too many wait.
	Dropped EventKind = "dropped"
)

// Event is something that happened.
type Event struct {
	Kind EventKind
	// Module is the version; of Renewed, its Version is empty or a query.
	Module module.Version
	// Background says that nobody waited for it.
	Background bool
	// Bytes is the length of the zip, Took how long it was waited for.
	Bytes int64
	Took  time.Duration
	// Err is why it failed. Its code is Invalid where what came is not what it has to
	// be, such as a version whose content has changed.
	Err error
}

// Level says where an answer came from.
type Level string

// The levels.
const (
	Memory   Level = "memory"
	Stored   Level = "store"
	Upstream Level = "upstream"
	// Stale is an answer from memory that is asked for again meanwhile.
	Stale Level = "stale"
)

// Document is an answer.
type Document struct {
	Data []byte
	From Level
	// Until is how long the same answer may be given without asking again; zero for
	// not at all.
	Until time.Time
}

// Mirror answers for a module proxy. It is safe for concurrent use. All errors are
// *fault.Error, with the codes that upstream.Source and store.Store have, and
// Denied for what the gate refuses.
type Mirror struct {
	opt Options

	group     group
	base      context.Context // of what nobody waits for, until stop
	stop      context.CancelFunc
	whole     *flights[found]
	parts     *flights[Document]
	asked     *flights[Document] // those of parts that are asked for upstream
	documents *memory.Cache[Document]
	early     *semaphore.Weighted
	lists     *aging
	latest    *aging
	queries   *aging
	fetches   *semaphore.Weighted
	fills     *fills
}

// found is an entry and where it came from.
type found struct {
	*store.Entry
	from Level
}

// New returns a mirror. It must be closed; the store stays open then.
func New(opt Options) *Mirror {
	opt.ListAge = cmp.Or(opt.ListAge, DefaultListAge)
	opt.StaleAge = cmp.Or(opt.StaleAge, DefaultStaleAge)
	opt.Fetches = cmp.Or(opt.Fetches, DefaultFetches)
	opt.FetchTime = cmp.Or(opt.FetchTime, DefaultFetchTime)
	opt.Queue = cmp.Or(opt.Queue, DefaultQueue)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Observe == nil {
		opt.Observe = func(Event) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Mirror{opt: opt, base: ctx, stop: stop, fetches: semaphore.NewWeighted(int64(opt.Fetches)), early: semaphore.NewWeighted(earlyDocuments)}
	m.whole = newFlights[found](ctx, &m.group)
	m.parts = newFlights[Document](ctx, &m.group)
	m.asked = newFlights[Document](ctx, &m.group)
	m.documents = memory.New[Document](documentBytes)
	m.lists = m.newAging(ctx, opt.StaleAge)
	m.latest = m.newAging(ctx, opt.StaleAge)
	m.queries = m.newAging(ctx, 0)
	m.fills = newFills(opt.Queue, func(v module.Version) { _, _, _ = m.get(ctx, v, true) }, // Observe has heard of failures
		func(v module.Version) { opt.Observe(Event{Kind: Dropped, Module: v, Background: true}) })
	if opt.Source != nil {
		for range soonWorkers {
			m.group.run(m.fills.work)
		}
	}
	return m
}

func (m *Mirror) newAging(ctx context.Context, stale time.Duration) *aging {
	return &aging{
		answers: memory.New[aged](listBytes), flights: newFlights[aged](ctx, &m.group), now: m.opt.Now,
		fresh: m.opt.ListAge, stale: stale, negative: min(negativeAge, m.opt.ListAge),
		failed: func(key string, err error) {
			m.opt.Observe(Event{Kind: Renewed, Module: parseKey(key), Err: err})
		},
	}
}

// Close fetches what waits to be fetched, until ctx ends, and then ends everything.
// The error says how many versions are left out.
func (m *Mirror) Close(ctx context.Context) error {
	err := m.fills.close(ctx)
	m.stop()
	m.group.close()
	return err
}

// Pending returns how many versions wait to be fetched in the background.
func (m *Mirror) Pending() int { return m.fills.pending() }

// offline says that nobody is to be asked.
func (m *Mirror) offline() bool { return m.opt.Source == nil }

func (m *Mirror) private(path string) bool { return module.MatchPrefixPatterns(m.opt.Private, path) }

// key names a version, or what else follows @, in the maps.
func key(path, version string) string { return path + "@" + version }

func parseKey(key string) module.Version {
	path, version, _ := strings.Cut(key, "@")
	return module.Version{Path: path, Version: version}
}

// Exact says whether version names one version of the module for good. All others,
// such as the names of branches, are queries.
func Exact(path, version string) bool {
	return version != "" && version == module.CanonicalVersion(version) && module.Check(path, version) == nil
}

// Get returns a version whole. What is not in the store is fetched, verified and
// stored first.
func (m *Mirror) Get(ctx context.Context, v module.Version) (*store.Entry, error) {
	e, _, err := m.Fetch(ctx, v)
	return e, err
}

// Fetch is Get, and says where the version came from.
func (m *Mirror) Fetch(ctx context.Context, v module.Version) (*store.Entry, Level, error) {
	defer m.fills.busy()()
	return m.get(ctx, v, false)
}

// get is Fetch; background says that nobody waits for it.
func (m *Mirror) get(ctx context.Context, v module.Version, background bool) (*store.Entry, Level, error) {
	if err := checkExact(v); err != nil {
		return nil, "", err
	}
	f, err := m.whole.do(ctx, key(v.Path, v.Version), func(ctx context.Context) (found, error) {
		e, err := m.stored(ctx, v)
		if err == nil || !m.elsewhere(err) {
			return found{e, Stored}, err
		}
		e, err = m.fetch(ctx, v, background)
		return found{e, Upstream}, err
	})
	if err != nil {
		return nil, "", err
	}
	m.complete(v)
	m.opt.Store.Used(v, m.opt.Now())
	return f.Entry, f.from, nil
}

// checkExact refuses what names no version.
func checkExact(v module.Version) error {
	if Exact(v.Path, v.Version) {
		return nil
	}
	return &fault.Error{Code: fault.NotFound, Op: "find", Input: key(v.Path, v.Version), Err: errors.New("it is no canonical version of this module"),
		Hint: "ask for its .info first, which says the version"}
}

// stored returns a version that is in the store and that the gate lets through.
func (m *Mirror) stored(ctx context.Context, v module.Version) (*store.Entry, error) {
	e, err := m.opt.Store.Get(ctx, v)
	if err != nil {
		return nil, m.offlineHint(err)
	}
	return e, m.admitStored(ctx, e)
}

// elsewhere says whether a version that the store did not return is to be asked
// for upstream: the store does not have it, or cannot be asked. A registry that is
// away so takes what comes later, from the directory before it.
func (m *Mirror) elsewhere(err error) bool {
	code := fault.CodeOf(err)
	return !m.offline() && (code == fault.NotFound || code == fault.Unavailable)
}

// offlineHint says in the errors of an offline proxy that it is one.
func (m *Mirror) offlineHint(err error) error {
	var f *fault.Error
	if !m.offline() || fault.CodeOf(err) != fault.NotFound || !errors.As(err, &f) {
		return err
	}
	return &fault.Error{Code: fault.NotFound, Op: f.Op, Input: f.Input, Err: f.Err,
		Hint: "the module proxy is offline: fill its store with 'gopherwood modproxy warm' or 'import'"}
}

// fetch gets a version from upstream into the store.
func (m *Mirror) fetch(ctx context.Context, v module.Version, background bool) (*store.Entry, error) {
	begin := m.opt.Now()
	ctx, cancel := context.WithTimeout(ctx, m.opt.FetchTime)
	defer cancel()
	e, err := m.fetchOne(ctx, v, background)
	event := Event{Kind: Fetched, Module: v, Background: background, Took: m.opt.Now().Sub(begin), Err: err}
	if err == nil {
		event.Bytes = e.ZipSize
	}
	m.opt.Observe(event)
	return e, err
}

func (m *Mirror) fetchOne(ctx context.Context, v module.Version, background bool) (*store.Entry, error) {
	if err := m.fetches.Acquire(ctx, 1); err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "fetch", Input: key(v.Path, v.Version), Err: err}
	}
	defer m.fetches.Release(1)
	if err := m.admitUnknown(ctx, v); err != nil {
		return nil, err
	}
	m.vouch(v)
	known, err := m.known(ctx, v, background)
	if err != nil {
		return nil, err
	}
	d, err := m.opt.Source.Fetch(ctx, v, m.opt.Store.Staging(), known)
	if err != nil {
		return nil, err
	}
	e, err := m.commit(ctx, d)
	// The file may have been moved into the store; if not, the store sweeps it.
	_ = d.Close()
	return e, err
}

// vouch lets the checksum database look for a version while that is on its way.
func (m *Mirror) vouch(v module.Version) {
	if m.opt.DB == nil {
		return
	}
	m.group.run(func() {
		ctx, cancel := context.WithTimeout(m.base, m.opt.FetchTime)
		defer cancel()
		_, _, _ = m.opt.DB.Sums(ctx, v) // is asked for again, and is there then
	})
}

// commit stores a download that is what it has to be.
func (m *Mirror) commit(ctx context.Context, d *upstream.Download) (*store.Entry, error) {
	if m.opt.DB != nil {
		if err := m.opt.DB.Check(ctx, d.Version.Version, d.Sum, d.GoModSum); err != nil {
			return nil, err
		}
	}
	if err := m.admitDownload(ctx, d); err != nil {
		return nil, err
	}
	return m.opt.Store.Put(ctx, d.Version, d.Path)
}

// info is what a .info document says.
type info struct {
	Version string
	Time    time.Time
}

// parseInfo reads a .info document of the module.
func parseInfo(path string, data []byte) (info, error) {
	var i info
	err := json.Unmarshal(data, &i)
	if err == nil && !semver.IsValid(i.Version) {
		err = errors.New("it states no version")
	}
	if err != nil {
		return i, &fault.Error{Code: fault.Invalid, Op: "read the information about", Input: path, Err: err}
	}
	return i, nil
}
