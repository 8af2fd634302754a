package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// downloadTries is how often a blob is asked for when the connection breaks.
const downloadTries = 3

// blob reads a small blob and verifies it.
func (r *Store) blob(ctx context.Context, repo name.Repository, b artifact.Blob) (data []byte, err error) {
	err = r.whileBroken(ctx, func() error {
		data, err = r.readBlob(ctx, repo, b)
		return err
	})
	return data, err
}

func (r *Store) readBlob(ctx context.Context, repo name.Repository, b artifact.Blob) ([]byte, error) {
	body, err := r.openBlob(ctx, repo, b)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, b.Size+1))
	if err != nil {
		return nil, err
	}
	if got := artifact.Digest(data); got != b.Digest {
		return nil, wrongDigest("a blob", got, b.Digest)
	}
	return data, nil
}

// openBlob asks for a blob, whose content is not verified yet.
func (r *Store) openBlob(ctx context.Context, repo name.Repository, b artifact.Blob) (io.ReadCloser, error) {
	resp, err := r.logins.do(ctx, repo, distribution.PullScope, request{method: http.MethodGet, path: "blobs/" + b.Digest})
	if err != nil {
		return nil, err
	}
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		_ = resp.Body.Close()
		if isAbsent(err) {
			return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the registry has lost the blob %s of it", b.Digest),
				Hint: "run gopherwood modproxy verify --repair"}
		}
		return nil, err
	}
	return resp.Body, nil
}

// whileBroken does again what failed since the connection broke.
func (r *Store) whileBroken(ctx context.Context, do func() error) error {
	wait := r.opt.Timeouts.Retry
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == downloadTries || ctx.Err() != nil || !transport.Broken(err) {
			return err
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// zipName is the pattern of the names of zips that are being downloaded.
const zipName = "registry-*.zip"

// openZip downloads a zip, whole, and verifies it. Nothing of it is left on the
// disk when it is closed, or when the process is killed where a file that is
// open can be removed.
func (r *Store) openZip(ctx context.Context, p place, b artifact.Blob) (store.Zip, error) {
	if b.Size <= smallZip {
		data, err := r.blob(ctx, p.repo, b)
		if err != nil {
			return nil, r.explain("read zip", r.in(p.String()), p.repo, err)
		}
		return memoryZip{bytes.NewReader(data)}, nil
	}
	f, err := r.download(ctx, p, b, r.Staging())
	if err != nil {
		return nil, r.explain("read zip", r.in(p.String()), p.repo, err)
	}
	if os.Remove(f.Name()) == nil {
		return f, nil
	}
	return &tempZip{f}, nil
}

// smallZip is the longest zip that is held in memory, in bytes: to make a file
// for it takes longer.
const smallZip = 256 << 10

// memoryZip is a zip in memory.
type memoryZip struct{ *bytes.Reader }

// Close implements store.Zip.
func (memoryZip) Close() error { return nil }

// tempZip is a zip in a file that goes when it is closed.
type tempZip struct{ *os.File }

// Close implements store.Zip.
func (z *tempZip) Close() error {
	err := z.File.Close()
	if rmErr := os.Remove(z.Name()); err == nil {
		err = rmErr
	}
	return err
}

// Download downloads the zip of an entry of this store into a new file in dir.
// It implements store.Downloader.
func (r *Store) Download(ctx context.Context, e *store.Entry, dir string) (string, error) {
	p, err := r.place(e.Version.Version)
	if err != nil {
		return "", err
	}
	f, err := r.download(ctx, p, artifact.Blob{Digest: e.ZipDigest, Size: e.ZipSize}, dir)
	if err != nil {
		return "", r.explain("read zip", r.in(p.String()), p.repo, err)
	}
	return f.Name(), f.Close()
}

// download brings a blob into a new file in dir and verifies it. The file is
// open, at its start.
func (r *Store) download(ctx context.Context, p place, b artifact.Blob, dir string) (f *os.File, err error) {
	f, err = os.CreateTemp(dir, zipName)
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "write", Input: dir, Err: err, Hint: "make room on the disk, or choose another directory"}
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			f = nil
		}
	}()
	err = r.whileBroken(ctx, func() error { return r.fill(ctx, p.repo, b, f) })
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return f, err
}

// fill writes a blob into a file, from its start.
func (r *Store) fill(ctx context.Context, repo name.Repository, b artifact.Blob, f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	body, err := r.openBlob(ctx, repo, b)
	if err != nil {
		return err
	}
	defer body.Close()
	got, err := artifact.CopyBlob(ctx, f, io.LimitReader(body, b.Size+1))
	if err == nil && got != b {
		err = wrongDigest(fmt.Sprintf("the zip, of which %d of %d bytes came,", got.Size, b.Size), got.Digest, b.Digest)
	}
	return err
}

var _ store.Downloader = (*Store)(nil)
