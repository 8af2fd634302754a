package document

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decode sets v to what n says. It reports what does not fit and goes on.
func (d *Document) decode(n *yaml.Node, v reflect.Value) {
	if !d.plain(n) {
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem())
	case reflect.Struct:
		d.decodeStruct(n, v)
	case reflect.Map:
		d.decodeMap(n, v)
	case reflect.Slice:
		d.decodeSlice(n, v)
	default:
		d.decodeScalar(n, v)
	}
}

// plain reports whether n is YAML without references and tags.
func (d *Document) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.reportNode(n, "anchors and aliases are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		d.reportNode(n, "tags are not supported")
	default:
		return true
	}
	return false
}

func (d *Document) reportNode(n *yaml.Node, message string) { d.add(n.Line, n.Column, message) }

func (d *Document) decodeStruct(n *yaml.Node, v reflect.Value) {
	fields := fieldsOf(v.Type())
	d.eachPair(n, func(key string, keyNode, value *yaml.Node) {
		index, ok := fields.index[key]
		if !ok {
			d.reportNode(keyNode, fmt.Sprintf("unknown key %q; known here: %s", key, strings.Join(fields.names, ", ")))
			return
		}
		d.decode(value, v.Field(index))
	})
}

// structFields are a struct's fields by the names in their json tags.
type structFields struct {
	names []string
	index map[string]int
}

func fieldsOf(t reflect.Type) structFields {
	f := structFields{index: make(map[string]int, t.NumField())}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		f.names = append(f.names, name)
		f.index[name] = i
	}
	return f
}

func (d *Document) decodeMap(n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.eachPair(n, func(key string, _, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, element)
		v.SetMapIndex(reflect.ValueOf(key), element)
	})
}

// eachPair calls f with every key of the mapping n.
func (d *Document) eachPair(n *yaml.Node, f func(key string, keyNode, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.reportNode(n, "want keys and values, got "+kindName(n))
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case !d.plain(key):
		case key.Kind != yaml.ScalarNode:
			d.reportNode(key, "want a plain key, got "+kindName(key))
		case seen[key.Value]:
			d.reportNode(key, fmt.Sprintf("key %q is given twice", key.Value))
		default:
			seen[key.Value] = true
			f(key.Value, key, value)
		}
	}
}

func (d *Document) decodeSlice(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.reportNode(n, "want a list, got "+kindName(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		d.decode(element, v.Index(i))
	}
}

// decodeScalar reads a string, a bool or an integer. A string takes any scalar
// as it is written, so that 1.20 and 2026-01-31 need no quotes.
func (d *Document) decodeScalar(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || !setScalar(v, n.Value) {
		d.reportNode(n, "want "+wanted(v.Kind())+", got "+kindName(n))
	}
}

func setScalar(v reflect.Value, text string) bool {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return true
	case v.Kind() == reflect.Bool:
		v.SetBool(text == "true")
		return text == "true" || text == "false"
	}
	i, err := strconv.ParseInt(text, 10, v.Type().Bits())
	v.SetInt(i)
	return err == nil
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "an integer"
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}
