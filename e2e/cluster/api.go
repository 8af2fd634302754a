package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// answerLimit is the most that is read of an answer of the API server.
const answerLimit = 64 << 20

// newAPIClient returns a client that is the cluster's administrator.
func newAPIClient(ca []byte, admin pair) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate of the authority")
	}
	cert, err := tls.X509KeyPair(admin.cert, admin.key)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 8,
		},
	}, nil
}

// Do sends a request to the API server as the cluster's administrator: in, unless
// nil, as JSON, and the answer into out, unless nil. An error has the code that
// the status stands for: NotFound, Denied, Usage, Unavailable.
func (c *Cluster) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: method, Input: path, Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: method, Input: path, Err: err}
	}
	if resp.StatusCode >= 300 {
		return statusError(method, path, resp.StatusCode, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// statusError returns the error that an answer is.
func statusError(method, path string, status int, body []byte) error {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Message == "" {
		answer.Message = string(body[:min(len(body), 200)])
	}
	code := fault.Internal
	switch {
	case status == http.StatusNotFound:
		code = fault.NotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		code = fault.Denied
	case status == http.StatusTooManyRequests, status >= 500:
		code = fault.Unavailable
	case status >= 400:
		code = fault.Usage
	}
	return &fault.Error{Code: code, Op: method, Input: path, Err: fmt.Errorf("%d %s: %s", status, http.StatusText(status), answer.Message)}
}

// poll calls ready every interval until it returns nil, and returns its last error
// when the context ends or stop is closed.
func poll(ctx context.Context, interval time.Duration, stop <-chan struct{}, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-stop:
			return fmt.Errorf("the process has ended: %w", err)
		case <-time.After(interval):
		}
	}
}
