//go:build e2e

package modproxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// island is a network of its own: a loopback interface, and no way out. What is
// started and opened on it stays on it.
type island struct{ calls chan func() }

// newIsland makes an island, which lasts as long as the process.
func newIsland() (*island, error) {
	i := &island{calls: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: a thread cannot leave its network
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		if err == nil {
			err = exec.Command("ip", "link", "set", "lo", "up").Run()
		}
		made <- err
		for call := range i.calls {
			call()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network without a way out: %w", err)
	}
	return i, nil
}

// on calls f on the island. Sockets that f makes and processes that it starts are
// of its network.
func (i *island) on(f func()) {
	done := make(chan struct{})
	i.calls <- func() { defer close(done); f() }
	<-done
}

// listen listens on a free port of the island's loopback address.
func (i *island) listen() (net.Listener, error) {
	var l net.Listener
	var err error
	i.on(func() { l, err = net.Listen("tcp", "127.0.0.1:0") })
	return l, err
}

// freePort is an address of the island that nothing listens on.
func (i *island) freePort() (string, error) {
	l, err := i.listen()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// dial connects to an IP address of the island.
func (i *island) dial(_ context.Context, network, address string) (net.Conn, error) {
	var c net.Conn
	var err error
	i.on(func() { c, err = net.DialTimeout(network, address, 5*time.Second) })
	return c, err
}

// client is an HTTP client on the island.
func (i *island) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: i.dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
		Timeout:   time.Minute,
	}
}

// start starts a program on the island. It ends with the tests, however these do.
func (i *island) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var err error
	i.on(func() { err = cmd.Start() })
	return err
}

// run runs a program on the island to its end.
func (i *island) run(cmd *exec.Cmd) error {
	if err := i.start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
