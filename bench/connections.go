//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// connections ask one URL for the same again and again, each waiting for its
// answer. They know no more of HTTP than that, so that little of the machine is
// theirs.
type connections struct {
	request []byte
	all     []*connection
}

type connection struct {
	net.Conn
	r *bufio.Reader
}

// dialLoad opens loadConnections connections.
func dialLoad(ctx context.Context, address string) (*connections, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c := &connections{request: []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")}
	for range loadConnections {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			c.close()
			return nil, err
		}
		c.all = append(c.all, &connection{conn, bufio.NewReaderSize(conn, 64<<10)})
	}
	return c, nil
}

func (c *connections) close() {
	for _, conn := range c.all {
		_ = conn.Close() // nothing is read from it any more
	}
}

// run asks for as long as span and returns the answers a second.
func (c *connections) run(span time.Duration) (float64, error) {
	var group sync.WaitGroup
	var answers atomic.Int64
	errs := make([]error, len(c.all))
	begin := time.Now()
	for i, conn := range c.all {
		group.Go(func() {
			for errs[i] == nil && time.Since(begin) < span {
				errs[i] = conn.ask(c.request)
				answers.Add(1)
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(answers.Load()) / took.Seconds(), nil
}

// ask sends a request and reads the answer to its end.
func (c *connection) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
