//go:build e2e

package modproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// toolchains are the last releases of each minor version since 1.21, the first
// that can get another by itself; the go command of this machine is one more.
var toolchains = []string{"go1.21.13", "go1.22.12", "go1.23.12", "go1.24.13", "go1.25.8", "go1.26.2"}

// graph is a main module with more than 300 modules in its build list: among them
// pseudo-versions, +incompatible ones, and paths with capitals.
const graph = `module graph.example.com/all

go 1.21

require (
	github.com/charmbracelet/huh v0.3.0
	github.com/go-chi/chi/v5 v5.0.12
	github.com/golangci/golangci-lint v1.56.2
	github.com/gorilla/handlers v1.5.2
	github.com/gorilla/mux v1.8.1
	github.com/gorilla/sessions v1.2.2
	github.com/jmoiron/sqlx v1.3.5
	github.com/julienschmidt/httprouter v1.3.0
	github.com/labstack/echo/v4 v4.11.4
	github.com/rs/zerolog v1.32.0
	github.com/urfave/cli/v2 v2.27.1
	go.uber.org/fx v1.20.1
	k8s.io/kubectl v0.29.2
)
`

// small is a main module with few modules.
const small = `module graph.example.com/small

go 1.21

require (
	github.com/BurntSushi/toml v1.3.2
	github.com/spf13/cobra v1.8.0
	golang.org/x/sync v0.6.0
	golang.org/x/xerrors v0.0.0-20231012003039-104605ab7028
)
`

// TestPublic lets the go commands of all releases do what their users do, first
// through a proxy with an empty store, then through one with the same store that
// may ask nobody, and one that reaches nobody.
func TestPublic(t *testing.T) {
	w := newWorld(t, true, nil)
	dir := tempDir(t, lab.dir)
	p := serve(t, w, nil, servesPublic(dir)...)
	t.Run("releases", func(t *testing.T) {
		for _, toolchain := range toolchains {
			t.Run(toolchain, func(t *testing.T) {
				t.Parallel()
				users(t, newGoCommand(t, toolchain, "GOPROXY="+p.url), toolchain)
			})
		}
	})
	t.Run("graph", func(t *testing.T) { downloadGraph(t, w, p) })
	t.Run("switch", func(t *testing.T) { switchToolchain(t, p) })
	p.stop(t)
	t.Run("verify", func(t *testing.T) {
		out := mustCommand(t, w, "verify", "--store", dir, "--upstream", lab.upstream, "--sumdb", lab.sumdb)
		t.Logf("verify: %s", out.stdout)
	})
	if t.Failed() {
		return
	}
	w.disconnect()
	w.requests()
	t.Run("offline", func(t *testing.T) {
		p := serve(t, w, nil, "--store", dir, "--offline", "--sumdb", lab.sumdb)
		again(t, p)
		if said := w.requests(); len(said) != 0 {
			t.Errorf("an offline proxy asked for %v", said)
		}
	})
	t.Run("upstream down", func(t *testing.T) {
		closed, err := lab.island.freePort()
		if err != nil {
			t.Fatal(err)
		}
		p := serve(t, w, nil, "--store", dir, "--upstream", "http://"+closed, "--sumdb", lab.sumdb)
		again(t, p)
	})
}

// again does without upstreams what has been done with them.
func again(t *testing.T, p *proxy) {
	for _, toolchain := range []string{toolchains[0], toolchains[len(toolchains)-1]} {
		t.Run(toolchain, func(t *testing.T) {
			users(t, newGoCommand(t, toolchain, "GOPROXY="+p.url), toolchain)
		})
	}
	t.Run("graph", func(t *testing.T) {
		g := newGoCommand(t, "local", "GOPROXY="+p.url).in(graph)
		if n := len(downloaded(t, g)); n < 300 {
			t.Errorf("%d modules, want 300 at least", n)
		}
	})
}

// users does what users of a go command do with public modules.
func users(t *testing.T, g *goCommand, toolchain string) {
	began := time.Now()
	defer func() { t.Logf("%s: %.1f s", toolchain, time.Since(began).Seconds()) }()
	if got := g.must("env", "GOVERSION"); got != toolchain {
		t.Fatalf("the go command is %s, want %s", got, toolchain)
	}
	t.Logf("toolchain after %.1f s", time.Since(began).Seconds())
	m := g.in(small)
	if got := downloaded(t, m); len(got) < 7 {
		t.Errorf("go mod download: %v", got)
	}
	if got := m.must("mod", "verify"); got != "all modules verified" {
		t.Errorf("go mod verify: %s", got)
	}
	if got := m.must("list", "-m", "-versions", "golang.org/x/sync"); !strings.Contains(got, " v0.6.0") {
		t.Errorf("go list -m -versions: %s", got)
	}
	m.must("get", "github.com/google/uuid@latest", "github.com/spf13/cobra@v1.7.0")
	if got := m.must("list", "-m", "github.com/spf13/cobra"); got != "github.com/spf13/cobra v1.7.0" {
		t.Errorf("after go get of an older version: %s", got)
	}
	m.must("get", "golang.org/x/example/hello@latest") // it has no version: a pseudo-version
	requireRetracted(t, m)
	g.must("install", "golang.org/x/example/hello@latest")
	out := finishProgram(t, filepath.Join(variable(g.env, "GOPATH"), "bin", "hello"))
	if !strings.Contains(out, "Hello, world!") {
		t.Errorf("the installed program says %q", out)
	}
}

// requireRetracted demands that the go command learns of retractions, of
// deprecation and of newer versions.
func requireRetracted(t *testing.T, g *goCommand) {
	t.Helper()
	text := g.must("list", "-m", "-retracted", "-u", "-json", "github.com/mattn/go-sqlite3@v2.0.3+incompatible", "github.com/golang/protobuf@v1.5.0")
	found := decode[struct {
		Path       string
		Retracted  []string
		Deprecated string
		Update     *struct{ Version string }
	}](t, text)
	if len(found) != 2 {
		t.Fatalf("go list: %s", text)
	}
	if got := fmt.Sprint(found[0].Retracted); !strings.Contains(got, "Accidental") {
		t.Errorf("%s: retracted: %s", found[0].Path, got)
	}
	if !strings.Contains(found[1].Deprecated, "google.golang.org/protobuf") || found[1].Update == nil || found[1].Update.Version != "v1.5.4" {
		t.Errorf("%s: %+v", found[1].Path, found[1])
	}
	hidden := strings.Fields(g.must("list", "-m", "-versions", "github.com/mattn/go-sqlite3"))
	all := strings.Fields(g.must("list", "-m", "-versions", "-retracted", "github.com/mattn/go-sqlite3"))
	if v := "v2.0.3+incompatible"; slices.Contains(hidden, v) || !slices.Contains(all, v) {
		t.Errorf("a retracted version: listed %v, with -retracted %v", slices.Contains(hidden, v), slices.Contains(all, v))
	}
}

// downloadGraph downloads many modules, and sees that each was asked for once.
func downloadGraph(t *testing.T, w *world, p *proxy) {
	w.requests()
	began := time.Now()
	g := newGoCommand(t, "local", "GOPROXY="+p.url).in(graph)
	all := downloaded(t, g)
	t.Logf("%d modules in %.1f s", len(all), time.Since(began).Seconds())
	if len(all) < 300 {
		t.Errorf("%d modules, want 300 at least", len(all))
	}
	if got := g.must("mod", "verify"); got != "all modules verified" {
		t.Errorf("go mod verify: %s", got)
	}
	zips := map[string]int{}
	for _, o := range w.requests() {
		if strings.HasSuffix(o.url.Path, ".zip") {
			zips[o.String()]++
		}
	}
	for url, n := range zips {
		if n != 1 {
			t.Errorf("%d requests upstream: %s", n, url)
		}
	}
	if len(zips) == 0 {
		t.Error("no zip was asked for upstream")
	}
}

// switchToolchain lets a release get the later one that a main module wants.
func switchToolchain(t *testing.T, p *proxy) {
	g := newGoCommand(t, "go1.21.13", "GOPROXY="+p.url)
	old := filepath.Join(g.must("env", "GOROOT"), "bin", "go")
	m := g.in("module switch.example.com/m\n\ngo 1.22.0\n\ntoolchain go1.22.12\n").with("GOTOOLCHAIN=auto")
	m.program = old
	if got := m.must("env", "GOVERSION"); got != "go1.22.12" {
		t.Errorf("go 1.21 in a module that wants 1.22.12 is %s", got)
	}
	m = m.in("module switch.example.com/m\n\ngo 1.99.0\n")
	requireWords(t, m.fails("list", "-m"), "go1.99.0", "download")
}

// download is what `go mod download -json` says of a module.
type download struct{ Path, Version, Error, Info, GoMod, Zip, Dir, Sum, GoModSum string }

// downloaded downloads the build list of a main module.
func downloaded(t *testing.T, g *goCommand) []download {
	t.Helper()
	out := g.run("mod", "download", "-json", "all")
	all := decode[download](t, out.stdout)
	for _, d := range all {
		if d.Error != "" || d.Zip == "" || d.Sum == "" {
			t.Errorf("%s@%s: %+v", d.Path, d.Version, d)
		}
	}
	if out.code != 0 {
		t.Fatalf("go mod download: exit code %d: %s", out.code, out.stderr)
	}
	return all
}

// decode reads documents that follow each other.
func decode[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for d := json.NewDecoder(bytes.NewReader([]byte(text))); ; {
		var one T
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v in: %s", err, text)
		}
		all = append(all, one)
	}
}

// variable is the last value of a variable of an environment.
func variable(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return os.Getenv(name)
}
