//go:build e2e

package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// realPrograms are programs that people run, with what shows that each works in
// its image.
var realPrograms = []struct {
	name string
	// source returns the directory of the module.
	source func(*testing.T) string
	pkg    string
	works  func(*testing.T, container)
}{
	{"caddy", func(t *testing.T) string { return publishedModule(t, "github.com/caddyserver/caddy/v2", "v2.11.9") }, "./cmd/caddy", caddyWorks},
	{"nats-server", func(t *testing.T) string { return publishedModule(t, "github.com/nats-io/nats-server/v2", "v2.15.2") }, ".", natsWorks},
	{"gopherwood", func(t *testing.T) string { return ownModule(t) }, "./cmd/gopherwood", gopherwoodWorks},
}

// TestRealPrograms makes images of real programs on the built-in base, enters
// them and starts the programs.
func TestRealPrograms(t *testing.T) {
	host := inProcess(t, true)
	for _, p := range realPrograms {
		t.Run(p.name, func(t *testing.T) {
			g := newTool(t, p.source(t)).with("GOWORK=")
			ref := host + "/real/" + p.name + ":v1"
			built := g.build("--plain-http", "--push", ref, p.pkg)
			if got := built.Images[0].Base.Ref; got != builtIn {
				t.Errorf("the base is %q: %s", got, built.Images[0].Base.Reason)
			}
			img := pulled(t, ref)
			requireUser(t, img)
			p.works(t, imageContainer(t, img))
		})
	}
}

// ownModule copies this repository as it is now.
func ownModule(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	for _, name := range []string{"go.mod", "go.sum", "go.work", "go.work.sum", "api", "cmd", "internal", "sdk", "deploy", "e2e"} {
		command(t, nil, "cp", "--recursive", filepath.Join("..", name), dir)
	}
	return dir
}

func caddyWorks(t *testing.T, c container) {
	t.Helper()
	listen := freePort(t)
	got, err := c.serves(t.Context(), "http://"+listen+"/", "respond", "--listen", listen, "hello from caddy")
	if err != nil || got != "hello from caddy" {
		t.Errorf("caddy answered %q: %v", got, err)
	}
}

func natsWorks(t *testing.T, c container) {
	t.Helper()
	listen, monitor := freePort(t), freePort(t)
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	_, monitorPort, err := net.SplitHostPort(monitor)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.serves(t.Context(), "http://"+monitor+"/varz", "--addr", "127.0.0.1", "--port", port, "--http_port", monitorPort)
	if err != nil || !strings.Contains(got, `"version": "2.15.2"`) {
		t.Errorf("nats-server answered %q: %v", got, err)
	}
}

func gopherwoodWorks(t *testing.T, c container) {
	t.Helper()
	got, err := c.says(t.Context(), "inspect", "-o", "json", "/usr/local/bin/gopherwood")
	if err != nil || !strings.Contains(got, "github.com/gopherwood-dev/gopherwood") {
		t.Errorf("gopherwood inspected itself: %q: %v", got, err)
	}
}

// baseRoots are the root file systems that become base images, with a directory
// for temporary files: glibc of two ages, and musl.
func baseRoots() []root {
	all := pick(roots, rootName, bullseye, trixie, muslLibc)
	for i, r := range all {
		finish := r.finish
		all[i].finish = func(t *testing.T, archive *debian.Archive, dir string) {
			t.Helper()
			finish(t, archive, dir)
			makeDir(t, dir, "tmp")
			command(t, nil, "chmod", "1777", filepath.Join(dir, "tmp"))
		}
	}
	return all
}

// baseImages are base images in a registry, and as directories.
type baseImages struct {
	host string
	dirs map[string]string
}

// ref is the reference of a base.
func (b baseImages) ref(name string) string {
	if name == builtIn {
		return name
	}
	return b.host + "/base/" + name + ":v1"
}

// builtIn is the reference of the built-in base.
const builtIn = "static"

func pushBases(t *testing.T, host string) baseImages {
	t.Helper()
	archive := openArchive(t)
	b := baseImages{host, map[string]string{}}
	for _, r := range baseRoots() {
		dir := r.build(t, archive)
		b.dirs[r.name] = dir
		img := imageOf(t, v1.Config{Env: []string{defaultPath}}, layerOf(t, dir))
		if err := remote.Write(reference(t, b.ref(r.name)), img); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestBases builds programs for bases of several C libraries. What is built must
// start in its image, and what is refused must fail for that very reason when
// the same program is put there by hand.
func TestBases(t *testing.T) {
	host := inProcess(t, true)
	bases := pushBases(t, host)
	bases.dirs[builtIn] = staticRoot(t, host)
	sqlite := func(t *testing.T) string { return copyTree(t, "testdata/sqlite") }
	hello := func(t *testing.T) string { return helloModule(t, "hello") }
	config := "schemaVersion: gopherwood/v1\nkind: Config\nbuild:\n  bases:\n    glibc: " + bases.ref(trixie) + "\n    musl: " + bases.ref(muslLibc) + "\n"
	for _, test := range []struct {
		name   string
		source func(*testing.T) string
		// env and flags are those of the build, asked the base of --base.
		env   []string
		flags []string
		asked string
		// base is the one that is used, rule the one that denies.
		base, rule string
	}{
		{"glibc-chosen", sqlite, []string{"CC=gcc"}, nil, "", trixie, ""},
		{"musl-chosen", sqlite, []string{"CC=musl-gcc"}, nil, "", muslLibc, ""},
		{"glibc-too-old", sqlite, []string{"CC=gcc"}, nil, bullseye, bullseye, start.SymbolVersion},
		{"glibc-on-musl", sqlite, []string{"CC=gcc"}, nil, muslLibc, muslLibc, start.InterpreterMissing},
		{"musl-on-glibc", sqlite, []string{"CC=musl-gcc"}, nil, trixie, trixie, start.InterpreterMissing},
		{"static-on-glibc", hello, nil, nil, trixie, trixie, ""},
		{"static-pie", hello, nil, []string{"--pie"}, "", builtIn, ""},
		{"pie-on-static", hello, []string{"GOFLAGS=-buildmode=pie", "CGO_ENABLED=0"}, nil, builtIn, builtIn, start.InterpreterMissing},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := test.source(t)
			writeFile(t, dir, ".gopherwood.yaml", 0o644, config)
			g := newTool(t, dir).with(test.env...)
			ref := host + "/made/" + test.name + ":v1"
			args := append([]string{"--plain-http", "--push", ref}, test.flags...)
			if test.asked != "" {
				args = append(args, "--base", bases.ref(test.asked))
			}
			if test.rule == "" {
				built := g.build(args...)
				if got := built.Images[0].Base.Ref; got != bases.ref(test.base) {
					t.Errorf("the base is %s, want %s", got, bases.ref(test.base))
				}
				requireStarts(t, ref)
				return
			}
			refused := g.refused(args...)
			if exists(t, ref) {
				t.Errorf("a refused image was pushed to %s", ref)
			}
			rule, message := denial(refused.Verdict.Findings)
			if rule != test.rule {
				t.Errorf("refused by %s (%s), want %s", rule, message, test.rule)
			}
			forced := forcedInto(t, bases.dirs[test.base], g)
			if forced.Rule != test.rule {
				t.Errorf("refused by %s: %s\nreally %s: %s", rule, message, orStarts(forced.Rule), forced.Detail)
			}
		})
	}
}

// staticRoot is the built-in base as a directory, without the program that it
// was fetched with.
func staticRoot(t *testing.T, host string) string {
	t.Helper()
	ref := host + "/made/static:v1"
	newTool(t, helloModule(t, "static")).build("--plain-http", "--push", ref)
	dir := unpackImage(t, pulled(t, ref))
	remove(t, dir, "usr/local/bin/hello")
	return dir
}

// requireStarts enters the image and starts its program.
func requireStarts(t *testing.T, ref string) {
	t.Helper()
	img := pulled(t, ref)
	requireUser(t, img)
	real, err := imageContainer(t, img).run(t.Context())
	if err != nil || real.Rule != "" {
		t.Errorf("%s: %s: %s: %v", ref, orStarts(real.Rule), real.Detail, err)
	}
}

// forcedInto builds the tool's module with the go command, puts the program into
// a root file system as a build would, and starts it there.
func forcedInto(t *testing.T, dir string, g tool) outcome {
	t.Helper()
	top := tempDir(t)
	makeDir(t, top, "usr/local/bin")
	command(t, g.env, "go", "build", "-C", g.dir, "-trimpath", "-o", filepath.Join(top, "usr/local/bin/app"), ".")
	real, err := container{
		Layers: []string{dir, top, runtimeLayer(t)}, Mount: tempDir(t), Changes: tempDir(t),
		Args: []string{"/usr/local/bin/app"}, Env: []string{defaultPath}, User: userOfImages,
	}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return real
}
