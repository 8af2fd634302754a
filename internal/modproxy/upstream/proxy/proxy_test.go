package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestProxy(t *testing.T) {
	p := upstreamtest.Published{}
	versions := []module.Version{
		{Path: "corp.example.com/BurntSushi/lib", Version: "v1.2.3"},
		{Path: "corp.example.com/BurntSushi/lib", Version: "v1.10.0-RC.1"},
		{Path: "corp.example.com/old", Version: "v3.0.0+incompatible"},
		{Path: "corp.example.com/lib/v2", Version: "v2.0.1"},
		{Path: "gopkg.in/x.v2", Version: "v2.1.0"},
		{Path: "corp.example.com/lib", Version: "v0.0.0-20240102030405-abcdefabcdef"},
		{Path: "golang.org/toolchain", Version: "v0.0.1-go1.26.0.linux-amd64"},
	}
	for _, m := range versions {
		p.Add(t, m)
	}
	server := upstreamtest.ServeProxy(t, p, nil)
	dir := t.TempDir()
	for path, content := range p {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, address := range map[string]string{"http": server.URL + "/", "file": "file://" + filepath.ToSlash(dir)} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []upstream.Request
			s := newSource(t, address, Options{Observer: func(r upstream.Request) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, r)
			}})
			for _, m := range versions {
				checkFetch(t, s, m, p)
			}
			got, err := s.Versions(ctx, versions[0].Path)
			if want := []string{"v1.2.3", "v1.10.0-RC.1"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("versions %v, %v; want %v", got, err, want)
			}
			_, err = s.Versions(ctx, "corp.example.com/absent")
			upstreamtest.CheckCode(t, err, fault.NotFound, "corp.example.com/absent")
			checkObserved(t, seen, p)
		})
	}
}

// checkFetch gets a version in all ways.
func checkFetch(t *testing.T, s upstream.Source, m module.Version, p upstreamtest.Published) {
	t.Helper()
	path, _ := module.EscapePath(m.Path)
	version, _ := module.EscapeVersion(m.Version)
	want := func(suffix string) string { return p["/"+path+"/@v/"+version+suffix] }
	dir := t.TempDir()
	d, err := s.Fetch(ctx, m, dir, upstream.Known{})
	if err != nil {
		t.Errorf("%s: %v", m, err)
		return
	}
	info, err := s.Info(ctx, m.Path, m.Version)
	if err != nil || string(info) != want(".info") || string(d.Info) != want(".info") {
		t.Errorf("%s: info %q and %q, %v", m, info, d.Info, err)
	}
	mod, err := s.Mod(ctx, m)
	if err != nil || string(mod) != want(".mod") || string(d.Mod) != want(".mod") {
		t.Errorf("%s: mod %q and %q, %v", m, mod, d.Mod, err)
	}
	sum, err := dirhash.HashZip(d.Path, dirhash.Hash1)
	if err != nil || d.Sum != sum {
		t.Errorf("%s: sum %s, %v; want %s", m, d.Sum, err, sum)
	}
	data, err := os.ReadFile(d.Path)
	if err != nil || string(data) != want(".zip") || d.ZipSize != int64(len(data)) || filepath.Dir(d.Path) != dir {
		t.Errorf("%s: a zip of %d bytes at %s, %v", m, d.ZipSize, d.Path, err)
	}
	if d.GoModSum != upstreamtest.GoModSum(t, want(".mod")) || d.Version.Version != m || d.Origin == "" || strings.HasSuffix(d.Origin, "@") {
		t.Errorf("%s: %+v", m, d.Version)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	upstreamtest.CheckEmpty(t, dir)
}

// checkObserved expects that every request was told of, with its size.
func checkObserved(t *testing.T, seen []upstream.Request, p upstreamtest.Published) {
	t.Helper()
	kinds := map[string]int64{}
	var absent int
	for _, r := range seen {
		if r.Host == "" || r.Duration <= 0 || r.Module == "" {
			t.Errorf("%+v", r)
		}
		if r.Err != nil {
			absent++
			continue
		}
		kinds[r.Kind] += r.Bytes
	}
	var zips int64
	for path, content := range p {
		if strings.HasSuffix(path, ".zip") {
			zips += int64(len(content))
		}
	}
	if kinds["zip"] != zips || kinds["info"] == 0 || kinds["mod"] == 0 || kinds["list"] == 0 || absent != 1 {
		t.Errorf("%v and %d errors; want %d bytes of zips", kinds, absent, zips)
	}
}

// TestKnownDocuments fetches a version of which documents are there: they are not
// asked for again.
func TestKnownDocuments(t *testing.T) {
	p := upstreamtest.PublishLib(t)
	server := upstreamtest.ServeProxy(t, p, nil)
	info, mod := []byte(p["/corp.example.com/lib/@v/v1.0.0.info"]), []byte(p["/corp.example.com/lib/@v/v1.0.0.mod"])
	for _, known := range []upstream.Known{{Info: info}, {Mod: mod}, {Info: info, Mod: mod, Background: true}} {
		server.Forget()
		d, err := newSource(t, server.URL, Options{}).Fetch(ctx, upstreamtest.Lib, t.TempDir(), known)
		if err != nil || string(d.Info) != string(info) || string(d.Mod) != string(mod) || d.GoModSum != upstreamtest.GoModSum(t, string(mod)) || d.Sum == "" {
			t.Errorf("%+v, %v", d, err)
		}
		asked := strings.Join(server.Paths(), " ")
		if strings.Contains(asked, ".info") == (known.Info != nil) || strings.Contains(asked, ".mod") == (known.Mod != nil) || !strings.Contains(asked, ".zip") {
			t.Errorf("asked for %s", asked)
		}
	}
}

func TestList(t *testing.T) {
	for list, want := range map[string]string{
		"":                   "",
		"v1.0.0\nv0.9.0\n\n": "v0.9.0 v1.0.0",
		"v1.0.0 2024-01-02T03:04:05Z\r\nv1.0.1 soon":              "v1.0.0 v1.0.1",
		"v1.0.0\nv1.0.0\nv1.0.0-rc.1":                             "v1.0.0-rc.1 v1.0.0",
		"1.0.0\nv1\nv1.0\nmain\nv1.0.0+meta\nv2.0.0+incompatible": "v2.0.0+incompatible",
		"v0.0.0-20240102030405-abcdefabcdef\nv1.0.0":              "v1.0.0",
	} {
		server := upstreamtest.ServeProxy(t, upstreamtest.Published{"/corp.example.com/lib/@v/list": list}, nil)
		got, err := newSource(t, server.URL, Options{}).Versions(ctx, "corp.example.com/lib")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v; want %s", list, got, err, want)
		}
	}
}

func TestLatest(t *testing.T) {
	const old, recent = "v0.0.0-20200102030405-abcdefabcdef", "v0.0.0-20240102030405-aaaaaaaaaaaa"
	for name, c := range map[string]struct {
		latest, list, want string
		code               fault.Code
	}{
		"the proxy's own":      {latest: upstreamtest.InfoOf("v1.5.0"), list: "v1.6.0", want: "v1.5.0"},
		"a release":            {list: "v1.0.0\nv1.2.0\nv1.3.0-rc.1\n" + recent, want: "v1.2.0"},
		"a prerelease":         {list: "v1.3.0-rc.1\nv1.3.0-rc.2\n" + recent, want: "v1.3.0-rc.2"},
		"a pseudo-version":     {list: recent + "\n" + old, want: recent},
		"by the proxy's times": {list: recent + " 2020-01-01T00:00:00Z\n" + old + " 2021-01-01T00:00:00Z", want: old},
		"none":                 {list: "\n", code: fault.NotFound},
		"no list":              {code: fault.NotFound},
		"not JSON":             {latest: "v1.0.0", code: fault.Invalid},
		"of another module":    {latest: upstreamtest.InfoOf("v2.0.0"), code: fault.Invalid},
		"of no version":        {latest: upstreamtest.InfoOf("main"), code: fault.Invalid},
	} {
		p := upstreamtest.Published{}
		for _, v := range []string{"v1.2.0", "v1.3.0-rc.2", old, recent} {
			p.Add(t, module.Version{Path: "corp.example.com/lib", Version: v})
		}
		delete(p, "/corp.example.com/lib/@v/list")
		if c.list != "" {
			p["/corp.example.com/lib/@v/list"] = c.list
		}
		if c.latest != "" {
			p["/corp.example.com/lib/@latest"] = c.latest
		}
		got, err := newSource(t, upstreamtest.ServeProxy(t, p, nil).URL, Options{}).Latest(ctx, "corp.example.com/lib")
		upstreamtest.CheckCode(t, err, c.code)
		if err == nil && upstreamtest.VersionIn(t, got) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestInfo(t *testing.T) {
	p := upstreamtest.Published{
		"/corp.example.com/lib/@v/main.info":        upstreamtest.InfoOf("v1.0.1-0.20240102030405-abcdefabcdef"),
		"/corp.example.com/lib/@v/v1.0.0.info":      upstreamtest.InfoOf("v1.0.1"),
		"/corp.example.com/lib/@v/v1.1.0.info":      `{"Version":"v1.1.0","Time":"yesterday"}`,
		"/corp.example.com/lib/@v/!feature#1%.info": upstreamtest.InfoOf("v1.2.0"),
		"/corp.example.com/lib/@v/other.info":       upstreamtest.InfoOf("v7.0.0"),
		"/corp.example.com/lib/@v/v1.info":          upstreamtest.InfoOf("v1.2.0"),
	}
	s := newSource(t, upstreamtest.ServeProxy(t, p, nil).URL, Options{})
	for query, want := range map[string]string{"main": "v1.0.1-0.20240102030405-abcdefabcdef", "Feature#1%": "v1.2.0", "v1": "v1.2.0"} {
		data, err := s.Info(ctx, "corp.example.com/lib", query)
		if err != nil || upstreamtest.VersionIn(t, data) != want {
			t.Errorf("%s: %s, %v", query, data, err)
		}
	}
	_, err := s.Info(ctx, "corp.example.com/lib", "v1.0.0")
	upstreamtest.CheckCode(t, err, fault.Invalid, `"v1.0.1" instead of v1.0.0`, "v1.0.0.info")
	_, err = s.Info(ctx, "corp.example.com/lib", "v1.1.0")
	upstreamtest.CheckCode(t, err, fault.Invalid, "not an .info document")
	_, err = s.Info(ctx, "corp.example.com/lib", "other")
	upstreamtest.CheckCode(t, err, fault.Invalid, "cannot have")
}

// FuzzDocuments reads what an upstream may send.
func FuzzDocuments(f *testing.F) {
	f.Add("v1.0.0 2024-01-01T00:00:00Z\n", `{"Version":"v1.0.0"}`)
	f.Add("v0.0.0-20240102030405-abcdefabcdef", `{"Version":"main","Time":1}`)
	f.Fuzz(func(t *testing.T, list, info string) {
		lines := parseList(list)
		for _, v := range upstream.Released(versions(lines)) {
			if module.CanonicalVersion(v) != v || module.IsPseudoVersion(v) {
				t.Errorf("%q is listed", v)
			}
		}
		if v := newest(lines); v == "" && len(upstream.Released(versions(lines))) > 0 {
			t.Error("none of the versions is the newest")
		}
		if err := upstream.CheckInfo([]byte(info), "corp.example.com/lib", "v1.0.0"); err == nil && upstreamtest.VersionIn(t, []byte(info)) != "v1.0.0" {
			t.Errorf("%q is taken for v1.0.0", info)
		}
	})
}
