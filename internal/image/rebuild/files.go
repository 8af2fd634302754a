package rebuild

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// compare explains why two images have different digests.
func compare(ctx context.Context, was, is v1.Image) ([]api.Difference, error) {
	wasConfig, err := configOf(was)
	if err != nil {
		return nil, err
	}
	isConfig, err := configOf(is)
	if err != nil {
		return nil, err
	}
	out := differences(kindConfig, wasConfig, isConfig)
	wasLayers, err := was.Layers()
	if err != nil {
		return nil, err
	}
	isLayers, err := is.Layers()
	if err != nil {
		return nil, err
	}
	if len(wasLayers) != len(isLayers) {
		out = append(out, api.Difference{Kind: kindLayer, Name: "number of layers", Recorded: fmt.Sprint(len(wasLayers)), Rebuilt: fmt.Sprint(len(isLayers))})
	}
	for i := range min(len(wasLayers), len(isLayers)) {
		more, err := compareLayers(ctx, fmt.Sprintf("layer %d", i), wasLayers[i], isLayers[i])
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// compareLayers explains the difference of two layers, file by file.
func compareLayers(ctx context.Context, name string, was, is v1.Layer) ([]api.Difference, error) {
	wasDigest, err := was.Digest()
	if err != nil {
		return nil, err
	}
	isDigest, err := is.Digest()
	if err != nil || wasDigest == isDigest {
		return nil, err
	}
	out := []api.Difference{{Kind: kindLayer, Name: name, Recorded: wasDigest.String(), Rebuilt: isDigest.String()}}
	wasFiles, err := list(ctx, was)
	if err != nil {
		return nil, err
	}
	isFiles, err := list(ctx, is)
	if err != nil {
		return nil, err
	}
	changed := differences(kindFile, lines(wasFiles), lines(isFiles))
	for _, d := range changed {
		out = append(out, d)
		out = append(out, compareExecutables(d.Name, wasFiles[d.Name].program, isFiles[d.Name].program)...)
	}
	if len(changed) == 0 {
		out[0].Name += " (the same files, compressed in another way)"
	}
	return out, nil
}

// file is one entry of a layer.
type file struct {
	line string
	// program is the content of an executable.
	program []byte
}

func lines(files map[string]file) map[string]string {
	out := map[string]string{}
	for name, f := range files {
		out[name] = f.line
	}
	return out
}

// list reads a layer.
func list(ctx context.Context, l v1.Layer) (map[string]file, error) {
	in, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	files := map[string]file{}
	// One layer is never more than an image may be.
	r := tar.NewReader(io.LimitReader(in, image.DefaultLimits.Image))
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err == nil && len(files) >= image.DefaultLimits.Entries {
			err = fmt.Errorf("it has more than %d files", image.DefaultLimits.Entries)
		}
		if err != nil {
			return nil, &fault.Error{Code: fault.Invalid, Op: "read layer", Err: err}
		}
		if files["/"+hdr.Name], err = read(hdr, r); err != nil {
			return nil, err
		}
	}
}

func read(hdr *tar.Header, r io.Reader) (file, error) {
	f := file{line: fmt.Sprintf("mode %o, owner %d:%d, time %s", hdr.Mode, hdr.Uid, hdr.Gid, hdr.ModTime.UTC().Format("2006-01-02T15:04:05Z"))}
	if hdr.Linkname != "" {
		f.line += ", link to " + hdr.Linkname
	}
	if hdr.Typeflag != tar.TypeReg {
		return f, nil
	}
	sum := sha256.New()
	content := io.TeeReader(r, sum)
	head := make([]byte, min(exe.HeadSize, hdr.Size))
	if _, err := io.ReadFull(content, head); err != nil {
		return f, err
	}
	if exe.IsExecutable(head) && hdr.Size <= image.DefaultLimits.File {
		rest, err := io.ReadAll(content)
		if err != nil {
			return f, err
		}
		f.program = append(head, rest...)
	} else if _, err := io.Copy(io.Discard, content); err != nil {
		return f, err
	}
	f.line += fmt.Sprintf(", %d bytes, sha256:%s", hdr.Size, hex.EncodeToString(sum.Sum(nil)))
	return f, nil
}

// compareExecutables explains the difference of two executables: what their
// toolchain recorded, and which sections are not the same.
func compareExecutables(name string, was, is []byte) []api.Difference {
	if was == nil || is == nil {
		return nil
	}
	out := differences(kindBuildInfo, buildInfo(name, was), buildInfo(name, is))
	return append(out, differences(kindSection, sections(name, was), sections(name, is))...)
}

// buildInfo is what the toolchain recorded; a program that cannot be measured
// has none.
func buildInfo(name string, program []byte) map[string]string {
	out := map[string]string{}
	obj, err := exe.Measure(bytes.NewReader(program), int64(len(program)), exe.Options{})
	if err != nil || obj.Facts.Go == nil {
		return out
	}
	g := obj.Facts.Go
	out[name+": go"] = g.Version
	for key, value := range g.Settings {
		out[name+": "+key] = value
	}
	if g.Module != nil {
		out[name+": module "+g.Module.Path] = g.Module.Version
	}
	for _, dep := range g.Deps {
		out[name+": module "+dep.Path] = dep.Version + " " + dep.Sum
	}
	return out
}

// sections has the digests of an ELF file's sections.
func sections(name string, program []byte) map[string]string {
	out := map[string]string{}
	list, err := exe.Sections(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		return out // not ELF: the file's own digest has to do
	}
	for _, s := range list {
		sum := sha256.Sum256(program[s.Offset : s.Offset+s.Size])
		out[name+": "+s.Name] = fmt.Sprintf("%d bytes, sha256:%s", s.Size, hex.EncodeToString(sum[:]))
	}
	return out
}
