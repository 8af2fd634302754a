package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// shared are the directories and files of this machine that a node sees, read-only:
// programs such as mount and nft with their libraries, and certificates. What is
// not there is left out.
var shared = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix",
	"/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache",
}

// nodeBin is where a node has the cluster's programs.
const nodeBin = "/opt/gopherwood"

// nodeRuntimes is where it has more OCI runtimes.
const nodeRuntimes = "/opt/runtimes/"

// hiddenSysctls are the kernel's settings that belong to the whole machine and
// that the kubelet would change. A node sees them as the kubelet wants them.
var hiddenSysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// mount is mount(2) with an error that says what was mounted.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		return &fs.PathError{Op: "mount " + kind, Path: target, Err: err}
	}
	return nil
}

// enterRoot makes the node's root, a directory, the file system of this process
// and its mount namespace. Nothing of the machine's mounts remains or is changed.
func enterRoot(boot nodeBoot) error {
	root := boot.Root
	// From here on no mount reaches the machine's namespace.
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount(root, root, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "opt", "root", "etc", "var/lib/containerd", "var/lib/kubelet", "var/log/pods", "var/log/containers"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	err := errors.Join(
		os.Chmod(filepath.Join(root, "tmp"), 0o777|fs.ModeSticky),
		symlink("/run", filepath.Join(root, "var/run")),
		mount("proc", filepath.Join(root, "proc"), "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""),
		mount("sysfs", filepath.Join(root, "sys"), "sysfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""),
		mount("/dev", filepath.Join(root, "dev"), "", syscall.MS_BIND|syscall.MS_REC, ""),
		mount("tmpfs", filepath.Join(root, "run"), "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"),
	)
	if err != nil {
		return err
	}
	for _, path := range shared {
		if err := share(path, filepath.Join(root, path)); err != nil {
			return err
		}
	}
	if err := share(boot.Bin, root+nodeBin); err != nil {
		return err
	}
	for handler, dir := range boot.Runtimes {
		if err := share(dir, root+nodeRuntimes+handler); err != nil {
			return err
		}
	}
	if err := layered(filepath.Join(root, "var/lib/containerd")); err != nil {
		return err
	}
	if err := mountCgroups(root, boot.Cgroup); err != nil {
		return err
	}
	if err := pivot(root); err != nil {
		return err
	}
	// Mounts reach the pods that ask for it, as on any node.
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return err
	}
	return hideSysctls()
}

// pivot makes root the file system, and lets go of the one before
// (pivot_root(2), "pivot_root(".", ".")").
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return os.Chdir("/")
}

// share shows a path of this machine at target, read-only; a symbolic link as it
// is. A path that does not exist is left out.
func share(path, target string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return symlink(to, target)
	case info.IsDir():
		err = os.MkdirAll(target, 0o755)
	default:
		err = errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, nil, 0o644))
	}
	if err != nil {
		return err
	}
	if err := mount(path, target, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(target, &stat); err != nil {
		return err
	}
	// The flags that the mount has must be said again.
	keep := uintptr(stat.Flags) & (syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME | syscall.MS_NODIRATIME | syscall.MS_RELATIME)
	return mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY|keep, "")
}

// symlink makes a symbolic link, which may be there already.
func symlink(to, path string) error {
	if err := os.Symlink(to, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// overlayMagic is the type of overlayfs (statfs(2)).
const overlayMagic = 0x794c7630

// layered sees to it that overlayfs can write to dir: where that is on an overlay
// itself, as in a container, images are kept in memory.
func layered(dir string) error {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return err
	}
	if stat.Type != overlayMagic {
		return nil
	}
	return mount("tmpfs", dir, "tmpfs", 0, "mode=755")
}

// hideSysctls shows the machine's settings as the kubelet wants them, without
// changing them.
func hideSysctls() error {
	for name, value := range hiddenSysctls {
		path := "/proc/sys/" + name
		if _, err := os.Stat(path); err != nil {
			continue
		}
		file := "/run/gopherwood-sysctl/" + strings.ReplaceAll(name, "/", ".")
		err := errors.Join(
			os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(value+"\n"), 0o644),
			mount(file, path, "", syscall.MS_BIND, ""),
		)
		if err != nil {
			return err
		}
	}
	return nil
}
