package cluster

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ImageSource is an image on this machine's disk.
type ImageSource struct {
	// Path is an OCI layout, as a directory or as an archive, or a file that
	// "docker save" wrote; archives may be compressed with gzip.
	Path string
	// Tag chooses an image of an OCI layout; empty if it has only one.
	Tag string
	// Name is what pods call the image, "app:1" being docker.io/library/app:1 as for
	// the kubelet. Empty: what the archive says, or for the tag T of a layout in the
	// directory D, D:T.
	Name string
}

const (
	indexFile    = "index.json"
	manifestFile = "manifest.json"
	// listLimit is the most that either may have, in bytes.
	listLimit = 4 << 20

	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// loader is an image source that was looked at.
type loader struct {
	source ImageSource
	names  []string
	// replace has the content of files that is written instead of their own.
	replace map[string][]byte
}

// open looks at the source and decides about its names.
func (s ImageSource) open() (*loader, error) {
	l := &loader{source: s, replace: map[string][]byte{}}
	lists := map[string][]byte{}
	err := s.walk(func(h *tar.Header, r io.Reader) error {
		name := filepath.ToSlash(filepath.Clean(h.Name))
		if name != indexFile && name != manifestFile {
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(r, listLimit+1))
		if err == nil && len(data) > listLimit {
			err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("%s has more than %d bytes", name, listLimit)}
		}
		lists[name] = data
		return err
	})
	if err == nil {
		err = l.decide(lists[indexFile], lists[manifestFile])
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read image", Input: s.Path, Err: err, Hint: fault.HintOf(err)}
	}
	return l, nil
}

// decide finds the names of the image in the lists of the archive, either of
// which may be nil. containerd reads the index if there is one.
func (l *loader) decide(index, manifest []byte) error {
	switch {
	case index != nil:
		data, names, err := chooseLayout(index, l.source)
		l.replace[indexFile], l.names = data, names
		return err
	case manifest != nil:
		data, names, err := chooseArchive(manifest, l.source)
		l.replace[manifestFile], l.names = data, names
		return err
	}
	return &fault.Error{Code: fault.Invalid, Err: errors.New("neither an OCI layout nor what docker save writes: it has no " + indexFile + " and no " + manifestFile)}
}

// descriptor is an entry of an index, of which only the annotations matter.
type descriptor struct {
	fields      map[string]json.RawMessage
	annotations map[string]string
}

func (d *descriptor) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &d.fields); err != nil {
		return err
	}
	raw, ok := d.fields["annotations"]
	if !ok {
		return nil
	}
	return json.Unmarshal(raw, &d.annotations)
}

// named returns the descriptor with the image's names for containerd.
func (d *descriptor) named(name string) (json.RawMessage, error) {
	annotations, err := json.Marshal(map[string]string{containerdName: name, refName: name})
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	for key, value := range d.fields {
		fields[key] = value
	}
	fields["annotations"] = annotations
	return json.Marshal(fields)
}

// referrersTag is a tag that stands for what is attached to an image, in
// registries and layouts that have no other way.
var referrersTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\..*)?$`)

// chooseLayout returns the index with the one image that s means, under its name.
func chooseLayout(index []byte, s ImageSource) ([]byte, []string, error) {
	var list struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(index, &list); err != nil {
		return nil, nil, &fault.Error{Code: fault.Invalid, Op: "read " + indexFile, Err: err}
	}
	var found []descriptor
	var tags []string
	for _, d := range list.Manifests {
		tag := d.annotations[refName]
		if referrersTag.MatchString(tag) || s.Tag != "" && tag != s.Tag {
			continue
		}
		found, tags = append(found, d), append(tags, tag)
	}
	switch {
	case len(found) == 0 && s.Tag != "":
		return nil, nil, &fault.Error{Code: fault.NotFound, Err: fmt.Errorf("the layout has no tag %q", s.Tag)}
	case len(found) == 0:
		return nil, nil, &fault.Error{Code: fault.NotFound, Err: errors.New("the layout has no image")}
	case len(found) > 1:
		return nil, nil, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("the layout has %d images: %s", len(found), strings.Join(tags, ", ")), Hint: "name one by its tag"}
	}
	name, err := layoutName(s, found[0])
	if err != nil {
		return nil, nil, err
	}
	entry, err := found[0].named(name)
	if err != nil {
		return nil, nil, err
	}
	data, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []json.RawMessage{entry},
	})
	return data, []string{name}, err
}

// layoutName returns what an image of a layout is called.
func layoutName(s ImageSource, d descriptor) (string, error) {
	name := s.Name
	if name == "" {
		name = d.annotations[containerdName]
	}
	if tag := d.annotations[refName]; name == "" && strings.ContainsAny(tag, "/:") {
		name = tag
	} else if name == "" {
		base := strings.ToLower(strings.TrimSuffix(filepath.Base(s.Path), ".tar"))
		if abs, err := filepath.Abs(s.Path); err == nil && (base == "." || base == "..") {
			base = strings.ToLower(filepath.Base(abs))
		}
		name = base
		if tag != "" {
			name += ":" + tag
		}
	}
	return fullName(name)
}

// chooseArchive returns the list of a docker archive, with the name that s gives,
// and its images' names.
func chooseArchive(manifest []byte, s ImageSource) ([]byte, []string, error) {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(manifest, &list); err != nil {
		return nil, nil, &fault.Error{Code: fault.Invalid, Op: "read " + manifestFile, Err: err}
	}
	if s.Tag != "" {
		return nil, nil, &fault.Error{Code: fault.Usage, Err: errors.New("a docker archive has no tags to choose from")}
	}
	if s.Name != "" {
		if len(list) != 1 {
			return nil, nil, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("it has %d images, which cannot all have one name", len(list))}
		}
		list[0].RepoTags = []string{s.Name}
	}
	var names []string
	for i := range list {
		for j, tag := range list[i].RepoTags {
			name, err := fullName(tag)
			if err != nil {
				return nil, nil, err
			}
			list[i].RepoTags[j] = name
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil, &fault.Error{Code: fault.Usage, Err: errors.New("the archive says no name"), Hint: "give the image a name"}
	}
	data, err := json.Marshal(list)
	return data, names, err
}

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// fullName returns the whole name of an image as the kubelet understands it.
func fullName(name string) (string, error) {
	full := name
	first, _, more := strings.Cut(full, "/")
	switch {
	case !more:
		full = "docker.io/library/" + full
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		full = "docker.io/" + full
	}
	if !strings.Contains(full[strings.LastIndex(full, "/"):], ":") {
		full += ":latest"
	}
	if !nameForm.MatchString(full) {
		return "", &fault.Error{Code: fault.Usage, Err: fmt.Errorf("%q is no name of an image", name), Hint: "write [HOST/]REPOSITORY[:TAG]"}
	}
	return full, nil
}

// write writes the archive that containerd imports.
func (l *loader) write(w io.Writer) error {
	out := tar.NewWriter(w)
	err := l.source.walk(func(h *tar.Header, r io.Reader) error {
		name := filepath.ToSlash(filepath.Clean(h.Name))
		if data, ok := l.replace[name]; ok {
			h.Size, r = int64(len(data)), bytes.NewReader(data)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(out, r)
		return err
	})
	return errors.Join(err, out.Close())
}

// walk gives the files of the source to visit.
func (s ImageSource) walk(visit func(*tar.Header, io.Reader) error) error {
	info, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return walkDir(s.Path, visit)
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = bufio.NewReaderSize(f, 256<<10)
	if magic, err := r.(*bufio.Reader).Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if r, err = gzip.NewReader(r); err != nil {
			return &fault.Error{Code: fault.Invalid, Err: err}
		}
	}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fault.Error{Code: fault.Invalid, Err: err}
		}
		if err := visit(h, archive); err != nil {
			return err
		}
	}
}

// walkDir gives the files below dir to visit, as those of an archive.
func walkDir(dir string, visit func(*tar.Header, io.Reader) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := root.Open(filepath.FromSlash(path))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: info.Size()}
		return visit(h, io.LimitReader(f, h.Size))
	})
}
