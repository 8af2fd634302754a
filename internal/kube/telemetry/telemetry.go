// Package telemetry makes what the services do visible: metrics for Prometheus,
// traces for OpenTelemetry. What is measured comes through the observers of the
// packages that do the work; none of them knows this one.
//
// No label has a value that a user can choose, so the number of series is
// bounded.
package telemetry

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const namespace = "gopherwood"

// phaseTotal stands for a whole request among its phases.
const phaseTotal = "total"

// Build says which program this is.
type Build struct {
	Version, GoVersion, Revision string
}

// Metrics are the measurements of one process. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	tracer   trace.Tracer

	duration *prometheus.HistogramVec // handler, phase
	requests *prometheus.CounterVec   // handler, decision
	inFlight prometheus.Gauge
	refused  prometheus.Counter

	facts         *prometheus.CounterVec // source
	fetches       *prometheus.CounterVec // result
	fetchDuration prometheus.Histogram
	fetchBytes    prometheus.Counter
	fetching      prometheus.Gauge
	access        *prometheus.CounterVec // result
	evictions     prometheus.Counter
}

// New returns metrics that have measured nothing. Phases become spans of tracing,
// which may be nil.
func New(build Build, tracing *Tracing) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		tracer:   tracing.tracer(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "admission_duration_seconds",
			Help:    "How long a phase of an admission request took; the phase total is the whole request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"handler", "phase"}),
		requests:  counters("admission_requests_total", "Admission requests by what was decided.", "handler", "decision"),
		inFlight:  gauge("admission_in_flight", "Admission requests that are being answered."),
		refused:   counter("admission_overload_total", "Admission requests that were turned away because too many were being answered."),
		facts:     counters("images_facts_total", "Facts of one platform of an image that were asked for, by where they came from.", "source"),
		fetches:   counters("images_fetches_total", "Images that were read from a registry, by the result.", "result"),
		fetching:  gauge("images_fetches_in_flight", "Images that are being read from a registry."),
		access:    counters("images_access_checks_total", "Registries that were asked whether a tenant may pull an image, by the answer.", "result"),
		evictions: counter("images_evictions_total", "Images whose facts were let go from memory."),
		fetchDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "images_fetch_duration_seconds",
			Help:    "How long reading an image from a registry took.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		fetchBytes: counter("images_fetch_bytes_total", "Bytes of layers that were read from registries."),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Which program this is; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "go_version": build.GoVersion, "revision": build.Revision},
	})
	info.Set(1)
	m.registry.MustRegister(info, m.duration, m.requests, m.inFlight, m.refused, m.facts, m.fetches, m.fetchDuration,
		m.fetchBytes, m.fetching, m.access, m.evictions,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

// Gauge adds a gauge that is asked for its value when it is scraped. Its name is
// without the prefix; it must not be added twice.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value))
}

// Register adds what has metrics of its own. It must not be added twice.
func (m *Metrics) Register(c prometheus.Collector) { m.registry.MustRegister(c) }

// Handler serves the metrics, with those of more.
func (m *Metrics) Handler(more ...prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(append(prometheus.Gatherers{m.registry}, more...), promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// Phase hears that a phase of a request begins; what it returns is called at its
// end.
func (m *Metrics) Phase(ctx context.Context, handler, phase string) (context.Context, func()) {
	begin := time.Now()
	ctx, span := m.tracer.Start(ctx, phase, trace.WithAttributes(attribute.String("gopherwood.handler", handler)))
	return ctx, func() {
		span.End()
		m.duration.WithLabelValues(handler, phase).Observe(time.Since(begin).Seconds())
	}
}

// Answered hears of an answer.
func (m *Metrics) Answered(ctx context.Context, handler, decision string, took time.Duration) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("gopherwood.decision", decision))
	m.duration.WithLabelValues(handler, phaseTotal).Observe(took.Seconds())
	m.requests.WithLabelValues(handler, decision).Inc()
}

// Enter hears that a request is being answered; what it returns is called when it
// has been.
func (m *Metrics) Enter() func() {
	m.inFlight.Inc()
	return m.inFlight.Dec
}

// Overload hears of a request that is turned away.
func (m *Metrics) Overload() { m.refused.Inc() }

// Images hears what is done about images.
func (m *Metrics) Images() images.Observer {
	return images.Observer{
		Hit:          func(l images.Level) { m.facts.WithLabelValues(string(l)).Inc() },
		FetchStarted: m.fetching.Inc,
		FetchEnded: func(bytes int64, took time.Duration, code fault.Code) {
			m.fetching.Dec()
			m.fetches.WithLabelValues(result(code)).Inc()
			m.fetchDuration.Observe(took.Seconds())
			m.fetchBytes.Add(float64(max(bytes, 0)))
		},
		Proof:   func(code fault.Code) { m.access.WithLabelValues(result(code)).Inc() },
		Evicted: func(n int) { m.evictions.Add(float64(max(n, 0))) },
	}
}

// result is a code as the value of a label.
func result(code fault.Code) string {
	if code == "" {
		return "ok"
	}
	return string(code)
}
