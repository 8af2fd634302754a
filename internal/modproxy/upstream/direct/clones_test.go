package direct

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
)

// kept are the repositories of which there are clones, sorted: the last elements
// of their URLs, and "?" for what has no name beside it.
func kept(t *testing.T, s *Source) []string {
	t.Helper()
	entries, err := os.ReadDir(s.clones.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		name := "?"
		if data, err := os.ReadFile(filepath.Join(s.clones.dir, id+".info")); err == nil {
			name = filepath.Base(strings.TrimSpace(string(data)))
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// clone is the directory of a repository's clone.
func clone(t *testing.T, s *Source, name string) string {
	t.Helper()
	infos, err := filepath.Glob(filepath.Join(s.clones.dir, "*.info"))
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		data, err := os.ReadFile(info)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(strings.TrimSpace(string(data))) == name {
			return strings.TrimSuffix(info, ".info")
		}
	}
	t.Fatalf("there is no clone of %s", name)
	return ""
}

// age lets clones be unused for days.
func age(t *testing.T, s *Source, days int, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Chtimes(clone(t, s, name), time.Time{}, time.Now().AddDate(0, 0, -days)); err != nil {
			t.Fatal(err)
		}
	}
}

// lastUse is when the clone of a repository was used last.
func lastUse(t *testing.T, s *Source, name string) time.Time {
	t.Helper()
	info, err := os.Stat(clone(t, s, name))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// TestClones discards the clones that nobody used for 30 days, when there is
// something to fetch, and no others.
func TestClones(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	var settings []string
	version := func(name string) module.Version {
		return module.Version{Path: "corp.example.com/" + name + ".git", Version: "v1.0.0"}
	}
	for _, name := range []string{"asked", "fetched", "unused", "other"} {
		repo := n.Repository(name)
		repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(version(name).Path), "lib.go": "package lib\n"}, "v1.0.0")
		settings = append(settings, "[url \"file://"+filepath.ToSlash(repo.Bare)+"\"]\n\tinsteadOf = https://corp.example.com/"+name+"\n")
	}
	config := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte(strings.Join(settings, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := Options{Dir: t.TempDir(), Environ: n.Environ("GIT_CONFIG_GLOBAL=" + config)}
	s := newSource(t, opt)
	fetch := func(name string) {
		t.Helper()
		d, err := s.Fetch(ctx, version(name), t.TempDir(), upstream.Known{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	want := func(when string, names ...string) {
		t.Helper()
		if got := kept(t, s); !slices.Equal(got, names) {
			t.Errorf("%s: there are clones of %v, want %v", when, got, names)
		}
	}
	all := []string{"asked", "fetched", "other", "unused"}
	for _, name := range all {
		fetch(name)
	}
	age(t, s, 29, all...)
	fetch("fetched")
	want("after 29 days", all...)

	// What is used then is not old any more.
	s = newSource(t, opt) // or else it would note one use an hour
	fetch("fetched")
	if _, err := s.Info(ctx, version("asked").Path, "main"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fetched", "asked"} {
		if last := lastUse(t, s, name); time.Since(last) > time.Hour {
			t.Errorf("%s was used now, but last on %v", name, last)
		}
	}
	age(t, s, 31, "unused", "other")
	busy, err := os.OpenFile(s.clones.lock, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := filelock.TryShare(busy); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	fetch("fetched")
	want("while another process uses clones", all...)
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	fetch("fetched")
	want("after 31 days", "asked", "fetched")
	upstreamtest.CheckEmpty(t, s.work)
	fetch("unused")
	want("used again", "asked", "fetched", "unused")
}
