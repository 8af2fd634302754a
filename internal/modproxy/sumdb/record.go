package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	lookupDir = "lookup"
	// maxRecord is the longest record; those of Go modules have two or four lines.
	maxRecord = 1 << 20
)

// record is what the database says of one version.
type record struct {
	id   int64
	text []byte
}

// sums returns the hashes of the zip and of go.mod, "" where the record has none.
func (r *record) sums(m module.Version) (sum, goModSum string) {
	for line := range strings.Lines(string(r.text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != m.Path || !strings.HasPrefix(f[2], "h1:") {
			continue
		}
		switch f[1] {
		case m.Version:
			sum = f[2]
		case m.Version + "/go.mod":
			goModSum = f[2]
		}
	}
	return sum, goModSum
}

// checkVersion refuses what the database cannot have.
func checkVersion(m module.Version) error {
	err := module.Check(m.Path, m.Version)
	if err == nil && module.CanonicalVersion(m.Version) != m.Version {
		err = errors.New("the version is not in its canonical form")
	}
	if err != nil {
		return &fault.Error{Code: fault.Usage, Op: "checksum database", Input: m.String(), Err: err}
	}
	return nil
}

// lookupPath returns the path of the version's record below the database.
func lookupPath(m module.Version) (string, error) {
	if err := checkVersion(m); err != nil {
		return "", err
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	return lookupDir + "/" + path + "@" + version, err
}

// lookup returns the version's record, verified.
func (d *DB) lookup(ctx context.Context, m module.Version) (*record, error) {
	if r, ok := d.records.Get(m); ok {
		return r, nil
	}
	path, err := lookupPath(m)
	if err != nil {
		return nil, err
	}
	return shared(ctx, d, path, func(ctx context.Context) (*record, error) {
		if r, ok := d.records.Get(m); ok { // since a moment ago
			return r, nil
		}
		r, err := d.keptRecord(ctx, path)
		if err == nil && r == nil {
			r, err = d.fetchRecord(ctx, path)
		}
		if err != nil {
			return nil, lookupError(m, err)
		}
		d.records.Put(m, r, int64(len(r.text)+len(m.Path))+256)
		return r, nil
	})
}

func lookupError(m module.Version, err error) error {
	f := &fault.Error{Code: fault.CodeOf(err), Op: "look up", Input: m.String(), Err: err}
	if f.Code == fault.NotFound {
		f.Hint = "only versions that the public can get are in the database; name private modules as GONOSUMDB does"
	}
	return f
}

// keptRecord returns the record in the directory, or nil.
func (d *DB) keptRecord(ctx context.Context, path string) (*record, error) {
	h, err := d.current()
	if err != nil || h == nil {
		return nil, err
	}
	data, ok := d.disk.read(path)
	if !ok {
		return nil, nil
	}
	r := &record{}
	if r.id, r.text, _, err = tlog.ParseRecord(data); err == nil {
		err = d.checkRecord(ctx, r, emptyHead(), h)
	}
	if fault.CodeOf(err) == fault.Unavailable || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, nil // damaged, or from a tree that is not known any longer: asked for again
	}
	return r, nil
}

// fetchRecord asks the database.
func (d *DB) fetchRecord(ctx context.Context, path string) (*record, error) {
	first := d.firstTree(ctx)
	data, err := d.remote.get(ctx, "lookup", "/"+path, maxRecord+maxNote)
	<-first
	if err != nil {
		return nil, err
	}
	id, text, signed, err := tlog.ParseRecord(data)
	if err != nil {
		return nil, d.invalid("the answer to a lookup", err)
	}
	r := &record{id: id, text: bytes.Clone(text)}
	then, err := d.openHead(signed)
	if err != nil {
		return nil, err
	}
	now, err := d.current()
	if err != nil {
		return nil, err
	}
	if now == nil || then.tree.N > now.tree.N {
		if now, err = d.advance(ctx, then); err != nil {
			return nil, err
		}
	}
	if err := d.checkRecord(ctx, r, then, now); err != nil {
		return nil, err
	}
	d.disk.write(path, data[:len(data)-len(signed)])
	return r, nil
}

// firstTree asks for the latest tree when none is known, while something else is
// being asked. Starting with the latest tree saves the proofs that lead from one
// tree to the next. That it cannot be had is no error: each lookup has a tree.
func (d *DB) firstTree(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if h, err := d.current(); err == nil && h == nil {
			_, _ = d.refresh(ctx, freshFor)
		}
	}()
	return done
}

// checkRecord checks that the record is in the tree now, and that this continues
// the tree then.
func (d *DB) checkRecord(ctx context.Context, r *record, then, now *head) error {
	if r.id < 0 || r.id >= now.tree.N {
		return d.invalid("the answer to a lookup", fmt.Errorf("record %d is not in the tree of %d", r.id, now.tree.N))
	}
	hashes, err := d.prove(ctx, then, now, tlog.StoredHashIndex(0, r.id))
	if err != nil {
		return err
	}
	if hashes[0] != tlog.RecordHash(r.text) {
		return d.invalid("the answer to a lookup", errors.New("the record is not the one that is in the tree"))
	}
	return nil
}
