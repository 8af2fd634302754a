package modproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// zipAge is how long a zip may be sent again without asking the store and the
	// gate for the version.
	zipAge = time.Minute
	// smallZip is how long a zip may be to be kept in memory: opening the file would
	// cost more than sending it.
	smallZip = 64 << 10
)

// askZip answers with the zip of a version that the mirror has, or gets.
func (s *Server) askZip(w http.ResponseWriter, r *http.Request, t target, o outcome) outcome {
	e, level, err := s.opt.Mirror.Fetch(r.Context(), t.Version)
	if err != nil {
		return failed(w, o, err)
	}
	a := &answer{kind: kindZip, path: t.Path, until: time.Now().Add(zipAge), entry: e}
	if e.ZipSize <= smallZip {
		if a.zip, err = readZip(r.Context(), e); err != nil {
			return failed(w, o, err)
		}
	}
	s.hot.Put(r.URL.Path, a, a.bytes())
	o.level = level
	return s.zip(w, r, a, o)
}

// readZip returns a small zip.
func readZip(ctx context.Context, e *store.Entry) ([]byte, error) {
	z, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	data := make([]byte, e.ZipSize)
	if _, err := io.ReadFull(z, data); err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "read the zip of", Input: e.Version.String(), Err: err}
	}
	return data, nil
}

// zip sends the zip of a version.
func (s *Server) zip(w http.ResponseWriter, r *http.Request, a *answer, o outcome) outcome {
	if a.zip != nil {
		return s.send(w, r, a, bytes.NewReader(a.zip), o)
	}
	z, err := a.entry.Open(r.Context())
	if fault.CodeOf(err) == fault.NotFound && o.level == mirror.Memory {
		// It was removed since; the mirror may get it again.
		s.hot.Delete(r.URL.Path)
		return s.askZip(w, r, target{kindZip, a.entry.Version.Version}, o)
	}
	if err != nil {
		return failed(w, o, err)
	}
	defer z.Close()
	extend(w, a.entry.ZipSize)
	return s.send(w, r, a, z, o)
}

// send answers with what content holds, or the part of it that the request is about.
func (s *Server) send(w http.ResponseWriter, r *http.Request, a *answer, content io.ReadSeeker, o outcome) outcome {
	h := w.Header()
	h["Content-Type"] = zipType
	h["Cache-Control"] = s.keep.versions
	h["Etag"] = []string{`"` + a.entry.ZipDigest + `"`}
	c := &recorder{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(c, r, "", a.entry.Stored, content)
	o.status, o.bytes = c.status, c.bytes
	return o
}

// recorder is a ResponseWriter that knows what was answered. It lets files be sent
// by the kernel.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *recorder) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *recorder) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, by which HTTP/1 sends files.
func (c *recorder) ReadFrom(r io.Reader) (int64, error) {
	if part, ok := r.(*io.LimitedReader); ok {
		if memory, ok := part.R.(*bytes.Reader); ok && part.N == memory.Size() {
			return memory.WriteTo(c) // the whole of it needs no buffer
		}
	}
	n, err := io.Copy(c.ResponseWriter, r)
	c.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *recorder) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// How long an answer may take to be sent: a client that takes nothing holds a file
// and a goroutine.
const (
	sendTime = time.Minute
	sendRate = 16 << 10 // bytes a second, at least
)

// extend gives the client from now on the time that it needs to take n bytes: the
// server's own limit began with the request, which may have waited for upstream.
func extend(w http.ResponseWriter, n int64) {
	// Only writers of tests have no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime + time.Duration(n/sendRate)*time.Second))
}

// errNoSums is why there is nothing below /sumdb/.
var errNoSums = errors.New("this proxy serves no checksum database")

// isSumdb says whether a path is of the checksum database.
func isSumdb(path string) bool { return strings.HasPrefix(path, "/sumdb/") }

// sums lets the checksum database answer.
func (s *Server) sums(w http.ResponseWriter, r *http.Request, o outcome) outcome {
	if s.opt.Sums == nil {
		return failed(w, o, notHere(r.URL.Path, errNoSums))
	}
	c := &recorder{ResponseWriter: w, status: http.StatusOK}
	s.opt.Sums.ServeHTTP(c, r)
	o.status, o.bytes = c.status, c.bytes
	return o
}
