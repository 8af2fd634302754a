//go:build e2e

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// refName is the annotation that holds an image's tag in an OCI layout.
const refName = "org.opencontainers.image.ref.name"

// layerOf packs the directory dir as an image layer.
func layerOf(t *testing.T, dir string) v1.Layer {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "layer")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := writeTar(file, dir); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(file.Name(), tarball.WithCompressedCaching, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// writeTar writes what is below dir with owners, modes and links as they are; a
// second name of a file becomes a hard link.
func writeTar(w io.Writer, dir string) error {
	archive := tar.NewWriter(w)
	names := map[uint64]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		header, err := tarHeader(dir, file, info)
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			inode := info.Sys().(*syscall.Stat_t).Ino
			if first, again := names[inode]; again {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			}
			names[inode] = header.Name
		}
		if err := archive.WriteHeader(header); err != nil || header.Size == 0 {
			return err
		}
		return copyInto(archive, file)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// tarHeader describes file with a name relative to dir.
func tarHeader(dir, file string, info fs.FileInfo) (*tar.Header, error) {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(file); err != nil {
			return nil, err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	if header.Name, err = filepath.Rel(dir, file); err != nil {
		return nil, err
	}
	if info.IsDir() {
		header.Name += "/"
	}
	return header, nil
}

func copyInto(w io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// imageOf is an image of layers, the lowest first.
func imageOf(t *testing.T, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err == nil {
		image, err = mutate.ConfigFile(image, withConfig(t, image, config))
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// forArch returns image with another architecture.
func forArch(t *testing.T, image v1.Image, arch string) v1.Image {
	t.Helper()
	file, err := image.ConfigFile()
	if err == nil {
		file = file.DeepCopy()
		file.Architecture = arch
		image, err = mutate.ConfigFile(image, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// withConfig returns image's configuration file with config and a platform.
func withConfig(t *testing.T, image v1.Image, config v1.Config) *v1.ConfigFile {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", amd64, config
	return file
}

// writeLayout writes images, by their tags, as one OCI layout and returns its
// directory.
func writeLayout(t *testing.T, images map[string]v1.Image) string {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for tag, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Annotations: map[string]string{refName: tag}},
		})
	}
	dir := t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	return dir
}
