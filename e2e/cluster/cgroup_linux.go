package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is where control groups are mounted, on this machine and on nodes.
const cgroupRoot = "/sys/fs/cgroup"

// cgroup2Magic is the type of the cgroup v2 file system (statfs(2)).
const cgroup2Magic = 0x63677270

// hierarchy is a cgroup v1 hierarchy: its controllers, or name=NAME.
type hierarchy string

// parseHierarchies reads /proc/self/cgroup: the v1 hierarchies of this machine.
func parseHierarchies(table []byte) []hierarchy {
	var all []hierarchy
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) == 3 && fields[1] != "" && !strings.ContainsAny(fields[1], "/ ") {
			all = append(all, hierarchy(fields[1]))
		}
	}
	return all
}

// mountCgroups mounts control groups below root/sys/fs/cgroup, the machine's
// mounts being left alone, and makes the group called name in each hierarchy.
func mountCgroups(root, name string) error {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(cgroupRoot, &stat); err != nil {
		return err
	}
	target := root + cgroupRoot
	if stat.Type == cgroup2Magic {
		if err := syscall.Mount("cgroup2", target, "cgroup2", 0, ""); err != nil {
			return err
		}
		return makeCgroup2(target, name)
	}
	table, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", target, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, h := range parseHierarchies(table) {
		if err := mountHierarchy(target, name, h); err != nil {
			return fmt.Errorf("cgroup %s: %w", h, err)
		}
	}
	return nil
}

// makeCgroup2 makes a group of v2 that has the controllers that its parent has.
func makeCgroup2(target, name string) error {
	dir := filepath.Join(target, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, parent := range []string{target, dir} {
		controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, c := range strings.Fields(string(controllers)) {
			// One that cannot be handed down is missed by the kubelet, which says so.
			_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+c), 0o644)
		}
	}
	return nil
}

// mountHierarchy mounts a v1 hierarchy and makes the group in it.
func mountHierarchy(target, name string, h hierarchy) error {
	options, dir := string(h), strings.TrimPrefix(string(h), "name=")
	if dir != options {
		options = "none," + options
	}
	at := filepath.Join(target, dir)
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("cgroup", at, "cgroup", 0, options); err != nil {
		return err
	}
	controllers := strings.Split(dir, ",")
	if len(controllers) > 1 { // Mounted together, looked for one by one.
		for _, c := range controllers {
			if err := os.Symlink(dir, filepath.Join(target, c)); err != nil {
				return err
			}
		}
	}
	group := filepath.Join(at, name)
	if err := os.MkdirAll(group, 0o755); err != nil || !slices.Contains(controllers, "cpuset") {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // A new group has none.
		data, err := os.ReadFile(filepath.Join(at, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, file), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes the groups of these names, with those below, from all
// hierarchies of this machine. Their processes have ended; the kernel may take a
// moment to see that.
func removeCgroups(names []string, wait time.Duration) error {
	if len(names) == 0 {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return poll(ctx, 20*time.Millisecond, nil, func() error {
		var errs []error
		for _, mount := range cgroupMounts(mounts) {
			for _, name := range names {
				errs = append(errs, removeGroup(filepath.Join(mount, name)))
			}
		}
		return errors.Join(errs...)
	})
}

// cgroupMounts returns where control groups are mounted, of a mountinfo
// (proc_pid_mountinfo(5)).
func cgroupMounts(mountinfo []byte) []string {
	var all []string
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		mount, rest, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 5 {
			continue
		}
		if kind, _, _ := strings.Cut(rest, " "); kind == "cgroup" || kind == "cgroup2" {
			all = append(all, fields[4])
		}
	}
	return all
}

// removeGroup removes a group with all groups below it.
func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	err = syscall.Rmdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
