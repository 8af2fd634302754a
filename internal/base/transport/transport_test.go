package transport

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, "Mon, 01 Jan 2001 00:00:00 GMT": 0, "-1": -1, "soon": -1, "": -1,
	} {
		got, ok := retryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}})
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", value, got, ok)
		}
	}
	if _, ok := retryAfter(nil); ok {
		t.Error("there was no answer")
	}
}

func TestRedirectsIntoPrivateNetworks(t *testing.T) {
	request := func(raw string) *http.Request {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u}
	}
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"https://registry.example/v2/", "https://storage.example/blob", true},
		{"https://registry.example/v2/", "https://8.8.8.8/blob", true},
		{"https://registry.example/v2/", "https://169.254.169.254/latest", false},
		{"https://registry.example/v2/", "https://10.0.0.1/", false},
		{"https://registry.example/v2/", "https://[::1]/", false},
		{"https://registry.example/v2/", "https://[::ffff:127.0.0.1]/", false},
		{"https://registry.example/v2/", "http://localhost:8080/", false},
		{"http://10.0.0.1:5000/v2/", "http://10.0.0.2/blob", true},
		{"http://localhost:5000/v2/", "http://127.0.0.1:9000/blob", true},
	} {
		err := CheckRedirect(request(c.to), []*http.Request{request(c.from)})
		if (err == nil) != c.allowed {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}
