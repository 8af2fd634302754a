//go:build e2e

package modproxy

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// private are the patterns of the company's modules.
const private = corpHost + ",*.corp.example.com"

// company fills a forge: web/lib, over https, needs shell/base, over ssh, and a
// public module; web/lib has a second major version, and a module below its root.
func company(t *testing.T, f *forge) (lib *repository) {
	t.Helper()
	base := f.repository(t, "shell/base")
	base.commit(map[string]string{
		"go.mod":  "module corp.example.com/shell/base\n\ngo 1.21\n",
		"base.go": "package base\n\nconst Name = \"base\"\n",
	}, "v1.0.0")
	lib = f.repository(t, "web/lib")
	lib.commit(map[string]string{
		"go.mod":      "module corp.example.com/web/lib\n\ngo 1.21\n\nrequire (\n\tcorp.example.com/shell/base v1.0.0\n\tgithub.com/google/uuid v1.6.0\n)\n",
		"lib.go":      "package lib\n\nimport (\n\t\"corp.example.com/shell/base\"\n\t\"github.com/google/uuid\"\n)\n\nvar Name = base.Name + uuid.Nil.String()\n",
		"sub/go.mod":  "module corp.example.com/web/lib/sub\n\ngo 1.21\n",
		"sub/sub.go":  "package sub\n",
		"LICENSE":     "no licence\n",
		"cmd/lib.txt": "no module\n",
	}, "v1.0.0", "sub/v0.1.0")
	lib.commit(map[string]string{
		"go.mod": "// Deprecated: use v2.\nmodule corp.example.com/web/lib\n\ngo 1.21\n\nrequire (\n\tcorp.example.com/shell/base v1.0.0\n\tgithub.com/google/uuid v1.6.0\n)\n\nretract v1.0.0 // It had a bug.\n",
	}, "v1.1.0")
	lib.git("checkout", "-q", "-b", "next")
	lib.commit(map[string]string{
		"go.mod": "module corp.example.com/web/lib/v2\n\ngo 1.21\n", "lib.go": "package lib\n",
	}, "v2.0.0")
	lib.commit(map[string]string{"more.go": "package lib\n"})
	return lib
}

// needsPrivate is a main module that needs private and public modules.
const needsPrivate = `module app.example.com/app

go 1.21

require (
	corp.example.com/web/lib v1.1.0
	corp.example.com/web/lib/sub v0.1.0
	corp.example.com/web/lib/v2 v2.0.0
)
`

// TestPrivate gets private modules from git over https and ssh with the
// credentials in each of the places where they may be, and watches who hears of
// them. Then it does the same without anybody.
func TestPrivate(t *testing.T) {
	f := newForge(t)
	lib := company(t, f)
	w := newWorld(t, true, map[string]http.Handler{corpHost: f})
	for name, env := range secretWays(t) {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t, lab.dir)
			args := append(servesPublic(dir), "--private", private)
			env := append(env, "GIT_SSH_COMMAND="+f.sshCommand)
			p := serve(t, w, env, args...)
			privateUsers(t, p, lib)
			requireScrubbed(t, w, p)
			if t.Failed() {
				t.Logf("the proxy: %s", p.said)
			}
			p.stop(t)
			out := command(t, w, "verify", "--store", dir, "--upstream", lab.upstream, "--sumdb", lab.sumdb, "--private", private)
			if out.code != 0 {
				t.Errorf("verify: %s", out)
			}
			w.requireSecret(t, corpHost, corpHost)
			p = serve(t, w, nil, "--store", dir, "--offline", "--private", private, "--sumdb", lab.sumdb)
			privateUsers(t, p, lib)
			if said := w.requests(); len(said) != 0 {
				t.Errorf("an offline proxy asked for %v", said)
			}
		})
	}
}

// privateUsers does what users of private modules do.
func privateUsers(t *testing.T, p *proxy, lib *repository) {
	t.Helper()
	g := newGoCommand(t, "local", "GOPROXY="+p.url, "GONOSUMDB="+private)
	m := g.in(needsPrivate)
	got := map[string]bool{}
	for _, d := range downloaded(t, m) {
		got[d.Path+"@"+d.Version] = true
	}
	for _, want := range []string{
		"corp.example.com/web/lib@v1.1.0", "corp.example.com/web/lib/sub@v0.1.0", "corp.example.com/web/lib/v2@v2.0.0",
		"corp.example.com/shell/base@v1.0.0", "github.com/google/uuid@v1.6.0",
	} {
		if !got[want] {
			t.Errorf("%s was not downloaded: %v", want, got)
		}
	}
	if said := m.must("mod", "verify"); said != "all modules verified" {
		t.Errorf("go mod verify: %s", said)
	}
	// GOPRIVATE means that nobody is asked but version control, unless it is said otherwise.
	g.with("GONOSUMDB=", "GOPRIVATE="+private, "GONOPROXY=none").in(needsPrivate).must("mod", "download", "corp.example.com/web/lib@v1.1.0")
	said := newGoCommand(t, "local", "GOPROXY="+p.url).in(needsPrivate).fails("mod", "download", "corp.example.com/web/lib@v1.1.0")
	requireWords(t, said, "corp.example.com/web/lib@v1.1.0", "GONOSUMDB")
	m.must("get", "corp.example.com/web/lib@v1.0.0")
	text := m.must("list", "-m", "-u", "-retracted", "-json", "corp.example.com/web/lib")
	requireWords(t, text, "It had a bug.", "use v2.", `"v1.1.0"`)
	if got := m.must("list", "-m", "-versions", "-retracted", "corp.example.com/web/lib"); got != "corp.example.com/web/lib v1.0.0 v1.1.0" {
		t.Errorf("versions: %s", got)
	}
	pseudo := strings.TrimSpace(lib.git("log", "-1", "--format=v2.0.1-0.%cd-%H", "--date=format-local:%Y%m%d%H%M%S", "next"))
	pseudo = pseudo[:strings.LastIndex(pseudo, "-")+13]
	m.must("get", "corp.example.com/web/lib/v2@"+pseudo)
	requireWords(t, m.fails("list", "-m", "corp.example.com/web/lib@v1.9.9"), "v1.9.9")
	requireWords(t, m.fails("list", "-m", "corp.example.com/web/none@latest"), "corp.example.com/web/none")
}

// requireScrubbed demands that the password of the forge went to the forge alone,
// and is in nothing that the proxy says.
func requireScrubbed(t *testing.T, w *world, p *proxy) {
	t.Helper()
	heard := false
	for _, o := range w.requests() {
		switch {
		case o.url.Host == corpHost:
			heard = heard || o.authorization != ""
		case o.authorization != "":
			t.Errorf("credentials for somebody else: %s", o)
		case strings.Contains(o.String(), "corp.example.com"):
			t.Errorf("a private module was told to somebody else: %s", o)
		}
	}
	if !heard {
		t.Error("the git server was asked nothing with credentials")
	}
	if strings.Contains(p.said.String(), corpPassword) {
		t.Errorf("the password is in the log: %s", p.said)
	}
	if _, body, err := p.get("/metrics"); err != nil || strings.Contains(body, corpPassword) {
		t.Errorf("the password is in the metrics, or: %v", err)
	}
}

// TestPrivateQueries asks for branches and commits of private modules.
func TestPrivateQueries(t *testing.T) {
	f := newForge(t)
	lib := company(t, f)
	w := newWorld(t, false, map[string]http.Handler{corpHost: f})
	env := append(secretWays(t)["environment"], "GIT_SSH_COMMAND="+f.sshCommand)
	p := serve(t, w, env, "--store", tempDir(t, lab.dir), "--upstream", "off", "--sumdb", "off", "--private", private)
	g := newGoCommand(t, "local", "GOPROXY="+p.url, "GONOSUMDB="+private).in("module app.example.com/app\n\ngo 1.21\n")
	commit := lib.git("rev-parse", "next")
	for _, query := range []string{"next", commit, commit[:10]} {
		got := g.must("list", "-m", "corp.example.com/web/lib/v2@"+query)
		if !strings.HasPrefix(got, "corp.example.com/web/lib/v2 v2.0.1-0.") || !strings.HasSuffix(got, "-"+commit[:12]) {
			t.Errorf("%s is %s", query, got)
		}
	}
	for query, want := range map[string]string{"latest": "v1.1.0", "v1": "v1.1.0", "<v1.1.0": "v1.0.0 (retracted)", "v1.0": "v1.0.0 (retracted)", "upgrade": "v1.1.0"} {
		args := []string{"list", "-m", "-retracted", "corp.example.com/web/lib@" + query}
		if got := g.must(args...); got != "corp.example.com/web/lib "+want {
			t.Errorf("%s is %s, want %s", query, got, want)
		}
	}
	requireWords(t, g.fails("list", "-m", "corp.example.com/web/lib@no-such-branch"), "no-such-branch")
}

// TestPrivateDenied asks for private modules with wrong credentials and without:
// the go command's user reads why, and no secret.
func TestPrivateDenied(t *testing.T) {
	f := newForge(t)
	company(t, f)
	w := newWorld(t, false, map[string]http.Handler{corpHost: f})
	for name, env := range map[string][]string{
		"nothing":        nil,
		"wrong password": {"GOPHERWOOD_GIT_USER_CORP_EXAMPLE_COM=" + corpUser, "GOPHERWOOD_GIT_TOKEN_CORP_EXAMPLE_COM=wrong-secret-4711"},
		"another host's": {"GOPHERWOOD_GIT_TOKEN_OTHER_EXAMPLE_COM=" + corpPassword},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t, lab.dir)
			p := serve(t, w, env, "--store", dir, "--upstream", "off", "--sumdb", "off", "--private", private)
			g := newGoCommand(t, "local", "GOPROXY="+p.url, "GONOSUMDB="+private).in(needsPrivate)
			said := g.fails("mod", "download", "corp.example.com/web/lib@v1.1.0")
			requireWords(t, said, "corp.example.com/web/lib")
			for _, secret := range []string{corpPassword, "wrong-secret-4711"} {
				if strings.Contains(said+p.said.String(), secret) {
					t.Errorf("a password is in: %s", said)
				}
			}
			t.Logf("the user reads: %s", said)
			for _, o := range w.requests() {
				if o.authorization != "" && name != "wrong password" {
					t.Errorf("credentials of another host: %s", o)
				}
			}
			requireEmpty(t, dir)
		})
	}
}

// requireEmpty demands that a store has no version and no leftovers.
func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*", "*", "_oci"))
	if err != nil || len(found) > 0 {
		t.Errorf("the store has %v, %v", found, err)
	}
}

// TestPrivateNeverTold asks a proxy for private modules that do not exist, in each
// way that a go command can: nobody but the company's server hears of them.
func TestPrivateNeverTold(t *testing.T) {
	none := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	w := newWorld(t, false, map[string]http.Handler{corpHost: none, "git.corp.example.com": none})
	args := append(servesPublic(tempDir(t, lab.dir)), "--private", private)
	p := serve(t, w, nil, args...)
	for _, module := range []string{"corp.example.com/hidden", "git.corp.example.com/hidden/x", "corp.example.com/a/hidden.git"} {
		for _, ask := range []string{"@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip", "@v/hidden.info"} {
			status, body, err := p.get("/" + module + "/" + ask)
			if err != nil || status == http.StatusOK {
				t.Errorf("%s/%s: status %d, %v: %s", module, ask, status, err, body)
			}
		}
		name, _, _ := strings.Cut(lab.sumdb, "+")
		status, body, err := p.get("/sumdb/" + name + "/lookup/" + module + "@v1.0.0")
		if err != nil || status != http.StatusForbidden && status != http.StatusNotFound && status != http.StatusGone {
			t.Errorf("the checksum database of %s: status %d, %v", module, status, err)
		}
		requireWords(t, body, "GONOSUMDB")
	}
	said := w.requests()
	for _, o := range said {
		if !strings.HasSuffix(o.url.Hostname(), corpHost) {
			t.Errorf("told to somebody else: %s", o)
		}
	}
	if len(said) == 0 {
		t.Error("the company's server was not asked: the test sees nothing")
	}
	t.Logf("%d requests, all to the company's server", len(said))
}
