package document_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

type file struct {
	SchemaVersion string            `json:"schemaVersion"`
	Kind          string            `json:"kind"`
	Text          string            `json:"text"`
	On            bool              `json:"on"`
	Size          int64             `json:"size"`
	Words         []string          `json:"words"`
	Pairs         map[string]string `json:"pairs"`
	Next          *file             `json:"next"`
}

const head = "schemaVersion: gopherwood/v1\nkind: Test\n"

func decode(text string) (file, *document.Document, error) {
	var f file
	d, err := document.Decode("read test", "f.yaml", []byte(text), "Test", &f)
	return f, d, err
}

func TestDecode(t *testing.T) {
	got, _, err := decode(head + "text: 1.20\non: true\nsize: -3\nwords: [a, 2026-01-31, off]\npairs: {-trimpath: true}\nnext: {text: null, next: }\n")
	if err != nil {
		t.Fatal(err)
	}
	want := file{SchemaVersion: "gopherwood/v1", Kind: "Test", Text: "1.20", On: true, Size: -3,
		Words: []string{"a", "2026-01-31", "off"}, Pairs: map[string]string{"-trimpath": "true"}, Next: &file{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", head + "next:\n  txt: x\n", `f.yaml:4:3: unknown key "txt"; known here: schemaVersion, kind, text, on, size, words, pairs, next`},
		{"key twice", head + "pairs: {a: b, a: c}\n", `f.yaml:3:15: key "a" is given twice`},
		{"no bool", head + "on: yes\n", `f.yaml:3:5: want true or false, got "yes"`},
		{"no integer", head + "size: 1.5\n", `f.yaml:3:7: want an integer, got "1.5"`},
		{"huge integer", head + "size: 99999999999999999999\n", `f.yaml:3:7: want an integer`},
		{"list for string", head + "text: [a]\n", `f.yaml:3:7: want a string, got a list`},
		{"string for list", head + "words: a\n", `f.yaml:3:8: want a list, got "a"`},
		{"string for struct", head + "next: a\n", `f.yaml:3:7: want keys and values, got "a"`},
		{"anchor", head + "text: &a x\n", `f.yaml:3:7: anchors and aliases are not supported`},
		{"alias", head + "words: [&a x, *a]\n", `f.yaml:3:15: anchors and aliases are not supported`},
		{"merge key", head + "next:\n  <<: {text: a}\n", `f.yaml:4:3: unknown key "<<"`},
		{"tag", head + "text: !!binary aGk=\n", `f.yaml:3:7: tags are not supported`},
		{"composed key", head + "pairs: {[a]: b}\n", `f.yaml:3:9: want a plain key, got a list`},
		{"two documents", head + "---\nkind: Test\n", `f.yaml:3:1: only one YAML document may be in a file`},
		{"no document", "", `f.yaml:1:1: the file is empty`},
		{"other version", "schemaVersion: gopherwood/v9\nkind: Test\n", `f.yaml:1:16: schemaVersion is "gopherwood/v9", want "gopherwood/v1"`},
		{"no kind", "schemaVersion: gopherwood/v1\n", `f.yaml:1:1: kind is missing: want "Test"`},
		{"a list", "- a\n", `f.yaml:1:1: kind is missing`},
		{"a word", "a", `f.yaml:1:1: kind is missing`},
		{"bad syntax", head + "text: 'x\n", `f.yaml:`},
	} {
		_, _, err := decode(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: code %q", test.name, fault.CodeOf(err))
		}
	}
}

func TestProblemsAreSortedAndCut(t *testing.T) {
	_, d, err := decode(head + "words: [" + strings.Repeat("a, ", 30) + "]\n")
	if err != nil || d.Err() != nil {
		t.Fatal(err, d.Err())
	}
	for i := range 30 {
		d.Report(document.Path{"words", 29 - i}, 0, fmt.Sprint("word ", 29-i))
	}
	d.Report(document.Path{"kind", "x"}, 3, "reported last")
	lines := strings.Split(d.Err().Error(), "\n")
	if len(lines) != 21 || lines[0] != "read test f.yaml:2:10: reported last" ||
		lines[1] != "read test f.yaml:3:9: word 0" || lines[20] != "and 11 more" {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

func TestTooLarge(t *testing.T) {
	_, _, err := decode(head + strings.Repeat("#", document.MaxSize))
	if fault.CodeOf(err) != fault.Limit {
		t.Errorf("got %v", err)
	}
}

// Every rune of a value is found where it stands in the file, however the value
// is written.
func TestPositions(t *testing.T) {
	for name, text := range map[string]string{
		"plain":         "text: a + b\n",
		"plain folded":  "text: a +\n    b +\n\n    c\n",
		"single":        "text: 'it''s + ''x'''\n",
		"single folded": "text: 'a ''\n  b'\n",
		"double":        `text: "a\n\t\"b\" \u0041 \x20 \\ c\` + "\n  d\"\n",
		"literal":       "text: |\n  a +\n    b\n\n  c\n",
		"literal strip": "next:\n  text: |-  # header\n      a\n      b: c\n",
		"indented":      "text: |2\n   a\n  b\n",
		"folded":        "text: >-\n  a +\n  b\n\n  c\n   d\n",
		"crlf":          "text: |\r\n  a\r\n  b\r\n",
		"wide":          "text: 'äöü + \"日本\"'\n",
		"separators":    "on: true # \u2028# and \u0085text: a b\n",
		"flow":          "{kind: Test, schemaVersion: gopherwood/v1, text: a b}",
	} {
		t.Run(name, func(t *testing.T) {
			if name != "flow" {
				text = head + text
			}
			f, d, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			path := document.Path{"text"}
			if f.Next != nil {
				f, path = *f.Next, document.Path{"next", "text"}
			}
			checkPositions(t, text, f.Text, d, path)
		})
	}
}

func checkPositions(t interface {
	Fatalf(string, ...any)
	Helper()
}, text, value string, d *document.Document, path document.Path) {
	t.Helper()
	lines := strings.FieldsFunc(strings.ReplaceAll(text, "\n", "\n\x00"), func(r rune) bool { return r == '\n' || r == '\u2028' || r == '\u0085' })
	for i, r := range []rune(value) {
		if unicode.IsSpace(r) {
			continue
		}
		line, column := d.Position(path, i)
		row := []rune(strings.TrimPrefix(lines[line-1], "\x00"))
		if got := row[column-1]; got != r && got != '\\' {
			t.Fatalf("rune %d %q of %q is said to be at %d:%d, where %q stands in\n%s", i, r, value, line, column, got, text)
		}
	}
}

func TestPositionsOfAnyText(t *testing.T) {
	styles := []yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOfN(rapid.RuneFrom([]rune("ab'\"\\{}:#- \n\tä日")), 1, 40, -1).Draw(t, "value")
		style := rapid.SampledFrom(styles).Draw(t, "style")
		encoded, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Value: "text"}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: style},
		}})
		if err != nil {
			t.Fatal(err)
		}
		text := head + string(encoded)
		f, d, err := decode(text)
		if err != nil {
			t.Skip("the encoder wrote what is not read back")
		}
		checkPositions(t, text, f.Text, d, document.Path{"text"})
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(head + "text: |\n  a\nwords: [a, 'b']\n"))
	f.Add([]byte(head + "next: {next: {next: {on: true}}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v file
		d, err := document.Decode("read", "f.yaml", data, "Test", &v)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for i := range []rune(v.Text) {
			if line, column := d.Position(document.Path{"text"}, i); line < 1 || column < 1 {
				t.Fatalf("position %d:%d", line, column)
			}
		}
	})
}
