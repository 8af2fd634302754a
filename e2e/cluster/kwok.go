package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// fakeAnnotation marks the nodes that kwok keeps alive.
const fakeAnnotation, fakeValue = "kwok.x-k8s.io/node", "fake"

// perNode and kwokWait bound how long simulated nodes take to become ready.
const (
	kwokWait = 30 * time.Second
	perNode  = 50 * time.Millisecond
)

// startKwok starts kwok and makes the simulated nodes that the configuration asks
// for.
func (c *Cluster) startKwok(ctx context.Context) error {
	n := c.config.SimulatedNodes
	wait := kwokWait + time.Duration(n)*perNode
	ctx, cancel := context.WithTimeoutCause(ctx, wait, &fault.Error{
		Code: fault.Unavailable, Op: "simulate nodes", Err: fmt.Errorf("not ready after %s", wait),
	})
	defer cancel()
	args := []string{
		"--kubeconfig=" + c.Kubeconfig(),
		"--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector=" + fakeAnnotation + "=" + fakeValue,
		"--cidr=10.200.0.0/16",
		"--node-lease-duration-seconds=40",
	}
	for _, name := range stages {
		args = append(args, "--config="+filepath.Join(c.bin, "stages", filepath.Base(name)))
	}
	p, err := c.run(kwok, args)
	if err != nil {
		return err
	}
	if err := c.createFakeNodes(ctx, n); err != nil {
		return err
	}
	return c.until(ctx, p, "ready nodes", func() error { return c.fakeNodesReady(ctx, n) })
}

// createFakeNodes creates the objects of n simulated nodes.
func (c *Cluster) createFakeNodes(ctx context.Context, n int) error {
	done := c.config.Progress.step("create", strconv.Itoa(n)+" simulated nodes")
	next := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range next {
				if err := c.Do(ctx, http.MethodPost, "/api/v1/nodes", fakeNode("fake-"+strconv.Itoa(i)), nil); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	done()
	return nil
}

// fakeNode returns the object of a simulated node.
func fakeNode(name string) any {
	size := map[string]string{"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "500Gi"}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": map[string]any{
			"name":        name,
			"annotations": map[string]string{fakeAnnotation: fakeValue},
			"labels": map[string]string{
				"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "type": "kwok",
			},
		},
		"status": map[string]any{
			"allocatable": size,
			"capacity":    size,
			"nodeInfo":    map[string]string{"operatingSystem": "linux", "architecture": "amd64", "kubeletVersion": Version},
		},
	}
}

// fakeNodesReady says whether n simulated nodes are ready.
func (c *Cluster) fakeNodesReady(ctx context.Context, n int) error {
	var list struct {
		Items []nodeStatus `json:"items"`
	}
	if err := c.Do(ctx, http.MethodGet, "/api/v1/nodes?labelSelector=type%3Dkwok&resourceVersion=0", nil, &list); err != nil {
		return err
	}
	ready := 0
	for _, item := range list.Items {
		if item.ready() == nil {
			ready++
		}
	}
	if ready < n {
		return fmt.Errorf("%d of %d are ready", ready, n)
	}
	return nil
}

// nodeStatus is what is read of a Node.
type nodeStatus struct {
	Status struct {
		Conditions []struct {
			Type, Status, Reason, Message string
		} `json:"conditions"`
	} `json:"status"`
}

// ready returns why the node is not ready, nil if it is.
func (n *nodeStatus) ready() error {
	for _, condition := range n.Status.Conditions {
		if condition.Type != "Ready" {
			continue
		}
		if condition.Status == "True" {
			return nil
		}
		return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
	}
	return errors.New("it says nothing of itself yet")
}
