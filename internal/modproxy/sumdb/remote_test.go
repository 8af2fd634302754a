package sumdb

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// world answers for hosts without a network, and notes each request.
type world struct {
	hosts map[string]http.Handler

	mu       sync.Mutex
	requests []*http.Request
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.requests = append(w.requests, r)
	w.mu.Unlock()
	answer := httptest.NewRecorder()
	h := w.hosts[r.URL.Scheme+"://"+r.URL.Host]
	if h == nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "dial", Input: r.URL.Host}
	}
	h.ServeHTTP(answer, r.Clone(r.Context()))
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}

// asked returns the hosts that were asked, each once, in order.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var hosts []string
	for _, r := range w.requests {
		if !slices.Contains(hosts, r.URL.Host) {
			hosts = append(hosts, r.URL.Host)
		}
	}
	return hosts
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) })
}

// newWorld has a database at its own name, and proxies of all kinds.
func newWorld(o *origin) *world {
	database := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/sumdb/" + dbName + r.URL.Path
		o.ServeHTTP(w, r)
	})
	return &world{hosts: map[string]http.Handler{
		"https://" + dbName:       database,
		"https://elsewhere.test":  database,
		"https://serves.test":     o,
		"http://plain.test":       o,
		"https://lacks.test":      status(http.StatusNotFound),
		"https://gone.test":       status(http.StatusGone),
		"https://broken.test":     status(http.StatusBadGateway),
		"https://refuses.test":    status(http.StatusForbidden),
		"https://to-plain.test":   http.RedirectHandler("http://plain.test", http.StatusFound),
		"https://to-private.test": http.RedirectHandler("https://10.0.0.1/", http.StatusFound),
		"https://to-itself.test":  http.RedirectHandler("https://to-itself.test/", http.StatusFound),
		"https://elsewhere-moved.test": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://serves.test"+r.URL.Path, http.StatusFound)
		}),
	}}
}

func TestHowTheDatabaseIsReached(t *testing.T) {
	for _, tc := range []struct {
		upstreams string
		url       string // in GOSUMDB
		asked     string
		code      fault.Code
	}{
		{upstreams: "", asked: dbName},
		{upstreams: "direct", asked: dbName},
		{upstreams: "off", asked: dbName}, // as the go command
		{upstreams: "https://serves.test,direct", asked: "serves.test"},
		{upstreams: " serves.test , direct", asked: "serves.test"},
		{upstreams: "https://lacks.test,https://serves.test", asked: "lacks.test serves.test"},
		{upstreams: "https://lacks.test|https://gone.test,direct,https://serves.test", asked: "lacks.test gone.test " + dbName},
		{upstreams: "https://lacks.test", asked: "lacks.test " + dbName},
		{upstreams: "file:///srv/modules,https://serves.test", asked: "serves.test"},
		{upstreams: "https://broken.test,https://serves.test", asked: "broken.test", code: fault.Unavailable},
		{upstreams: "https://broken.test|https://serves.test", asked: "broken.test serves.test"},
		{upstreams: "https://refuses.test,https://serves.test", asked: "refuses.test", code: fault.Denied},
		{upstreams: "https://nobody.test,https://serves.test", asked: "nobody.test", code: fault.Unavailable},
		{upstreams: "https://nobody.test|https://serves.test", asked: "nobody.test serves.test"},
		{upstreams: "https://serves.test", url: "https://elsewhere.test", asked: "elsewhere.test"},
		{upstreams: "http://plain.test", asked: "plain.test"},
		{upstreams: "https://elsewhere-moved.test", asked: "elsewhere-moved.test serves.test"},
		{upstreams: "https://to-plain.test", asked: "to-plain.test", code: fault.Denied},
		{upstreams: "https://to-private.test", asked: "to-private.test", code: fault.Denied},
		{upstreams: "https://to-itself.test", asked: "to-itself.test", code: fault.Invalid},
	} {
		t.Run(tc.upstreams+tc.url, func(t *testing.T) {
			o := newOrigin(t, 300)
			w := newWorld(o)
			d := o.open("", func(opt *Options) {
				opt.Name, opt.Upstreams, opt.Transport = strings.TrimSpace(o.vkey+" "+tc.url), tc.upstreams, w
			})
			err := check(d, 5)
			if tc.code != "" {
				wantFault(t, err, tc.code)
			} else if err != nil {
				t.Error(err)
			}
			if asked := strings.Join(w.asked(), " "); asked != tc.asked {
				t.Errorf("asked %s, want %s", asked, tc.asked)
			}
		})
	}
}

func TestCredentialsGoToTheirHostOnly(t *testing.T) {
	o := newOrigin(t, 300)
	w := newWorld(o)
	d := o.open("", func(opt *Options) {
		opt.Upstreams, opt.Transport = "https://user:secret@lacks.test,https://name:secret@elsewhere-moved.test", w
	})
	if err := check(d, 5); err != nil {
		t.Fatal(err)
	}
	with := map[string]bool{}
	for _, r := range w.requests {
		_, _, ok := r.BasicAuth()
		with[r.URL.Host] = with[r.URL.Host] || ok
	}
	if want := map[string]bool{"lacks.test": true, "elsewhere-moved.test": true, "serves.test": false}; !maps.Equal(with, want) {
		t.Errorf("credentials were sent to %v", with)
	}
	for _, host := range []string{"broken.test", "refuses.test", "nobody.test", "to-plain.test", "to-itself.test"} {
		d := o.open("", func(opt *Options) { opt.Upstreams, opt.Transport = "https://name:secret@"+host, w })
		if err := check(d, 5); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "name") || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTheObserverHearsOfEachRequest(t *testing.T) {
	o := newOrigin(t, 300)
	var mu sync.Mutex
	heard := map[string]int{}
	d := o.open("", func(opt *Options) {
		opt.Observer = func(r Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Host == "" || r.Duration <= 0 || r.Status == http.StatusOK && r.Bytes == 0 && r.Kind != "supported" {
				t.Errorf("%+v", r)
			}
			heard[r.Kind]++
		}
	})
	mustCheck(t, d, 5, 6)
	if want := map[string]int{"supported": 1, "latest": 1, "lookup": 2, "tile": 3}; !maps.Equal(heard, want) {
		t.Errorf("%v, want %v", heard, want)
	}
}

// hangs answers nothing.
type hangs struct{}

func (hangs) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestSilentUpstreams(t *testing.T) {
	o := newOrigin(t, 0)
	synctest.Test(t, func(t *testing.T) {
		d, err := New(Options{Name: o.vkey, Transport: hangs{}})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		start := time.Now()
		wantFault(t, check(d, 1), fault.Unavailable, "deadline")
		if took := time.Since(start); took != requestTime {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		wantFault(t, d.CheckMod(ctx, mod(2), ""), fault.Unavailable)
	})
}

func TestDetail(t *testing.T) {
	for _, tc := range []struct{ kind, body, want string }{
		{"text/plain; charset=utf-8", "not found:\n\tsome  module\n", "not found: some module"},
		{"text/html", "<html>", ""},
		{"", "text", ""},
		{"text/plain", "\x1b[31mred", ""},
		{"text/plain", "\xff\xfe", ""},
		{"text/plain", strings.Repeat("x", 10_000), strings.Repeat("x", maxDetail)},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", tc.kind)
		_, _ = w.WriteString(tc.body)
		resp := w.Result()
		if got := detail(resp); got != tc.want {
			t.Errorf("%q %.40q: %.40q", tc.kind, tc.body, got)
		}
		_ = resp.Body.Close()
	}
}
