//go:build e2e

package modproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
)

// The loop of kills: how many, and how many modules there are to be asked for, so
// that each process has some that are new.
const (
	kills       = 12
	killModules = 240
)

// TestKill kills a proxy again and again while it is asked for modules, most of
// which it does not have. Whatever it was doing, each version is there whole or not
// at all afterwards, and nothing is left over.
func TestKill(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	all := make([]module.Version, killModules)
	for i := range all {
		all[i] = module.Version{Path: fmt.Sprintf("mods.example.com/m%d", i%20), Version: fmt.Sprintf("v1.%d.0", i)}
		c.publish(t, all[i].Path, all[i].Version, "", 1000+rand.IntN(400_000))
	}
	dir := tempDir(t, lab.dir)
	killLoop(t, c, w, all, c.serves(dir))
	requireClean(t, w, c, "--store", dir)
	p := serve(t, w, nil, c.serves(dir)...)
	for _, v := range all {
		requireWhole(t, c, p, v)
	}
	p.stop(t)
	if err := errors.Join(leftovers(dir), unreferenced(dir)); err != nil {
		t.Error(err)
	}
	requireClean(t, w, c, "--store", dir)
}

// TestKillBeforeRegistry does the same to a proxy that has a cache before a registry:
// what waits to be written to the registry gets there in the end.
func TestKillBeforeRegistry(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	all := make([]module.Version, killModules/2)
	for i := range all {
		all[i] = module.Version{Path: fmt.Sprintf("mods.example.com/m%d", i%20), Version: fmt.Sprintf("v1.%d.0", i)}
		c.publish(t, all[i].Path, all[i].Version, "", 1000+rand.IntN(200_000))
	}
	r := registries[0].start(t)
	cache := tempDir(t, lab.dir)
	store := "oci://" + r.host + "/modules"
	args := append(c.serves(store), "--cache", cache, "--plain-http")
	killLoop(t, c, w, all, args)
	requireClean(t, w, c, "--store", store, "--plain-http")
	p := serve(t, w, nil, args...)
	for _, v := range all {
		requireWhole(t, c, p, v)
	}
	p.settle(t)
	p.stop(t)
	requireClean(t, w, c, "--store", store, "--plain-http")
	alone := serve(t, w, nil, "--store", store, "--plain-http", "--offline", "--sumdb", "off")
	for _, v := range all {
		requireWhole(t, c, alone, v)
	}
}

// killLoop starts proxies and kills them under load.
func killLoop(t *testing.T, c *corpus, w *world, all []module.Version, args []string) {
	t.Helper()
	for i := range kills {
		p := startProxy(t, w, nil, args...)
		// This many are new to this process.
		some := all[:len(all)*(i+1)/kills]
		var clients sync.WaitGroup
		stop := make(chan struct{})
		for n := range 12 {
			clients.Go(func() { askUntil(t, c, p, some, n, stop) })
		}
		time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
		p.kill()
		close(stop)
		clients.Wait()
		if strings.Contains(p.said.String(), "panic") {
			t.Fatalf("the proxy panicked: %s", p.said)
		}
	}
}

// askUntil asks for versions, the newest first, and demands that what is answered
// whole is what was published.
func askUntil(t *testing.T, c *corpus, p *proxy, some []module.Version, n int, stop chan struct{}) {
	for i := n; ; i += 5 {
		select {
		case <-stop:
			return
		default:
		}
		v := some[len(some)-1-i%len(some)]
		kind := []string{"zip", "zip", "mod", "info"}[i%4]
		status, body, err := p.get("/" + v.Path + "/@v/" + v.Version + "." + kind)
		if err == nil && status == http.StatusOK && body != string(c.content(v, kind)) {
			t.Errorf("%s: %s is not what was published: %d bytes", v, kind, len(body))
		}
		if err == nil && status != http.StatusOK {
			t.Errorf("%s: %s: status %d: %s", v, kind, status, body)
		}
	}
}

// content is what was published of a version.
func (c *corpus) content(v module.Version, kind string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.versions[v]
	return map[string][]byte{"info": p.info, "mod": p.mod, "zip": p.zip}[kind]
}

// requireWhole demands that the proxy has a version.
func requireWhole(t *testing.T, c *corpus, p *proxy, v module.Version) {
	t.Helper()
	for _, kind := range []string{"info", "mod", "zip"} {
		if got := p.mustGet(t, "/"+v.Path+"/@v/"+v.Version+"."+kind); got != string(c.content(v, kind)) {
			t.Errorf("%s: %s is not what was published: %d bytes", v, kind, len(got))
		}
	}
}

// requireClean demands that `verify` finds nothing wrong, and something at all.
func requireClean(t *testing.T, w *world, c *corpus, store ...string) {
	t.Helper()
	args := append([]string{"verify", "-o", "json", "--upstream", "https://" + publisher, "--sumdb", c.key + " https://" + vouching}, store...)
	out := mustCommand(t, w, args...)
	var report struct {
		Versions int
		Problems []any
	}
	if err := json.Unmarshal([]byte(out.stdout), &report); err != nil || report.Versions == 0 || len(report.Problems) > 0 {
		t.Errorf("verify: %v: %s", err, out)
	}
	t.Logf("verify: %d versions", report.Versions)
}

// leftovers says which files of writers are left in a store on disk.
func leftovers(dir string) error {
	var left []error
	err := filepath.WalkDir(filepath.Join(dir, "_staging"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasSuffix(path, "lock") {
			left = append(left, fmt.Errorf("left over: %s", path))
		}
		return err
	})
	return errors.Join(append(left, err)...)
}

// unreferenced says which blobs of a store on disk no manifest refers to.
func unreferenced(dir string) error {
	blobs, err := filepath.Glob(filepath.Join(dir, "*", "*", "_oci", "blobs", "sha256", "*"))
	if err != nil || len(blobs) == 0 {
		return fmt.Errorf("%d blobs: %w", len(blobs), err)
	}
	var left []error
	for _, blob := range blobs {
		layout := filepath.Dir(filepath.Dir(filepath.Dir(blob)))
		known, err := references(layout)
		if err != nil {
			return err
		}
		if !bytes.Contains(known, []byte(filepath.Base(blob))) {
			left = append(left, fmt.Errorf("nothing refers to %s", blob))
		}
	}
	return errors.Join(left...)
}

// references are the texts that can refer to blobs: the index, and the manifests.
func references(layout string) ([]byte, error) {
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return nil, err
	}
	var list struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(index, &list); err != nil {
		return nil, err
	}
	all := index
	for _, m := range list.Manifests {
		data, err := os.ReadFile(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(m.Digest, "sha256:")))
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// bigModule is a module whose zip takes a while to send.
const bigModule = "mods.example.com/big"

// TestDisconnect lets clients go in the middle of a zip: of one that is in the store,
// and of one that is still fetched. Nothing of it stays: however often it happens,
// there are no more goroutines and files than after the first time, which opens the
// connections that are kept.
func TestDisconnect(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	c.publish(t, bigModule, "v1.0.0", "", 40<<20)
	dir := tempDir(t, lab.dir)
	p := serve(t, w, nil, c.serves(dir)...)
	big := p.mustGet(t, "/"+bigModule+"/@v/v1.0.0.zip")
	disconnect(t, c, p, "first")
	var goroutines, files int
	until(t, 20*time.Second, "what clients have left is given up", func() error {
		goroutines, files = int(p.metric(t, "go_goroutines")), len(p.openFiles(t))
		return leftovers(dir)
	})
	for round := range 3 {
		disconnect(t, c, p, fmt.Sprintf("again%d", round))
		until(t, 20*time.Second, "what clients have left is given up", func() error {
			now, open := int(p.metric(t, "go_goroutines")), p.openFiles(t)
			if now > goroutines+10 || len(open) > files+1 {
				return fmt.Errorf("%d goroutines, before %d; %d files, before %d: %v", now, goroutines, len(open), files, open)
			}
			return leftovers(dir)
		})
	}
	if got := p.mustGet(t, "/"+bigModule+"/@v/v1.0.0.zip"); got != big {
		t.Errorf("the zip has changed: %d bytes", len(got))
	}
}

// disconnect lets clients go: some read the large zip, each of the others waits for
// a module that the upstream has sent the half of.
func disconnect(t *testing.T, c *corpus, p *proxy, name string) {
	t.Helper()
	const clients = 20
	begun, left := make(chan struct{}, clients), make(chan struct{})
	zips := make([]string, clients)
	for i := range zips {
		path := fmt.Sprintf("mods.example.com/%s%d", name, i)
		data := c.publish(t, path, "v1.0.0", "", 100_000).zip
		zips[i] = "/" + path + "/@v/v1.0.0.zip"
		c.answer(zips[i], http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write(data[:len(data)/2]) // the proxy may have given up
			begun <- struct{}{}
			<-left
			_, _ = rw.Write(data[len(data)/2:])
		}))
	}
	var all sync.WaitGroup
	for _, zip := range zips {
		all.Go(func() { abandon(t, p, "/"+bigModule+"/@v/v1.0.0.zip", 1<<20) })
		all.Go(func() { giveUp(p, zip) })
	}
	all.Wait()
	if len(begun) == 0 {
		t.Error("nothing was being fetched when the clients went")
	}
	close(left)
	p.client.CloseIdleConnections()
	p.settle(t)
}

// abandon reads a part of a body and hangs up.
func abandon(t *testing.T, p *proxy, path string, part int64) {
	response, err := p.client.Get(p.url + path)
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := io.CopyN(io.Discard, response.Body, part); err != nil {
		t.Error(err)
	}
	_ = response.Body.Close()
}

// giveUp waits for an answer for a short time.
func giveUp(p *proxy, path string) {
	client := *p.client
	client.Timeout = 2 * time.Second
	if response, err := client.Get(p.url + path); err == nil {
		_ = response.Body.Close()
	}
}

// errorOf is an error unless a program ended well.
func errorOf(o output) error {
	if o.code == 0 {
		return nil
	}
	return errors.New(o.String())
}
