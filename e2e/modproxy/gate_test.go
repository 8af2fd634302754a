//go:build e2e

package modproxy

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// gate is a way to a server of the island that can be shut, wholly or for writes.
type gate struct {
	host string
	mode atomic.Int32
}

// The modes of a gate.
const (
	open int32 = iota
	// readOnly lets only reads through.
	readOnly
	shut
)

// newGate makes a way to a host.
func newGate(t *testing.T, host string) *gate {
	t.Helper()
	l, err := lab.island.listen()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{host: l.Addr().String()}
	next := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	next.Transport = &http.Transport{DialContext: lab.island.dial}
	next.ErrorLog = log.New(io.Discard, "", 0) // clients that give up are part of tests
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mode := g.mode.Load(); {
		case mode == shut:
			panic(http.ErrAbortHandler)
		case mode == readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "read only", http.StatusServiceUnavailable)
			return
		}
		r.Host = host
		next.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }() // it ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return g
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
