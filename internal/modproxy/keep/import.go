package keep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/ziphash"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// importOrigin is the origin of what was imported.
const importOrigin = "import"

// Import commits the versions of the OCI image layout src to s, each whole or not
// at all: what Export wrote, or what other tools have copied from a registry.
// Every version is hashed, and held against proofs.Sums and proofs.Database;
// proofs.Repair is not used. Versions are known in s from now on. The errors are
// about single versions; the last one is about the whole.
func Import(ctx context.Context, s store.Store, src string, proofs Proofs, now time.Time, w Work) (*api.ModuleImportReport, []error, error) {
	report, errs, err := importLayout(ctx, s, src, proofs, now, w)
	if ctx.Err() != nil {
		return nil, nil, canceled(ctx)
	}
	if err != nil {
		code := fault.CodeOf(err)
		if code == fault.Internal {
			code = fault.Invalid
		}
		return nil, nil, &fault.Error{Code: code, Op: "import from", Input: src, Err: err, Hint: fault.HintOf(err)}
	}
	return report, errs, nil
}

func importLayout(ctx context.Context, s store.Store, src string, proofs Proofs, now time.Time, w Work) (*api.ModuleImportReport, []error, error) {
	from, err := openLayout(src)
	if err != nil {
		return nil, nil, err
	}
	defer from.Close()
	manifests, err := readIndex(from)
	if err != nil {
		return nil, nil, err
	}
	i := &importer{store: s, from: from, proofs: proofs, now: now}
	results, err := each(ctx, w, manifests, i.manifest)
	if err != nil {
		return nil, nil, err
	}
	report := &api.ModuleImportReport{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleImportReport,
		Store: s.Name(), File: src, Imported: []api.ModuleVersion{},
	}
	var errs []error
	for _, r := range results {
		switch {
		case r.err != nil:
			errs = append(errs, r.err)
		case r.present:
			report.Present++
		default:
			report.Imported = append(report.Imported, asAPI(r.version))
			report.Bytes += r.bytes
		}
	}
	return report, errs, nil
}

// readIndex returns the manifests that a layout lists, each once.
func readIndex(from layoutReader) ([]v1.Descriptor, error) {
	if _, err := readFile(from, layoutMarker, 4<<10); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("it is no OCI image layout: %w", err)}
	}
	data, err := readFile(from, layoutIndex, MaxIndex)
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", layoutIndex, err)
	}
	var manifests []v1.Descriptor
	seen := map[v1.Hash]bool{}
	for _, d := range index.Manifests {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			manifests = append(manifests, d)
		}
	}
	return manifests, nil
}

type importer struct {
	store  store.Store
	from   layoutReader
	proofs Proofs
	now    time.Time
}

// imported is what became of one manifest.
type imported struct {
	version module.Version
	bytes   int64
	present bool
	err     error
}

func (i *importer) manifest(ctx context.Context, d v1.Descriptor) (r imported) {
	name := d.Annotations[refName]
	if name == "" {
		name = d.Digest.String()
	}
	data, err := readBlob(i.from, d.Digest.String(), artifact.MaxManifest)
	if err != nil {
		r.err = importFault(name, err)
		return r
	}
	m, err := artifact.Parse(data)
	if err != nil {
		r.err = importFault(name, err)
		return r
	}
	r.version = m.Version
	r.bytes, r.present, err = i.version(ctx, &m)
	if err != nil {
		r.err = importFault(m.Version.String(), err)
	}
	return r
}

func importFault(name string, err error) error {
	code := fault.CodeOf(err)
	switch code {
	case fault.Internal, fault.NotFound: // of a blob
		code = fault.Invalid
	}
	return &fault.Error{Code: code, Op: "import", Input: name, Err: err, Hint: fault.HintOf(err)}
}

// version commits a version, unless it is present already.
func (i *importer) version(ctx context.Context, m *artifact.Manifest) (bytes int64, present bool, err error) {
	e, err := i.store.Get(ctx, m.Version)
	switch {
	case err == nil && (e.Sum != m.Sum || e.GoModSum != m.GoModSum):
		return 0, false, fmt.Errorf("the store has this version with the hash %s, and here it has %s", e.Sum, m.Sum)
	case err == nil:
		return 0, true, nil
	case fault.CodeOf(err) != fault.NotFound:
		return 0, false, err
	}
	v, err := i.documents(ctx, m)
	if err != nil {
		return 0, false, err
	}
	path, err := i.zip(ctx, m)
	if err != nil {
		return 0, false, err
	}
	defer os.Remove(path)
	if _, err := i.store.Seen(ctx, m.Path, []string{m.Version.Version}, i.now); err != nil {
		return 0, false, err
	}
	_, err = i.store.Put(ctx, *v, path)
	return size(v), false, err
}

// documents reads .info and go.mod of a version, and holds what the manifest says
// against the proofs.
func (i *importer) documents(ctx context.Context, m *artifact.Manifest) (*store.Version, error) {
	info, err := readBlob(i.from, m.Info.Digest, artifact.MaxInfo)
	if err != nil {
		return nil, err
	}
	mod, err := readBlob(i.from, m.Mod.Digest, artifact.MaxMod)
	if err != nil {
		return nil, err
	}
	v := &store.Version{
		Version: m.Version, Info: info, Mod: mod, Sum: m.Sum, GoModSum: m.GoModSum,
		ZipSize: m.Zip.Size, Origin: importOrigin,
	}
	if err := checkDocuments(v); err != nil {
		return nil, err
	}
	if i.proofs.Sums != nil {
		if err := i.proofs.Sums.Check(v); err != nil {
			return nil, err
		}
	}
	if i.proofs.Database != nil {
		return v, i.proofs.Database.Check(ctx, m.Version, v.Sum, v.GoModSum)
	}
	return v, nil
}

// zip copies the zip of a version into the store's staging directory, checked, and
// returns the file.
func (i *importer) zip(ctx context.Context, m *artifact.Manifest) (path string, err error) {
	r, size, err := i.from.open(blobName(m.Zip.Digest))
	if err != nil {
		return "", err
	}
	defer r.Close()
	if size != m.Zip.Size { // which Parse has held against its limit
		return "", fmt.Errorf("its zip has %d bytes, and the manifest says %d", size, m.Zip.Size)
	}
	f, err := os.CreateTemp(i.store.Staging(), "import-*.zip")
	if err != nil {
		return "", err
	}
	err = fill(ctx, f, r, m)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// fill writes the zip of a version from r to f and checks it.
func fill(ctx context.Context, f *os.File, r io.Reader, m *artifact.Manifest) error {
	hash := sha256.New()
	if err := copyExactly(io.MultiWriter(f, hash), readerOf(ctx, r), m.Zip.Size); err != nil {
		return err
	}
	if digest := "sha256:" + hex.EncodeToString(hash.Sum(nil)); digest != m.Zip.Digest {
		return fmt.Errorf("its zip has the digest %s, and the manifest says %s", digest, m.Zip.Digest)
	}
	// Paths and sizes first: what is no module's zip is not unpacked.
	checked, err := modzip.CheckZip(m.Version, f.Name())
	if err == nil {
		err = checked.Err()
	}
	if err != nil {
		return fmt.Errorf("its zip is not that of a module: %w", err)
	}
	sum, err := ziphash.HashZip(ctx, f, m.Zip.Size)
	if err == nil && sum != m.Sum {
		err = fmt.Errorf("the files of its zip have the hash %s, and the manifest says %s", sum, m.Sum)
	}
	return err
}
