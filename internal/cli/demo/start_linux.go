package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nonroot is the user of images that say nothing else.
const nonroot = 65532

// command returns the command that starts program in root: as the image's user
// in a root file system of its own where this process may do that.
func command(root, program string, args ...string) *exec.Cmd {
	if os.Getuid() != 0 {
		return exec.Command(filepath.Join(root, program), args...)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     root,
		Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot},
	}
	return cmd
}

func asWhom() string {
	if os.Getuid() != 0 {
		return "as this user"
	}
	return "as 65532:65532 in its own root"
}
