package document

import (
	"strconv"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Position returns the line and column, from 1, of the rune at offset of the
// string value at path. For other values, and for a path that leads nowhere, it
// is where the nearest value above begins.
func (d *Document) Position(path Path, offset int) (line, column int) {
	return d.position(d.at(path), offset)
}

// position finds the rune at offset of the value of n.
//
// YAML folds lines, strips indentation and decodes escapes, but it never drops,
// adds or reorders anything except white space. So the rune is found by counting
// what is not white space, in the value and in the file alike.
func (d *Document) position(n *yaml.Node, offset int) (line, column int) {
	if n.Kind != yaml.ScalarNode {
		return n.Line, n.Column
	}
	value := []rune(n.Value)
	offset = min(offset, len(value))
	before := 0
	for _, r := range value[:offset] {
		if !unicode.IsSpace(r) {
			before++
		}
	}
	atSpace := offset == len(value) || unicode.IsSpace(value[offset])
	if !atSpace {
		before++
	}
	c := newCursor(d.lines, n)
	line, column = n.Line, n.Column
	for range before {
		var ok bool
		if line, column, ok = c.next(); !ok {
			return n.Line, n.Column
		}
	}
	if atSpace && before > 0 {
		column++
	}
	return line, column
}

// cursor walks over the text of one scalar in the file.
type cursor struct {
	lines     [][]rune
	line, col int
	style     yaml.Style
}

func newCursor(lines [][]rune, n *yaml.Node) *cursor {
	c := &cursor{lines: lines, line: n.Line - 1, col: n.Column - 1, style: n.Style}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.col = c.line+1, 0
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		c.col++
	}
	return c
}

// next returns where the next rune that is not white space begins.
func (c *cursor) next() (line, column int, ok bool) {
	for {
		line, column = c.line+1, c.col+1
		r, ok := c.read()
		if !ok {
			return 0, 0, false
		}
		if !unicode.IsSpace(r) {
			return line, column, true
		}
	}
}

// read returns the next rune of the value, decoded; a line's end is a space.
func (c *cursor) read() (rune, bool) {
	r, ok := c.raw()
	switch {
	case r == '\'' && c.style&yaml.SingleQuotedStyle != 0:
		c.raw() // the second of two
	case r == '\\' && c.style&yaml.DoubleQuotedStyle != 0:
		return c.escape(), true
	}
	return r, ok
}

// raw returns the next rune of the file.
func (c *cursor) raw() (rune, bool) {
	if c.line >= len(c.lines) {
		return 0, false
	}
	if c.col >= len(c.lines[c.line]) {
		c.line, c.col = c.line+1, 0
		return '\n', true
	}
	r := c.lines[c.line][c.col]
	c.col++
	return r, true
}

// escape reads what follows a backslash. Of what it stands for only matters
// whether it is white space.
func (c *cursor) escape() rune {
	r, _ := c.raw()
	digits := 0
	switch r {
	case 'n', 't', 'r', 'v', 'f', '_', 'N', 'L', 'P', ' ', '\t', '\n':
		return ' '
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return 'c'
	}
	var hex []rune
	for range digits {
		r, _ := c.raw()
		hex = append(hex, r)
	}
	code, err := strconv.ParseUint(string(hex), 16, 32)
	if err != nil {
		return 'c'
	}
	return rune(code)
}

// splitLines splits where YAML 1.1 breaks lines.
func splitLines(data []byte) [][]rune {
	text := []rune(string(data))
	var lines [][]rune
	start := 0
	for i, r := range text {
		switch r {
		case '\r':
			if i+1 < len(text) && text[i+1] == '\n' {
				continue
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		lines = append(lines, text[start:i])
		start = i + 1
	}
	return append(lines, text[start:])
}
