package images

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What a Store does and keeps at most, besides its options.
const (
	// maxSearches is how many images are looked for at once, and hostSearches how
	// many of one registry.
	maxSearches  = 256
	hostSearches = maxSearches * 3 / 4
	// maxPlatforms is how many platforms of one image are read.
	maxPlatforms = 32
	// resolvers is how many indexes are read at once.
	resolvers = 8
	// answersBytes bounds what is remembered of registries' answers, and
	// indexBytes the platforms of indexes.
	answersBytes = 8 << 20
	indexBytes   = 8 << 20
	// askTimeout bounds a request that transfers no layers.
	askTimeout = 30 * time.Second
	// brokenTTL is how long content that could not be read is not read again.
	brokenTTL = time.Minute
	// inMemory is the largest executable that is held in memory, in bytes, where
	// there is a directory for others.
	inMemory = 8 << 20
	// layersAtOnce is how many layers of one image are read at once.
	layersAtOnce = 2
)

func (o Options) withDefaults() Options {
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 64<<20)
	o.Fetches = cmp.Or(o.Fetches, 3)
	o.FetchTimeout = cmp.Or(o.FetchTimeout, 2*time.Minute)
	o.Queue = cmp.Or(o.Queue, 1000)
	o.TagTTL = cmp.Or(o.TagTTL, 10*time.Second)
	o.AccessTTL = cmp.Or(o.AccessTTL, 5*time.Minute)
	o.AbsentTTL = cmp.Or(o.AbsentTTL, 5*time.Second)
	file := int64(256 << 20)
	if o.CacheDir == "" {
		file = 48 << 20
	}
	o.Limits = facts.Limits{
		File:    cmp.Or(o.Limits.File, file),
		Image:   cmp.Or(o.Limits.Image, 16<<30),
		Entries: cmp.Or(o.Limits.Entries, 200_000),
		Window:  cmp.Or(o.Limits.Window, 32<<20),
	}
	o.Observe = o.Observe.withDefaults()
	return o
}

// Store keeps the facts of images. It is safe for concurrent use.
type Store struct {
	opt     Options
	options facts.Options
	// ctx ends all work when the Store is closed.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	// idle ends the connections of a transport of its own.
	idle func()

	measured *lru[string, *measured]      // by the digest of the image's manifest
	indexes  *lru[string, facts.Resolved] // by digest
	broken   *lru[brokenKey, error]
	answers  *lru[question, answer]
	attached *lru[string, *facts.Subject] // by the digest of the image's manifest

	fetches  *flights[*measured]
	resolves *flights[facts.Resolved]
	// large lets an image of very many files be read alone.
	large sync.RWMutex

	// reading bounds how many attachments are looked for at once.
	reading chan struct{}

	mu       sync.Mutex
	closed   bool
	searches map[string]*search
	// searching counts the searches by the registry's host.
	searching map[string]int
	asking    map[question]*asked
}

// New returns a Store. Close ends its work.
func New(opt Options) *Store {
	opt = opt.withDefaults()
	s := &Store{
		opt:      opt,
		idle:     func() {},
		measured: newLRU[string, *measured](opt.MemoryBytes),
		indexes:  newLRU[string, facts.Resolved](indexBytes),
		broken:   newLRU[brokenKey, error](answersBytes / 4),
		answers:  newLRU[question, answer](answersBytes),
		attached: newLRU[string, *facts.Subject](opt.MemoryBytes / 8),
		reading:  make(chan struct{}, resolvers),
		searches: map[string]*search{}, searching: map[string]int{},
		asking: map[question]*asked{},
	}
	s.measured.gone = opt.Observe.Evicted
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.options = facts.Options{
		PlainHTTPHosts: opt.PlainHTTPHosts, Mirrors: opt.Mirrors, Transport: opt.Transport,
		CacheDir: opt.CacheDir, CacheSize: opt.CacheSize, KeepEntries: opt.Limits.Entries / 4,
		Jobs: layersAtOnce, Limits: opt.Limits, Buffers: rootfs.NewBuffers(),
	}
	if opt.CacheDir != "" {
		s.options.Buffers = rootfs.NewSpool(opt.CacheDir, inMemory)
	}
	if opt.Transport == nil {
		own := transport.New(transport.Timeouts{})
		s.options.Transport = own
		if t, ok := own.(interface{ CloseIdleConnections() }); ok {
			s.idle = t.CloseIdleConnections
		}
	}
	s.fetches = newFlights(opt.Queue, opt.Fetches-1, opt.FetchTimeout, s.fetch)
	s.resolves = newFlights(opt.Queue, resolvers/2, askTimeout, s.resolve)
	for range opt.Fetches {
		s.running.Go(func() { s.fetches.work(s.ctx) })
	}
	for range resolvers {
		s.running.Go(func() { s.resolves.work(s.ctx) })
	}
	return s
}

// Close ends all work and waits for it. Every Get then fails.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	s.idle()
}

// errClosed is the error of a Store that was closed.
func errClosed() error {
	return &fault.Error{Code: fault.Unavailable, Err: errors.New("the store of images is closed")}
}

// Get returns the image, waiting no longer than ctx.
//
// When ctx ends first, the error has the code Unavailable and wraps ErrNotReady;
// the work goes on. The other codes are NotFound (remembered for AbsentTTL),
// Denied and Unavailable (never remembered), Invalid, Limit and Unsupported
// (about the content; remembered for a minute for the digest in its repository),
// and Usage for what is no image's name. Bytes that are not those of the digest say
// nothing about the content: they count as Unavailable.
func (s *Store) Get(ctx context.Context, r Request) (*Image, error) {
	t, err := s.newTenant(r)
	if err != nil {
		return nil, fail(r.Image, err)
	}
	if img, err := s.known(t); img != nil || err != nil {
		return img, fail(r.Image, err)
	}
	found, err := s.search(t)
	if err != nil {
		return nil, fail(r.Image, err)
	}
	select {
	case <-found.done:
		return found.image, fail(r.Image, found.err)
	case <-ctx.Done():
	}
	if img := s.attachedImage(t); img != nil {
		return img, nil
	}
	return nil, fail(r.Image, ErrNotReady)
}

// fail says which image an error is about.
func fail(image string, err error) error {
	if err == nil {
		return nil
	}
	code := fault.CodeOf(err)
	e := &fault.Error{Code: code, Op: "image", Input: image, Err: err, Hint: fault.HintOf(err)}
	switch {
	case errors.Is(err, ErrNotReady):
		e.Code, e.Hint = fault.Unavailable, "try again: the image is read in the background"
	case code == fault.Canceled: // the store's own end, not the caller's
		e.Code, e.Err = fault.Unavailable, errClosed()
	case isMismatch(err):
		e.Code, e.Hint = fault.Unavailable, "try again: the registry, or something on the way to it, gave other bytes"
	}
	return e
}

// search is an image that is looked for, for tenants with the same rights.
type search struct {
	done  chan struct{}
	image *Image
	err   error
}

// search starts to look for what t asks, or joins who does.
func (s *Store) search(t *tenant) (*search, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, host := t.searchKey(), t.source.host()
	if found := s.searches[key]; found != nil {
		return found, nil
	}
	switch {
	case s.closed:
		return nil, errClosed()
	case len(s.searches) >= maxSearches, s.searching[host] >= hostSearches:
		return nil, &fault.Error{Code: fault.Unavailable, Err: errors.New("too many images are being looked for"), Hint: "try again later"}
	}
	found := &search{done: make(chan struct{})}
	s.searches[key] = found
	s.searching[host]++
	s.running.Go(func() {
		found.image, found.err = s.find(s.ctx, t)
		s.mu.Lock()
		delete(s.searches, key)
		if s.searching[host]--; s.searching[host] == 0 {
			delete(s.searching, host)
		}
		s.mu.Unlock()
		close(found.done)
	})
	return found, nil
}
