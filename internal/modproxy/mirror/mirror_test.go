package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const lib = "corp.example.com/lib"

var v1 = module.Version{Path: lib, Version: "v1.0.0"}

func TestFetchesOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", map[string]string{"lib.go": "package lib\n"})
	hold := make(chan struct{})
	w.up.Hook(func(http.ResponseWriter, *http.Request) bool { <-hold; return false })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			e, err := w.Get(t.Context(), v1)
			if err != nil {
				t.Error(err)
				return
			}
			z, err := e.Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer z.Close()
			if data, err := io.ReadAll(z); err != nil || int64(len(data)) != e.ZipSize || len(data) == 0 {
				t.Errorf("%d bytes of %d, %v", len(data), e.ZipSize, err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(hold)
	wg.Wait()
	got := w.up.Requests()
	slices.Sort(got)
	want := []string{"/corp.example.com/lib/@v/v1.0.0.info", "/corp.example.com/lib/@v/v1.0.0.mod", "/corp.example.com/lib/@v/v1.0.0.zip"}
	if !slices.Equal(got, want) {
		t.Errorf("50 clients were %q upstream", got)
	}
	if events := w.heard(mirror.Fetched); len(events) != 1 || events[0].Err != nil || events[0].Bytes == 0 || events[0].Background {
		t.Errorf("events %+v", events)
	}
	if _, level, err := w.Fetch(t.Context(), v1); err != nil || level != mirror.Stored {
		t.Errorf("%s, %v", level, err)
	}
	if got := w.up.Requests(); len(got) != 0 {
		t.Errorf("what is in the store is asked for: %q", got)
	}
}

// TestImpatientClient gives up while a version is on its way: the next one finds it.
func TestImpatientClient(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	w.up.Hook(func(http.ResponseWriter, *http.Request) bool { asked <- struct{}{}; <-hold; return false })
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := w.Get(ctx, v1)
		failed <- err
	}()
	<-asked
	cancel()
	wantCode(t, <-failed, fault.Canceled)
	close(hold)
	await(t, "the version", func() bool { return w.has(t, lib, "v1.0.0") })
	if n := len(w.up.Requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// TestPartsThenWhole asks for documents only: they come at once, and the version is
// whole soon after, also for a proxy that is offline.
func TestPartsThenWhole(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	d, err := w.Mod(t.Context(), v1)
	if err != nil || d.From != mirror.Upstream || !strings.HasPrefix(string(d.Data), "module corp.example.com/lib\n") {
		t.Fatalf("%q from %s, %v", d.Data, d.From, err)
	}
	if !d.Until.After(w.time()) {
		t.Error("the go.mod of a version is good for no time at all")
	}
	await(t, "the whole version", func() bool { return w.has(t, lib, "v1.0.0") })
	w.up.Hook(down)
	w.pass(time.Minute)
	i, err := w.Info(t.Context(), lib, "v1.0.0")
	if err != nil || i.From != mirror.Stored || !strings.Contains(string(i.Data), `"Version":"v1.0.0"`) {
		t.Errorf("%q from %s, %v", i.Data, i.From, err)
	}
	await(t, "the event", func() bool { return len(w.heard(mirror.Fetched)) == 1 })
	if e := w.heard(mirror.Fetched); !e[0].Background {
		t.Errorf("events %+v", e)
	}
}

// TestBackgroundWaits holds the background to its place: behind every client, but
// for versions whose zip is likely to be asked for next.
func TestBackgroundWaits(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Add(t, lib, "v1.1.0", nil)
	w.up.Add(t, lib, "v1.2.0", nil)
	w.up.Add(t, lib, "v1.3.0", nil)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/v1.2.0.zip") {
			asked <- struct{}{}
			<-hold
		}
		return false
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.Get(t.Context(), module.Version{Path: lib, Version: "v1.2.0"}); err != nil {
			t.Error(err)
		}
	})
	<-asked
	for _, v := range []string{"v1.3.0", "v1.0.0", "v1.1.0", "v1.0.0"} {
		if _, err := w.Mod(t.Context(), module.Version{Path: lib, Version: v}); err != nil {
			t.Error(err)
		}
	}
	await(t, "the highest", func() bool { return w.has(t, lib, "v1.3.0") && w.Pending() == 2 })
	if _, err := w.Info(t.Context(), lib, "v1.0.0"); err != nil {
		t.Error(err)
	}
	await(t, "the one whose .info was asked for", func() bool { return w.has(t, lib, "v1.0.0") && w.Pending() == 1 })
	time.Sleep(50 * time.Millisecond)
	if w.has(t, lib, "v1.1.0") {
		t.Error("fetched in the background while a client waits")
	}
	close(hold)
	wg.Wait()
	await(t, "the rest", func() bool { return w.has(t, lib, "v1.0.0") && w.has(t, lib, "v1.1.0") && w.Pending() == 0 })
}

// TestCloseDrains closes a mirror with work left.
func TestCloseDrains(t *testing.T) {
	w := newWorld(t, nil)
	busy := make(chan struct{})
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Add(t, lib, "v1.2.0", nil)
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/v1.2.0.zip") {
			<-busy
		}
		return false
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = w.Get(t.Context(), module.Version{Path: lib, Version: "v1.2.0"}) })
	await(t, "the first", func() bool { return len(w.up.Requests()) > 0 })
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(busy) })
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if !w.has(t, lib, "v1.0.0") {
		t.Error("closed without what waited to be fetched")
	}
	_, err := w.Get(t.Context(), module.Version{Path: lib, Version: "v1.3.0"})
	wantCode(t, err, fault.Unavailable)
}

// TestCloseGivesUp closes a mirror whose upstream does not answer.
func TestCloseGivesUp(t *testing.T) {
	hang := make(chan struct{})
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
		return false
	})
	defer close(hang)
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantCode(t, w.Close(ctx), fault.Unavailable)
	if files, err := os.ReadDir(w.store.Staging()); err != nil || len(files) != 0 {
		t.Errorf("left in the staging directory: %v, %v", files, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t, func(o *mirror.Options) { o.Queue = -1 })
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	if e := w.heard(mirror.Dropped); len(e) != 1 || e[0].Module != v1 {
		t.Errorf("events %+v", e)
	}
}

// sums is a checksum database.
type sums struct {
	err   error
	sum   string
	asked atomic.Int64
}

func (s *sums) Check(_ context.Context, _ module.Version, sum, _ string) error {
	s.asked.Add(1)
	if s.err == nil && s.sum != "" && sum != s.sum {
		return &fault.Error{Code: fault.Invalid, Op: "check", Err: errors.New("checksum mismatch")}
	}
	return s.err
}

func (s *sums) CheckMod(context.Context, module.Version, string) error {
	s.asked.Add(1)
	return s.err
}

func (s *sums) Sums(context.Context, module.Version) (string, string, error) { return "", "", s.err }

// TestNothingUnverified: what the database does not vouch for is neither answered
// nor stored.
func TestNothingUnverified(t *testing.T) {
	for _, code := range []fault.Code{fault.Invalid, fault.Unavailable, fault.NotFound} {
		db := &sums{err: &fault.Error{Code: code, Op: "check", Err: errors.New("no")}}
		w := newWorld(t, func(o *mirror.Options) { o.DB = db })
		w.up.Add(t, lib, "v1.0.0", nil)
		_, err := w.Get(t.Context(), v1)
		wantCode(t, err, code)
		_, err = w.Mod(t.Context(), v1)
		wantCode(t, err, code)
		if w.has(t, lib, "v1.0.0") {
			t.Error("stored")
		}
		if e := w.heard(mirror.Fetched); len(e) != 1 || fault.CodeOf(e[0].Err) != code {
			t.Errorf("events %+v", e)
		}
		if files, err := os.ReadDir(w.store.Staging()); err != nil || len(files) != 0 {
			t.Errorf("left in the staging directory: %v, %v", files, err)
		}
	}
}

// TestChangedUpstream fetches into a store that has the version with other content,
// as when two processes fetch at once.
func TestChangedUpstream(t *testing.T) {
	w := newWorld(t, nil)
	other := newWorld(t, func(o *mirror.Options) { o.Store = blind{w.store} })
	w.up.Add(t, lib, "v1.0.0", map[string]string{"a.go": "package lib\n"})
	first, err := w.Get(t.Context(), v1)
	if err != nil {
		t.Fatal(err)
	}
	other.up.Add(t, lib, "v1.0.0", map[string]string{"a.go": "package evil\n"})
	_, err = other.Get(t.Context(), v1)
	wantCode(t, err, fault.Invalid)
	again, err := w.Get(t.Context(), v1)
	if err != nil || again.Sum != first.Sum {
		t.Errorf("%s became %v, %v", first.Sum, again, err)
	}
	if e := other.heard(mirror.Fetched); len(e) != 1 || fault.CodeOf(e[0].Err) != fault.Invalid {
		t.Errorf("nobody hears of it: %+v", e)
	}
}

// blind is a store that does not have what it has.
type blind struct{ store.Store }

func (blind) Get(_ context.Context, v module.Version) (*store.Entry, error) {
	return nil, &fault.Error{Code: fault.NotFound, Op: "find", Input: v.String()}
}

func TestNotUpstream(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	_, err := w.Get(t.Context(), module.Version{Path: lib, Version: "v9.9.9+incompatible"})
	wantCode(t, err, fault.NotFound)
	_, err = w.Mod(t.Context(), module.Version{Path: lib, Version: "v1.9.9"})
	wantCode(t, err, fault.NotFound)
	_, err = w.Info(t.Context(), lib, "no-branch")
	wantCode(t, err, fault.NotFound)
	_, err = w.Latest(t.Context(), "corp.example.com/nothing")
	wantCode(t, err, fault.NotFound)
	_, err = w.List(t.Context(), "corp.example.com/nothing")
	wantCode(t, err, fault.NotFound)
	for _, v := range []string{"main", "v1", "v1.0.0-0.2025", "", "v1.0.0+meta", "v2.0.0"} {
		_, err = w.Get(t.Context(), module.Version{Path: lib, Version: v})
		wantCode(t, err, fault.NotFound)
	}
}

// TestWrongVersion is an upstream that answers with another version.
func TestWrongVersion(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Hook(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".info") {
			return false
		}
		_, _ = rw.Write([]byte(`{"Version":"v1.0.1"}`))
		return true
	})
	_, err := w.Info(t.Context(), lib, "v1.0.0")
	wantCode(t, err, fault.Invalid)
	_, err = w.Get(t.Context(), v1)
	wantCode(t, err, fault.Invalid)
	if w.has(t, lib, "v1.0.0") {
		t.Error("stored")
	}
}

func TestOffline(t *testing.T) {
	w := newWorld(t, nil)
	const pseudo = "v1.2.1-0.20250401120000-0123456789ab"
	for _, v := range []string{"v1.0.0", "v1.2.0", "v1.3.0-rc.1", pseudo} {
		w.up.Add(t, lib, v, nil)
		if _, err := w.Get(t.Context(), module.Version{Path: lib, Version: v}); err != nil {
			t.Fatal(err)
		}
	}
	off := newWorld(t, func(o *mirror.Options) { o.Store, o.Source = w.store, nil })
	if v, err := off.Versions(t.Context(), lib); err != nil || !slices.Equal(v, []string{"v1.0.0", "v1.2.0", "v1.3.0-rc.1"}) {
		t.Errorf("%q, %v", v, err)
	}
	for query, want := range map[string]string{"v1.0.0": "v1.0.0", pseudo: pseudo, "0123456789ab": pseudo, "0123456789abcdef0123456789abcdef01234567": pseudo, "0123456": pseudo} {
		d, err := off.Info(t.Context(), lib, query)
		if err != nil || !strings.Contains(string(d.Data), `"Version":"`+want+`"`) || d.From != mirror.Stored {
			t.Errorf("%s: %s from %s, %v", query, d.Data, d.From, err)
		}
	}
	if d, err := off.Latest(t.Context(), lib); err != nil || !strings.Contains(string(d.Data), `"v1.2.0"`) {
		t.Errorf("%s, %v", d.Data, err)
	}
	if e, err := off.Get(t.Context(), v1); err != nil || e.ZipSize == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	for what, ask := range map[string]func() error{
		"get":    func() error { _, err := off.Get(t.Context(), module.Version{Path: lib, Version: "v1.9.0"}); return err },
		"mod":    func() error { _, err := off.Mod(t.Context(), module.Version{Path: lib, Version: "v1.9.0"}); return err },
		"info":   func() error { _, err := off.Info(t.Context(), lib, "v1.9.0"); return err },
		"query":  func() error { _, err := off.Info(t.Context(), lib, "master"); return err },
		"list":   func() error { _, err := off.List(t.Context(), "corp.example.com/other"); return err },
		"latest": func() error { _, err := off.Latest(t.Context(), "corp.example.com/other"); return err },
	} {
		err := ask()
		wantCode(t, err, fault.NotFound)
		if !strings.Contains(fault.HintOf(err), "offline") {
			t.Errorf("%s: %v does not say that the proxy is offline: %q", what, err, fault.HintOf(err))
		}
	}
}

// TestRace asks for everything at once, and closes meanwhile.
func TestRace(t *testing.T) {
	w := newWorld(t, nil)
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
		w.up.Add(t, lib, v, map[string]string{"x.go": "package lib\n"})
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			v := []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"}[i%4]
			_, _ = w.Info(t.Context(), lib, v)
			_, _ = w.Mod(t.Context(), module.Version{Path: lib, Version: v})
			_, _ = w.Get(t.Context(), module.Version{Path: lib, Version: v})
			_, _ = w.List(t.Context(), lib)
			_, _ = w.Latest(t.Context(), lib)
			_, _ = w.Info(t.Context(), lib, "main")
		})
	}
	time.Sleep(5 * time.Millisecond)
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	zips := 0
	for _, r := range w.up.Requests() {
		if bytes.HasSuffix([]byte(r), []byte(".zip")) {
			zips++
		}
	}
	if zips > 3+8 {
		t.Errorf("%d zips of 3 versions were fetched", zips)
	}
}
