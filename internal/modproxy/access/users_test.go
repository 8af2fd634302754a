package access

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// When nobody can look at a password for long, the request is not kept for ever,
// and nothing is remembered of it.
func TestTooManySignIns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUsers()
		u.decoy = []byte("$2y$10$nqamjQEkgHCY5bKqUE/BSOlPuo7b1WLtzuDRRwHvU2XdZ8B24YWwq")
		for range cap(u.slots) {
			u.slots <- struct{}{}
		}
		begin := time.Now()
		const header = "Basic YW5uZTpjb3JyZWN0" // anne:correct
		_, err := u.signIn(t.Context(), header)
		if fault.CodeOf(err) != fault.Unavailable || time.Since(begin) != signInWait {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		<-u.slots
		if _, err := u.signIn(t.Context(), header); fault.CodeOf(err) != fault.Denied {
			t.Errorf("afterwards: %v", err)
		}
		if len(u.slots) != cap(u.slots)-1 {
			t.Error("a slot is not given back")
		}
	})
}

// A password is hashed once, also when many requests bring it at the same time,
// and so is a wrong one. One of a name that does not exist is hashed all the same,
// so that the time does not tell; a token never is.
func TestPasswordsAreRemembered(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	anne, ci := &user{name: "anne", password: hash}, &user{name: "ci", tokens: []digest{sha256.Sum256([]byte("token"))}}
	u := newUsers()
	u.decoy = hash
	u.byName["anne"], u.byName["ci"], u.byToken[ci.tokens[0]] = anne, ci, ci
	var hashed atomic.Int32
	u.verify = func(hash, password []byte) error {
		hashed.Add(1)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	for _, test := range []struct {
		scheme, text string
		user         *user
		hashed       int32
	}{
		{"Basic", "anne:right", anne, 1},
		{"Basic", "anne:wrong", nil, 1},
		{"Basic", "bob:right", nil, 1},
		{"Basic", "ci:right", nil, 1},
		{"Basic", "ci:token", ci, 0},
		{"Bearer", "token", ci, 0},
		{"Bearer", "right", nil, 0},
	} {
		header := test.scheme + " " + test.text
		if test.scheme == "Basic" {
			header = "Basic " + base64.StdEncoding.EncodeToString([]byte(test.text))
		}
		hashed.Store(0)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, err := u.signIn(t.Context(), header); got != test.user || (err == nil) != (test.user != nil) {
					t.Errorf("%s: got %v, %v", test.text, got, err)
				}
			})
		}
		wg.Wait()
		if n := hashed.Load(); n != test.hashed {
			t.Errorf("%s: hashed %d times, want %d", test.text, n, test.hashed)
		}
	}
}
