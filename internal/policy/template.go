package policy

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxRendered is the longest text that one template gives, in bytes: facts come
// from files that nobody vouches for.
const maxRendered = 2 << 10

// template is a message or a hint with CEL expressions in braces.
type template struct{ parts []part }

// part is a literal text, or an expression together with its text.
type part struct {
	text string
	expr *expression
}

// segment is a part of a template's text before it is compiled.
type segment struct {
	text string
	expr bool
	// offset is where text begins, in runes from the template's beginning.
	offset int
}

// templateError is a mistake in a template, at a rune offset.
type templateError struct {
	offset int
	error
}

// splitTemplate cuts a template at its braces. {{ and }} stand for braces
// themselves. Within an expression, braces nest and those in string literals do
// not count.
func splitTemplate(text string) ([]segment, *templateError) {
	var segments []segment
	var literal strings.Builder
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		switch doubled := i+1 < len(runes) && runes[i+1] == runes[i]; {
		case (runes[i] == '{' || runes[i] == '}') && doubled:
			literal.WriteRune(runes[i])
			i++
		case runes[i] == '}':
			return nil, &templateError{i, errors.New("} without {; write }} for a brace")}
		case runes[i] == '{':
			end := expressionEnd(runes, i+1)
			if end < 0 {
				return nil, &templateError{i, errors.New("{ without }; write {{ for a brace")}
			}
			segments = append(segments,
				segment{text: literal.String()},
				segment{text: string(runes[i+1 : end]), expr: true, offset: i + 1})
			literal.Reset()
			i = end
		default:
			literal.WriteRune(runes[i])
		}
	}
	return append(segments, segment{text: literal.String()}), nil
}

// expressionEnd returns where the brace stands that ends the expression which
// begins at start, or -1.
func expressionEnd(runes []rune, start int) int {
	depth, quote := 0, rune(0)
	for i := start; i < len(runes); i++ {
		switch r := runes[i]; {
		case quote != 0 && r == '\\':
			i++
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '{':
			depth++
		case r == '}' && depth > 0:
			depth--
		case r == '}':
			return i
		}
	}
	return -1
}

// printable reports whether values of type t can stand in a text.
func printable(t *cel.Type) bool {
	switch t.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind,
		types.TimestampKind, types.DurationKind:
		return true
	case types.ListKind:
		return t.IsExactType(cel.ListType(cel.StringType))
	}
	return false
}

// render fills the template in. An expression that fails stays as it is written,
// in its braces: a finding is never lost for its wording.
func (t *template) render(ctx context.Context, vars cel.Activation) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		value, err := p.expr.value(ctx, vars)
		if err != nil {
			b.WriteString("{" + p.text + "}")
			continue
		}
		b.WriteString(formatValue(value))
	}
	return shorten(strings.TrimSpace(b.String()))
}

func shorten(s string) string {
	if len(s) <= maxRendered {
		return s
	}
	end := maxRendered
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// formatValue writes a value of a printable type: a timestamp as its day where
// it is a whole day, a list with commas.
func formatValue(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return string(v)
	case types.Bool:
		return strconv.FormatBool(bool(v))
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10)
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', -1, 64)
	case types.Duration:
		return v.Duration.String()
	case types.Timestamp:
		if t := v.Time.UTC(); t.Equal(day(t)) {
			return t.Format(time.DateOnly)
		}
		return v.Time.UTC().Format(time.RFC3339)
	case traits.Lister:
		return formatList(v)
	}
	return ""
}

func formatList(list traits.Lister) string {
	var words []string
	for it := list.Iterator(); it.HasNext() == types.True; {
		words = append(words, formatValue(it.Next()))
	}
	return strings.Join(words, ", ")
}
