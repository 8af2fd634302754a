package mirror

import (
	"archive/zip"
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Gate says which versions may be used. *gate.Gate is one.
type Gate interface {
	// Check returns an error with the code Denied for a version that may not.
	Check(ctx context.Context, c gate.Candidate) error
	// Visible returns those of a module's versions that lists may show; seen says
	// since when each is known here.
	Visible(ctx context.Context, path string, private bool, versions []string, seen map[string]time.Time) []string
	// NeedsZip says whether the licences and the size matter, and NeedsSeen whether
	// it matters since when a version is known here.
	NeedsZip() bool
	NeedsSeen() bool
}

// admitStored asks the gate about a version that is in the store.
func (m *Mirror) admitStored(ctx context.Context, e *store.Entry) error {
	if m.opt.Gate == nil {
		return nil
	}
	c, err := m.candidate(ctx, e.Version.Version, e.Info)
	if err != nil {
		return err
	}
	c.Size, c.Sum, c.GoModSum = e.ZipSize, e.Sum, e.GoModSum
	if m.opt.Gate.NeedsZip() {
		if c.Licences, err = storedLicences(ctx, e); err != nil {
			return err
		}
	}
	return m.opt.Gate.Check(ctx, c)
}

// admitDownload asks the gate about a version that is about to be stored.
func (m *Mirror) admitDownload(ctx context.Context, d *upstream.Download) error {
	if m.opt.Gate == nil {
		return nil
	}
	c, err := m.candidate(ctx, d.Version.Version, d.Info)
	if err != nil {
		return err
	}
	c.Size, c.Sum, c.GoModSum = d.ZipSize, d.Sum, d.GoModSum
	if m.opt.Gate.NeedsZip() {
		if c.Licences, err = fileLicences(d); err != nil {
			return err
		}
	}
	return m.opt.Gate.Check(ctx, c)
}

// admitUnknown asks the gate about a version of which nothing has come yet, so
// that nothing is fetched that is refused in any case.
func (m *Mirror) admitUnknown(ctx context.Context, v module.Version) error {
	return m.admitInfo(ctx, v, nil)
}

// admitInfo asks the gate about a version of which the .info document has come.
func (m *Mirror) admitInfo(ctx context.Context, v module.Version, data []byte) error {
	if m.opt.Gate == nil {
		return nil
	}
	c, err := m.candidate(ctx, v, data)
	if err != nil {
		return err
	}
	c.Partial = true
	return m.opt.Gate.Check(ctx, c)
}

// candidate returns what is known of a version whose .info document is data, nil
// when that is not known either.
func (m *Mirror) candidate(ctx context.Context, v module.Version, data []byte) (gate.Candidate, error) {
	c := gate.Candidate{Path: v.Path, Version: v.Version, Private: m.private(v.Path)}
	if data != nil {
		i, err := parseInfo(v.Path, data)
		if err != nil {
			return c, err
		}
		c.Published = i.Time
	}
	seen, err := m.seen(ctx, v.Path, []string{v.Version})
	c.FirstSeen = seen[v.Version]
	return c, err
}

// seen returns since when versions are known here, if that matters. From now on
// all of them are.
func (m *Mirror) seen(ctx context.Context, path string, versions []string) (map[string]time.Time, error) {
	if !m.opt.Gate.NeedsSeen() || len(versions) == 0 {
		return nil, nil
	}
	return m.opt.Store.Seen(ctx, path, versions, m.opt.Now())
}

// visible returns the versions that a list may show.
func (m *Mirror) visible(ctx context.Context, path string, versions []string) ([]string, error) {
	if m.opt.Gate == nil {
		return versions, nil
	}
	seen, err := m.seen(ctx, path, versions)
	if err != nil {
		return nil, err
	}
	return m.opt.Gate.Visible(ctx, path, m.private(path), versions, seen), nil
}

func storedLicences(ctx context.Context, e *store.Entry) ([]string, error) {
	z, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return licences(e.Version.Version, z, e.ZipSize)
}

func fileLicences(d *upstream.Download) ([]string, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: opLicences, Input: d.Version.String(), Err: err}
	}
	defer f.Close()
	return licences(d.Version.Version, f, d.ZipSize)
}

const opLicences = "look for licences in"

// licences returns the names of a zip's licence files.
func licences(v module.Version, r io.ReaderAt, size int64) ([]string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: opLicences, Input: v.String(), Err: err}
	}
	return gate.LicenceFiles(z, v), nil
}
