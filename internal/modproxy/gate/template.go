package gate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxTemplateRunes is the longest message or hint.
const maxTemplateRunes = 1_000

// template is a message or a hint with variables in braces.
type template []part

// part is a literal text, or a variable.
type part struct{ text, variable string }

// templateError is a mistake in a template, at a rune offset.
type templateError struct {
	offset int
	error
}

// parseTemplate cuts a template at its braces. {{ and }} stand for braces
// themselves.
func parseTemplate(text string) (template, *templateError) {
	if utf8.RuneCountInString(text) > maxTemplateRunes {
		return nil, &templateError{0, fmt.Errorf("the text is longer than %d characters", maxTemplateRunes)}
	}
	var t template
	for rest := text; rest != ""; {
		at := utf8.RuneCountInString(text[:len(text)-len(rest)])
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return append(t, part{text: rest}), nil
		}
		t = append(t, part{text: rest[:i]})
		at += utf8.RuneCountInString(rest[:i])
		rest = rest[i:]
		name, after, closed := strings.Cut(rest[1:], "}")
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			t, rest = append(t, part{text: rest[:1]}), rest[2:]
		case rest[0] == '}':
			return nil, &templateError{at, errors.New("} without {; write }} for a brace")}
		case !closed:
			return nil, &templateError{at, errors.New("{ without }; write {{ for a brace")}
		case !slices.Contains(variableNames, name):
			return nil, &templateError{at + 1, fmt.Errorf("there is no variable %q; known are %s", name, strings.Join(variableNames, ", "))}
		default:
			t, rest = append(t, part{variable: name}), after
		}
	}
	return t, nil
}

// render fills the template in.
func (t template) render(vars *variables) string {
	var b strings.Builder
	for _, p := range t {
		if p.variable == "" {
			b.WriteString(p.text)
			continue
		}
		value, _ := vars.ResolveName(p.variable)
		b.WriteString(formatValue(value))
	}
	return strings.TrimSpace(b.String())
}

func formatValue(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return formatSize(v)
	case time.Duration:
		return formatDuration(v)
	case time.Time:
		return v.Format(time.DateOnly)
	case []string:
		if len(v) == 0 {
			return "none"
		}
		return strings.Join(v, ", ")
	}
	return ""
}

// formatSize writes a number of bytes.
func formatSize(n int64) string {
	switch {
	case n >= 1e6:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	case n >= 1e3:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
