package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The record of a module says since when its versions are known and when they
// were used last. It is an artifact of its own in the module's repository.
const (
	recordTag  = "_record"
	recordType = "application/vnd.gopherwood.module.record.v1+json"
	// maxRecord is the longest record, in bytes.
	maxRecord = 16 << 20
)

// record is the content of a module's record.
type record struct {
	Versions map[string]noted `json:"versions"`
}

// noted is what is known of a version besides itself. Merging is monotonic, so
// that it does not matter who writes first.
type noted struct {
	// Seen is the earliest time that anybody has noted, Used the latest, to the
	// hour.
	Seen time.Time `json:"seen,omitzero"`
	Used time.Time `json:"used,omitzero"`
}

func (n noted) merge(with noted) noted {
	if n.Seen.IsZero() || !with.Seen.IsZero() && with.Seen.Before(n.Seen) {
		n.Seen = with.Seen
	}
	if with.Used.After(n.Used) {
		n.Used = with.Used
	}
	return n
}

// merge returns the union of both, and whether it says more than the first.
func (r record) merge(with record) (record, bool) {
	all := record{Versions: maps.Clone(r.Versions)}
	if all.Versions == nil {
		all.Versions = map[string]noted{}
	}
	more := false
	for version, n := range with.Versions {
		have, known := all.Versions[version]
		merged := have.merge(n)
		if !known || merged != have {
			all.Versions[version], more = merged, true
		}
	}
	return all, more
}

// records keeps what was read and what is to be written of the records.
type records struct {
	store *Store
	// writing has a lock a module.
	writing keylock.Locks

	mu sync.Mutex
	// known is what was read or written, of at most maxRecords modules; used is
	// what is not written yet, or empty for what is to be looked at once more.
	known  map[string]record
	used   map[string]record
	closed bool

	started sync.Once
	stop    context.CancelFunc
	done    chan struct{}
}

const (
	// maxRecords is how many records are kept in memory.
	maxRecords = 4096
	// maxUsed is of how many modules uses are kept before they are written.
	maxUsed = 65536
	// closeTime is how long Close takes at most to write what was noted.
	closeTime = 30 * time.Second
	// recordTries is how often a record is written when others write it, too.
	recordTries = 10
	// writers is how many records are written at once.
	writers = 8
)

func newRecords(store *Store) *records {
	return &records{store: store, known: map[string]record{}, used: map[string]record{}, stop: func() {}}
}

// Seen implements store.Store.
func (r *Store) Seen(ctx context.Context, path string, versions []string, now time.Time) (map[string]time.Time, error) {
	repo, err := r.repository(path)
	if err != nil {
		return nil, err
	}
	now = now.Round(0).UTC() // as it is read again
	all, err := r.records.seen(ctx, repo, path, versions, now)
	if err != nil {
		return nil, r.explain("note versions of", r.in(path), repo, err)
	}
	seen := map[string]time.Time{}
	for _, version := range versions {
		seen[version] = all.Versions[version].Seen
	}
	return seen, nil
}

func (r *records) seen(ctx context.Context, repo name.Repository, path string, versions []string, now time.Time) (record, error) {
	unknown := func(of record) []string {
		return slices.DeleteFunc(slices.Clone(versions), func(v string) bool { return !of.Versions[v].Seen.IsZero() })
	}
	r.mu.Lock()
	have := r.known[path]
	r.mu.Unlock()
	if len(unknown(have)) == 0 {
		return have, nil
	}
	return r.update(ctx, repo, path, true, func(have record) record {
		add := record{Versions: map[string]noted{}}
		for _, v := range unknown(have) {
			add.Versions[v] = noted{Seen: now}
		}
		return add
	})
}

// Used implements store.Store.
func (r *Store) Used(m module.Version, at time.Time) {
	r.records.started.Do(r.records.start)
	r.records.note(m, noted{Used: at.UTC().Truncate(time.Hour)})
}

// note keeps a use until it is written.
func (r *records) note(m module.Version, n noted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, ok := r.used[m.Path]
	if !ok {
		if len(r.used) >= maxUsed || r.closed {
			return
		}
		of = record{Versions: map[string]noted{}}
		r.used[m.Path] = of
	}
	if have := of.Versions[m.Version]; have.merge(n) != have {
		of.Versions[m.Version] = have.merge(n)
	}
}

// Uses implements store.Store.
func (r *Store) Uses(ctx context.Context, path string) (map[string]time.Time, error) {
	repo, err := r.repository(path)
	if err != nil {
		return nil, err
	}
	all, _, err := r.records.read(ctx, repo)
	if err != nil {
		return nil, r.explain("read uses of", r.in(path), repo, err)
	}
	uses := map[string]time.Time{}
	for version, n := range r.records.pending(path, all).Versions {
		if !n.Used.IsZero() {
			uses[version] = n.Used
		}
	}
	return uses, nil
}

// pending returns the record with what is not written yet.
func (r *records) pending(path string, have record) record {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, _ := have.merge(r.used[path])
	return all
}

// forget drops what is known in memory of a version's use.
func (r *records) forget(m module.Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.used[m.Path].Versions, m.Version)
}

// start begins to write uses from time to time.
func (r *records) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel()
		return
	}
	r.stop, r.done = cancel, done
	go func() {
		defer close(done)
		ticker := time.NewTicker(r.store.opt.NoteEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = r.flush(ctx) // what could not be written is tried again, at Close at the latest
			case <-ctx.Done():
				return
			}
		}
	}()
}

// close writes what was noted.
func (r *records) close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	stop, done := r.stop, r.done
	r.mu.Unlock()
	if closed {
		return nil
	}
	stop()
	if done != nil {
		<-done
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return r.flush(ctx)
}

// flush writes the uses that were noted. After a failure the others wait for the
// next time, as the registry is likely to refuse them, too.
func (r *records) flush(ctx context.Context) error {
	r.mu.Lock()
	paths := slices.Sorted(maps.Keys(r.used))
	r.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, path := range paths {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil // the error of another is the one to tell
			}
			repo, err := r.store.repository(path)
			if err != nil {
				return err
			}
			return r.store.explain("note uses of", r.store.in(path), repo, r.write(ctx, repo, path))
		})
	}
	return group.Wait()
}

// write writes the uses of one module.
func (r *records) write(ctx context.Context, repo name.Repository, path string) error {
	r.mu.Lock()
	add := r.used[path]
	delete(r.used, path)
	r.mu.Unlock()
	_, err := r.update(ctx, repo, path, false, func(record) record { return add })
	if err != nil {
		for version, n := range add.Versions {
			r.note(module.Version{Path: path, Version: version}, n)
		}
	}
	return err
}

// update reads the record of a module, adds to it and writes it. Others may do
// the same at once, and the distribution API has nothing against that: so it
// looks whether its own part is there afterwards. With wait, it does so when those
// are through, too, who have read before and write after it; what they make of
// it is then what all of them return.
func (r *records) update(ctx context.Context, repo name.Repository, path string, wait bool, add func(record) record) (record, error) {
	unlock, err := r.writing.Lock(ctx, path)
	if err != nil {
		return record{}, err
	}
	defer unlock()
	r.mu.Lock()
	before := r.known[path]
	r.mu.Unlock()
	var more record
	for range recordTries {
		start := time.Now()
		have, digest, err := r.read(ctx, repo)
		if err != nil {
			return record{}, err
		}
		want, lost := have.merge(before)
		if more.Versions == nil {
			more = add(want)
		}
		want, added := want.merge(more)
		if !lost && !added {
			r.remember(path, want)
			return want, nil
		}
		if err := r.put(ctx, repo, want, digest); err != nil {
			return record{}, err
		}
		r.wrote(path)
		if wait {
			took := time.Since(start)
			if err := pause.For(ctx, 3*took+rand.N(took+1)); err != nil {
				return record{}, err
			}
		}
	}
	return record{}, &fault.Error{Code: fault.Unavailable, Op: "registry", Input: repo.RegistryStr(), Err: errors.New("others write the record of the module all the time"), Hint: "try again later"}
}

// wrote takes down that somebody may overwrite the record just now, who has not
// read it.
func (r *records) wrote(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used[path].Versions == nil && len(r.used) < maxUsed {
		r.used[path] = record{Versions: map[string]noted{}}
	}
}

func (r *records) remember(path string, have record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for old := range r.known {
		if len(r.known) < maxRecords {
			break
		}
		delete(r.known, old) // it is read again when it is asked for
	}
	r.known[path] = have
}

// read reads a record, empty where there is none, and the digest of its manifest.
func (r *records) read(ctx context.Context, repo name.Repository) (record, string, error) {
	raw, err := r.store.document(ctx, repo, recordTag, artifact.MaxManifest)
	if isAbsent(err) {
		return record{}, "", nil
	}
	if err != nil {
		return record{}, "", err
	}
	blob, err := parseRecordManifest(raw)
	if err != nil {
		return record{}, "", err
	}
	data, err := r.store.blob(ctx, repo, blob)
	if err != nil {
		return record{}, "", err
	}
	have, err := parseRecord(data)
	return have, artifact.Digest(raw), err
}

// recordManifest is the manifest of a record, an OCI image manifest.
type recordManifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        v1.Descriptor   `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
}

func parseRecordManifest(raw []byte) (artifact.Blob, error) {
	var m recordManifest
	err := json.Unmarshal(raw, &m)
	if err == nil && (m.ArtifactType != recordType || len(m.Layers) != 1) {
		err = errors.New("it is something else")
	}
	if err != nil {
		return artifact.Blob{}, wrongRecord(err)
	}
	b := artifact.Blob{Digest: m.Layers[0].Digest.String(), Size: m.Layers[0].Size}
	if err := artifact.CheckDigest(b.Digest); err != nil {
		return artifact.Blob{}, wrongRecord(err)
	}
	if b.Size < 0 || b.Size > maxRecord {
		return artifact.Blob{}, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the record of the module is of %d bytes, of which %d are the most", b.Size, maxRecord)}
	}
	return b, nil
}

// parseRecord reads a record.
func parseRecord(data []byte) (record, error) {
	var have record
	if err := json.Unmarshal(data, &have); err != nil {
		return record{}, wrongRecord(err)
	}
	for version, n := range have.Versions {
		have.Versions[version] = noted{Seen: n.Seen.UTC(), Used: n.Used.UTC()}
	}
	return have, nil
}

func wrongRecord(err error) error {
	return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the tag %s is not of a record: %w", recordTag, err), Hint: "delete that tag in the registry"}
}

// put writes a record in the place of the manifest with the digest old, "" for
// none, which it deletes then if the registry allows that.
func (r *records) put(ctx context.Context, repo name.Repository, want record, old string) error {
	data, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if len(data) > maxRecord {
		return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the record of the module would be longer than %d bytes", maxRecord)}
	}
	content := artifact.BlobOf(data)
	raw, err := recordDocument(content)
	if err != nil {
		return err
	}
	blobs := []v1.Layer{
		sentLayer{artifact.BlobOf([]byte(artifact.Config)), opener([]byte(artifact.Config))},
		sentLayer{content, opener(data)},
	}
	if err := r.store.send(ctx, repo, blobs); err != nil {
		return err
	}
	if err := r.store.putManifest(ctx, repo, recordTag, raw); err != nil {
		return err
	}
	if old != "" {
		r.clean(ctx, repo, old)
	}
	return nil
}

func recordDocument(content artifact.Blob) ([]byte, error) {
	digest, err := v1.NewHash(content.Digest)
	if err != nil {
		return nil, err
	}
	config, err := v1.NewHash(artifact.ConfigDigest)
	if err != nil {
		return nil, err
	}
	return json.Marshal(recordManifest{
		SchemaVersion: 2, MediaType: artifact.ManifestType, ArtifactType: recordType,
		Config: v1.Descriptor{MediaType: artifact.ConfigType, Digest: config, Size: int64(len(artifact.Config))},
		Layers: []v1.Descriptor{{MediaType: recordType, Digest: digest, Size: content.Size}},
	})
}

// clean deletes the manifest of a former record. Where that is not allowed, the
// registry's own garbage collection does it.
func (r *records) clean(ctx context.Context, repo name.Repository, digest string) {
	resp, err := r.store.logins.do(ctx, repo, distribution.DeleteScope, request{method: http.MethodDelete, path: "manifests/" + digest})
	if err == nil {
		_ = resp.Body.Close()
	}
}
