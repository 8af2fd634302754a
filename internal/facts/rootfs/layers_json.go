package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// layerRecord is a Layer as JSON: every entry but the root, a directory before
// what it holds.
type layerRecord struct {
	Bytes   int64 `json:"bytes"`
	Cost    int   `json:"cost"`
	Opaque  bool  `json:"opaque,omitempty"`
	Entries []entryRecord
}

// entryRecord is one entry of a layerRecord.
type entryRecord struct {
	Path string `json:"path"`
	Node
	Implied  bool `json:"implied,omitempty"`
	Opaque   bool `json:"opaque,omitempty"`
	Whiteout bool `json:"whiteout,omitempty"`
	// Same is an earlier entry that is the same file, and this a hard link to it.
	Same string `json:"same,omitempty"`
	// Below is the lower layer's file that this is a hard link to.
	Below   string   `json:"below,omitempty"`
	File    *File    `json:"file,omitempty"`
	Failure *failure `json:"failure,omitempty"`
}

// MarshalJSON writes what UnmarshalJSON reads. It fails for a layer with names
// that are not UTF-8, which JSON cannot hold.
func (l *Layer) MarshalJSON() ([]byte, error) {
	doc := layerRecord{Bytes: l.bytes, Cost: l.entries, Opaque: l.root.opaque}
	first := map[*body]string{}
	var add func(at string, e *entry) error
	add = func(at string, e *entry) error {
		for _, name := range slices.Sorted(maps.Keys(e.children)) {
			child := e.children[name]
			record := child.record(path.Join(at, name), first)
			if !utf8.ValidString(record.Path + record.Target + record.Below) {
				return fmt.Errorf("%q: the name is not UTF-8", record.Path)
			}
			doc.Entries = append(doc.Entries, record)
			if err := add(record.Path, child); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add("/", l.root); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// record returns e as a record. first holds where each body was recorded.
func (e *entry) record(at string, first map[*body]string) entryRecord {
	r := entryRecord{Path: at, Node: e.node, Implied: e.implied, Opaque: e.opaque, Whiteout: e.whiteout, Below: e.link}
	if e.body == nil || e.body == unread {
		return r
	}
	if r.Same = first[e.body]; r.Same != "" {
		return r
	}
	first[e.body] = at
	r.Failure = e.body.failure
	if f := e.body.file; f.Head != nil || f.Content != nil || f.Object != nil {
		r.File = &f
	}
	return r
}

// UnmarshalJSON reads a record and checks that ReadLayer could have made it.
func (l *Layer) UnmarshalJSON(data []byte) error {
	var doc layerRecord
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc.Bytes < 0 || doc.Cost < len(doc.Entries) {
		return errors.New("layer record: the totals are not those of its entries")
	}
	root := newDirectory(true)
	root.opaque = doc.Opaque
	for _, r := range doc.Entries {
		if err := root.restore(r); err != nil {
			return fmt.Errorf("layer record, entry %.200q: %w", r.Path, err)
		}
	}
	*l = Layer{root: root, bytes: doc.Bytes, entries: doc.Cost}
	return nil
}

// restore adds one recorded entry below the root e.
func (e *entry) restore(r entryRecord) error {
	if name, err := confine(r.Path); err != nil || name != r.Path || name == "/" {
		return errors.New("the path is not absolute and clean")
	}
	dir, base := path.Split(r.Path)
	parent := e.find(dir)
	switch {
	case parent == nil || !parent.isDir():
		return errors.New("its directory is missing")
	case parent.children[base] != nil:
		return errors.New("it is there twice")
	}
	made, err := r.entry(e)
	if err != nil {
		return err
	}
	parent.children[strings.Clone(base)] = made
	return nil
}

// entry returns what r records; hard links are looked up below root.
func (r entryRecord) entry(root *entry) (*entry, error) {
	made := &entry{node: r.Node, implied: r.Implied, opaque: r.Opaque, whiteout: r.Whiteout, link: r.Below}
	file, dir := r.Mode.IsRegular(), r.Mode.IsDir()
	switch {
	case r.Size < 0 || len(r.Target) > maxPath:
		return nil, errors.New("impossible attributes")
	case (r.Implied || r.Opaque) && !dir,
		r.Target != "" && r.Mode&fs.ModeSymlink == 0,
		(r.File != nil || r.Failure != nil || r.Same != "") && (!file || r.Whiteout || r.Below != ""),
		r.Same != "" && (r.File != nil || r.Failure != nil):
		return nil, errors.New("its parts do not belong to one type of file")
	case r.Whiteout:
		return made, nil
	case r.Below != "":
		if !strings.HasPrefix(r.Below, "/") || path.Clean(r.Below) != r.Below {
			return nil, errors.New("the hard link's target is not absolute and clean")
		}
		return made, nil
	case dir:
		made.children = map[string]*entry{}
		return made, nil
	case !file:
		return made, nil
	case r.Same != "":
		same := root.find(r.Same)
		if same == nil || same.body == nil {
			return nil, errors.New("the file it is a hard link to is missing")
		}
		made.body = same.body
		return made, nil
	}
	if r.Failure == nil && r.File == nil && !(Kept(r.Path) && r.Size == 0) {
		made.body = unread
		return made, nil
	}
	made.body = &body{failure: r.Failure}
	if r.File != nil {
		made.body.file = *r.File
	}
	return made, made.body.complete(r)
}

// complete checks b against its record, and gives back the empty content that
// JSON leaves out.
func (b *body) complete(r entryRecord) error {
	f := &b.file
	switch {
	case len(f.Head) > HeadSize || len(f.Content) > maxKept || f.Content != nil && !Kept(r.Path):
		return errors.New("it holds more than is ever kept")
	case f.Object != nil && (f.Head != nil || f.Content != nil || b.failure != nil):
		return errors.New("it is an executable and something else")
	}
	if Kept(r.Path) && r.Size == 0 && b.failure == nil {
		f.Content = []byte{}
	}
	return nil
}
