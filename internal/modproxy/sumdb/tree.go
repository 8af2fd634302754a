package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// height is that of the tiles that are read and kept: the go command's.
	height = 8
	// maxTree bounds the number of records, far from what overflows.
	maxTree = 1 << 40
	// maxNote is the longest signed tree (tlog.ParseTree).
	maxNote = 1 << 20
	// freshFor is how long a signed tree counts as the database's latest.
	freshFor = time.Minute
	// askAgain is how soon the database is asked for its latest tree again when
	// somebody knows a later one.
	askAgain = time.Second
)

// ErrMisbehaves is in the chain of errors that prove that the database signed
// two trees of which neither is the continuation of the other. The text has the
// proof.
var ErrMisbehaves = errors.New("SECURITY ERROR: the checksum database contradicts itself")

// head is a tree that the database signed.
type head struct {
	tree tlog.Tree
	note []byte
}

// openHead checks the signature.
func (d *DB) openHead(signed []byte) (*head, error) {
	opened, err := note.Open(signed, note.VerifierList(d.key))
	if err != nil {
		return nil, d.invalid("the tree's signature", err)
	}
	tree, err := tlog.ParseTree([]byte(opened.Text))
	if err == nil && tree.N > maxTree {
		err = fmt.Errorf("it has %d records", tree.N)
	}
	if err != nil {
		return nil, d.invalid("the signed tree", err)
	}
	return &head{tree: tree, note: bytes.Clone(signed)}, nil
}

// emptyHead is the tree that every other one continues.
func emptyHead() *head {
	h := &head{}
	h.tree.Hash, _ = tlog.TreeHash(0, nil) // which reads nothing
	return h
}

// invalid says that what came from the database is not what it must be.
func (d *DB) invalid(what string, err error) error {
	return &fault.Error{Code: fault.Invalid, Op: "checksum database", Input: d.name, Err: fmt.Errorf("%s: %w", what, err),
		Hint: "something between here and the database changes what it says; nothing of it was kept"}
}

// current returns the latest tree that is known, from the directory at first, or
// nil.
func (d *DB) current() (*head, error) {
	if h := d.head.Load(); h != nil {
		return h, nil
	}
	d.moving.Lock()
	defer d.moving.Unlock()
	return d.loadLocked()
}

func (d *DB) loadLocked() (*head, error) {
	if h := d.head.Load(); h != nil {
		return h, nil
	}
	data, err := d.disk.latest()
	if err != nil || data == nil {
		return nil, err
	}
	h, err := d.openHead(data)
	if err != nil {
		return nil, d.disk.damaged(err)
	}
	d.head.Store(h)
	return h, nil
}

// advance takes a signed tree for the latest when it continues the latest one,
// and otherwise checks that the latest one continues it. What it returns is the
// latest tree afterwards.
func (d *DB) advance(ctx context.Context, next *head) (*head, error) {
	d.moving.Lock()
	defer d.moving.Unlock()
	now, err := d.loadLocked()
	if err != nil {
		return nil, err
	}
	latest, err := d.later(ctx, now, next)
	if err != nil || latest == now {
		return now, err
	}
	for {
		there, err := d.disk.latest()
		if err != nil {
			return nil, err
		}
		if there != nil && (now == nil || !bytes.Equal(there, now.note)) {
			other, err := d.openHead(there) // another process's
			if err != nil {
				return nil, d.disk.damaged(err)
			}
			if latest, err = d.later(ctx, other, latest); err != nil {
				return nil, err
			}
		}
		written, err := d.disk.swap(there, latest.note)
		if err != nil {
			return nil, err
		}
		if written {
			d.head.Store(latest)
			return latest, nil
		}
	}
}

// later returns the later one of two trees, a where they are equal, after it is
// proven to continue the other.
func (d *DB) later(ctx context.Context, a, b *head) (*head, error) {
	if a == nil {
		return b, nil
	}
	if a.tree == b.tree {
		return a, nil
	}
	older, newer := a, b
	if b.tree.N <= a.tree.N {
		older, newer = b, a
	}
	_, err := d.prove(ctx, older, newer)
	return newer, err
}

// prove checks that newer continues older, and returns the hashes that are
// stored in newer at the given indexes.
func (d *DB) prove(ctx context.Context, older, newer *head, indexes ...int64) (hashes []tlog.Hash, err error) {
	err = d.verified(ctx, newer, func(r tlog.HashReader) error {
		both := &readAlso{reader: r, also: indexes}
		got, err := tlog.TreeHash(older.tree.N, both)
		if err == nil && older.tree.N == 0 && len(indexes) > 0 {
			_, err = both.ReadHashes(nil)
		}
		if err != nil {
			return err
		}
		hashes = both.hashes
		if got != older.tree.Hash {
			return misbehaves(older, newer, got, r)
		}
		return nil
	})
	return hashes, err
}

// readAlso reads further hashes together with those that it is asked for.
type readAlso struct {
	reader tlog.HashReader
	also   []int64
	hashes []tlog.Hash
}

func (r *readAlso) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	n := len(indexes)
	all, err := r.reader.ReadHashes(append(indexes[:n:n], r.also...))
	if err != nil {
		return nil, err
	}
	r.hashes = all[n:]
	return all[:n], nil
}

// misbehaves is the error for two signed trees of which the newer one, by what
// the reader says, had the hash got when it was as large as the older one.
func misbehaves(older, newer *head, got tlog.Hash, r tlog.HashReader) error {
	var proof strings.Builder
	fmt.Fprintf(&proof, "\t%v", got)
	if hashes, err := tlog.ProveTree(newer.tree.N, older.tree.N, r); err == nil {
		for _, h := range hashes {
			fmt.Fprintf(&proof, "\n\t%v", h)
		}
	}
	indent := func(h *head) string {
		return "\t" + strings.ReplaceAll(strings.TrimSpace(string(h.note)), "\n", "\n\t")
	}
	return &fault.Error{Code: fault.Invalid, Op: "verify", Input: "checksum database",
		Err:  fmt.Errorf("%w\nold tree:\n%s\nnew tree:\n%s\nproof:\n%s", ErrMisbehaves, indent(older), indent(newer), proof.String()),
		Hint: "keep this text, which proves it to everyone, and trust no new versions until it is explained"}
}

// verified calls f with a reader of hashes of a signed tree, and keeps what was
// read once f returns no error. When what is kept here is damaged, f is called
// again with what the database says.
func (d *DB) verified(ctx context.Context, h *head, f func(tlog.HashReader) error) error {
	err := d.attempt(ctx, h, false, f)
	var known *fault.Error
	if err == nil || errors.As(err, &known) || ctx.Err() != nil {
		return err
	}
	if !d.remote.offline {
		err = d.attempt(ctx, h, true, f)
	}
	if err == nil || errors.As(err, &known) || ctx.Err() != nil {
		return err
	}
	return d.invalid("the tree's hashes", err)
}

func (d *DB) attempt(ctx context.Context, h *head, fresh bool, f func(tlog.HashReader) error) error {
	tiles := &tileReader{ctx: ctx, db: d, fresh: fresh}
	reader := tlog.TileHashReader(h.tree, tiles)
	if latest := d.head.Load(); !fresh && latest != nil && h.tree == latest.tree {
		reader = &knownHashes{tiles: d.tiles, rest: reader}
	}
	if err := f(reader); err != nil {
		return err
	}
	tiles.keep()
	return nil
}

// refresh asks the database for its latest tree unless that was done within the
// given time, and returns the latest that is known.
func (d *DB) refresh(ctx context.Context, within time.Duration) (*head, error) {
	now, err := d.current()
	if err != nil {
		return nil, err
	}
	if now != nil && time.Since(time.Unix(0, d.asked.Load())) < within {
		return now, nil
	}
	return shared(ctx, d, "latest", func(ctx context.Context) (*head, error) {
		data, err := d.remote.get(ctx, "latest", "/latest", maxNote)
		if err != nil {
			return nil, err
		}
		next, err := d.openHead(data)
		if err != nil {
			return nil, err
		}
		latest, err := d.advance(ctx, next)
		if err == nil {
			d.asked.Store(time.Now().UnixNano())
		}
		return latest, err
	})
}
