package store

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
)

// upload is a layer that counts what is sent of it.
type upload struct {
	v1.Layer
	sink progress.Sink

	mu sync.Mutex
	// read is true once the content has been asked for; seen is how much of it
	// has been counted, however often it is sent.
	read bool
	seen int64
}

// newUpload returns the layer to send to repo, which is the upload itself or
// wraps it where the registry may have the blob in another repository.
func newUpload(l v1.Layer, repo name.Repository, sink progress.Sink) (v1.Layer, *upload) {
	elsewhere, ok := l.(*remote.MountableLayer)
	if !ok {
		u := &upload{Layer: l, sink: sink}
		return u, u
	}
	u := &upload{Layer: elsewhere.Layer, sink: sink}
	if !mountable(elsewhere, repo) {
		return u, u
	}
	return &remote.MountableLayer{Layer: u, Reference: elsewhere.Reference}, u
}

// mountable reports whether the blob is in another repository of repo's registry.
func mountable(l *remote.MountableLayer, repo name.Repository) bool {
	from := l.Reference.Context()
	return from.RegistryStr() == repo.RegistryStr() && from.RepositoryStr() != repo.RepositoryStr()
}

// Compressed returns the content, which is counted as it is read.
func (u *upload) Compressed() (io.ReadCloser, error) {
	body, err := u.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	size, err := u.Size()
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.read {
		u.sink.Expect(size)
	}
	u.read = true
	return &counted{ReadCloser: body, upload: u}, nil
}

// sent reports whether the registry wanted the content.
func (u *upload) sent() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

type counted struct {
	io.ReadCloser
	upload *upload
	at     int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.at += int64(n)
	u := c.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.at > u.seen {
		u.sink.Done(c.at - u.seen)
		u.seen = c.at
	}
	return n, err
}

// uploadTries is how often an upload is begun.
const uploadTries = 3

// beginAgain reports whether an upload that failed is begun again. Requests
// without a body have been repeated already by the transport.
func beginAgain(err error) bool {
	var answer *distribution.Error
	if !errors.As(err, &answer) {
		return err != nil && transport.Broken(err)
	}
	return answer.Request != nil && answer.Request.Method == http.MethodPatch && transport.PassingStatus(answer.StatusCode) ||
		hasCode(answer, distribution.BlobUploadInvalidErrorCode, distribution.BlobUploadUnknownErrorCode, distribution.DigestInvalidErrorCode)
}

// lacksContent reports whether a manifest was refused for what it refers to.
func lacksContent(err error) bool {
	var answer *distribution.Error
	return errors.As(err, &answer) && hasCode(answer, distribution.ManifestBlobUnknownErrorCode,
		distribution.BlobUnknownErrorCode, distribution.ManifestUnknownErrorCode)
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
