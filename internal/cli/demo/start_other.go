//go:build !linux

package main

import (
	"os/exec"
	"path/filepath"
)

// command returns the command that starts program in root. Nothing here starts
// programs of Linux.
func command(root, program string, args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(root, program), args...)
}

func asWhom() string { return "as this user" }
