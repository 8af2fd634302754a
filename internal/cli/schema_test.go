package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
)

// The schemas of the files that people write fit the files that Gopherwood
// itself brings, and find a mistyped key.
func TestInputSchemas(t *testing.T) {
	for file, name := range map[string]string{
		"../policy/default.yaml":         "policy",
		"../policy/matrix/upstream.yaml": "matrix",
		"../policy/matrix/vendor.yaml":   "matrix",
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			schema, err := jsonschema.NewCompiler().Compile("../../docs/formats/" + name + ".schema.json")
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(decode(t, string(data))); err != nil {
				t.Error(err)
			}
			if err := schema.Validate(decode(t, strings.Replace(string(data), "metadata:", "metdata:", 1))); err == nil {
				t.Error("no error for a mistyped key")
			}
		})
	}
}

// The example in docs/formats/config.md is a configuration, and its schema knows
// every key of it.
func TestConfigExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("no example")
	}
	if _, err := config.Load("config.md", []byte(example)); err != nil {
		t.Error(err)
	}
	schema, err := jsonschema.NewCompiler().Compile("../../docs/formats/config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(decode(t, example)); err != nil {
		t.Error(err)
	}
	if err := schema.Validate(decode(t, strings.Replace(example, "platforms:", "platform:", 1))); err == nil {
		t.Error("no error for a mistyped key")
	}
}

// decode reads YAML as editors do that know JSON Schema: a date is a string.
func decode(t *testing.T, text string) any {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	datesToStrings(&root)
	var v any
	if err := root.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func datesToStrings(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		datesToStrings(c)
	}
}
