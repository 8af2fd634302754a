// Package gotool builds programs that the end-to-end tests need from their
// modules, once for all runs.
package gotool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CacheDir returns the directory below the user's cache in which the end-to-end
// tests keep what they download and build.
func CacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "gopherwood-e2e"), nil
}

// Install returns the file of the program of package path at a version; it builds
// what is not there yet, without cgo. An error has what the go command said.
func Install(ctx context.Context, path, version string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "bin", version)
	file := filepath.Join(dir, filepath.Base(path))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", path+"@"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return file, nil
}
