package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// service is a program that a node's process 1 keeps running.
type service struct {
	name    string
	args    []string
	environ []string
	log     *os.File
}

// restartDelay is what lies between the end of a service and its next start.
const restartDelay = time.Second

// nodeMain is process 1 of a node: it makes the node's file system and network,
// starts the services, and from then on collects what ends.
func nodeMain() int {
	fmt.Fprintln(os.Stderr, runNode())
	return 1
}

// runNode returns only when the node cannot go on.
func runNode() error {
	var boot nodeBoot
	if err := json.NewDecoder(os.Stdin).Decode(&boot); err != nil {
		return fmt.Errorf("read what this node is: %w", err)
	}
	syscall.Umask(0o022)
	services, err := openServices(boot)
	if err != nil {
		return err
	}
	if err := enterRoot(boot); err != nil {
		return err
	}
	if err := errors.Join(syscall.Sethostname([]byte(boot.Name)), os.Setenv("PATH", nodeBin+":"+toolPath), os.Setenv("HOME", "/root")); err != nil {
		return err
	}
	if err := ipBatch(context.Background(), boot.Network...); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	running := map[int]*service{}
	for i, s := range services {
		pid, err := s.start()
		if err != nil {
			return err
		}
		running[pid] = s
		if i == 0 {
			if err := importPause(); err != nil {
				return err
			}
		}
	}
	return collect(running)
}

// openServices opens the logs of the services, which are outside the node's file
// system. containerd, which the kubelet needs, is the first.
func openServices(boot nodeBoot) ([]*service, error) {
	environ := []string{"PATH=" + nodeBin + ":" + toolPath, "HOME=/root"}
	services := []*service{
		{name: "containerd", args: []string{"--config", containerdConfig}, environ: append(environ[:2:2], boot.Environ...)},
		{name: "kubelet", args: boot.Kubelet, environ: environ},
		{name: "kube-proxy", args: boot.Proxy, environ: environ},
	}
	for _, s := range services {
		log, err := os.OpenFile(filepath.Join(boot.Logs, s.name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		s.log = log
	}
	return services, nil
}

// start starts the service. It is collected with all other processes and not by
// os/exec.
func (s *service) start() (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	path := filepath.Join(nodeBin, s.name)
	pid, err := syscall.ForkExec(path, append([]string{path}, s.args...), &syscall.ProcAttr{
		Dir: "/", Env: s.environ,
		Files: []uintptr{null.Fd(), s.log.Fd(), s.log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", s.name, err)
	}
	return pid, nil
}

// importPause waits for containerd and gives it the image that holds the
// namespaces of pods.
func importPause() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := poll(ctx, 10*time.Millisecond, nil, func() error {
		conn, err := net.Dial("unix", containerdSocket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return fmt.Errorf("containerd does not listen: %w", err)
	}
	return poll(ctx, 50*time.Millisecond, nil, func() error {
		out, err := exec.CommandContext(ctx, filepath.Join(nodeBin, "ctr"), importArgs(containerdSocket, pauseFile)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("import the pause image: %w: %s", err, out)
		}
		return nil
	})
}

// importArgs returns ctr's arguments that import the archive file.
func importArgs(socket, file string) []string {
	return []string{"--address", socket, "--namespace", "k8s.io", "images", "import", "--local=true", file}
}

// collect collects every process that ends, since those without a parent are
// process 1's, and starts services again.
func collect(running map[int]*service) error {
	again := make(chan *service, len(running))
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil && !errors.Is(err, syscall.ECHILD):
			return fmt.Errorf("wait: %w", err)
		case pid > 0:
			if s := running[pid]; s != nil {
				delete(running, pid)
				fmt.Fprintf(os.Stderr, "%s has ended\n", s.name)
				time.AfterFunc(restartDelay, func() { again <- s })
			}
			continue
		}
		select {
		case s := <-again:
			pid, err := s.start()
			if err != nil {
				return err
			}
			running[pid] = s
		case <-time.After(100 * time.Millisecond):
		}
	}
}
