// Package harmless writes text that comes from outside so that it is shown as text,
// whatever it holds: on a terminal, and in Markdown.
package harmless

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Clean returns s with everything that is not printable in Go's escapes, so
// that it stays on one line and cannot steer a terminal or the direction of text.
func Clean(s string) string {
	if printable(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}

// Markdown returns s so that Markdown shows it as it is: no markup, no HTML, no
// link and no mention comes of it.
func Markdown(s string) string {
	s = entities.Replace(Clean(s))
	s = strings.ReplaceAll(s, "://", "&#58;//")
	return strings.ReplaceAll(s, "www.", "www&#46;")
}

// entities writes what Markdown gives a meaning to as character references.
// The zero-width space keeps "@name" from calling a person.
var entities = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;",
	"[", "&#91;", "]", "&#93;", "(", "&#40;", ")", "&#41;", "~", "&#126;", "#", "&#35;", "!", "&#33;", "$", "&#36;",
	`\`, "&#92;", "@", "@&#8203;",
)

// MarkdownCode returns s as code in Markdown. The HTML element, unlike backquotes,
// can hold any character, also within a table.
func MarkdownCode(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + strings.ReplaceAll(Markdown(s), "@&#8203;", "&#64;") + "</code>"
}
