//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The limits of the module proxy. Of rates the limit is the part of the other
// handler's rate that ours reaches at least.
const (
	emptyLimit    = 1.15 // of a download directly from the upstream
	fullLimit     = 1.05 // of a download from files
	registryLimit = 1.30 // likewise, with nothing but a registry
	smallShare    = 0.85 // of a bare handler
	zipShare      = 0.95 // of http.ServeFile
	athensShare   = 2.0
	proxyMemory   = 60e6
	proxyGrowth   = 1.05 // of the memory, from the first third of the soak to the last
)

// modulesWanted are whose module graphs are downloaded: 204 modules.
var modulesWanted = []string{"github.com/caddyserver/caddy/v2@v2.11.9", "github.com/nats-io/nats-server/v2@v2.15.2"}

// proxyBench measures `gopherwood modproxy serve`. What the go command writes is in
// memory, so that the disk is not what is measured.
type proxyBench struct {
	settings
	// dir is on the disk, memory on a tmpfs.
	dir, memory string
	// project has a go.mod that requires modulesWanted, and its go.sum.
	project string
	// files is a GOPROXY of files with all of the modules.
	files  string
	number int
}

// measureModproxy adds the part about the module proxy to the report.
func measureModproxy(ctx context.Context, s settings, work string, r *report) error {
	memory, err := os.MkdirTemp("/dev/shm", "gopherwood-bench-")
	if err != nil {
		return fmt.Errorf("a directory in memory: %w", err)
	}
	defer os.RemoveAll(memory)
	b := &proxyBench{settings: s, dir: filepath.Join(work, "modproxy"), memory: memory}
	if err := b.stock(ctx); err != nil || s.prepare {
		return err
	}
	for _, measure := range []func(context.Context) ([]result, error){b.cold, b.warm, b.throughput} {
		results, err := measure(ctx)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, results...)
	}
	return nil
}

// stock makes the project, and downloads its modules once.
func (b *proxyBench) stock(ctx context.Context) error {
	b.project = filepath.Join(b.dir, "project")
	if err := os.MkdirAll(b.project, 0o755); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "bench: downloading the modules")
	cache := b.fresh("stock")
	for _, args := range [][]string{
		{"mod", "init", "bench.example.com/project"},
		append([]string{"get"}, modulesWanted...),
		{"mod", "download", "all"},
	} {
		if _, err := b.run(ctx, cache, "", args...)(ctx); err != nil {
			return err
		}
	}
	b.files = "file://" + filepath.Join(cache, "cache", "download")
	return nil
}

// fresh is a new directory in memory.
func (b *proxyBench) fresh(name string) string {
	b.number++
	return filepath.Join(b.memory, fmt.Sprintf("%s-%d", name, b.number))
}

// run is a run of the go command on the project with a module cache, and a proxy
// if it is not the default.
func (b *proxyBench) run(_ context.Context, cache, proxy string, args ...string) command {
	env := []string{"GOMODCACHE=" + cache, "GOFLAGS=-modcacherw -mod=mod", "GOWORK=off", "GONOSUMDB="}
	if proxy != "" {
		env = append(env, "GOPROXY="+proxy)
	}
	return timedIn(b.project, env, "go", args...)
}

// download is a run of `go mod download` with nothing in the module cache.
func (b *proxyBench) download(proxy string) command {
	return func(ctx context.Context) (cost, error) {
		cache := b.fresh("cache")
		defer os.RemoveAll(cache)
		return b.run(ctx, cache, proxy, "mod", "download", "all")(ctx)
	}
}

// served is a running module proxy.
type served struct {
	*process
	url string
}

// serve starts the proxy with a store.
func (b *proxyBench) serve(ctx context.Context, store string, flags ...string) (*served, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := append([]string{"modproxy", "serve", "--listen", address, "--store", store}, flags...)
	p, err := startProcess(ctx, b.dir, "modproxy", []string{"DOCKER_CONFIG=" + b.dir}, b.command, args...)
	if err != nil {
		return nil, err
	}
	s := &served{process: p, url: "http://" + address}
	if err := p.waitFor(ctx, time.Minute, func() error { return answers(s.url + "/readyz") }); err != nil {
		p.stop()
		return nil, err
	}
	return s, nil
}

// end asks the proxy to stop, which it does when everything is written.
func (s *served) end() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(time.Minute):
		s.stop()
		return errors.New("modproxy serve: did not end within a minute")
	}
}

// through is a download through a proxy with the store and flags that it is made
// with, for one download.
func (b *proxyBench) through(with func() (store string, flags []string)) command {
	return func(ctx context.Context) (cost, error) {
		store, flags := with()
		s, err := b.serve(ctx, store, flags...)
		if err != nil {
			return cost{}, err
		}
		c, err := b.download(s.url)(ctx)
		return c, errors.Join(err, s.end())
	}
}

// store is a new directory on the disk.
func (b *proxyBench) store(name string) string {
	b.number++
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.number))
}

// cold compares an empty store with the upstream.
func (b *proxyBench) cold(ctx context.Context) ([]result, error) {
	empty := func() (string, []string) { return b.store("empty"), nil }
	r, err := inTurns(ctx, b.rounds, "go mod download all, empty store / directly from the upstream", emptyLimit, b.through(empty), b.download(""))
	return []result{r}, err
}

// warm compares a full store, and a full registry without a local cache, with
// files.
func (b *proxyBench) warm(ctx context.Context) ([]result, error) {
	full := filepath.Join(b.dir, "full")
	fill := func(store string, flags ...string) error {
		_, err := b.through(func() (string, []string) { return store, flags })(ctx)
		return err
	}
	if err := fill(full); err != nil {
		return nil, err
	}
	s, err := b.serve(ctx, full)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	warm, err := inTurns(ctx, b.rounds, "go mod download all, full store / GOPROXY=file://", fullLimit, b.download(s.url), b.download(b.files))
	if err != nil {
		return nil, err
	}
	registry, err := newShelf(filepath.Join(b.dir, "registry"))
	if err != nil {
		return nil, err
	}
	defer registry.server.Close()
	remote := "oci://" + registry.host + "/modules"
	if err := fill(remote, "--cache", b.store("cache")); err != nil {
		return nil, err
	}
	uncached := func() (string, []string) { return remote, []string{"--cache", b.store("cache")} }
	far, err := inTurns(ctx, b.rounds, "go mod download all, a registry and no cache / GOPROXY=file://", registryLimit, b.through(uncached), b.download(b.files))
	return []result{warm, far}, err
}

// The load: so many connections, each for so long in turn with the other handler.
const (
	loadConnections = 64
	loadSlice       = 2 * time.Second
	// loadWarm is how long each is asked before it counts.
	loadWarm = 500 * time.Millisecond
)

// throughput compares answers a second with those of handlers that do nothing
// else.
func (b *proxyBench) throughput(ctx context.Context) ([]result, error) {
	s, err := b.serve(ctx, filepath.Join(b.dir, "full"), "--offline")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	module, version, _ := strings.Cut(modulesWanted[0], "@")
	base := "/" + module + "/@v/" + version
	dir := strings.TrimPrefix(b.files, "file://")
	bare, err := startBare(ctx, b.dir, dir)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	var results []result
	for _, c := range []struct {
		name, ours, theirs string
		share              float64
	}{
		{"requests/s: a bare handler / .info", base + ".info", "/bare" + base + ".info", smallShare},
		{"requests/s: a bare handler / .mod", base + ".mod", "/bare" + base + ".mod", smallShare},
		{"requests/s: http.ServeFile / .zip", base + ".zip", "/file" + base + ".zip", zipShare},
	} {
		r, err := b.rates(ctx, c.name, 1/c.share, s.url+c.ours, bare.url+c.theirs)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	if b.athens != "" {
		r, err := b.besideAthens(ctx, s, base)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	memory, err := b.soaked(ctx, s, s.url+base+".info", s.url+base+".zip")
	return append(results, memory...), err
}

// soaked looks at the proxy's memory while the URLs are asked in turn.
func (b *proxyBench) soaked(ctx context.Context, s *served, urls ...string) ([]result, error) {
	var resident []float64
	for begin := time.Now(); time.Since(begin) < b.soak || len(resident) < 3; {
		for _, url := range urls {
			if _, err := rate(ctx, url); err != nil {
				return nil, err
			}
			rss, err := s.memory("VmRSS")
			if err != nil {
				return nil, err
			}
			resident = append(resident, rss)
		}
	}
	third := len(resident) / 3
	most, err := s.memory("VmHWM")
	return []result{
		{Name: "modproxy serve: memory at most, at that load", Unit: "bytes", Value: most, Limit: proxyMemory, Least: slices.Min(resident), Most: slices.Max(resident)},
		{Name: fmt.Sprintf("modproxy serve: memory, end / begin of %v", b.soak), Unit: "ratio", Value: median(resident[len(resident)-third:]) / median(resident[:third]), Limit: proxyGrowth},
	}, err
}

// besideAthens compares with an Athens that has fetched the modules itself.
func (b *proxyBench) besideAthens(ctx context.Context, s *served, base string) (result, error) {
	address, err := freeAddress()
	if err != nil {
		return result{}, err
	}
	store := b.store("athens")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return result{}, err
	}
	upstream, err := capture(exec.CommandContext(ctx, "go", "env", "GOPROXY"))
	if err != nil {
		return result{}, err
	}
	p, err := startProcess(ctx, b.dir, "athens", []string{
		"ATHENS_GO_BINARY_ENV_VARS=GOPROXY=" + strings.TrimSpace(string(upstream)), "ATHENS_STORAGE_TYPE=disk", "ATHENS_DISK_STORAGE_ROOT=" + store, "ATHENS_PORT=" + address, "ATHENS_LOG_LEVEL=error", "GOFLAGS=",
	}, b.athens)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	url := "http://" + address
	if err := p.waitFor(ctx, time.Minute, func() error { return answers(url + "/healthz") }); err != nil {
		return result{}, err
	}
	if err := p.waitFor(ctx, 5*time.Minute, func() error { return answers(url + base + ".info") }); err != nil {
		return result{}, err
	}
	return b.rates(ctx, "requests/s: Athens / .info", 1/athensShare, s.url+base+".info", url+base+".info")
}

// rates compares in turns how many answers a second come from two URLs; the value
// is theirs by ours.
func (b *proxyBench) rates(ctx context.Context, name string, limit float64, ours, theirs string) (result, error) {
	var ratios, us, them []float64
	for round := range b.rounds + 1 {
		o, err := rate(ctx, ours)
		if err != nil {
			return result{}, err
		}
		t, err := rate(ctx, theirs)
		if err != nil {
			return result{}, err
		}
		if round > 0 {
			ratios, us, them = append(ratios, t/o), append(us, 1/o), append(them, 1/t)
		}
	}
	return result{Name: fmt.Sprintf("%s (%.0f/s)", name, 1/median(us)), Unit: "ratio", Value: median(ratios), Limit: limit,
		Least: slices.Min(ratios), Most: slices.Max(ratios), Ours: median(us), Theirs: median(them)}, nil
}

// rate is how many answers a second url gives to loadConnections connections.
func rate(ctx context.Context, url string) (float64, error) {
	clients, err := dialLoad(ctx, url)
	if err != nil {
		return 0, err
	}
	defer clients.close()
	if _, err := clients.run(loadWarm); err != nil {
		return 0, err
	}
	return clients.run(loadSlice)
}

// bareMode is the environment variable that makes this program serve the directory
// that it names: below /file by http.ServeFile, below /bare from memory.
const bareMode = "GOPHERWOOD_BENCH_BARE"

// startBare runs this program as a server that does nothing else.
func startBare(ctx context.Context, work, dir string) (*served, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, work, "bare", []string{bareMode + "=" + dir}, self, address)
	if err != nil {
		return nil, err
	}
	s := &served{process: p, url: "http://" + address}
	return s, p.waitFor(ctx, 10*time.Second, func() error { return answers(s.url + "/ready") })
}

// serveBare is the server of startBare.
func serveBare(address, dir string) error {
	kept := map[string][]byte{}
	err := filepath.WalkDir(dir, func(file string, _ os.DirEntry, err error) error {
		if ext := filepath.Ext(file); err != nil || ext != ".info" && ext != ".mod" {
			return err
		}
		data, err := os.ReadFile(file)
		kept["/bare"+strings.TrimPrefix(file, dir)] = data
		return err
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/file/", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(dir, strings.TrimPrefix(r.URL.Path, "/file/")))
	})
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := kept[r.URL.Path]; ok {
			_, _ = w.Write(data) // nobody waits for it then
			return
		}
		mux.ServeHTTP(w, r)
	}))
}
