package kube

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// server answers with a clock of its own.
type server struct{ ahead time.Duration }

func (s server) RoundTrip(*http.Request) (*http.Response, error) {
	h := http.Header{"Date": {time.Now().Add(s.ahead).UTC().Format(http.TimeFormat)}}
	return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func TestClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Second, 48 * time.Hour, -48 * time.Hour} {
		var c apiClock
		if c.Offset() != 0 {
			t.Error("an offset before any answer")
		}
		r, err := http.NewRequest(http.MethodGet, "https://server/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.watch(&rest.Config{}).WrapTransport(server{ahead}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if off := (c.Offset() - ahead).Abs(); off > 3*time.Second {
			t.Errorf("%s ahead is taken for %s", ahead, c.Offset())
		}
	}
}
