package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// errLocked says that another process, or another part of this one, holds a lock.
var errLocked = errors.New("locked")

// fileLock is a lock between processes; it ends with its process.
type fileLock struct{ f *os.File }

// unlock releases the lock.
func (l *fileLock) unlock() { _ = l.f.Close() }

// lockFile takes the lock of path, creating the file. It calls waiting once, if
// it has to wait.
func lockFile(ctx context.Context, path string, waiting func()) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	for {
		lock, err := tryLock(path)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, &fault.Error{Code: fault.CodeOf(err), Op: "lock", Input: path, Err: err}
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
