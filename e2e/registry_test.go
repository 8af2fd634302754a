//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The only user of a registry that wants credentials, and the bcrypt hash of the
// password.
const (
	registryUser     = "gopher"
	registryPassword = "secret"
	registryHash     = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
)

// startRegistry runs Debian's registry server on a free port of this machine and
// returns its host and port.
func startRegistry(t *testing.T, archive *debian.Archive, private bool) string {
	t.Helper()
	dir := t.TempDir()
	unpack(t, archive, dir, debian.Source{Suite: bookworm, Arch: amd64}, "docker-registry")
	return serveDistribution(t, filepath.Join(dir, "usr/bin/docker-registry"), private)
}

// serveDistribution runs a registry server of the Distribution project.
func serveDistribution(t *testing.T, binary string, private bool) string {
	t.Helper()
	dir, host := t.TempDir(), freePort(t)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), host)
	if private {
		users := filepath.Join(dir, "users")
		writeFile(t, dir, "users", 0o600, registryUser+":"+registryHash+"\n")
		config += fmt.Sprintf("auth: {htpasswd: {realm: e2e, path: %q}}\n", users)
	}
	writeFile(t, dir, "config.yml", 0o644, config)
	var said bytes.Buffer
	cmd := exec.Command(binary, "serve", filepath.Join(dir, "config.yml"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it says that it was killed
	})
	for range 100 {
		if response, err := http.Get("http://" + host + "/v2/"); err == nil {
			response.Body.Close()
			return host
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the registry does not answer on %s: %s", host, &said)
	return ""
}

// freePort is a loopback address that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// goImage is an image whose entrypoint is a small Go program for arch.
func goImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	b := builder{&workshop{}, t, tempDir(t)}
	b.compile("app", "plain", build{env: []string{"GOARCH=" + arch}})
	return forArch(t, imageOf(t, v1.Config{Entrypoint: []string{"/app"}, Env: []string{defaultPath}}, layerOf(t, b.dir)), arch)
}

// push stores image under host's repository test/app with a tag.
func push(t *testing.T, host, tag string, image remote.Taggable, options ...remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(host+"/test/app:"+tag, name.Insecure)
	if err == nil {
		err = remote.Push(ref, image, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// subjects opens ref and returns what it yields; an error ends the test.
func subjects(t *testing.T, ref string, opt facts.Options) []*facts.Subject {
	t.Helper()
	all, err := open(t.Context(), ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// open collects the subjects of ref and the first error.
func open(ctx context.Context, ref string, opt facts.Options) ([]*facts.Subject, error) {
	var all []*facts.Subject
	for subject, err := range facts.Open(ctx, ref, opt) {
		if err != nil {
			return all, err
		}
		all = append(all, subject)
	}
	return all, nil
}

// TestRegistrySameAsLayout reads one image from a registry, by tag and by
// digest, and from a layout: the facts are the same.
func TestRegistrySameAsLayout(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	image := goImage(t, amd64)
	push(t, host, "v1", image)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	plain := facts.Options{PlainHTTP: true}
	want := subjects(t, "oci:"+writeLayout(t, map[string]v1.Image{"v1": image})+":v1", plain)
	ignoreRef := cmpopts.IgnoreFields(api.Facts{}, "Ref")
	for _, ref := range []string{host + "/test/app:v1", host + "/test/app@" + digest.String()} {
		got := subjects(t, ref, plain)
		if len(got) != 1 || len(want) != 1 || len(got[0].Files) != 1 {
			t.Fatalf("%s: %d subjects, want 1 with one executable", ref, len(got))
		}
		if diff := cmp.Diff(want[0].Files, got[0].Files, ignoreRef); diff != "" {
			t.Errorf("%s (-layout +registry):\n%s", ref, diff)
		}
		if got[0].Image.Digest != digest.String() {
			t.Errorf("%s: manifest digest %s, want %s", ref, got[0].Image.Digest, digest)
		}
	}
}

// TestRegistryPlatforms reads an image of two platforms, whole and narrowed.
func TestRegistryPlatforms(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{amd64, "arm64"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        goImage(t, arch),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	push(t, host, "multi", index)
	opt := facts.Options{PlainHTTP: true}
	for _, test := range []struct {
		platforms []api.Platform
		want      []string
	}{
		{nil, []string{"linux/amd64", "linux/arm64"}},
		{[]api.Platform{{OS: "linux", Arch: "arm64"}}, []string{"linux/arm64"}},
	} {
		opt.Platforms = test.platforms
		var got []string
		for _, s := range subjects(t, host+"/test/app:multi", opt) {
			got = append(got, s.Platform.OS+"/"+s.Platform.Arch)
			if have := s.Files[0].Platform.Arch; have != s.Platform.Arch {
				t.Errorf("the image for %s holds a program for %s", s.Platform, have)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("platforms %v (-want +got):\n%s", test.platforms, diff)
		}
	}
}

// TestRegistryMissing asks for what the registry does not have.
func TestRegistryMissing(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	_, err := open(t.Context(), host+"/test/app:none", facts.Options{PlainHTTP: true})
	if fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a missing image gives %q: %v", fault.CodeOf(err), err)
	}
}

// TestRegistryCredentials reads from a registry that wants a password, without
// and with the user's Docker configuration.
func TestRegistryCredentials(t *testing.T) {
	host := startRegistry(t, openArchive(t), true)
	push(t, host, "v1", goImage(t, amd64), remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword}))
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	opt := facts.Options{PlainHTTP: true}
	if _, err := open(t.Context(), host+"/test/app:v1", opt); fault.CodeOf(err) != fault.Denied {
		t.Errorf("without credentials: %q: %v", fault.CodeOf(err), err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	writeFile(t, config, "config.json", 0o600, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth))
	if got := subjects(t, host+"/test/app:v1", opt); len(got) != 1 {
		t.Errorf("with credentials: %d subjects, want 1", len(got))
	}
}

// TestRegistryCache reads an image twice with a facts cache: the second time no
// layer is fetched.
func TestRegistryCache(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	push(t, host, "v1", goImage(t, amd64))
	var blobs atomic.Int64
	proxy := countingProxy(t, host, &blobs)
	opt := facts.Options{PlainHTTP: true, CacheDir: t.TempDir()}
	first := subjects(t, proxy+"/test/app:v1", opt)
	if blobs.Load() == 0 {
		t.Fatal("the first read fetched no blob")
	}
	blobs.Store(0)
	second := subjects(t, proxy+"/test/app:v1", opt)
	if n := blobs.Load(); n != 0 {
		t.Errorf("the second read fetched %d blobs", n)
	}
	if diff := cmp.Diff(first[0].Files, second[0].Files); diff != "" {
		t.Errorf("cached facts differ (-first +second):\n%s", diff)
	}
}

// countingProxy passes requests on to host and counts those for blobs.
func countingProxy(t *testing.T, host string, blobs *atomic.Int64) string {
	t.Helper()
	return before(t, host, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			blobs.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// before serves what handle answers, which can pass requests on to host.
func before(t *testing.T, host string, handle func(http.ResponseWriter, *http.Request, http.Handler)) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients that give up are part of tests
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, proxy) }))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestCommandReadsRegistry runs the command itself.
func TestCommandReadsRegistry(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	push(t, host, "v1", goImage(t, amd64))
	list := inspect(t, "--plain-http", host+"/test/app:v1")
	if len(list.Items) != 1 || !list.Items[0].Entrypoint || list.Items[0].Path != "/app" {
		t.Errorf("inspect of the image: %+v", list)
	}
}
