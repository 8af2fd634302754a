//go:build e2e

package fullcluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// registryServer is a registry of distribution. What is before it counts what is
// asked for, and can be slow.
type registryServer struct {
	// host is where it is for everybody.
	host   string
	cmd    *exec.Cmd
	server *http.Server
	next   http.Handler
	// blobs counts the blobs that were asked for; delay is what each of them waits.
	blobs, delay atomic.Int64
}

// startRegistry starts distribution with its files below dir, reachable at an
// address.
func startRegistry(binary, dir, address string) (*registryServer, error) {
	inner, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), inner)
	file := filepath.Join(dir, "config.yml")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, []byte(config), 0o600)); err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: inner})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients that give up are part of tests
	r := &registryServer{cmd: exec.Command(binary, "serve", file), next: proxy}
	var said bytes.Buffer
	r.cmd.Stdout, r.cmd.Stderr = &said, &said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with the tests, however these do
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		r.close()
		return nil, err
	}
	r.host = l.Addr().String()
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(l) }() // it ends with close
	if err := answers("http://" + r.host + "/v2/"); err != nil {
		r.close()
		return nil, fmt.Errorf("the registry: %w: %s", err, &said)
	}
	return r, nil
}

// answers waits until a URL has status 200.
func answers(url string) error {
	var err error
	for range 200 {
		var response *http.Response
		if response, err = http.Get(url); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// freePort is a loopback address that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ServeHTTP implements http.Handler.
func (r *registryServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
		r.blobs.Add(1)
		time.Sleep(time.Duration(r.delay.Load()))
	}
	r.next.ServeHTTP(w, req)
}

func (r *registryServer) close() {
	if r.server != nil {
		_ = r.server.Close()
	}
	_ = r.cmd.Process.Kill() // it may have ended
	_ = r.cmd.Wait()         // it says that it was killed
}
