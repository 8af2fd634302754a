package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// GoModSum returns the hash of a go.mod file as go.sum has it.
func GoModSum(mod []byte) string {
	sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(mod)), nil
	})
	if err != nil {
		panic(err) // memory can be read, and the name has no newline
	}
	return sum
}

// CopyBlob copies r, a zip, to w and says what blob that is. One that is longer
// than MaxZip is an error with the code Limit.
func CopyBlob(ctx context.Context, w io.Writer, r io.Reader) (Blob, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), contextReader{ctx, io.LimitReader(r, MaxZip+1)})
	if err == nil && n > MaxZip {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("its zip is longer than %d bytes", int64(MaxZip))}
	}
	return Blob{Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: n}, err
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
