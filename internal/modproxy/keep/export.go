package keep

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The files of an OCI image layout, and the annotation that names what its index
// lists.
const (
	layoutMarker  = "oci-layout"
	layoutVersion = `{"imageLayoutVersion":"1.0.0"}`
	layoutIndex   = "index.json"
	layoutBlobs   = "blobs/sha256"
	refName       = "org.opencontainers.image.ref.name"
)

// tarSuffix ends the name of a layout that is an archive.
const tarSuffix = ".tar"

// Export writes versions as one OCI image layout to dest, which must not exist: a
// directory, or a tar archive where the name ends in .tar. It appears whole, and
// with the same versions always has the same content. In its index every manifest
// has the name REPOSITORY:TAG that it has in a registry. The errors are about
// versions that are left out; the last one is about the whole.
func Export(ctx context.Context, s store.Store, versions []module.Version, dest string, w Work) (*api.ModuleExportReport, []error, error) {
	report, errs, err := export(ctx, s, versions, dest, w)
	if ctx.Err() != nil {
		return nil, nil, canceled(ctx)
	}
	if err != nil {
		return nil, nil, &fault.Error{Code: fault.CodeOf(err), Op: "export to", Input: dest, Err: err, Hint: fault.HintOf(err)}
	}
	return report, errs, nil
}

func export(ctx context.Context, s store.Store, versions []module.Version, dest string, w Work) (*api.ModuleExportReport, []error, error) {
	if _, err := os.Lstat(dest); err == nil {
		return nil, nil, &fault.Error{Code: fault.Usage, Err: os.ErrExist, Hint: "name a file or directory that does not exist"}
	}
	out, err := newSink(dest)
	if err != nil {
		return nil, nil, err
	}
	defer out.discard()
	if strings.HasSuffix(dest, tarSuffix) {
		w.Jobs = 1 // an archive has an order
	}
	x := &exporter{store: s, out: out}
	results, err := each(ctx, w, versions, x.version)
	if err != nil {
		return nil, nil, err
	}
	report := &api.ModuleExportReport{
		SchemaVersion: api.SchemaVersion, Kind: api.KindModuleExportReport, Store: s.Name(), File: dest,
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	var errs []error
	for _, r := range results {
		var broken *sinkError
		switch {
		case errors.As(r.err, &broken):
			return nil, nil, broken.error
		case r.err != nil:
			errs = append(errs, r.err)
		default:
			report.Versions++
			report.Bytes += r.bytes
			index.Manifests = append(index.Manifests, r.descriptor)
		}
	}
	data, err := json.Marshal(index)
	if err != nil {
		return nil, nil, err
	}
	return report, errs, out.finish(data)
}

// exporter writes versions of a store into a layout.
type exporter struct {
	store store.Store
	out   sink
}

// exported is what became of one version.
type exported struct {
	bytes      int64
	descriptor v1.Descriptor
	err        error
}

// sinkError is an error after which the layout is of no use.
type sinkError struct{ error }

func (x *exporter) version(ctx context.Context, m module.Version) exported {
	e, err := x.store.Get(ctx, m)
	if fault.CodeOf(err) == fault.NotFound {
		return exported{err: &fault.Error{Code: fault.NotFound, Op: "export module", Input: m.String(),
			Err: errors.New("it is not in the store"), Hint: "get it with 'gopherwood modproxy warm'"}}
	}
	if err != nil {
		return exported{err: err}
	}
	if err := hashEntry(ctx, e); err != nil { // before anything of it is written
		return exported{err: &fault.Error{Code: fault.CodeOf(err), Err: err, Hint: "repair it with 'gopherwood modproxy verify --repair'"}}
	}
	d, err := x.write(ctx, e)
	if err != nil {
		return exported{err: &sinkError{err}}
	}
	return exported{bytes: size(&e.Version), descriptor: d}
}

// write writes the blobs of a version and returns the descriptor of its manifest.
func (x *exporter) write(ctx context.Context, e *store.Entry) (v1.Descriptor, error) {
	var none v1.Descriptor
	name, err := reference(e.Version.Version)
	if err != nil {
		return none, err
	}
	manifest, err := artifact.Manifest{
		Version: e.Version.Version, Sum: e.Sum, GoModSum: e.GoModSum, Origin: e.Origin, Created: e.Stored,
		Info: artifact.BlobOf(e.Info), Mod: artifact.BlobOf(e.Mod),
		Zip: artifact.Blob{Digest: e.ZipDigest, Size: e.ZipSize},
	}.Marshal()
	if err != nil {
		return none, err
	}
	z, err := e.Open(ctx)
	if err != nil {
		return none, err
	}
	defer z.Close()
	if err := x.out.blob(e.ZipDigest, e.ZipSize, readerOf(ctx, z)); err != nil {
		return none, err
	}
	for _, data := range [][]byte{e.Info, e.Mod, []byte(artifact.Config), manifest} {
		if err := x.out.blob(artifact.Digest(data), int64(len(data)), strings.NewReader(string(data))); err != nil {
			return none, err
		}
	}
	digest, err := v1.NewHash(artifact.Digest(manifest))
	return v1.Descriptor{
		MediaType: types.OCIManifestSchema1, ArtifactType: artifact.Type, Digest: digest, Size: int64(len(manifest)),
		Annotations: map[string]string{refName: name},
	}, err
}

// reference returns REPOSITORY:TAG of a version.
func reference(m module.Version) (string, error) {
	repository, err := artifact.Repository(m.Path)
	if err != nil {
		return "", err
	}
	tag, err := artifact.Tag(m.Version)
	return repository + ":" + tag, err
}

// sink takes the files of a layout.
type sink interface {
	// blob writes a blob, unless there is one with the digest.
	blob(digest string, size int64, r io.Reader) error
	// finish writes the index, and gives the layout its name.
	finish(index []byte) error
	// discard removes what was written, unless finish succeeded.
	discard()
}
