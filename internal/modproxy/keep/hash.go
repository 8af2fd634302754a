package keep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/ziphash"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// hashEntry reads a version whole and compares it with what is recorded of it. The
// error has the code Invalid when it differs.
func hashEntry(ctx context.Context, e *store.Entry) error {
	if err := checkDocuments(&e.Version); err != nil {
		return err
	}
	z, err := e.Open(ctx)
	if err != nil {
		return asDamage(e, err)
	}
	defer z.Close()
	if err := checkBytes(ctx, e, z); err != nil {
		return err
	}
	sum, err := ziphash.HashZip(ctx, z, e.ZipSize)
	if err != nil {
		return asDamage(e, err)
	}
	if sum != e.Sum {
		return invalid(e.Version.Version, "", "the files of its zip have the hash %s, and %s was recorded", sum, e.Sum)
	}
	return nil
}

// asDamage gives an error of a zip the code Invalid, unless it is about the store
// or the caller.
func asDamage(e *store.Entry, err error) error {
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Denied, fault.Canceled, fault.Limit:
		return err
	}
	return invalid(e.Version.Version, "", "its zip cannot be read: %w", err)
}

// checkDocuments compares .info and go.mod with what is recorded.
func checkDocuments(v *store.Version) error {
	var info struct{ Version string }
	if err := json.Unmarshal(v.Info, &info); err != nil {
		return invalid(v.Version, "", "its .info is no JSON: %w", err)
	}
	if info.Version != v.Version.Version {
		return invalid(v.Version, "", "its .info is of version %.80q", info.Version)
	}
	if sum := artifact.GoModSum(v.Mod); sum != v.GoModSum {
		return invalid(v.Version, "", "its go.mod has the hash %s, and %s was recorded", sum, v.GoModSum)
	}
	return nil
}

// checkBytes compares the length and the digest of a zip with those of the layer,
// and leaves z at its beginning.
func checkBytes(ctx context.Context, e *store.Entry, z store.Zip) error {
	hash := sha256.New()
	n, err := io.Copy(hash, readerOf(ctx, z))
	if err != nil {
		return asDamage(e, err)
	}
	if n != e.ZipSize {
		return invalid(e.Version.Version, "", "its zip has %d bytes, and %d were recorded", n, e.ZipSize)
	}
	if digest := "sha256:" + hex.EncodeToString(hash.Sum(nil)); digest != e.ZipDigest {
		return invalid(e.Version.Version, "", "its zip has the digest %s, and %s was recorded", digest, e.ZipDigest)
	}
	_, err = z.Seek(0, io.SeekStart)
	return err
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func readerOf(ctx context.Context, r io.Reader) io.Reader { return &contextReader{ctx, r} }

// Read implements io.Reader.
func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
