package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/mirrortest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/route"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// world is a mirror between an upstream and a store, with a clock of its own.
type world struct {
	*mirror.Mirror
	up    *mirrortest.Upstream
	store store.Store

	mu     sync.Mutex
	now    time.Time
	events []mirror.Event
}

// newWorld returns a mirror; change may change its options.
func newWorld(t testing.TB, change func(*mirror.Options)) *world {
	t.Helper()
	w := &world{up: mirrortest.New(t), now: mirrortest.Epoch}
	var err error
	if w.store, err = layouts.Open(t.TempDir(), layouts.Options{}); err != nil {
		t.Fatal(err)
	}
	opt := mirror.Options{Store: w.store, Source: source(t, w.up.URL), Now: w.time, Observe: w.observe}
	if change != nil {
		change(&opt)
	}
	w.Mirror = mirror.New(opt)
	t.Cleanup(func() {
		if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// source returns the module proxy at url, which is asked once and not again.
func source(t testing.TB, url string) upstream.Source {
	t.Helper()
	s, err := route.New(route.Options{Upstreams: url, Environ: []string{"HOME=" + hometest.New(t)}, Transport: http.DefaultTransport})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) observe(e mirror.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// heard returns the events of a kind.
func (w *world) heard(kind mirror.EventKind) []mirror.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []mirror.Event
	for _, e := range w.events {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// has says whether a version is in the store.
func (w *world) has(t testing.TB, path, version string) bool {
	t.Helper()
	_, err := w.store.Get(t.Context(), module.Version{Path: path, Version: version})
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	return err == nil
}

// await waits until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// wantCode fails the test unless err has the code and text that says something.
func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != code {
		t.Fatalf("%v: code %q, want %q", err, got, code)
	}
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		t.Errorf("%v is no *fault.Error", err)
	}
}

// down answers everything with an error for the moment.
func down(w http.ResponseWriter, _ *http.Request) bool {
	http.Error(w, "out of order", http.StatusInternalServerError)
	return true
}
