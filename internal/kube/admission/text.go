package admission

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest texts, in bytes. The API server cuts warnings off at 256 each and
// 4096 in all once there are many.
const (
	maxMessage     = 4096
	maxFinding     = 400
	maxName        = 200
	maxWarning     = 256
	maxWarnings    = 4096
	maxAnnotation  = 512
	maxAnnotations = 32
)

// plain makes text from an image or a registry harmless on a terminal and in a
// header: one line, printable, at most limit bytes.
func plain(text string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text[:min(len(text), 4*limit)])
	return cut(clean, limit)
}

// cut shortens text to limit bytes, at a rune.
func cut(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
