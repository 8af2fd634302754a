package chart

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// notes is the template of what a user is told after the installation.
const notes = "templates/NOTES.txt"

// Render returns the chart's objects for the release, in the order in which they
// are to be applied. The values are those of [Chart.Values].
func (c *Chart) Render(r Release, values map[string]any) ([]*unstructured.Unstructured, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	t, err := c.parse()
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(c.templates)) {
		if strings.HasPrefix(path.Base(name), "_") || name == notes {
			continue
		}
		text, err := c.execute(t, name, r, values)
		if err != nil {
			return nil, err
		}
		objects, err := split(text)
		if err != nil {
			return nil, invalid("render", name, err)
		}
		all = append(all, objects...)
	}
	slices.SortStableFunc(all, compareInstall)
	return all, nil
}

// Notes returns what a user is to know after the installation.
func (c *Chart) Notes(r Release, values map[string]any) (string, error) {
	t, err := c.parse()
	if err != nil {
		return "", err
	}
	return c.execute(t, notes, r, values)
}

// nameForm is a DNS label that leaves room for what is put after it.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$`)

func (r Release) check() error {
	for what, name := range map[string]string{"release": r.Name, "namespace": r.Namespace} {
		if !nameForm.MatchString(name) {
			return &fault.Error{
				Code: fault.Usage, Op: "render", Input: what + " " + strconv.Quote(name),
				Err: errors.New("want at most 53 lower-case letters, digits and dashes"),
			}
		}
	}
	return nil
}

// parse reads the templates.
func (c *Chart) parse() (*template.Template, error) {
	root := template.New("").Option("missingkey=zero").Funcs(functions())
	root.Funcs(template.FuncMap{"include": func(name string, data any) (string, error) {
		var b strings.Builder
		err := root.ExecuteTemplate(&b, name, data)
		return b.String(), err
	}})
	for name, text := range c.templates {
		if _, err := root.New(name).Parse(text); err != nil {
			return nil, invalid("load chart", "", err)
		}
	}
	return root, nil
}

// execute runs one template with what Helm gives to templates.
func (c *Chart) execute(t *template.Template, name string, r Release, values map[string]any) (string, error) {
	var b strings.Builder
	err := t.ExecuteTemplate(&b, name, map[string]any{
		"Values": values,
		"Files":  c.files,
		"Chart": map[string]any{
			"Name": c.meta.Name, "Version": c.meta.Version, "AppVersion": c.meta.AppVersion,
			"Description": c.meta.Description, "KubeVersion": c.meta.KubeVersion,
		},
		"Release": map[string]any{
			"Name": r.Name, "Namespace": r.Namespace, "Service": cmp.Or(r.Service, manager),
		},
	})
	var said refusal
	if errors.As(err, &said) {
		return "", invalid("read values", "", said)
	}
	if err != nil {
		return "", invalid("render", name, err)
	}
	return strings.ReplaceAll(b.String(), "<no value>", ""), nil
}

// refusal is what a template says of values that it cannot work with.
type refusal string

func (r refusal) Error() string { return string(r) }

// functions returns what the templates may call; each does what the function of
// its name does in Helm.
func functions() template.FuncMap {
	return template.FuncMap{
		"include":    func(string, any) (string, error) { return "", errors.New("not bound") },
		"required":   required,
		"fail":       func(message string) (string, error) { return "", refusal(message) },
		"quote":      func(v any) string { return strconv.Quote(fmt.Sprint(v)) },
		"default":    orDefault,
		"trunc":      truncate,
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"contains":   func(part, s string) bool { return strings.Contains(s, part) },
		"toYaml":     toYAML,
		"fromYaml":   fromYAML,
		"indent":     indent,
		"nindent":    func(n int, s string) string { return "\n" + indent(n, s) },
		"list":       func(v ...any) []any { return v },
		"append":     func(l []any, v any) []any { return append(slices.Clone(l), v) },
		"has": func(v any, l []any) bool {
			return slices.ContainsFunc(l, func(e any) bool { return reflect.DeepEqual(e, v) })
		},
		"dict": dict,
		"set":  func(m map[string]any, key string, v any) map[string]any { m[key] = v; return m },
		"int":  toInt,
	}
}

func required(message string, v any) (any, error) {
	if v == nil || v == "" {
		return nil, refusal(message)
	}
	return v, nil
}

// orDefault returns v, or alternative when v is zero or empty.
func orDefault(alternative any, v ...any) any {
	if len(v) == 0 || v[0] == nil {
		return alternative
	}
	if of := reflect.ValueOf(v[0]); of.IsZero() || (of.Kind() == reflect.Map || of.Kind() == reflect.Slice) && of.Len() == 0 {
		return alternative
	}
	return v[0]
}

func truncate(n int, s string) string { return s[:min(n, len(s))] }

func toYAML(v any) (string, error) {
	data, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(data), "\n"), err
}

func fromYAML(s string) (map[string]any, error) {
	var m map[string]any
	err := unmarshal([]byte(s), &m)
	return m, err
}

func indent(n int, s string) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
}

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict needs pairs")
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m, nil
}

func toInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case json.Number:
		n, err := strconv.Atoi(v.String())
		return n, err
	}
	return 0, fmt.Errorf("%v is no number", v)
}

// split reads the YAML documents that a template has made.
func split(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		var object map[string]any
		// Not unmarshal: objects hold numbers as int64 or float64.
		data, err := yaml.YAMLToJSONStrict([]byte(doc))
		if err != nil {
			return nil, err
		}
		if string(data) == "null" {
			continue
		}
		u := &unstructured.Unstructured{Object: object}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		objects = append(objects, u)
	}
	return objects, nil
}

// Write prints objects as YAML documents.
func Write(objects []*unstructured.Unstructured) ([]byte, error) {
	var b bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, &fault.Error{Code: fault.Internal, Op: "print", Input: o.GetName(), Err: err}
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.Bytes(), nil
}
