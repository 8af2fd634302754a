package modproxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/cached"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/sumdb"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const metricsPrefix = "gopherwood_modproxy"

// Metrics are the measurements of one process. No label has a value that a client
// can choose, so the number of series is bounded. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec // kind, from, code
	// hits are those of requests that are answered from memory, most of all.
	hits     [kinds]prometheus.Counter
	bytes    [kinds]prometheus.Counter
	duration [kinds]prometheus.Observer

	fetches       *prometheus.CounterVec // result, background
	fetchDuration prometheus.Histogram
	fetchBytes    prometheus.Counter
	renewals      *prometheus.CounterVec // result
	dropped       prometheus.Counter
	copies        *prometheus.CounterVec // event

	upstreamRequests *prometheus.CounterVec // host, kind, code
	upstreamBytes    *prometheus.CounterVec // host
	upstreamDuration prometheus.Histogram
}

// NewMetrics returns metrics that have measured nothing, of a program of that
// version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counters("requests_total", "Requests, by what was asked for, where the answer came from, and the HTTP status.", "kind", "from", "code"),
		fetches:  counters("fetches_total", "Versions that were fetched from upstream, by the result; in the background when nobody waited.", "result", "background"),
		fetchDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "_fetch_duration_seconds", Help: "How long it took to fetch a version from upstream, verify and store it.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}),
		fetchBytes:       counter("fetch_bytes_total", "Bytes of the zips that were fetched from upstream and stored."),
		renewals:         counters("renewal_failures_total", "Lists and other answers that could not be renewed, by the reason.", "reason"),
		dropped:          counter("background_dropped_total", "Versions that are not fetched in the background since too many wait."),
		copies:           counters("cache_events_total", "What happens between the directory and the registry that it is a cache of.", "event"),
		upstreamRequests: counters("upstream_requests_total", "Requests to upstreams, by what was asked for and the HTTP status; 0 for none.", "host", "kind", "code"),
		upstreamBytes:    counters("upstream_bytes_total", "Bytes that were read from upstreams.", "host"),
		upstreamDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "_upstream_duration_seconds", Help: "How long requests to upstreams took, to the end of the answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	m.addKinds()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gopherwood_build_info", Help: "Which program this is; always 1.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(info, m.requests, m.fetches, m.fetchDuration, m.fetchBytes, m.renewals, m.dropped, m.copies,
		m.upstreamRequests, m.upstreamBytes, m.upstreamDuration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// addKinds makes the series of what is measured of every request, so that none has
// to be looked up then.
func (m *Metrics) addKinds() {
	sent := counters("response_bytes_total", "Bytes of content that were sent, by what was asked for.", "kind")
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: metricsPrefix + "_request_duration_seconds", Help: "How long requests took, to the end of the answer.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"kind"})
	for k := range kinds {
		m.hits[k] = m.requests.WithLabelValues(k.String(), string(mirror.Memory), "200")
		m.bytes[k] = sent.WithLabelValues(k.String())
		m.duration[k] = duration.WithLabelValues(k.String())
	}
	m.registry.MustRegister(sent, duration)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + "_" + name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + "_" + name, Help: help}, labels)
}

// Watch adds what is asked for its value when the metrics are scraped. It is called
// once.
func (m *Metrics) Watch(s *Server, f *mirror.Mirror, l *AccessLog) {
	m.gauge("memory_bytes", "Bytes of documents that are kept in memory.", func() float64 { return float64(s.hot.Bytes()) })
	m.gauge("background_pending", "Versions that are still to be fetched because only a part of them was asked for.", func() float64 { return float64(f.Pending()) })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: metricsPrefix + "_access_log_dropped_total", Help: "Lines of the log of requests that were dropped since it was not taken fast enough.",
	}, func() float64 { return float64(l.Dropped()) }))
}

// WatchPending adds what waits until a registry takes it: versions, and the bytes
// of their zips. It is called at most once.
func (m *Metrics) WatchPending(pending func() (versions int, bytes int64)) {
	m.gauge("pushes_pending", "Versions that are not in the registry yet.", func() float64 {
		versions, _ := pending()
		return float64(versions)
	})
	m.gauge("pushes_pending_bytes", "Bytes of the zips that are not in the registry yet.", func() float64 {
		_, bytes := pending()
		return float64(bytes)
	})
}

// gauge adds a gauge that is asked for its value when it is scraped.
func (m *Metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + "_" + name, Help: help}, value))
}

// answered hears of a request that has its answer.
func (m *Metrics) answered(o *outcome, took time.Duration) {
	if m == nil {
		return
	}
	if o.level == mirror.Memory && o.status == http.StatusOK {
		m.hits[o.kind].Inc()
	} else {
		m.requests.WithLabelValues(o.kind.String(), string(o.level), strconv.Itoa(o.status)).Inc()
	}
	m.bytes[o.kind].Add(float64(max(o.bytes, 0)))
	m.duration[o.kind].Observe(took.Seconds())
}

// Mirror hears what the mirror does.
func (m *Metrics) Mirror(e mirror.Event) {
	switch e.Kind {
	case mirror.Fetched:
		m.fetches.WithLabelValues(result(e.Err), strconv.FormatBool(e.Background)).Inc()
		m.fetchDuration.Observe(e.Took.Seconds())
		m.fetchBytes.Add(float64(max(e.Bytes, 0)))
	case mirror.Renewed:
		m.renewals.WithLabelValues(result(e.Err)).Inc()
	case mirror.Dropped:
		m.dropped.Inc()
	}
}

func result(err error) string {
	if err == nil {
		return "ok"
	}
	return string(fault.CodeOf(err))
}

// Store hears what happens between a directory and the registry behind it.
func (m *Metrics) Store(e cached.Event) { m.copies.WithLabelValues(string(e.Kind)).Inc() }

// Upstream hears of a request for a module.
func (m *Metrics) Upstream(r upstream.Request) {
	m.upstream(r.Host, r.Kind, r.Status, r.Bytes, r.Duration)
}

// Sumdb hears of a request for the checksum database.
func (m *Metrics) Sumdb(r sumdb.Request) {
	m.upstream(r.Host, "sumdb-"+r.Kind, r.Status, r.Bytes, r.Duration)
}

func (m *Metrics) upstream(host, kind string, status int, bytes int64, took time.Duration) {
	m.upstreamRequests.WithLabelValues(host, kind, strconv.Itoa(status)).Inc()
	m.upstreamBytes.WithLabelValues(host).Add(float64(max(bytes, 0)))
	m.upstreamDuration.Observe(took.Seconds())
}

// handler serves the metrics.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
}
