package cached

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// copying is a version that is being copied from the other store to the disk,
// once however many ask for it.
type copying struct {
	// there is the version in the other store, here what Get returns meanwhile.
	there, here *store.Entry
	// wanted is closed when somebody opens the zip, done when it is on the disk,
	// or both errors say why not: that of the other store, or that of the disk.
	wanted   chan struct{}
	want     sync.Once
	done     chan struct{}
	err      error
	frontErr error
}

// maxAhead is how many versions are copied, or wait for that, which nobody has
// opened.
const maxAhead = 1024

// inFlight returns the version if it is being copied; nil if not.
func (c *Store) inFlight(m module.Version) *store.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.copies[m]; one != nil {
		return one.here
	}
	return nil
}

// fetched returns the version, which the other store has, and begins to copy it.
func (c *Store) fetched(m module.Version, there *store.Entry) *store.Entry {
	c.mu.Lock()
	full := len(c.copies) >= maxAhead
	c.mu.Unlock()
	if full || c.opt.Jobs < 0 {
		return c.lazy(m, there)
	}
	if one := c.copyOnce(m, there); one != nil {
		return one.here
	}
	return there
}

// lazy returns the version, to be copied when it is opened.
func (c *Store) lazy(m module.Version, there *store.Entry) *store.Entry {
	here := *there
	here.Opener = func(ctx context.Context) (store.Zip, error) { return c.openCopied(ctx, m, there) }
	return &here
}

// copyOnce begins to copy the version unless somebody has; nil when the store is
// closed.
func (c *Store) copyOnce(m module.Version, there *store.Entry) *copying {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.copies[m]
	if one != nil || c.closed {
		return one
	}
	one = &copying{there: there, here: c.lazy(m, there), wanted: make(chan struct{}), done: make(chan struct{})}
	c.copies[m] = one
	c.copying.Go(func() {
		one.err, one.frontErr = c.copy(one)
		c.mu.Lock()
		delete(c.copies, m)
		c.mu.Unlock()
		close(one.done)
	})
	return one
}

// copy copies the version when it is its turn: that of those that are wanted is
// now.
func (c *Store) copy(one *copying) (err, frontErr error) {
	select {
	case <-one.wanted:
	case c.ahead <- struct{}{}:
		defer func() { <-c.ahead }()
	case <-c.ctx.Done():
		return context.Cause(c.ctx), nil
	}
	event := Event{Kind: Copied, Module: one.there.Version.Version, Bytes: one.there.ZipSize}
	path, err := zipOf(c.ctx, c.back, one.there, c.Staging())
	if err != nil {
		return err, nil
	}
	_, frontErr = c.front.Put(c.ctx, one.there.Version, path)
	_ = os.Remove(path)
	if frontErr != nil {
		event.Kind, event.Err = FrontFailed, frontErr
	}
	c.opt.Observe(event)
	return nil, frontErr
}

// zipOf writes the zip of an entry of from into a new file in dir.
func zipOf(ctx context.Context, from store.Store, e *store.Entry, dir string) (string, error) {
	if d, ok := from.(store.Downloader); ok {
		return d.Download(ctx, e, dir)
	}
	zip, err := e.Open(ctx)
	if err != nil {
		return "", err
	}
	defer zip.Close()
	return saveZip(zip, dir)
}

func saveZip(zip store.Zip, dir string) (path string, err error) {
	f, err := os.CreateTemp(dir, "zip-*")
	if err != nil {
		return "", store.DiskFault("write", dir, err)
	}
	_, err = io.Copy(f, zip)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", store.DiskFault("write", dir, err)
	}
	return f.Name(), nil
}

// openCopied opens the zip of a version once it is on the disk. Where the disk
// does not take it, or not for long, it comes from the other store.
func (c *Store) openCopied(ctx context.Context, m module.Version, there *store.Entry) (store.Zip, error) {
	if e, err := c.front.Get(ctx, m); err == nil && e.ZipDigest == there.ZipDigest {
		if zip, err := e.Open(ctx); err == nil {
			return zip, nil
		}
	}
	one := c.copyOnce(m, there)
	if one == nil {
		return nil, canceled("open", m, errClosed)
	}
	one.want.Do(func() { close(one.wanted) })
	select {
	case <-one.done:
	case <-ctx.Done():
		return nil, canceled("open", m, context.Cause(ctx))
	}
	if one.err != nil {
		return nil, canceled("open", m, one.err)
	}
	if one.frontErr == nil {
		if e, err := c.front.Get(ctx, m); err == nil {
			if zip, err := e.Open(ctx); err == nil {
				return zip, nil
			}
		}
	}
	return there.Open(ctx)
}

var errClosed = &fault.Error{Code: fault.Canceled, Err: errors.New("the store is closed")}

// settle waits until the version is not being copied.
func (c *Store) settle(ctx context.Context, m module.Version) error {
	c.mu.Lock()
	one := c.copies[m]
	c.mu.Unlock()
	if one == nil {
		return nil
	}
	select {
	case <-one.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// push pushes one version that waits for it, and reports whether it need not wait
// any more.
func (c *Store) push(ctx context.Context, m module.Version) (done bool, err error) {
	unlock, err := c.versions.Lock(ctx, m.String())
	if err != nil {
		return false, err
	}
	defer unlock()
	// The lock of its mark comes after that of the version everywhere.
	return c.queue.locked(m, func() (bool, error) { return c.pushLocked(ctx, m) })
}

func (c *Store) pushLocked(ctx context.Context, m module.Version) (done bool, err error) {
	e, err := c.front.Get(ctx, m)
	if fault.CodeOf(err) == fault.NotFound {
		return false, errNotHere
	}
	if err != nil {
		return false, err
	}
	err = c.pushEntry(ctx, e)
	if ctx.Err() != nil {
		return err == nil, err
	}
	c.link.answered(err)
	event := Event{Kind: Pushed, Module: m, Bytes: e.ZipSize, Err: err}
	switch {
	case err == nil:
		done = true
	case store.HasOtherSums(err):
		event.Kind = Refused
		if done, err = c.front.Delete(ctx, m); err == nil && !done {
			err = &fault.Error{Code: fault.Limit, Op: "drop", Input: m.String(), Err: errors.New("it is being read")}
		}
	default:
		event.Kind = Delayed
	}
	if done || event.Kind == Delayed {
		c.opt.Observe(event)
	}
	return done, err
}

func (c *Store) pushEntry(ctx context.Context, e *store.Entry) error {
	zip, err := e.Open(ctx)
	if err != nil {
		return err
	}
	defer zip.Close()
	path := ""
	if f, ok := zip.(*os.File); ok {
		path = f.Name()
	} else {
		if path, err = saveZip(zip, c.Staging()); err != nil {
			return err
		}
		defer os.Remove(path)
	}
	_, err = c.back.Put(ctx, e.Version, path)
	return err
}

// sizeOf returns the length of a file that is to be put.
func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, store.DiskFault("read", path, err)
	}
	return info.Size(), nil
}
