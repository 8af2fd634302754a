package report

import (
	"strconv"
	"strings"
)

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
