package resolve_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/gopherwood-dev/gopherwood/internal/image/resolve"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	image = "registry.example.org:5000/team/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	other = "registry.example.org:5000/team/other@sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
)

var images = map[string]string{"./cmd/app": image, "example.org/mod/cmd/other": other, ".": image}

// Nothing but the references changes: the text around them is compared byte for
// byte.
func TestReplace(t *testing.T) {
	for name, text := range map[string]string{
		"plain":         "image: gopherwood://./cmd/app\n",
		"ko":            "image: ko://example.org/mod/cmd/other # ours\n",
		"the root":      "image: gopherwood://.\n",
		"not clean":     "image: gopherwood://./cmd//app/\n",
		"single quoted": "image: 'gopherwood://./cmd/app'\n",
		"double quoted": "image: \"ko://./cmd/app\"   \n",
		"comments":      "# ko://./cmd/none\na:   gopherwood://./cmd/app # gopherwood://x\n\n\n#end",
		"several":       "a: ko://./cmd/app\nb:\n    - name: x\n      image:  'ko://example.org/mod/cmd/other'\n    - {image: gopherwood://./cmd/app, z: 1}\n",
		"documents":     "---\nimage: ko://./cmd/app\n---\n# two\n- ko://./cmd/app\n...\n---\nko://./cmd/app\n",
		"anchor":        "a: &img gopherwood://./cmd/app\nb: *img\nc: !!str ko://./cmd/app\n",
		"anchor above":  "a: &img\n  gopherwood://./cmd/app\n",
		"wide":          "\"äöü日本🐹\": gopherwood://./cmd/app\n",
		"mark":          "\ufeffimage: gopherwood://./cmd/app\nb: ko://./cmd/app\n",
		"crlf":          "a: 1\r\nimage: gopherwood://./cmd/app\r\n",
		"separators":    "a: \"\u2028 \u0085\"\nimage: gopherwood://./cmd/app\n",
		"json":          "{\n\t\"image\": \"gopherwood://./cmd/app\",\n\t\"n\": 1e3, \"a\": [\"ko://./cmd/app\"]\n}\n",
		"block":         "script: |\n  run gopherwood://./cmd/app\nimage: ko://./cmd/app\n",
		"not whole":     "args: [--image=ko://./cmd/app, ' ko://./cmd/app']\n",
		"none":          "kind: Pod\n",
		"empty":         "",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := resolve.Parse("f.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Replace(images)
			if err != nil {
				t.Fatal(err)
			}
			want := text
			if name != "not whole" {
				want = expect(text)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// expect replaces references as a person would who looks at the text.
func expect(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		code, comment, _ := strings.Cut(line, "#")
		if comment != "" {
			comment = "#" + comment
		}
		if strings.Contains(code, "run ") {
			out.WriteString(line)
			continue
		}
		code = strings.NewReplacer(
			"gopherwood://./cmd//app/", image, "gopherwood://./cmd/app", image, "ko://./cmd/app", image,
			"ko://example.org/mod/cmd/other", other, "gopherwood://.", image,
		).Replace(code)
		out.WriteString(code + comment)
	}
	return out.String()
}

func TestPackages(t *testing.T) {
	m, err := resolve.Parse("f.yaml", []byte("- ko://./b\n- ko://example.org/a\n- gopherwood://./b/\n- gopherwood://../c\n- ko://./\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"./b", "example.org/a", "../c", "."}, m.Packages()); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":     {"a: 1\nimage: gopherwood://\n", `resolve f.yaml:2:8: "" names no package`},
		"pattern":     {"a: ko://./...\n", `f.yaml:1:4: "./..." names no package: a pattern can stand for several`},
		"space":       {"a: ko://./cmd app\n", `f.yaml:1:4: "./cmd app" names no package`},
		"digest":      {"a: ko://example.org/app@sha256:00\n", `f.yaml:1:4: "example.org/app@sha256:00" names no package`},
		"absolute":    {"a: ko:///usr/src/app\n", `f.yaml:1:4: "/usr/src/app" names no package`},
		"block":       {"a: |\n  ko://./cmd/app\n", `f.yaml:1:4: "./cmd/app\n" names no package`},
		"stripped":    {"a: >-\n  ko://./cmd/app\n", `f.yaml:1:4: "ko://./cmd/app" must stand on one line`},
		"escaped":     {`a: "ko://./cmd\u002fapp"`, `f.yaml:1:4: "ko://./cmd/app" must stand on one line, without escapes`},
		"later":       {"a: 1\n---\nb:\n- ko://x y\n", `f.yaml:4:3: "x y" names no package`},
		"bad syntax":  {"a: 'x\n", `resolve f.yaml: `},
		"no UTF-8":    {"a: \xff\n", `resolve f.yaml: the file is not UTF-8`},
		"all of them": {"- ko://\n- gopherwood://.../x\n", "f.yaml:2:3: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve.Parse("f.yaml", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("code %q", fault.CodeOf(err))
			}
		})
	}
}

func TestNoImage(t *testing.T) {
	m, err := resolve.Parse("f.yaml", []byte("- ko://./cmd/app\n- ko://./none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = m.Replace(images); err == nil || err.Error() != "resolve f.yaml:2:3: there is no image of ./none" {
		t.Errorf("got %v", err)
	}
}

func TestBlame(t *testing.T) {
	m, err := resolve.Parse("f.yaml", []byte("- 1\n- ko://./none\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = m.Blame("./none", &fault.Error{Code: fault.NotFound, Op: "load", Hint: "look"})
	if err.Error() != "resolve f.yaml:2:3: load" || fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) != "look" {
		t.Errorf("got %v, code %s, hint %s", err, fault.CodeOf(err), fault.HintOf(err))
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := resolve.Parse("f.yaml", bytes.Repeat([]byte("#"), resolve.MaxSize+1)); fault.CodeOf(err) != fault.Limit {
		t.Errorf("got %v", err)
	}
}

func TestJoin(t *testing.T) {
	got := resolve.Join([][]byte{[]byte("a: 1"), []byte("---\nb: 2\n"), []byte("c: 3\n")})
	if want := "a: 1\n---\nb: 2\n---\nc: 3\n"; string(got) != want {
		t.Errorf("got %q", got)
	}
}

// Whatever the text, what is replaced is exactly what was found: the parser
// reads the same document with other values.
func FuzzReplace(f *testing.F) {
	for _, text := range []string{
		"a: ko://./cmd/app\nb: [gopherwood://x, 'ko://y']\n", "&a ko://x", "\ufeff{\"a\":\"ko://x\"}", "- !t &b \"ko://x\"\n...\n--- ko://z",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := resolve.Parse("f.yaml", text)
		if err != nil {
			return
		}
		all := map[string]string{}
		for _, pkg := range m.Packages() {
			all[pkg] = image
		}
		got, err := m.Replace(all)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			if !bytes.Equal(got, text) {
				t.Fatalf("%q became %q", text, got)
			}
			return
		}
		var before, after yaml.Node
		if yaml.Unmarshal(text, &before) != nil || yaml.Unmarshal(got, &after) != nil {
			t.Fatalf("%q became %q, which is no YAML", text, got)
		}
		compare(t, &before, &after)
	})
}

func compare(t *testing.T, before, after *yaml.Node) {
	t.Helper()
	if before.Kind != after.Kind || before.Tag != after.Tag || len(before.Content) != len(after.Content) {
		t.Fatalf("%+v became %+v", before, after)
	}
	named := strings.HasPrefix(before.Value, "ko://") || strings.HasPrefix(before.Value, "gopherwood://")
	if before.Kind == yaml.ScalarNode && named != (after.Value == image) && before.Value != after.Value {
		t.Fatalf("%q became %q", before.Value, after.Value)
	}
	for i := range before.Content {
		compare(t, before.Content[i], after.Content[i])
	}
}
