// Package resolve puts the references of built images into manifests: of YAML
// and JSON it replaces the values that name a Go package by the image made of
// it, and leaves every other byte as it is.
//
// A value names a package as gopherwood://./cmd/app, a directory, or as
// gopherwood://example.org/mod/cmd/app, an import path; ko:// means the same. It
// must be a whole value.
package resolve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// MaxSize is the largest manifest that is read, in bytes.
const MaxSize = 16 << 20

// schemes begin the values that name packages.
var schemes = []string{"gopherwood://", "ko://"}

// Manifest is a file of Kubernetes manifests, or any other YAML or JSON.
type Manifest struct {
	name string
	text []byte
	// references are in the order of the text.
	references []reference
}

// reference is a value that names a package: text[begin:end].
type reference struct {
	begin, end int
	pkg        string
	// position is "line:column", from 1.
	position string
}

// Parse finds the packages that data, the content of the file name, refers to.
// The error names every reference that cannot be one, as name:line:column.
func Parse(name string, data []byte) (*Manifest, error) {
	m := &Manifest{name: name, text: data}
	switch {
	case len(data) > MaxSize:
		return nil, &fault.Error{Code: fault.Limit, Op: "resolve", Input: name,
			Err: fmt.Errorf("the file is longer than %d bytes", MaxSize)}
	case !utf8.Valid(data):
		return nil, m.invalid("", errors.New("the file is not UTF-8"))
	}
	lines := newLines(data)
	var problems []error
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, m.invalid("", errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
		}
		scalars(&document, func(n *yaml.Node, pkg string) {
			position := fmt.Sprintf("%d:%d", n.Line, n.Column)
			r, err := find(data, lines.offset(n.Line, n.Column), n, pkg)
			if err != nil {
				problems = append(problems, m.invalid(position, err))
				return
			}
			r.position = position
			m.references = append(m.references, r)
		})
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	slices.SortFunc(m.references, func(a, b reference) int { return a.begin - b.begin })
	return m, nil
}

// invalid is the error about a place in the file; none for the file as a whole.
func (m *Manifest) invalid(position string, err error) error {
	return &fault.Error{Code: fault.Invalid, Op: "resolve", Input: m.at(position), Err: err}
}

// at names a place in the file.
func (m *Manifest) at(position string) string {
	if position == "" {
		return m.name
	}
	return m.name + ":" + position
}

// scalars calls f for every value below n that names a package.
func scalars(n *yaml.Node, f func(n *yaml.Node, pkg string)) {
	if n.Kind == yaml.ScalarNode {
		for _, scheme := range schemes {
			if pkg, ok := strings.CutPrefix(n.Value, scheme); ok {
				f(n, pkg)
			}
		}
	}
	for _, child := range n.Content {
		scalars(child, f)
	}
}

// find returns the place of n's value within text, given where n begins.
func find(text []byte, begin int, n *yaml.Node, pkg string) (reference, error) {
	if err := check(pkg); err != nil {
		return reference{}, err
	}
	begin += properties(text[begin:])
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		begin++
	}
	if begin > len(text) || !bytes.HasPrefix(text[begin:], []byte(n.Value)) {
		return reference{}, fmt.Errorf("%q must stand on one line, without escapes", n.Value)
	}
	return reference{begin: begin, end: begin + len(n.Value), pkg: canonical(pkg)}, nil
}

// properties returns the length of the anchor and the tag that text begins with.
func properties(text []byte) int {
	n := 0
	for n < len(text) && (text[n] == '&' || text[n] == '!') {
		for n < len(text) && !isSpace(text[n]) {
			n++
		}
		for n < len(text) && isSpace(text[n]) {
			n++
		}
	}
	return n
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// check says why pkg is no package.
func check(pkg string) error {
	problem := func(format string, args ...any) error {
		return fmt.Errorf("%q names no package: "+format, append([]any{pkg}, args...)...)
	}
	switch {
	case pkg == "":
		return problem("write gopherwood://./cmd/app or an import path")
	case strings.ContainsFunc(pkg, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return problem("it has white space or control characters")
	case strings.Contains(pkg, "..."):
		return problem("a pattern can stand for several packages")
	case isDir(pkg):
		return nil
	}
	if err := module.CheckImportPath(pkg); err != nil {
		var reason *module.InvalidPathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		return problem("%w", err)
	}
	return nil
}

func isDir(pkg string) bool {
	return pkg == "." || pkg == ".." || strings.HasPrefix(pkg, "./") || strings.HasPrefix(pkg, "../")
}

// canonical returns pkg so that one package has one name.
func canonical(pkg string) string {
	clean := path.Clean(pkg)
	if isDir(pkg) && !isDir(clean) {
		return "./" + clean
	}
	return clean
}

// Packages returns the packages that m refers to, each once, in their order:
// import paths, and directories that begin with "." .
func (m *Manifest) Packages() []string {
	var pkgs []string
	for _, r := range m.references {
		if !slices.Contains(pkgs, r.pkg) {
			pkgs = append(pkgs, r.pkg)
		}
	}
	return pkgs
}

// Replace returns the text of m with the image of each package in its place. The
// error names every reference whose package has none.
func (m *Manifest) Replace(images map[string]string) ([]byte, error) {
	var out []byte
	var problems []error
	done := 0
	for _, r := range m.references {
		image := images[r.pkg]
		if image == "" {
			problems = append(problems, m.invalid(r.position, fmt.Errorf("there is no image of %s", r.pkg)))
		}
		out = append(append(out, m.text[done:r.begin]...), image...)
		done = r.end
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return append(out, m.text[done:]...), nil
}

// Blame returns err as the error about the first reference to pkg.
func (m *Manifest) Blame(pkg string, err error) error {
	position := ""
	if i := slices.IndexFunc(m.references, func(r reference) bool { return r.pkg == pkg }); i >= 0 {
		position = m.references[i].position
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "resolve", Input: m.at(position), Err: err, Hint: fault.HintOf(err)}
}

// Join returns manifests as one stream of YAML documents.
func Join(texts [][]byte) []byte {
	var out []byte
	for i, text := range texts {
		if i > 0 {
			if !bytes.HasSuffix(out, []byte("\n")) {
				out = append(out, '\n')
			}
			if !bytes.HasPrefix(text, []byte("---")) {
				out = append(out, "---\n"...)
			}
		}
		out = append(out, text...)
	}
	return out
}
