//go:build e2e && linux

// Oldcpu is an OCI runtime whose containers have an old processor: it is runc, and
// what runc is to start in a container is started by qemu's user-mode emulation of
// a processor. It lies beside that program in a directory of
// cluster.Config.Runtimes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const (
	// runc is where nodes have it.
	runc = "/opt/gopherwood/runc"
	// emulator is where containers have it, and processor what it imitates: x86-64-v2.
	emulator, processor = "/emulator", "Nehalem"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "oldcpu:", err)
		os.Exit(1)
	}
}

// run becomes runc, whose arguments are args.
func run(args []string) error {
	if slices.Contains(args, "create") {
		i := slices.Index(args, "--bundle")
		if i < 0 || i+1 >= len(args) {
			return errors.New("create without --bundle")
		}
		if err := emulate(filepath.Join(args[i+1], "config.json")); err != nil {
			return err
		}
	}
	return syscall.Exec(runc, append([]string{runc}, args[1:]...), os.Environ())
}

// emulate changes what is started in a container, other than the sandbox's.
func emulate(config string) error {
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	annotations, _ := spec["annotations"].(map[string]any)
	if annotations["io.kubernetes.cri.container-type"] != "container" {
		return nil
	}
	process, _ := spec["process"].(map[string]any)
	args, _ := process["args"].([]any)
	mounts, _ := spec["mounts"].([]any)
	if len(args) == 0 {
		return errors.New("nothing is started")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	process["args"] = append([]any{emulator, "-cpu", processor}, args...)
	spec["mounts"] = append(mounts, map[string]any{
		"destination": emulator, "type": "bind", "source": filepath.Join(filepath.Dir(self), "qemu"), "options": []string{"bind", "ro"},
	})
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(config, data, 0o600)
}
