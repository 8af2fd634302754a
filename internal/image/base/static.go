package base

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// NonrootUser is whom images run as unless they are told otherwise, as uid:gid.
const NonrootUser = "65532:65532"

// The accounts of the built-in base.
const (
	passwd = `root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
`
	group = `root:x:0:
nobody:x:65534:
nonroot:x:65532:
`
	// nsswitch is for programs with a C library; Go's own resolver reads it, too.
	nsswitch = "hosts: files dns\n"
)

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// Static returns the built-in base: certificates, time zones, accounts and the
// directories that programs expect. goroot is where the toolchain is whose time
// zones it has. The same toolchain and the same Gopherwood give the same base.
func Static(ctx context.Context, goroot string, platform api.Platform, opt layer.Options) (*Base, error) {
	zones, err := zoneinfo(filepath.Join(goroot, "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	l, err := layer.New(ctx, slices.Concat(skeleton(), zones), opt)
	if err != nil {
		return nil, err
	}
	l.Keep()
	img, err := staticImage(l, platform, opt)
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	return &Base{Ref: StaticRef, Digest: digest, Image: img, Layers: []*rootfs.Layer{l.Index()}}, nil
}

func staticImage(l *layer.Layer, platform api.Platform, opt layer.Options) (v1.Image, error) {
	config := &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Arch,
		Created: v1.Time{Time: opt.Time},
		RootFS:  v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       NonrootUser,
			WorkingDir: "/home/nonroot",
			Env:        []string{"PATH=" + rootfs.DefaultPath, "SSL_CERT_FILE=" + certificates},
		},
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), config)
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{
		Layer:   l,
		History: v1.History{Created: v1.Time{Time: opt.Time}, CreatedBy: "gopherwood: base for static programs"},
	})
}

// skeleton is everything but the time zones.
func skeleton() []layer.Entry {
	files := []layer.Entry{
		layer.Bytes("/etc/passwd", 0o644, []byte(passwd)),
		layer.Bytes("/etc/group", 0o644, []byte(group)),
		layer.Bytes("/etc/nsswitch.conf", 0o644, []byte(nsswitch)),
		layer.Bytes(certificates, 0o644, roots()),
		layer.Dir("/root", 0o700),
		layer.Dir("/tmp", fs.ModeSticky|0o777),
		layer.Dir("/var/tmp", fs.ModeSticky|0o777),
	}
	home := layer.Dir("/home/nonroot", 0o700)
	home.UID, home.GID = 65532, 65532
	files = append(files, home)
	for _, dir := range []string{
		"/dev", "/etc", "/etc/ssl", "/etc/ssl/certs", "/home", "/proc", "/run", "/sys", "/usr", "/usr/bin",
		"/usr/local", "/usr/local/bin", "/usr/share", "/usr/share/zoneinfo", "/var", "/var/run",
	} {
		files = append(files, layer.Dir(dir, 0o755))
	}
	return files
}

// roots is Mozilla's list of certificate authorities, as the Go project
// publishes it, in PEM. Authorities under a constraint are left out: a file
// cannot say that only their older certificates count.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		// Encode fails only when the writer does.
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return out.Bytes()
}

// The bounds of the toolchain's time zones.
const (
	maxZones = 5000
	maxZone  = 1 << 20
)

// zoneinfo unpacks the time zones of a Go installation.
func zoneinfo(file string) ([]layer.Entry, error) {
	fail := func(err error) ([]layer.Entry, error) {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read time zones", Input: file, Err: err,
			Hint: "the Go installation is not whole: install it again, or choose a base with --base"}
	}
	archive, err := zip.OpenReader(file)
	if err != nil {
		return fail(err)
	}
	defer archive.Close()
	if len(archive.File) > maxZones {
		return fail(fmt.Errorf("it has more than %d files", maxZones))
	}
	var entries []layer.Entry
	dirs := map[string]bool{}
	for _, f := range archive.File {
		name := path.Clean("/usr/share/zoneinfo/" + f.Name)
		if !strings.HasPrefix(name, "/usr/share/zoneinfo/") || strings.HasSuffix(f.Name, "/") {
			continue
		}
		data, err := readZone(f)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", f.Name, err))
		}
		entries = append(entries, layer.Bytes(name, 0o644, data))
		for dir := path.Dir(name); dir != "/usr/share/zoneinfo" && !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
			entries = append(entries, layer.Dir(dir, 0o755))
		}
	}
	return entries, nil
}

func readZone(f *zip.File) ([]byte, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxZone+1))
	if err == nil && len(data) > maxZone {
		err = errors.New("it is longer than a time zone can be")
	}
	return data, err
}
