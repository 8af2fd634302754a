package transport_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
)

// A connection that was closed on this side, since the other had ended it, is a
// broken one.
func TestBroken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	_, closed := conn.Write([]byte("x"))
	for _, tc := range []struct {
		err  error
		want bool
	}{{closed, true}, {io.ErrUnexpectedEOF, true}, {errors.New("no route"), false}, {nil, false}} {
		if transport.Broken(tc.err) != tc.want {
			t.Errorf("%v: broken is %v", tc.err, !tc.want)
		}
	}
}
