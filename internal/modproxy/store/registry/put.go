package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Put implements store.Store. A version that is there with the same sums, and of which
// the registry has lost something, is completed.
func (r *Store) Put(ctx context.Context, v store.Version, path string) (*store.Entry, error) {
	p, err := r.place(v.Version)
	if err != nil {
		return nil, err
	}
	entry, err := r.put(ctx, p, v, path)
	return entry, r.explain("store", r.in(p.String()), p.repo, err)
}

func (r *Store) put(ctx context.Context, p place, v store.Version, path string) (*store.Entry, error) {
	unlock, err := r.puts.Lock(ctx, p.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, err := r.agreed(ctx, p, v)
	if err != nil {
		return nil, err
	}
	if found != nil {
		whole, err := r.whole(ctx, p.repo, found)
		if err != nil {
			return nil, err
		}
		if whole {
			return r.entry(ctx, p, found)
		}
		v.Stored = found.Created
	}
	w, err := newWriting(ctx, v, path)
	if err != nil {
		return nil, err
	}
	if err := r.write(ctx, p, w); err != nil {
		return nil, err
	}
	return r.written(ctx, p, w)
}

// agreed returns the version if it is there already, nil if not, and an error if
// it is there with other sums.
func (r *Store) agreed(ctx context.Context, p place, v store.Version) (*stored, error) {
	found, err := r.manifest(ctx, p)
	if errors.Is(err, store.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return found, store.CheckSums(store.Version{Sum: found.Sum, GoModSum: found.GoModSum}, v)
}

// whole reports whether the registry has all that a manifest refers to.
func (r *Store) whole(ctx context.Context, repo name.Repository, m *stored) (bool, error) {
	for _, blob := range []artifact.Blob{m.Info, m.Mod, m.Zip} {
		resp, err := r.logins.do(ctx, repo, distribution.PushScope, request{method: http.MethodHead, path: "blobs/" + blob.Digest})
		if err != nil {
			return false, err
		}
		_ = resp.Body.Close()
		err = distribution.CheckError(resp, http.StatusOK)
		if isAbsent(err) || err == nil && resp.ContentLength >= 0 && resp.ContentLength != blob.Size {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// writing is a version on its way into the registry.
type writing struct {
	store.Version
	manifest artifact.Manifest
	raw      []byte
	blobs    []v1.Layer
}

// newWriting returns a version whose zip is the file at path.
func newWriting(ctx context.Context, v store.Version, path string) (*writing, error) {
	zip, err := blobOfFile(ctx, path)
	if err != nil {
		return nil, store.DiskFault("read", path, err)
	}
	if v.ZipSize != 0 && v.ZipSize != zip.Size {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("its zip has %d bytes and not %d", zip.Size, v.ZipSize)}
	}
	v.ZipSize = zip.Size
	if v.Stored.IsZero() {
		v.Stored = time.Now()
	}
	v.Stored = v.Stored.Round(0).UTC()
	if sum := artifact.GoModSum(v.Mod); sum != v.GoModSum {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("go.mod has the hash %s and not %s", sum, v.GoModSum)}
	}
	w := &writing{Version: v, manifest: artifact.Manifest{
		Version: v.Version, Sum: v.Sum, GoModSum: v.GoModSum, Origin: v.Origin, Created: v.Stored,
		Info: artifact.BlobOf(v.Info), Mod: artifact.BlobOf(v.Mod), Zip: zip,
	}}
	w.raw, err = w.manifest.Marshal()
	if err != nil {
		return nil, err
	}
	for _, blob := range []struct {
		artifact.Blob
		open func() (io.ReadCloser, error)
	}{
		{artifact.BlobOf([]byte(artifact.Config)), opener([]byte(artifact.Config))},
		{w.manifest.Info, opener(v.Info)},
		{w.manifest.Mod, opener(v.Mod)},
		{zip, func() (io.ReadCloser, error) { return os.Open(path) }},
	} {
		w.blobs = append(w.blobs, sentLayer{blob.Blob, blob.open})
	}
	return w, nil
}

func opener(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// blobOfFile returns what blob a file is.
func blobOfFile(ctx context.Context, path string) (artifact.Blob, error) {
	f, err := os.Open(path)
	if err != nil {
		return artifact.Blob{}, err
	}
	defer f.Close()
	return artifact.CopyBlob(ctx, io.Discard, f)
}

// write sends the blobs and then the manifest. When the registry then says that
// it lacks something, all is checked and sent once more.
func (r *Store) write(ctx context.Context, p place, w *writing) error {
	if err := r.send(ctx, p.repo, w.blobs); err != nil {
		return err
	}
	// Others may have been faster meanwhile.
	if _, err := r.agreed(ctx, p, w.Version); err != nil {
		return err
	}
	err := r.tag(ctx, p, w)
	if !lacksContent(err) {
		return err
	}
	if err := r.send(ctx, p.repo, w.blobs); err != nil {
		return err
	}
	if err = r.tag(ctx, p, w); lacksContent(err) {
		return &fault.Error{Code: fault.Unavailable, Op: "registry", Input: p.repo.RegistryStr(),
			Err: fmt.Errorf("it lost content that it had taken, twice: %w", err), Hint: "look at the registry's storage and its log"}
	}
	return err
}

// tag writes the manifest.
func (r *Store) tag(ctx context.Context, p place, w *writing) error {
	return r.putManifest(ctx, p.repo, p.tag, w.raw)
}

func (r *Store) putManifest(ctx context.Context, repo name.Repository, tag string, raw []byte) error {
	resp, err := r.logins.do(ctx, repo, distribution.PushScope, request{
		method: http.MethodPut, path: "manifests/" + tag, content: artifact.ManifestType, body: raw,
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := distribution.CheckError(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted); err != nil {
		return err
	}
	if said, want := resp.Header.Get(digestHeader), artifact.Digest(raw); artifact.CheckDigest(said) == nil && said != want {
		return wrongDigest("the manifest that the registry has stored", said, want)
	}
	return nil
}

// written returns what the tag stands for now: another process may have written
// it in the same moment.
func (r *Store) written(ctx context.Context, p place, w *writing) (*store.Entry, error) {
	found, err := r.agreed(ctx, p, w.Version)
	if err == nil && found == nil {
		err = &fault.Error{Code: fault.Unavailable, Op: "registry", Input: p.repo.RegistryStr(),
			Err: errors.New("it has taken the version and does not have it"), Hint: "look at the registry's storage and its log"}
	}
	if err != nil {
		return nil, err
	}
	v := w.Version
	v.Stored, v.Origin = found.Created, found.Origin
	return &store.Entry{
		Version: v, Manifest: found.digest, ZipDigest: found.Zip.Digest,
		Opener: func(ctx context.Context) (store.Zip, error) { return r.openZip(ctx, p, found.Zip) },
	}, nil
}

// uploadTries is how often an upload is begun.
const uploadTries = 3

// send uploads the blobs that the registry does not have.
func (r *Store) send(ctx context.Context, repo name.Repository, blobs []v1.Layer) error {
	with, err := r.logins.login(ctx, repo, distribution.PushScope)
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher( // of this version only, as it remembers what it has sent
		remote.WithTransport(with.client.Transport),
		remote.WithRetryPredicate(beginAgain),
		remote.WithRetryBackoff(remote.Backoff{Duration: r.opt.Timeouts.Retry, Factor: 3, Jitter: 0.1, Steps: uploadTries}),
	)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, blob := range blobs {
		group.Go(func() error {
			select {
			case r.slots <- struct{}{}:
				defer func() { <-r.slots }()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			err := pusher.Upload(ctx, repo, blob)
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		})
	}
	return group.Wait()
}

// beginAgain reports whether an upload that failed is begun again. Requests
// without a body have been repeated already by the transport.
func beginAgain(err error) bool {
	var answer *distribution.Error
	if !errors.As(err, &answer) {
		return err != nil && transport.Broken(err)
	}
	return answer.Request != nil && answer.Request.Method == http.MethodPatch && transport.PassingStatus(answer.StatusCode) && !overQuota(answer) ||
		hasCode(answer, distribution.BlobUploadInvalidErrorCode, distribution.BlobUploadUnknownErrorCode, distribution.DigestInvalidErrorCode)
}

// lacksContent reports whether a manifest was refused for what it refers to.
func lacksContent(err error) bool {
	var answer *distribution.Error
	return errors.As(err, &answer) && hasCode(answer, distribution.ManifestBlobUnknownErrorCode, distribution.BlobUnknownErrorCode)
}

func hasCode(answer *distribution.Error, codes ...distribution.ErrorCode) bool {
	for _, e := range answer.Errors {
		for _, code := range codes {
			if e.Code == code {
				return true
			}
		}
	}
	return false
}

// sentLayer is a blob as go-containerregistry uploads it.
type sentLayer struct {
	blob artifact.Blob
	open func() (io.ReadCloser, error)
}

// Digest implements v1.Layer.
func (l sentLayer) Digest() (v1.Hash, error) { return v1.NewHash(l.blob.Digest) }

// DiffID implements v1.Layer.
func (l sentLayer) DiffID() (v1.Hash, error) { return l.Digest() }

// Compressed implements v1.Layer.
func (l sentLayer) Compressed() (io.ReadCloser, error) { return l.open() }

// Uncompressed implements v1.Layer.
func (l sentLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }

// Size implements v1.Layer.
func (l sentLayer) Size() (int64, error) { return l.blob.Size, nil }

// MediaType implements v1.Layer. Uploads have none of their own.
func (l sentLayer) MediaType() (types.MediaType, error) { return "application/octet-stream", nil }
