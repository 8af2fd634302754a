package mirror_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestDocumentsComeEarly asks for one document of a version: the other one is in
// memory soon, good for no longer than the first, and neither comes again with the zip.
func TestDocumentsComeEarly(t *testing.T) {
	for first, ask := range map[string]func(*world) (mirror.Document, error){
		".info": func(w *world) (mirror.Document, error) { return w.Info(t.Context(), lib, "v1.0.0") },
		".mod":  func(w *world) (mirror.Document, error) { return w.Mod(t.Context(), v1) },
	} {
		t.Run(first, func(t *testing.T) {
			w := newWorld(t, nil)
			w.up.Add(t, lib, "v1.0.0", nil)
			if d, err := ask(w); err != nil || d.From != mirror.Upstream {
				t.Fatalf("from %s, %v", d.From, err)
			}
			await(t, "the whole version", func() bool { return w.has(t, lib, "v1.0.0") && w.Pending() == 0 })
			want := []string{"/corp.example.com/lib/@v/v1.0.0.info", "/corp.example.com/lib/@v/v1.0.0.mod", "/corp.example.com/lib/@v/v1.0.0.zip"}
			if got := slices.Sorted(slices.Values(w.up.Requests())); !slices.Equal(got, want) {
				t.Errorf("asked for %q", got)
			}
			info, err := w.Info(t.Context(), lib, "v1.0.0")
			if err != nil || info.From != mirror.Memory || !strings.Contains(string(info.Data), "v1.0.0") || info.Until.After(w.time().Add(time.Minute)) {
				t.Errorf("%s from %s until %s, %v", info.Data, info.From, info.Until, err)
			}
			mod, err := w.Mod(t.Context(), v1)
			if err != nil || mod.From != mirror.Memory || !strings.HasPrefix(string(mod.Data), "module ") {
				t.Errorf("%s from %s, %v", mod.Data, mod.From, err)
			}
			if n := w.Pending(); n != 0 {
				t.Errorf("%d versions wait that are stored", n)
			}
			w.pass(time.Minute)
			if d, err := w.Mod(t.Context(), v1); err != nil || d.From != mirror.Stored {
				t.Errorf("a minute later from %s, %v", d.From, err)
			}
		})
	}
}

// TestFetchedIsNotQueued asks for go.mod while the version is being fetched.
func TestFetchedIsNotQueued(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			asked <- struct{}{}
			<-hold
		}
		return false
	})
	if _, err := w.Info(t.Context(), lib, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	<-asked
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	if n := w.Pending(); n != 1 {
		t.Errorf("%d versions wait, want 1", n)
	}
	close(hold)
	await(t, "the version", func() bool { return w.Pending() == 0 && w.has(t, lib, "v1.0.0") })
}

// TestEarlyDocumentFails: that a document cannot come early is nothing to who asks
// for another one, nor later to who asks for this one.
func TestEarlyDocumentFails(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Hook(func(rw http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, ".info") && down(rw, r)
	})
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	await(t, "the failure", func() bool { return len(w.heard(mirror.Fetched)) == 1 })
	_, err := w.Info(t.Context(), lib, "v1.0.0")
	wantCode(t, err, fault.Unavailable)
	w.up.Hook(nil)
	if d, err := w.Info(t.Context(), lib, "v1.0.0"); err != nil || d.From != mirror.Upstream {
		t.Errorf("from %s, %v", d.From, err)
	}
}

// TestEarlyDocumentIsShared: who asks for a document that is on its way gets that.
func TestEarlyDocumentIsShared(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".info") {
			asked <- struct{}{}
			<-hold
		}
		return false
	})
	if _, err := w.Mod(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	<-asked
	time.AfterFunc(20*time.Millisecond, func() { close(hold) })
	if d, err := w.Info(t.Context(), lib, "v1.0.0"); err != nil || !strings.Contains(string(d.Data), "v1.0.0") {
		t.Errorf("%s, %v", d.Data, err)
	}
	if len(asked) != 0 {
		t.Error("asked for twice")
	}
}

// TestEarlyDocumentsAreBounded holds all documents that come early: no more are
// asked for, and what clients ask for is answered.
func TestEarlyDocumentsAreBounded(t *testing.T) {
	w := newWorld(t, func(o *mirror.Options) { o.Queue = -1 })
	hold := make(chan struct{})
	var asked atomic.Int64
	w.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".info") {
			asked.Add(1)
			<-hold
		}
		return false
	})
	for i := range 40 {
		v := module.Version{Path: lib, Version: fmt.Sprintf("v1.0.%d", i)}
		w.up.Add(t, lib, v.Version, nil)
		if _, err := w.Mod(t.Context(), v); err != nil {
			t.Error(err)
		}
	}
	await(t, "the documents", func() bool { return asked.Load() == 32 })
	time.Sleep(20 * time.Millisecond)
	if n := asked.Load(); n != 32 {
		t.Errorf("%d documents are on their way", n)
	}
	close(hold)
}

// TestEarlyDocumentsAreVerified: a go.mod that comes early is one that the checksum
// database vouches for.
func TestEarlyDocumentsAreVerified(t *testing.T) {
	db := &sums{err: &fault.Error{Code: fault.Invalid, Op: "check", Err: errors.New("no")}}
	w := newWorld(t, func(o *mirror.Options) { o.DB = db })
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.Info(t.Context(), lib, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	await(t, "the check", func() bool { return db.asked.Load() > 0 })
	_, err := w.Mod(t.Context(), v1)
	wantCode(t, err, fault.Invalid)
}
