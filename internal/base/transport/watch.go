package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// watcher ends a request whose body stands still, on the way there or back.
type watcher struct {
	inner http.RoundTripper
	idle  time.Duration
}

func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	ctx, cancel := context.WithCancelCause(req.Context())
	req = req.WithContext(ctx)
	if hasBody(req) {
		req.Body = &sentBody{ReadCloser: req.Body, idle: w.idle, timer: w.timer(cancel, host, "it took nothing more for %v")}
	}
	resp, err := w.inner.RoundTrip(req)
	if err != nil {
		if f := silence(context.Cause(ctx)); f != nil {
			err = f
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &receivedBody{body: resp.Body, ctx: ctx, cancel: cancel, idle: w.idle, host: host,
		timer: w.timer(cancel, host, "it sent nothing more for %v")}
	return resp, nil
}

// timer returns a stopped timer that ends the request.
func (w *watcher) timer(cancel context.CancelCauseFunc, host, format string) *time.Timer {
	t := time.AfterFunc(w.idle, func() {
		cancel(&fault.Error{Code: fault.Unavailable, Op: "ask", Input: host, Hint: "try again later", Err: fmt.Errorf(format, w.idle)})
	})
	t.Stop()
	return t
}

// sentBody is the body of a request. The time between its reads is what the
// other side takes; the time within them does not count.
type sentBody struct {
	io.ReadCloser
	timer *time.Timer
	idle  time.Duration
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.timer.Reset(b.idle)
	}
	return n, err
}

func (b *sentBody) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

// receivedBody is the body of an answer, whose reads must not wait for long. The
// time that its reader takes between reads does not count.
type receivedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
	host   string
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if cause := context.Cause(b.ctx); cause != nil {
		if f := silence(cause); f != nil {
			return n, f
		}
		return n, cause
	}
	return n, &fault.Error{Code: fault.Unavailable, Op: "ask", Input: b.host, Hint: "try again later",
		Err: fmt.Errorf("the connection broke: %w", err)}
}

func (b *receivedBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}
