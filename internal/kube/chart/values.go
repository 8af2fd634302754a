package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The limits of what a user gives.
const (
	// MaxValues is the size of a file of values in bytes.
	MaxValues = 1 << 20
	// maxIndex is the highest index of a list that a path may name.
	maxIndex = 1023
	// maxDepth is how many elements a path may have.
	maxDepth = 32
	// maxProblems is how many problems are told at once.
	maxProblems = 20
)

// ValuesFile is a YAML or JSON file of values.
type ValuesFile struct {
	// Name names it in errors.
	Name string
	Data []byte
}

// Values returns the chart's values, over which files are laid in their order,
// and over these the settings, each as in "webhook.replicas=3": KEY=VALUE, where
// VALUE is YAML. Objects are merged, everything else is replaced, and null takes
// a value away. What is not in the chart's schema is an error with the code
// fault.Invalid, a setting that cannot be read one with fault.Usage.
func (c *Chart) Values(files []ValuesFile, settings []string) (map[string]any, error) {
	values, err := readValues(ValuesFile{Name: "values.yaml", Data: c.defaults})
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		over, err := readValues(f)
		if err != nil {
			return nil, err
		}
		if err := c.check(f.Name, over); err != nil {
			return nil, err
		}
		merge(values, over)
	}
	for _, setting := range settings {
		if err := set(values, setting); err != nil {
			return nil, err
		}
	}
	return values, c.check("", withoutNull(values))
}

// check returns what is wrong with values, null aside, as one error; name is where they
// come from.
func (c *Chart) check(name string, values map[string]any) error {
	problems := c.schema.check("", withoutNull(values))
	if len(problems) == 0 {
		return nil
	}
	var lines []string
	for i, p := range problems {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("and %d more", len(problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	err := invalid("read values", name, errors.New(strings.Join(lines, "\n")))
	err.Hint = "every value is explained in what 'gopherwood install --show-values' prints"
	return err
}

func readValues(f ValuesFile) (map[string]any, error) {
	if len(f.Data) > MaxValues {
		err := invalid("read values", f.Name, fmt.Errorf("is larger than %d bytes", MaxValues))
		err.Code = fault.Limit
		return nil, err
	}
	values := map[string]any{}
	if err := unmarshal(f.Data, &values); err != nil {
		return nil, invalid("read values", f.Name, err)
	}
	if values == nil { // the file says null
		values = map[string]any{}
	}
	return values, nil
}

// unmarshal reads YAML in which no key stands twice. Numbers keep their text.
func unmarshal(data []byte, v any) error {
	err := yaml.UnmarshalStrict(data, v, func(d *json.Decoder) *json.Decoder {
		d.UseNumber()
		return d
	})
	if err != nil {
		return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: "))
	}
	return nil
}

// merge lays over over values.
func merge(values, over map[string]any) {
	for key, value := range over {
		below, isObject := values[key].(map[string]any)
		above, ok := value.(map[string]any)
		switch {
		case value == nil:
			delete(values, key)
		case isObject && ok:
			merge(below, above)
		default:
			values[key] = value
		}
	}
}

// withoutNull returns a copy of values that lacks what is null.
func withoutNull(values map[string]any) map[string]any {
	out := maps.Clone(values)
	for key, value := range out {
		switch v := value.(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			out[key] = withoutNull(v)
		}
	}
	return out
}

// set changes values as setting says.
func set(values map[string]any, setting string) error {
	key, text, ok := cutSetting(setting)
	if !ok {
		return wrongSetting(setting, errors.New("want KEY=VALUE"))
	}
	path, err := parsePath(key)
	if err != nil {
		return wrongSetting(setting, err)
	}
	if len(text) > MaxValues {
		return wrongSetting(key, fmt.Errorf("the value is larger than %d bytes", MaxValues))
	}
	var value any
	if err := unmarshal([]byte(text), &value); err != nil {
		return wrongSetting(setting, err)
	}
	if value == nil && text != "null" && text != "~" { // "KEY=" is no text
		value = ""
	}
	changed, err := put(values, path, value)
	if err != nil {
		return wrongSetting(setting, err)
	}
	maps.Copy(values, changed.(map[string]any))
	return nil
}

func wrongSetting(setting string, err error) error {
	return &fault.Error{
		Code: fault.Usage, Op: "set", Input: setting, Err: err,
		Hint: "write for example --set webhook.replicas=3 or --set 'image.pullSecrets=[mine]'",
	}
}

// cutSetting cuts at the first equals sign that no backslash guards.
func cutSetting(s string) (key, value string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			return s[:i], s[i+1:], i > 0
		}
	}
	return s, "", false
}

// parsePath reads "a.b[0].c" into "a", "b", 0, "c". A backslash guards what
// follows it.
func parsePath(s string) ([]any, error) {
	var path []any
	var name strings.Builder
	flush := func(after bool) error {
		if name.Len() == 0 {
			if after {
				return nil
			}
			return fmt.Errorf("%q has an empty name", s)
		}
		path = append(path, name.String())
		name.Reset()
		return nil
	}
	closed := false // the last element was an index
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			name.WriteByte(s[i])
		case s[i] == '.':
			if err := flush(closed); err != nil {
				return nil, err
			}
			closed = false
		case s[i] == '[':
			if err := flush(closed); err != nil {
				return nil, err
			}
			end := strings.IndexByte(s[i:], ']')
			if end < 0 {
				return nil, fmt.Errorf("%q has a [ without ]", s)
			}
			n, err := strconv.ParseUint(s[i+1:i+end], 10, 16)
			if err != nil || n > maxIndex {
				return nil, fmt.Errorf("%q: want an index up to %d between [ and ]", s, maxIndex)
			}
			path = append(path, int(n))
			i += end
			closed = true
		case closed:
			return nil, fmt.Errorf("%q: want . or [ after ]", s)
		default:
			name.WriteByte(s[i])
		}
	}
	if err := flush(closed); err != nil {
		return nil, err
	}
	if len(path) > maxDepth {
		return nil, fmt.Errorf("%q has more than %d elements", s, maxDepth)
	}
	return path, nil
}

// put returns target with value at path; nothing else of it changes.
func put(target any, path []any, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch at := path[0].(type) {
	case string:
		object, ok := target.(map[string]any)
		if target != nil && !ok {
			return nil, fmt.Errorf("%q is a key of what is no object", at)
		}
		next, err := put(object[at], path[1:], value)
		if err != nil {
			return nil, err
		}
		object = maps.Clone(object)
		if object == nil {
			object = map[string]any{}
		}
		object[at] = next
		return object, nil
	case int:
		list, ok := target.([]any)
		if target != nil && !ok {
			return nil, fmt.Errorf("[%d] is an index of what is no list", at)
		}
		if at > len(list) {
			return nil, fmt.Errorf("[%d] is behind the end of the list, which has %d", at, len(list))
		}
		var below any
		if at < len(list) {
			below = list[at]
		}
		next, err := put(below, path[1:], value)
		if err != nil {
			return nil, err
		}
		list = append([]any(nil), list...)
		if at == len(list) {
			list = append(list, nil)
		}
		list[at] = next
		return list, nil
	}
	return nil, errors.New("no path")
}

// join makes an enumeration of names.
func join(names []string) string { return strings.Join(names, ", ") }
