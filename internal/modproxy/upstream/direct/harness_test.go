package direct

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
)

// TestMain lets the test's program be the credential command that git and the go
// command call.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "credential" {
		if err := credential.Answer(os.Environ(), os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var ctx = context.Background()

// newSource returns a source with the credentials in its environment.
func newSource(t testing.TB, opt Options) *Source {
	t.Helper()
	if opt.Observer == nil {
		opt.Observer = func(upstream.Request) {}
	}
	opt.MaxZip = cmp.Or(opt.MaxZip, artifact.MaxZip)
	known, err := credential.Read(opt.Environ)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(opt, known)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
