package policy

import (
	"regexp"
	"strings"
)

// glob is a compiled pattern of rule ids or references: * stands for anything
// within one path element, ** for anything at all and ? for one character.
type glob struct{ re *regexp.Regexp }

// newGlob compiles pattern; every pattern is valid.
func newGlob(pattern string) glob {
	var re strings.Builder
	re.WriteString(`(?s)^`)
	for rest := pattern; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**"):
			re.WriteString(`.*`)
			rest = rest[2:]
		case rest[0] == '*':
			re.WriteString(`[^/]*`)
			rest = rest[1:]
		case rest[0] == '?':
			re.WriteString(`[^/]`)
			rest = rest[1:]
		default:
			end := strings.IndexAny(rest, "*?")
			if end < 0 {
				end = len(rest)
			}
			re.WriteString(regexp.QuoteMeta(rest[:end]))
			rest = rest[end:]
		}
	}
	re.WriteString(`$`)
	return glob{regexp.MustCompile(re.String())}
}

func (g glob) match(s string) bool { return g.re.MatchString(s) }
