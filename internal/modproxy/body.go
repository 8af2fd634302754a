package modproxy

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// Header values. They are shared by all answers, which never change them.
var (
	textType = []string{"text/plain; charset=utf-8"}
	jsonType = []string{"application/json"}
	zipType  = []string{"application/zip"}
	byGzip   = []string{"gzip"}
	varying  = []string{"Accept-Encoding"}
)

// minGzip is how long a document must be to be worth compressing: one that fits
// into a packet arrives no earlier.
const minGzip = 1 << 10

// bufferBytes is how long a document may be for net/http to state its length by
// itself, which costs less than a header.
const bufferBytes = 2048

// answer is what is written for a URL until some time.
type answer struct {
	kind  kind
	path  string // of the module
	until time.Time
	// plain and, if it is worth it, packed are the document; entry is the version
	// whose zip it is, and zip that itself if it is small.
	plain, packed *body
	entry         *store.Entry
	zip           []byte
}

// body is a document with its headers.
type body struct {
	data                                             []byte
	contentType, length, etag, cache, encoding, vary []string
}

// newAnswer prepares a document.
func newAnswer(t target, d mirror.Document, cache []string) *answer {
	a := &answer{kind: t.kind, path: t.Path, until: d.Until}
	sum := sha256.Sum256(d.Data)
	tag := hex.EncodeToString(sum[:16])
	a.plain = newBody(t.kind, d.Data, tag, cache)
	if (t.kind == kindList || t.kind == kindMod) && len(d.Data) > minGzip {
		a.plain.vary = varying
		a.packed = newBody(t.kind, pack(d.Data), tag+"-gzip", cache)
		a.packed.vary, a.packed.encoding = varying, byGzip
	}
	return a
}

func newBody(k kind, data []byte, tag string, cache []string) *body {
	b := &body{data: data, contentType: textType, length: []string{strconv.Itoa(len(data))}, etag: []string{`"` + tag + `"`}, cache: cache}
	if k == kindInfo || k == kindLatest {
		b.contentType = jsonType
	}
	return b
}

// bytes is about how much memory the answer takes.
func (a *answer) bytes() int64 {
	const headers = 600
	n := int64(headers + len(a.zip))
	if a.plain != nil {
		n += int64(len(a.plain.data))
	}
	if a.packed != nil {
		n += int64(len(a.packed.data))
	}
	if a.entry != nil {
		n += int64(len(a.entry.Info) + len(a.entry.Mod))
	}
	return n
}

// write answers with the document.
func (a *answer) write(w http.ResponseWriter, r *http.Request) (status int, n int64) {
	b := a.plain
	if a.packed != nil && takesGzip(r.Header["Accept-Encoding"]) {
		b = a.packed
	}
	h := w.Header()
	h["Etag"] = b.etag
	h["Cache-Control"] = b.cache
	if b.vary != nil {
		h["Vary"] = b.vary
	}
	if known := r.Header["If-None-Match"]; known != nil && matches(known, b.etag[0]) {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified, 0
	}
	h["Content-Type"] = b.contentType
	if len(b.data) > bufferBytes || r.Method == http.MethodHead {
		h["Content-Length"] = b.length
	}
	if b.encoding != nil {
		h["Content-Encoding"] = b.encoding
	}
	if r.Method == http.MethodHead {
		return http.StatusOK, 0
	}
	written, _ := w.Write(b.data) // a client that has gone needs no answer
	return http.StatusOK, int64(written)
}

// matches says whether the values of If-None-Match name etag.
func matches(values []string, etag string) bool {
	for _, value := range values {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// takesGzip says whether the values of Accept-Encoding name gzip.
func takesGzip(values []string) bool {
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			if strings.TrimSpace(name) == "gzip" {
				return strings.Trim(weight, " q=0.") != "" || weight == ""
			}
		}
	}
	return false
}

// packers are gzip.Writers; each takes most of a megabyte.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
	return z
}}

func pack(data []byte) []byte {
	var b bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&b)
	_, _ = z.Write(data) // memory takes everything
	_ = z.Close()
	return b.Bytes()
}
