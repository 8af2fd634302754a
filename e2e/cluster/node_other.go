//go:build !linux

package cluster

import (
	"context"
	"net"
	"time"
)

// network and node are Linux's.
type (
	network       struct{ host net.IP }
	node          struct{}
	registryFiles struct{}
)

func canHaveNodes() error { return unsupportedNodes() }

func nodeMain() int { return 1 }

func (c *Cluster) startNetwork(context.Context) error { return unsupportedNodes() }

func (c *Cluster) startNodes(_ context.Context, n int) error {
	if n == 0 {
		return nil
	}
	return unsupportedNodes()
}

func removeLinks([]string) error { return nil }

func removeCgroups([]string, time.Duration) error { return nil }

// LoadImage is for clusters with nodes.
func (c *Cluster) LoadImage(context.Context, ImageSource) ([]string, error) {
	return nil, unsupportedNodes()
}

// LoadImage is for clusters with nodes.
func (i Info) LoadImage(context.Context, ImageSource) ([]string, error) {
	return nil, unsupportedNodes()
}
