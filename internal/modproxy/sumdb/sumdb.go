// Package sumdb verifies modules with a checksum database, and serves that
// database to go commands.
//
// A checksum database is a log that can only grow: the records of versions are
// the leaves of a Merkle tree whose root is signed (go.dev/design/25530-sumdb,
// research.swtch.com/tlog). Nothing is believed, kept or served before it is
// proven to be in the latest tree known here, which each later one must
// continue. What was proven is kept, in memory and in a directory, and asked for
// once however many want it.
//
// It does what golang.org/x/mod/sumdb.Client does, with the same parts of
// package tlog, for processes that run for long: that client keeps every tile,
// record and error for ever.
package sumdb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/singleflight"

	"github.com/gopherwood-dev/gopherwood/internal/base/lru"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options configure New.
type Options struct {
	// Name says which database, in the syntax of GOSUMDB: a known name,
	// NAME+KEY, either with a URL behind it that is asked instead of Upstreams,
	// or "off".
	Name string
	// Upstreams are proxies in the syntax of GOPROXY. As the go command does, the
	// first that serves the database is asked, and the database itself if none
	// does.
	Upstreams string
	// Skip are patterns of module paths that are never asked for, in the syntax
	// of GONOSUMDB.
	Skip string
	// Dir is the directory for what was verified, which any number of processes
	// may share; "" keeps it in memory only. It may take MaxBytes on the disk;
	// 0 means 512 MiB.
	Dir      string
	MaxBytes int64
	// Memory bounds what is kept in memory, in bytes; 0 means 12 MiB.
	Memory int64
	// Offline answers only from what is kept.
	Offline bool
	// Transport sends requests; nil means base/transport's.
	Transport http.RoundTripper
	// Observer is told of each request that was sent; it may be nil, and is
	// called from several goroutines.
	Observer func(Request)
}

const (
	defaultDisk   = 512 << 20
	defaultMemory = 12 << 20
	// maxFetched is enough for the tiles that are being verified.
	maxFetched = 2 * parallel * full * tlog.HashSize
)

// toolchain is the module of Go's own releases. go.sum does not have them, so
// the go command checks them whatever GONOSUMDB says.
const toolchain = "golang.org/toolchain"

// DB is a checksum database. Its methods may be called from several goroutines.
// All errors are *fault.Error, or wrap one: NotFound where the database does not
// know a version, Invalid where something is not what the database's signature
// promises, Unavailable where it cannot be asked.
type DB struct {
	name   string // "" when there is no database
	key    note.Verifier
	skip   string
	remote *remote
	disk   *disk

	tiles   tileCache
	fetched *lru.Cache[tlog.Tile, []byte] // what came last and may not be verified yet
	records *lru.Cache[module.Version, *record]

	head   atomic.Pointer[head]
	moving sync.Mutex   // held while the head is replaced
	asked  atomic.Int64 // when the latest tree was asked for, in ns since 1970

	flights singleflight.Group
	closing sync.RWMutex // taken to add to running
	running sync.WaitGroup
	ctx     context.Context // of what is under way for several askers
	stop    context.CancelFunc
}

// New returns the database. It asks nothing yet.
func New(opt Options) (*DB, error) {
	db, err := parseDatabase(opt.Name)
	if err != nil {
		return nil, err
	}
	d := &DB{skip: opt.Skip}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if db == nil {
		return d, nil
	}
	proxies, err := parseProxies(opt.Upstreams)
	if err != nil {
		return nil, err
	}
	if opt.MaxBytes == 0 {
		opt.MaxBytes = defaultDisk
	}
	if opt.Memory == 0 {
		opt.Memory = defaultMemory
	}
	if opt.Transport == nil {
		opt.Transport = transport.New(transport.Timeouts{})
	}
	if opt.Observer == nil {
		opt.Observer = func(Request) {}
	}
	if d.disk, err = openDisk(opt.Dir, db.name, opt.MaxBytes); err != nil {
		return nil, err
	}
	d.name, d.key, d.remote = db.name, db.key, newRemote(db, proxies, opt)
	d.tiles = tileCache{lru.New[place, []byte](opt.Memory / 3 * 2)}
	d.fetched = lru.New[tlog.Tile, []byte](maxFetched)
	d.records = lru.New[module.Version, *record](opt.Memory / 3)
	return d, nil
}

// Close ends what is under way.
func (d *DB) Close() error {
	d.closing.Lock()
	d.stop()
	d.closing.Unlock()
	d.running.Wait()
	d.disk.close()
	return nil
}

// begin notes that something is under way, unless the database is closed.
func (d *DB) begin() error {
	d.closing.RLock()
	defer d.closing.RUnlock()
	if err := d.ctx.Err(); err != nil {
		return &fault.Error{Code: fault.Canceled, Op: "checksum database", Input: d.name, Err: err}
	}
	d.running.Add(1)
	return nil
}

// Name returns the name in the database's key, or "off".
func (d *DB) Name() string {
	if d.name == "" {
		return "off"
	}
	return d.name
}

// Covers reports whether versions of the module are checked: there is a
// database, and the path is not to be skipped.
func (d *DB) Covers(path string) bool {
	return d.name != "" && (path == toolchain || !module.MatchPrefixPatterns(d.skip, path))
}

// Sums returns the hashes of the version's zip and of its go.mod ("h1:…"), as the
// database has them; "" and "" when the module is not covered.
func (d *DB) Sums(ctx context.Context, m module.Version) (sum, goModSum string, err error) {
	if !d.Covers(m.Path) {
		return "", "", nil
	}
	r, err := d.lookup(ctx, m)
	if err != nil {
		return "", "", err
	}
	if sum, goModSum = r.sums(m); sum == "" || goModSum == "" {
		return "", "", d.invalid("the record of "+m.String(), errors.New("it lacks a hash"))
	}
	return sum, goModSum, nil
}

// Check compares the hashes of a version ("h1:…") with the database's. It returns
// nil when the module is not covered.
func (d *DB) Check(ctx context.Context, m module.Version, sum, goModSum string) error {
	wantSum, wantMod, err := d.Sums(ctx, m)
	if err != nil || wantSum == "" {
		return err
	}
	if sum != wantSum {
		return d.mismatch(m, "zip", sum, wantSum)
	}
	return d.compareMod(m, goModSum, wantMod)
}

// CheckMod compares the hash of a version's go.mod ("h1:…") with the database's.
// It returns nil when the module is not covered.
func (d *DB) CheckMod(ctx context.Context, m module.Version, goModSum string) error {
	_, want, err := d.Sums(ctx, m)
	if err != nil || want == "" {
		return err
	}
	return d.compareMod(m, goModSum, want)
}

func (d *DB) compareMod(m module.Version, got, want string) error {
	if got != want {
		return d.mismatch(m, "go.mod", got, want)
	}
	return nil
}

func (d *DB) mismatch(m module.Version, what, got, want string) error {
	width := max(len("downloaded"), len(d.name))
	return &fault.Error{Code: fault.Invalid, Op: "verify " + what + " of", Input: m.String(),
		Err:  fmt.Errorf("checksum mismatch\n\t%*s: %s\n\t%*s: %s", width, "downloaded", got, width, d.name, want),
		Hint: "the version was changed after it was published, or what was downloaded is not the original; do not use it before its authors explain"}
}

// Latest returns the latest signed tree, at most a minute old unless the
// database cannot be asked.
func (d *DB) Latest(ctx context.Context) ([]byte, error) {
	h, err := d.refresh(ctx, freshFor)
	if fault.CodeOf(err) == fault.Unavailable {
		if known := d.head.Load(); known != nil {
			h, err = known, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return h.note, nil
}

// Lookup returns what the database answers for the version: the record and a
// signed tree that has it, the latest that is known. Of modules that are not
// covered nothing is asked; the error has the code Denied.
func (d *DB) Lookup(ctx context.Context, m module.Version) ([]byte, error) {
	if !d.Covers(m.Path) {
		return nil, &fault.Error{Code: fault.Denied, Op: "checksum database", Input: m.String(),
			Err:  fmt.Errorf("the module is private here, so %s is not asked for it", d.Name()),
			Hint: "set GONOSUMDB or GOPRIVATE to a pattern that matches " + m.Path}
	}
	r, err := d.lookup(ctx, m)
	if err != nil {
		return nil, err
	}
	h, err := d.current()
	if err != nil {
		return nil, err
	}
	data, err := tlog.FormatRecord(r.id, r.text)
	if err != nil {
		return nil, d.invalid("the record of "+m.String(), err)
	}
	return append(data, h.note...), nil
}

// shared calls f once for all who ask for the key at the same time. What f does
// goes on, and is kept, when an asker gives up.
func shared[V any](ctx context.Context, d *DB, key string, f func(context.Context) (V, error)) (V, error) {
	result := d.flights.DoChan(key, func() (any, error) {
		if err := d.begin(); err != nil {
			return nil, err
		}
		defer d.running.Done()
		return f(d.ctx)
	})
	select {
	case r := <-result:
		v, _ := r.Val.(V)
		return v, r.Err
	case <-ctx.Done():
		var none V
		return none, &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "checksum database", Input: strings.TrimPrefix(key, "serve "), Err: ctx.Err()}
	}
}
