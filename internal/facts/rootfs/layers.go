package rootfs

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Layer is the index of one image layer: which files it adds, what is in them,
// and what it hides of the layers below. It holds no file contents but those
// that File describes. A Layer is immutable and may be part of many images.
//
// It is built by ReadLayer, stacked by Stack, and kept as JSON.
type Layer struct {
	root *entry
	// bytes is the length of the uncompressed tar stream; entries is what the
	// layer costs of the limit on entries.
	bytes   int64
	entries int
}

// Cost returns what the layer takes of a Budget.
func (l *Layer) Cost() (bytes int64, entries int) { return l.bytes, l.entries }

// Limited reports whether a file was left out because of a limit that the
// reader set, so that the index would differ under another limit.
func (l *Layer) Limited() bool {
	found := false
	l.root.walk("/", func(_ string, e *entry) {
		if e.body != nil && e.body.failure != nil && e.body.failure.Code == fault.Limit {
			found = true
		}
	})
	return found
}

// entry is one name in a layer or in a merged tree.
type entry struct {
	node Node
	// body is what a regular file holds; its hard links share it.
	body *body
	// children are what a directory holds, by name; nil for all else.
	children map[string]*entry

	// implied is a directory that exists only because of a path below it: it
	// keeps the attributes that lower layers give it.
	implied bool
	// opaque is a directory that hides what lower layers have in it.
	opaque bool
	// whiteout is no file: it hides the name in lower layers.
	whiteout bool
	// link is the path of a lower layer's file that this is a hard link to.
	link string

	// layer is the index of the layer that an entry of a merged tree is from.
	layer int
}

// body is what is known of a regular file's content.
type body struct {
	file File
	// failure says why there is no more.
	failure *failure
}

// unread is the body of all files of which nothing is known but what their nodes
// say: most of an image's.
var unread = &body{}

// failure is why a file could not be measured, in a form that can be kept.
type failure struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

func newFailure(err error) *failure {
	code := fault.CodeOf(err)
	if code == fault.Internal {
		code = fault.Invalid
	}
	return &failure{Code: code, Message: err.Error(), Hint: fault.HintOf(err)}
}

// about returns the failure as an error about the file at path.
func (f *failure) about(path string) error {
	if f == nil {
		return nil
	}
	return &fault.Error{Code: f.Code, Op: "measure", Input: path, Hint: f.Hint, Err: errors.New(f.Message)}
}

func newDirectory(implied bool) *entry {
	return &entry{node: Node{Mode: fs.ModeDir | 0o755}, children: map[string]*entry{}, implied: implied}
}

func (e *entry) isDir() bool { return e.children != nil }

// walk calls f for e and all below it, a directory before what it holds.
func (e *entry) walk(at string, f func(path string, e *entry)) {
	f(at, e)
	for name, child := range e.children {
		child.walk(path.Join(at, name), f)
	}
}

// find returns the entry at an absolute clean path, nil if there is none.
// Symbolic links are not followed.
func (e *entry) find(name string) *entry {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			continue
		}
		if e = e.children[part]; e == nil {
			return nil
		}
	}
	return e
}

// Kept reports whether the whole content of the file at name is kept: the
// accounts, and what dynamic loaders are configured with. Any directory called
// etc counts, since /etc may be a symbolic link.
func Kept(name string) bool {
	dir, base := path.Split(name)
	if path.Base(dir) != "etc" {
		return false
	}
	switch base {
	case "passwd", "group", "ld.so.cache", "ld.so.preload":
		return true
	}
	return strings.HasPrefix(base, "ld-musl-") && strings.HasSuffix(base, ".path")
}
