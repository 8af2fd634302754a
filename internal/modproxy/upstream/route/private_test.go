package route

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestPrivate watches every request that leaves, by the proxy client and by the go
// command and git, and expects no trace of a private module but at its own host.
func TestPrivate(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	repo := n.Repository("lib")
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod("corp.example.com/team/lib"), "lib.go": "package lib\n", "tool/go.mod": upstreamtest.GoMod("corp.example.com/team/lib/tool")}, "v1.0.0", "tool/v0.1.0")
	n.Vanity("corp.example.com/team/lib", "corp.example.com/team/lib", "https://git.example.com/lib.git")
	n.Vanity("corp.example.com/team/lib/tool", "corp.example.com/team/lib", "https://git.example.com/lib.git")
	p := upstreamtest.Published{}
	public := module.Version{Path: "other.example.com/lib", Version: "v1.0.0"}
	p.Add(t, public)
	near := module.Version{Path: "corp.example.community/lib", Version: "v1.0.0"}
	p.Add(t, near)
	// The public proxies would have the private module, too, if they were asked.
	p.Add(t, module.Version{Path: "corp.example.com/team/lib", Version: "v1.0.0"})
	p.Add(t, module.Version{Path: "corp.example.com/team/absent", Version: "v1.0.0"})
	first, second := upstreamtest.ServeProxy(t, p, nil), upstreamtest.ServeProxy(t, p, nil)
	var mu sync.Mutex
	var observed []upstream.Request
	s := newSource(t, Options{Upstreams: first.URL + "|" + second.URL + "|direct", Private: "corp.example.com/*,*.internal.example.com", Dir: t.TempDir(), Environ: n.Environ(),
		Observer: func(r upstream.Request) {
			mu.Lock()
			defer mu.Unlock()
			observed = append(observed, r)
		}})
	everything := func(m module.Version) (errs int) {
		dir := t.TempDir()
		_, err1 := s.Versions(ctx, m.Path)
		_, err2 := s.Latest(ctx, m.Path)
		_, err3 := s.Info(ctx, m.Path, "main")
		_, err4 := s.Info(ctx, m.Path, m.Version)
		_, err5 := s.Mod(ctx, m)
		_, err6 := s.Fetch(ctx, m, dir, upstream.Known{})
		for _, err := range []error{err1, err2, err3, err4, err5, err6} {
			if err != nil {
				errs++
			}
		}
		return errs
	}
	for _, m := range []module.Version{
		{Path: "corp.example.com/team/lib", Version: "v1.0.0"}, {Path: "corp.example.com/team/lib/tool", Version: "v0.1.0"},
		{Path: "corp.example.com/team/absent", Version: "v1.0.0"}, {Path: "corp.example.com/TEAM/Lib", Version: "v1.0.0"}, {Path: "git.internal.example.com/x", Version: "v1.0.0"},
	} {
		errs := everything(m)
		if found := strings.HasPrefix(m.Path, "corp.example.com/team/lib"); found != (errs == 0) {
			t.Errorf("%s: %d errors", m, errs)
		}
	}
	for _, server := range []*upstreamtest.ProxyServer{first, second} {
		if paths := server.Paths(); len(paths) > 0 {
			t.Errorf("a public proxy was asked for %v", paths)
		}
	}
	for _, r := range observed {
		if r.Host != "direct" {
			t.Errorf("%+v", r)
		}
	}
	if hosts, want := n.Asked(), []string{"corp.example.com", "git.example.com", "git.internal.example.com"}; !slices.Equal(hosts, want) {
		t.Errorf("the go command and git asked %v, want %v", hosts, want)
	}
	// The watch sees: public modules go to the public proxy.
	for _, m := range []module.Version{public, near} {
		if errs := everything(m); errs > 1 { // there is no main
			t.Errorf("%s: %d errors", m, errs)
		}
	}
	if len(first.Paths()) == 0 {
		t.Error("no public module was asked for at the public proxy")
	}
}

// TestPrivateUpstreams sends private modules to a module proxy of their own.
func TestPrivateUpstreams(t *testing.T) {
	p := upstreamtest.PublishLib(t)
	public, private := upstreamtest.ServeProxy(t, p, nil), upstreamtest.ServeProxy(t, p, nil)
	s := newSource(t, Options{Upstreams: public.URL, Private: "corp.example.com", PrivateUpstreams: private.URL + ",off"})
	if d, err := s.Fetch(ctx, upstreamtest.Lib, t.TempDir(), upstream.Known{}); err != nil || d.Origin != private.URL {
		t.Errorf("%+v, %v", d, err)
	}
	_, err := s.Versions(ctx, "corp.example.com/absent")
	upstreamtest.CheckCode(t, err, fault.NotFound)
	if len(public.Paths()) > 0 || len(private.Paths()) == 0 {
		t.Errorf("public %v, private %v", public.Paths(), private.Paths())
	}
}
