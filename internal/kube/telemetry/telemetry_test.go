package telemetry_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// scrape returns what Prometheus gets.
func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	return string(text)
}

func TestMetrics(t *testing.T) {
	m := telemetry.New(telemetry.Build{Version: "v1.2.3", GoVersion: "go1.26.8", Revision: "abc"}, nil)
	ctx, end := m.Phase(t.Context(), "validate", "facts")
	time.Sleep(3 * time.Millisecond)
	end()
	m.Answered(ctx, "validate", "denied", 20*time.Millisecond)
	leave := m.Enter()
	m.Overload()
	o := m.Images()
	o.Hit(images.Memory)
	o.Hit(images.Memory)
	o.FetchStarted()
	o.FetchStarted()
	o.FetchEnded(1000, time.Second, "")
	o.Proof(fault.Denied)
	o.Evicted(3)
	m.Gauge("policies", "Policies.", func() float64 { return 7 })
	more := prometheus.NewRegistry()
	more.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "others", Help: "x"}, func() float64 { return 1 }))

	got := scrape(t, m.Handler(more))
	for _, line := range []string{
		`gopherwood_build_info{go_version="go1.26.8",revision="abc",version="v1.2.3"} 1`,
		`gopherwood_admission_duration_seconds_bucket{handler="validate",phase="facts",le="0.0025"} 0`,
		`gopherwood_admission_duration_seconds_count{handler="validate",phase="facts"} 1`,
		`gopherwood_admission_duration_seconds_bucket{handler="validate",phase="total",le="0.025"} 1`,
		`gopherwood_admission_requests_total{decision="denied",handler="validate"} 1`,
		`gopherwood_admission_in_flight 1`,
		`gopherwood_admission_overload_total 1`,
		`gopherwood_images_facts_total{source="memory"} 2`,
		`gopherwood_images_fetches_total{result="ok"} 1`,
		`gopherwood_images_fetches_in_flight 1`,
		`gopherwood_images_fetch_bytes_total 1000`,
		`gopherwood_images_fetch_duration_seconds_sum 1`,
		`gopherwood_images_access_checks_total{result="denied"} 1`,
		`gopherwood_images_evictions_total 3`,
		`gopherwood_policies 7`,
		`others 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(got, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
	leave()
	if !strings.Contains(scrape(t, m.Handler()), "gopherwood_admission_in_flight 0\n") {
		t.Error("a request that has been answered counts on")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// receiver is an OTLP collector.
type receiver struct {
	mu       sync.Mutex
	requests []*collector.ExportTraceServiceRequest
	header   http.Header
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	got := &collector.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(data, got)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, req.URL.Path, http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.header = append(r.requests, got), req.Header
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) spans() []*tracev1.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*tracev1.Span
	for _, req := range r.requests {
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				all = append(all, ss.Spans...)
			}
		}
	}
	return all
}

func TestTraces(t *testing.T) {
	r := &receiver{}
	collectorServer := httptest.NewServer(r)
	defer collectorServer.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collectorServer.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "tenant=me")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1")
	tracing, err := telemetry.NewTracing(t.Context(), os.Getenv, "gopherwood-webhook", "v1", slog.New(slog.DiscardHandler))
	if err != nil || tracing == nil {
		t.Fatalf("%v, %v", tracing, err)
	}
	m := telemetry.New(telemetry.Build{}, tracing)
	hook := httptest.NewServer(tracing.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, end := m.Phase(r.Context(), "validate", "facts")
		_, inner := m.Phase(ctx, "validate", "judge")
		inner()
		end()
		m.Answered(r.Context(), "validate", "admitted", time.Millisecond)
	})))
	defer hook.Close()
	req, err := http.NewRequest(http.MethodPost, hook.URL+"/validate", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// What has not been sent is sent at the end.
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	parents := map[string]string{}
	names := map[string]string{"b7ad6b7169203331": "API server"}
	for _, s := range r.spans() {
		names[hexID(s.SpanId)] = s.Name
		if id := hexID(s.TraceId); id != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %s is of trace %s", s.Name, id)
		}
	}
	for _, s := range r.spans() {
		parents[s.Name] = names[hexID(s.ParentSpanId)]
	}
	for child, parent := range map[string]string{"POST /validate": "API server", "facts": "POST /validate", "judge": "facts"} {
		if parents[child] != parent {
			t.Errorf("%q is below %q, want %q", child, parents[child], parent)
		}
	}
	i := slices.IndexFunc(r.spans(), func(s *tracev1.Span) bool { return s.Name == "POST /validate" })
	if i < 0 || !strings.Contains(r.spans()[i].String(), "admitted") {
		t.Error("the decision is not in the span")
	}
	if resource := r.requests[0].ResourceSpans[0].Resource.String(); !strings.Contains(resource, "gopherwood-webhook") || !strings.Contains(resource, "pod-1") {
		t.Errorf("resource %s", resource)
	}
	if r.header.Get("tenant") != "me" {
		t.Error("the environment's headers are not sent")
	}
}

func TestNoTraces(t *testing.T) {
	for _, env := range []map[string]string{
		nil,
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		tracing, err := telemetry.NewTracing(t.Context(), func(name string) string { return env[name] }, "s", "v", slog.New(slog.DiscardHandler))
		if tracing != nil || err != nil {
			t.Errorf("%v: %v, %v", env, tracing, err)
		}
		h := http.NotFoundHandler()
		if got := tracing.Wrap(h); got == nil {
			t.Error("no handler")
		}
		if err := tracing.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func hexID(b []byte) string { return hex.EncodeToString(b) }
