package cluster

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Registry says how nodes reach a registry.
type Registry struct {
	// Host is the registry in the names of images, "registry.example:5000".
	Host string
	// URL is where it is: "http://10.64.0.1:5000". One on a loopback address of this
	// machine is relayed to the nodes. Empty: https at Host.
	URL string
	// CA are certificates in PEM that its certificate is verified with besides the
	// system's.
	CA []byte
}

// registryFiles are the files of a registry below containerd's directory of them.
type registryFiles struct {
	hosts string
	ca    []byte
}

// AddRegistry tells all nodes, those to come too, how to reach a registry. It
// works at once: containerd looks it up with every pull.
func (c *Cluster) AddRegistry(r Registry) error {
	content, err := c.registryHosts(r)
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "add registry", Input: r.Host, Err: err}
	}
	c.mu.Lock()
	if c.registries == nil {
		c.registries = map[string]registryFiles{}
	}
	c.registries[r.Host] = registryFiles{content, r.CA}
	nodes := append([]*node(nil), c.nodes...)
	c.mu.Unlock()
	for _, n := range nodes {
		if err := c.writeRegistries(n); err != nil {
			return err
		}
	}
	return nil
}

// registryHosts returns the hosts.toml of a registry.
func (c *Cluster) registryHosts(r Registry) (string, error) {
	if r.URL == "" {
		r.URL = "https://" + r.Host
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", &fault.Error{Code: fault.Usage, Err: fmt.Errorf("%q is no URL of a registry", r.URL)}
	}
	if r.Host == "" || strings.ContainsAny(r.Host, "/\x00") || r.Host[0] == '.' {
		return "", &fault.Error{Code: fault.Usage, Err: fmt.Errorf("%q is no host", r.Host)}
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		if c.net == nil {
			return "", &fault.Error{Code: fault.Usage, Err: errors.New("the cluster has no nodes")}
		}
		if u.Host, err = c.relay(u.Host); err != nil {
			return "", err
		}
	}
	content := fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", u.String(), u.String())
	if block, _ := pem.Decode(r.CA); block != nil {
		content += "  ca = \"" + filepath.Join(registryHosts, r.Host, "ca.crt") + "\"\n"
	}
	return content, nil
}

// relay listens on the bridge and forwards to an address of this machine; it
// returns where it listens.
func (c *Cluster) relay(to string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(c.address, "0"))
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.relays = append(c.relays, l)
	c.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // Closed by Down.
			}
			go forward(conn, to)
		}
	}()
	return l.Addr().String(), nil
}

// forward copies both ways between conn and a new connection, until both sides
// have ended.
func forward(conn net.Conn, to string) {
	defer func() { _ = conn.Close() }()
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = other.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(other, conn)
		_ = other.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, other)
	_ = conn.(*net.TCPConn).CloseWrite()
	<-done
}

// writeRegistries writes how the node reaches the registries that were added.
func (c *Cluster) writeRegistries(n *node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for host, files := range c.registries {
		dir := filepath.Join(n.root(), registryHosts, host)
		if len(files.ca) > 0 {
			errs = append(errs, writeAtomically(filepath.Join(dir, "ca.crt"), files.ca, 0o644))
		}
		errs = append(errs, writeAtomically(filepath.Join(dir, "hosts.toml"), []byte(files.hosts), 0o644))
	}
	return errors.Join(errs...)
}
