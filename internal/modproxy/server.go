// Package modproxy serves Go modules over HTTP: the GOPROXY protocol and that of
// the checksum database, with rights to read, metrics, a log of requests and
// health checks.
package modproxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/access"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/memory"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Mirror is where the answers come from. *mirror.Mirror is one.
type Mirror interface {
	List(ctx context.Context, path string) (mirror.Document, error)
	Latest(ctx context.Context, path string) (mirror.Document, error)
	Info(ctx context.Context, path, query string) (mirror.Document, error)
	Mod(ctx context.Context, v module.Version) (mirror.Document, error)
	Fetch(ctx context.Context, v module.Version) (*store.Entry, mirror.Level, error)
}

// Access says who sends a request. *access.Rules is one.
type Access interface {
	Identify(r *http.Request) (access.Identity, error)
}

// Options is what a server answers with.
type Options struct {
	Mirror Mirror
	// Sums answers for /sumdb/; nil means that there is none, so that the go command
	// asks the checksum database itself.
	Sums http.Handler
	// Access says who may read what; nil means everybody all.
	Access Access
	// Metrics measures what is answered.
	Metrics *Metrics
	// Log takes a line a request; nil for none.
	Log *AccessLog
	// MemoryBytes bounds the documents in memory, DefaultMemoryBytes for zero.
	MemoryBytes int64
}

// DefaultMemoryBytes has room for the .info and .mod of some thousand versions.
const DefaultMemoryBytes = 16 << 20

// Server is an http.Handler. It is safe for concurrent use.
type Server struct {
	opt  Options
	hot  *memory.Cache[*answer]
	keep caching
}

// caching are the values of Cache-Control of what stays and of what changes.
type caching struct{ versions, lists []string }

// NewServer returns a server.
func NewServer(opt Options) *Server {
	s := &Server{opt: opt, hot: memory.New[*answer](cmp.Or(opt.MemoryBytes, DefaultMemoryBytes))}
	s.keep = caching{[]string{"public, max-age=10800"}, []string{"public, max-age=60"}}
	if opt.Access != nil {
		s.keep = caching{[]string{"private, max-age=10800"}, []string{"private, max-age=60"}}
	}
	return s
}

// bodyTime is how long the content of a request may take to come.
const bodyTime = 10 * time.Second

// outcome is what became of a request.
type outcome struct {
	kind   kind
	level  mirror.Level
	status int
	bytes  int64
	user   string
	err    error
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	o := s.serve(w, r, begin)
	took := time.Since(begin)
	s.opt.Metrics.answered(&o, took)
	s.opt.Log.write(r, &o, begin, took)
}

// serve answers what everybody asks for from memory, and all else with the mirror.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, now time.Time) outcome {
	if r.ContentLength != 0 { // nobody needs it, but the connection waits for it
		_ = http.NewResponseController(w).SetReadDeadline(now.Add(bodyTime)) // only writers of tests have none
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return failed(w, outcome{status: http.StatusMethodNotAllowed}, errors.New("a module proxy is only read: use GET or HEAD"))
	}
	var who access.Identity
	if s.opt.Access != nil {
		var err error
		if who, err = s.opt.Access.Identify(r); err != nil {
			return s.stranger(w, outcome{}, err)
		}
	}
	a, ok := s.hot.Get(r.URL.Path)
	if !ok || !now.Before(a.until) {
		return s.ask(w, r, who)
	}
	o := outcome{kind: a.kind, level: mirror.Memory, user: who.Name}
	if !s.mayRead(who, a.path) {
		return s.refuse(w, o, a.path)
	}
	if a.entry != nil {
		return s.zip(w, r, a, o)
	}
	o.status, o.bytes = a.write(w, r)
	return o
}

func (s *Server) mayRead(who access.Identity, path string) bool {
	return s.opt.Access == nil || who.MayRead(path)
}

// ask answers with the mirror.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, who access.Identity) outcome {
	o := outcome{user: who.Name}
	if isSumdb(r.URL.Path) {
		o.kind = kindSumdb
		return s.sums(w, r, o)
	}
	t, err := parse(r.URL.Path)
	if err != nil {
		return failed(w, o, err)
	}
	o.kind = t.kind
	if !s.mayRead(who, t.Path) {
		return s.refuse(w, o, t.Path)
	}
	if t.kind == kindZip {
		return s.askZip(w, r, t, o)
	}
	d, err := s.document(r.Context(), t)
	if err != nil {
		return failed(w, o, err)
	}
	cache := s.keep.lists
	if t.Version.Version != "" && mirror.Exact(t.Path, t.Version.Version) {
		cache = s.keep.versions
	}
	a := newAnswer(t, d, cache)
	if !a.until.IsZero() {
		s.hot.Put(r.URL.Path, a, a.bytes())
	}
	extend(w, int64(len(d.Data)))
	o.level = d.From
	o.status, o.bytes = a.write(w, r)
	return o
}

func (s *Server) document(ctx context.Context, t target) (mirror.Document, error) {
	switch t.kind {
	case kindList:
		return s.opt.Mirror.List(ctx, t.Path)
	case kindLatest:
		return s.opt.Mirror.Latest(ctx, t.Path)
	case kindMod:
		return s.opt.Mirror.Mod(ctx, t.Version)
	}
	return s.opt.Mirror.Info(ctx, t.Path, t.Version.Version)
}

// failed answers with an error.
func failed(w http.ResponseWriter, o outcome, err error) outcome {
	o.err = err
	if o.status == 0 {
		o.status = statusOf(err)
	}
	extend(w, 0)
	o.bytes = fail(w, o.status, err)
	return o
}

// stranger answers somebody who has not proved who they are.
func (s *Server) stranger(w http.ResponseWriter, o outcome, err error) outcome {
	if fault.CodeOf(err) == fault.Denied {
		w.Header().Set("WWW-Authenticate", `Basic realm="Go modules", charset="UTF-8"`)
		o.status = http.StatusUnauthorized
	}
	return failed(w, o, err)
}

// refuse answers somebody who may not read a module: who has not said who they
// are is asked to.
func (s *Server) refuse(w http.ResponseWriter, o outcome, path string) outcome {
	err := &fault.Error{Code: fault.Denied, Op: "read", Input: path, Err: errors.New("you may not read this module"),
		Hint: "ask the people who run this proxy for the right to read it"}
	if o.user != "" {
		return failed(w, o, err)
	}
	err.Hint = "put credentials for this proxy into ~/.netrc (machine HOST, and HOST:PORT where it has one), or set GOAUTH"
	return s.stranger(w, o, err)
}
