package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// short are timeouts under which nothing takes long.
var short = Timeouts{Header: 2 * time.Second, Idle: 200 * time.Millisecond, Retry: time.Millisecond, RetryMax: 2 * time.Second}

// serve starts a server that refuses the first n requests with handle and
// returns the bodies of all others.
func serve(t *testing.T, n int32, handle http.HandlerFunc) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if requests.Add(1) <= n {
			handle(w, req)
			return
		}
		_, _ = io.Copy(w, req.Body)
	}))
	t.Cleanup(web.Close)
	return web.URL, requests
}

func refuse(status int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}
}

// send sends a body, which can be sent again when again is true.
func send(t *testing.T, ctx context.Context, method, url string, body io.Reader, again bool) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if !again {
		req.GetBody = nil
	}
	client := &http.Client{Transport: New(short)}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func TestRepeatedBodies(t *testing.T) {
	abort := func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.CopyN(io.Discard, req.Body, 2)
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		method   string
		fails    int32
		handle   http.HandlerFunc
		again    bool
		requests int32
		status   int
	}{
		"a PUT":                        {http.MethodPut, 2, refuse(503, ""), true, 3, 200},
		"a PUT that was broken off":    {http.MethodPut, 2, abort, true, 3, 200},
		"a PUT for ever":               {http.MethodPut, 99, refuse(500, "0"), true, tries, 500},
		"a PATCH":                      {http.MethodPatch, 1, refuse(503, "0"), true, 1, 503},
		"a PATCH that was broken off":  {http.MethodPatch, 1, abort, true, 1, 0},
		"a stream":                     {http.MethodPut, 1, refuse(429, "0"), false, 1, 429},
		"a PUT with nothing to repeat": {http.MethodPut, 1, refuse(404, ""), true, 1, 404},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := serve(t, c.fails, c.handle)
			status, body, err := send(t, context.Background(), c.method, url, strings.NewReader("content"), c.again)
			if status != c.status || requests.Load() != c.requests || (err == nil) != (c.status != 0) {
				t.Errorf("status %d after %d requests, %v; want %d after %d", status, requests.Load(), err, c.status, c.requests)
			}
			if status == 200 && body != "content" {
				t.Errorf("the body was %q", body)
			}
		})
	}
}

// TestPatience gives the answer to what cannot be repeated only when the
// registry's time is over.
func TestPatience(t *testing.T) {
	url, _ := serve(t, 1, refuse(429, "1"))
	start := time.Now()
	status, _, err := send(t, context.Background(), http.MethodPatch, url, strings.NewReader("x"), false)
	if took := time.Since(start); err != nil || status != 429 || took < time.Second {
		t.Errorf("%d, %v after %v", status, err, took)
	}

	url, _ = serve(t, 1, refuse(429, "3600"))
	start = time.Now()
	status, _, err = send(t, context.Background(), http.MethodPatch, url, strings.NewReader("x"), false)
	if took := time.Since(start); err != nil || status != 429 || took > time.Second {
		t.Errorf("%d, %v after %v", status, err, took)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	url, _ = serve(t, 1, refuse(503, "2"))
	if _, _, err = send(t, ctx, http.MethodPatch, url, strings.NewReader("x"), false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestStandstill ends an upload that the other side has stopped reading, and no
// upload whose source is slow.
func TestStandstill(t *testing.T) {
	release := make(chan struct{})
	url, _ := serve(t, 1, func(_ http.ResponseWriter, req *http.Request) { <-release })
	start := time.Now()
	_, _, err := send(t, context.Background(), http.MethodPatch, url, bytes.NewReader(make([]byte, 64<<20)), true)
	close(release)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "took nothing more") || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}

	url, _ = serve(t, 0, nil)
	out, in := io.Pipe()
	go func() {
		for range 3 {
			time.Sleep(short.Idle)
			_, _ = in.Write([]byte("x"))
		}
		_ = in.Close()
	}()
	if status, body, err := send(t, context.Background(), http.MethodPatch, url, out, false); status != 200 || body != "xxx" {
		t.Errorf("%d, %q, %v", status, body, err)
	}
}

func TestOrDefault(t *testing.T) {
	got := Timeouts{Idle: time.Hour}.OrDefault()
	if got.Idle != time.Hour || got.Dial != 30*time.Second || got.RetryMax != 30*time.Second {
		t.Errorf("%+v", got)
	}
}
