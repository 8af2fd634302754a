//go:build e2e

package modproxy

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
)

// registries are the servers that modules are kept in.
var registries = []struct {
	name  string
	start func(*testing.T) *registryServer
}{
	{"distribution 3", func(t *testing.T) *registryServer {
		file, err := gotool.Install(t.Context(), "github.com/distribution/distribution/v3/cmd/registry", "v3.1.2")
		if err != nil {
			t.Fatal(err)
		}
		return startDistribution(t, file)
	}},
	{"docker-registry 2.8", func(t *testing.T) *registryServer { return startDistribution(t, debianRegistry(t)) }},
	{"go-containerregistry", startInProcess},
}

// registryServer is a registry on the island.
type registryServer struct{ host string }

// debianRegistry is Debian's registry server, unpacked but not installed.
func debianRegistry(t *testing.T) string {
	t.Helper()
	cache, err := gotool.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := debian.Open(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t, lab.dir)
	files, err := archive.Fetch(t.Context(), debian.Source{Suite: "bookworm", Arch: "amd64"}, "docker-registry")
	if err == nil {
		err = debian.Unpack(t.Context(), dir, files...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "usr/bin/docker-registry")
}

// startDistribution starts a registry server of the Distribution project.
func startDistribution(t *testing.T, binary string) *registryServer {
	t.Helper()
	dir := tempDir(t, lab.dir)
	host, err := lab.island.freePort()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), host)
	writeFile(t, filepath.Join(dir, "config.yml"), config)
	var said journal
	cmd := exec.Command(binary, "serve", filepath.Join(dir, "config.yml"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := lab.island.start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it says that it was killed
	})
	client := lab.island.client()
	until(t, 20*time.Second, "the registry answers", func() error {
		response, err := client.Get("http://" + host + "/v2/")
		if err != nil {
			return fmt.Errorf("%w: %s", err, &said)
		}
		return response.Body.Close()
	})
	return &registryServer{host}
}

// startInProcess starts go-containerregistry's own server.
func startInProcess(t *testing.T) *registryServer {
	t.Helper()
	l, err := lab.island.listen()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	_ = server.Listener.Close() // it is not on the island
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return &registryServer{l.Addr().String()}
}

// options let go-containerregistry read a registry on the island.
func (r *registryServer) options() []remote.Option {
	return []remote.Option{remote.WithTransport(&http.Transport{DialContext: lab.island.dial})}
}

// wideGraph is a main module of the registries' tests: capitals, a pseudo-version,
// +incompatible, a tag with a plus, names that OCI does not allow.
const wideGraph = `module graph.example.com/wide

go 1.21

require (
	github.com/BurntSushi/toml v1.3.2
	github.com/google/uuid v1.6.0
	github.com/mattn/go-sqlite3 v2.0.3+incompatible
	github.com/spf13/cobra v1.8.0
	golang.org/x/xerrors v0.0.0-20231012003039-104605ab7028
	gopkg.in/yaml.v3 v3.0.1
)
`

// TestRegistries keeps modules in registries: what is there can be read by other
// tools, served by another proxy without a cache or an upstream, moved, and it is
// served from the cache while the registry is down.
func TestRegistries(t *testing.T) {
	for _, test := range registries {
		t.Run(test.name, func(t *testing.T) {
			r := test.start(t)
			way := newGate(t, r.host)
			r.host = way.host
			w := newWorld(t, true, nil)
			store := "oci://" + r.host + "/team/modules"
			args := append(servesPublic(store), "--cache", tempDir(t, lab.dir), "--plain-http")
			p := serve(t, w, nil, args...)
			all := getWide(t, p)
			p.settle(t)
			p.stop(t)
			for _, d := range all {
				requireArtifact(t, r, d)
			}
			out := mustCommand(t, w, "verify", "--store", store, "--plain-http", "--upstream", lab.upstream, "--sumdb", lab.sumdb)
			t.Logf("verify: %s", out.stdout)
			w.disconnect()
			w.requests()
			second := serve(t, w, nil, "--store", store, "--plain-http", "--cache", tempDir(t, lab.dir), "--offline", "--sumdb", lab.sumdb)
			getWide(t, second)
			second.stop(t)
			copied := copyModules(t, r, startInProcess(t), all)
			getWide(t, serve(t, w, nil, "--store", copied, "--plain-http", "--offline", "--sumdb", lab.sumdb))
			moveModules(t, w, store, len(all))
			if said := w.requests(); len(said) != 0 {
				t.Errorf("offline proxies asked for %v", said)
			}
			third := serve(t, w, nil, args...) // with the first one's cache
			way.mode.Store(shut)
			getWide(t, third)
		})
	}
}

// getWide downloads and verifies a build list. The checksum database is out of the
// question, since some of the proxies cannot ask it: go.sum is not.
func getWide(t *testing.T, p *proxy) []download {
	t.Helper()
	g := newGoCommand(t, "local", "GOPROXY="+p.url, "GOSUMDB=off").in(wideGraph)
	all := downloaded(t, g)
	if len(all) < 8 {
		t.Errorf("%d modules: %+v", len(all), all)
	}
	if got := g.must("mod", "verify"); got != "all modules verified" {
		t.Errorf("go mod verify: %s", got)
	}
	return all
}

// reference names a version in a registry.
func (r *registryServer) reference(t *testing.T, path, version string) name.Reference {
	t.Helper()
	repository, err := artifact.Repository(path)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := artifact.Tag(version)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.host+"/team/modules/"+repository+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// requireArtifact reads a version as any client of registries does.
func requireArtifact(t *testing.T, r *registryServer, d download) {
	t.Helper()
	ref := r.reference(t, d.Path, d.Version)
	image, err := remote.Image(ref, r.options()...)
	if err != nil {
		t.Errorf("%s: %v", ref, err)
		return
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Annotations["dev.gopherwood.module.path"] != d.Path || manifest.Annotations["dev.gopherwood.module.sum"] != d.Sum ||
		manifest.Annotations["dev.gopherwood.module.gomod-sum"] != d.GoModSum {
		t.Errorf("%s: annotations %v, want %+v", ref, manifest.Annotations, d)
	}
	files := map[string][]byte{}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		files[manifest.Layers[i].Annotations["org.opencontainers.image.title"]] = layerContent(t, l)
	}
	for _, file := range []string{d.GoMod, d.Zip} {
		if want := readFile(t, file); string(files[filepath.Base(file)]) != want {
			t.Errorf("%s: the layer %s is not the file that the go command has: %d bytes, want %d", ref, filepath.Base(file), len(files[filepath.Base(file)]), len(want))
		}
	}
	if got := versionOf(t, string(files[d.Version+".info"])); got != d.Version {
		t.Errorf("%s: .info states %s", ref, got)
	}
}

func layerContent(t *testing.T, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed() // as it is: nothing is compressed
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// copyModules copies versions to another registry with crane, and returns the store.
func copyModules(t *testing.T, from, to *registryServer, all []download) string {
	t.Helper()
	for _, d := range all {
		source, target := from.reference(t, d.Path, d.Version), to.reference(t, d.Path, d.Version)
		if err := crane.Copy(source.String(), target.String(), crane.Insecure, crane.WithTransport(&http.Transport{DialContext: lab.island.dial})); err != nil {
			t.Fatal(err)
		}
	}
	return "oci://" + to.host + "/team/modules"
}

// moveModules exports a store, looks at what was exported, and imports it.
func moveModules(t *testing.T, w *world, store string, versions int) {
	t.Helper()
	dir := tempDir(t, lab.dir)
	exported, into := filepath.Join(dir, "exported"), filepath.Join(dir, "into")
	mustCommand(t, w, "export", "--store", store, "--plain-http", "--all", "-O", exported)
	index, err := layout.ImageIndexFromPath(exported)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range manifest.Manifests {
		names = append(names, d.Annotations["org.opencontainers.image.ref.name"])
	}
	if !slices.Contains(names, "github.com/qburntqsushi/toml:v1.3.2") || !slices.Contains(names, "github.com/mattn/go-sq0lite3:v2.0.3_incompatible") || len(names) < versions {
		t.Errorf("exported without what it must have: %v", names)
	}
	mustCommand(t, w, "import", "--store", into, exported)
	getWide(t, serve(t, w, nil, "--store", into, "--offline", "--sumdb", lab.sumdb))
}

// TestRegistryFails lets a registry refuse what is to be written, and then be away:
// what is on the disk is served, what the registry does not take waits for it, and what
// it may have is refused clearly while it cannot be asked.
func TestRegistryFails(t *testing.T) {
	const path = "mods.example.com/lib"
	c := newCorpus(t)
	for _, version := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
		c.publish(t, path, version, "", 10_000)
	}
	w := newWorld(t, false, c.hosts())
	r := startInProcess(t)
	gate := newGate(t, r.host)
	store := "oci://" + gate.host + "/modules"
	p := serve(t, w, nil, append(c.serves(store), "--cache", tempDir(t, lab.dir), "--plain-http")...)
	requireWhole(t, c, p, module.Version{Path: path, Version: "v1.0.0"})
	p.settle(t)
	gate.mode.Store(readOnly)
	requireWhole(t, c, p, module.Version{Path: path, Version: "v1.1.0"})
	if n := p.metric(t, "gopherwood_modproxy_pushes_pending"); n != 1 {
		t.Errorf("%v versions wait for the registry, want 1", n)
	}
	gate.mode.Store(shut)
	requireWhole(t, c, p, module.Version{Path: path, Version: "v1.0.0"})
	requireWhole(t, c, p, module.Version{Path: path, Version: "v1.1.0"})
	status, body, err := p.get("/" + path + "/@v/v1.2.0.zip")
	if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("a version that the registry may have: status %d, %v", status, err)
	}
	if status == http.StatusServiceUnavailable {
		requireWords(t, body, path, gate.host, "registry")
	}
	gate.mode.Store(open)
	p.settle(t)
	until(t, time.Minute, "the registry can be reached", func() error {
		_, _, err := p.get("/" + path + "/@v/v1.2.0.zip")
		return err
	})
	p.settle(t)
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		if _, err := remote.Head(r.referenceTo(t, "modules/"+path+":"+version), r.options()...); err != nil {
			t.Errorf("%s is not in the registry: %v", version, err)
		}
	}
	requireClean(t, w, c, "--store", store, "--plain-http")
}

func (r *registryServer) referenceTo(t *testing.T, what string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.host+"/"+what, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
