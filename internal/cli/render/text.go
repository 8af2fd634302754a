package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// Clean returns s with everything that is not printable in Go's escapes, so
// that it stays on one line and cannot steer a terminal.
func Clean(s string) string { return harmless.Clean(s) }

// columns is how many terminal columns s takes. It may count too many, never
// too few: combining marks count as one, all beyond U+2E80 as two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r >= 0x2e80 || r >= 0x1100 && r <= 0x115f {
		return 2
	}
	return 1
}

// Shorten returns s, with "…" for its middle when it takes more than limit
// columns. The end of a path says more than its beginning, so it keeps more.
func Shorten(s string, limit int) string {
	if columns(s) <= limit {
		return s
	}
	if limit < 1 {
		return ""
	}
	runes := []rune(s)
	left := (limit - 1) / 3
	right := limit - 1 - left
	head, used := 0, 0
	for head < len(runes) && used+runeColumns(runes[head]) <= left {
		used += runeColumns(runes[head])
		head++
	}
	tail, used := len(runes), 0
	for tail > head && used+runeColumns(runes[tail-1]) <= right {
		tail--
		used += runeColumns(runes[tail])
	}
	return string(runes[:head]) + "…" + string(runes[tail:])
}

// Size returns n bytes in binary units, for example "12.3 MiB".
func Size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n)/1024, 0
	for f >= 1023.95 && unit < len(binaryUnits)-1 {
		f /= 1024
		unit++
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + binaryUnits[unit:unit+1] + "iB"
}

const binaryUnits = "KMGTPE"

// wrap breaks s at spaces into lines of at most limit columns; a word that is
// longer is cut.
func wrap(s string, limit int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		for columns(word) > limit {
			head := cut(word, limit)
			if line != "" {
				lines = append(lines, line)
				line = ""
			}
			lines = append(lines, head)
			word = word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= limit:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// cut returns the longest prefix of s that takes at most limit columns, and at
// least one rune.
func cut(s string, limit int) string {
	used := 0
	for i, r := range s {
		used += runeColumns(r)
		if used > limit && i > 0 {
			return s[:i]
		}
	}
	return s
}

// hang wraps s behind a first line's prefix; the other lines are indented by
// indent columns.
func hang(b *strings.Builder, prefix string, indent int, s string) {
	for _, line := range wrap(Clean(s), width-indent) {
		fmt.Fprintf(b, "%s%s\n", prefix, line)
		prefix = strings.Repeat(" ", indent)
	}
}

// The escape sequences of the colours in use (ECMA-48 SGR).
const (
	red    = "31"
	yellow = "33"
	green  = "32"
	bold   = "1"
)

// paint wraps s in a colour when look allows it.
func (look Layout) paint(color, s string) string {
	if !look.Color {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}
