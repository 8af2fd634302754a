// Package registry is the store of modules in a registry of the OCI distribution
// API: a repository for each module, a tag for each version.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options says how a registry is reached. The zero value has the defaults.
type Options struct {
	// PlainHTTP talks HTTP to the registry, also where it is not on this machine.
	PlainHTTP bool
	// Keychain finds the credentials, of which the first are used; nil means those
	// of `docker login`. It is asked for the repository of the prefix.
	Keychain image.Keychain
	// Transport sends the requests; nil means one of its own, with Timeouts.
	Transport http.RoundTripper
	// Timeouts bounds how long the registry may keep silent.
	Timeouts transport.Timeouts
	// Jobs is how many blobs are sent at once; 0 means 8.
	Jobs int
	// Dir is the directory for Staging; empty means a temporary one, which Close
	// removes.
	Dir string
	// NoteEvery is how often what Used was told is written; 0 means hourly.
	NoteEvery time.Duration
}

// Store is a store.Store in a registry: a module is a repository under the prefix,
// a version a tag, which is written after all that it consists of.
//
// The distribution API has no "put unless there". Two processes that put
// different content for the same version within the same moment are both told
// of it if they can see it; the later one wins. A registry with immutable tags
// closes that gap.
type Store struct {
	prefix name.Repository
	opt    Options
	logins *logins
	// slots bounds the blobs that are sent at once.
	slots chan struct{}
	// puts has a lock a version.
	puts keylock.Locks

	records *records

	// dir is the directory for files, made when it is first wanted; own is true
	// when Close removes it.
	dirOnce sync.Once
	dir     string
	own     bool
}

// withoutUser returns a reference without what may be a password.
func withoutUser(ref string) string { return ref[strings.LastIndexByte(ref, '@')+1:] }

// maxPrefix leaves the names of repositories room in the 255 bytes that
// registries take.
const maxPrefix = 54

// Open returns the store in the registry and below the prefix that ref
// names, for example "registry.example.com/modules". Nothing is asked of the
// registry yet. It is closed after use.
func Open(ref string, opt Options) (*Store, error) {
	opt.Jobs = cmp.Or(opt.Jobs, 8)
	opt.NoteEvery = cmp.Or(opt.NoteEvery, time.Hour)
	opt.Timeouts = opt.Timeouts.OrDefault()
	prefix, err := parsePrefix(ref, opt.PlainHTTP)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "open", Input: scheme + withoutUser(ref), Err: err,
			Hint: "write oci://registry/prefix; credentials are those of docker login"}
	}
	r := &Store{
		prefix: prefix, opt: opt,
		logins: newLogins(prefix, opt),
		slots:  make(chan struct{}, opt.Jobs),
	}
	r.records = newRecords(r)
	return r, nil
}

const scheme = "oci://"

// repositoryName is the grammar of the OCI distribution specification.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// parsePrefix reads "registry[/prefix]".
func parsePrefix(ref string, plainHTTP bool) (name.Repository, error) {
	options := []name.Option{name.StrictValidation}
	if plainHTTP {
		options = append(options, name.Insecure)
	}
	host, path, _ := strings.Cut(strings.TrimRight(ref, "/"), "/")
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || host != "localhost" && !strings.ContainsAny(host, ".:") {
		return name.Repository{}, errors.New("it begins with no registry's host")
	}
	registry, err := name.NewRegistry(host, options...)
	if err != nil {
		return name.Repository{}, err
	}
	if path == "" {
		return registry.Repo(), nil
	}
	if len(path) > maxPrefix {
		return name.Repository{}, fmt.Errorf("the prefix is longer than %d bytes, which leaves the names of modules too little room", maxPrefix)
	}
	if !repositoryName.MatchString(path) {
		return name.Repository{}, fmt.Errorf("%q cannot be the name of a repository", path)
	}
	return registry.Repo(path), nil
}

// Name implements store.Store.
func (r *Store) Name() string {
	return scheme + strings.TrimRight(image.RepositoryName(r.prefix), "/")
}

// Staging implements store.Store. Where no directory can be made for it, it is that of
// all temporary files.
func (r *Store) Staging() string {
	r.dirOnce.Do(func() {
		r.dir = r.opt.Dir
		if r.dir != "" {
			return
		}
		made, err := os.MkdirTemp("", "gopherwood-modules-")
		if r.dir, r.own = made, err == nil; err != nil {
			r.dir = os.TempDir()
		}
	})
	return r.dir
}

// Close implements store.Store.
func (r *Store) Close() error {
	err := r.records.close()
	r.logins.close()
	r.dirOnce.Do(func() {}) // it was never wanted
	if r.own {
		if rmErr := os.RemoveAll(r.dir); err == nil {
			err = store.DiskFault("remove", r.dir, rmErr)
		}
	}
	return err
}

// repository returns where the versions of a module are.
func (r *Store) repository(path string) (name.Repository, error) {
	repo, err := artifact.Repository(path)
	if err != nil {
		return name.Repository{}, err
	}
	return r.below(repo), nil
}

// below returns the repository with a name below the prefix.
func (r *Store) below(repo string) name.Repository {
	if prefix := r.prefix.RepositoryStr(); prefix != "" {
		repo = prefix + "/" + repo
	}
	return r.prefix.Registry.Repo(repo)
}

// in says for errors what of the store it is about.
func (r *Store) in(what string) string { return what + " in " + r.Name() }

// place is where one version is.
type place struct {
	module.Version
	repo name.Repository
	tag  string
}

func (r *Store) place(m module.Version) (place, error) {
	if err := artifact.CheckVersion(m); err != nil {
		return place{}, &fault.Error{Code: fault.Invalid, Op: "find module", Input: m.String(), Err: err}
	}
	repo, err := r.repository(m.Path)
	if err != nil {
		return place{}, err
	}
	tag, err := artifact.Tag(m.Version)
	return place{m, repo, tag}, err
}

// Get implements store.Store.
func (r *Store) Get(ctx context.Context, m module.Version) (*store.Entry, error) {
	p, err := r.place(m)
	if err != nil {
		return nil, err
	}
	found, err := r.manifest(ctx, p)
	if err != nil {
		return nil, r.explain("read", r.in(p.String()), p.repo, err)
	}
	entry, err := r.entry(ctx, p, found)
	return entry, r.explain("read", r.in(p.String()), p.repo, err)
}

// stored is a manifest as the registry has it.
type stored struct {
	artifact.Manifest
	digest string
}

// manifest reads the manifest of a version, or returns store.ErrAbsent.
func (r *Store) manifest(ctx context.Context, p place) (*stored, error) {
	raw, err := r.document(ctx, p.repo, p.tag, artifact.MaxManifest)
	if isAbsent(err) {
		return nil, store.ErrAbsent
	}
	if err != nil {
		return nil, err
	}
	m, err := artifact.Parse(raw)
	if err == nil && m.Version != p.Version {
		err = &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the manifest there is of %s", m.Version)}
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Err: err,
			Hint: "something else has been pushed to this tag: delete it in the registry"}
	}
	return &stored{m, artifact.Digest(raw)}, nil
}

// document reads a manifest by its tag or digest.
func (r *Store) document(ctx context.Context, repo name.Repository, ref string, limit int64) ([]byte, error) {
	resp, err := r.logins.do(ctx, repo, distribution.PullScope, request{
		method: http.MethodGet, path: "manifests/" + ref, accept: artifact.ManifestType,
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		return nil, err
	}
	raw, err := readAnswer(resp.Body, limit)
	if err != nil {
		return nil, err
	}
	if said, got := resp.Header.Get(digestHeader), artifact.Digest(raw); artifact.CheckDigest(said) == nil && said != got {
		return nil, wrongDigest("the manifest", got, said)
	}
	return raw, nil
}

const digestHeader = "Docker-Content-Digest"

// entry reads what is small of a version.
func (r *Store) entry(ctx context.Context, p place, found *stored) (*store.Entry, error) {
	e := &store.Entry{
		Version: store.Version{
			Version: p.Version, Sum: found.Sum, GoModSum: found.GoModSum, ZipSize: found.Zip.Size,
			Origin: found.Origin, Stored: found.Created,
		},
		Manifest: found.digest, ZipDigest: found.Zip.Digest,
	}
	group, groupCtx := errgroup.WithContext(ctx)
	read := func(b artifact.Blob, into *[]byte) {
		group.Go(func() (err error) {
			*into, err = r.blob(groupCtx, p.repo, b)
			return err
		})
	}
	read(found.Info, &e.Info)
	read(found.Mod, &e.Mod)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if sum := artifact.GoModSum(e.Mod); sum != found.GoModSum {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("go.mod has the hash %s, and not %s as the manifest says", sum, found.GoModSum)}
	}
	e.Opener = func(ctx context.Context) (store.Zip, error) { return r.openZip(ctx, p, found.Zip) }
	return e, nil
}

// Versions implements store.Store.
func (r *Store) Versions(ctx context.Context, path string) ([]string, error) {
	repo, err := r.repository(path)
	if err != nil {
		return nil, err
	}
	versions, err := r.versions(ctx, repo)
	return versions, r.explain("list", r.in(path), repo, err)
}

func (r *Store) versions(ctx context.Context, repo name.Repository) ([]string, error) {
	tags, err := r.tags(ctx, repo)
	if isAbsent(err) {
		return nil, nil
	}
	var versions []string
	for _, tag := range tags {
		version, err := artifact.VersionOf(tag)
		if errors.Is(err, artifact.ErrHashed) {
			version, err = r.hashed(ctx, repo, tag)
			if err != nil {
				return nil, err
			}
		}
		if err == nil && version != "" {
			versions = append(versions, version)
		}
	}
	semver.Sort(versions)
	return slices.Compact(versions), err
}

// hashed returns the version whose tag is a hash; "" when it is none of ours.
func (r *Store) hashed(ctx context.Context, repo name.Repository, tag string) (string, error) {
	m, err := r.read(ctx, repo, tag)
	if err != nil || m == nil {
		return "", err
	}
	if again, err := artifact.Tag(m.Version.Version); err != nil || again != tag {
		return "", nil
	}
	return m.Version.Version, nil
}

// read reads the manifest at a tag; nil when there is none, or none of ours.
func (r *Store) read(ctx context.Context, repo name.Repository, tag string) (*artifact.Manifest, error) {
	raw, err := r.document(ctx, repo, tag, artifact.MaxManifest)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := artifact.Parse(raw)
	if err != nil {
		return nil, nil //nolint:nilerr // others may push what they like
	}
	return &m, nil
}

// Delete implements store.Store. Zips that are open are copies, so that no reader is
// in the way.
func (r *Store) Delete(ctx context.Context, m module.Version) (bool, error) {
	p, err := r.place(m)
	if err != nil {
		return false, err
	}
	unlock, err := r.puts.Lock(ctx, p.String())
	if err != nil {
		return false, r.explain("delete", r.in(p.String()), p.repo, err)
	}
	defer unlock()
	found, err := r.manifest(ctx, p)
	if err == nil {
		err = r.remove(ctx, p, found.digest)
	}
	if err == nil {
		r.records.forget(p.Version)
	}
	return err == nil, r.explain("delete", r.in(p.String()), p.repo, err)
}

// remove deletes a manifest, and with it the tag: some registries have kept the
// tag then.
func (r *Store) remove(ctx context.Context, p place, digest string) error {
	if err := r.deleteManifest(ctx, p.repo, digest); err != nil {
		return err
	}
	left, err := r.tagged(ctx, p.repo, p.tag)
	if err != nil || left != digest {
		return err
	}
	return r.deleteManifest(ctx, p.repo, p.tag)
}

func (r *Store) deleteManifest(ctx context.Context, repo name.Repository, ref string) error {
	resp, err := r.logins.do(ctx, repo, distribution.DeleteScope, request{method: http.MethodDelete, path: "manifests/" + ref})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusMethodNotAllowed {
		return &fault.Error{Code: fault.Unsupported, Op: "registry", Input: repo.RegistryStr(), Err: errors.New("it does not delete"),
			Hint: "allow deletion in the registry's configuration, or leave it to the registry's own retention rules"}
	}
	return distribution.CheckError(resp, http.StatusAccepted, http.StatusOK, http.StatusNoContent, http.StatusNotFound)
}

// tagged returns the digest of the manifest that has the tag; "" when there is
// none, or the registry does not say.
func (r *Store) tagged(ctx context.Context, repo name.Repository, tag string) (string, error) {
	resp, err := r.logins.do(ctx, repo, distribution.PullScope, request{
		method: http.MethodHead, path: "manifests/" + tag, accept: artifact.ManifestType,
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	err = distribution.CheckError(resp, http.StatusOK)
	if isAbsent(err) {
		return "", nil
	}
	return resp.Header.Get(digestHeader), err
}
