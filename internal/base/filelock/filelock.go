// Package filelock locks open files, so that several processes, or several parts
// of one, do not get in each other's way. The locks are advisory: they bind those
// who ask for them, and nobody who reads or writes. A lock belongs to the open
// file and ends when that is closed, at the latest with the process.
package filelock

import "os"

// TryLock takes the exclusive lock of f, or returns false when another open file
// has a lock of the same file. The error is of a system or a file system without
// locks.
func TryLock(f *os.File) (bool, error) { return lock(f, how{exclusive: true}) }

// TryShare takes a lock of f that others may share, or returns false when another
// open file has the exclusive one. The error is as that of TryLock.
func TryShare(f *os.File) (bool, error) { return lock(f, how{}) }

// Lock waits for the exclusive lock of f. The error is as that of TryLock.
func Lock(f *os.File) error {
	_, err := lock(f, how{exclusive: true, wait: true})
	return err
}

// how says which lock is to be taken: exclusive or shared, at once or when the
// others are gone.
type how struct{ exclusive, wait bool }
