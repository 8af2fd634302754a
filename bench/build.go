//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
)

// The limits of builds, beside ko on the same program, base and flags.
const (
	rebuildLimit = 0.6 // × ko's time after a change of one line
	noopLimit    = 0.2 // × ko's time after no change
	sizeLimit    = 1   // × the size of ko's image
	// besidesLimit is what may be uploaded after a change besides the layer of the
	// binary: configuration, manifests and what is attached; bytes.
	besidesLimit = 1_000_000
)

// measureBuild adds the part about `gopherwood build` to the report.
func measureBuild(ctx context.Context, s settings, work string, r *report) (err error) {
	if s.ko == "" {
		if s.ko, err = ko.build(ctx, s.cache); err != nil || s.prepare {
			return err
		}
	}
	r.Versions["ko"] = moduleVersion(s.ko)
	for _, p := range buildPrograms {
		results, err := p.measure(ctx, s, work)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.Results = append(r.Results, results...)
	}
	return nil
}

// measure compares the images that both tools make of one program.
func (p program) measure(ctx context.Context, s settings, work string) ([]result, error) {
	src, err := p.checkout(ctx, work)
	if err != nil {
		return nil, err
	}
	var sent atomic.Int64
	server := httptest.NewServer(counted(registry.New(registry.Logger(quiet()), registry.WithReferrersSupport(true)), &sent))
	defer server.Close()
	y := &yard{source: src, host: strings.TrimPrefix(server.URL, "http://"), sent: &sent, cache: filepath.Join(work, "cache-"+p.name)}
	if err := y.pushBase(ctx); err != nil {
		return nil, fmt.Errorf("push the base: %w", err)
	}
	ours, theirs := y.gopherwood(s.command), y.ko(s.ko)
	rebuild, err := inTurns(ctx, s.rounds, p.name+": build after a change / ko", rebuildLimit, y.changed(ours), y.changed(theirs))
	if err != nil {
		return nil, err
	}
	// What no builder that runs the go command can do without.
	alone, err := inTurns(ctx, s.rounds, p.name+": go build alone after a change / ko", 0, y.changed(y.goBuild(work)), y.changed(theirs))
	if err != nil {
		return nil, err
	}
	alone.NoLimit = true
	noop, err := inTurns(ctx, s.rounds, p.name+": build after no change / ko", noopLimit, ours, theirs)
	if err != nil {
		return nil, err
	}
	size, err := y.sizes(ctx)
	if err != nil {
		return nil, err
	}
	besides, err := y.besides(ctx, ours)
	return []result{rebuild, alone, noop, size, besides}, err
}

// yard is where both tools build one program and push its image to.
type yard struct {
	*source
	host string
	// sent counts the bytes that the registry was sent.
	sent  *atomic.Int64
	cache string
	// changes counts the changes of the source.
	changes int
}

// The repositories and the only platform.
const (
	oursRepo   = "gopherwood"
	theirsRepo = "ko"
	platform   = "linux/amd64"
)

// pushBase puts gopherwood's base for static programs to where ko can take it.
func (y *yard) pushBase(ctx context.Context) error {
	goroot, err := capture(exec.CommandContext(ctx, "go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	static, err := base.Static(ctx, strings.TrimSpace(string(goroot)), api.Platform{OS: "linux", Arch: runtime.GOARCH}, layer.Options{Compression: layer.Gzip})
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(y.baseRef(), name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, static.Image, remote.WithContext(ctx))
}

func (y *yard) baseRef() string { return y.host + "/base:static" }

// gopherwood is a build of the source with the flags that ko has by itself.
func (y *yard) gopherwood(file string) command {
	return timedIn(y.dir, []string{"GOPHERWOOD_CACHE_DIR=" + y.cache, "GOFLAGS=-buildvcs=auto", "GOWORK="}, file,
		"build", "--cgo", "off", "--platform", platform, "--push", y.host+"/"+oursRepo+":latest", y.pkg)
}

// goBuild compiles and links with the same flags, and makes no image.
func (y *yard) goBuild(work string) command {
	return timedIn(y.dir, []string{"GOFLAGS=-buildvcs=auto", "GOWORK=", "CGO_ENABLED=0"},
		"go", "build", "-trimpath", "-o", filepath.Join(work, "alone-"+y.name), y.pkg)
}

// ko is ko's build of the source.
func (y *yard) ko(file string) command {
	return timedIn(y.dir, []string{
		"KO_DOCKER_REPO=" + y.host + "/" + theirsRepo, "KO_DEFAULTBASEIMAGE=" + y.baseRef(), "GOFLAGS=-buildvcs=auto", "GOWORK=", "CGO_ENABLED=0",
	}, file, "build", "--bare", "--insecure-registry", "--platform", platform, y.pkg)
}

// changed runs a command after a change of its own, which is not measured.
func (y *yard) changed(c command) command {
	return func(ctx context.Context) (cost, error) {
		y.changes++
		if err := y.change(fmt.Sprintf("change %d", y.changes)); err != nil {
			return cost{}, err
		}
		return c(ctx)
	}
}

// sizes compares the sizes of both images of the present source.
func (y *yard) sizes(ctx context.Context) (result, error) {
	var sizes [2]float64
	for i, repo := range []string{oursRepo, theirsRepo} {
		img, err := y.image(ctx, repo)
		if err != nil {
			return result{}, err
		}
		if sizes[i], err = stored(img); err != nil {
			return result{}, err
		}
	}
	return result{Name: y.name + ": size of the image / ko", Unit: "ratio", Value: sizes[0] / sizes[1], Limit: sizeLimit}, nil
}

// besides is what a build after a change uploads besides the binary's layer.
func (y *yard) besides(ctx context.Context, ours command) (result, error) {
	y.sent.Store(0)
	if _, err := y.changed(ours)(ctx); err != nil {
		return result{}, err
	}
	sent := y.sent.Load()
	img, err := y.image(ctx, oursRepo)
	if err != nil {
		return result{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return result{}, err
	}
	if len(layers) == 0 {
		return result{}, errors.New("the image has no layers")
	}
	binary, err := layers[len(layers)-1].Size()
	if err != nil {
		return result{}, err
	}
	return result{Name: y.name + ": bytes uploaded besides the binary's layer", Unit: "bytes", Value: float64(sent - binary), Limit: besidesLimit}, nil
}

func (y *yard) image(ctx context.Context, repo string) (v1.Image, error) {
	ref, err := name.ParseReference(y.host+"/"+repo+":latest", name.Insecure)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref, remote.WithContext(ctx))
}

// stored is what a registry keeps of an image, in bytes.
func stored(img v1.Image) (float64, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size, err := img.Size()
	if err != nil {
		return 0, err
	}
	size += manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	return float64(size), nil
}

// counted adds the bytes of all request bodies to n.
func counted(next http.Handler, n *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = countingBody{r.Body, n}
		next.ServeHTTP(w, r)
	})
}

type countingBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}
