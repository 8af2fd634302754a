//go:build controlplane || e2e

package controlplane

import (
	"io"
	"net"
	"slices"
	"sync"
)

// balancer is what a Service is: it passes each connection on to one of the
// replicas, in turn, and knows nothing of what is said.
type balancer struct {
	address  string
	listener net.Listener

	mu       sync.Mutex
	replicas []string
	next     int
	conns    map[net.Conn]bool
}

func newBalancer() (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{address: l.Addr().String(), listener: l, conns: map[net.Conn]bool{}}
	go b.accept()
	return b, nil
}

func (b *balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		go b.pass(conn)
	}
}

// add sends connections to a replica from now on.
func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = append(b.replicas, address)
}

// remove sends it no more connections. Those that there are stay.
func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = slices.DeleteFunc(b.replicas, func(r string) bool { return r == address })
}

// pick returns the next replica, "" when there is none.
func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.replicas) == 0 {
		return ""
	}
	b.next = (b.next + 1) % len(b.replicas)
	return b.replicas[b.next]
}

// pass joins a connection with a replica. Like a Service it does not try another
// one when that does not answer.
func (b *balancer) pass(client net.Conn) {
	defer client.Close()
	replica := b.pick()
	if replica == "" {
		return
	}
	server, err := net.Dial("tcp", replica)
	if err != nil {
		return
	}
	defer server.Close()
	b.keep(client, server)
	defer b.drop(client, server)
	var both sync.WaitGroup
	both.Go(func() { relay(server, client) })
	both.Go(func() { relay(client, server) })
	both.Wait()
}

// relay copies one direction until its end, and hands that on.
func relay(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if c, ok := to.(*net.TCPConn); ok && err == nil {
		_ = c.CloseWrite()
		return
	}
	_ = to.Close()
	_ = from.Close()
}

func (b *balancer) keep(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		b.conns[c] = true
	}
}

func (b *balancer) drop(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.conns, c)
	}
}

func (b *balancer) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
}
