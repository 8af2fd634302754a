package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// clean returns s with everything that is not printable in Go's escapes, so
// that it stays on one line and cannot steer a terminal or the direction of text.
func clean(s string) string {
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

// shorten returns s with "…" for its middle when it has more than limit
// characters. The end of a name says more than its beginning, so it keeps more.
func shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	left := (limit - 1) / 3
	return string(runes[:left]) + "…" + string(runes[len(runes)-(limit-1-left):])
}

// text returns s so that Markdown shows it as it is: no markup, no HTML, no
// link and no mention comes of it.
func text(s string) string {
	s = entities.Replace(clean(s))
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

// code returns s as code in Markdown. The HTML element, unlike backquotes, can
// hold any character, also within a table.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + strings.ReplaceAll(text(s), "@&#8203;", "&#64;") + "</code>"
}

// plural returns "1 what" or "n whats".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// short returns the first twelve characters of a hash, with what stands before
// its colon left out.
func short(hash string) string {
	if _, after, found := strings.Cut(hash, ":"); found {
		hash = after
	}
	return hash[:min(len(hash), 12)]
}
