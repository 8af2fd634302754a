package filesystem_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
)

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := filesystem.SyncDir(dir); err != nil {
		t.Error(err)
	}
	for _, name := range []string{".", "below"} {
		if err := filesystem.SyncDirIn(root, name); err != nil {
			t.Error(err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if filesystem.SyncDir(filepath.Join(dir, "absent")) == nil || filesystem.SyncDirIn(root, "absent") == nil {
		t.Error("a directory that is not there was synced")
	}
}

func TestFull(t *testing.T) {
	full := syscall.ENOSPC
	if runtime.GOOS == "windows" {
		full = syscall.Errno(112)
	}
	if !filesystem.Full(&fs.PathError{Op: "write", Path: "x", Err: full}) {
		t.Errorf("%v is not of a full disk", full)
	}
	if filesystem.Full(fs.ErrPermission) || filesystem.Full(nil) {
		t.Error("something else is of a full disk")
	}
}
