// Package access says who may read which modules: everybody, users with a
// password or a token, and clients with a certificate, as a document
// (docs/formats/moduleaccess.md) has it.
package access

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Rules are the rules of an access document. They are safe for concurrent use.
type Rules struct {
	file  string
	state atomic.Pointer[state]
}

// state is what the file says. It is not changed once it is in force.
type state struct {
	anonymous    *rights
	certificates []*certificate
	users        *users
	// stamp tells whether the file has changed since.
	stamp string
}

// Open reads the access document in a file. Errors in it have the code
// fault.Invalid, and line and column. No error shows a secret or its hash.
func Open(file string) (*Rules, error) {
	r := &Rules{file: file}
	return r, r.Reload()
}

// Reload reads the file again if it has changed; call it as often as changes are
// to be noticed. When it cannot be read, the rules stay as they were, and the
// error says why.
func (r *Rules) Reload() error {
	f, err := os.Open(r.file)
	if err != nil {
		return r.failed(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r.failed(err)
	}
	stamp := fmt.Sprintf("%d %s", info.Size(), info.ModTime().Format(time.RFC3339Nano))
	if old := r.state.Load(); old != nil && old.stamp == stamp {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, document.MaxSize+1))
	if err != nil {
		return r.failed(err)
	}
	s, err := load(r.file, data)
	if err != nil {
		return err
	}
	s.stamp = stamp
	r.state.Store(s)
	return nil
}

func (r *Rules) failed(err error) error {
	code := fault.CodeOf(err)
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return &fault.Error{Code: code, Op: "read module access", Input: r.file, Err: err}
}

// Identity is who sends a request. The zero value may read nothing.
type Identity struct {
	// Name is the user's, or that of the rule about the certificate; empty for
	// everybody else.
	Name string
	// grants are rights of which one is enough.
	grants []*rights
}

// MayRead reports whether the modules that i may read include the one with the
// given path, which is not escaped.
func (i Identity) MayRead(path string) bool {
	for _, g := range i.grants {
		if g.include(path) {
			return true
		}
	}
	return false
}

// rights are patterns of module paths, separated by commas.
type rights struct{ read, except string }

func (r *rights) include(path string) bool {
	return module.MatchPrefixPatterns(r.read, path) && !module.MatchPrefixPatterns(r.except, path)
}

const opSignIn = "sign in"

// Identify returns who sends req: the rights of everybody, of the certificate that
// the server verified, and of the user in the Authorization header add up.
//
// The error is a *fault.Error. It has the code fault.Denied where the header has
// credentials that are not good, which is to be answered with status 401 and a
// challenge; and fault.Unavailable or fault.Canceled where they could not be
// looked at now.
func (r *Rules) Identify(req *http.Request) (Identity, error) {
	s := r.state.Load()
	id := Identity{grants: []*rights{s.anonymous}}
	if req.TLS != nil && len(req.TLS.VerifiedChains) > 0 {
		leaf := req.TLS.VerifiedChains[0][0]
		for _, c := range s.certificates {
			if c.match(leaf) {
				id.grants = append(id.grants, &c.rights)
				if id.Name == "" {
					id.Name = c.name
				}
			}
		}
	}
	header := req.Header.Get("Authorization")
	if header == "" {
		return id, nil
	}
	u, err := s.users.signIn(req.Context(), header)
	if err != nil {
		return Identity{}, err
	}
	id.Name = u.name
	id.grants = append(id.grants, &u.rights)
	return id, nil
}
