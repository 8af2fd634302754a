package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// scope names the spans' origin.
const scope = "github.com/gopherwood-dev/gopherwood"

// Tracing sends spans to a collector. A nil *Tracing sends none.
type Tracing struct {
	provider *sdktrace.TracerProvider
}

// NewTracing returns what the standard environment variables (OTEL_*) ask for:
// nil unless they name an endpoint, by OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. Spans go there by OTLP over HTTP. service is
// the service's name unless the environment has another one. What goes wrong later
// is told log.
func NewTracing(ctx context.Context, getenv func(string) string, service, version string, log *slog.Logger) (*Tracing, error) {
	if !wanted(getenv) {
		return nil, nil
	}
	failed := func(err error) error {
		return &fault.Error{Code: fault.Usage, Op: "set up traces", Err: err, Hint: "check the environment variables OTEL_*"}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, failed(err)
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, failed(err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces", "error", err) }))
	return &Tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))}, nil
}

// wanted says whether the environment asks for traces.
func wanted(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(getenv("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// tracer returns where spans begin.
func (t *Tracing) tracer() trace.Tracer {
	if t == nil {
		return noop.NewTracerProvider().Tracer(scope)
	}
	return t.provider.Tracer(scope)
}

// Wrap returns next with a span around each request, below the one that the
// caller's headers name (W3C Trace Context), as the API server sends them.
func (t *Tracing) Wrap(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "admission",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))
}

// Close sends what has not been sent, as long as ctx lasts.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: "send the last traces", Err: err}
	}
	return nil
}
