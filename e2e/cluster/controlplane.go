package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	etcd       = "etcd"
	apiServer  = "kube-apiserver"
	controller = "kube-controller-manager"
	scheduler  = "kube-scheduler"
	kwok       = "kwok"
)

// serviceRange are the addresses of services, which exist on nodes only and can
// therefore be the same in every cluster.
const serviceRange = "10.96.0.0/16"

// controlPlaneWait is the most that the control plane may take; it takes seconds.
const controlPlaneWait = 90 * time.Second

// startControlPlane starts what is wanted of the control plane.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, controlPlaneWait, &fault.Error{
		Code: fault.Unavailable, Op: "start control plane", Err: fmt.Errorf("not ready after %s", controlPlaneWait),
	})
	defer cancel()
	var err error
	if c.pki, err = writePKI(filepath.Join(c.reg.dir, "pki"), net.ParseIP(c.address), time.Now()); err != nil {
		return err
	}
	if c.admin, err = c.pki.ca.issue(adminIdentity()); err != nil {
		return err
	}
	if c.client, err = newAPIClient(c.pki.ca.pem, c.admin); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if !c.config.full() {
		return nil
	}
	return c.startControllers(ctx)
}

// maxSocketPath is what fits into the address of a Unix socket everywhere.
const maxSocketPath = 100

// socketDir returns a directory for Unix sockets: the cluster's own, or a short
// one.
func (c *Cluster) socketDir() (string, error) {
	if dir := filepath.Join(c.reg.dir, "s"); len(dir)+len("/etcd.sock") <= maxSocketPath {
		return dir, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "gopherwood-")
	if err != nil {
		return "", err
	}
	return dir, c.reg.update(func(s *state) { s.Dirs = append(s.Dirs, dir) })
}

// startEtcd starts etcd, which only this user reaches: on a Unix socket. What it
// keeps is not to survive anything, so it need not wait for the disk.
func (c *Cluster) startEtcd(ctx context.Context) error {
	dir, err := c.socketDir()
	if err != nil {
		return err
	}
	socket := filepath.ToSlash(filepath.Join(dir, "etcd.sock"))
	client, peer := "unix://"+socket, "unix://"+filepath.ToSlash(filepath.Join(dir, "peer.sock"))
	p, err := c.run(etcd, flags(map[string]string{
		"data-dir":                    filepath.Join(c.dir, "etcd"),
		"listen-client-urls":          client,
		"advertise-client-urls":       client,
		"listen-peer-urls":            peer,
		"initial-advertise-peer-urls": peer,
		"initial-cluster":             "default=" + peer,
		"unsafe-no-fsync":             "true",
		"log-level":                   "warn",
		"quota-backend-bytes":         strconv.Itoa(4 << 30),
	}, nil))
	if err != nil {
		return err
	}
	if err := c.until(ctx, p, "etcd", func() error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		return err
	}
	c.etcdURL = client
	return nil
}

// onFreePort starts a program on a free port of address, and again on another one
// if something has taken that meanwhile.
func (c *Cluster) onFreePort(address string, start func(port int) error) error {
	for attempt := 1; ; attempt++ {
		port, err := pickPort(address)
		if err != nil {
			return err
		}
		err = start(port)
		if err == nil || attempt == 5 || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
}

// startAPIServer starts kube-apiserver on a free port, and then writes the
// kubeconfig.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	err := c.onFreePort(c.address, func(port int) error {
		c.port = port
		c.server = "https://" + net.JoinHostPort(c.address, strconv.Itoa(port))
		return c.StartAPIServer(ctx)
	})
	if err != nil {
		return err
	}
	name := "gopherwood-" + c.reg.view().ID
	if _, err := c.pki.writeKubeconfig(c.Kubeconfig(), name, c.server, adminIdentity()); err != nil {
		return err
	}
	return c.reg.update(func(s *state) { s.Server, s.Kubeconfig = c.server, c.Kubeconfig() })
}

// StartAPIServer starts the API server again, after StopAPIServer, where it was.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	p, err := c.run(apiServer, flags(c.apiServerFlags(), c.config.APIServerFlags))
	if err != nil {
		return err
	}
	err = c.until(ctx, p, "kube-apiserver", func() error {
		return c.Do(ctx, http.MethodGet, "/readyz", nil, nil)
	})
	if err != nil {
		return errors.Join(err, c.end(apiServer))
	}
	return nil
}

// StopAPIServer ends the API server, as if it had crashed.
func (c *Cluster) StopAPIServer() error { return c.end(apiServer) }

// RestartAPIServer ends the API server at once, starts it again and waits until it
// is ready. Its address stays.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	if err := c.StopAPIServer(); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// apiServerFlags returns the flags of kube-apiserver.
func (c *Cluster) apiServerFlags() map[string]string {
	pki := c.pki.path
	all := map[string]string{
		"etcd-servers":                       c.etcdURL,
		"bind-address":                       c.address,
		"secure-port":                        strconv.Itoa(c.port),
		"advertise-address":                  c.address,
		"tls-cert-file":                      pki("apiserver.crt"),
		"tls-private-key-file":               pki("apiserver.key"),
		"client-ca-file":                     pki("ca.crt"),
		"service-account-issuer":             "https://kubernetes.default.svc",
		"service-account-key-file":           pki("sa.pub"),
		"service-account-signing-key-file":   pki("sa.key"),
		"service-cluster-ip-range":           serviceRange,
		"authorization-mode":                 "Node,RBAC",
		"enable-admission-plugins":           "NodeRestriction",
		"allow-privileged":                   "true",
		"kubelet-client-certificate":         pki("apiserver-kubelet.crt"),
		"kubelet-client-key":                 pki("apiserver-kubelet.key"),
		"kubelet-certificate-authority":      pki("ca.crt"),
		"kubelet-preferred-address-types":    "InternalIP",
		"requestheader-client-ca-file":       pki("ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-allowed-names":        "front-proxy",
		"proxy-client-cert-file":             pki("front-proxy.crt"),
		"proxy-client-key-file":              pki("front-proxy.key"),
		// The API server is on the host, where the addresses of services mean nothing
		// and those of pods are routed.
		"enable-aggregator-routing": "true",
	}
	if c.config.Nodes == 0 {
		// The reconciler refuses a loopback address.
		all["endpoint-reconciler-type"] = "none"
	}
	return all
}

// startControllers starts kube-controller-manager and kube-scheduler, and waits
// until pods can be created.
func (c *Cluster) startControllers(ctx context.Context) error {
	pki := c.pki.path
	err := c.startClient(ctx, controller, managerIdentity(), c.config.ControllerFlags, map[string]string{
		"service-account-private-key-file": pki("sa.key"),
		"root-ca-file":                     pki("ca.crt"),
		"cluster-signing-cert-file":        pki("ca.crt"),
		"cluster-signing-key-file":         pki("ca.key"),
		"use-service-account-credentials":  "true",
		"leader-elect":                     "false",
		// Its own limit makes the start take 5 s more.
		"kube-api-qps":             "500",
		"kube-api-burst":           "1000",
		"allocate-node-cidrs":      "false",
		"service-cluster-ip-range": serviceRange,
	})
	if err != nil {
		return err
	}
	err = c.startClient(ctx, scheduler, schedulerIdentity(), c.config.SchedulerFlags, map[string]string{
		"leader-elect":   "false",
		"kube-api-qps":   "1000",
		"kube-api-burst": "2000",
	})
	if err != nil {
		return err
	}
	p := c.part(controller)
	return c.until(ctx, p, "the default service account", func() error {
		return c.Do(ctx, http.MethodGet, "/api/v1/namespaces/default/serviceaccounts/default", nil, nil)
	})
}

func (c *Cluster) part(name string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.procs[name]
}

// startClient starts a program that is a client of the API server and has a
// health check of its own.
func (c *Cluster) startClient(ctx context.Context, name string, id identity, more, defaults map[string]string) error {
	kubeconfig := c.pki.path(name + ".kubeconfig")
	if _, err := c.pki.writeKubeconfig(kubeconfig, "cluster", c.server, id); err != nil {
		return err
	}
	for _, flag := range []string{"kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"} {
		defaults[flag] = kubeconfig
	}
	defaults["tls-cert-file"], defaults["tls-private-key-file"] = c.pki.path("apiserver.crt"), c.pki.path("apiserver.key")
	defaults["bind-address"] = "127.0.0.1"
	return c.onFreePort("127.0.0.1", func(port int) error {
		defaults["secure-port"] = strconv.Itoa(port)
		p, err := c.run(name, flags(defaults, more))
		if err != nil {
			return err
		}
		err = c.until(ctx, p, name, func() error {
			return c.healthy(ctx, "https://127.0.0.1:"+strconv.Itoa(port)+"/healthz")
		})
		if err != nil {
			return errors.Join(err, c.end(name))
		}
		return nil
	})
}

// healthy asks a program's health check.
func (c *Cluster) healthy(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}
