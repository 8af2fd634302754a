package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What signing in may take.
const (
	// maxHeader is the longest Authorization header, in bytes.
	maxHeader = 8 << 10
	// maxRemembered is how many headers are remembered, of good and of bad ones.
	maxRemembered = 4096
	// signInWait is the longest that a password waits for a processor.
	signInWait = 10 * time.Second
)

// digest is the SHA-256 of a secret.
type digest [sha256.Size]byte

// user is someone who can sign in.
type user struct {
	rights
	name string
	// password is a bcrypt hash, empty for none.
	password []byte
	tokens   []digest
}

// users sign in. A header that was looked at is remembered by a keyed digest:
// hashing a password takes a hundred milliseconds, and the go command sends it
// with each of a thousand requests.
type users struct {
	byName  map[string]*user
	byToken map[digest]*user
	// decoy is the most expensive password hash, which is compared where there is
	// none, so that the time does not tell which users there are.
	decoy []byte
	key   [32]byte
	// verify is nil for a password with the given hash.
	verify func(hash, password []byte) error
	// slots bounds the passwords that are hashed at once.
	slots   chan struct{}
	flights singleflight.Group

	mu        sync.RWMutex
	good, bad map[digest]*user
}

func newUsers() *users {
	u := &users{
		byName: map[string]*user{}, byToken: map[digest]*user{},
		verify: bcrypt.CompareHashAndPassword,
		slots:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		good:   map[digest]*user{}, bad: map[digest]*user{},
	}
	_, _ = rand.Read(u.key[:]) // never fails
	return u
}

// errWrong is all that somebody hears whose credentials are not good.
var errWrong = errors.New("the credentials are not good")

const signInHint = "look at the entry for this proxy in ~/.netrc or what GOAUTH and the URL in GOPROXY give"

func denied(reason error) error {
	return &fault.Error{Code: fault.Denied, Op: opSignIn, Err: reason, Hint: signInHint}
}

// signIn returns the user whose credentials an Authorization header has.
func (u *users) signIn(ctx context.Context, header string) (*user, error) {
	if len(header) > maxHeader {
		return nil, denied(errors.New("the Authorization header is too long"))
	}
	key := sha256.Sum256(append(u.key[:len(u.key):len(u.key)], header...))
	found, known := u.remembered(key)
	if !known {
		var err error
		if found, err = u.look(ctx, key, header); err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, denied(errWrong)
	}
	return found, nil
}

func (u *users) remembered(key digest) (found *user, known bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if found, known = u.good[key]; known {
		return found, true
	}
	_, known = u.bad[key]
	return nil, known
}

// remember keeps what a header is worth. Bad ones never push out good ones.
func (u *users) remember(key digest, found *user) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.good
	if found == nil {
		of = u.bad
	}
	if len(of) >= maxRemembered {
		clear(of)
	}
	of[key] = found
}

// look looks at a header, at the same one once however many ask. It returns nil
// for credentials that are not good.
func (u *users) look(ctx context.Context, key digest, header string) (*user, error) {
	c, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	flight := u.flights.DoChan(string(key[:]), func() (any, error) {
		if found, known := u.remembered(key); known {
			return found, nil // since the last flight landed
		}
		found, err := u.find(c)
		if err == nil {
			u.remember(key, found)
		}
		return found, err
	})
	select {
	case <-ctx.Done():
		return nil, &fault.Error{Code: fault.Canceled, Op: opSignIn, Err: ctx.Err()}
	case done := <-flight:
		found, _ := done.Val.(*user)
		return found, done.Err
	}
}

// find returns the user whose credentials c are, or nil.
func (u *users) find(c credentials) (*user, error) {
	if owner := u.tokenOwner(c.secret); owner != nil && (c.bearer || owner.name == c.name) {
		return owner, nil
	}
	if c.bearer || len(u.decoy) == 0 {
		return nil, nil
	}
	candidate, hash := u.byName[c.name], u.decoy
	has := candidate != nil && len(candidate.password) > 0
	if has {
		hash = candidate.password
	}
	good, err := u.compare(hash, c.secret)
	if err != nil || !good || !has {
		return nil, err
	}
	return candidate, nil
}

// tokenOwner returns the user with a token. That the map is asked by the token's
// SHA-256 means that its time says nothing of use about those in it.
func (u *users) tokenOwner(token string) *user {
	sum := digest(sha256.Sum256([]byte(token)))
	owner := u.byToken[sum]
	if owner == nil {
		return nil
	}
	for _, t := range owner.tokens {
		if subtle.ConstantTimeCompare(t[:], sum[:]) == 1 {
			return owner
		}
	}
	return nil
}

// compare reports whether hash is that of password, as soon as a processor is free.
func (u *users) compare(hash []byte, password string) (bool, error) {
	wait := time.NewTimer(signInWait)
	defer wait.Stop()
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-wait.C:
		return false, &fault.Error{Code: fault.Unavailable, Op: opSignIn, Hint: "try again later, or use a token",
			Err: errors.New("too many people sign in with a password at once")}
	}
	return u.verify(hash, []byte(password)) == nil, nil
}

// credentials are those of an Authorization header: a bearer token, or a name and
// a password.
type credentials struct {
	bearer       bool
	name, secret string
}

func parseHeader(header string) (credentials, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer") && rest != "":
		return credentials{bearer: true, secret: rest}, nil
	case !strings.EqualFold(scheme, "Basic"):
		return credentials{}, denied(errors.New("the Authorization header is neither Basic nor Bearer"))
	}
	plain, err := base64.StdEncoding.DecodeString(rest)
	name, secret, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok || secret == "" {
		return credentials{}, denied(errors.New("the Authorization header is not well-formed"))
	}
	return credentials{name: name, secret: secret}, nil
}
