package mirror_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestListAges walks a list through its ages: fresh, stale and renewed, too old.
func TestListAges(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	list := func(want string, from mirror.Level) {
		t.Helper()
		d, err := w.List(t.Context(), lib)
		if err != nil || strings.Join(strings.Fields(string(d.Data)), " ") != want || d.From != from {
			t.Fatalf("%q from %s, %v; want %q from %s", d.Data, d.From, err, want, from)
		}
	}
	list("v1.0.0", mirror.Upstream)
	w.up.Add(t, lib, "v1.1.0", nil)
	list("v1.0.0", mirror.Memory)
	w.pass(mirror.DefaultListAge - time.Second)
	list("v1.0.0", mirror.Memory)
	if n := len(w.up.Requests()); n != 1 {
		t.Errorf("%d requests for a fresh list", n)
	}
	w.pass(2 * time.Second)
	list("v1.0.0", mirror.Stale)
	await(t, "the list to be renewed", func() bool {
		d, err := w.List(t.Context(), lib)
		return err == nil && d.From == mirror.Memory
	})
	list("v1.0.0 v1.1.0", mirror.Memory)

	w.up.Hook(down)
	w.pass(mirror.DefaultListAge + time.Second)
	list("v1.0.0 v1.1.0", mirror.Stale)
	await(t, "a failure", func() bool { return len(w.heard(mirror.Renewed)) > 0 })
	before := len(w.heard(mirror.Renewed))
	for range 20 {
		list("v1.0.0 v1.1.0", mirror.Stale)
	}
	time.Sleep(20 * time.Millisecond)
	if n := len(w.heard(mirror.Renewed)); n != before {
		t.Errorf("an upstream that is out of order was asked %d times more at once", n-before)
	}
	w.pass(mirror.DefaultStaleAge)
	_, err := w.List(t.Context(), lib)
	wantCode(t, err, fault.Unavailable)

	// What is in the store is better than nothing.
	w.up.Hook(nil)
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	w.up.Hook(down)
	list("v1.0.0", mirror.Stored)
}

// TestListNeverOlder asks for a list that is older than StaleAge while the upstream
// answers: nobody gets it.
func TestListNeverOlder(t *testing.T) {
	w := newWorld(t, func(o *mirror.Options) { o.StaleAge = time.Hour })
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.List(t.Context(), lib); err != nil {
		t.Fatal(err)
	}
	w.up.Add(t, lib, "v1.1.0", nil)
	w.pass(time.Hour)
	if v, err := w.Versions(t.Context(), lib); err != nil || !slices.Equal(v, []string{"v1.0.0", "v1.1.0"}) {
		t.Errorf("%q, %v", v, err)
	}
}

func TestListAsksOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	hold := make(chan struct{})
	w.up.Hook(func(http.ResponseWriter, *http.Request) bool { <-hold; return false })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.List(t.Context(), lib); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	close(hold)
	wg.Wait()
	if r := w.up.Requests(); len(r) != 1 {
		t.Errorf("50 clients were %q upstream", r)
	}
}

// TestNothingThere remembers for a short time that a module does not exist.
func TestNothingThere(t *testing.T) {
	w := newWorld(t, nil)
	for range 3 {
		_, err := w.List(t.Context(), lib)
		wantCode(t, err, fault.NotFound)
	}
	if r := w.up.Requests(); len(r) != 1 {
		t.Errorf("asked %q", r)
	}
	w.up.Add(t, lib, "v1.0.0", nil)
	w.pass(11 * time.Second)
	if v, err := w.Versions(t.Context(), lib); err != nil || len(v) != 1 {
		t.Errorf("%q, %v", v, err)
	}
}

// TestWithdrawn keeps what was withdrawn upstream.
func TestWithdrawn(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Add(t, lib, "v1.1.0", nil)
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	w.up.Remove(lib, "v1.0.0")
	if v, err := w.Versions(t.Context(), lib); err != nil || !slices.Equal(v, []string{"v1.0.0", "v1.1.0"}) {
		t.Errorf("%q, %v", v, err)
	}
	w.up.Remove(lib, "v1.1.0")
	w.pass(mirror.DefaultStaleAge)
	if v, err := w.Versions(t.Context(), lib); err != nil || !slices.Equal(v, []string{"v1.0.0"}) {
		t.Errorf("%q, %v", v, err)
	}
	if d, err := w.Latest(t.Context(), lib); err != nil || !strings.Contains(string(d.Data), `"v1.0.0"`) {
		t.Errorf("%s, %v", d.Data, err)
	}
}

func TestLatest(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	w.up.Add(t, lib, "v1.1.0-rc.1", nil)
	d, err := w.Latest(t.Context(), lib)
	if err != nil || !strings.Contains(string(d.Data), `"v1.0.0"`) || d.From != mirror.Upstream {
		t.Fatalf("%s from %s, %v", d.Data, d.From, err)
	}
	w.up.Add(t, lib, "v1.1.0", nil)
	if d, err = w.Latest(t.Context(), lib); err != nil || !strings.Contains(string(d.Data), `"v1.0.0"`) {
		t.Errorf("%s, %v", d.Data, err)
	}
	w.pass(2 * mirror.DefaultListAge)
	await(t, "the new version", func() bool {
		d, err := w.Latest(t.Context(), lib)
		return err == nil && strings.Contains(string(d.Data), `"v1.1.0"`)
	})
}

// TestLatestDown finds the latest in the store when the upstream is out of order.
func TestLatestDown(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Add(t, lib, "v1.0.0", nil)
	if _, err := w.Get(t.Context(), v1); err != nil {
		t.Fatal(err)
	}
	w.up.Hook(down)
	d, err := w.Latest(t.Context(), lib)
	if err != nil || !strings.Contains(string(d.Data), `"v1.0.0"`) || d.From != mirror.Stored {
		t.Errorf("%s from %s, %v", d.Data, d.From, err)
	}
	_, err = w.Latest(t.Context(), "corp.example.com/other")
	wantCode(t, err, fault.Unavailable)
}

func TestBranch(t *testing.T) {
	w := newWorld(t, nil)
	const before, after = "v0.0.0-20250401120000-0123456789ab", "v0.0.0-20250501120000-ab0123456789"
	w.up.Add(t, lib, before, nil)
	w.up.Add(t, lib, after, nil)
	w.up.Point(lib, "main", before)
	info := func(want string) {
		t.Helper()
		d, err := w.Info(t.Context(), lib, "main")
		if err != nil || !strings.Contains(string(d.Data), want) {
			t.Fatalf("%s, %v; want %s", d.Data, err, want)
		}
	}
	info(before)
	w.up.Point(lib, "main", after)
	info(before)
	w.pass(mirror.DefaultListAge)
	info(after)
	w.up.Hook(down)
	w.pass(mirror.DefaultListAge)
	info(after)
	w.pass(mirror.DefaultStaleAge)
	_, err := w.Info(t.Context(), lib, "main")
	wantCode(t, err, fault.Unavailable)
	if w.has(t, lib, before) {
		t.Error("a branch is asked for, and a version stored")
	}
	w.up.Hook(nil)
	if _, err := w.Get(t.Context(), module.Version{Path: lib, Version: before}); err != nil {
		t.Error(err)
	}
}
