package filelock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// want fails unless try takes the lock of f, or does not, as wanted.
func want(t *testing.T, what string, try func(*os.File) (bool, error), f *os.File, taken bool) {
	t.Helper()
	if got, err := try(f); got != taken || err != nil {
		t.Errorf("%s: %v, %v; want %v", what, got, err, taken)
	}
}

func TestLocks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	a, b, c := open(t, name), open(t, name), open(t, name)
	want(t, "the first reader", filelock.TryShare, a, true)
	want(t, "a second reader", filelock.TryShare, b, true)
	want(t, "a writer beside readers", filelock.TryLock, c, false)
	_ = a.Close()
	want(t, "a writer beside a reader", filelock.TryLock, c, false)
	_ = b.Close()
	want(t, "a writer alone", filelock.TryLock, c, true)
	d := open(t, name)
	want(t, "a reader beside a writer", filelock.TryShare, d, false)
	want(t, "a writer beside a writer", filelock.TryLock, d, false)
	if _, err := d.WriteString("others may write"); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	want(t, "a writer after a writer", filelock.TryLock, d, true)
}

func TestLockWaits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, second := open(t, name), open(t, name)
	want(t, "the first", filelock.TryLock, first, true)
	locked := make(chan error, 1)
	go func() { locked <- filelock.Lock(second) }()
	select {
	case err := <-locked:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = first.Close()
	if err := <-locked; err != nil {
		t.Error(err)
	}
	want(t, "a third", filelock.TryLock, open(t, name), false)
}

func TestNotLocked(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	_ = f.Close()
	if ok, err := filelock.TryLock(f); ok || err == nil {
		t.Errorf("a closed file was locked: %v, %v", ok, err)
	}
}
