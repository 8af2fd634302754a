package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// jsonText returns doc as JSON, indented unless indent is empty, with a newline at its end. Characters
// that encoding/json leaves as they are though they steer terminals or the
// direction of text are escaped.
func jsonText(doc any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	return escapeUnprintable(b.Bytes(), jsonAstral), nil
}

// JSONLine writes doc to w as JSON on one line.
func JSONLine(w io.Writer, doc any) error {
	data, err := jsonText(doc, "")
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// jsonAstral appends r, which is beyond U+FFFF, as a surrogate pair.
func jsonAstral(out []byte, r rune) []byte {
	high, low := utf16.EncodeRune(r)
	return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
}

// yamlAstral appends r in the form that YAML has for it.
func yamlAstral(out []byte, r rune) []byte { return fmt.Appendf(out, `\U%08x`, r) }

// escapeUnprintable writes unprintable characters as \uXXXX, and those beyond
// U+FFFF with astral. It is for JSON and YAML text in which such characters
// stand within double quotes only.
func escapeUnprintable(text []byte, astral func([]byte, rune) []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == '\n' || strconv.IsPrint(r):
			out = append(out, text[i:i+n]...)
		case r > 0xffff:
			out = astral(out, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}

// yamlText returns doc as block-style YAML with the keys and their order of its
// JSON.
func yamlText(doc any) ([]byte, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	node, err := yamlNode(dec)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return escapeUnprintable(b.Bytes(), yamlAstral), nil
}

// yamlNode reads one JSON value from dec.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		return yamlCollection(dec, v)
	case string:
		return yamlString(v), nil
	case json.Number:
		tag := "!!int"
		if _, err := strconv.ParseInt(v.String(), 10, 64); err != nil {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// yamlCollection reads the rest of an object or array that begins with open.
func yamlCollection(dec *json.Decoder, open json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if open == '{' {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	for dec.More() { // of an object: keys and values in turn
		child, err := yamlNode(dec)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	_, err := dec.Token()
	return node, err
}

// yamlString returns a string node whose quoting the encoder chooses, but for
// unprintable characters: they go into double quotes, escaped.
func yamlString(s string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(s)
	if Clean(s) != s {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
