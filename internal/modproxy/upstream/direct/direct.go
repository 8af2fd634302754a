// Package direct gets modules from version control, by the go command and git of
// this machine.
package direct

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// defaultTimeout is how long one call of the go command may take unless the
// options say otherwise: time to clone a large repository.
const defaultTimeout = 15 * time.Minute

// Options say how modules are gotten from version control.
type Options struct {
	// Dir is a directory for the module cache and the repositories.
	Dir string
	// GoCommand is the go command ("go" on PATH when empty), and Timeout how long
	// one call of it may take (15 min when zero).
	GoCommand string
	Timeout   time.Duration
	// CredentialCommand is a command that calls credential.Answer, and its
	// arguments; the go command and git run it for the credentials in the
	// environment. When it is empty, it is this program with the arguments
	// "modproxy credential".
	CredentialCommand []string
	// Environ is the environment with what the go command and git are told.
	Environ []string
	// Private are patterns of modules, in the syntax of GOPRIVATE.
	Private string
	// MaxZip is the largest zip in bytes.
	MaxZip int64
	// Observer is told of every call of the go command.
	Observer func(upstream.Request)
}

// Source is version control.
type Source struct {
	goCommand string
	timeout   time.Duration
	env       []string
	// dir has all that follows. work is where the go command runs, a directory
	// without a go.mod file, and where temporary directories are.
	dir, work string
	// cache is the module cache that .info and go.mod files and clones stay in.
	cache   moduleCache
	clones  clones
	maxZip  int64
	scrub   scrubber
	observe func(upstream.Request)
	// places bounds how many commands run at the same time.
	places chan struct{}
}

var _ upstream.Source = (*Source)(nil)

// New returns the source of all modules that are in version control, with the
// known credentials.
func New(opt Options, known *credential.Logins) (*Source, error) {
	d := &Source{goCommand: cmp.Or(opt.GoCommand, "go"), timeout: cmp.Or(opt.Timeout, defaultTimeout), maxZip: opt.MaxZip, observe: opt.Observer,
		places: make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0)))}
	if opt.Dir == "" {
		return d, nil
	}
	var err error
	if d.dir, err = filepath.Abs(opt.Dir); err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "use the directory", Input: opt.Dir, Err: err}
	}
	d.work, d.cache = filepath.Join(d.dir, "work"), moduleCache(filepath.Join(d.dir, "mod"))
	d.clones.dir, d.clones.lock = d.cache.repositories(), filepath.Join(d.dir, "clones.lock")
	d.scrub = scrubber{secrets: known.Secrets(), dirs: []string{d.dir}}
	if d.env, err = environment(opt, known, d.dir); err != nil {
		return nil, err
	}
	d.env = slices.Clip(d.env) // calls append to it at the same time
	return d, nil
}

// asked is a call of the go command about a module.
type asked struct {
	kind, path string
	// what is the argument: the path, with "@" and a query or without.
	what  string
	limit int64
	// cache is the module cache of this call, direct.cache when it is empty.
	cache moduleCache
}

// answer is what the go command prints in JSON.
type answer interface {
	// problem is why there is nothing in it, "" where there is.
	problem() string
	// repository is the URL of where it comes from, "" where that is not said.
	repository() string
}

// run calls the go command with args and the module's name after them, and reads
// what it prints into a.
func (d *Source) run(ctx context.Context, q asked, a answer, args ...string) (err error) {
	if q.path == "golang.org/toolchain" {
		return &fault.Error{Code: fault.NotFound, Op: "get", Input: q.what, Err: errors.New("toolchains are not in version control, only at a module proxy")}
	}
	if d.dir == "" {
		return noDirectory()
	}
	if err := os.MkdirAll(d.work, 0o777); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "make the directory of", Input: "version control", Err: err}
	}
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	case <-ctx.Done():
		return d.ended(ctx, q)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("the go command took more than %v: %w", d.timeout, context.DeadlineExceeded))
	defer cancel()
	defer d.clones.use(ctx)()
	start := time.Now()
	run := command{name: d.goCommand, dir: d.work, env: append(d.env, "PWD="+d.work, "GOMODCACHE="+string(cmp.Or(q.cache, d.cache))), limit: q.limit}
	out, err := run.output(ctx, append(args, q.what)...)
	defer func() {
		d.observe(upstream.Request{Host: "direct", Kind: q.kind, Module: q.path, Bytes: int64(len(out)), Duration: time.Since(start), Err: err})
	}()
	var failed *commandError
	switch {
	case ctx.Err() != nil:
		return d.ended(ctx, q)
	case err != nil && !errors.As(err, &failed):
		return err
	}
	// It prints an answer about what failed, too, or only messages.
	unreadable := json.Unmarshal(out, a)
	switch {
	case unreadable == nil && a.problem() != "":
		return d.fault(ctx, q, a.problem())
	case unreadable == nil:
		d.clones.touch(a.repository())
		return nil
	case failed != nil:
		return d.fault(ctx, q, failed.message)
	}
	return &fault.Error{Code: fault.Internal, Op: "read the go command's answer about", Input: q.what, Err: unreadable}
}

func noDirectory() error {
	return &fault.Error{Code: fault.Usage, Op: "use", Input: "version control", Err: errors.New("it needs a directory for its module cache")}
}

// ended is the fault of a context that has ended.
func (d *Source) ended(ctx context.Context, q asked) error {
	cause := context.Cause(ctx)
	return &fault.Error{Code: fault.CodeOf(cause), Op: "get", Input: q.what, Err: cause}
}

// listing is what `go list -m -json` prints of a module.
type listing struct {
	Version  string
	Versions []string
	Error    *struct{ Err string }
	Origin   origin
}

func (l *listing) repository() string { return l.Origin.URL }

func (l *listing) problem() string {
	if l.Error == nil {
		return ""
	}
	return cmp.Or(l.Error.Err, "the go command names no reason")
}

func (d *Source) list(ctx context.Context, q asked, flags ...string) (listing, error) {
	var l listing
	err := d.run(ctx, q, &l, append([]string{"list", "-m", "-json"}, flags...)...)
	return l, err
}

func (d *Source) Versions(ctx context.Context, path string) ([]string, error) {
	answer, err := d.list(ctx, asked{kind: "list", path: path, what: path, limit: upstream.MaxList}, "-versions", "-retracted")
	if err != nil {
		return nil, err
	}
	return upstream.Released(answer.Versions), nil
}

func (d *Source) Latest(ctx context.Context, path string) ([]byte, error) {
	return d.query(ctx, "latest", path, "latest")
}

func (d *Source) Info(ctx context.Context, path, query string) ([]byte, error) {
	if upstream.CheckVersion(module.Version{Path: path, Version: query}) == nil {
		if data, err := d.cache.read(module.Version{Path: path, Version: query}, ".info", artifact.MaxInfo); err == nil {
			return d.info(path, query, data)
		}
	}
	return d.query(ctx, "info", path, query)
}

// query lets the go command find out which version is meant, and returns the
// .info document that it has then.
func (d *Source) query(ctx context.Context, kind, path, query string) ([]byte, error) {
	q := asked{kind: kind, path: path, what: path + "@" + query, limit: artifact.MaxInfo}
	answer, err := d.list(ctx, q)
	if err != nil {
		return nil, err
	}
	data, err := d.cache.read(module.Version{Path: path, Version: answer.Version}, ".info", artifact.MaxInfo)
	if err != nil {
		return nil, err
	}
	if kind == "latest" {
		query = ""
	}
	return d.info(path, query, data)
}

// info checks an .info document, and takes credentials out of its origin.
func (d *Source) info(path, query string, data []byte) ([]byte, error) {
	data = []byte(withoutUsers(string(data)))
	if err := upstream.CheckInfo(data, path, query); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "read the go command's answer about", Input: path + "@" + query, Err: err}
	}
	return data, nil
}

func (d *Source) Mod(ctx context.Context, m module.Version) ([]byte, error) {
	if data, err := d.cache.read(m, ".mod", artifact.MaxMod); err == nil {
		return data, nil
	}
	if _, err := d.list(ctx, asked{kind: "mod", path: m.Path, what: m.String(), limit: artifact.MaxInfo}); err != nil {
		return nil, err
	}
	return d.cache.read(m, ".mod", artifact.MaxMod)
}

// downloaded is what `go mod download -json` prints of a version.
type downloaded struct {
	Error, Zip string
	Origin     origin
}

func (d *downloaded) repository() string { return d.Origin.URL }

// problem passes over what the go command says after it has the zip: that is
// about the use of its files on this machine. A module for a newer Go has none,
// but can be had all the same.
func (d *downloaded) problem() string {
	if d.Zip != "" || tooNew(d.Error) {
		return ""
	}
	return cmp.Or(d.Error, "the go command names no reason")
}

// Fetch gets the documents with the zip, also where they are known.
func (d *Source) Fetch(ctx context.Context, m module.Version, dir string, known upstream.Known) (_ *upstream.Download, err error) {
	cache, err := d.temporaryCache()
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(string(cache)) }() // temporary finds what is left
	q := asked{kind: "zip", path: m.Path, what: m.String(), limit: artifact.MaxInfo, cache: cache}
	var answer downloaded
	if err = d.run(ctx, q, &answer, "mod", "download", "-json"); err != nil {
		return nil, err
	}
	got := &upstream.Download{Version: store.Version{Version: m, Origin: "direct"}}
	file, err := got.Create(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = file.Close() // after what was written was checked
		if err != nil {
			_ = got.Close() // whoever sweeps the directory finds what could not be removed
		}
	}()
	if answer.Zip != "" {
		err = take(answer.Zip, file)
	} else {
		err = d.archive(ctx, q, m, file)
	}
	if err == nil {
		err = d.complete(ctx, cache, got, known.Background)
	}
	if err != nil {
		return nil, err
	}
	return got, nil
}

// complete reads and checks what the module cache has of a version, and measures
// its zip.
func (d *Source) complete(ctx context.Context, cache moduleCache, got *upstream.Download, background bool) (err error) {
	m := got.Version.Version
	if got.Info, err = cache.read(m, ".info", artifact.MaxInfo); err != nil {
		return err
	}
	if got.Info, err = d.info(m.Path, m.Version, got.Info); err != nil {
		return err
	}
	if got.Mod, err = cache.read(m, ".mod", artifact.MaxMod); err != nil {
		return err
	}
	got.GoModSum = artifact.GoModSum(got.Mod)
	if err := got.Measure(ctx, m.String(), background); err != nil {
		return err
	}
	if got.ZipSize > d.maxZip {
		return &fault.Error{Code: fault.Limit, Op: "get", Input: m.String(), Err: fmt.Errorf("its zip has more than %d bytes", d.maxZip)}
	}
	return nil
}

// fault makes an error of what the go command says.
func (d *Source) fault(ctx context.Context, q asked, message string) error {
	if strings.Contains(message, "no secure protocol found") {
		if err := d.askGit(ctx, q); err != nil {
			return err
		}
	}
	return d.scrub.fault(q.what, message)
}
