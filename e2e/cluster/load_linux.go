package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// LoadImage gives an image to every node and returns its whole names: what pods
// use as image, with imagePullPolicy IfNotPresent or Never.
func (c *Cluster) LoadImage(ctx context.Context, source ImageSource) ([]string, error) {
	return loadImage(ctx, c.bin, c.Nodes(), source)
}

// LoadImage gives an image to every node of a cluster that another process holds,
// as Cluster.LoadImage does.
func (i Info) LoadImage(ctx context.Context, source ImageSource) ([]string, error) {
	return loadImage(ctx, i.bin, i.Nodes, source)
}

func loadImage(ctx context.Context, bin string, nodes []NodeInfo, source ImageSource) ([]string, error) {
	l, err := source.open()
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, &fault.Error{Code: fault.Usage, Op: "load image", Input: source.Path, Err: errors.New("the cluster has no nodes that could hold it")}
	}
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		if n.Alive {
			group.Go(func() { errs[i] = l.load(ctx, bin, n) })
		}
	}
	group.Wait()
	return l.names, errors.Join(errs...)
}

// load imports the image into the node's containerd.
func (l *loader) load(ctx context.Context, bin string, n NodeInfo) error {
	// The socket is in the node's mount namespace.
	socket := "/proc/" + strconv.Itoa(n.PID) + "/root" + containerdSocket
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "ctr"), importArgs(socket, "-")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	written := errors.Join(l.write(stdin), stdin.Close())
	if err := cmd.Wait(); err != nil {
		return &fault.Error{
			Code: fault.Unavailable, Op: "load image", Input: l.source.Path,
			Err: fmt.Errorf("%s: %w: %s", n.Name, err, tail(&out, 5)),
		}
	}
	return written
}
