// Package document reads the YAML files that people write for Gopherwood:
// policies and version matrices.
//
// It reads plain YAML (and so JSON) strictly: one document, no anchors, aliases
// or tags, no key that the format does not have, no key twice. Every problem is
// reported with its line and column, also problems that the caller finds within
// a value, such as a type error in the middle of an expression.
package document

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// MaxSize is the largest document that is read, in bytes.
const MaxSize = 1 << 20

// maxProblems is how many problems an error lists.
const maxProblems = 20

// Document is a YAML document that has been decoded, together with the problems
// that are found in it afterwards.
type Document struct {
	op, name string
	lines    [][]rune
	root     *yaml.Node
	problems []problem
}

// problem is a message about a place in the file.
type problem struct {
	line, column int
	message      string
}

// Path leads to a value of the document: keys (string) and indexes (int).
type Path []any

// Join returns p followed by more.
func (p Path) Join(more ...any) Path { return append(slices.Clone(p), more...) }

// String writes p as "rules[2].require".
func (p Path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, step)
		}
	}
	return b.String()
}

// Decode reads data, the content of the file name, into v, a pointer to a struct
// with json tags. op says what is done, in errors. The document must carry
// api.SchemaVersion and kind.
//
// The error names everything that is not as v has it. Look for more that is
// wrong in a document without an error, Report it, and ask Err.
func Decode(op, name string, data []byte, kind string, v any) (*Document, error) {
	d := &Document{op: op, name: name, lines: splitLines(data)}
	if len(data) > MaxSize {
		return nil, &fault.Error{Code: fault.Limit, Op: op, Input: name,
			Err: fmt.Errorf("the file has %d bytes, the limit is %d", len(data), MaxSize)}
	}
	d.parse(data)
	if len(d.problems) == 0 {
		d.checkEnvelope(kind)
	}
	if len(d.problems) == 0 {
		d.decode(d.root, reflect.ValueOf(v).Elem())
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// syntaxError is the form of the YAML parser's errors.
var syntaxError = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

// parse fills in d.root.
func (d *Document) parse(data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var file, second yaml.Node
	if err := decoder.Decode(&file); err != nil {
		d.addSyntax(err)
		return
	}
	d.root = file.Content[0]
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		d.add(max(second.Line, 1), max(second.Column, 1), "only one YAML document may be in a file")
	}
}

func (d *Document) addSyntax(err error) {
	if errors.Is(err, io.EOF) {
		d.add(1, 1, "the file is empty")
		return
	}
	line, message := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := syntaxError.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	d.add(line, 1, message)
}

// checkEnvelope reports a document of another kind or version, of which nothing
// else is worth saying.
func (d *Document) checkEnvelope(kind string) {
	for key, want := range map[string]string{"kind": kind, "schemaVersion": api.SchemaVersion} {
		n := d.at(Path{key})
		switch {
		case n == d.root:
			d.Report(nil, 0, fmt.Sprintf("%s is missing: want %q", key, want))
		case n.Value != want:
			d.Report(Path{key}, 0, fmt.Sprintf("%s is %q, want %q", key, n.Value, want))
		}
	}
}

// at returns the node at path, or the nearest one above it that exists.
func (d *Document) at(path Path) *yaml.Node {
	n := d.root
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}

// Report adds a problem about the value at path. offset is where in a string
// value it is, in runes from its beginning.
func (d *Document) Report(path Path, offset int, message string) {
	line, column := d.Position(path, offset)
	d.add(line, column, message)
}

func (d *Document) add(line, column int, message string) {
	d.problems = append(d.problems, problem{line, column, message})
}

// Err returns all problems in the order of the file as one error, made of
// *fault.Error with the code fault.Invalid and file:line:column as their input;
// nil when there are none.
func (d *Document) Err() error {
	slices.SortStableFunc(d.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var errs []error
	for i, p := range d.problems {
		if i == maxProblems {
			errs = append(errs, fmt.Errorf("and %d more", len(d.problems)-maxProblems))
			break
		}
		errs = append(errs, &fault.Error{
			Code: fault.Invalid, Op: d.op, Input: fmt.Sprintf("%s:%d:%d", d.name, p.line, p.column),
			Err: errors.New(p.message),
		})
	}
	return errors.Join(errs...)
}
