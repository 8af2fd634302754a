package proxy

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// files answers from a directory, the upstream of a file URL.
type files struct{ observe func(upstream.Request) }

func (f *files) get(ctx context.Context, u *url.URL, q question, take func(io.Reader) error) (err error) {
	seen := upstream.Request{Host: "file", Kind: q.kind, Module: q.module}
	start := time.Now()
	content := &counter{limit: q.limit}
	defer func() {
		seen.Bytes, seen.Duration, seen.Err = content.n, time.Since(start), err
		f.observe(seen)
	}()
	if err := ctx.Err(); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "get", Input: u.String(), Err: err}
	}
	file, err := os.Open(filePath(u))
	if err == nil {
		defer file.Close()
		content.r = file
		err = take(content)
	}
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return &fault.Error{Code: known.Code, Op: "get", Input: u.String(), Err: known.Err, Hint: known.Hint}
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "get", Input: u.String(), Err: upstream.Reason(err)}
}

// filePath is the file that a file URL names.
func filePath(u *url.URL) string {
	path := u.Path
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // file:///C:/dir
	}
	return filepath.FromSlash(path)
}
